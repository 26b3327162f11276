"""``conv_general_dilated``: convolution (correlation, strictly) with strides, padding, dilation and groups.

In the order batch N, features C, then space, for the operand (lhs), and O, I, space for the kernel (rhs):

    out[n, o, p] = sum_{i, k} lhs[n, i, p * stride + k * rhs_dilation - low] rhs[o, i, k]

where lhs is first spread by ``lhs_dilation`` (zeros between its elements) and is 0 outside. ``ConvDimensionNumbers``
says where each of these dimensions stands. With feature groups, group g of the outputs O sees only group g of the
features C; with batch groups, only group g of the batch, and the batch of the result is that much smaller.

Convolution is bilinear, and both of its transposes are convolutions again: see `_transpose_lhs` and `_transpose_rhs`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.notation import register_param_type
from addax.ops.dot import check_preferred, matmul
from addax.ops.rules import (
    NUMERIC,
    Zero,
    convert,
    is_linear,
    move_axis,
    primitive,
    registry,
    reshape,
    shape_of,
    zeros,
)

Dims = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


@register_param_type
class ConvDimensionNumbers(NamedTuple):
    """Where the dimensions of a convolution stand.

    Attributes:
      lhs_spec: positions in the operand of (batch, features, *space).
      rhs_spec: positions in the kernel of (output features, input features, *space).
      out_spec: positions in the result of (batch, features, *space).
    """

    lhs_spec: Dims
    rhs_spec: Dims
    out_spec: Dims


def dilated(n: int, dilation: int) -> int:
    """Size of ``n`` elements spread ``dilation`` apart."""
    return 0 if n == 0 else (n - 1) * dilation + 1


def window_count(size: int, window: int, stride: int) -> int:
    """How many windows fit into ``size`` elements."""
    return max((size - window) // stride + 1, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Type


def _check_groups(lhs: Dims, rhs: Dims, features: int, batches: int) -> None:
    """Group counts against shapes in the order (N, C, ...) and (O, I, ...)."""
    name = "conv_general_dilated"
    for what, count in (("feature_group_count", features), ("batch_group_count", batches)):
        if count <= 0:
            raise ValueError(f"{name} {what} must be a positive integer, got {count}.")
    if features > 1 and batches > 1:
        raise ValueError(
            f"At most one of batch_group_count and feature_group_count may be > 1, got {batches} and {features}."
        )
    if lhs[1] % features:
        raise ValueError(
            f"{name} feature_group_count must divide lhs feature dimension size, but {features} does not divide "
            f"{lhs[1]}."
        )
    if lhs[1] // features != rhs[1]:
        raise ValueError(
            f"{name} lhs feature dimension size divided by feature_group_count must equal the rhs input feature "
            f"dimension size, but {lhs[1]} // {features} != {rhs[1]}."
        )
    if lhs[0] % batches:
        raise ValueError(
            f"{name} batch_group_count must divide lhs batch dimension size, but {batches} does not divide {lhs[0]}."
        )
    for what, count in (("feature_group_count", features), ("batch_group_count", batches)):
        if rhs[0] % count:
            raise ValueError(
                f"{name} rhs output feature dimension size must be a multiple of {what}, but {rhs[0]} is not a "
                f"multiple of {count}."
            )


def _conv_type(
    lhs, rhs, *, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
    batch_group_count, precision, preferred_element_type, out_sharding,
):  # fmt: skip
    name = "conv_general_dilated"
    if lhs.ndim != rhs.ndim:
        raise TypeError(f"convolution requires lhs and rhs ndim to be equal, got {lhs.ndim} and {rhs.ndim}.")
    if lhs.dtype != rhs.dtype:
        raise TypeError(
            f"lax.{name} requires arguments to have the same dtypes, got {dtypes.dtype_name(lhs.dtype)}, "
            f"{dtypes.dtype_name(rhs.dtype)}."
        )
    if not any(dtypes.issubdtype(lhs.dtype, kind) for kind in NUMERIC):
        raise TypeError(f"{name} does not accept dtype {dtypes.dtype_name(lhs.dtype)}: it takes numbers.")
    spatial = lhs.ndim - 2
    for what, values in (
        ("window_strides", window_strides), ("lhs_dilation", lhs_dilation), ("rhs_dilation", rhs_dilation),
        ("padding", padding),
    ):  # fmt: skip
        if len(values) != spatial:
            raise ValueError(
                f"{name} window and {what} must have the same number of dimensions, but got {spatial} and {len(values)}"
            )
        if what != "padding" and any(v <= 0 for v in values):
            raise TypeError(f"{name} {what} must be positive, got {values}.")
    numbers = dimension_numbers
    lhs_shape = tuple(lhs.shape[d] for d in numbers.lhs_spec)
    rhs_shape = tuple(rhs.shape[d] for d in numbers.rhs_spec)
    _check_groups(lhs_shape, rhs_shape, feature_group_count, batch_group_count)
    space = []
    for n, k, stride, (low, high), spread, gap in zip(
        lhs_shape[2:], rhs_shape[2:], window_strides, padding, lhs_dilation, rhs_dilation, strict=True
    ):
        space.append(window_count(dilated(n, spread) + low + high, dilated(k, gap), stride))
    shape = [0] * lhs.ndim
    for d, n in zip(numbers.out_spec, (lhs_shape[0] // batch_group_count, rhs_shape[0], *space), strict=True):
        shape[d] = n
    if preferred_element_type is None:
        return ShapedArray(tuple(shape), lhs.dtype, lhs.weak_type and rhs.weak_type, lhs.vma | rhs.vma)
    check_preferred(lhs.dtype, preferred_element_type)
    return ShapedArray(tuple(shape), preferred_element_type, False, lhs.vma | rhs.vma)


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives


def _conv_jvp(primals, tangents, **params):
    lhs, rhs = primals
    t_lhs, t_rhs = tangents
    out = conv_general_dilated.bind(lhs, rhs, **params)
    terms = []
    if type(t_lhs) is not Zero:
        terms.append(conv_general_dilated.bind(t_lhs, rhs, **params))
    if type(t_rhs) is not Zero:
        terms.append(conv_general_dilated.bind(lhs, t_rhs, **params))
    if not terms:
        return out, Zero.of(out)
    return out, terms[0] if len(terms) == 1 else registry["add_any"].bind(*terms)


def _sizes(shape: Dims, spec: Dims) -> Dims:
    return tuple(shape[d] for d in spec[2:])


def _split_dim(x, d: int, groups: int):
    """Dimension ``d`` of size n as two, (groups, n // groups)."""
    shape = shape_of(x)
    return reshape(x, (*shape[:d], groups, shape[d] // groups, *shape[d + 1 :]))


def _merge_dims(x, d: int):
    """Dimensions ``d`` and ``d + 1`` as one."""
    shape = shape_of(x)
    return reshape(x, (*shape[:d], shape[d] * shape[d + 1], *shape[d + 2 :]))


def _regroup(x, source: int, target: int, groups: int):
    """Take the group index off the front of dimension ``source`` and put it on the front of ``target``."""
    x = _split_dim(x, source, groups)
    return _merge_dims(move_axis(x, source, target), target)  # target, where it stands without the group index


def _transpose_lhs(ct, lhs: ShapedArray, rhs, p: dict[str, Any]):
    """Scatter ``ct`` back along the kernel: a convolution of ct, spread by the strides, with the kernel reversed and
    its two feature dimensions exchanged."""
    numbers = p["dimension_numbers"]
    lhs_spec, rhs_spec, out_spec = numbers
    features, batches = p["feature_group_count"], p["batch_group_count"]
    groups = features if features > 1 else batches
    n, k, m = _sizes(lhs.shape, lhs_spec), _sizes(shape_of(rhs), rhs_spec), _sizes(shape_of(ct), out_spec)
    padding = []
    for i, (low, _) in enumerate(p["padding"]):
        kernel = dilated(k[i], p["rhs_dilation"][i])
        before = kernel - 1 - low
        after = (n[i] - 1) * p["lhs_dilation"][i] + kernel - dilated(m[i], p["window_strides"][i]) - before
        padding.append((before, after))
    if groups > 1:
        rhs = _regroup(rhs, rhs_spec[0], rhs_spec[1], groups)
    rhs = registry["rev"].bind(rhs, dimensions=tuple(rhs_spec[2:]))
    out = conv_general_dilated.bind(
        ct,
        rhs,
        **(
            p
            | {
                "window_strides": p["lhs_dilation"],
                "padding": tuple(padding),
                "lhs_dilation": p["window_strides"],
                "dimension_numbers": ConvDimensionNumbers(
                    out_spec, (rhs_spec[1], rhs_spec[0], *rhs_spec[2:]), lhs_spec
                ),
                "feature_group_count": groups,
                "batch_group_count": 1,
            }
        ),
    )
    if batches > 1:
        out = _regroup(out, lhs_spec[1], lhs_spec[0], batches)
    return convert(out, lhs.dtype)


def _transpose_rhs(ct, lhs, rhs: ShapedArray, p: dict[str, Any]):
    """Correlate lhs with ``ct``: a convolution over the batch, with ct as a kernel dilated by the strides."""
    lhs_spec, rhs_spec, out_spec = p["dimension_numbers"]
    n, k, m = _sizes(shape_of(lhs), lhs_spec), _sizes(rhs.shape, rhs_spec), _sizes(shape_of(ct), out_spec)
    padding = []
    for i, (low, _) in enumerate(p["padding"]):
        window = dilated(m[i], p["window_strides"][i])
        high = (k[i] - 1) * p["rhs_dilation"][i] + window - dilated(n[i], p["lhs_dilation"][i]) - low
        padding.append((low, high))
    out = conv_general_dilated.bind(
        lhs,
        ct,
        **(
            p
            | {
                "window_strides": p["rhs_dilation"],
                "padding": tuple(padding),
                "rhs_dilation": p["window_strides"],
                "dimension_numbers": ConvDimensionNumbers(
                    (lhs_spec[1], lhs_spec[0], *lhs_spec[2:]),
                    (out_spec[1], out_spec[0], *out_spec[2:]),
                    (rhs_spec[1], rhs_spec[0], *rhs_spec[2:]),
                ),
                "feature_group_count": p["batch_group_count"],
                "batch_group_count": p["feature_group_count"],
            }
        ),
    )
    return convert(out, rhs.dtype)


def _conv_transpose(ct, lhs, rhs, **params):
    known = lhs if is_linear(rhs) else rhs
    linear = rhs.aval if is_linear(rhs) else lhs.aval
    if 0 in shape_of(ct) or 0 in linear.shape or 0 in shape_of(known):
        result = zeros(linear)
    else:
        if dtypes.dtype_name(ct.dtype) != dtypes.dtype_name(known.dtype):  # preferred_element_type was given
            wide = ct.dtype if dtypes.itemsize_bits(ct.dtype) > dtypes.itemsize_bits(known.dtype) else known.dtype
            ct, known = convert(ct, wide), convert(known, wide)
        params["preferred_element_type"] = None
        if is_linear(lhs):
            result = _transpose_lhs(ct, linear, known, params)
        else:
            result = _transpose_rhs(ct, known, linear, params)
    return [result, None] if is_linear(lhs) else [None, result]


# ---------------------------------------------------------------------------------------------------------------------
# Batching: a batch of operands joins the batch, a batch of kernels the output features, a batch of both the groups


def _merge_batch(x, bdim: int, target: int, groups: int = 1):
    """The batch dimension moved into dimension ``target`` of an example, inside of its group index."""
    x = move_axis(x, bdim, target)
    if groups > 1:
        x = move_axis(_split_dim(x, target + 1, groups), target, target + 1)
        return _merge_dims(_merge_dims(x, target + 1), target)
    return _merge_dims(x, target)


def _split_batch(out, d: int, size: int, groups: int = 1):
    """Undo `_merge_batch` on dimension ``d`` of the result: ``(out, bdim)``."""
    if groups == 1:
        return _split_dim(out, d, size), d
    out = _split_dim(_split_dim(out, d, groups), d + 1, size)  # (groups, batch, rest)
    return _merge_dims(move_axis(out, d + 1, d), d + 1), d


def _conv_batch(axis, args, dims, **params):
    lhs, rhs = args
    lhs_dim, rhs_dim = dims
    lhs_spec, rhs_spec, out_spec = params["dimension_numbers"]
    features, batches = params["feature_group_count"], params["batch_group_count"]
    if rhs_dim is None:
        lhs = _merge_batch(lhs, lhs_dim, lhs_spec[0], batches)
        return _split_batch(conv_general_dilated.bind(lhs, rhs, **params), out_spec[0], axis.size)
    if lhs_dim is None:
        groups = max(features, batches)
        rhs = _merge_batch(rhs, rhs_dim, rhs_spec[0], groups)
        return _split_batch(conv_general_dilated.bind(lhs, rhs, **params), out_spec[1], axis.size, groups)
    rhs = _merge_batch(rhs, rhs_dim, rhs_spec[0])
    if batches > 1:
        lhs = _merge_batch(lhs, lhs_dim, lhs_spec[0])
        params["batch_group_count"] = axis.size * batches
    else:
        lhs = _merge_batch(lhs, lhs_dim, lhs_spec[1])
        params["feature_group_count"] = axis.size * features
    return _split_batch(conv_general_dilated.bind(lhs, rhs, **params), out_spec[1], axis.size)


# ---------------------------------------------------------------------------------------------------------------------
# Reference: patches of the operand times the kernel, as matrices

_PATCH_BYTES = 1 << 25  # patches are made for as many examples at a time as fit into this


def _conv_reference(
    lhs, rhs, *, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
    batch_group_count, precision, preferred_element_type, out_sharding,
):  # fmt: skip
    dtype = np.dtype(preferred_element_type or lhs.dtype)
    x, kernel = np.transpose(lhs, dimension_numbers.lhs_spec), np.transpose(rhs, dimension_numbers.rhs_spec)
    config = [(0, 0, 0)] * 2 + [(low, high, s - 1) for (low, high), s in zip(padding, lhs_dilation, strict=True)]
    x = registry["pad"].reference(x, np.zeros((), x.dtype), padding_config=tuple(config))
    batches, groups = batch_group_count, feature_group_count
    if batches > 1:  # group index of the batch to the features: (B n) C -> n (B C)
        x = np.moveaxis(x.reshape(batches, x.shape[0] // batches, *x.shape[1:]), 0, 1)
        x = x.reshape(x.shape[0], -1, *x.shape[3:])
        groups = batches
    n, spatial = x.shape[0], x.shape[2:]
    outputs, inputs, window = kernel.shape[0], kernel.shape[1], kernel.shape[2:]
    space = tuple(
        window_count(size, dilated(k, gap), stride)
        for size, k, gap, stride in zip(spatial, window, rhs_dilation, window_strides, strict=True)
    )
    out = np.empty((n, outputs, *space), dtype)
    if out.size and inputs * math.prod(window) == 0:
        out[...] = 0
    elif out.size:
        x = np.ascontiguousarray(x).reshape(n, groups, inputs, *spatial)
        matrix = kernel.reshape(groups, outputs // groups, inputs * math.prod(window))
        row = groups * inputs * math.prod(window) * math.prod(space) * x.itemsize
        step = max(1, _PATCH_BYTES // row)
        for start in range(0, n, step):
            out[start : start + step] = _multiply_patches(
                x[start : start + step], matrix, dtype, window, space, window_strides, rhs_dilation
            )
    return np.transpose(out, np.argsort(dimension_numbers.out_spec))


def _multiply_patches(x, matrix, dtype, window, space, strides, dilation):
    """``x``: [n, groups, inputs, *space in]; ``matrix``: [groups, outputs per group, inputs * window]."""
    n, groups = x.shape[:2]
    rank = len(window)
    steps = x.strides[3:]
    patches = np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:3], *window, *space),
        (
            *x.strides[:3],
            *(s * d for s, d in zip(steps, dilation, strict=True)),
            *(s * d for s, d in zip(steps, strides, strict=True)),
        ),
        writeable=False,
    )
    columns = patches.reshape(n, groups, x.shape[2] * math.prod(window), math.prod(space)) if rank else x
    out = matmul(matrix, columns.reshape(n, groups, -1, math.prod(space)), dtype)
    return out.reshape(n, groups * matrix.shape[1], *space)


conv_general_dilated = primitive(
    "conv_general_dilated",
    _conv_type,
    jvp=_conv_jvp,
    transpose=_conv_transpose,
    batch=_conv_batch,
    reference=_conv_reference,
)

__all__ = ["ConvDimensionNumbers", "conv_general_dilated", "dilated", "window_count"]
