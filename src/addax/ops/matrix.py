"""What the linear algebra primitives share: type checks, batching, matrix formulas in primitives, LAPACK one matrix at a
time.

All of them work on the last dimensions of their operands and map over the leading ones, so batching only moves the batch
dimension to the front.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.primitive import Primitive, Refusal, registry
from addax.core.sizes import is_symbolic_shape
from addax.interpreters.values import broadcast_in_dim, shape_of, to_front, transpose, zeros
from addax.ops.dot import dot_general

# ---------------------------------------------------------------------------------------------------------------------
# Types

_LAPACK = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


def check_matrices(name: str, operands: Sequence[ShapedArray], ranks: Sequence[int], real: bool = False) -> tuple:
    """The common batch shape of operands, the last ``ranks[i]`` dimensions of each being its own.

    Raises:
      TypeError: for dtypes LAPACK does not have, or that differ; for too few dimensions or different batch shapes.
    """
    kinds = (np.floating,) if real else (np.inexact,)
    for i, x in enumerate(operands):
        if not any(dtypes.issubdtype(x.dtype, k) for k in kinds):
            accepted = "floating" if real else "floating, complexfloating"
            raise TypeError(
                f"{name} does not accept dtype {dtypes.dtype_name(x.dtype)} at position {i}. Accepted dtypes at position "
                f"{i} are subtypes of {accepted}."
            )
    if any(x.dtype != operands[0].dtype for x in operands):
        names = ", ".join(dtypes.dtype_name(x.dtype) for x in operands)
        raise TypeError(f"lax.{name} requires arguments to have the same dtypes, got {names}.")
    if operands[0].dtype not in _LAPACK:
        raise NotImplementedError(
            f"{name}: Unsupported dtype {dtypes.dtype_name(operands[0].dtype)}. Convert to float32 first: "
            "x.astype('float32')."
        )
    for i, (x, rank) in enumerate(zip(operands, ranks, strict=True)):
        if x.ndim < rank:
            raise TypeError(f"Input {i} to {name} must have rank at least {rank}, but got shape={x.shape}")
    batches = [x.shape[: x.ndim - rank] for x, rank in zip(operands, ranks, strict=True)]
    if any(b != batches[0] for b in batches):
        shapes = ", ".join(str(x.shape) for x in operands)
        raise TypeError(f"All inputs to {name} must have the same batch dimensions, but got shapes {shapes}.")
    return batches[0]


def check_square(name: str, x: ShapedArray, which: str = "The input") -> int:
    m, n = x.shape[-2:]
    if m != n:
        raise ValueError(f"{which} to {name} must be a square matrix. Got shape {x.shape}.")
    return n


_COMPLEX: dict[np.dtype, np.dtype] = {dtypes.float32: dtypes.complex64, dtypes.float64: dtypes.complex128}
_REAL = {c: r for r, c in _COMPLEX.items()}


def real_part_dtype(dtype: np.dtype) -> np.dtype:
    return _REAL.get(dtype, dtype)


def complex_of(dtype: np.dtype) -> np.dtype:
    return _COMPLEX.get(dtype, dtype)


def is_complex(x) -> bool:
    return dtypes.issubdtype(get_aval(x).dtype, np.complexfloating)


def no_derivative(name: str) -> Refusal:
    return Refusal(f"Differentiation rule for '{name}' not implemented")


def batch_leading(get: Callable[[], Primitive]):
    """The batching rule: bring the batch dimension of every operand to the front."""

    def batch(axis, args, dims, **params):
        moved = [to_front(x, d, axis.size) for x, d in zip(args, dims, strict=True)]
        p = get()
        out = p.bind(*moved, **params)
        return out, [0] * len(out) if p.multiple_results else 0

    return batch


# ---------------------------------------------------------------------------------------------------------------------
# Formulas, in primitives


def bind(name: str, *args, **params):
    return registry[name].bind(*args, **params)


def mul(x, y):
    return bind("mul", x, y)


def add(x, y):
    return bind("add_any", x, y)


def sub(x, y):
    return bind("sub", x, y)


def matmul(a, b):
    """a b, for stacks of matrices with equal batch dimensions."""
    rank = len(shape_of(a))
    batch = tuple(range(rank - 2))
    return dot_general.bind(
        a, b, dimension_numbers=(((rank - 1,), (rank - 2,)), (batch, batch)), precision=None,
        preferred_element_type=None, out_sharding=None,
    )  # fmt: skip


def T(x):
    rank = len(shape_of(x))
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def conj(x):
    return bind("conj", x, input_dtype=get_aval(x).dtype) if is_complex(x) else x


def H(x):
    return conj(T(x))


def real(x):
    return bind("real", x) if is_complex(x) else x


def as_dtype(x, dtype):
    if get_aval(x).dtype == dtype:
        return x
    return bind("convert_element_type", x, new_dtype=dtype, weak_type=False, sharding=None)


def const(value: np.ndarray, like):
    """A constant matrix repeated over the batch dimensions of ``like``, in its dtype."""
    aval = get_aval(like)
    shape = (*aval.shape[:-2], *value.shape)
    if isinstance(value, np.ndarray) and value.dtype != np.bool_:
        value = value.astype(aval.dtype)
    return broadcast_in_dim(value, shape, (len(shape) - 2, len(shape) - 1)) if len(shape) > 2 else value


def masked(x, mask: np.ndarray):
    """x where the matrix ``mask`` is true, else 0."""
    aval = get_aval(x)
    return bind("select_n", const(mask, x), zeros(aval), x)


def triangle(x, k: int):
    """Where a matrix of the shape of those in ``x`` is on or below its ``k``-th diagonal."""
    m, n = shape_of(x)[-2:]
    if not is_symbolic_shape((m, n)):
        return np.tri(m, n, k, dtype=bool)
    rows, columns = (bind("iota", dtype=np.dtype(np.int32), shape=(m, n), dimension=d, sharding=None) for d in (0, 1))
    return bind("ge", rows, bind("sub", columns, np.int32(k)))


def tril(x, k: int = 0):
    return masked(x, triangle(x, k))


def triu(x, k: int = 0):
    lower = triangle(x, k - 1)
    return masked(x, ~lower if isinstance(lower, np.ndarray) else bind("not", lower))


def diagonal(x):
    """The diagonal of square matrices, ``[..., n]``."""
    n = shape_of(x)[-1]
    rank = len(shape_of(x))
    return bind("reduce_sum", masked(x, np.eye(n, dtype=bool)), axes=(rank - 1,), out_sharding=None)


def along_rows(v, like):
    """``v[..., j]`` as matrices whose column j is v_j everywhere."""
    shape = shape_of(like)
    return broadcast_in_dim(v, shape, (*range(len(shape) - 2), len(shape) - 1))


def along_columns(v, like):
    """``v[..., i]`` as matrices whose row i is v_i everywhere."""
    shape = shape_of(like)
    return broadcast_in_dim(v, shape, tuple(range(len(shape) - 1)))


def part(x, rows: tuple[int, int], columns: tuple[int, int]):
    """A block of every matrix."""
    shape = shape_of(x)
    starts = (*(0 for _ in shape[:-2]), rows[0], columns[0])
    limits = (*shape[:-2], rows[1], columns[1])
    if limits == shape and not any(starts):
        return x
    return bind("slice", x, start_indices=starts, limit_indices=limits, strides=None)


def pad_to(x, m: int, n: int):
    """x in the upper left corner of m by n zeros."""
    shape = shape_of(x)
    if shape[-2:] == (m, n):
        return x
    config = ((0, 0, 0),) * (len(shape) - 2) + ((0, m - shape[-2], 0), (0, n - shape[-1], 0))
    return bind("pad", x, np.zeros((), get_aval(x).dtype)[()], padding_config=config)


def eye_below(m: int, start: int) -> np.ndarray:
    """The m by m matrix with ones on the diagonal from ``start`` on."""
    return np.diag((np.arange(m) >= start).astype(np.float32))


# ---------------------------------------------------------------------------------------------------------------------
# References


@functools.lru_cache(maxsize=256)
def lapack(routine: str, dtype) -> Callable[..., Any]:
    """A LAPACK or BLAS routine of SciPy for a dtype: ``lapack("getrf", float32)`` is sgetrf."""
    prefix = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}[np.dtype(dtype).name]
    for module in ("scipy.linalg.lapack", "scipy.linalg.blas"):
        found = getattr(importlib.import_module(module), prefix + routine, None)
        if found is not None:
            return found
    raise AttributeError(f"no LAPACK or BLAS routine {prefix}{routine}")


def per_matrix(f: Callable[..., Sequence[np.ndarray]], arrays: Sequence[np.ndarray], ranks: Sequence[int], avals):
    """Apply ``f`` to the operands of every batch index and collect its results.

    Args:
      ranks: how many trailing dimensions of each operand ``f`` gets.
      avals: (shape, dtype) of each result, batch dimensions included.
    """
    batch = arrays[0].shape[: arrays[0].ndim - ranks[0]]
    outs = [np.empty(shape, dtype) for shape, dtype in avals]
    for index in np.ndindex(*batch):
        for out, value in zip(outs, f(*(x[index] for x in arrays)), strict=True):
            out[index] = value
    return outs


def nan_like(dtype):
    return (
        np.asarray(np.nan).astype(dtype) if np.dtype(dtype).kind == "f" else np.asarray(complex(np.nan, np.nan), dtype)
    )
