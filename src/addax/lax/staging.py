"""What is settled when a program is compiled: code per platform, `platform_dependent`; named operations, `composite`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from addax.core import tree
from addax.core.trace import Tracer
from addax.lax.control_flow import switch
from addax.ops.platform import platform_index
from addax.transforms.jit import jit

_NAMESPACED = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*([.][a-zA-Z0-9_$]+)+")


def platform_dependent(
    *args: Any, default: Callable[..., Any] | None = None, **per_platform: Callable[..., Any]
) -> Any:
    """The function of the platform that the program is compiled for, applied to ``args``.

    All functions are traced, and must return the same types; those of other platforms do not run. Derivatives and
    batches are those of `switch`.

    Args:
      args: pytrees of arrays.
      default: for platforms without a function of their own.
      per_platform: the functions, by platform: ``cpu``, ``cuda``, ``rocm``, ``tpu``.

    Raises:
      NotImplementedError: when the program is compiled for a platform that has neither.

    >>> from addax import lax
    >>> lax.platform_dependent(2.0, cpu=lambda x: x + 1, default=lambda x: x * 10).item()
    3.0
    """
    if "gpu" in per_platform:
        raise ValueError("Use 'cuda' or 'rocm' for lax.platform_dependent.")
    platforms = tuple((name,) for name in per_platform) + (() if default is None else (None,))
    branches = [*per_platform.values(), *([] if default is None else [default])]
    if default is not None and len(branches) == 1:
        return default(*args)
    if len(branches) < 2:  # no choice, but a platform to check; a second branch keeps the index in the program
        branches = branches * 2
    return switch(platform_index.bind(platforms=platforms), branches, *args)


def composite(decomposition: Callable[..., Any], name: str, version: int = 0) -> Callable[..., Any]:
    """``decomposition`` as an operation with a name, which a compiler may know a better program for.

    No engine knows one here: what runs is the decomposition, in a call of its own. (It can therefore be differentiated
    and batched, which JAX 0.10 cannot.)

    Args:
      decomposition: a function of arrays; keyword arguments are attributes, known when it is traced.
      name: with a namespace, ``"my_namespace.my_op"``.
      version: of its meaning.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> tangent = lax.composite(lambda x, *, scale: jnp.sin(x) / jnp.cos(x) * scale, "my.tangent")
    >>> round(tangent(1.0, scale=2.0).item(), 4)
    3.1148
    """
    if not isinstance(name, str) or not _NAMESPACED.fullmatch(name):
        raise ValueError(f"composite: the name must have a namespace, such as 'my_namespace.my_op'; got {name!r}.")

    @functools.wraps(decomposition)
    def apply(*args, **attributes):
        if any(isinstance(x, Tracer) for x in tree.leaves(attributes)):
            raise TypeError(
                f"composite: the keyword arguments of {name} are attributes, known when it is traced, but one is traced "
                "itself: pass it by position."
            )

        def operation(*args):
            return decomposition(*args, **attributes)

        operation.__name__ = operation.__qualname__ = name.replace(".", "_")
        return jit(operation)(*args)

    return apply


__all__ = ["composite", "platform_dependent"]
