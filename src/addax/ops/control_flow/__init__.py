"""Structured control flow: ``cond``, ``while``, ``scan`` and ``custom_linear_solve``, one file each."""

from addax.ops.control_flow.cond import cond_p
from addax.ops.control_flow.linear_solve import linear_solve_p
from addax.ops.control_flow.scan import scan_p
from addax.ops.control_flow.while_loop import while_p

__all__ = ["cond_p", "linear_solve_p", "scan_p", "while_p"]
