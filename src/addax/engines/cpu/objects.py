"""The kernel cache: nests in, addresses out. In memory, on disk, and only then through LLVM.

``compile_nests`` is the whole interface. A kernel's identity is the structure of its nest (``Nest.key``) together
with everything that decides the machine code: this package's emitter, LLVM, the CPU. A warm start therefore neither
writes IR nor loads LLVM: it reads a file per kernel, verifies its checksum and copies the image into executable
memory, about 0.05 ms each. On disk entries are kept by engines/disk_cache.py.
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
import threading
import time
from collections.abc import Iterable

from addax import _native
from addax.engines.cpu import llvm, memory
from addax.engines.cpu.elf import Image, link
from addax.engines.cpu.llvm import Target
from addax.engines.cpu.loops import Nest, print_nest
from addax.engines.cpu.loops_check import validate
from addax.engines.disk_cache import opened

HEADER = struct.Struct("<IIQ")  # alignment, size of the imports, entry
MOST_THREADS = 8
MOST_PER_MODULE = 4


class Statistics:
    """What ``compile_nests`` did so far in this process; ``seconds`` is time spent compiling."""

    def __init__(self):
        self.memory_hits = self.disk_hits = self.compiled = 0
        self.seconds = 0.0


statistics = Statistics()
_addresses: dict[tuple[str, Target | None], int] = {}
_code_sizes: dict[int, int] = {}  # by address
_lock = threading.RLock()


def compile_nests(nests: Iterable[Nest], target: Target | None = None) -> dict[str, int]:
    """Machine code for each nest: its name to its address.

    Each function is ``void k(void** args, const int64_t* table, int64_t lo, int64_t hi)``. Equal structures are
    compiled once, whatever their names. ``target`` (for tests) picks another instruction set that this machine can run.

    Raises:
      NestError: a nest breaks the rules of the IR (checked only when it has to be compiled).
      ValueError: two different nests have the same name.
    """
    nests = list(nests)
    keys: dict[str, str] = {}
    with _lock:
        missing: dict[str, Nest] = {}
        for nest in nests:
            key = nest.key
            if keys.setdefault(nest.name, key) != key:
                raise ValueError(f"two different nests are named {nest.name!r}")
            if (key, target) in _addresses or key in missing:
                statistics.memory_hits += 1
            else:
                missing[key] = nest
        if missing:
            _obtain(missing, target)
        return {name: _addresses[key, target] for name, key in keys.items()}


def _obtain(missing: dict[str, Nest], target: Target | None) -> None:
    """Find kernels on disk; compile the others."""
    compile_: list[Nest] = []
    for key, nest in missing.items():
        address = _from_disk(key, target)
        if address is None:
            compile_.append(nest)
        else:
            statistics.disk_hits += 1
            _addresses[key, target] = address
    if not compile_:
        return
    start = time.perf_counter()
    for nest, image in _compile(compile_, target):
        _addresses[nest.key, target] = _load(image, target, compile_helpers=True)
        _write(_file_name(nest.key, target), image)
    statistics.compiled += len(compile_)
    statistics.seconds += time.perf_counter() - start


def _from_disk(key: str, target: Target | None) -> int | None:
    image = _read(_file_name(key, target))
    return None if image is None else _load(image, target, compile_helpers=False)


def _load(image: Image, target: Target | None, compile_helpers: bool) -> int | None:
    """Put a kernel into memory, with the addresses of the helpers it calls; None if one is not to be had."""
    if not image.imports:
        return _placed(image.code, image)
    code = bytearray(image.code)
    for offset, name in image.imports:
        address = _helper(name, target, compile_helpers)
        if address is None:
            return None
        struct.pack_into("<Q", code, offset, address)
    return _placed(bytes(code), image)


def _placed(code: bytes, image: Image) -> int:
    address = memory.load(code, image.align) + image.entry
    _code_sizes[address] = len(code)
    return address


def code_size(nests: Iterable[Nest]) -> int:
    """Bytes of machine code of kernels that have been compiled."""
    return sum(_code_sizes[_addresses[key, None]] for key in {nest.key for nest in nests})


def _helper(name: str, target: Target | None, compile_: bool) -> int | None:
    """The address of a helper function: from memory, from disk, or compiled (after a kernel that calls it was
    written).
    """
    address = _addresses.get((name, target))
    if address is None:
        address = _from_disk(name, target)
        if address is None and compile_:
            image = link(llvm.emit_object(_emitter().helper_text(name, target), target))[name]
            _write(_file_name(name, target), image)
            address = _load(image, target, compile_)
        if address is not None:
            _addresses[name, target] = address
    return address


def _file_name(key: str, target: Target | None) -> str:
    return hashlib.blake2b(f"{key} {_environment()} {target or ''}".encode(), digest_size=20).hexdigest()


def _compile(nests: list[Nest], target: Target | None) -> list[tuple[Nest, Image]]:
    """Several kernels to a module (a module costs 1 ms by itself), modules in parallel."""
    threads = min(_native.get_num_threads(), MOST_THREADS, len(nests))
    size = min(MOST_PER_MODULE, max(1, len(nests) // (2 * threads)))
    groups = [nests[i : i + size] for i in range(0, len(nests), size)]
    groups.reverse()
    done: list[tuple[Nest, Image]] = []
    errors: list[BaseException] = []

    def work() -> None:
        while groups and not errors:
            try:
                group = groups.pop()
            except IndexError:
                return
            try:
                for nest in group:
                    validate(nest)
                text = _emitter().emit_module([(kernel_name(nest), nest) for nest in group], target)
                images = link(llvm.emit_object(text, target))
                done.extend([(nest, images[kernel_name(nest)]) for nest in group])
            except BaseException as error:  # reported by the thread that asked
                errors.append(error)

    helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(groups)) - 1)]
    for thread in helpers:
        thread.start()
    work()
    for thread in helpers:
        thread.join()
    if errors:
        raise errors[0]
    return done


def kernel_name(nest: Nest) -> str:
    return f"k_{nest.key[:16]}"


def text(nests: Iterable[Nest], stage: str, target: Target | None = None) -> str:
    """The nests as ``"loops"`` (our IR), ``"llvm"`` (LLVM IR) or ``"asm"`` (assembly), with the helpers they call."""
    nests = list({n.key: n for n in nests}.values())
    if stage == "loops":
        return "\n\n".join([print_nest(n) for n in nests])
    if stage not in ("llvm", "asm"):
        raise ValueError(f"unknown stage {stage!r}; expected 'loops', 'llvm' or 'asm'")
    module = _emitter().emit_module([(kernel_name(n), n) for n in nests], target)
    modules = [module, *_emitter().helpers_of(module, target)]
    return "\n".join(modules if stage == "llvm" else [llvm.emit_assembly(m, target) for m in modules])


def _emitter():
    from addax.engines.cpu import emit  # with its tables, on the first compilation only

    return emit


def _after_fork() -> None:
    """Another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _environment() -> str:
    """Hash of what, besides the nest, decides the code: the sources of the emitter, LLVM, the CPU."""
    h = hashlib.blake2b(llvm.fingerprint().encode(), digest_size=16)
    here = os.path.dirname(__file__)
    for name in sorted(os.listdir(here)):
        if name.endswith(".py") and name.startswith(("emit", "vecmath", "loop_ops", "llvm", "elf")):
            with open(os.path.join(here, name), "rb") as f:
                h.update(f.read())
    return h.hexdigest()


# ---- disk ----


def _read(name: str) -> Image | None:
    data = opened("kernels").read(name)
    if data is None:
        return None
    align, size, entry = HEADER.unpack_from(data)
    start = HEADER.size + size
    lines = data[HEADER.size : start].decode().splitlines()
    imports = tuple((int(offset), name) for offset, name in (line.split() for line in lines))
    return Image(data[start:], align, entry, imports)


def _write(name: str, image: Image) -> None:
    imports = "\n".join([f"{offset} {name}" for offset, name in image.imports]).encode()
    opened("kernels").write(name, HEADER.pack(image.align, len(imports), image.entry) + imports + image.code)
