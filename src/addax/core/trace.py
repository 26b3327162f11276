"""The tracing context: who interprets the next primitive.

There is one current trace per thread. ``Primitive.bind`` hands every application to it:

  `EvalTrace`    runs it (the base; installed by the engines through `set_eval_rule`),
  `JaxprTrace`   writes it into a jaxpr (builder.py),
  and the traces of ``interpreters/`` (JVP, split, batching) rewrite it and bind again under their parent.

A tracer points to its trace; there is no global stack of levels. A value that does not belong to the current trace is a
constant for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax import _native
from addax.core.avals import ShapedArray, aval_rules, get_aval
from addax.core.errors import UnexpectedTracerError

current_trace = _native.current_trace
swap_trace = _native.swap_trace


class Trace:
    """An interpreter of primitives."""

    alive = True

    def process(self, primitive, args: tuple, params: dict[str, Any]) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__


class EvalTrace(Trace):
    """The base trace: values are concrete and primitives run now."""

    def process(self, primitive, args, params):
        return _eval_rule(primitive, args, params)


def _no_engine(primitive, args, params):
    raise RuntimeError(f"no engine is loaded to run {primitive}; import addax, not addax.core")


_eval_rule: Callable[..., Any] = _no_engine
base_trace = EvalTrace()
_native.set_base_trace(base_trace)


def set_eval_rule(rule: Callable[..., Any]) -> None:
    """Install what running a primitive means. Engines stand above core, so they come to it, not it to them."""
    global _eval_rule
    _eval_rule = rule


class set_current_trace:
    """``with set_current_trace(trace):`` primitives go to ``trace``."""

    __slots__ = ("previous", "trace")

    def __init__(self, trace: Trace):
        self.trace = trace

    def __enter__(self) -> Trace:
        self.previous = swap_trace(self.trace)
        return self.trace

    def __exit__(self, *_):
        swap_trace(self.previous)


class ensure_compile_time_eval(set_current_trace):
    """``with ensure_compile_time_eval():`` what is computed from known values is computed now, also while a function is traced.

    >>> import addax, addax.numpy as jnp
    >>> @addax.jit
    ... def f(x):
    ...     with addax.ensure_compile_time_eval():
    ...         n = jnp.prod(jnp.array(x.shape))
    ...     return x.reshape(int(n))
    >>> f(jnp.ones((2, 3))).shape
    (6,)
    """

    __slots__ = ()

    def __init__(self):
        super().__init__(base_trace)


eval_context = ensure_compile_time_eval


class Tracer:
    """A value that stands for an array while a function is traced. Array methods are attached by ``addax.numpy``."""

    __slots__ = ("__weakref__", "_trace", "aval")
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    _trace: Trace
    aval: ShapedArray

    shape = property(lambda self: self.aval.shape)
    dtype = property(lambda self: self.aval.dtype)
    ndim = property(lambda self: self.aval.ndim)
    size = property(lambda self: self.aval.size)
    weak_type = property(lambda self: self.aval.weak_type)

    def concrete(self) -> Any:
        """The number behind this tracer if it is known now (forward-mode values outside jit), else None."""
        return None

    def origin(self) -> str:
        """Where this value comes from, for error messages."""
        return ""

    def is_known_constant(self) -> bool:
        return self.concrete() is not None


_native.set_tracer_type(Tracer)
_native.set_aval_of(get_aval)
aval_rules[Tracer] = lambda x: x.aval
aval_rules[_native.Array] = lambda x: x.aval


def check_alive(x: Tracer) -> None:
    if not x._trace.alive:
        raise UnexpectedTracerError(x)
