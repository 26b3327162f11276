"""Primitives that users define."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from addax.core.primitive import Primitive as _Primitive, Refusal, registry

F = TypeVar("F", bound=Callable[..., Any])


class Primitive(_Primitive):
    """An instruction of one's own.

    Only the type rule is needed for tracing; each other rule is for one thing that is to be done with it:

    ================== ==========================================================================================
    to trace           ``p.def_abstract_eval(lambda *avals, **params: aval)``
    to call at once    ``p.def_impl(lambda *arrays, **params: array)``, or a lowering
    `jit`              ``mlir.register_lowering(p, mlir.lower_fun(f, multiple_results=False))``
    `jvp`              ``ad.primitive_jvps[p] = rule``, or ``ad.defjvp``, ``ad.deflinear2``
    `grad`             the same, and ``ad.primitive_transposes[p] = rule`` if it is linear
    `vmap`             ``batching.primitive_batchers[p] = rule``
    ================== ==========================================================================================

    with ``from addax.interpreters import ad, batching, mlir``. docs/extend.md has an example of each.

    Args:
      name: how it prints. One that is not taken: files and the parser of programs find primitives by name.

    >>> import addax, addax.numpy as jnp
    >>> from addax.extend.core import Primitive
    >>> from addax.interpreters import ad, mlir
    >>> cube_p = Primitive("docs_cube")
    >>> _ = cube_p.def_abstract_eval(lambda x: x)
    >>> _ = mlir.register_lowering(cube_p, mlir.lower_fun(lambda x: x * x * x, multiple_results=False))
    >>> ad.defjvp(cube_p, lambda t, x: 3 * x * x * t)
    >>> float(cube_p.bind(jnp.float32(2))), float(addax.grad(cube_p.bind)(2.0))
    (8.0, 12.0)
    """

    def __init__(self, name: str):
        taken = registry.get(name)
        super().__init__(name)
        if taken is not None and not isinstance(taken, Primitive):
            registry[name] = taken  # a name of addax's own keeps its meaning
        self.reference = Refusal(
            f"it has no lowering. Add one: addax.interpreters.mlir.register_lowering({name}_p, "
            "mlir.lower_fun(f, multiple_results=False)), where f computes it with addax.numpy"
        )
        self.jvp = Refusal(
            f"{name} has no differentiation rule. Add one: addax.interpreters.ad.primitive_jvps[{name}_p] = rule, or "
            f"ad.defjvp({name}_p, ...)"
        )
        self.transpose = Refusal(
            f"{name} has no transpose rule. Add one: addax.interpreters.ad.primitive_transposes[{name}_p] = rule"
        )
        self.batch = Refusal(
            f"{name} has no batching rule. Add one: addax.interpreters.batching.primitive_batchers[{name}_p] = rule"
        )
        self.abstract_eval = Refusal(f"{name} has no type rule. Add one: {name}_p.def_abstract_eval(rule)")

    def def_impl(self, impl: F) -> F:
        """What the primitive computes when it is called outside of any transformation: ``(*arrays, **params) -> array``."""
        self.impl = impl
        self.eager_cache.clear()
        return impl

    def def_abstract_eval(self, abstract_eval: F) -> F:
        """The type rule: ``(*avals, **params) -> aval``, a sequence of them if `multiple_results`."""
        self.abstract_eval = abstract_eval
        if self._types is not None:
            self._types.clear()
        return abstract_eval

    def def_effectful_abstract_eval(self, rule: F) -> F:
        """The type rule of a primitive with side effects: ``(*avals, **params) -> (aval or avals, effects)``."""
        self.def_abstract_eval(lambda *avals, **params: rule(*avals, **params)[0])
        self.effects = lambda *avals, **params: frozenset(rule(*avals, **params)[1])
        return rule

    def __reduce__(self):
        if registry.get(self.name) is not self:
            raise TypeError(f"the primitive {self.name!r} cannot be pickled: another one has its name")
        return super().__reduce__()
