"""Special functions without an operation of their own, through the programs of `special_functions`."""

from __future__ import annotations

from addax.core import dtypes
from addax.core.jaxpr import Eqn
from addax.engines.xla import special_functions
from addax.engines.xla.block import Block, Value
from addax.engines.xla.lower_elementwise import stretched
from addax.engines.xla.program import call_program, result_type
from addax.engines.xla.rules import rule


@rule(*special_functions.FUNCTIONS)
def _special(b: Block, eqn: Eqn, *args: Value) -> Value:
    name, out = eqn.primitive.name, result_type(eqn)
    on_tpu = b.module.target.platform == "tpu"
    dtype = (out.dtype if out.dtype == dtypes.float64 else dtypes.float32) if on_tpu else dtypes.float64
    operands = [b.convert(x, dtype) for x in stretched(b, eqn, args)]
    programs = b.module.special
    key = (name, out.shape, dtype)
    if key not in programs:
        programs[key] = special_functions.program(name, out.shape, dtype)
    (value,) = call_program(b, programs[key], operands, name)
    return b.convert(value, out.dtype)
