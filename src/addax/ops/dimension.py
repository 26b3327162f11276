"""``dim_as_value``: a symbolic size as a number of the program. Replaced by that number when the sizes are known."""

from __future__ import annotations

from addax.core.avals import scalar_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.core.notation import Notation
from addax.ops.rules import Refusal, primitive
from addax.ops.shape import never_batched, nothing_to_differentiate


def _expand(*, dim) -> ClosedJaxpr:
    """The number. A size that is still symbolic says in its error that it has none."""
    return ClosedJaxpr(*trace_to_jaxpr(lambda: [int(dim)], []))


dim_as_value = primitive(
    "dim_as_value",
    lambda *, dim: scalar_aval(int),
    jvp=nothing_to_differentiate("dim_as_value"),
    transpose=nothing_to_differentiate("dim_as_value"),
    batch=never_batched("dim_as_value"),
    reference=Refusal("dim_as_value: sizes are symbolic only while a function is exported; call what was exported"),
    expand=_expand,
    notation=Notation(spelled={"dim": (str, lambda dim: dim)}),
    cache_types=False,  # the default integer type may change
)
