"""The same call in addax.numpy and in jax.numpy, compared: values, dtypes, weak types, shapes, kinds of error.

A case is a function name, arguments and keywords. Arguments are NumPy arrays, which become arrays of both libraries;
Python scalars, which stay; and `Weak`, a weakly typed array.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import addax
import addax.numpy as anp


@dataclass(frozen=True)
class Weak:
    """A weakly typed array of this Python number."""

    value: Any


def _convert(x, module):
    if isinstance(x, np.ndarray):
        return module.asarray(x)
    if isinstance(x, Weak):
        return module.asarray(x.value)
    if isinstance(x, tuple):
        return tuple(_convert(y, module) for y in x)
    if isinstance(x, list):
        return [_convert(y, module) for y in x]
    return x


def run(module, name: str, args, kwargs):
    """The result, or the exception."""
    fun = module
    for part in name.split("."):
        fun = getattr(fun, part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            args = [_convert(x, module) for x in args]
            kwargs = {k: _convert(x, module) for k, x in kwargs.items()}
            return fun(*args, **kwargs)
        except Exception as error:
            return error


def kind_of_error(error: Exception) -> type:
    for cls in (OverflowError, ZeroDivisionError, NotImplementedError, IndexError, TypeError, ValueError):
        if isinstance(error, cls):
            return cls
    return type(error)


TOLERANCE = {
    "float16": 2e-3,
    "bfloat16": 2e-2,
    "float32": 4e-6,
    "complex64": 6e-6,
    "float64": 1e-13,
    "complex128": 1e-12,
}


def compare(got, want, case: str, rtol: float | None = None) -> None:
    """Assert that two results agree, whatever they are."""
    if isinstance(want, Exception) or isinstance(got, Exception):
        if not (isinstance(want, Exception) and isinstance(got, Exception)):
            raise AssertionError(f"{case}: got {got!r}, JAX {want!r}") from (
                got if isinstance(got, Exception) else None
            )
        assert isinstance(got, kind_of_error(want)), f"{case}: got {got!r}, JAX {want!r}"
        return
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want), case
        for g, w in zip(got, want, strict=True):
            compare(g, w, case, rtol)
        return
    if not isinstance(want, jax.Array):
        assert got == want, f"{case}: got {got!r}, JAX {want!r}"
        return
    assert isinstance(got, addax.Array), f"{case}: got {type(got)}"
    assert got.shape == want.shape, f"{case}: shape {got.shape}, JAX {want.shape}"
    assert got.dtype == want.dtype, f"{case}: dtype {got.dtype}, JAX {want.dtype}"
    if want.dtype != bool:  # a weak bool promotes as any bool
        assert got.weak_type == want.weak_type, f"{case}: weak type {got.weak_type}, JAX {want.weak_type}"
    g, w = np.asarray(got), np.asarray(want)
    name = want.dtype.name
    if name in TOLERANCE:
        wide = np.complex128 if name.startswith("complex") else np.float64
        tol = TOLERANCE[name] if rtol is None else max(rtol, TOLERANCE[name])
        np.testing.assert_allclose(g.astype(wide), w.astype(wide), rtol=tol, atol=tol, err_msg=case)
    else:
        np.testing.assert_array_equal(g, w, err_msg=case)


def show(x) -> str:
    return f"{x.dtype.name}{list(x.shape)}" if isinstance(x, np.ndarray) else repr(x)


def check(name: str, *args, rtol: float | None = None, **kwargs) -> None:
    """Assert that addax and JAX agree on a call."""
    case = f"{name}({', '.join([*map(show, args), *(f'{k}={show(v)}' for k, v in kwargs.items())])})"
    compare(run(anp, name, args, kwargs), run(jnp, name, args, kwargs), case, rtol)


def sample(dtype, shape, seed: int = 0, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    """Values of a dtype, many of them equal to each other or whole numbers."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "u":
        return rng.integers(0, 7, shape).astype(dtype)
    if dtype.kind == "i":
        return rng.integers(-6, 7, shape).astype(dtype)
    x = rng.uniform(low, high, shape)
    x = np.where(rng.uniform(size=shape) < 0.3, np.round(x), x)
    if dtype.kind == "c":
        x = x + 1j * rng.uniform(low, high, shape)
    return np.asarray(x).astype(dtype)


class Batch:
    """Many calls at once: all that have a result become one compiled program of each library, which is much quicker.

    Arrays are arguments of the programs, everything else (scalars, axes, names) is in them.
    """

    def __init__(self):
        self.cases: list[tuple[str, str, tuple, dict, float | None]] = []

    def __call__(self, name: str, *args, rtol: float | None = None, **kwargs) -> None:
        case = f"{name}({', '.join([*map(show, args), *(f'{k}={show(v)}' for k, v in kwargs.items())])})"
        self.cases.append((case, name, args, kwargs, rtol))

    def evaluate(self, module, library) -> list:
        """The result or the exception of every case."""
        results: list = [None] * len(self.cases)
        programs, inputs, at = [], [], []
        for i, (_, name, args, kwargs, _rtol) in enumerate(self.cases):
            arrays: list = []
            program = functools.partial(_call, module, name, _lift((args, kwargs), arrays))
            try:
                library.eval_shape(program, arrays)
            except Exception as error:
                results[i] = error
                continue
            programs.append(program)
            inputs.append(arrays)
            at.append(i)
        outs = library.jit(lambda xs: [f(x) for f, x in zip(programs, xs, strict=True)])(inputs)
        for i, out in zip(at, outs, strict=True):
            results[i] = out
        return results

    def compare(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got, want = self.evaluate(anp, addax), self.evaluate(jnp, jax)
        failures = []
        for (case, _, _, _, rtol), g, w in zip(self.cases, got, want, strict=True):
            try:
                compare(g, w, case, rtol)
            except AssertionError as error:
                failures.append(str(error).strip())
        assert not failures, f"{len(failures)} of {len(self.cases)} calls differ:\n" + "\n".join(failures[:10])


@dataclass(frozen=True)
class _Slot:
    """Stands for an array that is an argument of the program."""

    index: int


def _lift(x, arrays: list):
    if isinstance(x, (np.ndarray, Weak)):
        arrays.append(x if isinstance(x, np.ndarray) else x.value)
        return _Slot(len(arrays) - 1)
    if isinstance(x, (tuple, list)):
        return type(x)([_lift(y, arrays) for y in x])
    if isinstance(x, dict):
        return {k: _lift(y, arrays) for k, y in x.items()}
    return x


def _lower(x, arrays: list):
    if isinstance(x, _Slot):
        return arrays[x.index]
    if isinstance(x, (tuple, list)):
        return type(x)([_lower(y, arrays) for y in x])
    if isinstance(x, dict):
        return {k: _lower(y, arrays) for k, y in x.items()}
    return x


def _call(module, name: str, lifted, arrays: list):
    fun = module
    for part in name.split("."):
        fun = getattr(fun, part)
    args, kwargs = _lower(lifted, arrays)
    return fun(*args, **kwargs)


def batched(test):
    """Decorator of tests whose first parameter, ``check``, gathers calls that are compared at the end."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        batch = Batch()
        test(batch, *args, **kwargs)
        batch.compare()

    signature = inspect.signature(test)
    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    return run
