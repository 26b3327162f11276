"""Structured control flow: ``cond``, ``while``, ``scan``, one file each."""

from addax.ops.control_flow.cond import cond_p
from addax.ops.control_flow.scan import scan_p
from addax.ops.control_flow.while_loop import while_p

__all__ = ["cond_p", "scan_p", "while_p"]
