"""Where the compiler puts the values that `debug.inspect_array_sharding` asks about."""

from __future__ import annotations

from dataclasses import replace

from addax.core.execution import CompileOptions, compile_program
from addax.core.jaxpr import ClosedJaxpr, Literal
from addax.ops.inspect_sharding import inspect_effect, inspect_sharding
from addax.ops.remat import inline_calls


def prepare(closed: ClosedJaxpr, options: CompileOptions) -> ClosedJaxpr:
    """Call the callbacks, and give the program without them. They get None where only one device comes into question.

    The program is compiled with the values as further results: where these are is where the values are.

    Raises:
      NotImplementedError: if a value in a loop or a branch is asked about.
    """
    flat = inline_calls(closed)
    asked = [e for e in flat.eqns if e.primitive is inspect_sharding]
    rest = [e for e in flat.eqns if e.primitive is not inspect_sharding]
    for eqn in rest:
        if inspect_effect in eqn.effects:
            raise NotImplementedError(
                f"inspect_array_sharding of a value inside {eqn.primitive} at {eqn.source_info} is not supported: ask about "
                "the values that go in or come out."
            )
    program = ClosedJaxpr(flat.jaxpr.replace(eqns=rest), flat.consts)
    values = [e.invars[0] for e in asked if type(e.invars[0]) is not Literal]
    wider = ClosedJaxpr(flat.jaxpr.replace(eqns=rest, outvars=[*flat.jaxpr.outvars, *values]), flat.consts)
    wanted = (*options.out_shardings, *(None for _ in values)) if options.out_shardings else ()
    compiled = compile_program(wider, replace(options, donated=(), out_shardings=wanted))
    found = getattr(compiled, "out_shardings", None)
    here = iter(found[len(flat.jaxpr.outvars) :] if found is not None else ())
    for eqn in asked:
        eqn.params["callback"](None if type(eqn.invars[0]) is Literal else next(here, None))
    return program


__all__ = ["prepare"]
