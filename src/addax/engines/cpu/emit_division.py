"""Division and remainder: integers that never trap, exact floating-point remainders."""

from __future__ import annotations

import math

from addax.engines.cpu import vecmath
from addax.engines.cpu.emit_builder import INT_MIN, Math, constant
from addax.engines.cpu.emit_lanes import Lanes
from addax.engines.cpu.loop_ops import DTYPES


def div(e: Lanes, args, dtype, argtypes, attrs):
    a, b = args
    kind = DTYPES[dtype].kind
    if kind == "f":
        return e.emit(f"fdiv {e.type(dtype)} {a}, {b}")
    if attrs.get("_static", 0) not in (0, -1):  # by a constant: LLVM multiplies instead
        return e.emit(f"{'sdiv' if kind == 'i' else 'udiv'} {e.type(dtype)} {a}, {b}")
    return _int_division(e, a, b, dtype)[0]


def rem(e: Lanes, args, dtype, argtypes, attrs):
    a, b = args
    if DTYPES[dtype].kind == "f":
        return _float_rem(e.math(dtype), a, b)
    if attrs.get("_static", 0) not in (0, -1):
        return e.emit(f"{'srem' if DTYPES[dtype].kind == 'i' else 'urem'} {e.type(dtype)} {a}, {b}")
    return _int_division(e, a, b, dtype)[1]


def _int_division(e: Lanes, a: str, b: str, dtype: str) -> tuple[str, str]:
    """Quotient and remainder with no trap: x/0 = -1, x%0 = x, MIN/-1 = MIN, MIN%-1 = 0.

    32-bit and narrower vectors divide in double precision (exact: quotients have at most 32 bits, and correct
    rounding of a quotient of such integers can't cross an integer from below); hardware has no vector integer division.
    """
    t, bits, signed = e.type(dtype), DTYPES[dtype].bits, DTYPES[dtype].kind == "i"
    zero = e.icmp("eq", dtype, b, e.const(dtype, 0))
    if e.width and bits <= 32:
        f = e.vec("double")
        to, back = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
        safe = e.select(zero, e.const(dtype, 1), b, dtype)
        fa, fb = e.emit(f"{to} {t} {a} to {f}"), e.emit(f"{to} {t} {safe} to {f}")
        ratio = e.emit(f"fdiv {f} {fa}, {fb}")
        if signed and bits == 32:  # 2^31 = MIN / -1 does not fit the conversion; through 64 bits it wraps to MIN
            wide = e.vec("i64") if e.fn.module.target.avx512 else None
            if wide:
                q = e.emit(f"trunc {wide} {e.emit(f'fptosi {f} {ratio} to {wide}')} to {t}")
            else:
                over = e.emit(f"fcmp oge {f} {ratio}, {constant('double', 2147483648.0, e.width)}")
                q = e.emit(f"fptosi {f} {ratio} to {t}")
                q = e.select(over, e.const(dtype, INT_MIN[32]), q, dtype)
        else:
            q = e.emit(f"{back} {f} {ratio} to {e.vec('i32')}") if bits < 32 else e.emit(f"{back} {f} {ratio} to {t}")
            if bits < 32:
                q = e.emit(f"trunc {e.vec('i32')} {q} to {t}")
    else:
        bad = zero
        if signed:
            least = e.icmp("eq", dtype, a, e.const(dtype, INT_MIN[bits]))
            minus = e.icmp("eq", dtype, b, e.const(dtype, -1))
            mask = e.vec("i1")
            over = e.emit(f"and {mask} {least}, {minus}")
            bad = e.emit(f"or {mask} {zero}, {over}")
        safe = e.select(bad, e.const(dtype, 1), b, dtype)
        q = e.emit(f"{'sdiv' if signed else 'udiv'} {t} {a}, {safe}")
    r = e.emit(f"sub {t} {a}, {e.emit(f'mul {t} {q}, {b}')}")
    # For b = 0 the product is 0 and r = a. For MIN / -1: q = MIN, MIN * -1 = MIN, r = 0.
    return e.select(zero, e.const(dtype, -1), q, dtype), r


def _float_rem(m: Math, a: str, b: str) -> str:
    """fmod: exact, with the sign of ``a``. Quotients up to 2^22 (2^51) by one division and a fused remainder, the
    rest by a rare loop.
    """
    x, y = m.abs(a), m.abs(b)
    limit = 2.0**22 if m.bits == 32 else 2.0**51
    q = m.trunc(m.div(x, y))
    r = m.fma(m.neg(q), y, x)
    # The rounded quotient may be one too large: then r < 0.
    r = m.select(m.cmp("olt", r, m.c(0.0)), m.add(r, y), r)
    r = m.select(m.cmp("oge", r, y), m.sub(r, y), r)
    r = m.select(m.cmp("olt", x, y), x, r)
    normal = m.mand(m.cmp("olt", x, m.c(math.inf)), m.cmp("ogt", y, m.c(0.0)))
    far = m.mand(m.mand(m.cmp("oge", q, m.c(limit)), normal), m.cmp("olt", y, m.c(math.inf)))
    (r,) = m.where_rare(far, (r,), (m.F,), lambda: (_long_rem(m, x, y, far, r),))
    r = m.select(normal, r, m.c(math.nan))
    r = m.select(m.isnan(b), b, r)
    return m.copysign(r, a)


def _long_rem(m: Math, x: str, y: str, far: str, common: str) -> str:
    """x mod y for large quotients: subtract the largest multiples y * 2^k, one bit at a time, in all lanes at once."""
    fn, k = m.fn, vecmath.MANTISSA[m.bits]
    one = m.ci(1 << k)
    # r and y as integers scaled: work with exponent fields; both are normal numbers (denormals are flushed).
    xb, yb = m.bitsof(m.select(far, x, m.c(1.0))), m.bitsof(m.select(far, y, m.c(1.0)))
    ex, ey = m.i("lshr", xb, m.ci(k)), m.i("lshr", yb, m.ci(k))
    frac = m.ci((1 << k) - 1)
    mx, my = m.i("or", m.i("and", xb, frac), one), m.i("or", m.i("and", yb, frac), one)
    start, loop, done = fn.buffer.block, fn.new_label(), fn.new_label()
    fn.branch(loop)
    fn.start_block(loop)
    r, n = fn.name(), fn.name()
    at = len(fn.buffer.lines)
    fn.buffer.lines += ["", ""]
    r1 = m.iselect(m.icmp("uge", r, my), m.i("sub", r, my), r)
    more = m.icmp("ugt", n, ey)
    r2 = m.iselect(more, m.i("shl", r1, m.ci(1)), r1)
    n2 = m.iselect(more, m.i("sub", n, m.ci(1)), n)
    fn.buffer.lines[at] = f"  {r} = phi {m.I} [ {mx}, %{start} ], [ {r2}, %{loop} ]"
    fn.buffer.lines[at + 1] = f"  {n} = phi {m.I} [ {ex}, %{start} ], [ {n2}, %{loop} ]"
    fn.branch_if(m.any(more), loop, done)
    fn.start_block(done)
    # r1 * 2^(ey - bias - k): convert exactly, then scale by the power of two that y's exponent names.
    power = m.frombits(m.i("shl", ey, m.ci(k)))
    small = m.mul(m.tofloat(r1), m.c(2.0**-k))
    return m.select(far, m.mul(small, power), common)
