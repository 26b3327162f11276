"""The primitives under the names that JAX programs import: ``add_p`` is the primitive ``add``."""

from __future__ import annotations

from addax.core.primitive import Primitive, registry

# Where the name of the object is not that of the primitive.
_RENAMED = {"linear_solve_p": "custom_linear_solve"}


def primitive_named(module: str, name: str) -> Primitive:
    """The primitive that attribute ``name`` of a module stands for.

    Raises:
      AttributeError: if there is none.

    >>> from addax import lax
    >>> lax.scatter_add_p
    scatter-add
    """
    if name.endswith("_p"):
        short = _RENAMED.get(name, name[:-2])
        found = registry.get(short) or registry.get(short.replace("_", "-"))
        if found is not None:
            return found
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
