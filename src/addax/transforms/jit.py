"""`jit`: trace once per signature, compile, and from then on call native code without entering Python.

The call path is C++ (`_native.Fn`): it flattens the arguments, looks their signature up and runs the compiled program.
Python is entered in two cases only: a new signature (`_Jitted.compile`), and a call inside another transformation
(`_Jitted.call_traced`), which becomes one ``jit`` equation of the outer program.
"""

from __future__ import annotations

import functools
import gc
import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from addax import _native
from addax.core import tree
from addax.core.avals import ShapedArray
from addax.core.axis_env import scope_key
from addax.core.builder import trace_to_jaxpr
from addax.core.config import (
    captured_constants_warn_bytes,
    current_context,
    explain_cache_misses,
    log_compiles,
    no_tracing,
)
from addax.core.errors import warn_user
from addax.core.execution import CompileOptions, compile_program, shardings_of
from addax.core.jaxpr import ClosedJaxpr, dce_jaxpr, eval_jaxpr
from addax.core.logs import log
from addax.core.sharding import as_sharding
from addax.core.trace import Tracer, current_trace
from addax.core.tree_prefix import broadcast_prefix, raise_mismatch
from addax.ops.call import jit_p
from addax.ops.explicit import begin, placed
from addax.ops.sharding import sharding_constraint
from addax.transforms import retraces
from addax.transforms.flat import (
    FlatFunction,
    LazyDebugInfo,
    check_leaves,
    describe_function,
    function_name,
    hold_arguments,
    jax_array,
)
from addax.transforms.stages import Lowered, ShapeDtypeStruct, Traced, aval_of_spec


def jit(
    fun: Callable | None = None,
    /,
    *,
    in_shardings=None,
    out_shardings=None,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    device=None,
    backend: str | None = None,
    inline: bool = False,
    compiler_options: dict[str, Any] | None = None,
) -> Any:
    """A compiled version of ``fun``.

    The function is traced at the shapes, dtypes, weak types and tree structure of its arguments, compiled, and cached;
    it is traced again exactly when one of these, a static argument's value, or a relevant option changes.

    Args:
      fun: a pure function of pytrees of arrays. Without it, ``jit(static_argnums=1)`` returns a decorator.
      static_argnums, static_argnames: arguments that are compile-time constants, compared by hash and equality.
      donate_argnums, donate_argnames: arguments whose memory the program may reuse; they are deleted by the call.
      keep_unused: pass arguments to the compiled program even if it does not read them.
      device, backend: where to run: a device, or the name of a platform.
      in_shardings, out_shardings: where arguments are to be and results shall be: shardings, `PartitionSpec`s for the
        mesh in scope, None for anywhere, or pytrees of these that are prefixes of the arguments and of the result.
      inline: within an outer traced function, insert the equations instead of one call.
      compiler_options: XLA's options by name, ``{"xla_cpu_enable_fast_math": True}``; they act where XLA compiles.

    Raises:
      TypeError: if an argument is neither an array nor static.
      ValueError: if a static argument is not hashable.

    >>> import addax, addax.numpy as jnp
    >>> f = addax.jit(lambda x: jnp.sin(x) ** 2 + jnp.cos(x) ** 2)
    >>> float(f(0.5))
    1.0
    """
    if fun is None:
        return functools.partial(
            jit, in_shardings=in_shardings, out_shardings=out_shardings, static_argnums=static_argnums,
            static_argnames=static_argnames, donate_argnums=donate_argnums, donate_argnames=donate_argnames,
            keep_unused=keep_unused, device=device, backend=backend, inline=inline, compiler_options=compiler_options,
        )  # fmt: skip
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {type(fun).__name__}: jit takes the function, not its result.")
    if inspect.isgeneratorfunction(fun) or inspect.iscoroutinefunction(fun):
        raise TypeError(
            f"jit cannot compile {describe_function(fun)}: generators and coroutines are not pure functions."
        )
    jitted = _Jitted(
        fun, static_argnums, static_argnames, donate_argnums, donate_argnames, keep_unused,
        backend if device is None else device, inline, compiler_options or {}, in_shardings, out_shardings,
    )  # fmt: skip
    return jitted.make_callable()


class _Jitted:
    """What a jitted function knows of itself: its signature, its static arguments and its traces."""

    def __init__(
        self, fun, static_argnums, static_argnames, donate_argnums, donate_argnames, keep_unused, device, inline,
        compiler_options, in_shardings=None, out_shardings=None,
    ):  # fmt: skip
        self.in_shardings, self.out_shardings = in_shardings, out_shardings
        self.fun, self.keep_unused, self.device, self.inline = fun, keep_unused, device, inline
        self.compiler_options = tuple(sorted(compiler_options.items()))
        self.static_argnums, self.static_argnames = resolve_arguments(
            fun, static_argnums, static_argnames, "static_argnums", "static_argnames"
        )
        self.donate_argnums, self.donate_argnames = resolve_arguments(
            fun, donate_argnums, donate_argnames, "donate_argnums", "donate_argnames"
        )
        self.traces: dict[Any, tuple[ClosedJaxpr, Any]] = {}

    def make_callable(self):
        fn = _native.Fn(
            self.compile, self.call_traced, tuple(self.static_argnums), tuple(self.static_argnames),
            function_name(self.fun),
        )  # fmt: skip
        functools.update_wrapper(fn, self.fun)
        fn.lower, fn.trace, fn.eval_shape = self.lower, self.trace, self.eval_shape
        clear = fn.clear_cache

        def clear_cache():
            """Forget all traces and compiled programs of this function."""
            self.traces.clear()
            clear()

        fn.clear_cache = clear_cache
        return fn

    # -- from a call to a traced program

    def split_static(self, args: tuple, kwargs: dict):
        """``(dynamic args, dynamic kwargs, key of the static ones, function of the dynamic ones)``"""
        if not self.static_argnums and not self.static_argnames:
            return args, kwargs, (), self.fun
        n = len(args)
        positions = {i + n if i < 0 else i for i in self.static_argnums}
        static_kwargs = {k: v for k, v in kwargs.items() if k in self.static_argnames}
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in self.static_argnames}
        static = sorted(i for i in positions if i < n)
        key = (tuple((i, type(args[i]), Hashable(args[i])) for i in static),
               tuple((k, type(v), Hashable(v)) for k, v in sorted(static_kwargs.items())))  # fmt: skip
        call, dynamic = hold_arguments(self.fun, args, static, **static_kwargs)
        return dynamic, dynamic_kwargs, key, call

    def traced(self, args: tuple, kwargs: dict, specs: bool = False):
        """Trace at the types of these arguments: ``(leaves, closed jaxpr, out_tree)``, memoised per signature."""
        dynamic, dynamic_kwargs, static_key, fun = self.split_static(args, kwargs)
        leaves, in_tree = tree.flatten((dynamic, dynamic_kwargs))
        leaves = [jax_array(x) for x in leaves]
        if specs:
            avals = [aval_of_spec(x) for x in leaves]
        else:
            avals = check_leaves(self.fun, leaves, dynamic, dynamic_kwargs, "jit")
        where = placed(leaves)
        key = (
            in_tree,
            tuple(avals),
            static_key,
            current_context().trace_key,
            (scope_key(), where) if where else scope_key(),
        )
        found = self.traces.get(key)
        if found is None:
            if no_tracing.value:
                raise RuntimeError(
                    f"re-tracing function {describe_function(self.fun)} for `jit`, but 'no_tracing' is set: call it "
                    "with these types once before, or leave the option's `with` block."
                )
            if explain_cache_misses.value:
                retraces.explain(self.fun, key, self.traces, dynamic, dynamic_kwargs)
            start = time.perf_counter()
            found = trace_to_closed(fun, in_tree, avals, LazyDebugInfo(fun, dynamic, dynamic_kwargs), where)
            if log_compiles.value:
                seconds = time.perf_counter() - start
                log("jit", "Finished tracing %s for jit in %.6f sec", describe_function(self.fun), seconds)
            warn_of_constants(self.fun, found[0])
            # A program that captured a tracer of an enclosing transformation is of no use outside it.
            if not any(isinstance(c, Tracer) for c in found[0].consts):
                self.traces[key] = found
        return leaves, in_tree, avals, *found

    def call_traced(self, *args, **kwargs):
        """A call inside another transformation, or with tracers: bind one ``jit`` equation."""
        if current_context().disable_jit:
            return self.fun(*args, **kwargs)
        leaves, _, _, closed, out_tree = self.traced(args, kwargs)
        if self.in_shardings is not None:
            leaves = constrain(leaves, spread(self.in_shardings, self.split_static(args, kwargs)[0], "in_shardings"))
        if self.inline:
            outs = eval_jaxpr(closed.jaxpr, closed.consts, *leaves)
        else:
            closed, leaves = hoist_tracers(closed, leaves)
            outs = jit_p.bind(*leaves, jaxpr=closed, name=function_name(self.fun))
        if self.out_shardings is not None:
            outs = constrain(outs, self.results_at(out_tree))
        return out_tree.unflatten(outs)

    # -- placement

    def arguments_at(self, args: tuple, kwargs: dict, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """Where each leaf of the arguments is to be: as ``in_shardings`` says, or where it was put; None for anywhere.

        Raises:
          ValueError: if an argument was put elsewhere than ``in_shardings`` says.
        """
        here = shardings_of(leaves)
        if self.in_shardings is None:
            return here
        dynamic, _, _, _ = self.split_static(args, kwargs)
        if kwargs:
            raise ValueError("jit does not support kwargs when in_shardings is specified: pass them by position.")
        wanted = spread(self.in_shardings, dynamic, "in_shardings")
        for i, (x, want) in enumerate(zip(leaves, wanted, strict=True)):
            if want is not None and here and here[i] is not None and not here[i].is_equivalent_to(want, x.ndim):
                raise ValueError(
                    f"Sharding passed to jit does not match the sharding on the respective arg. Got jit sharding: {want},\n"
                    f"arg sharding: {here[i]} for arg type: {x.aval.str_short(False)}. Move it first: "
                    "addax.device_put(x, sharding)."
                )
        return tuple(w if w is not None else (here[i] if here else None) for i, w in enumerate(wanted))

    def results_at(self, out_tree) -> tuple[Any, ...]:
        """Where each result is to be; () if nothing was asked for."""
        if self.out_shardings is None:
            return ()
        return tuple(spread(self.out_shardings, out_tree.unflatten([0] * out_tree.num_leaves), "out_shardings"))

    def donated_leaves(self, args: tuple, kwargs: dict) -> tuple[int, ...]:
        if not self.donate_argnums and not self.donate_argnames:
            return ()
        donated: list[int] = []
        at = 0
        static = {i + len(args) if i < 0 else i for i in self.static_argnums}
        wanted = {i + len(args) if i < 0 else i for i in self.donate_argnums}
        for i, a in enumerate(args):
            if i in static:
                continue
            count = tree.structure(a).num_leaves
            if i in wanted:
                donated += range(at, at + count)
            at += count
        for k in sorted(kwargs):
            if k in self.static_argnames:
                continue
            count = tree.structure(kwargs[k]).num_leaves
            if k in self.donate_argnames:
                donated += range(at, at + count)
            at += count
        return tuple(donated)

    def compile(self, args: tuple, kwargs: dict):
        """Called by the C++ call path for a new signature: trace and compile, give back its cache entry."""
        if current_context().disable_jit:
            return _native.Entry(None)  # such calls go to `call_traced`, which calls the function
        leaves, _, avals, closed, out_tree = self.traced(args, kwargs)
        donated = self.donated_leaves(args, kwargs)
        kept, program = (None, closed) if self.keep_unused else drop_unused(closed)
        if kept is not None:
            kept_donated = tuple(i for i, k in enumerate(kept) if k in set(donated))
        else:
            kept_donated = donated
        where = self.arguments_at(args, kwargs, leaves)
        if kept is not None and where:
            where = tuple(where[i] for i in kept)
        options = CompileOptions(self.device, kept_donated, self.compiler_options, where, self.results_at(out_tree))
        compiled = compile_program(program, options)
        return _native.Entry(compiled.executable, out_tree, kept, donated, tuple(avals))

    # -- ahead of time

    def trace(self, *args, **kwargs) -> Traced:
        """Trace for these arguments (arrays or `ShapeDtypeStruct`), without compiling."""
        leaves, in_tree, avals, closed, out_tree = self.traced(args, kwargs, specs=True)
        where = self.arguments_at(args, kwargs, leaves)
        if not where:  # descriptions of arrays may say where those will be
            where = tuple(getattr(x, "sharding", None) if isinstance(x, ShapeDtypeStruct) else None for x in leaves)
            where = where if any(where) else ()
        return Traced(
            closed, in_tree, out_tree, avals, function_name(self.fun), self.donated_leaves(args, kwargs),
            CompileOptions(self.device, (), self.compiler_options, where, self.results_at(out_tree)),
        )  # fmt: skip

    def lower(self, *args, **kwargs) -> Lowered:
        """Trace and lower for these arguments; ``.as_text(stage)`` shows every stage, ``.compile()`` finishes."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args, **kwargs):
        """The shapes and dtypes of the results, as `ShapeDtypeStruct`, without running anything."""
        _, _, _, closed, out_tree = self.traced(args, kwargs, specs=True)
        return out_tree.unflatten([ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in closed.out_avals])


def spread(prefix, tree_: Any, what: str) -> list:
    """Shardings for the leaves of a tree, from a prefix of it."""
    is_none = lambda s: s is None  # noqa: E731
    raise_mismatch(f"jit {what}", prefix, tree_, is_none)
    return [None if s is None else as_sharding(s, what) for s in broadcast_prefix(prefix, tree_, is_leaf=is_none)]


def constrain(leaves: Sequence[Any], shardings: Sequence[Any]) -> list:
    """The leaves of a traced call, laid out as its shardings say."""
    return [x if s is None else sharding_constraint.bind(x, sharding=s) for x, s in zip(leaves, shardings, strict=True)]


class Hashable:
    """A static argument as part of a key: hash and equality are its own, and their absence is explained."""

    __slots__ = ("hash", "value")

    def __init__(self, value):
        self.value = value
        try:
            self.hash = hash(value)
        except TypeError as e:
            raise ValueError(
                "Non-hashable static arguments are not supported. An error occurred while trying to hash an object of "
                f"type {type(value)}, {value!r:.100}. The error was:\nTypeError: {e}\nPass a tuple instead of a list, "
                "give the class __hash__ and __eq__, or make the argument an array."
            ) from None

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        return isinstance(other, Hashable) and self.value == other.value


def trace_to_closed(
    fun, in_tree, avals: Sequence[ShapedArray], debug_info, where: tuple = ()
) -> tuple[ClosedJaxpr, Any]:
    """Trace a function of pytrees: ``(closed jaxpr, structure of the result)``. ``where`` its arguments are: see
    ops/explicit.py."""
    flat = FlatFunction(fun, in_tree)

    def program(*leaves):
        if where:
            begin(current_trace(), where)
        return flat(*leaves)

    collects = gc.isenabled()
    gc.disable()  # what is written stays: looking through it for garbage took a quarter of the time of large programs
    try:
        return ClosedJaxpr(*trace_to_jaxpr(program, avals, debug_info)), flat.out_tree
    finally:
        if collects:
            gc.enable()


def warn_of_constants(fun, closed: ClosedJaxpr) -> None:
    """Warn of captured arrays that together reach the size in the option ``captured_constants_warn_bytes``."""
    if not closed.consts:
        return
    limit = captured_constants_warn_bytes.value
    total = sum(x.nbytes for x in closed.consts if isinstance(x, _native.Array))
    if 0 <= limit <= total:
        warn_user(
            f"{describe_function(fun)} captured {total:,} bytes of arrays from its surroundings, which its compiled "
            "program keeps alive. Pass large arrays as arguments; addax_captured_constants_warn_bytes sets the limit."
        )


def hoist_tracers(closed: ClosedJaxpr, args: list) -> tuple[ClosedJaxpr, list]:
    """Make captured tracers of enclosing transformations arguments of the call, and arrays that were put somewhere: there
    the outer program takes them from."""
    captured = [isinstance(c, Tracer) or is_placed(c) for c in closed.consts]
    if not any(captured):
        return closed, args
    pairs = list(zip(closed.jaxpr.constvars, closed.consts, captured, strict=True))
    moved = [v for v, _, t in pairs if t]
    jaxpr = closed.jaxpr.replace(constvars=[v for v, _, t in pairs if not t], invars=[*moved, *closed.jaxpr.invars])
    return ClosedJaxpr(jaxpr, [c for _, c, t in pairs if not t]), [*(c for _, c, t in pairs if t), *args]


def is_placed(x) -> bool:
    """Whether an array was put on a device of another engine."""
    return type(x) is _native.Array and x._committed and x._buffer is not None


def drop_unused(closed: ClosedJaxpr) -> tuple[tuple[int, ...] | None, ClosedJaxpr]:
    """``(indices of the arguments that are read, the program of those)``; indices are None if all are."""
    jaxpr, used = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), keep_inputs=False)
    if all(used):
        return None, closed
    return tuple(i for i, u in enumerate(used) if u), ClosedJaxpr(jaxpr, closed.consts)


def resolve_arguments(
    fun, nums, names, nums_label: str, names_label: str, what: str = "jitted function"
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Normalise argument numbers and names; each implies the other where the signature tells."""
    nums = () if nums is None else (nums,) if isinstance(nums, int) else tuple(nums)
    names = () if names is None else (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(i, int) for i in nums):
        raise TypeError(f"{what}: {nums_label} must be an int or a sequence of ints, got {nums!r}")
    if not all(isinstance(n, str) for n in names):
        raise TypeError(f"{what}: {names_label} must be a str or a sequence of strs, got {names!r}")
    if not nums and not names:
        return (), ()
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return nums, names
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    has_var_positional = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    has_var_keyword = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for i in nums:
        if not has_var_positional and not -len(positional) <= i < len(positional):
            raise ValueError(
                f"{what} has {nums_label}={nums}, but only accepts {len(positional)} positional arguments: "
                f"{describe_function(fun)}."
            )
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for n in names:
        if n not in known and not has_var_keyword:
            raise ValueError(
                f"{what} has invalid argname {n!r} in {names_label}. Function does not take these args: it "
                f"takes {', '.join(sorted(known)) or 'none by name'}."
            )
    by_position = [p.name for p in positional]
    all_nums = set(nums) | {i for i, p in enumerate(positional) if p.name in names}
    all_names = set(names) | {
        by_position[i] for i in nums if -len(by_position) <= i < len(by_position)
        and positional[i].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }  # fmt: skip
    return tuple(sorted(all_nums)), tuple(sorted(all_names))
