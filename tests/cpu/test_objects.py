"""The kernel cache: in memory, on disk, damaged, full, forbidden; and the linker and loader under it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nest_tools import elementwise, run

from addax.engines.cpu import elf, llvm, objects
from addax.engines.cpu.loops import Affine, Nest, Store
from addax.engines.cpu.loops_check import NestError
from addax.engines.disk_cache import DiskCache, default_directory


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of our own, and no memory of earlier kernels."""
    disk = DiskCache(str(tmp_path / "kernels"))
    monkeypatch.setattr(objects, "opened", lambda kind: disk)
    monkeypatch.setattr(objects, "_addresses", {})
    monkeypatch.setattr(objects, "statistics", objects.Statistics())
    return disk


def nest(constant: int = 2) -> Nest:
    return elementwise("integer_pow", ["float32"], "float32", y=constant)


def check(n: Nest, power: int = 2) -> None:
    x, y = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
    run(n, [x, y], [5], 0, 5)
    np.testing.assert_array_equal(y, x**power)


def forget():
    objects._addresses.clear()


def entries(disk) -> list[str]:
    return [path for _, _, path in disk._entries()]


def test_equal_nests_compile_once(cache):
    check(nest())
    check(nest())
    assert (objects.statistics.compiled, objects.statistics.memory_hits) == (1, 1)


def test_second_process_compiles_nothing(cache):
    check(nest())
    forget()
    check(nest())
    assert (objects.statistics.compiled, objects.statistics.disk_hits) == (1, 1)


def test_warm_start_does_not_load_llvm(cache):
    check(nest())
    program = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from nest_tools import elementwise
from addax.engines.cpu import objects
from addax.engines.disk_cache import DiskCache
objects.opened = lambda kind: DiskCache({cache.directory!r})
objects.compile_nests([elementwise("integer_pow", ["float32"], "float32", y=2)])
assert objects.statistics.disk_hits == 1
from addax.engines.cpu import llvm
assert not llvm._load_library.cache_info().currsize, "LLVM was loaded"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "garbage"])
def test_damaged_entries_are_ignored_and_rewritten(cache, damage):
    check(nest())
    (path,) = entries(cache)
    data = bytearray(Path(path).read_bytes())
    if damage == "flip":
        data[-7] ^= 4
    data = {"truncate": data[:-9], "empty": b"", "flip": data, "garbage": b"nonsense" * 40}[damage]
    Path(path).write_bytes(data)
    forget()
    check(nest())
    assert (objects.statistics.compiled, objects.statistics.disk_hits) == (2, 0)
    forget()
    check(nest())
    assert objects.statistics.disk_hits == 1


def test_directory_and_files_are_private(cache):
    check(nest())
    (path,) = entries(cache)
    assert stat.S_IMODE(os.stat(cache.directory).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_directory_that_others_may_write_to_is_not_used(cache):
    os.makedirs(cache.directory)
    os.chmod(cache.directory, 0o777)
    check(nest())
    assert not entries(cache) and not cache.usable()


@pytest.mark.parametrize("directory", ["/proc/nowhere/kernels", "/dev/null/kernels", None])
def test_without_a_usable_directory_everything_still_works(cache, monkeypatch, directory):
    monkeypatch.setattr(objects, "opened", lambda kind: DiskCache(directory))
    check(nest())
    forget()
    check(nest())
    assert objects.statistics.compiled == 2


def test_least_recently_used_entries_go_first(cache):
    cache.max_bytes = 1 << 30
    for power in (2, 3, 4, 5):
        check(nest(power), power)
    oldest = sorted(entries(cache), key=os.path.getmtime)
    now = time.time()
    for age, path in enumerate(reversed(oldest)):
        os.utime(path, (now - age - 10, now - age - 10))
    cache.max_bytes = sum(map(os.path.getsize, oldest)) + 10
    check(nest(6), 6)
    left = entries(cache)
    assert oldest[0] not in left and oldest[-1] in left
    assert sum(map(os.path.getsize, left)) <= cache.max_bytes


def test_a_process_knows_the_total_without_a_look_at_each_entry(cache, monkeypatch):
    check(nest(2))
    check(nest(3), 3)

    def later(max_bytes: int) -> DiskCache:
        disk = DiskCache(cache.directory, max_bytes)
        disk.write("ab" + "0" * 20, b"x" * 1000)
        return disk

    with monkeypatch.context() as m:
        m.setattr(os, "scandir", None)
        later(1 << 30)
    total = sum(map(os.path.getsize, entries(cache)))
    later(total - 500)  # which others have used up
    assert sum(map(os.path.getsize, entries(cache))) <= 0.9 * (total - 500)


@pytest.mark.parametrize("damage", [None, b"", b"123"])
def test_a_lost_record_of_sizes_is_made_again(cache, damage):
    check(nest(2))
    record = os.path.join(cache.directory, "sizes")
    os.unlink(record)
    if damage is not None:
        Path(record).write_bytes(damage)
    (entry,) = entries(cache)
    disk = DiskCache(cache.directory, os.path.getsize(entry) + 1000)
    disk.write("ab" + "0" * 20, b"x" * 1000)
    assert entries(disk) == [disk.path("ab" + "0" * 20)]


def test_environment_variables_choose_the_directory():
    def choose(**env):
        return default_directory("kernels", env.get)

    assert choose(ADDAX_CACHE_DIR="/a") == "/a/kernels"
    assert choose(XDG_CACHE_HOME="/b") == "/b/addax/kernels"
    assert choose(ADDAX_CACHE_DIR="off") is None
    assert choose(XDG_CACHE_HOME="relative").endswith("/.cache/addax/kernels")


def test_kernels_compiled_together_part_again(cache):
    """Twelve nests at once: several to a module, on several threads, one cache entry each."""
    nests = [elementwise("integer_pow", ["float32"], "float32", y=power) for power in range(2, 13)]
    nests = [Nest(f"n{k}", n.params, n.n_table, n.body) for k, n in enumerate(nests)]
    nests.append(elementwise("sin", ["float64"], "float64"))
    addresses = objects.compile_nests(nests)
    assert len(set(addresses.values())) == 12
    assert len(entries(cache)) == 13  # and the helper that reduces huge angles
    for power, n in enumerate(nests[:-1], 2):
        check(n, power)
    forget()
    x, y = np.array([1e300, 2.0]), np.zeros(2)
    run(nests[-1], [x, y], [2], 0, 2)
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)
    assert objects.statistics.compiled == 12


def test_helpers_are_compiled_once_and_found_on_disk(cache):
    x = np.array([3.0, 1e300])
    kernels = [elementwise(op, ["float64"], "float64") for op in ("sin", "cos", "lgamma")]

    def use():
        for n in kernels:
            y = np.zeros(2)
            run(n, [x, y], [2], 0, 2)
            if n.name != "lgamma":
                np.testing.assert_allclose(y, getattr(np, n.name)(x), rtol=1e-15)

    use()
    helpers = {name for name, _ in objects._addresses if name.startswith("addax.")}
    assert helpers == {"addax.rem_pio2_huge", "addax.lgamma.v8f64"} or not llvm.host_target().avx512
    forget()
    use()
    assert (objects.statistics.compiled, objects.statistics.disk_hits) == (3, 3)


def test_a_kernel_whose_helper_is_gone_is_compiled_again(cache):
    n = elementwise("sin", ["float64"], "float64")
    objects.compile_nests([n])
    os.unlink(cache.path(objects._file_name("addax.rem_pio2_huge", None)))
    forget()
    x, y = np.array([1e300]), np.zeros(1)
    run(n, [x, y], [1], 0, 1)
    assert objects.statistics.compiled == 2
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_parent_and_forked_child_do_not_write_over_each_other(cache):
    program = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_objects import check, nest, objects
from addax.engines.disk_cache import DiskCache
objects.opened = lambda kind: DiskCache(None)
check(nest(2))
child = os.fork()
powers = range(3, 9) if child == 0 else range(9, 15)
for power in powers:
    check(nest(power), power)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
for power in powers:
    check(nest(power), power)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_error_in_one_of_many_is_raised(cache):
    good = [elementwise("integer_pow", ["float32"], "float32", y=power) for power in range(20, 26)]
    nests = [Nest(f"g{k}", n.params, n.n_table, n.body) for k, n in enumerate(good)]
    with pytest.raises(NestError, match="not defined"):
        objects.compile_nests([*nests, Nest("bad", nests[0].params, 0, (Store("y", Affine(), "nothing"),))])


def test_one_name_for_two_nests_is_an_error(cache):
    with pytest.raises(ValueError, match="two different nests are named"):
        objects.compile_nests([nest(2), nest(3)])


def test_text_shows_every_stage(cache):
    assert "integer_pow a0 y=2" in objects.text([nest()], "loops")
    assert "define void @k_" in objects.text([nest()], "llvm")
    assert "ret" in objects.text([nest()], "asm")
    assert "define void @addax.rem_pio2_huge" in objects.text([elementwise("sin", ["float32"], "float32")], "llvm")
    with pytest.raises(ValueError, match="unknown stage 'hlo'"):
        objects.text([nest()], "hlo")


def test_broken_ir_is_reported_with_its_line_and_not_by_a_crash():
    with pytest.raises(llvm.CompileError, match="use of undefined value"):
        llvm.emit_object("define i32 @f() {\n  ret i32 %nothing\n}\n")
    with pytest.raises(llvm.CompileError):
        llvm.emit_object(
            "define i32 @f() {\na:\n  br label %b\nb:\n  %x = phi i32 [ 0, %c ]\n  ret i32 %x\nc:\n  br label %b\n}\n"
        )


def test_the_linker_refuses_outside_symbols():
    text = "declare double @missing(double)\ndefine double @f(double %x) {\n"
    text += "  %y = call double @missing(double %x)\n  ret double %y\n}\n"
    with pytest.raises(elf.LinkError, match="needs 'missing'"):
        elf.link(llvm.emit_object(text))


@pytest.mark.parametrize("target", [llvm.NEON], ids=str)
def test_objects_for_arm64_link(target):
    """No arm64 machine at hand: at least every instruction is selected and every relocation known."""
    from addax.engines.cpu.emit import emit_module

    for op in ("exp", "sin", "pow", "tanh", "erf_inv"):
        for dtype in ("float32", "float64"):
            arity = 2 if op == "pow" else 1
            text = emit_module([("k", elementwise(op, [dtype] * arity, dtype))], target)
            assert elf.link(llvm.emit_object(text, target))["k"].code


def test_options_say_where_and_how_much_is_kept(tmp_path):
    from addax.core import config as options
    from addax.engines.disk_cache import opened

    assert opened("kernels").directory == default_directory("kernels")
    with options.compilation_cache_dir(str(tmp_path)), options.compilation_cache_max_size(1000):
        assert (opened("kernels").directory, opened("kernels").max_bytes) == (str(tmp_path / "kernels"), 1000)
        with options.enable_compilation_cache(False):
            assert opened("kernels").directory is None
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with options.compilation_cache_dir(str(taken)):
        assert not opened("kernels").usable()
        with (
            options.raise_persistent_cache_errors(True),
            pytest.raises(OSError, match=r"the compilation cache .* cannot be"),
        ):
            opened("kernels")
