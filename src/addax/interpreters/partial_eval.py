"""Names of `jax.interpreters.partial_eval` that programs about jaxprs use."""

from __future__ import annotations

from collections.abc import Sequence

from addax.core.builder import JaxprTrace as JaxprTrace, JaxprTracer as JaxprTracer
from addax.core.jaxpr import Jaxpr, dce_jaxpr as _dce_jaxpr

DynamicJaxprTracer = JaxprTracer


def dce_jaxpr(
    jaxpr: Jaxpr, used_outputs: Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[bool]]:
    """Remove what the used results do not need.

    Args:
      instantiate: which arguments stay although nothing reads them.

    Returns:
      the program of the arguments that stay, and which those are.
    """
    n = len(jaxpr.invars)
    kept = [instantiate] * n if isinstance(instantiate, bool) else list(instantiate)
    smaller, used = _dce_jaxpr(jaxpr, used_outputs, keep_inputs=True)
    stays = [u or k for u, k in zip(used, kept, strict=True)]
    return smaller.replace(invars=[v for v, s in zip(smaller.invars, stays, strict=True) if s]), stays
