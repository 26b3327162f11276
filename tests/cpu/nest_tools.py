"""Build, compile and run loop nests in tests: the smallest possible executor."""

from __future__ import annotations

import ctypes

import ml_dtypes
import numpy as np

from addax.engines.cpu import llvm, objects
from addax.engines.cpu.loops import Affine, Let, Load, Loop, Nest, Param, Store, Sym

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
HOST = llvm.host_target()
TARGETS = [t for t in (llvm.AVX512, llvm.AVX2) if t.arch == HOST.arch and t.vector_bytes <= HOST.vector_bytes] or [HOST]


def np_dtype(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def run(nest: Nest, arrays, table=(), lo: int = 0, hi: int = 0, target: llvm.Target | None = None) -> None:
    """Run a nest over arrays (in the order of its parameters), in place."""
    address = objects.compile_nests([nest], target)[nest.name]
    pointers = (ctypes.c_void_p * max(1, len(arrays)))(*[a.ctypes.data for a in arrays])
    sizes = np.array([*table, 0], np.int64)
    KERNEL(address)(ctypes.addressof(pointers), sizes.ctypes.data, lo, hi)


def flat(var: str = "i") -> Affine:
    return Affine(0, ((var, 1),))


def elementwise(op: str, in_dtypes, out_dtype: str, unroll: int | None = None, **attrs) -> Nest:
    """out[i] = op(in0[i], in1[i], ...) as one parallel vector loop."""
    params = [Param(f"x{k}", d) for k, d in enumerate(in_dtypes)] + [Param("y", out_dtype, "out")]
    loads = [Load(f"a{k}", f"x{k}", flat(), d) for k, d in enumerate(in_dtypes)]
    body = [
        *loads,
        Let("b", op, tuple(f"a{k}" for k in range(len(in_dtypes))), out_dtype, **attrs),
        Store("y", flat(), "b"),
    ]
    return Nest(f"{op}", tuple(params), 1, (Loop("i", Sym(0), tuple(body), "vector", True, unroll),))


def apply(op: str, arrays, out_dtype: str, target: llvm.Target | None = None, **attrs) -> np.ndarray:
    """``op`` of equally long 1-D arrays."""
    arrays = [np.ascontiguousarray(a) for a in arrays]
    n = arrays[0].size
    y = np.zeros(n + 7, np_dtype(out_dtype))
    run(elementwise(op, [a.dtype.name for a in arrays], out_dtype, **attrs), [*arrays, y], [n], 0, n, target)
    assert not y[n:].astype(bool).any(), "wrote past the end"
    return y[:n]


def scalar_program(op: str, in_dtypes, out_dtype: str, **attrs) -> Nest:
    """The same on element 0, without a loop."""
    params = [Param(f"x{k}", d) for k, d in enumerate(in_dtypes)] + [Param("y", out_dtype, "out")]
    loads = [Load(f"a{k}", f"x{k}", Affine(), d) for k, d in enumerate(in_dtypes)]
    args = tuple(f"a{k}" for k in range(len(in_dtypes)))
    return Nest(
        f"{op}_scalar", tuple(params), 0, (*loads, Let("b", op, args, out_dtype, **attrs), Store("y", Affine(), "b"))
    )


def ulp_error(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance in units of the last place of ``got``'s type, given values in a wider one; equal specials count 0."""
    got64, exact = got.astype(np.longdouble), np.asarray(exact, np.longdouble)
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(got.dtype).tiny)).astype(np.longdouble)
        error = np.abs(got64 - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    # Results below the normal range may be flushed to zero.
    flushed = (np.abs(exact) < np.finfo(got.dtype).tiny * np.longdouble(1.001)) & (
        np.abs(got) <= np.finfo(got.dtype).tiny
    )
    error = np.where(same & ~np.isfinite(exact.astype(np.float64)), 0, error)
    error = np.where(flushed, 0, error)
    return np.where(np.isnan(error), np.where(same, 0, np.inf), error)
