"""``dot_general``: the product of two arrays over contracting and batch dimensions; every matrix product is one.

``dimension_numbers`` is ``((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))``. With batch dimensions b, free
dimensions m of lhs and n of rhs, and contracting dimensions k, the result has dimensions (b, m, n), in this order:

    out[b, m, n] = sum_k lhs[b, m, k] rhs[b, n, k]

Products and sums are computed in float32 or wider and rounded once to the result's dtype. Integers wrap at the width of
the result.
"""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.notation import Notation
from addax.core.promotion import result_type_of
from addax.ops.convert import convert_reference
from addax.ops.precision import product_dtype
from addax.ops.rules import ANY, Zero, convert, is_linear, primitive, registry, shape_of, transpose
from addax.ops.shape import past

Dims = tuple[int, ...]
DimensionNumbers = tuple[tuple[Dims, Dims], tuple[Dims, Dims]]


def free_dims(rank: int, *taken: Dims) -> Dims:
    """Dimensions that are neither contracted nor batched."""
    used = {d for dims in taken for d in dims}
    return tuple(d for d in range(rank) if d not in used)


def _check_side(name: str, operand: ShapedArray, contracting: Dims, batch: Dims) -> None:
    for what, dims in (("contracting", contracting), ("batch", batch)):
        if len(set(dims)) != len(dims):
            raise TypeError(f"dot_general requires {name} {what} dimensions to be distinct, got {name}_{what} {dims}.")
    if not all(0 <= d < operand.ndim for d in (*batch, *contracting)):
        raise TypeError(
            f"dot_general requires {name} dimension numbers to be nonnegative and less than the number of axes of the "
            f"{name} value, got {name}_batch of {batch} and {name}_contracting of {contracting} for {name} of rank "
            f"{operand.ndim}"
        )
    if set(batch) & set(contracting):
        raise TypeError(
            f"dot_general requires {name} batch dimensions to be disjoint from contracting dimensions, got "
            f"{name}_batch {batch} and {name}_contracting {contracting}."
        )


def _result_dtype(lhs: ShapedArray, rhs: ShapedArray, preferred) -> tuple:
    for i, x in enumerate((lhs, rhs)):
        if not any(dtypes.issubdtype(x.dtype, kind) for kind in ANY):
            raise TypeError(
                f"dot_general does not accept dtype {dtypes.dtype_name(x.dtype)} at position {i}. Accepted dtypes are "
                "numbers and bool."
            )
    if lhs.dtype == rhs.dtype:
        dtype, weak = lhs.dtype, lhs.weak_type and rhs.weak_type
    else:
        dtype, weak = _promote(lhs, rhs)
    if preferred is None:
        return dtype, weak
    check_preferred(dtype, preferred)
    return preferred, False


def _rank(dtype) -> tuple:
    """Orders dtypes: by kind, then width; bfloat16 above float16, signed above unsigned, e5m2 above e4m3."""
    kind = [dtypes.issubdtype(dtype, k) for k in (np.bool_, np.integer, np.floating, np.complexfloating)].index(True)
    if kind == 1:
        return kind, dtypes.itemsize_bits(dtype), dtypes.issubdtype(dtype, np.signedinteger)
    return kind, dtypes.itemsize_bits(dtype), kind == 2 and dtypes.finfo(dtype).nexp


def _promote(lhs: ShapedArray, rhs: ShapedArray) -> tuple:
    """The common dtype of operands that differ: that of one of them, unlike in arithmetic (as JAX has it)."""
    if lhs.weak_type or rhs.weak_type:
        return result_type_of(((lhs.dtype, lhs.weak_type), (rhs.dtype, rhs.weak_type)))
    return max(lhs.dtype, rhs.dtype, key=_rank), False


def check_preferred(dtype, preferred) -> None:
    """Integers must keep their width, complex numbers the width of their parts; floats may be rounded to any dtype."""
    if dtypes.issubdtype(dtype, np.floating):
        return
    bits = [
        dtypes.itemsize_bits(d) // (2 if dtypes.issubdtype(d, np.complexfloating) else 1) if d != np.bool_ else 1
        for d in (dtype, preferred)
    ]
    if bits[1] < bits[0]:
        raise TypeError(
            "`preferred_element_type` must not be narrower than the original type, got preferred_element_type of "
            f"{dtypes.dtype_name(preferred)} for result type of {dtypes.dtype_name(dtype)}."
        )


def _dot_type(lhs, rhs, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    _check_side("lhs", lhs, lhs_contracting, lhs_batch)
    _check_side("rhs", rhs, rhs_contracting, rhs_batch)
    sizes = [tuple(x.shape[d] for d in dims) for x, dims in ((lhs, lhs_batch), (rhs, rhs_batch))]
    if sizes[0] != sizes[1]:
        raise TypeError(
            "dot_general requires lhs batch dimensions and rhs batch dimensions to have the same shape, got "
            f"{sizes[0]} and {sizes[1]}."
        )
    summed = [tuple(x.shape[d] for d in dims) for x, dims in ((lhs, lhs_contracting), (rhs, rhs_contracting))]
    if summed[0] != summed[1]:
        raise TypeError(
            f"dot_general requires contracting dimensions to have the same shape, got {summed[0]} and {summed[1]}."
        )
    dtype, weak = _result_dtype(lhs, rhs, preferred_element_type)
    m = tuple(lhs.shape[d] for d in free_dims(lhs.ndim, lhs_contracting, lhs_batch))
    n = tuple(rhs.shape[d] for d in free_dims(rhs.ndim, rhs_contracting, rhs_batch))
    return ShapedArray(sizes[0] + m + n, dtype, weak, lhs.vma | rhs.vma)


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives: bilinear


def _dot_jvp(primals, tangents, **params):
    lhs, rhs = primals
    t_lhs, t_rhs = tangents
    out = dot_general.bind(lhs, rhs, **params)
    total = None
    if type(t_lhs) is not Zero:
        total = dot_general.bind(t_lhs, rhs, **params)
    if type(t_rhs) is not Zero:
        term = dot_general.bind(lhs, t_rhs, **params)
        total = term if total is None else registry["add_any"].bind(total, term)
    return out, Zero.of(out) if total is None else total


def _transpose_lhs(ct, lhs: ShapedArray, rhs, dims, precision, preferred, swap: bool):
    """The cotangent of ``lhs``: contract ``ct`` with ``rhs`` over rhs's free dimensions, then put dimensions in order.

    With ``swap``, ct has rhs's free dimensions before those of lhs: the two have traded names.
    """
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dims
    rhs_rank = len(shape_of(rhs))
    lhs_free = free_dims(lhs.ndim, lhs_contracting, lhs_batch)
    rhs_free = free_dims(rhs_rank, rhs_contracting, rhs_batch)
    n_batch = len(lhs_batch)
    start = n_batch if swap else n_batch + len(lhs_free)
    ct_rhs_free = tuple(range(start, start + len(rhs_free)))
    out = dot_general.bind(
        ct,
        rhs,
        dimension_numbers=((ct_rhs_free, rhs_free), (tuple(range(n_batch)), rhs_batch)),
        precision=precision,
        preferred_element_type=preferred,
        out_sharding=None,
    )
    # The result has dimensions (batch, lhs_free, contracting), the last in the order rhs has them.
    contracted = [lhs_contracting[i] for i in np.argsort(rhs_contracting)]
    order = [*lhs_batch, *lhs_free, *contracted]
    return convert(transpose(out, np.argsort(order).tolist()), lhs.dtype)


def _swap_precision(precision):
    return precision[::-1] if type(precision) is tuple else precision


def _dot_transpose(ct, lhs, rhs, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    if is_linear(lhs):
        result = _transpose_lhs(ct, lhs.aval, rhs, dimension_numbers, precision, preferred_element_type, swap=False)
        return [result, None]
    swapped = ((rhs_contracting, lhs_contracting), (rhs_batch, lhs_batch))
    result = _transpose_lhs(ct, rhs.aval, lhs, swapped, _swap_precision(precision), preferred_element_type, swap=True)
    return [None, result]


# ---------------------------------------------------------------------------------------------------------------------
# Batching: a dimension that both operands have is a batch dimension, one that only one has a free dimension


def batch_dot_dims(ranks: tuple[int, int], dims: tuple[int | None, int | None], numbers: DimensionNumbers):
    """Dimension numbers of the batched product, and the position of the batch dimension in its result.

    Args:
      ranks: of the operands as batched.
      dims: their batch dimensions.
    """
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = numbers
    lhs_dim, rhs_dim = dims

    def shift(ds: Dims, bdim: int | None) -> Dims:
        return ds if bdim is None else tuple(past(d, bdim) for d in ds)

    contracting = (shift(lhs_contracting, lhs_dim), shift(rhs_contracting, rhs_dim))
    lhs_batch, rhs_batch = shift(lhs_batch, lhs_dim), shift(rhs_batch, rhs_dim)
    if lhs_dim is not None and rhs_dim is not None:
        return (contracting, ((lhs_dim, *lhs_batch), (rhs_dim, *rhs_batch))), 0
    lhs_free = free_dims(ranks[0], contracting[0], lhs_batch)
    if lhs_dim is not None:
        position = len(lhs_batch) + lhs_free.index(lhs_dim)
    else:
        rhs_free = free_dims(ranks[1], contracting[1], rhs_batch)
        position = len(lhs_batch) + len(lhs_free) + rhs_free.index(rhs_dim)
    return (contracting, (lhs_batch, rhs_batch)), position


def _dot_batch(axis, args, dims, *, dimension_numbers, **params):
    ranks = len(shape_of(args[0])), len(shape_of(args[1]))
    numbers, position = batch_dot_dims(ranks, tuple(dims), dimension_numbers)
    return dot_general.bind(*args, dimension_numbers=numbers, **params), position


# ---------------------------------------------------------------------------------------------------------------------
# Reference


def _dot_reference(lhs, rhs, *, dimension_numbers, precision, preferred_element_type, out_sharding):
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    lhs_aval, rhs_aval = (ShapedArray(x.shape, x.dtype) for x in (lhs, rhs))
    dtype = _result_dtype(lhs_aval, rhs_aval, preferred_element_type)[0]
    lhs_free = free_dims(lhs.ndim, lhs_contracting, lhs_batch)
    rhs_free = free_dims(rhs.ndim, rhs_contracting, rhs_batch)
    batch = tuple(lhs.shape[d] for d in lhs_batch)
    m, n = tuple(lhs.shape[d] for d in lhs_free), tuple(rhs.shape[d] for d in rhs_free)
    k = math.prod(lhs.shape[d] for d in lhs_contracting)
    a = np.transpose(lhs, (*lhs_batch, *lhs_free, *lhs_contracting)).reshape(*batch, math.prod(m), k)
    b = np.transpose(rhs, (*rhs_batch, *rhs_contracting, *rhs_free)).reshape(*batch, k, math.prod(n))
    out = np.reshape(matmul(a, b, dtype), (*batch, *m, *n))
    return out


def matmul(a: np.ndarray, b: np.ndarray, dtype) -> np.ndarray:
    """``a @ b`` as ``dtype``: computed in `product_dtype` and converted once; a product of booleans is or of ands."""
    if dtype == np.bool_:
        return np.matmul(a.astype(np.float32), b.astype(np.float32)) != 0
    wide = product_dtype(a.dtype, b.dtype, dtype)
    if dtypes.issubdtype(dtype, np.integer) and dtypes.issubdtype(wide, np.integer) and wide != dtype:
        wide = wide if dtypes.itemsize_bits(dtype) < 32 else np.dtype(dtype)
    with np.errstate(all="ignore"):
        out = np.matmul(a.astype(wide, copy=False), b.astype(wide, copy=False))
    return out if out.dtype == dtype else convert_reference(out, new_dtype=dtype)


dot_general = primitive(
    "dot_general", _dot_type, jvp=_dot_jvp, transpose=_dot_transpose, batch=_dot_batch, reference=_dot_reference
)


def _write_numbers(numbers: DimensionNumbers) -> str:
    return str(tuple(tuple(map(list, pair)) for pair in numbers))


def _read_numbers(numbers) -> DimensionNumbers:
    (a, b), (c, d) = (tuple(map(tuple, pair)) for pair in numbers)
    return (a, b), (c, d)


dot_general.notation = Notation(
    omit={"precision": None, "preferred_element_type": None, "out_sharding": None},
    spelled={"dimension_numbers": (_write_numbers, _read_numbers)},
)

__all__ = ["DimensionNumbers", "batch_dot_dims", "dot_general", "free_dims", "matmul"]
