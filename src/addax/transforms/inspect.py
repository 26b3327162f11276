"""Looking at programs without running them: `make_jaxpr`, `eval_shape`, `typeof`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Sequence

from addax.core import tree
from addax.core.axis_env import extend_axis_env
from addax.ops.explicit import type_of
from addax.transforms.flat import LazyDebugInfo, check_leaves, hold_arguments
from addax.transforms.jit import _Jitted, trace_to_closed
from addax.transforms.stages import ShapeDtypeStruct, aval_of_spec


def make_jaxpr(
    fun: Callable,
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Hashable, int]] | None = None,
    return_shape: bool = False,
) -> Callable:
    """A function that returns the jaxpr of ``fun`` for given arguments (arrays or `ShapeDtypeStruct`).

    Args:
      static_argnums: arguments that are Python values.
      axis_env: names and sizes of mapped axes that collectives in ``fun`` may refer to.
      return_shape: return ``(jaxpr, shapes and dtypes of the results)``.

    >>> import addax, addax.numpy as jnp
    >>> addax.make_jaxpr(lambda x: jnp.sin(x) + 1.0)(2.0)
    { lambda ; a:f32[]. let b:f32[] = sin a; c:f32[] = add b 1.0:f32[] in (c,) }
    """
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r:.100}: make_jaxpr takes the function, not its result.")
    static = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @functools.wraps(fun)
    def make_jaxpr_f(*args, **kwargs):
        held = {i + len(args) if i < 0 else i for i in static}
        call, dynamic = hold_arguments(fun, args, held)
        leaves, in_tree = tree.flatten((dynamic, kwargs))
        with contextlib.ExitStack() as scope:
            for name, size in axis_env or ():
                scope.enter_context(extend_axis_env(name, size))
            closed, out_tree = trace_to_closed(
                call, in_tree, [aval_of_spec(x) for x in leaves], LazyDebugInfo(fun, dynamic, kwargs)
            )
        if return_shape:
            specs = [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in closed.out_avals]
            return closed, out_tree.unflatten(specs)
        return closed

    return make_jaxpr_f


def eval_shape(fun: Callable, *args, **kwargs):
    """Shapes and dtypes of ``fun(*args, **kwargs)`` as `ShapeDtypeStruct`, by tracing only: nothing is computed.

    >>> import addax, addax.numpy as jnp
    >>> addax.eval_shape(jnp.dot, addax.ShapeDtypeStruct((2, 3), "float32"), addax.ShapeDtypeStruct((3,), "float32"))
    ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r:.100}: eval_shape takes the function, not its result.")
    leaves = [x for x in tree.leaves((args, kwargs)) if not (hasattr(x, "shape") and hasattr(x, "dtype"))]
    check_leaves(fun, leaves, args, kwargs, "eval_shape")
    return _Jitted(fun, None, None, None, None, True, None, False, {}).eval_shape(*args, **kwargs)


def typeof(x):
    """The aval of a value: ``float32[3,4]``; along explicit mesh axes with its ``sharding``, ``float32[8@x,4]``."""
    return aval_of_spec(x) if isinstance(x, ShapeDtypeStruct) else type_of(x)
