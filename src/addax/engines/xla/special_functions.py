"""Special functions that neither StableHLO nor chlo has, as programs of other primitives.

They are expanded in series and continued fractions, in float64 whatever the operands' dtype: the terms cancel, and a
result rounded once is worth the time. (On TPUs, which emulate float64 so slowly that compiling takes minutes, in the
operands' dtype, at least float32.) All loops run until every element has converged.

* P(a, x), Q(a, x), dP/da: power series for x <= 1 or x <= a (DLMF 8.7.1), continued fraction elsewhere (DLMF 8.9.2);
  the expansions of ops/incomplete_gamma.py, whose derivatives are taken term by term.
* I_x(a, b): continued fraction by Lentz's method (DLMF 8.17.22), on the side where it converges fast.
* i0e: power series for |x| <= 16, asymptotic series beyond (DLMF 10.25.2 and 10.40.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.config import enable_x64
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.core.trace import current_trace
from addax.interpreters.jvp import jvp_flat
from addax.interpreters.values import Zero
from addax.ops.control_flow import while_p
from addax.ops.elementwise import (
    abs_,
    add,
    and_,
    div,
    exp,
    ge,
    gt,
    is_finite,
    le,
    lgamma,
    log,
    log1p,
    lt,
    max_,
    mul,
    neg,
    not_,
    or_,
    rsqrt,
    select_n,
    sub,
)
from addax.ops.special import digamma

MAX_TERMS = 20_000  # about 10 sqrt(a) terms are needed near x = a

Carry = Sequence[Any]


def where(mask, x, y, like=None):
    """x where ``mask``, else y; numbers take the shape of the mask, and the dtype of the other or of ``like``."""
    shape = get_aval(mask).shape
    array = next((v for v in (x, y, like) if not isinstance(v, (int, float)) and v is not None), None)
    dtype = get_aval(array).dtype

    def full(v):
        if isinstance(v, (int, float)):
            scalar = np.asarray(v, dtype)[()]
            return registry["broadcast_in_dim"].bind(scalar, shape=shape, broadcast_dimensions=(), sharding=None)
        return v

    return select_n(mask, full(y), full(x))


def _limits(x) -> tuple[float, float]:
    """``(eps, tiny)``: the spacing of numbers at 1, and a number near the smallest with room below it."""
    info = dtypes.finfo(get_aval(x).dtype)
    return float(info.eps), float(info.tiny) * 1e8


def _is_zero(x):
    return registry["eq"].bind(x, mul(x, 0.0))


def _is_infinite(x):
    """inf"""
    return and_(gt(x, 0.0), not_(is_finite(x)))


def _both(*masks):
    out = masks[0]
    for m in masks[1:]:
        out = and_(out, m)
    return out


def ones_like(x):
    return add(mul(x, 0.0), 1.0)


def loop(step: Callable[..., Carry], going: int, *init) -> list:
    """Repeat ``step(n, *values) -> values`` while any element of value number ``going`` (a mask) is true."""
    count = ShapedArray((), get_aval(init[0]).dtype)
    avals = [count, *(get_aval(x) for x in init)]
    axes = tuple(range(len(avals[going + 1].shape)))

    def condition(n, *values):
        unfinished = registry["reduce_or"].bind(values[going], axes=axes)
        return [and_(unfinished, lt(n, float(MAX_TERMS)))]

    def body(n, *values):
        return [add(n, 1.0), *step(n, *values)]

    test, turn = (ClosedJaxpr(*trace_to_jaxpr(f, avals)) for f in (condition, body))
    start = np.ones((), count.dtype)[()]
    return while_p.bind(start, *init, cond_jaxpr=test, body_jaxpr=turn, cond_nconsts=0, body_nconsts=0)[1:]


# ---------------------------------------------------------------------------------------------------------------------
# Incomplete gamma functions: each expansion gives (log of a scale, value, slope) with P or Q = exp(scale) value, and
# dP/da or dQ/da = exp(scale) slope


def _series(a, x):
    """P: x**a e**-x / gamma(a+1) * sum_n x**n / ((a+1)...(a+n)); all terms are positive."""

    small = 0.1 * _limits(a)[0]

    def step(n, a, x, term, total, d_log, d_total, going):
        term = div(mul(term, x), add(a, n))
        d_log = sub(d_log, div(1.0, add(a, n)))
        total = add(total, term)
        change = mul(term, d_log)
        d_total = add(d_total, change)
        going = or_(gt(term, mul(total, small)), gt(abs_(change), mul(abs_(d_total), small)))
        return [a, x, term, total, d_log, d_total, going]

    one, zero = ones_like(a), mul(a, 0.0)
    *_, total, _, d_total, _ = loop(step, 6, a, x, one, one, zero, zero, ge(one, 0.0))
    scale = sub(sub(mul(a, log(x)), x), lgamma(add(a, 1.0)))
    return scale, total, add(mul(total, sub(log(x), digamma(add(a, 1.0)))), d_total)


def _fraction(a, x):
    """Q: x**a e**-x / gamma(a) times the convergents p_k / q_k, which are differentiated in a, too."""

    eps, tiny = _limits(a)

    def step(n, y, z, p0, q0, p1, q1, dp0, dq0, dp1, dq1, value, slope, going):
        y, z = add(y, 1.0), add(z, 2.0)
        w = mul(y, n)  # dw/da = -n
        p2, q2 = sub(mul(p1, z), mul(p0, w)), sub(mul(q1, z), mul(q0, w))
        dp2 = add(sub(sub(mul(dp1, z), p1), mul(dp0, w)), mul(p0, n))
        dq2 = add(sub(sub(mul(dq1, z), q1), mul(dq0, w)), mul(q0, n))
        new_value = div(p2, q2)
        new_slope = div(sub(dp2, mul(new_value, dq2)), q2)
        change = max_(abs_(div(sub(new_slope, slope), new_slope)), abs_(div(sub(new_value, value), new_value)))
        # An element is final once it has converged: p' / q and p q' / q**2 grow, and their difference loses digits.
        value, slope = where(going, new_value, value), where(going, new_slope, slope)
        going = and_(going, gt(change, 5 * eps))
        scale = div(1.0, max_(abs_(q2), tiny))  # the convergents grow like factorials
        news = [mul(v, scale) for v in (p1, q1, p2, q2, dp1, dq1, dp2, dq2)]
        return [y, z, *news, value, slope, going]

    one, zero = ones_like(a), mul(a, 0.0)
    y = sub(1.0, a)
    z = add(add(x, y), 1.0)
    p0, q0, p1, q1 = one, x, add(x, 1.0), mul(z, x)
    dq1 = neg(x)
    value = div(p1, q1)
    slope = div(sub(zero, mul(value, dq1)), q1)
    *_, value, slope, _ = loop(step, 12, y, z, p0, q0, p1, q1, zero, zero, zero, dq1, value, slope, ge(one, 0.0))
    scale = sub(sub(mul(a, log(x)), x), lgamma(a))
    return scale, value, sub(slope, mul(value, sub(digamma(a), log(x))))


def _expansions(a, x):
    """Where each expansion holds, and its results; elsewhere they are those of harmless operands."""
    valid = _both(gt(a, 0.0), gt(x, 0.0), is_finite(a), is_finite(x))
    low = _both(valid, or_(le(x, 1.0), le(x, a)))
    high = _both(valid, not_(low))
    series = _series(where(low, a, 1.0), where(low, x, 0.5))
    fraction = _fraction(where(high, a, 1.0), where(high, x, 2.0))
    return low, high, series, fraction


def _edge(a, x, at_zero: float, at_infinity: float):
    """The value where x is 0 or inf, or a is 0 or inf; NaN outside of the domain."""
    zero_x = _both(_is_zero(x), gt(a, 0.0))
    infinite_x = _both(_is_infinite(x), ge(a, 0.0), is_finite(a))
    zero_a = _both(_is_zero(a), gt(x, 0.0))
    infinite_a = _both(_is_infinite(a), ge(x, 0.0), is_finite(x))
    out = where(zero_x, at_zero, where(infinite_x, at_infinity, math.nan, a))
    return where(zero_a, at_infinity, where(infinite_a, at_zero, out))


def igamma(a, x):
    low, high, (s, p, _), (t, q, _) = _expansions(a, x)
    below, above = mul(exp(s), p), sub(1.0, mul(exp(t), q))
    return where(low, below, where(high, above, _edge(a, x, 0.0, 1.0)))


def igammac(a, x):
    low, high, (s, p, _), (t, q, _) = _expansions(a, x)
    below, above = sub(1.0, mul(exp(s), p)), mul(exp(t), q)
    return where(low, below, where(high, above, _edge(a, x, 1.0, 0.0)))


def igamma_grad_a(a, x):
    """dP/da; 0 at x = 0 and x = inf."""
    low, high, (s, _, ds), (t, _, dt) = _expansions(a, x)
    ends = or_(_is_zero(x), _is_infinite(x))
    edge = where(_both(gt(a, 0.0), ge(x, 0.0), ends), 0.0, math.nan, a)
    return where(low, mul(exp(s), ds), where(high, neg(mul(exp(t), dt)), edge))


def random_gamma_grad(a, x):
    """dx/da of a sample of the gamma distribution: -(dP/da) / (dP/dx), without leaving the log scale."""
    low, high, (s, _, ds), (t, _, dt) = _expansions(a, x)
    inside = or_(low, high)
    safe_a, safe_x = where(inside, a, 1.0), where(inside, x, 1.0)
    log_density = sub(sub(mul(sub(safe_a, 1.0), log(safe_x)), safe_x), lgamma(safe_a))
    below = neg(mul(exp(sub(s, log_density)), ds))
    above = mul(exp(sub(t, log_density)), dt)
    at_zero = _both(gt(a, 0.0), _is_zero(x))
    return where(low, below, where(high, above, where(at_zero, 0.0, math.nan, a)))


def random_gamma_grad_a(a, x):
    """d/da of `random_gamma_grad`."""
    _, (slope,) = jvp_flat(
        lambda *xs: [random_gamma_grad(*xs)], [a, x], [ones_like(a), Zero(get_aval(x))], current_trace()
    )
    return slope


# ---------------------------------------------------------------------------------------------------------------------
# Incomplete beta function


def _beta_fraction(a, b, x):
    """The continued fraction of I_x(a, b) a B(a, b) / (x**a (1-x)**b), by Lentz's method."""

    eps, tiny = _limits(a)

    def away(v):
        """Zero denominators are moved a little."""
        return where(lt(abs_(v), tiny), tiny, v)

    def step(n, a, b, x, c, d, value, going):
        total = add(a, b)
        two_n = mul(n, 2.0)
        even = div(mul(mul(n, sub(b, n)), x), mul(sub(add(a, two_n), 1.0), add(a, two_n)))
        d = div(1.0, away(add(1.0, mul(even, d))))
        c = away(add(1.0, div(even, c)))
        half = mul(value, mul(c, d))
        odd = neg(div(mul(mul(add(a, n), add(total, n)), x), mul(add(a, two_n), add(add(a, two_n), 1.0))))
        d = div(1.0, away(add(1.0, mul(odd, d))))
        c = away(add(1.0, div(odd, c)))
        factor = mul(c, d)
        value = where(going, mul(half, factor), value)
        going = and_(going, gt(abs_(sub(factor, 1.0)), eps))
        return [a, b, x, c, d, value, going]

    one = ones_like(a)
    d = div(1.0, away(sub(1.0, div(mul(add(a, b), x), add(a, 1.0)))))
    *_, value, _ = loop(step, 6, a, b, x, one, d, d, ge(one, 0.0))
    return value


def regularized_incomplete_beta(a, b, x):
    positive = _both(gt(a, 0.0), gt(b, 0.0), is_finite(a), is_finite(b))
    inside = _both(positive, gt(x, 0.0), lt(x, 1.0))
    a_, b_, x_ = where(inside, a, 1.0), where(inside, b, 1.0), where(inside, x, 0.5)
    flip = gt(x_, div(add(a_, 1.0), add(add(a_, b_), 2.0)))  # I_x(a, b) = 1 - I_{1-x}(b, a)
    p, q = where(flip, b_, a_), where(flip, a_, b_)
    y, log_y = where(flip, sub(1.0, x_), x_), where(flip, log1p(neg(x_)), log(x_))
    log_rest = where(flip, log(x_), log1p(neg(x_)))
    log_beta = sub(add(lgamma(p), lgamma(q)), lgamma(add(p, q)))
    front = div(exp(sub(add(mul(p, log_y), mul(q, log_rest)), log_beta)), p)
    value = mul(front, _beta_fraction(p, q, y))
    value = where(flip, sub(1.0, value), value)
    zero, one = _both(positive, _is_zero(x)), _both(positive, _is_zero(sub(x, 1.0)))
    edge = where(zero, 0.0, where(one, 1.0, math.nan, x))
    return where(inside, value, edge)


# ---------------------------------------------------------------------------------------------------------------------
# Modified Bessel function


def bessel_i0e(x):
    """exp(-|x|) I_0(x)"""
    size = abs_(x)
    small = le(size, 16.0)
    near = where(small, size, 1.0)
    quarter = mul(mul(near, near), 0.25)
    term, total = ones_like(near), ones_like(near)
    for k in range(1, 45):  # terms fall from k = 8 on; at k = 45 they are below 1e-18 of the sum
        term = mul(mul(term, quarter), 1.0 / (k * k))
        total = add(total, term)
    inverse = div(1.0, where(small, 16.0, size))
    term, sum_ = ones_like(inverse), ones_like(inverse)
    for k in range(1, 20):  # sum of ((2k-1)!!)**2 / (k! (8x)**k), which shrinks up to k = 2x
        term = mul(mul(term, inverse), (2 * k - 1) ** 2 / (8.0 * k))
        sum_ = add(sum_, term)
    far = mul(mul(rsqrt(where(small, 16.0, size)), 1.0 / math.sqrt(2 * math.pi)), sum_)
    out = where(small, mul(total, exp(neg(near))), far)
    return where(ge(size, 0.0), out, math.nan)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bessel_i0e": bessel_i0e,
    "igamma": igamma,
    "igamma_grad_a": igamma_grad_a,
    "igammac": igammac,
    "random_gamma_grad": random_gamma_grad,
    "random_gamma_grad_a": random_gamma_grad_a,
    "regularized_incomplete_beta": regularized_incomplete_beta,
}


def program(name: str, shape: tuple[int, ...], dtype: np.dtype) -> ClosedJaxpr:
    """The function ``name`` of arrays of one shape and dtype."""
    fun = FUNCTIONS[name]
    count = registry[name].arity  # type: ignore[attr-defined]
    avals = [ShapedArray(shape, dtype)] * count
    with enable_x64(True):
        return ClosedJaxpr(*trace_to_jaxpr(lambda *xs: [fun(*xs)], avals))
