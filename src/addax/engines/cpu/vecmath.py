"""Vector elementary functions: exponentials, logarithms, powers, hyperbolics.

Each function takes a ``Math`` (float type and lane count) and registers, writes LLVM IR and returns a register.
Errors are below 2 units in the last place over the whole range (the table is in the tests); specials (0, -0, inf,
nan) are NumPy's. Kernels run with denormals flushed, so subnormal inputs count as zero and results below the normal
range may be zero.

The schemes are the classic ones: Cody-Waite reduction and a polynomial for exp; m * 2^e with m in [sqrt(1/2),
sqrt(2)) for log, whose double version uses the series in s = f/(2+f) (as in fdlibm); double-double logarithm for pow.
Adding 1.5 * 2^23 (or 52) to a float rounds it to an integer and leaves that integer in its low bits: no conversion
instructions.

Functions that matter less in float32 are evaluated in double (``in_double``): half the speed, half the code.
"""

from __future__ import annotations

from collections.abc import Callable

from addax.engines.cpu import vecmath_tables as tables
from addax.engines.cpu.emit_builder import Math

NAN, INF = float("nan"), float("inf")
MIN_NORMAL = {32: 2.0**-126, 64: 2.0**-1022}
MANTISSA = {32: 23, 64: 52}
LOG2E = 1.4426950408889634


def table(name: str, m: Math):
    return getattr(tables, f"{name}_F{m.bits}")


def in_double(fn: Callable[..., str]) -> Callable[..., str]:
    """Evaluate a function of doubles also for floats, by widening."""

    def both(m: Math, *xs: str) -> str:
        if m.bits == 64:
            return fn(m, *xs)
        return m.narrow_from(fn(m.wide(), *[m.widen(x) for x in xs]))

    return both


def round_magic(m: Math) -> float:
    return 1.5 * 2.0 ** MANTISSA[m.bits]


def scale(m: Math, p: str, n: str, t: str) -> str:
    """p * 2^n for results in the normal range; ``t`` holds n in its low bits (see ``round_magic``)."""
    if m.fn.module.target.avx512 and m.width * m.bits == 512:
        suffix, mask = ("ps", "i16") if m.bits == 32 else ("pd", "i8")
        return m.fn.call(
            f"llvm.x86.avx512.mask.scalef.{suffix}.512", m.F, (m.F, p), (m.F, n), (m.F, p), (mask, "-1"), ("i32", "4")
        )
    shifted = m.i("shl", m.bitsof(t), m.ci(MANTISSA[m.bits]))
    return m.frombits(m.i("add", m.bitsof(p), shifted))


def reduce_exp(m: Math, x: str) -> tuple[str, str, str]:
    """(r, n, t) with x = n log 2 + r, |r| <= log(2)/2."""
    magic = m.c(round_magic(m))
    t = m.fma(x, m.c(LOG2E), magic)
    n = m.sub(t, magic)
    hi, lo = table("LN2", m)
    r = m.fma(n, m.c(-lo), m.fma(n, m.c(-hi), x))
    return r, n, t


EXP_RANGE = {32: (-87.33654, 88.72284), 64: (-708.3964185322641, 709.782712893384)}


def exp_core(m: Math, r: str) -> str:
    q = m.poly2(r, table("EXP", m))
    return m.add(m.fma(m.mul(r, r), q, r), m.c(1.0))


def exp(m: Math, x: str) -> str:
    lo, hi = EXP_RANGE[m.bits]
    if m.fn.module.target.avx512 and m.width * m.bits == 512:
        # vscalef rounds into the subnormals and overflows by itself; only the reduction needs a bound.
        c = m.max(m.c(lo - 40), m.min(m.c(hi + 2), x))
        r, n, t = reduce_exp(m, c)
        return scale(m, exp_core(m, r), n, t)
    r, n, t = reduce_exp(m, x)
    y = scale(m, exp_core(m, r), n, t)
    y = m.select(m.cmp("ogt", x, m.c(hi)), m.c(INF), y)
    y = m.select(m.cmp("olt", x, m.c(lo)), m.c(0.0), y)
    return m.select(m.isnan(x), x, y)


def exp2(m: Math, x: str) -> str:
    lo, hi = {32: (-126.0, 128.0), 64: (-1022.0, 1024.0)}[m.bits]
    c = m.max(m.c(lo - 1), m.min(m.c(hi), x))
    magic = m.c(round_magic(m))
    t = m.add(c, magic)
    n = m.sub(t, magic)
    r = m.sub(c, n)
    p = m.fma(r, m.poly2(r, table("EXP2", m)), m.c(1.0))
    y = scale(m, p, n, t)
    y = m.select(m.cmp("oge", x, m.c(hi)), m.c(INF), y)
    y = m.select(m.cmp("olt", x, m.c(lo)), m.c(0.0), y)
    return m.select(m.isnan(x), x, y)


def expm1_positive_scale(m: Math, x: str, compensated: bool = True) -> str:
    """expm1 without care for -0; x is bounded here. Without compensation the error may reach 2 ulp."""
    hi = {32: 89.0, 64: 710.0}[m.bits]
    lo = {32: -20.0, 64: -40.0}[m.bits]
    x = m.max(m.c(lo), m.min(m.c(hi), x))
    r, n, t = reduce_exp(m, x)
    q = m.poly2(r, table("EXPM1", m))
    if compensated:
        hi, lo = table("LN2", m)
        r_low = m.fma(n, m.c(-lo), m.sub(m.fma(n, m.c(-hi), x), r))  # what rounding took from r
        p = m.add(r, m.fma(m.mul(r, r), q, r_low))
    else:
        p = m.fma(m.mul(r, r), q, r)
    # s = 2^(n-1), so that n = 128 (1024) does not overflow before the end.
    bias = (2 ** (m.bits - 2 - MANTISSA[m.bits])) - 2  # exponent field of 2^-1
    s = m.frombits(m.i("shl", m.i("add", m.bitsof(t), m.ci(bias)), m.ci(MANTISSA[m.bits])))
    y = m.fma(p, s, m.sub(s, m.c(0.5)))
    return m.add(y, y)


def expm1(m: Math, x: str) -> str:
    return m.copysign(expm1_positive_scale(m, x), x)


# ---- logarithms ----


def split_log(m: Math, x: str) -> tuple[str, str]:
    """(e, mantissa) with x = 2^e * mantissa, mantissa in [sqrt(1/2), sqrt(2)), e as a float; x positive and normal."""
    k, big = MANTISSA[m.bits], 1 << (m.bits - 1)
    sqrt_half = 0x3F3504F3 if m.bits == 32 else 0x3FE6A09E667F3BCD
    bias = 1 << (m.bits - 1 - k - 1)  # half the exponent range, so that the shifted value is not negative
    b = m.bitsof(x)
    e = m.i("lshr", m.i("add", b, m.ci((bias << k) - sqrt_half)), m.ci(k))
    two_k = 0x4B000000 if m.bits == 32 else 0x4330000000000000  # 2^23, 2^52: e sits in the low bits
    ef = m.sub(m.frombits(m.i("or", e, m.ci(two_k))), m.c(2.0**k + bias))
    mantissa = m.frombits(m.i("sub", m.i("add", b, m.ci((bias << k) & (2 * big - 1))), m.i("shl", e, m.ci(k))))
    return ef, mantissa


def log_core(m: Math, x: str, correction: str | None = None) -> str:
    """log(x) + correction for normal positive x and a small correction."""
    e, mantissa = split_log(m, x)
    hi, lo = table("LN2", m)
    f = m.sub(mantissa, m.c(1.0))
    ff = m.mul(f, f)
    if m.bits == 32:
        low = m.mul(e, m.c(lo)) if correction is None else m.fma(e, m.c(lo), correction)
        y = m.fma(m.mul(m.poly2(f, tables.LOG_F32), f), ff, low)
        y = m.fma(ff, m.c(-0.5), y)
        return m.fma(e, m.c(hi), m.add(f, y))
    s = m.div(f, m.add(f, m.c(2.0)))
    z = m.mul(s, s)
    half = m.mul(ff, m.c(0.5))
    low = m.mul(e, m.c(lo)) if correction is None else m.fma(e, m.c(lo), correction)
    y = m.fma(s, m.fma(m.poly2(z, tables.LOG_F64), z, half), low)
    return m.fma(e, m.c(hi), m.sub(f, m.sub(half, y)))


def log(m: Math, x: str) -> str:
    y = log_core(m, x)
    y = m.select(m.cmp("olt", x, m.c(INF)), y, x)
    edge = m.select(m.cmp("olt", x, m.c(0.0)), m.c(NAN), m.c(-INF))
    return m.select(m.cmp("olt", x, m.c(MIN_NORMAL[m.bits])), edge, y)


def log1p(m: Math, x: str) -> str:
    u = m.add(x, m.c(1.0))
    small = m.sub(x, m.sub(u, m.c(1.0)))
    large = m.sub(m.c(1.0), m.sub(u, x))
    lost = m.select(m.cmp("ogt", x, m.c(1.0)), large, small)  # u + lost = 1 + x exactly
    y = log_core(m, u, m.div(lost, u))
    y = m.copysign(y, x)
    y = m.select(m.cmp("olt", x, m.c(INF)), y, x)
    edge = m.select(m.cmp("olt", x, m.c(-1.0)), m.c(NAN), m.c(-INF))
    return m.select(m.cmp("ole", x, m.c(-1.0)), edge, y)


# ---- functions of exp ----


def logistic(m: Math, x: str) -> str:
    return m.div(m.c(1.0), m.add(exp(m, m.neg(x)), m.c(1.0)))


def tanh(m: Math, x: str) -> str:
    a = m.abs(x)
    cut, top = (0.44, 9.2) if m.bits == 32 else (0.35, 19.1)
    b = m.min(m.c(top), a)
    e = expm1_positive_scale(m, m.add(b, b), compensated=False)
    large = m.div(e, m.add(e, m.c(2.0)))
    z = m.mul(x, x)
    small = m.fma(m.mul(a, z), m.poly2(z, table("TANH", m)), a)
    return m.copysign(m.select(m.cmp("ogt", a, m.c(cut)), large, small), x)


def half_exp(m: Math, a: str) -> str:
    """exp(a)/2 for a >= 0, without overflow before the result's (a single scaling by 2^(n-1))."""
    hi = EXP_RANGE[m.bits][1]
    c = m.min(m.c(hi + 2), a)
    r, _, t = reduce_exp(m, c)
    bias = (2 ** (m.bits - 2 - MANTISSA[m.bits])) - 2
    s = m.frombits(m.i("shl", m.i("add", m.bitsof(t), m.ci(bias)), m.ci(MANTISSA[m.bits])))
    y = m.mul(exp_core(m, r), s)
    return m.select(m.cmp("ogt", a, m.c(hi + 1)), m.c(INF), y)


@in_double
def sinh(m: Math, x: str) -> str:
    a = m.abs(x)
    e = expm1_positive_scale(m, a)
    low = m.mul(m.add(e, m.div(e, m.add(e, m.c(1.0)))), m.c(0.5))
    return m.copysign(m.select(m.cmp("ogt", a, m.c(40.0)), half_exp(m, a), low), x)


@in_double
def cosh(m: Math, x: str) -> str:
    h = half_exp(m, m.abs(x))
    return m.add(h, m.div(m.c(0.25), h))


@in_double
def asinh(m: Math, x: str) -> str:
    """sign(x) log1p(a + a^2 / (1 + sqrt(a^2 + 1))); log(a) + log(2) for large a."""
    a = m.abs(x)
    b = m.min(m.c(1e9), a)
    z = m.mul(b, b)
    t = m.add(b, m.div(z, m.add(m.sqrt(m.add(z, m.c(1.0))), m.c(1.0))))
    large = m.add(log(m, a), m.c(0.6931471805599453))
    return m.copysign(m.select(m.cmp("ogt", a, m.c(1e9)), large, log1p(m, t)), x)


@in_double
def acosh(m: Math, x: str) -> str:
    """log1p(t + sqrt(2t + t^2)), t = x - 1; log(x) + log(2) for large x; nan below 1."""
    t = m.sub(m.min(m.c(1e9), x), m.c(1.0))
    root = m.sqrt(m.fma(t, t, m.add(t, t)))
    large = m.add(log(m, x), m.c(0.6931471805599453))
    y = m.select(m.cmp("ogt", x, m.c(1e9)), large, log1p(m, m.add(t, root)))
    return m.select(m.cmp("olt", x, m.c(1.0)), m.c(NAN), y)


@in_double
def atanh(m: Math, x: str) -> str:
    """log1p(2a / (1 - a)) / 2."""
    a = m.abs(x)
    y = log1p(m, m.div(m.add(a, a), m.sub(m.c(1.0), a)))
    y = m.select(m.cmp("ogt", a, m.c(1.0)), m.c(NAN), m.mul(y, m.c(0.5)))
    return m.copysign(y, x)


# ---- powers ----


def two_sum(m: Math, a: str, b: str) -> tuple[str, str]:
    """a + b as a rounded sum and its exact error."""
    s = m.add(a, b)
    bb = m.sub(s, a)
    return s, m.add(m.sub(a, m.sub(s, bb)), m.sub(b, bb))


def dd_mul(m: Math, ah: str, al: str, bh: str, bl: str) -> tuple[str, str]:
    """Product of two double-doubles, to about 2^-104."""
    p = m.mul(ah, bh)
    e = m.fma(ah, bh, m.neg(p))
    return p, m.fma(ah, bl, m.fma(al, bh, e))


def log_dd(m: Math, x: str) -> tuple[str, str]:
    """log of a normal positive double as hi + lo, relative error about 2^-66."""
    e, mantissa = split_log(m, x)
    f = m.sub(mantissa, m.c(1.0))
    d = m.add(mantissa, m.c(1.0))
    d_low = m.sub(mantissa, m.sub(d, m.c(1.0)))
    s = m.div(f, d)
    rest = m.sub(m.fma(m.neg(s), d, f), m.mul(s, d_low))
    s_low = m.div(rest, d)
    z, z_low = dd_mul(m, s, s_low, s, s_low)
    # p = 2/3 + z * tail(z), as a double-double
    q = m.mul(z, m.poly2(z, tables.LOG_TAIL_F64))
    two_thirds = 0.6666666666666666
    p = m.add(q, m.c(two_thirds))
    p_low = m.add(m.sub(q, m.sub(p, m.c(two_thirds))), m.c(3.700743415417188e-17))
    w, w_low = dd_mul(m, z, z_low, p, p_low)
    v, v_low = dd_mul(m, s, s_low, w, w_low)
    hi, lo = tables.LN2_F64
    a, a_low = two_sum(m, m.mul(e, m.c(hi)), m.add(s, s))
    b, b_low = two_sum(m, a, v)
    low = m.add(m.add(a_low, b_low), m.add(m.fma(e, m.c(lo), m.add(s_low, s_low)), v_low))
    total = m.add(b, low)
    return total, m.sub(low, m.sub(total, b))


def pow_positive_f64(m: Math, a: str, y: str) -> str:
    """a^y for a >= 0; a = 0 and inf through log = -inf and inf."""
    hi, lo = log_dd(m, a)
    tiny, huge = m.cmp("olt", a, m.c(MIN_NORMAL[64])), m.cmp("oeq", a, m.c(INF))
    edge = m.mor(tiny, huge)
    hi = m.select(tiny, m.c(-INF), m.select(huge, m.c(INF), hi))
    lo = m.select(edge, m.c(0.0), lo)
    p = m.mul(y, hi)
    p_low = m.fma(y, lo, m.fma(y, hi, m.neg(p)))
    inside = m.cmp("olt", m.abs(p), m.c(800.0))
    p_low = m.select(inside, p_low, m.c(0.0))
    c = m.max(m.c(-800.0), m.min(m.c(800.0), p))
    r, n, t = reduce_exp(m, c)
    r = m.add(r, p_low)
    low, high = EXP_RANGE[64]
    core = exp_core(m, r)
    res = scale(m, core, n, t)
    over = m.mand(m.cmp("oge", n, m.c(1024.0)), m.cmp("oge", core, m.c(1.0)))
    res = m.select(m.mor(over, m.cmp("ogt", p, m.c(high))), m.c(INF), res)
    res = m.select(m.cmp("olt", p, m.c(low)), m.c(0.0), res)
    return m.select(m.isnan(p), p, res)


def pow_positive_f32(m: Math, a: str, y: str) -> str:
    w = m.wide()
    log_a = log(w, m.widen(a))
    return m.narrow_from(exp(w, w.mul(m.widen(y), log_a)))


def pow_body(m: Math, x: str, y: str) -> str:
    a = m.abs(x)
    if m.bits == 32:  # subnormals count as zero, also where widening would keep them
        a = m.select(m.cmp("olt", a, m.c(MIN_NORMAL[32])), m.c(0.0), a)
    r = (pow_positive_f32 if m.bits == 32 else pow_positive_f64)(m, a, y)
    one = m.c(1.0)
    whole = m.cmp("oeq", m.trunc(y), y)
    half = m.mul(y, m.c(0.5))
    odd = m.mand(whole, m.cmp("une", m.trunc(half), half))
    r = m.select(m.cmp("oeq", a, one), m.select(m.isnan(y), y, one), r)
    negative = m.cmp("olt", x, m.c(0.0))
    bad = m.mand(m.mand(negative, m.mnot(whole)), m.cmp("olt", a, m.c(INF)))
    r = m.select(bad, m.c(NAN), r)
    r = m.select(odd, m.copysign(r, x), r)
    nan = m.cmp("uno", x, y)
    r = m.select(nan, m.c(NAN), r)
    sure = m.mor(m.cmp("oeq", x, one), m.cmp("oeq", y, m.c(0.0)))
    return m.select(sure, one, r)


def pow(m: Math, x: str, y: str) -> str:
    return m.outlined("pow", pow_body, x, y)


@in_double
def cbrt(m: Math, x: str) -> str:
    """A bit-level first guess (5% off) and three Halley steps; the last one in residual form."""
    whole = m.abs(x)
    huge, tiny = m.cmp("ogt", whole, m.c(2.0**1000)), m.cmp("olt", whole, m.c(2.0**-900))
    a = m.mul(whole, m.select(huge, m.c(2.0**-60), m.select(tiny, m.c(2.0**60), m.c(1.0))))
    # exponent/3 by multiplying the high bits: 2^64/3 wraps are avoided by shifting first.
    b = m.i("lshr", m.bitsof(a), m.ci(32))
    g = m.i("lshr", m.i("mul", b, m.ci(0x55555556)), m.ci(32))
    t = m.frombits(m.i("shl", m.i("add", g, m.ci(0x2A9F7893)), m.ci(32)))
    for _ in range(2):  # t * (t^3 + 2a) / (2t^3 + a)
        c = m.mul(m.mul(t, t), t)
        t = m.mul(t, m.div(m.add(c, m.add(a, a)), m.add(m.add(c, c), a)))
    tt = m.mul(t, t)
    tt_low = m.fma(t, t, m.neg(tt))
    residual = m.sub(m.fma(m.neg(tt), t, a), m.mul(tt_low, t))
    t = m.add(t, m.div(residual, m.mul(m.c(3.0), tt)))
    t = m.mul(t, m.select(huge, m.c(2.0**20), m.select(tiny, m.c(2.0**-20), m.c(1.0))))
    t = m.copysign(t, x)
    flat = m.mor(m.cmp("olt", whole, m.c(MIN_NORMAL[64])), m.mnot(m.cmp("olt", whole, m.c(INF))))
    return m.select(flat, x, t)
