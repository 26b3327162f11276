"""Compiled programs on disk."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest
from batch import compile_xla, execute

import addax
import addax.numpy as jnp
from addax.engines.xla import disk

X = np.linspace(0.0, 1.0, 5, dtype=np.float32)


@pytest.fixture
def directory(tmp_path):
    names = ("compilation_cache_dir", "persistent_cache_min_compile_time_secs", "enable_compilation_cache")
    before = {n: getattr(addax.config, f"addax_{n}") for n in names}
    path = tmp_path / "xla"
    addax.config.update("addax_compilation_cache_dir", str(path))
    addax.config.update("addax_persistent_cache_min_compile_time_secs", 0.0)
    yield path
    for name, value in before.items():
        addax.config.update(f"addax_{name}", value)


def entries(path: pathlib.Path) -> list[pathlib.Path]:
    return [p for p in path.rglob("*") if p.is_file() and p.name != "sizes"]


def compiled(fun, *args, **options):
    return compile_xla(addax.jit(fun).trace(*args).jaxpr, **options)


def run(fun, *args):
    return execute(addax.jit(fun).trace(*args).jaxpr, args)[0]


def test_a_program_is_found_again_wherever_it_stands(directory, monkeypatch):
    def here():
        def f(x):
            return jnp.tanh(x) + 1

        return f

    def there():  # the same program on other lines
        def f(x):
            return jnp.tanh(x) + 1

        return f

    want = run(here(), X)
    assert len(entries(directory)) == 1
    monkeypatch.setattr(disk, "write", lambda *_: pytest.fail("it was compiled again"))
    np.testing.assert_array_equal(run(there(), X), want)


def test_other_programs_types_and_options_are_other_entries(directory):
    def f(x):
        return jnp.tanh(x) + 1

    compiled(f, X)
    compiled(f, X[:3])
    compiled(f, X, compiler_options=(("xla_backend_optimization_level", 1),))
    assert len(entries(directory)) == 3


def test_damaged_entries_are_compiled_again(directory):
    def f(x):
        return jnp.sin(x) * 3

    want = run(f, X)
    (entry,) = entries(directory)
    data = entry.read_bytes()
    for damaged in (data[:40], data[:-1] + bytes([data[-1] ^ 1]), b""):
        entry.write_bytes(damaged)
        np.testing.assert_array_equal(run(f, X), want)
        assert entry.read_bytes()[:8] == data[:8] and len(entry.read_bytes()) > 100


def test_what_is_not_kept(directory):
    def with_callback(x):
        return addax.pure_callback(np.sin, addax.ShapeDtypeStruct(x.shape, x.dtype), x)

    compiled(with_callback, X)
    addax.config.update("addax_persistent_cache_min_compile_time_secs", 100.0)
    compiled(jnp.cos, X)
    addax.config.update("addax_persistent_cache_min_compile_time_secs", 0.0)
    addax.config.update("addax_enable_compilation_cache", False)
    compiled(jnp.cos, X)
    assert not os.path.exists(directory) or entries(directory) == []
