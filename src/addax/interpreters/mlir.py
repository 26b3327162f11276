"""Lowerings of primitives, under the names that JAX's users register them by.

addax has several engines, and none of them takes MLIR from outside. A lowering is a program of primitives that the engines
know: a function written with `addax.numpy` and `addax.lax`, wrapped by `lower_fun`. It serves all engines and platforms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Primitive


class LoweringRule:
    """What `lower_fun` makes: the function, as the `Primitive.expand` rule."""

    def __init__(self, fun: Callable[..., Any], multiple_results: bool):
        self.fun, self.multiple_results = fun, multiple_results

    def __call__(self, *avals, **params) -> ClosedJaxpr:
        def program(*args):
            out = self.fun(*args, **params)
            return list(out) if self.multiple_results else [out]

        return ClosedJaxpr(*trace_to_jaxpr(program, avals))


def lower_fun(fun: Callable[..., Any], multiple_results: bool = True) -> LoweringRule:
    """A lowering made of a function.

    Args:
      fun: ``(*arrays, **params) -> array``, or a sequence of arrays if ``multiple_results``.

    >>> import addax, addax.numpy as jnp
    >>> from addax.extend.core import Primitive
    >>> from addax.interpreters import mlir
    >>> double_p = Primitive("docs_double")
    >>> _ = double_p.def_abstract_eval(lambda x: x)
    >>> _ = mlir.register_lowering(double_p, mlir.lower_fun(lambda x: x + x, multiple_results=False))
    >>> float(addax.jit(double_p.bind)(jnp.float32(3)))
    6.0
    """
    return LoweringRule(fun, multiple_results)


def register_lowering(
    prim: Primitive, rule: LoweringRule, platform: str | None = None, inline: bool = True, cacheable: bool = True
) -> LoweringRule:
    """Say what engines do for a primitive.

    Args:
      prim: the primitive.
      rule: what `lower_fun` returned.
      platform, inline, cacheable: accepted as in JAX. A lowering is a program, and holds on all platforms.

    Raises:
      TypeError: for a rule that emits MLIR, as JAX has them.
    """
    if not isinstance(rule, LoweringRule):
        raise TypeError(
            f"register_lowering({prim}): addax's engines take lowerings as functions of arrays, not as functions that emit "
            f"MLIR operations; got {rule!r:.100}. Write it with addax.numpy or addax.lax and wrap it: "
            "mlir.register_lowering(p, mlir.lower_fun(f, multiple_results=False))."
        )
    prim.expand = rule
    prim.eager_cache.clear()
    return rule
