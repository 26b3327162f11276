"""Taylor mode: values travel with the coefficients of a polynomial in one variable t.

A value is ``x0 + x1 t + x2 t^2 + ... + xK t^K``, a list of K + 1 arrays (a *series*), where a coefficient that is known to
be zero is a symbolic `Zero`. `JetTrace` maps series through each primitive: by its rule in `taylor_rules`, which are written
in ``ops/taylor.py``, or else by its derivative (`JetTrace._by_derivative`). Costs grow with K squared or cubed; nested `jvp` would
double them with every order.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core.avals import get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.primitive import Primitive, registry
from addax.core.trace import Trace, Tracer, check_alive, current_trace, swap_trace
from addax.interpreters.values import Zero, instantiate, scalar_of

Series = list  # of K + 1 coefficients

# primitive name -> ``(series of each operand, **params) -> series`` (a list of them for several results)
taylor_rules: dict[str, Callable[..., Any]] = {}
# Call-like primitives whose derivative is not that of the program they stand for.
by_derivative: set[str] = set()


class JetTracer(Tracer):
    """A value and its higher coefficients."""

    __slots__ = ("series",)

    def __init__(self, trace: JetTrace, series: Series):
        self._trace, self.series = trace, series
        self.aval = get_aval(series[0])

    def concrete(self):
        x = self.series[0]
        return x.concrete() if isinstance(x, Tracer) else x

    def origin(self) -> str:
        x = self.series[0]
        return x.origin() if isinstance(x, Tracer) else ""

    def __repr__(self) -> str:
        return f"JetTracer({', '.join(map(str, self.series))})"

    __str__ = __repr__


class JetTrace(Trace):
    def __init__(self, parent: Trace, order: int, memo: dict | None = None):
        self.parent, self.order, self.memo = parent, order, memo
        self.alive = True

    def unpack(self, x) -> Series:
        if type(x) is JetTracer and x._trace is self:
            return x.series
        if isinstance(x, Tracer):
            check_alive(x)
        return [x, *[Zero.of(x)] * self.order]

    def pack(self, series: Series):
        return series[0] if is_constant(series) else JetTracer(self, series)

    def process(self, primitive, args, params):
        series = [self.unpack(x) for x in args]
        if all(map(is_constant, series)):
            return self._under_parent(lambda: self.parent.process(primitive, tuple(s[0] for s in series), params))
        rule = taylor_rules.get(primitive.name)
        out = NotImplemented
        if rule is not None:
            out = self._under_parent(lambda: rule(series, **params))
        elif primitive.expand is not None and primitive.name not in by_derivative:
            program = primitive.expand(*[get_aval(x) for x in args], **params)
            return eval_jaxpr(program.jaxpr, program.consts, *args)
        if out is NotImplemented:
            out = self._by_derivative(primitive, series, params)
        return [self.pack(s) for s in out] if primitive.multiple_results else self.pack(out)

    def _under_parent(self, fun):
        previous = swap_trace(self.parent)
        try:
            return fun()
        finally:
            swap_trace(previous)

    def _by_derivative(self, primitive: Primitive, series: list[Series], params) -> Any:
        """Any primitive, from its jvp: ``y' = f'(x) x'``, so the coefficients of y are those of y', integrated.

        The derivative is evaluated on series of one order less, where it meets the same primitive again, and so on. What
        has been evaluated is remembered, or the work would double with every order.
        """
        memo = {} if self.memo is None else self.memo
        key: Any = (primitive, tuple(tuple(map(_identity, s)) for s in series), *params.items())
        try:
            found = memo.get(key)
        except TypeError:  # an unhashable parameter
            key = found = None
        if found is not None:
            return found[0]
        below = JetTrace(self.parent, self.order - 1, memo)
        with_terms = [not is_constant(s) for s in series]
        primals = [below.pack(s[:-1]) for s in series]
        previous = swap_trace(self.parent)
        try:
            tangents = [
                below.pack(_derived(s, memo)) if live else Zero.of(s[0])
                for s, live in zip(series, with_terms, strict=True)
            ]
            swap_trace(below)
            outs, out_tangents = primitive.jvp(tuple(primals), tuple(tangents), **params)
            swap_trace(self.parent)
            several = primitive.multiple_results
            pairs = zip(outs, out_tangents, strict=True) if several else [(outs, out_tangents)]
            results = [self._integrated(below, x, t) for x, t in pairs]
        finally:
            swap_trace(previous)
            below.alive = False
        result = results if several else results[0]
        if key is not None:
            memo[key] = result, series  # which keeps the identities in the key unique
        return result

    def _integrated(self, below: JetTrace, out, tangent) -> Series:
        value = below.unpack(out)[0]
        if type(tangent) is Zero:
            return [value, *[Zero.of(value)] * self.order]
        return [value, *(scaled(c, 1 / (k + 1)) for k, c in enumerate(below.unpack(tangent)))]


def is_constant(series: Series) -> bool:
    return all(type(c) is Zero for c in series[1:])


def _identity(x):
    return x.aval if type(x) is Zero else id(x)


def _derived(series: Series, memo: dict) -> Series:
    """The series of the derivative."""
    out = []
    for k, c in enumerate(series[1:], 1):
        if type(c) is Zero:
            out.append(c)
        else:
            key = ("derived", id(c), k)
            if key not in memo:
                memo[key] = scaled(c, k), c
            out.append(memo[key][0])
    return [instantiate(out[0]), *out[1:]]


def scaled(x, factor: float):
    """A coefficient times a number."""
    if type(x) is Zero or factor == 1:
        return x
    return registry["mul"].bind(x, scalar_of(factor, get_aval(x)))


def jet_flat(fun: Callable[..., Sequence], series: Sequence[Series], order: int, parent: Trace) -> list[Series]:
    """Run a flat function on series."""
    trace = JetTrace(parent, order)
    args = [trace.pack(s) for s in series]
    previous = swap_trace(trace)
    try:
        outs = fun(*args)
    finally:
        swap_trace(previous)
        trace.alive = False
    return [trace.unpack(x) for x in outs]


def jet_jaxpr(
    closed: ClosedJaxpr, order: int, live: Sequence[bool], force_live: Sequence[bool] | None = None
) -> tuple[ClosedJaxpr, list[bool]]:
    """The program on series, as a program: ``(primals..., coefficients...) -> (primals..., coefficients...)``.

    Args:
      live: which inputs have coefficients: for each of them, in order, ``order`` arrays follow the primals.
      force_live: outputs that must have them, even if they are zero.

    Returns:
      the program and which outputs have coefficients. Memoised on ``closed``.
    """
    forced = (False,) * len(closed.out_avals) if force_live is None else tuple(force_live)
    return closed.derive(_series_program, order, tuple(live), forced)


def _series_program(closed: ClosedJaxpr, order: int, live: tuple[bool, ...], forced: tuple[bool, ...]):
    out_live = []

    def program(*values):
        rest = iter(values[len(live) :])
        series = [
            [x, *(next(rest) if has else Zero.of(x) for _ in range(order))]
            for x, has in zip(values[: len(live)], live, strict=True)
        ]
        outs = jet_flat(lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), series, order, current_trace())
        out_live.extend(f or not is_constant(s) for f, s in zip(forced, outs, strict=True))
        return [*(s[0] for s in outs),
                *(instantiate(c) for s, has in zip(outs, out_live, strict=True) if has for c in s[1:])]  # fmt: skip

    terms = [a.to_tangent() for a, has in zip(closed.in_avals, live, strict=True) if has for _ in range(order)]
    avals = [*closed.in_avals, *terms]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals, closed.jaxpr.debug_info)), out_live


__all__ = [
    "JetTrace",
    "JetTracer",
    "Series",
    "by_derivative",
    "is_constant",
    "jet_flat",
    "jet_jaxpr",
    "scaled",
    "taylor_rules",
]
