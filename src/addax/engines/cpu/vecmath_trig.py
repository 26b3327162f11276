"""Vector trigonometry: sin, cos, tan, and their inverses.

Arguments are reduced by multiples of pi/2 kept as three floats (Cody-Waite with fused multiply-add). Above ``LIMIT``
that is not enough and a rare branch reduces lane by lane with 192 bits of 2/pi (Payne and Hanek, 1983).
"""

from __future__ import annotations

from addax.engines.cpu import vecmath_tables as tables
from addax.engines.cpu.emit_builder import LIBRARY, Math, hex_double
from addax.engines.cpu.vecmath import INF, in_double, round_magic, table, two_sum

TWO_OVER_PI = 0.6366197723675814
LIMIT = {32: 1.0e5, 64: 1.0e9}

# void huge(x, r, q, n, limit): for each of n doubles with limit <= |x| < inf, x = q * pi/2 + r, |r| <= pi/4.
#
# x = m * 2^e with a 53-bit integer m. Bits of 2/pi that meet 2^e above weight 2^1 contribute multiples of 4 turns of
# pi/2 and are left out: starting there, 192 bits times m, modulo 2^192, hold the quadrant in the top two bits and the
# fraction below.
_HUGE = """
@addax.two_over_pi = internal constant [{count} x i64] [{words}], align 64
define void @addax.rem_pio2_huge(ptr %x, ptr %r, ptr %q, i64 %n, double %limit) nounwind {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %px = getelementptr double, ptr %x, i64 %i
  %xv = load double, ptr %px, align 8
  %a = call double @llvm.fabs.f64(double %xv)
  %big = fcmp oge double %a, %limit
  %finite = fcmp olt double %a, 0x7FF0000000000000
  %go = and i1 %big, %finite
  br i1 %go, label %work, label %next
work:
  %b = bitcast double %a to i64
  %e0 = lshr i64 %b, 52
  %start = sub i64 %e0, 1013
  %frac = and i64 %b, 4503599627370495
  %m = or i64 %frac, 4503599627370496
  %word = lshr i64 %start, 6
  %sh = and i64 %start, 63
  %p0 = getelementptr i64, ptr @addax.two_over_pi, i64 %word
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %t0 = load i64, ptr %p0, align 8
  %t1 = load i64, ptr %p1, align 8
  %t2 = load i64, ptr %p2, align 8
  %t3 = load i64, ptr %p3, align 8
  %w0 = call i64 @llvm.fshl.i64(i64 %t0, i64 %t1, i64 %sh)
  %w1 = call i64 @llvm.fshl.i64(i64 %t1, i64 %t2, i64 %sh)
  %w2 = call i64 @llvm.fshl.i64(i64 %t2, i64 %t3, i64 %sh)
  %m128 = zext i64 %m to i128
  %w1x = zext i64 %w1 to i128
  %w2x = zext i64 %w2 to i128
  %lo = mul i128 %m128, %w2x
  %mid = mul i128 %m128, %w1x
  %hi = mul i64 %m, %w0
  %lo_up = lshr i128 %lo, 64
  %hi128 = zext i64 %hi to i128
  %hi_up = shl i128 %hi128, 64
  %s0 = add i128 %mid, %lo_up
  %s = add i128 %s0, %hi_up
  %quad128 = lshr i128 %s, 126
  %quad = trunc i128 %quad128 to i64
  %f = shl i128 %s, 2
  %neg = icmp slt i128 %f, 0
  %negq = zext i1 %neg to i64
  %quad1 = add i64 %quad, %negq
  %fneg = sub i128 0, %f
  %fa = select i1 %neg, i128 %fneg, i128 %f
  %lz = call i128 @llvm.ctlz.i128(i128 %fa, i1 false)
  %fn = shl i128 %fa, %lz
  %fh128 = lshr i128 %fn, 64
  %fh = trunc i128 %fh128 to i64
  %top = and i64 %fh, -2048
  %low = and i64 %fh, 2047
  %topf = uitofp i64 %top to double
  %lowf = uitofp i64 %low to double
  %c0 = fmul double %lowf, {pi2_hi}
  %c1 = call double @llvm.fma.f64(double %topf, double {pi2_lo}, double %c0)
  %c2 = call double @llvm.fma.f64(double %topf, double {pi2_hi}, double %c1)
  %lz64 = trunc i128 %lz to i64
  %ex = sub i64 959, %lz64
  %exs = shl i64 %ex, 52
  %sc = bitcast i64 %exs to double
  %rv = fmul double %c2, %sc
  %xbits = bitcast double %xv to i64
  %xneg = icmp slt i64 %xbits, 0
  %flip = xor i1 %xneg, %neg
  %rn = fneg double %rv
  %rr = select i1 %flip, double %rn, double %rv
  %qn = sub i64 0, %quad1
  %qq = select i1 %xneg, i64 %qn, i64 %quad1
  %pr = getelementptr double, ptr %r, i64 %i
  store double %rr, ptr %pr, align 8
  %pq = getelementptr i64, ptr %q, i64 %i
  store i64 %qq, ptr %pq, align 8
  br label %next
next:
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
declare double @llvm.fabs.f64(double)
declare double @llvm.fma.f64(double, double, double)
declare i64 @llvm.fshl.i64(i64, i64, i64)
declare i128 @llvm.ctlz.i128(i128, i1)
"""


def _huge_reduction(m: Math, x: str, r: str, q: str) -> tuple[str, str]:
    """Replace r and q in the lanes where |x| is huge: through memory, one lane at a time."""
    fn = m.fn
    name = "addax.rem_pio2_huge"
    fn.module.declare(name, f"declare void @{name}(ptr, ptr, ptr, i64, double)")
    if (fn.module.target, name) not in LIBRARY:
        words = tables.TWO_OVER_PI
        pi2_hi, pi2_lo = tables.PIO2_F64[:2]
        LIBRARY[fn.module.target, name] = _HUGE.format(
            count=len(words),
            words=", ".join([f"i64 {w - 2**64 if w >= 2**63 else w}" for w in words]),
            pi2_hi=hex_double(pi2_hi),
            pi2_lo=hex_double(pi2_lo),
        )
    w = m.wide()
    if m.bits == 32:
        wx, wr, wq = m.widen(x), m.widen(r), m.emit(f"zext {m.I} {q} to {w.I}")
    else:
        wx, wr, wq = x, r, q
    slots = [fn.alloca(w.F), fn.alloca(w.F), fn.alloca(w.I)]
    for t, v, p in zip((w.F, w.F, w.I), (wx, wr, wq), slots, strict=True):
        fn.do(f"store {t} {v}, ptr {p}, align 8")
    fn.do(
        f"call void @addax.rem_pio2_huge(ptr {slots[0]}, ptr {slots[1]}, ptr {slots[2]}, "
        f"i64 {max(m.width, 1)}, double {w.c(LIMIT[m.bits]) if not m.width else Math(fn, 64, 0).c(LIMIT[m.bits])})"
    )
    r = m.emit(f"load {w.F}, ptr {slots[1]}, align 8")
    q = m.emit(f"load {w.I}, ptr {slots[2]}, align 8")
    if m.bits == 32:
        return m.narrow_from(r), m.emit(f"trunc {w.I} {q} to {m.I}")
    return r, q


def reduce_pio2(m: Math, x: str, low: bool = False) -> tuple[str, str, str | None]:
    """(r, q, r_low): x = q * pi/2 + r (+ r_low, if asked for), |r| <= pi/4, q an integer whose low two bits count."""
    magic = m.c(round_magic(m))
    t = m.fma(x, m.c(TWO_OVER_PI), magic)
    n = m.sub(t, magic)
    q = m.bitsof(t)
    p1, p2, p3 = table("PIO2", m)
    r1 = m.fma(n, m.c(-p1), x)
    r_low = None
    if low:
        w = m.mul(n, m.c(-p2))
        w_low = m.fma(n, m.c(-p2), m.neg(w))
        r, error = two_sum(m, r1, w)
        r_low = m.add(error, m.fma(n, m.c(-p3), w_low))
    else:
        r = m.fma(n, m.c(-p3), m.fma(n, m.c(-p2), r1))
    huge = m.cmp("oge", m.abs(x), m.c(LIMIT[m.bits]))
    if not low:
        r, q = m.where_rare(huge, (r, q), (m.F, m.I), lambda: _huge_reduction(m, x, r, q))
    else:
        rare_low = lambda: (*_huge_reduction(m, x, r, q), m.select(huge, m.c(0.0), r_low))  # noqa: E731
        r, q, r_low = m.where_rare(huge, (r, q, r_low), (m.F, m.I, m.F), rare_low)
    return r, q, r_low


def sin_cos_cores(m: Math, r: str, r_low: str | None = None) -> tuple[str, str]:
    z = m.mul(r, r)
    rz = m.mul(r, z)
    sp, cp = m.poly(z, table("SIN", m)), m.poly(z, table("COS", m))
    if r_low is None:
        return m.fma(rz, sp, r), m.fma(m.mul(z, z), cp, m.fma(z, m.c(-0.5), m.c(1.0)))
    s = m.add(r, m.fma(rz, sp, r_low))
    half = m.mul(z, m.c(0.5))
    w = m.sub(m.c(1.0), half)
    w_low = m.sub(m.sub(m.c(1.0), w), half)
    return s, m.add(w, m.add(w_low, m.sub(m.mul(m.mul(z, z), cp), m.mul(r, r_low))))


def _sin_or_cos(m: Math, x: str, shift: int) -> str:
    r, q, _ = m.once(reduce_pio2, x)  # a program that takes the sine often takes the cosine too
    s, c = sin_cos_cores(m, r)
    if shift:
        q = m.i("add", q, m.ci(shift))
    swap = m.icmp("ne", m.i("and", q, m.ci(1)), m.ci(0))
    y = m.select(swap, c, s)
    sign = m.i("shl", m.i("lshr", q, m.ci(1)), m.ci(m.bits - 1))
    y = m.frombits(m.i("xor", m.bitsof(y), sign))
    # The reduction of infinities is nan, and so is all that follows; that of -0 may be 0.
    return y if shift else m.select(m.cmp("oeq", x, m.c(0.0)), x, y)


def sin(m: Math, x: str) -> str:
    return _sin_or_cos(m, x, 0)


def cos(m: Math, x: str) -> str:
    return _sin_or_cos(m, x, 1)


@in_double
def tan(m: Math, x: str) -> str:
    r, q, r_low = reduce_pio2(m, x, low=True)
    s, c = sin_cos_cores(m, r, r_low)
    swap = m.icmp("ne", m.i("and", q, m.ci(1)), m.ci(0))
    y = m.div(m.select(swap, m.neg(c), s), m.select(swap, s, c))
    return m.select(m.cmp("oeq", x, m.c(0.0)), x, y)


# ---- inverses ----


def atan_ratio(m: Math, num: str, den: str) -> tuple[str, str]:
    """atan(num/den) for 0 <= num <= den as a value and the part of pi/4's low word that belongs to it."""
    # From 0.55 on num - den is exact, and the result is in a higher binade than the correction to pi/4.
    far = m.cmp("ogt", num, m.mul(den, m.c(0.55)))
    top = m.select(far, m.sub(num, den), num)
    bottom = m.select(far, m.add(num, den), den)
    t = m.div(top, bottom)
    z = m.mul(t, t)
    core = m.fma(m.mul(t, z), m.poly2(z, tables.ATAN_F64), t)
    hi, lo = tables.PIO4_F64
    return core, m.select(far, m.c(hi), m.c(0.0)), m.select(far, m.c(lo), m.c(0.0))


def atan2_parts(m: Math, ay: str, ax: str) -> str:
    """The angle in [0, pi/2] of a point in the first quadrant."""
    swap = m.cmp("ogt", ay, ax)
    num, den = m.select(swap, ax, ay), m.select(swap, ay, ax)
    core, base, low = atan_ratio(m, num, den)
    hi2, lo2 = tables.PIO2_F64[:2]
    # core + base, or pi/2 - (core + base), small terms first
    value = m.add(base, m.add(core, low))
    turned = m.add(m.sub(m.c(hi2), base), m.sub(m.sub(m.c(lo2), low), core))
    return m.select(swap, turned, value)


@in_double
def atan(m: Math, x: str) -> str:
    a = m.abs(x)
    y = atan2_parts(m, m.min(m.c(1e300), a), m.c(1.0))
    return m.copysign(y, x)


@in_double
def atan2(m: Math, y: str, x: str) -> str:
    ay, ax = m.abs(y), m.abs(x)
    inf = m.c(INF)
    both_inf = m.mand(m.cmp("oeq", ay, inf), m.cmp("oeq", ax, inf))
    both_zero = m.mand(m.cmp("oeq", ay, m.c(0.0)), m.cmp("oeq", ax, m.c(0.0)))
    # inf/inf stands for an angle of pi/4, 0/0 for 0. Huge and tiny pairs are brought to the middle so that sums can't
    # overflow.
    ay1, ax1 = m.select(both_inf, m.c(1.0), ay), m.select(m.mor(both_inf, both_zero), m.c(1.0), ax)
    large = m.mor(m.cmp("ogt", ay1, m.c(1e300)), m.cmp("ogt", ax1, m.c(1e300)))
    factor = m.select(large, m.c(2.0**-4), m.c(1.0))
    ay1, ax1 = m.mul(ay1, factor), m.mul(ax1, factor)
    ay_inf, ax_inf = m.cmp("oeq", ay1, inf), m.cmp("oeq", ax1, inf)
    t = atan2_parts(m, ay1, ax1)
    t = m.select(ay_inf, m.c(tables.PIO2_F64[0]), t)
    t = m.select(ax_inf, m.c(0.0), t)
    negative = m.icmp("slt", m.bitsof(x), m.ci(0))
    pi_hi, pi_lo = 2 * tables.PIO2_F64[0], 2 * tables.PIO2_F64[1]
    t = m.select(negative, m.add(m.c(pi_hi), m.sub(m.c(pi_lo), t)), t)
    t = m.copysign(t, y)
    return m.select(m.cmp("uno", x, y), m.c(float("nan")), t)


def asin_parts(m: Math, a: str) -> tuple[str, str, str, str]:
    """For a in [0, 1]: (far, root, root_low, correction): asin(a) = a + correction, or, where a > 1/2, pi/2 - 2 (root
    + root_low + correction).
    """
    far = m.cmp("ogt", a, m.c(0.5))
    z_far = m.mul(m.sub(m.c(1.0), a), m.c(0.5))
    z = m.select(far, z_far, m.mul(a, a))
    root = m.select(far, m.sqrt(z_far), a)
    low = m.fma(m.neg(root), root, z_far)
    low = m.select(m.mand(far, m.cmp("ogt", root, m.c(0.0))), m.div(low, m.add(root, root)), m.c(0.0))
    return far, root, low, m.mul(m.mul(root, z), m.poly2(z, tables.ASIN_F64))


@in_double
def asin(m: Math, x: str) -> str:
    a = m.abs(x)
    far, root, low, correction = asin_parts(m, a)
    hi, lo = tables.PIO4_F64
    s = m.add(low, correction)
    # pi/2 - 2 (root + s) = 2 (pi/4 - root - s); the subtraction of root is exact or nearly so.
    quarter, error = two_sum(m, m.c(hi), m.neg(root))
    turned = m.add(quarter, m.add(error, m.sub(m.c(lo), s)))
    y = m.select(far, m.add(turned, turned), m.add(root, s))
    y = m.copysign(y, x)
    return m.select(m.cmp("ogt", a, m.c(1.0)), m.c(float("nan")), y)


@in_double
def acos(m: Math, x: str) -> str:
    a = m.abs(x)
    far, root, low, correction = asin_parts(m, a)
    s = m.add(low, correction)
    twice = m.add(root, s)
    twice = m.add(twice, twice)
    negative = m.cmp("olt", x, m.c(0.0))
    hi, lo = tables.PIO2_F64[:2]
    beyond = m.sub(m.c(2 * hi), m.sub(twice, m.c(2 * lo)))
    y_far = m.select(negative, beyond, twice)
    signed = m.copysign(correction, x)
    d, error = two_sum(m, m.c(hi), m.neg(x))
    y_near = m.add(d, m.add(error, m.sub(m.c(lo), signed)))
    y = m.select(far, y_far, y_near)
    y = m.select(m.cmp("ogt", a, m.c(1.0)), m.c(float("nan")), y)
    return m.select(m.isnan(x), x, y)


__all__ = ["acos", "asin", "atan", "atan2", "cos", "sin", "tan"]
