"""Complex arithmetic and elementary functions on pairs (re, im) of registers.

Multiplication is the plain formula, as in NumPy and XLA. Division and absolute value scale by powers of two, so they
overflow only if the result does. Everything transcendental is evaluated in double also for complex64
(``pair_in_double``) as one shared helper per module; the inverse functions follow Kahan, "Branch Cuts for Complex
Elementary Functions" (1987), with his signs of zero on the cuts.
"""

from __future__ import annotations

from collections.abc import Callable

from addax.engines.cpu import vecmath, vecmath_trig
from addax.engines.cpu.emit_builder import Math

Pair = tuple[str, str]
INF, NAN = float("inf"), float("nan")


def pair_in_double(fn: Callable[..., Pair]) -> Callable[..., Pair]:
    """Evaluate ``fn(math, *pairs) -> pair`` in double, as an outlined helper."""
    name = "c" + fn.__name__

    def body(m: Math, *parts: str) -> Pair:
        return fn(m, *zip(parts[0::2], parts[1::2], strict=True))

    def both(m: Math, *pairs: Pair) -> Pair:
        flat = [p for pair in pairs for p in pair]
        if m.bits == 64:
            return m.outlined_pair(name, body, *flat)
        re, im = m.wide().outlined_pair(name, body, *[m.widen(p) for p in flat])
        return m.narrow_from(re), m.narrow_from(im)

    both.direct = fn
    return both


def add(m: Math, a: Pair, b: Pair) -> Pair:
    return m.add(a[0], b[0]), m.add(a[1], b[1])


def sub(m: Math, a: Pair, b: Pair) -> Pair:
    return m.sub(a[0], b[0]), m.sub(a[1], b[1])


def neg(m: Math, a: Pair) -> Pair:
    return m.neg(a[0]), m.neg(a[1])


def mul(m: Math, a: Pair, b: Pair) -> Pair:
    re = m.sub(m.mul(a[0], b[0]), m.mul(a[1], b[1]))
    return re, m.add(m.mul(a[0], b[1]), m.mul(a[1], b[0]))


def power_of_two_near(m: Math, v: str) -> str:
    """2^-k for 2^k <= v < 2^(k+1), kept inside the normal range; 1 for zero, inf and nan."""
    k = vecmath.MANTISSA[m.bits]
    bias2 = 2 ** (m.bits - 1 - k) - 2  # twice the exponent bias
    field = m.i("lshr", m.bitsof(v), m.ci(k))
    flipped = m.i("sub", m.ci(bias2), field)
    ok = m.mand(m.icmp("sgt", field, m.ci(0)), m.icmp("sgt", flipped, m.ci(0)))
    flipped = m.iselect(ok, flipped, m.ci(1))
    s = m.frombits(m.i("shl", flipped, m.ci(k)))
    odd = m.mor(m.cmp("oeq", v, m.c(0.0)), m.mnot(m.cmp("olt", v, m.c(INF))))
    return m.select(odd, m.c(1.0), s)


def larger(m: Math, a: Pair) -> str:
    return m.max(m.abs(a[0]), m.abs(a[1]))


def div(m: Math, a: Pair, b: Pair) -> Pair:
    """a * conj(b) / |b|^2 with b (and a) brought near 1; infinities and zeros as in C (annex G)."""
    sb = power_of_two_near(m, larger(m, b))
    sa = power_of_two_near(m, larger(m, a))
    c, d = m.mul(b[0], sb), m.mul(b[1], sb)
    x, y = m.mul(a[0], sa), m.mul(a[1], sa)
    norm = m.fma(c, c, m.mul(d, d))
    re = m.div(m.fma(x, c, m.mul(y, d)), norm)
    im = m.div(m.fma(y, c, m.neg(m.mul(x, d))), norm)
    # undo: times sb / sa, one factor at a time so that neither overflows early
    back = m.div(m.c(1.0), sa)
    small = m.cmp("olt", back, m.c(1.0))
    first, second = m.select(small, sb, back), m.select(small, back, sb)
    re, im = m.mul(m.mul(re, first), second), m.mul(m.mul(im, first), second)
    # recover infinities and zeros where the formula gives nan
    nan = m.mand(m.isnan(re), m.isnan(im))
    inf, zero = m.c(INF), m.c(0.0)
    b_zero = m.mand(m.cmp("oeq", b[0], zero), m.cmp("oeq", b[1], zero))
    a_some = m.mnot(m.mand(m.isnan(a[0]), m.isnan(a[1])))
    top = m.copysign(inf, b[0])
    case1 = m.mand(nan, m.mand(b_zero, a_some))
    re = m.select(case1, m.mul(top, a[0]), re)
    im = m.select(case1, m.mul(top, a[1]), im)
    a_inf = m.mor(m.cmp("oeq", m.abs(a[0]), inf), m.cmp("oeq", m.abs(a[1]), inf))
    b_inf = m.mor(m.cmp("oeq", m.abs(b[0]), inf), m.cmp("oeq", m.abs(b[1]), inf))
    a_fin = m.mand(m.cmp("olt", m.abs(a[0]), inf), m.cmp("olt", m.abs(a[1]), inf))
    b_fin = m.mand(m.cmp("olt", m.abs(b[0]), inf), m.cmp("olt", m.abs(b[1]), inf))

    def unit(p: Pair) -> Pair:
        return tuple(m.copysign(m.select(m.cmp("oeq", m.abs(v), inf), m.c(1.0), zero), v) for v in p)

    ux, uy = unit(a)
    case2 = m.mand(nan, m.mand(a_inf, b_fin))
    re = m.select(case2, m.mul(inf, m.add(m.mul(ux, b[0]), m.mul(uy, b[1]))), re)
    im = m.select(case2, m.mul(inf, m.sub(m.mul(uy, b[0]), m.mul(ux, b[1]))), im)
    uc, ud = unit(b)
    case3 = m.mand(nan, m.mand(b_inf, a_fin))
    re = m.select(case3, m.mul(zero, m.add(m.mul(a[0], uc), m.mul(a[1], ud))), re)
    im = m.select(case3, m.mul(zero, m.sub(m.mul(a[1], uc), m.mul(a[0], ud))), im)
    return re, im


def abs(m: Math, a: Pair) -> str:
    if m.bits == 32:
        w = m.wide()
        x, y = m.widen(a[0]), m.widen(a[1])
        r = m.narrow_from(w.sqrt(w.fma(x, x, w.mul(y, y))))
    else:
        r = hypot(m, *a)
    inf = m.c(INF)
    infinite = m.mor(m.cmp("oeq", m.abs(a[0]), inf), m.cmp("oeq", m.abs(a[1]), inf))
    return m.select(infinite, inf, r)


def hypot(m: Math, x: str, y: str) -> str:
    s = power_of_two_near(m, larger(m, (x, y)))
    xs, ys = m.mul(x, s), m.mul(y, s)
    return m.div(m.sqrt(m.fma(xs, xs, m.mul(ys, ys))), s)


def sign(m: Math, a: Pair) -> Pair:
    r = abs(m, a)
    zero = m.cmp("oeq", r, m.c(0.0))
    r = m.select(zero, m.c(1.0), r)
    return m.div(a[0], r), m.div(a[1], r)


@pair_in_double
def sqrt(m: Math, a: Pair) -> Pair:
    x, y = a
    # Scale by 4^-k so that nothing overflows, and by 2^k at the end.
    big = larger(m, a)
    huge, tiny = m.cmp("ogt", big, m.c(2.0**1000)), m.cmp("olt", big, m.c(2.0**-960))
    s = m.select(huge, m.c(2.0**-4), m.select(tiny, m.c(2.0**104), m.c(1.0)))
    back = m.select(huge, m.c(2.0**2), m.select(tiny, m.c(2.0**-52), m.c(1.0)))
    xs, ys = m.mul(x, s), m.mul(y, s)
    h = hypot(m, xs, ys)
    t = m.sqrt(m.mul(m.add(m.abs(xs), h), m.c(0.5)))
    zero = m.cmp("oeq", t, m.c(0.0))
    u = m.div(m.mul(m.abs(ys), m.c(0.5)), m.select(zero, m.c(1.0), t))
    right = m.cmp("oge", x, m.c(0.0))
    re = m.mul(m.select(right, t, u), back)
    im = m.copysign(m.mul(m.select(right, u, t), back), y)
    inf = m.c(INF)
    # inf in the imaginary part wins; x = +-inf next
    y_inf, x_inf = m.cmp("oeq", m.abs(y), inf), m.cmp("oeq", m.abs(x), inf)
    nan_y = m.isnan(y)
    positive = m.cmp("ogt", x, m.c(0.0))
    flat = m.select(nan_y, y, m.c(0.0))
    re = m.select(x_inf, m.select(positive, inf, flat), re)
    im = m.select(x_inf, m.copysign(m.select(positive, flat, inf), y), im)
    re = m.select(y_inf, inf, re)
    return re, m.select(y_inf, y, im)


@pair_in_double
def rsqrt(m: Math, a: Pair) -> Pair:
    return div(m, (m.c(1.0), m.c(0.0)), sqrt.direct(m, a))


def _exp(m: Math, a: Pair) -> Pair:
    x, y = a
    h = vecmath.exp(m, m.mul(x, m.c(0.5)))  # squared at the end: e^x alone may overflow where the product does not
    s, c = vecmath_trig.sin(m, y), vecmath_trig.cos(m, y)
    real = m.cmp("oeq", y, m.c(0.0))
    re = m.select(real, vecmath.exp(m, x), m.mul(m.mul(h, c), h))
    im = m.select(real, y, m.mul(m.mul(h, s), h))
    # e^-inf is 0 and e^inf is inf whatever the angle
    lost = m.mnot(m.cmp("olt", m.abs(y), m.c(INF)))
    down, up = m.cmp("oeq", x, m.c(-INF)), m.mand(m.cmp("oeq", x, m.c(INF)), lost)
    re = m.select(down, m.select(lost, m.c(0.0), m.mul(c, m.c(0.0))), m.select(up, m.c(INF), re))
    im = m.select(down, m.select(lost, m.c(0.0), m.mul(s, m.c(0.0))), m.select(up, m.c(NAN), im))
    return re, m.select(real, y, im)


@pair_in_double
def exp(m: Math, a: Pair) -> Pair:
    return _exp(m, a)


@pair_in_double
def exp2(m: Math, a: Pair) -> Pair:
    ln2 = m.c(0.6931471805599453)
    re, im = _exp(m, (m.mul(a[0], ln2), m.mul(a[1], ln2)))
    real = m.cmp("oeq", a[1], m.c(0.0))
    return m.select(real, vecmath.exp2(m, a[0]), re), im


@pair_in_double
def expm1(m: Math, a: Pair) -> Pair:
    """(expm1(x) cos y - 2 sin(y/2)^2, e^x sin y)."""
    x, y = a
    re, im = _exp(m, a)
    s = vecmath_trig.sin(m, m.mul(y, m.c(0.5)))
    near = m.fma(m.mul(s, s), m.c(-2.0), m.mul(vecmath.expm1(m, x), vecmath_trig.cos(m, y)))
    small = m.cmp("olt", m.abs(x), m.c(30.0))
    re = m.select(small, near, m.sub(re, m.c(1.0)))
    return m.select(m.cmp("oeq", y, m.c(0.0)), vecmath.expm1(m, x), re), im


def log_abs(m: Math, x: str, y: str) -> str:
    """log|x + iy|, exact to a few ulp also where |z| is near 1."""
    ax, ay = m.abs(x), m.abs(y)
    big, small = m.max(ax, ay), m.min(ax, ay)
    s = power_of_two_near(m, big)
    bs, ss = m.mul(big, s), m.mul(small, s)
    far = m.sub(m.mul(vecmath.log(m, m.fma(bs, bs, m.mul(ss, ss))), m.c(0.5)), vecmath.log(m, s))
    d = m.fma(m.sub(big, m.c(1.0)), m.add(big, m.c(1.0)), m.mul(small, small))
    near = m.mul(vecmath.log1p(m, d), m.c(0.5))
    close = m.mand(m.cmp("ogt", big, m.c(0.5)), m.cmp("olt", big, m.c(1.5)))
    r = m.select(close, near, far)
    inf = m.c(INF)
    r = m.select(m.mor(m.cmp("oeq", ax, inf), m.cmp("oeq", ay, inf)), inf, r)
    r = m.select(m.cmp("oeq", big, m.c(0.0)), m.c(-INF), r)
    finite = m.mand(m.cmp("one", ax, inf), m.cmp("one", ay, inf))  # ordered: false also for nan
    return m.select(m.mor(finite, m.cmp("oeq", r, inf)), r, m.c(NAN))


def _log(m: Math, a: Pair) -> Pair:
    return log_abs(m, *a), vecmath_trig.atan2(m, a[1], a[0])


@pair_in_double
def log(m: Math, a: Pair) -> Pair:
    return _log(m, a)


@pair_in_double
def log1p(m: Math, a: Pair) -> Pair:
    x, y = a
    u = m.add(x, m.c(1.0))
    d = m.fma(y, y, m.mul(x, m.add(x, m.c(2.0))))
    near = m.mul(vecmath.log1p(m, d), m.c(0.5))
    close = m.mand(m.cmp("olt", m.abs(x), m.c(0.5)), m.cmp("olt", m.abs(y), m.c(1.0)))
    return m.select(close, near, log_abs(m, u, y)), vecmath_trig.atan2(m, y, u)


@pair_in_double
def logistic(m: Math, a: Pair) -> Pair:
    re, im = _exp(m, neg(m, a))
    return div(m, (m.c(1.0), m.c(0.0)), (m.add(re, m.c(1.0)), im))


@pair_in_double
def pow(m: Math, a: Pair, b: Pair) -> Pair:
    """exp(b log a); 1 for b = 0, 0 for a = 0 with Re b > 0."""
    re, im = _exp(m, mul(m, _log(m, a), b))
    zero = m.c(0.0)
    a_zero = m.mand(m.cmp("oeq", a[0], zero), m.cmp("oeq", a[1], zero))
    b_zero = m.mand(m.cmp("oeq", b[0], zero), m.cmp("oeq", b[1], zero))
    positive = m.mand(a_zero, m.cmp("ogt", b[0], zero))
    re, im = m.select(positive, zero, re), m.select(positive, zero, im)
    return m.select(b_zero, m.c(1.0), re), m.select(b_zero, zero, im)


def _times(m: Math, a: str, b: str) -> str:
    """a * b with 0 * inf = 0, for products such as sin(x) sinh(y)."""
    zero = m.cmp("oeq", a, m.c(0.0))
    return m.select(zero, a, m.mul(a, b))


@pair_in_double
def sinh(m: Math, a: Pair) -> Pair:
    x, y = a
    s, c = vecmath_trig.sin(m, y), vecmath_trig.cos(m, y)
    re, im = m.mul(vecmath.sinh(m, x), c), _times(m, s, vecmath.cosh(m, x))
    big = m.mand(m.cmp("ogt", m.abs(x), m.c(40.0)), m.cmp("olt", m.abs(x), m.c(INF)))
    h = vecmath.exp(m, m.mul(m.abs(x), m.c(0.5)))
    half = m.mul(h, m.c(0.5))
    re = m.select(big, m.mul(m.mul(half, m.mul(c, m.copysign(m.c(1.0), x))), h), re)
    return re, m.select(big, m.mul(m.mul(half, s), h), im)


@pair_in_double
def cosh(m: Math, a: Pair) -> Pair:
    x, y = a
    s, c = vecmath_trig.sin(m, y), vecmath_trig.cos(m, y)
    re, im = m.mul(vecmath.cosh(m, x), c), _times(m, s, vecmath.sinh(m, x))
    big = m.mand(m.cmp("ogt", m.abs(x), m.c(40.0)), m.cmp("olt", m.abs(x), m.c(INF)))
    h = vecmath.exp(m, m.mul(m.abs(x), m.c(0.5)))
    half = m.mul(h, m.c(0.5))
    re = m.select(big, m.mul(m.mul(half, c), h), re)
    return re, m.select(big, m.mul(m.mul(half, m.mul(s, m.copysign(m.c(1.0), x))), h), im)


def _turn(fn: Callable[[Math, Pair], Pair]) -> Callable[[Math, Pair], Pair]:
    """z -> -i f(iz): tan from tanh, sin from sinh, atan from atanh, asin from asinh."""

    def turned(m: Math, a: Pair) -> Pair:
        re, im = fn(m, (m.neg(a[1]), a[0]))
        return im, m.neg(re)

    return turned


sin = _turn(sinh)


def cos(m: Math, a: Pair) -> Pair:
    return cosh(m, (m.neg(a[1]), a[0]))


@pair_in_double
def tanh(m: Math, a: Pair) -> Pair:
    x, y = a
    t = vecmath_trig.tan(m, y)
    beta = m.fma(t, t, m.c(1.0))
    s = vecmath.sinh(m, m.max(m.c(-30.0), m.min(m.c(30.0), x)))
    rho = m.sqrt(m.fma(s, s, m.c(1.0)))
    norm = m.fma(m.mul(beta, s), s, m.c(1.0))
    t_inf = m.cmp("oeq", m.abs(t), m.c(INF))
    re = m.div(m.mul(m.mul(beta, rho), s), norm)
    re = m.select(t_inf, m.div(rho, s), re)
    im = m.select(t_inf, m.div(m.c(1.0), t), m.div(t, norm))
    big = m.cmp("ogt", m.abs(x), m.c(22.0))
    sc = m.mul(vecmath_trig.sin(m, y), vecmath_trig.cos(m, y))
    e = vecmath.exp(m, m.mul(m.abs(x), m.c(-2.0)))
    far = m.mul(m.mul(sc, m.c(4.0)), e)
    infinite = m.cmp("oeq", m.abs(x), m.c(INF))
    far = m.select(infinite, m.copysign(m.c(0.0), m.select(m.isnan(sc), m.c(1.0), sc)), far)
    return m.select(big, m.copysign(m.c(1.0), x), re), m.select(big, far, im)


tan = _turn(tanh)


def _one_minus_plus(m: Math, a: Pair) -> tuple[Pair, Pair]:
    """sqrt(1 - z), sqrt(1 + z)."""
    x, y = a
    return sqrt.direct(m, (m.sub(m.c(1.0), x), m.neg(y))), sqrt.direct(m, (m.add(m.c(1.0), x), y))


@pair_in_double
def asin(m: Math, a: Pair) -> Pair:
    p, q = _one_minus_plus(m, a)
    re = vecmath_trig.atan2(m, a[0], m.sub(m.mul(p[0], q[0]), m.mul(p[1], q[1])))
    im = vecmath.asinh(m, m.sub(m.mul(p[0], q[1]), m.mul(p[1], q[0])))
    inf = m.c(INF)
    x_inf, y_inf = m.cmp("oeq", m.abs(a[0]), inf), m.cmp("oeq", m.abs(a[1]), inf)
    limit = m.select(y_inf, m.c(0.7853981633974483), m.c(1.5707963267948966))
    re = m.select(x_inf, m.copysign(limit, a[0]), re)
    im = m.select(m.mor(x_inf, y_inf), inf, im)
    return re, m.copysign(im, a[1])


@pair_in_double
def acos(m: Math, a: Pair) -> Pair:
    p, q = _one_minus_plus(m, a)
    half = vecmath_trig.atan2(m, p[0], q[0])
    im = vecmath.asinh(m, m.sub(m.mul(q[0], p[1]), m.mul(q[1], p[0])))
    return m.add(half, half), im


@pair_in_double
def acosh(m: Math, a: Pair) -> Pair:
    x, y = a
    p = sqrt.direct(m, (m.sub(x, m.c(1.0)), y))
    q = sqrt.direct(m, (m.add(x, m.c(1.0)), y))
    re = vecmath.asinh(m, m.fma(p[0], q[0], m.mul(p[1], q[1])))
    half = vecmath_trig.atan2(m, p[1], q[0])
    return re, m.add(half, half)


@pair_in_double
def atanh(m: Math, a: Pair) -> Pair:
    x, y = a
    one = m.c(1.0)
    huge = m.mnot(m.cmp("olt", larger(m, a), m.c(1e150)))
    xs, ys = m.select(huge, one, x), m.select(huge, one, y)
    away = m.sub(one, m.abs(xs))
    yy = m.mul(ys, ys)
    re = m.mul(vecmath.log1p(m, m.div(m.mul(m.abs(xs), m.c(4.0)), m.fma(away, away, yy))), m.c(0.25))
    re = m.select(huge, m.c(0.0), re)
    twice = m.add(ys, ys)
    im = m.mul(vecmath_trig.atan2(m, twice, m.sub(m.mul(away, m.add(one, m.abs(xs))), yy)), m.c(0.5))
    im = m.select(huge, m.c(1.5707963267948966), im)
    nan = m.cmp("uno", x, y)
    bad = m.c(NAN)
    return m.select(nan, bad, m.copysign(re, x)), m.select(nan, bad, m.copysign(im, y))


def asinh(m: Math, a: Pair) -> Pair:
    """asinh(z) = i asin(-iz)."""
    re, im = asin(m, (a[1], m.neg(a[0])))
    return m.neg(im), re


atan = _turn(atanh)
