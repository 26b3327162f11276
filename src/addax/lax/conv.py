"""Convolutions: `conv_general_dilated`, its short forms, the transposed and the unshared one, and their shape rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.avals import get_aval
from addax.lax.arguments import aval_of, integer, integers, operand as _operand
from addax.lax.dot import dot_general, preferred_dtype
from addax.lax.sharding import place
from addax.lax.windows import padding_pairs, padtype_to_pads
from addax.ops import conv as _conv
from addax.ops.conv import ConvDimensionNumbers as ConvDimensionNumbers, dilated, window_count
from addax.ops.precision import PrecisionLike, canonicalize_precision
from addax.ops.rules import registry

Array = Any
ConvGeneralDilatedDimensionNumbers = None | ConvDimensionNumbers | tuple[str, str, str]


# ---------------------------------------------------------------------------------------------------------------------
# Dimension numbers


def conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers) -> ConvDimensionNumbers:
    """Dimension numbers as positions, from the strings users write.

    Args:
      lhs_shape, rhs_shape: of the operand and the kernel.
      dimension_numbers: a triple of strings for operand, kernel and result, such as ``("NHWC", "HWIO", "NHWC")``: N
        the batch, C the features, O and I the output and input features, every other letter a spatial dimension. None
        means ``("NCHW", "OIHW", "NCHW")`` for any number of spatial dimensions.

    Raises:
      TypeError: if the ranks differ, or a string misses a letter or has one twice.

    >>> from addax import lax
    >>> lax.conv_dimension_numbers((1, 8, 8, 3), (3, 3, 3, 4), ("NHWC", "HWIO", "NHWC")).lhs_spec
    (0, 3, 1, 2)
    """
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    if len(lhs_shape) != len(rhs_shape):
        raise TypeError(
            f"convolution requires lhs and rhs ndim to be equal, got {len(lhs_shape)} and {len(rhs_shape)}."
        )
    if dimension_numbers is None:
        order = tuple(range(len(lhs_shape)))
        return ConvDimensionNumbers(order, order, order)
    if not isinstance(dimension_numbers, (list, tuple)):
        raise TypeError(f"convolution dimension_numbers must be tuple/list or None, got {type(dimension_numbers)}.")
    if len(dimension_numbers) != 3:
        raise TypeError(f"convolution dimension_numbers list/tuple must be length 3, got {len(dimension_numbers)}.")
    if not all(isinstance(s, str) for s in dimension_numbers):
        raise TypeError(
            f"convolution dimension_numbers elements must be strings, got {tuple(map(type, dimension_numbers))}."
        )
    for i, spec in enumerate(dimension_numbers):
        if len(spec) != len(lhs_shape):
            raise TypeError(
                f"convolution dimension_numbers[{i}] must have len equal to the ndim of lhs and rhs, got {spec} for "
                f"lhs and rhs shapes {tuple(lhs_shape)} and {tuple(rhs_shape)}."
            )
    return ConvDimensionNumbers(*conv_general_permutations(dimension_numbers))


def conv_general_permutations(dimension_numbers) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Where each string of dimension numbers has its batch or output, feature or input, and spatial dimensions.

    Spatial dimensions come in the order of the kernel's string.

    Raises:
      TypeError: if letters are missing, duplicate, or differ between the strings.
    """
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    for i, (spec, first, second) in enumerate(((lhs_spec, "N", "C"), (rhs_spec, "O", "I"), (out_spec, "N", "C"))):
        if spec.count(first) != 1 or spec.count(second) != 1:
            raise TypeError(
                f"convolution dimension_numbers[{i}] must contain the characters '{first}' and '{second}' exactly "
                f"once, got {spec}."
            )
        if len(set(spec)) != len(spec):
            raise TypeError(f"convolution dimension_numbers[{i}] cannot have duplicate characters, got {spec}.")
    spatial = [c for c in rhs_spec if c not in "OI"]
    if not set(lhs_spec) - set("NC") == set(spatial) == set(out_spec) - set("NC"):
        raise TypeError(
            "convolution dimension_numbers elements must each have the same set of spatial characters, got "
            f"{tuple(dimension_numbers)}."
        )
    return tuple(
        tuple(spec.index(c) for c in (first, second, *spatial))
        for spec, first, second in ((lhs_spec, "N", "C"), (rhs_spec, "O", "I"), (out_spec, "N", "C"))
    )  # type: ignore[return-value]


# ---------------------------------------------------------------------------------------------------------------------
# Convolutions


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    out_sharding=None,
) -> Array:
    """Convolution (without reversing the kernel) in any number of dimensions.

        out[n, o, p] = sum_{i, k} lhs[n, i, p * stride + k * rhs_dilation - low] rhs[o, i, k]

    Args:
      lhs: the operand, ``[batch, features, *space]`` in the order ``dimension_numbers`` says.
      rhs: the kernel, ``[output features, input features, *space]`` likewise, of the same dtype.
      window_strides: distance between windows, per spatial dimension.
      padding: ``"SAME"``, ``"SAME_LOWER"``, ``"VALID"``, or a (low, high) pair per spatial dimension, also negative.
      lhs_dilation: zeros are put between elements of lhs so that they stand this far apart.
      rhs_dilation: the same for the kernel ("atrous" convolution).
      dimension_numbers: see `conv_dimension_numbers`.
      feature_group_count: the features, and the outputs, are split into this many groups that do not see each other;
        as many as there are features is a depthwise convolution.
      batch_group_count: the same for the batch.
      precision: see `Precision`.
      preferred_element_type: the dtype of the result.

    Returns:
      ``[batch, output features, *space]`` in the order ``dimension_numbers`` says.

    Raises:
      TypeError: if ranks or dtypes differ.
      ValueError: if features do not match, with both numbers.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> x, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 16))
    >>> lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).shape
    (1, 4, 4, 16)
    """
    name = "conv_general_dilated"
    if out_sharding is not None:
        out = conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
            batch_group_count, precision, preferred_element_type,
        )  # fmt: skip
        return place(out, out_sharding)
    lhs, rhs = _operand(name, lhs, 0), _operand(name, rhs, 1)
    lhs_shape, rhs_shape = get_aval(lhs).shape, get_aval(rhs).shape
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    rank = len(lhs_shape) - 2
    if rank < 0:
        raise TypeError(f"lax.{name}: operands need batch and feature dimensions, got shapes {lhs_shape}, {rhs_shape}.")
    strides = integers(name, "window_strides", window_strides)
    spread = (1,) * rank if lhs_dilation is None else integers(name, "lhs_dilation", lhs_dilation)
    gaps = (1,) * rank if rhs_dilation is None else integers(name, "rhs_dilation", rhs_dilation)
    if isinstance(padding, str):
        if any(d != 1 for d in spread):
            raise ValueError(
                "String padding is not implemented for transposed convolution using this op. Please either exactly "
                "specify the required padding or use conv_transpose."
            )
        if len(strides) == len(gaps) == rank:
            window = [dilated(rhs_shape[d], gap) for d, gap in zip(numbers.rhs_spec[2:], gaps)]
            padding = padtype_to_pads([lhs_shape[d] for d in numbers.lhs_spec[2:]], window, strides, padding)
        else:
            padding = [(0, 0)] * rank  # the type rule says which count is wrong
    return _conv.conv_general_dilated.bind(
        lhs,
        rhs,
        window_strides=strides,
        padding=padding_pairs(name, padding, rank),
        lhs_dilation=spread,
        rhs_dilation=gaps,
        dimension_numbers=numbers,
        feature_group_count=integer(name, "feature_group_count", feature_group_count),
        batch_group_count=integer(name, "batch_group_count", batch_group_count),
        precision=canonicalize_precision(precision),
        preferred_element_type=preferred_dtype(name, preferred_element_type),
        out_sharding=None,
    )


def conv(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Array:
    """Convolution of ``lhs[N, C, *space]`` with a kernel ``rhs[O, I, *space]``, to ``[N, O, *space]``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.conv(jnp.ones((1, 1, 4)), jnp.ones((1, 1, 3)), (1,), "SAME").tolist()
    [[[2.0, 3.0, 3.0, 2.0]]]
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Array:
    """`conv` with explicit padding and dilation.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.conv_with_general_padding(jnp.ones((1, 1, 4)), jnp.ones((1, 1, 3)), (1,), [(2, 0)], None, None).tolist()
    [[[1.0, 2.0, 3.0, 3.0]]]
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def _transpose_padding(kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Padding of a transposed convolution that undoes the shape of one with this padding.

    The result has n * stride elements for "SAME", and n * stride + max(kernel - stride, 0) for "VALID".
    """
    if padding == "SAME":
        total = kernel + stride - 2
        low = kernel - 1 if stride > kernel - 1 else -(-total // 2)
    elif padding == "VALID":
        total = kernel + stride - 2 + max(kernel - stride, 0)
        low = kernel - 1
    else:
        raise ValueError(f"Padding mode must be `SAME` or `VALID`, got {padding!r}.")
    return low, total - low


def conv_transpose(
    lhs: Array,
    rhs: Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    transpose_kernel: bool = False,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Array:
    """Transposed convolution ("deconvolution"): a convolution of ``lhs`` spread by ``strides``.

    With ``"SAME"`` the result has size * stride elements, with ``"VALID"`` size * stride + max(kernel - stride, 0).

    Args:
      lhs: ``[N, *space, C]`` by default.
      rhs: the kernel, ``[*space, I, O]`` by default.
      strides: how far apart elements of ``lhs`` are put.
      padding: ``"SAME"``, ``"VALID"``, or (low, high) pairs, applied to the spread operand; with
        ``use_consistent_padding`` they are those of the convolution that this is the transpose of.
      rhs_dilation: spread of the kernel.
      dimension_numbers: see `conv_dimension_numbers`; last-feature layouts for 1 to 3 spatial dimensions by default.
      transpose_kernel: reverse the kernel and exchange its features, so that this is the gradient of the convolution
        with the same kernel.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.conv_transpose(jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 16)), (2, 2), "SAME").shape
    (2, 16, 16, 16)
    """
    name = "conv_transpose"
    lhs, rhs = _operand(name, lhs, 0), _operand(name, rhs, 1)
    lhs_shape, rhs_shape = get_aval(lhs).shape, get_aval(rhs).shape
    if len(lhs_shape) != len(rhs_shape) or len(lhs_shape) < 2:
        raise ValueError(
            f"lax.{name}: lhs and rhs must have the same rank, at least 2, got shapes {lhs_shape} and {rhs_shape}."
        )
    rank = len(lhs_shape) - 2
    if dimension_numbers is None:
        if rank > 3:
            raise ValueError("No 4+ dimensional dimension_number defaults: give dimension_numbers.")
        space = ("", "H", "HW", "HWD")[rank]
        dimension_numbers = (f"N{space}C", f"{space}IO", f"N{space}C")
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    strides = integers(name, "strides", strides)
    gaps = (1,) * rank if rhs_dilation is None else integers(name, "rhs_dilation", rhs_dilation)
    kernel = [dilated(rhs_shape[d], gap) for d, gap in zip(numbers.rhs_spec[2:], gaps)]
    if isinstance(padding, str):
        pads: Sequence[tuple[int, int]] = [_transpose_padding(k, s, padding) for k, s in zip(kernel, strides)]
    else:
        pads = padding_pairs(name, padding, rank)
        if use_consistent_padding:
            pads = [(k - 1 - low, k - 1 - high) for k, (low, high) in zip(kernel, pads)]
    if transpose_kernel:
        rhs = registry["rev"].bind(rhs, dimensions=tuple(numbers.rhs_spec[2:]))
        outputs, inputs, *space_dims = numbers.rhs_spec
        numbers = numbers._replace(rhs_spec=(inputs, outputs, *space_dims))
    return conv_general_dilated(
        lhs, rhs, (1,) * rank, pads, strides, gaps, numbers, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Patches, and convolutions whose kernel differs from place to place


def conv_general_dilated_patches(
    lhs: Array,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Array:
    """The windows that a convolution would see, as features ("im2col").

    Args:
      lhs: ``[N, C, *space]``, or as ``dimension_numbers`` says.
      filter_shape: size of the window.

    Returns:
      An array like the result of the convolution, with C * prod(filter_shape) features: for each feature of lhs, the
      elements of the window.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.conv_general_dilated_patches(jnp.arange(4.).reshape(1, 1, 4), (2,), (1,), "VALID").tolist()
    [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]]
    """
    name = "conv_general_dilated_patches"
    lhs = _operand(name, lhs)
    aval = get_aval(lhs)
    window = integers(name, "filter_shape", filter_shape)
    if dimension_numbers is None or isinstance(dimension_numbers, ConvDimensionNumbers):
        numbers = conv_dimension_numbers(aval.shape, aval.shape, dimension_numbers)
    else:
        numbers = conv_dimension_numbers(aval.shape, (1,) * aval.ndim, dimension_numbers)
    features, taps = aval.shape[numbers.lhs_spec[1]], math.prod(window)
    # The kernel that picks element k of the window: 1 there, 0 elsewhere; one for every feature.
    picks = np.tile(np.eye(taps, dtype=aval.dtype).reshape(taps, 1, *window), (features,) + (1,) * (len(window) + 1))
    return conv_general_dilated(
        lhs,
        np.transpose(picks, np.argsort(numbers.rhs_spec)),
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=features,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
) -> Array:
    """A convolution whose kernel is a different one at every position of the result.

    Args:
      lhs: ``[N, C, *space]``.
      rhs: ``[O, C * prod(filter_shape), *space of the result]``.
      filter_shape: size of the window.

    Returns:
      ``[N, O, *space]``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> x, kernels = jnp.ones((1, 1, 4)), jnp.arange(6.).reshape(1, 2, 3)
    >>> lax.conv_general_dilated_local(x, kernels, (1,), "VALID", (2,)).tolist()
    [[[3.0, 5.0, 7.0]]]
    """
    name = "conv_general_dilated_local"
    rhs_shape = aval_of(name, rhs).shape
    numbers = conv_dimension_numbers(aval_of(name, lhs).shape, rhs_shape, dimension_numbers)
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, numbers, precision
    )
    # Positions are a batch: sum over the elements of the window, for each output feature.
    out_spec, rhs_spec = numbers.out_spec, numbers.rhs_spec
    out = dot_general(
        rhs, patches, (((rhs_spec[1],), (out_spec[1],)), (rhs_spec[2:], out_spec[2:])), precision
    )  # [*space, O, N]
    rank = len(rhs_spec) - 2
    order = [0] * (rank + 2)
    for i, d in enumerate(out_spec[2:]):
        order[d] = i
    order[out_spec[0]], order[out_spec[1]] = rank + 1, rank
    return registry["transpose"].bind(out, permutation=tuple(order))


# ---------------------------------------------------------------------------------------------------------------------
# Shapes


def conv_shape_tuple(lhs_shape, rhs_shape, strides, pads, batch_group_count: int = 1) -> tuple[int, ...]:
    """The shape of a convolution of ``[N, C, *space]`` with ``[O, I, *space]``.

    >>> from addax import lax
    >>> lax.conv_shape_tuple((2, 3, 8, 8), (4, 3, 3, 3), (1, 1), "SAME")
    (2, 4, 8, 8)
    """
    if isinstance(pads, str):
        pads = padtype_to_pads(lhs_shape[2:], rhs_shape[2:], strides, pads)
    if len(pads) != len(lhs_shape) - 2:
        expected = len(lhs_shape) - 2
        raise TypeError(f"Wrong number of explicit pads for convolution: expected {expected}, got {len(pads)}.")
    space = tuple(
        window_count(n + low + high, k, stride)
        for n, k, stride, (low, high) in zip(lhs_shape[2:], rhs_shape[2:], strides, pads)
    )
    if batch_group_count > 1 and lhs_shape[0] % batch_group_count:
        raise ValueError(
            f"lax.conv_shape_tuple: batch_group_count {batch_group_count} does not divide the batch, {lhs_shape[0]}."
        )
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *space)


def conv_general_shape_tuple(lhs_shape, rhs_shape, window_strides, padding, dimension_numbers) -> tuple[int, ...]:
    """`conv_shape_tuple` in the layout of ``dimension_numbers`` (three strings)."""
    lhs_perm, rhs_perm, out_perm = conv_general_permutations(dimension_numbers)
    lhs, rhs = [lhs_shape[d] for d in lhs_perm], [rhs_shape[d] for d in rhs_perm]
    shape = conv_shape_tuple(lhs, rhs, window_strides, padding)
    return tuple(shape[d] for d in np.argsort(out_perm))


def conv_transpose_shape_tuple(lhs_shape, rhs_shape, window_strides, padding, dimension_numbers) -> tuple[int, ...]:
    """The shape of `conv_transpose`."""
    lhs_perm, rhs_perm, out_perm = conv_general_permutations(dimension_numbers)
    lhs, rhs = [lhs_shape[d] for d in lhs_perm], [rhs_shape[d] for d in rhs_perm]
    if isinstance(padding, str):
        padding = [_transpose_padding(k, s, padding) for k, s in zip(rhs[2:], window_strides)]
    space = [
        window_count(dilated(n, stride) + low + high, k, 1)
        for n, k, stride, (low, high) in zip(lhs[2:], rhs[2:], window_strides, padding)
    ]
    shape = (lhs[0], rhs[0], *space)
    return tuple(shape[d] for d in np.argsort(out_perm))


__all__ = [
    "ConvDimensionNumbers", "ConvGeneralDilatedDimensionNumbers", "conv", "conv_dimension_numbers",
    "conv_general_dilated", "conv_general_dilated_local", "conv_general_dilated_patches", "conv_general_permutations",
    "conv_general_shape_tuple", "conv_shape_tuple", "conv_transpose", "conv_transpose_shape_tuple",
    "conv_with_general_padding",
]  # fmt: skip
