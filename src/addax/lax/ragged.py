"""Products with groups of rows of different sizes, `ragged_dot`, and with scaled operands, `scaled_dot`.

Ragged products are made of masks and `dot_general`: one product per group over all rows. That is exact and
differentiable, but costs as many times a product as there are groups; and as the rows of other groups are multiplied
with 0, infinities and NaN in ``rhs`` spread to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.primitive import registry
from addax.interpreters.values import broadcast_in_dim, convert, full, move_axis, reshape
from addax.lax.arguments import axis_argument, integers, operand as _operand
from addax.lax.dot import DotDimensionNumbers, dot_general
from addax.lax.sharding import place
from addax.ops.dot import free_dims
from addax.ops.precision import PrecisionLike

Array = Any


class RaggedDotDimensionNumbers(NamedTuple):
    """Which dimensions of a ragged product correspond.

    Attributes:
      dot_dimension_numbers: as in `dot_general`.
      lhs_ragged_dimensions: the one dimension of lhs whose elements belong to groups.
      rhs_group_dimensions: the dimension of rhs that runs over groups, if there is one.
    """

    dot_dimension_numbers: DotDimensionNumbers
    lhs_ragged_dimensions: Sequence[int]
    rhs_group_dimensions: Sequence[int]


def ragged_dot(
    lhs: Array,
    rhs: Array,
    group_sizes: Array,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    group_offset: Array | None = None,
    out_sharding=None,
) -> Array:
    """Multiply consecutive groups of rows with a matrix each: out_i = lhs_i rhs[group of i].

    Args:
      lhs: ``[m, k]``.
      rhs: ``[g, k, n]``, a matrix per group.
      group_sizes: integers ``[g]``: the first ``group_sizes[0]`` rows are group 0, and so on. Rows after the last group
        give 0.
      precision, preferred_element_type: as in `dot_general`.

    Returns:
      ``[m, n]``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> rhs = jnp.array([[[1.]], [[10.]]])
    >>> lax.ragged_dot(jnp.array([[1.], [2.], [3.]]), rhs, jnp.array([1, 2])).ravel().tolist()
    [1.0, 20.0, 30.0]
    """
    numbers = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))
    return ragged_dot_general(
        lhs, rhs, group_sizes, numbers, precision, preferred_element_type, group_offset, out_sharding
    )


def ragged_dot_general(
    lhs: Array,
    rhs: Array,
    group_sizes: Array,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    group_offset: Array | None = None,
    out_sharding=None,
) -> Array:
    """`dot_general` where a dimension of ``lhs`` is divided into groups of given sizes. There are three kinds:

    - the ragged dimension remains (rows): ``rhs`` has a group dimension, and each row is multiplied with that of its
      group;
    - it is summed over: the result has a sum for each group, in a new leading dimension;
    - it is a batch dimension: the groups do not matter, and this is `dot_general`.

    Args:
      group_sizes: integers ``[g]``, or ``[*batch, *outer, g]`` to differ over the batch dimensions and those of the same
        kind that stand before the ragged one in ``lhs``.

    Raises:
      TypeError: if the sizes are not integers, or not one per group.
    """
    name = "ragged_dot_general"
    if out_sharding is not None:
        out = ragged_dot_general(
            lhs, rhs, group_sizes, ragged_dot_dimension_numbers, precision, preferred_element_type, group_offset
        )
        return place(out, out_sharding)
    if group_offset is not None:
        raise NotImplementedError(f"{name}: group_offset is not implemented. Slice group_sizes and rhs instead.")
    lhs, rhs, sizes = (_operand(name, x, i) for i, x in enumerate((lhs, rhs, group_sizes)))
    numbers = RaggedDotDimensionNumbers(*ragged_dot_dimension_numbers)
    (contract, batch) = numbers.dot_dimension_numbers
    lhs_contract, rhs_contract = (integers(name, "contracting dimensions", d) for d in contract)
    lhs_batch, rhs_batch = (integers(name, "batch dimensions", d) for d in batch)
    lhs_aval, rhs_aval, sizes_aval = get_aval(lhs), get_aval(rhs), get_aval(sizes)
    ragged = integers(name, "lhs_ragged_dimensions", numbers.lhs_ragged_dimensions)
    if len(ragged) != 1:
        raise TypeError(f"{name} requires exactly one ragged dimension of lhs, got {ragged}.")
    d = axis_argument(name, ragged[0], lhs_aval.ndim)
    if not dtypes.issubdtype(sizes_aval.dtype, np.integer):
        raise TypeError(f"{name} requires that group_sizes.dtype is subtype of np.integer.")
    plain = ((lhs_contract, rhs_contract), (lhs_batch, rhs_batch))
    options = {"precision": precision, "preferred_element_type": preferred_element_type}
    if d in lhs_batch:
        return dot_general(lhs, rhs, plain, **options)
    outer = [
        i for i in (lhs_contract if d in lhs_contract else free_dims(lhs_aval.ndim, lhs_contract, lhs_batch)) if i < d
    ]
    masked = _one_copy_per_group(name, lhs, sizes, d, [*lhs_batch, *outer])  # [*lhs, g]
    if d in lhs_contract:
        shifted = tuple(i + 1 for i in lhs_contract), tuple(i + 1 for i in lhs_batch)
        masked = move_axis(masked, lhs_aval.ndim, 0)
        out = dot_general(masked, rhs, ((shifted[0], rhs_contract), (shifted[1], rhs_batch)), **options)
        return move_axis(out, len(lhs_batch), 0)
    group = integers(name, "rhs_group_dimensions", numbers.rhs_group_dimensions)
    if len(group) != 1:
        raise TypeError(f"{name} with a ragged row dimension requires exactly one group dimension of rhs, got {group}.")
    count = rhs_aval.shape[axis_argument(name, group[0], rhs_aval.ndim)]
    if count != sizes_aval.shape[-1]:
        raise TypeError(f"expected rhs group dimension size to be {sizes_aval.shape[-1]}, got {count}.")
    with_groups = ((*lhs_contract, lhs_aval.ndim), (*rhs_contract, group[0]))
    return dot_general(masked, rhs, (with_groups, (lhs_batch, rhs_batch)), **options)


def _one_copy_per_group(name: str, lhs, sizes, d: int, outer: list[int]):
    """``[*lhs, g]``: for each group, lhs with all others set to 0 along dimension ``d``."""
    aval, sizes_aval = get_aval(lhs), get_aval(sizes)
    if sizes_aval.ndim == 1:
        outer = []
    if sizes_aval.ndim == 0 or tuple(aval.shape[i] for i in outer) != sizes_aval.shape[:-1]:
        raise TypeError(
            f"{name}: group_sizes must have shape [g] or {[aval.shape[i] for i in outer]} + [g], got {sizes_aval.shape}."
        )
    shape = (*aval.shape, sizes_aval.shape[-1])
    sizes = convert(sizes, np.dtype(np.int32))
    ends = registry["cumsum"].bind(sizes, axis=sizes_aval.ndim - 1, reverse=False)
    starts = registry["sub"].bind(ends, sizes)
    order = np.argsort(outer).tolist()
    dims = (*(outer[i] for i in order), len(aval.shape))

    def spread(x):
        x = registry["transpose"].bind(x, permutation=(*order, len(order))) if order != sorted(order) else x
        return broadcast_in_dim(x, shape, dims)

    position = registry["iota"].bind(dtype=np.dtype(np.int32), shape=shape, dimension=d, sharding=None)
    inside = registry["and"].bind(
        registry["ge"].bind(position, spread(starts)), registry["lt"].bind(position, spread(ends))
    )
    return registry["select_n"].bind(
        inside, full(shape, 0, aval.dtype), broadcast_in_dim(lhs, shape, range(len(aval.shape)))
    )


# ---------------------------------------------------------------------------------------------------------------------


def scaled_dot(
    lhs: Array,
    rhs: Array,
    *,
    lhs_scale: Array | None = None,
    rhs_scale: Array | None = None,
    dimension_numbers: DotDimensionNumbers | None = None,
    preferred_element_type: Any = None,
) -> Array:
    """The product of (lhs * lhs_scale) and (rhs * rhs_scale), where blocks of elements share a scale.

    Args:
      lhs, rhs: arrays, as a rule of 8-bit floats.
      lhs_scale, rhs_scale: with dimensions of the operands' sizes, or along contracting ones of a fraction of them: each
        scale holds for a block of consecutive elements.
      dimension_numbers: as in `dot_general`; by default matrices are multiplied, or stacks of them.
      preferred_element_type: bfloat16 by default.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> x = jnp.ones((1, 4))
    >>> lax.scaled_dot(x, x.T, lhs_scale=jnp.array([[1., 10.]]), preferred_element_type=jnp.float32).tolist()
    [[22.0]]
    """
    name = "scaled_dot"
    lhs, rhs = _operand(name, lhs, 0), _operand(name, rhs, 1)
    if dimension_numbers is None:
        rank = get_aval(lhs).ndim
        if rank not in (2, 3) or get_aval(rhs).ndim != rank:
            raise ValueError(
                f"lax.{name}: dimension_numbers must be given unless both operands have 2 or both have 3 dimensions; got "
                f"shapes {get_aval(lhs).shape} and {get_aval(rhs).shape}."
            )
        batch = (0,) if rank == 3 else ()
        dimension_numbers = (((rank - 1,), (rank - 2,)), (batch, batch))
    dtype = dtypes.canonicalize_user_dtype(preferred_element_type or dtypes.bfloat16, name)
    lhs, rhs = (_scaled(name, x, s) for x, s in ((lhs, lhs_scale), (rhs, rhs_scale)))
    return dot_general(lhs, rhs, dimension_numbers, preferred_element_type=dtype)


def _scaled(name: str, x, scale):
    """x * scale in float32, each scale repeated over its block."""
    wide = convert(x, dtypes.float32)
    if scale is None:
        return wide
    shape, blocks = get_aval(x).shape, get_aval(_operand(name, scale)).shape
    if len(shape) != len(blocks) or any(b == 0 or n % b for n, b in zip(shape, blocks, strict=True)):
        raise ValueError(
            f"lax.{name}: the sizes of an operand must be multiples of those of its scale, got shapes {shape} and "
            f"{blocks}."
        )
    split = [n for d, b in zip(shape, blocks, strict=True) for n in (b, d // b)]
    spread = broadcast_in_dim(convert(scale, dtypes.float32), split, range(0, 2 * len(shape), 2))
    return registry["mul"].bind(wide, reshape(spread, shape))


__all__ = ["RaggedDotDimensionNumbers", "ragged_dot", "ragged_dot_general", "scaled_dot"]
