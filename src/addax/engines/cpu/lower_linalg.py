"""Factorisations and triangular systems of small matrices as C++ kernels. Larger ones, where LAPACK's blocks win, and
complex ones are host steps."""

from __future__ import annotations

import math

from addax.engines.cpu.buffers import symbols
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, rule
from addax.engines.cpu.lower_dot import SHORT_NAMES
from addax.engines.cpu.lower_elementwise import element_name

SMALL = 64  # rows and columns


def _symbol(call: Call, matrix: tuple[int, ...]) -> str | None:
    """The kernel for an equation on matrices of this shape; None if they are for LAPACK."""
    aval = call.eqn.invars[0].aval
    symbol = f"{call.eqn.primitive.name}_{SHORT_NAMES.get(element_name(aval.dtype))}"
    if symbol not in symbols() or max(matrix) > SMALL or any(x.aval.size == 0 for x in call.eqn.invars):
        return None
    return symbol


def _run(block: Block, call: Call, symbol: str, table: list[int], ns: float) -> None:
    args = [block.dense(r) for r in call.refs] + [block.destination(v) for v in call.eqn.outvars]
    buffers, offsets = [b for b, _ in args], [o for _, o in args]
    block.native(symbol, buffers, set(buffers[len(call.refs) :]), [*offsets, *table], ns)


@rule("cholesky")
def cholesky(block: Block, call: Call):
    *batch, n, _ = call.eqn.invars[0].aval.shape
    symbol = _symbol(call, (n,))
    if symbol is None:
        return NotImplemented
    matrices = math.prod(batch)
    return _run(block, call, symbol, [matrices, n], matrices * (20 + 0.1 * n**3))


@rule("lu")
def lu(block: Block, call: Call):
    *batch, rows, columns = call.eqn.invars[0].aval.shape
    symbol = _symbol(call, (rows, columns))
    if symbol is None:
        return NotImplemented
    matrices = math.prod(batch)
    return _run(
        block, call, symbol, [matrices, rows, columns], matrices * (30 + 0.2 * rows * columns * min(rows, columns))
    )


@rule("triangular_solve")
def triangular_solve(block: Block, call: Call):
    p = call.eqn.params
    *batch, n, _ = call.eqn.invars[0].aval.shape
    symbol = _symbol(call, (n,))
    if symbol is None:
        return NotImplemented
    matrices, m = math.prod(batch), call.eqn.invars[1].aval.shape[-1 if p["left_side"] else -2]
    flags = [int(p[name]) for name in ("left_side", "lower", "transpose_a", "unit_diagonal")]
    return _run(block, call, symbol, [matrices, n, m, *flags], matrices * (20 + 0.2 * n * n * m))
