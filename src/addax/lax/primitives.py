"""The primitives under the names that JAX programs import: ``add_p`` is the primitive ``add``."""

from __future__ import annotations

from addax.core.primitive import Primitive, registry

# Where JAX's name is not that of the primitive with ``_p``.
_RENAMED = {
    "add_jaxvals_p": "add_any", "call_p": "jit", "closed_call_p": "jit", "empty2_p": "empty",
    "linear_solve_p": "custom_linear_solve", "remat_p": "checkpoint",
}  # fmt: skip

# What `jax.lax` has besides, and what to write instead.
_ABSENT = {
    "RandomAlgorithm": "generators are named as strings: addax.random.key(seed, impl=...)",
    "after_all": "tokens are no values here: effects are kept in order by the program itself",
    "create_token": "tokens are no values here: effects are kept in order by the program itself",
    "dce_sink": "a value that nothing reads is not computed: return it",
    "precv": "use lax.ppermute, which sends and receives",
    "psend": "use lax.ppermute, which sends and receives",
    "rng_bit_generator": "its numbers are those of one compiler: use addax.random.bits",
    "rng_uniform": "it draws from a hidden state: use addax.random.uniform",
    "stage": "use addax.numpy.asarray",
}


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
    hint = f": {_ABSENT[name]}" if name in _ABSENT else ""
    raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")
