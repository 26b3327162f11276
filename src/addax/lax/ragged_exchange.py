"""`ragged_all_to_all`: members of an axis exchange slices of different lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.lax.arguments import aval_of, operand as _operand
from addax.lax.parallel import all_gather, axis_index, axis_size
from addax.lax.shape import broadcast_in_dim, iota
from addax.ops.comparison import select_n
from addax.ops.convert import convert_element_type


def ragged_all_to_all(
    operand, output, input_offsets, send_sizes, output_offsets, recv_sizes, *, axis_name, axis_index_groups=None
) -> Any:
    """Each member sends to each other a slice of its rows, which may differ in length.

    Member ``i`` sends the rows ``input_offsets[j] : input_offsets[j] + send_sizes[j]`` of its ``operand`` to member ``j``,
    where they become the rows from ``output_offsets[j]`` on of the result. Rows that nobody writes are those of ``output``.

    Args:
      operand: ``[rows, ...]``.
      output: ``[rows of the result, ...]``, of the same dtype and row shape.
      input_offsets, send_sizes, output_offsets, recv_sizes: integers ``[members]``. What a member receives is known from
        what the others send, so ``recv_sizes`` is only checked for its shape.
      axis_name: the axis, or several.

    Raises:
      ValueError: if shapes or dtypes do not fit.

    XLA's own instruction does not exist on CPUs: here everybody's rows are gathered, and each member picks its own. It
    has derivatives, and works under `vmap` with the axis name. Slices that overlap in the result are an error of the
    caller's: the first sender's rows are taken.

    >>> import addax, addax.numpy as jnp
    >>> send = lambda x, at, n, to: addax.lax.ragged_all_to_all(x, jnp.zeros(4), at, n, to, n, axis_name="i")
    >>> x, at = jnp.array([[1., 2., 2.], [3., 4., 0.]]), jnp.array([[0, 1], [0, 1]])
    >>> n, to = jnp.array([[1, 2], [1, 1]]), jnp.array([[0, 0], [1, 2]])
    >>> addax.vmap(send, axis_name="i")(x, at, n, to).tolist()
    [[1.0, 3.0, 0.0, 0.0], [2.0, 2.0, 4.0, 0.0]]
    """
    name = "ragged_all_to_all"
    if axis_index_groups is not None:
        raise NotImplementedError(f"{name} with axis_index_groups: use a mesh that has the groups as an axis.")
    x, out = _operand(name, operand), _operand(name, output)
    a, b = aval_of(name, x), aval_of(name, out)
    if a.ndim < 1 or a.dtype != b.dtype or a.shape[1:] != b.shape[1:] or a.ndim != b.ndim:
        raise ValueError(
            f"{name}: operand and output must have the same dtype and the same shape but for their rows, got "
            f"{a.str_short(False)} and {b.str_short(False)}."
        )
    n = axis_size(axis_name)
    tables = {"input_offsets": input_offsets, "send_sizes": send_sizes, "output_offsets": output_offsets}
    for what, table in {**tables, "recv_sizes": recv_sizes}.items():
        t = aval_of(name, table)
        if t.shape != (n,) or not dtypes.issubdtype(t.dtype, np.integer):
            raise ValueError(
                f"{name}: {what} must be one integer for each of the {n} members of axis {axis_name!r}, got "
                f"{t.str_short(False)}."
            )
    me = axis_index(axis_name)
    int32 = np.dtype(np.int32)

    def for_me(table):
        """What each member says of its slice for this one."""
        table = convert_element_type.bind(_operand(name, table), new_dtype=int32, weak_type=False, sharding=None)
        return all_gather(table, axis_name)[:, me]

    starts, sizes, targets = map(for_me, tables.values())
    inside = iota(int32, b.shape[0])[None, :] - targets[:, None]  # [senders, rows]: which row of the slice
    hit = (inside >= 0) & (inside < sizes[:, None])
    sender = hit.argmax(0)
    row = (starts[:, None] + inside)[sender, iota(int32, b.shape[0])]
    taken = all_gather(x, axis_name)[sender, row]
    mask = broadcast_in_dim(hit.any(0), b.shape, (0,))
    return select_n.bind(mask, out, taken)


__all__ = ["ragged_all_to_all"]
