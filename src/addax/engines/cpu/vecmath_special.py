"""Vector special functions: the error function and its relatives, lgamma and digamma.

Float32 ``erf_inv`` is Giles' single-precision approximation ("Approximating the erfinv function", GPU Computing Gems
2, 2011), with its published coefficients and w = -log1p(-x*x): it is what XLA evaluates, so normal random numbers
agree with the field's. Near |x| = 1 it is as inexact as x*x is; the double version forms 1 - x^2 exactly.
"""

from __future__ import annotations

from addax.engines.cpu import vecmath_tables as tables
from addax.engines.cpu.emit_builder import Math
from addax.engines.cpu.vecmath import INF, NAN, exp, in_double, log, log1p
from addax.engines.cpu.vecmath_trig import sin, tan

# fmt: off
GILES_CENTRE = (
    1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06, -3.5233877e-06,
    3.43273939e-07, 2.81022636e-08,
)
GILES_TAIL = (
    2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558,
    -0.000200214257,
)
# fmt: on


def erf(m: Math, x: str) -> str:
    a = m.abs(x)
    z = m.mul(a, a)
    if m.bits == 32:
        small = m.fma(a, m.poly2(z, tables.ERF_F32), a)
        d = m.sub(m.min(m.c(4.0), a), m.c(1.0))
        tail = exp(m, m.neg(m.poly2(d, tables.ERF_TAIL_F32)))
    else:
        small = m.fma(a, m.poly2(z, tables.ERF_F64), a)
        b = m.min(m.c(6.0), a)
        u = m.div(m.sub(b, m.c(3.0)), m.add(b, m.c(3.0)))
        tail = m.mul(exp(m, m.neg(m.mul(b, b))), m.poly2(u, tables.ERFCX_F64))
    y = m.select(m.cmp("ogt", a, m.c(1.0)), m.sub(m.c(1.0), tail), small)
    return m.copysign(y, x)


def erfc_body(m: Math, x: str) -> str:
    a = m.abs(x)
    z = m.mul(a, a)
    small = m.sub(m.c(1.0), m.fma(x, m.poly2(z, tables.ERF_F64), x))
    b = m.min(m.c(28.0), a)
    u = m.div(m.sub(b, m.c(3.0)), m.add(b, m.c(3.0)))
    # exp(-b^2) = exp(-h^2) exp(-(b-h)(b+h)) with h the leading 26 bits of b, so that h^2 is exact.
    h = m.frombits(m.i("and", m.bitsof(b), m.ci(-(1 << 27))))
    d = m.mul(m.sub(h, b), m.add(h, b))
    e1 = exp(m, m.neg(m.mul(h, h)))
    e2 = m.fma(d, m.fma(d, m.fma(d, m.c(1 / 6), m.c(0.5)), m.c(1.0)), m.c(1.0))
    tail = m.mul(m.mul(e1, e2), m.div(m.poly2(u, tables.ERFC_F64), m.add(b, m.c(1.0))))
    tail = m.select(m.cmp("olt", x, m.c(0.0)), m.sub(m.c(2.0), tail), tail)
    y = m.select(m.cmp("ogt", a, m.c(0.5)), tail, small)
    return m.select(m.isnan(x), x, y)


@in_double
def erfc(m: Math, x: str) -> str:
    return m.outlined("erfc", erfc_body, x)


def erf_inv(m: Math, x: str) -> str:
    if m.bits == 32:
        w = m.neg(log1p(m, m.neg(m.mul(x, x))))
        centre = m.cmp("olt", w, m.c(5.0))
        c = m.sub(w, m.c(2.5))
        t = m.sub(m.sqrt(w), m.c(3.0))
        y = m.select(centre, m.poly(c, GILES_CENTRE), m.poly(t, GILES_TAIL))
        y = m.mul(y, x)
        return m.select(m.cmp("oeq", m.abs(x), m.c(1.0)), m.mul(x, m.c(INF)), y)
    return m.outlined("erf_inv", erf_inv_body, x)


def erf_inv_body(m: Math, x: str) -> str:
    w = m.neg(log(m, m.fma(m.neg(x), x, m.c(1.0))))
    root = m.sqrt(w)
    a = m.poly(m.sub(w, m.c(3.25)), tables.ERFINV_A_F64)
    b = m.poly(m.sub(root, m.c(3.25)), tables.ERFINV_B_F64)
    c = m.poly(m.sub(root, m.c(5.0)), tables.ERFINV_C_F64)
    y = m.select(m.cmp("olt", w, m.c(6.25)), a, m.select(m.cmp("olt", w, m.c(16.0)), b, c))
    z = m.mul(x, x)
    y = m.select(m.cmp("olt", z, m.c(0.26)), m.poly2(z, tables.ERFINV_0_F64), y)
    y = m.mul(y, x)
    return m.select(m.cmp("oeq", m.abs(x), m.c(1.0)), m.mul(x, m.c(INF)), y)


HALF_LOG_2PI = 0.9189385332046727


def lgamma_positive(m: Math, a: str) -> str:
    """log(gamma(a)) for a > 0: a polynomial around each root, one step up or down to reach them, Stirling's series
    from 8.
    """
    one = m.c(1.0)
    low = m.cmp("olt", a, m.c(0.58))
    # Below 8, step down to [1.6, 2.6]: lgamma(a) = lgamma(a - k) + log((a-1)...(a-k)), a sum of positive terms.
    y, product = m.select(m.cmp("olt", a, m.c(8.0)), a, one), one
    for _ in range(6):
        down = m.cmp("ogt", y, m.c(2.6))
        y1 = m.sub(y, one)
        product = m.select(down, m.mul(product, y1), product)
        y = m.select(down, y1, y)
    y = m.select(low, m.add(a, one), y)
    t1, t2 = m.sub(y, one), m.sub(y, m.c(2.0))
    near = m.select(
        m.cmp("olt", y, m.c(1.41)),
        m.mul(t1, m.poly2(t1, tables.LGAMMA1_F64)),
        m.mul(t2, m.poly2(t2, tables.LGAMMA2_F64)),
    )
    large = m.cmp("oge", a, m.c(8.0))
    logarithm = log(m, m.select(large, a, m.select(low, a, product)))
    near = m.select(low, m.sub(near, logarithm), m.add(near, logarithm))
    r = m.div(one, a)
    stirling = m.mul(r, m.poly2(m.mul(r, r), tables.STIRLING_F64))
    stirling = m.add(stirling, m.c(HALF_LOG_2PI - 0.5))
    far = m.fma(m.sub(a, m.c(0.5)), m.sub(logarithm, one), stirling)
    far = m.select(m.cmp("olt", a, m.c(INF)), far, a)
    return m.select(large, far, near)


def lgamma_body(m: Math, x: str) -> str:
    a = m.abs(x)
    positive = lgamma_positive(m, a)
    fraction = m.sub(a, m.floor(a))
    fraction = m.min(fraction, m.sub(m.c(1.0), fraction))
    sine = sin(m, m.mul(fraction, m.c(3.141592653589793)))
    reflected = m.sub(m.sub(m.c(1.1447298858494002), log(m, m.mul(a, sine))), positive)
    reflected = m.select(m.cmp("oeq", fraction, m.c(0.0)), m.c(INF), reflected)
    # Next to 0 both sides are -log(a).
    y = m.select(m.mand(m.cmp("olt", x, m.c(0.0)), m.cmp("ogt", a, m.c(1e-17))), reflected, positive)
    y = m.select(m.cmp("oeq", a, m.c(INF)), a, y)
    y = m.select(m.cmp("oeq", a, m.c(0.0)), m.c(INF), y)
    return m.select(m.isnan(x), x, y)


@in_double
def lgamma(m: Math, x: str) -> str:
    return m.outlined("lgamma", lgamma_body, x)


def digamma_body(m: Math, x: str) -> str:
    """psi: its root 1.4616... gets its own polynomial; otherwise eight steps up to the asymptotic series; reflection
    below 1/2.
    """
    one = m.c(1.0)
    reflect = m.cmp("olt", x, m.c(0.5))
    a = m.select(reflect, m.sub(one, x), x)
    y, total = a, m.c(0.0)
    for _ in range(8):
        up = m.cmp("olt", y, m.c(8.0))
        total = m.add(total, m.select(up, m.div(one, y), m.c(0.0)))
        y = m.add(y, m.select(up, one, m.c(0.0)))
    r = m.div(one, y)
    z = m.mul(r, r)
    series = m.sub(log(m, y), m.fma(z, m.poly2(z, tables.DIGAMMA_F64), m.mul(r, m.c(0.5))))
    psi = m.sub(series, total)
    root_hi, root_lo = tables.DIGAMMA_ROOT_F64
    d = m.sub(m.sub(a, m.c(root_hi)), m.c(root_lo))
    near = m.mul(d, m.poly2(d, tables.DIGAMMA_NEAR_ROOT_F64))
    psi = m.select(m.cmp("olt", m.abs(d), m.c(0.3)), near, psi)
    fraction = m.sub(x, m.rint(x))
    cot = m.div(m.c(3.141592653589793), tan(m, m.mul(fraction, m.c(3.141592653589793))))
    result = m.select(reflect, m.sub(psi, cot), psi)
    pole = m.mand(m.cmp("ole", x, m.c(0.0)), m.cmp("oeq", m.floor(x), x))
    result = m.select(pole, m.c(NAN), result)
    return m.select(m.cmp("oeq", x, m.c(INF)), x, result)


@in_double
def digamma(m: Math, x: str) -> str:
    return m.outlined("digamma", digamma_body, x)
