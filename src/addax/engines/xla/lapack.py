"""LAPACK as custom calls on the CPU (section by routine: the arguments are those of the Fortran interfaces).

Matrices are column-major there, which the layouts of the call say; XLA transposes where it must. ``info`` is one i32 per
matrix, 0 for success. The names and attributes are those that jaxlib registers (`compat.register_lapack`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from addax.engines.xla.block import Block, Value
from addax.engines.xla.types import BOOL, INT32

_PREFIXES = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}


def letter(c: str) -> str:
    """A character argument, as the byte it is."""
    return f"{ord(c)} : ui8"


def _layout(rank: int, own: int) -> str:
    """Minor to major: a matrix has its rows first, a vector is dense; batch dimensions are slowest."""
    if own == 2:
        order = [rank - 2, rank - 1, *reversed(range(rank - 2))]
    else:
        order = [*reversed(range(rank))]
    if not order:
        return "dense<> : tensor<0xindex>"
    return f"dense<{order}> : tensor<{rank}xindex>"


def call(
    b: Block, routine: str, operands: Sequence[Value], results: Sequence[Value], ranks: Sequence[int], **attributes: str
) -> list[Value]:
    """Call a routine on stacks of matrices.

    Args:
      routine: without the letter of the dtype, which is that of the first operand: ``"potrf"``.
      results: examples of the results.
      ranks: for each operand, then each result: 2 for a matrix, 1 for a vector, 0 for ``info``.
      attributes: as MLIR text.
    """
    target = f"lapack_{_PREFIXES[operands[0].dtype.name]}{routine}_ffi"
    layouts = [_layout(len(x.shape), own) for x, own in zip([*operands, *results], ranks, strict=True)]
    n = len(operands)
    config = ", ".join(f"{k} = {v}" for k, v in sorted(attributes.items()))
    batch = len(operands[0].shape) - ranks[0]
    attrs = (
        f'api_version = 4 : i32, backend_config = {{{config}}}, mhlo.frontend_attributes = {{num_batch_dims = "{batch}"}}, '
        f"operand_layouts = [{', '.join(layouts[:n])}], result_layouts = [{', '.join(layouts[n:])}]"
    )
    return b.custom_call(target, operands, results, attrs)


def info_of(b: Block, x: Value, own: int = 2) -> Value:
    """An example of the ``info`` result for the stack ``x``."""
    return b.like(x.shape[: len(x.shape) - own], INT32)


# ---------------------------------------------------------------------------------------------------------------------
# What a failed factorisation gives: NaN


def succeeded(b: Block, info: Value, direction: str = "EQ") -> Value:
    return b.compare(direction, info, b.full(0, info.shape, INT32))


def finite(b: Block, x: Value) -> Value:
    """``[*batch]``: whether all elements of each matrix are finite."""
    parts = b.parts(x) if x.dtype.kind == "c" else (x,)
    total: Value | None = None
    for part in parts:
        ok = b.to_type("is_finite", part, part.shape, BOOL)
        total = ok if total is None else b.binary("and", total, ok)
    assert total is not None
    rank = len(x.shape)
    return b.reduce_simple("and", total, b.scalar(True, BOOL), [rank - 2, rank - 1])


def nan_unless(b: Block, ok: Value, x: Value) -> Value:
    """``x`` where its matrix is good, else NaN."""
    nan = complex(np.nan, np.nan) if x.dtype.kind == "c" else np.nan
    mask = b.broadcast(ok, x.shape, range(len(ok.shape)))
    return b.select(mask, x, b.full(nan, x.shape, x.dtype))
