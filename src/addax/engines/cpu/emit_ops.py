"""One op of the loop IR on one set of lanes: from registers of the operands to registers of the result.

``EMIT[op](e, args, dtype, argtypes, attrs)`` where ``e`` is an ``Emitter`` (width, helpers). A register is a string,
or for complex values a pair (re, im) of strings. JAX's answers at the edges (division by zero, shifts, conversions)
are written out here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from addax.engines.cpu import vecmath, vecmath_complex, vecmath_special, vecmath_trig
from addax.engines.cpu.emit_builder import INT_MAX, INT_MIN, Function, Math, constant
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Lit

Register = str | tuple[str, str]

SCALAR_TYPES = {
    "bool": "i1",
    **{f"{s}int{n}": f"i{n}" for s in ("", "u") for n in (8, 16, 32, 64)},
    **dict.fromkeys(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float32"), "float"),
    "float64": "double",
}
"""LLVM types of register elements; complex values are two of their real type."""


class Lanes:
    """Emission context for ops on ``width`` lanes (0: scalar) of one function."""

    __slots__ = ("fn", "math32", "math64", "width")

    def __init__(self, fn: Function, width: int):
        self.fn, self.width = fn, width
        self.math32, self.math64 = Math(fn, 32, width), Math(fn, 64, width)

    def math(self, dtype: str) -> Math:
        return self.math64 if dtype in ("float64", "complex128") else self.math32

    def type(self, dtype: str) -> str:
        s = SCALAR_TYPES[dtype]
        return f"<{self.width} x {s}>" if self.width else s

    def vec(self, scalar: str) -> str:
        return f"<{self.width} x {scalar}>" if self.width else scalar

    def suffix(self, dtype: str) -> str:
        s = SCALAR_TYPES[dtype]
        s = {"float": "f32", "double": "f64"}.get(s, s)
        return f"v{self.width}{s}" if self.width else s

    def const(self, dtype: str, value) -> str:
        return constant(SCALAR_TYPES[dtype], value, self.width)

    def emit(self, text: str) -> str:
        return self.fn.emit(text)

    def select(self, mask: str, a: Register, b: Register, dtype: str) -> Register:
        if isinstance(a, tuple):
            real = REAL_OF[dtype]
            return self.select(mask, a[0], b[0], real), self.select(mask, a[1], b[1], real)
        t = self.type(dtype)
        return self.emit(f"select {self.vec('i1')} {mask}, {t} {a}, {t} {b}")

    def icmp(self, pred: str, dtype: str, a: str, b: str) -> str:
        return self.emit(f"icmp {pred} {self.type(dtype)} {a}, {b}")

    def intrinsic(self, name: str, dtype: str, *args: str) -> str:
        t = self.type(dtype)
        return self.fn.call(f"llvm.{name}.{self.suffix(dtype)}", t, *[(t, a) for a in args])


def literal(lanes: Lanes, lit: Lit) -> Register:
    d, v = lit.dtype, lit.value
    if d in REAL_OF:
        v = complex(v)
        return lanes.const(REAL_OF[d], v.real), lanes.const(REAL_OF[d], v.imag)
    kind = DTYPES[d].kind
    if kind == "f":
        return lanes.const(d, round_literal(float(v), d))
    return lanes.const(d, bool(v) if kind == "b" else int(v))


def round_literal(v: float, dtype: str) -> float:
    """Literals of narrow float types are the rounded value."""
    if dtype in ("float32", "float64"):
        return v
    import ml_dtypes
    import numpy as np

    return float(np.float32(v).astype(getattr(ml_dtypes, dtype, None) or dtype))


# ---- families ----


def _binary_op(float_op: str | None, int_op: str, unsigned_op: str | None = None) -> Callable:
    def rule(e: Lanes, args, dtype, argtypes, attrs):
        kind = DTYPES[dtype].kind
        op = float_op if kind == "f" else (unsigned_op if kind == "u" and unsigned_op else int_op)
        return e.emit(f"{op} {e.type(dtype)} {args[0]}, {args[1]}")

    return rule


def _complex_or(real: Callable, complex_: Callable) -> Callable:
    """A rule for real types, and a function of (math, *pairs) for complex ones."""

    def rule(e: Lanes, args, dtype, argtypes, attrs):
        if argtypes[0] in REAL_OF:
            return complex_(e.math(argtypes[0]), *args)
        return real(e, args, dtype, argtypes, attrs)

    return rule


def _math(fn: Callable, complex_fn: Callable | None = None) -> Callable:
    """A rule for an elementary function of (math, *registers)."""

    def rule(e: Lanes, args, dtype, argtypes, attrs):
        if dtype in REAL_OF:
            return complex_fn(e.math(dtype), *args)
        return fn(e.math(dtype), *args)

    return rule


def _div(e: Lanes, args, dtype, argtypes, attrs):
    a, b = args
    kind = DTYPES[dtype].kind
    if kind == "f":
        return e.emit(f"fdiv {e.type(dtype)} {a}, {b}")
    if attrs.get("_static", 0) not in (0, -1):  # by a constant: LLVM multiplies instead
        return e.emit(f"{'sdiv' if kind == 'i' else 'udiv'} {e.type(dtype)} {a}, {b}")
    return _int_division(e, a, b, dtype)[0]


def _rem(e: Lanes, args, dtype, argtypes, attrs):
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


def _neg(e: Lanes, args, dtype, argtypes, attrs):
    if DTYPES[dtype].kind == "f":
        return e.math(dtype).neg(args[0])
    return e.emit(f"sub {e.type(dtype)} {e.const(dtype, 0)}, {args[0]}")


def _abs(e: Lanes, args, dtype, argtypes, attrs):
    kind = DTYPES[dtype].kind
    if kind == "f":
        return e.math(dtype).abs(args[0])
    if kind == "u":
        return args[0]
    t = e.type(dtype)
    return e.fn.call(f"llvm.abs.{e.suffix(dtype)}", t, (t, args[0]), ("i1", "false"))


def _sign(e: Lanes, args, dtype, argtypes, attrs):
    (x,) = args
    kind = DTYPES[dtype].kind
    if kind == "f":
        m = e.math(dtype)
        keep = m.cmp("ueq", x, m.c(0.0))  # zeros and nan stay
        return m.select(keep, x, m.copysign(m.c(1.0), x))
    if kind == "u":
        return e.emit(f"zext {e.vec('i1')} {e.icmp('ne', dtype, x, e.const(dtype, 0))} to {e.type(dtype)}")
    up = e.emit(f"zext {e.vec('i1')} {e.icmp('sgt', dtype, x, e.const(dtype, 0))} to {e.type(dtype)}")
    return e.emit(
        f"or {e.type(dtype)} {up}, {e.emit(f'ashr {e.type(dtype)} {x}, {e.const(dtype, DTYPES[dtype].bits - 1)}')}"
    )


def extreme(e: Lanes, which: str, dtype: str, a: str, b: str) -> str:
    """max or min: NaN if either is, 0 above -0."""
    kind = DTYPES[dtype].kind
    if kind == "f":
        return e.math(dtype).binary("maximum" if which == "max" else "minimum", a, b)
    if kind == "b":
        return e.emit(f"{'or' if which == 'max' else 'and'} {e.type(dtype)} {a}, {b}")
    return e.intrinsic(("s" if kind == "i" else "u") + which, dtype, a, b)


def _extreme(which: str) -> Callable:
    return lambda e, args, dtype, argtypes, attrs: extreme(e, which, dtype, *args)


def _clamp(e: Lanes, args, dtype, argtypes, attrs):
    low, x, high = args
    return extreme(e, "min", dtype, extreme(e, "max", dtype, x, low), high)


def _mul(e: Lanes, args, dtype, argtypes, attrs):
    op = "fmul" if DTYPES[dtype].kind == "f" else "mul"
    return e.emit(f"{op} {e.type(dtype)} {args[0]}, {args[1]}")


def _square(e: Lanes, args, dtype, argtypes, attrs):
    return EMIT["mul"](e, (args[0], args[0]), dtype, argtypes, attrs)


def _fma(e: Lanes, args, dtype, argtypes, attrs):
    return e.math(dtype).fma(*args)


def _mulhi(e: Lanes, args, dtype, argtypes, attrs):
    bits = DTYPES[dtype].bits
    wide, t, ext = e.vec(f"i{2 * bits}"), e.type(dtype), "sext" if DTYPES[dtype].kind == "i" else "zext"
    a, b = [e.emit(f"{ext} {t} {x} to {wide}") for x in args]
    p = e.emit(f"mul {wide} {a}, {b}")
    p = e.emit(f"lshr {wide} {p}, {constant(f'i{2 * bits}', bits, e.width)}")
    return e.emit(f"trunc {wide} {p} to {t}")


def _round(e: Lanes, args, dtype, argtypes, attrs):
    m = e.math(dtype)
    if attrs.get("to_even"):
        return m.rint(args[0])
    # Half away from zero: truncate after adding the largest float below one half.
    half = math.nextafter(0.5, 0.0) if m.bits == 64 else 0.5 - 2.0**-25
    return m.trunc(m.add(args[0], m.copysign(m.c(half), args[0])))


def _intrinsic(name: str) -> Callable:
    return lambda e, args, dtype, argtypes, attrs: e.math(dtype).unary(name, args[0])


def _nextafter(e: Lanes, args, dtype, argtypes, attrs):
    """One step of the bit pattern towards ``y``; computed in the type itself, narrow floats included."""
    x, y = args
    if DTYPES[dtype].bits < 32:
        bits = DTYPES[dtype].bits
        ix, iy = to_storage(e, x, dtype), to_storage(e, y, dtype)
        out = _nextafter_bits(e, ix, iy, x, y, bits, e.math32)
        nan = to_storage(e, e.math32.c(math.nan), dtype)
        out = e.emit(
            f"select {e.vec('i1')} {e.math32.cmp('uno', x, y)}, {e.vec(f'i{bits}')} {nan}, {e.vec(f'i{bits}')} {out}"
        )
        return from_storage(e, out, dtype)
    m = e.math(dtype)
    out = m.frombits(_nextafter_bits(e, m.bitsof(x), m.bitsof(y), x, y, m.bits, m))
    return m.select(m.cmp("uno", x, y), m.c(math.nan), out)


def _nextafter_bits(e: Lanes, ix: str, iy: str, x: str, y: str, bits: int, m: Math) -> str:
    t, mask = e.vec(f"i{bits}"), e.vec("i1")

    def c(v):
        return constant(f"i{bits}", v, e.width)

    sign = 1 << (bits - 1)
    magnitude = e.emit(f"and {t} {ix}, {c(sign - 1)}")
    zero = e.emit(f"icmp eq {t} {magnitude}, {c(0)}")
    first = e.emit(f"or {t} {e.emit(f'and {t} {iy}, {c(sign)}')}, {c(1)}")
    negative = e.emit(f"icmp slt {t} {ix}, {c(0)}")
    upward = m.cmp("olt", x, y)
    grow = e.emit(f"xor {mask} {negative}, {upward}")
    step = e.emit(f"select {mask} {grow}, {t} {c(1)}, {t} {c(-1)}")
    moved = e.emit(f"add {t} {ix}, {step}")
    moved = e.emit(f"select {mask} {zero}, {t} {first}, {t} {moved}")
    return e.emit(f"select {mask} {m.cmp('oeq', x, y)}, {t} {iy}, {t} {moved}")


def _integer_pow(e: Lanes, args, dtype, argtypes, attrs):
    """x^y for a static integer y, by squaring; negative powers through 1/x^|y|."""
    y = attrs["y"]
    multiply = EMIT["mul"]
    one = literal(e, Lit(1, dtype))
    if y == 0:
        return one
    result, power, n = None, args[0], abs(y)
    while True:
        if n & 1:
            result = power if result is None else multiply(e, (result, power), dtype, [dtype, dtype], {})
        n >>= 1
        if not n:
            break
        power = multiply(e, (power, power), dtype, [dtype, dtype], {})
    return result if y > 0 else EMIT["div"](e, (one, result), dtype, [dtype, dtype], {})


def _pow(e: Lanes, args, dtype, argtypes, attrs):
    kind = DTYPES[dtype].kind
    if kind in "iu":
        return _int_pow(e, *args, dtype, argtypes[1])
    y = args[1] if argtypes[1] == dtype else convert(e, args[1], argtypes[1], dtype)
    if kind == "c":
        return vecmath_complex.pow(e.math(dtype), args[0], y)
    if DTYPES[argtypes[1]].kind in "iu" and e.math(dtype).bits == 32:
        # Large integer exponents do not fit a float: go through double.
        m = e.math(dtype)
        y = convert(e, args[1], argtypes[1], "float64")
        return m.narrow_from(vecmath.pow(m.wide(), m.widen(args[0]), y))
    return vecmath.pow(e.math(dtype), args[0], y)


def _int_pow(e: Lanes, x: str, y: str, dtype: str, ytype: str) -> str:
    """Integer powers by squaring, one step per bit of the exponent; negative exponents give 1/x^|y| rounded to zero
    (0 for x = 0).
    """
    bits, signed = DTYPES[ytype].bits, DTYPES[ytype].kind == "i"
    t, ty = e.type(dtype), e.type(ytype)
    result, power = e.const(dtype, 1), x
    for k in range(min(bits, DTYPES[dtype].bits if bits > 8 else bits)):
        bit = e.emit(f"and {ty} {y}, {e.const(ytype, 1 << k)}")
        on = e.icmp("ne", ytype, bit, e.const(ytype, 0))
        result = e.select(on, e.emit(f"mul {t} {result}, {power}"), result, dtype)
        if k + 1 < bits:
            power = e.emit(f"mul {t} {power}, {power}")
    if signed:
        negative = e.icmp("slt", ytype, y, e.const(ytype, 0))
        one = e.icmp("eq", dtype, x, e.const(dtype, 1))
        minus = e.icmp("eq", dtype, x, e.const(dtype, -1)) if DTYPES[dtype].kind == "i" else None
        odd = e.icmp("ne", ytype, e.emit(f"and {ty} {y}, {e.const(ytype, 1)}"), e.const(ytype, 0))
        small = e.select(one, e.const(dtype, 1), e.const(dtype, 0), dtype)
        if minus:
            small = e.select(minus, e.select(odd, e.const(dtype, -1), e.const(dtype, 1), dtype), small, dtype)
        result = e.select(negative, small, result, dtype)
    return result


# ---- comparison ----

_FLOAT_PREDICATES = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}


def _compare(pred: str) -> Callable:
    def rule(e: Lanes, args, dtype, argtypes, attrs):
        d = argtypes[0]
        kind = DTYPES[d].kind
        if kind == "c":
            m = e.math(d)
            parts = [m.cmp(_FLOAT_PREDICATES[pred], a, b) for a, b in zip(*args, strict=True)]
            return e.emit(f"{'and' if pred == 'eq' else 'or'} {m.B} {parts[0]}, {parts[1]}")
        if kind == "f":
            return e.math(d).cmp(_FLOAT_PREDICATES[pred], *args)
        p = pred if pred in ("eq", "ne") else ("s" if kind == "i" else "u") + pred
        return e.icmp(p, d, *args)

    return rule


def _total_order(pred: str) -> Callable:
    """-nan < -inf < ... < -0 < 0 < ... < inf < nan, by comparing sign-magnitude bits as integers."""

    def rule(e: Lanes, args, dtype, argtypes, attrs):
        d = argtypes[0]
        if DTYPES[d].kind != "f":
            return _compare(pred)(e, args, dtype, argtypes, attrs)
        m = e.math(d)
        keys = []
        for a in args:
            b = m.bitsof(a)
            flip = m.i("lshr", m.i("ashr", b, m.ci(m.bits - 1)), m.ci(1))
            keys.append(m.i("xor", b, flip))
        return m.icmp({"eq": "eq", "lt": "slt", "le": "sle"}[pred], *keys)

    return rule


def _is_finite(e: Lanes, args, dtype, argtypes, attrs):
    m = e.math(argtypes[0])
    return m.cmp("olt", m.abs(args[0]), m.c(math.inf))


def _select(e: Lanes, args, dtype, argtypes, attrs):
    return e.select(args[0], args[1], args[2], dtype)


def _select_n(e: Lanes, args, dtype, argtypes, attrs):
    which, cases = args[0], args[1:]
    if argtypes[0] == "bool":
        return e.select(which, cases[1], cases[0], dtype) if len(cases) == 2 else cases[0]
    out = cases[-1]
    for k in range(len(cases) - 2, -1, -1):
        out = e.select(e.icmp("sle", "int32", which, e.const("int32", k)), cases[k], out, dtype)
    return out


# ---- bits ----


def _bitwise(op: str) -> Callable:
    return lambda e, args, dtype, argtypes, attrs: e.emit(f"{op} {e.type(dtype)} {args[0]}, {args[1]}")


def _not(e: Lanes, args, dtype, argtypes, attrs):
    return e.emit(f"xor {e.type(dtype)} {args[0]}, {e.const(dtype, True if dtype == 'bool' else -1)}")


def _shift(op: str) -> Callable:
    def rule(e: Lanes, args, dtype, argtypes, attrs):
        x, n = args
        t, bits = e.type(dtype), DTYPES[dtype].bits
        static = attrs.get("_static")
        if static is not None and 0 <= static < bits:
            return e.emit(f"{op} {t} {x}, {n}")
        inside = e.icmp("ult", dtype, n, e.const(dtype, bits))
        if op == "ashr":
            n = e.select(inside, n, e.const(dtype, bits - 1), dtype)
            return e.emit(f"ashr {t} {x}, {n}")
        n = e.select(inside, n, e.const(dtype, 0), dtype)  # LLVM's shifts by too much are poison
        return e.select(inside, e.emit(f"{op} {t} {x}, {n}"), e.const(dtype, 0), dtype)

    return rule


def _population_count(e: Lanes, args, dtype, argtypes, attrs):
    return e.intrinsic("ctpop", dtype, args[0])


def _clz(e: Lanes, args, dtype, argtypes, attrs):
    t = e.type(dtype)
    return e.fn.call(f"llvm.ctlz.{e.suffix(dtype)}", t, (t, args[0]), ("i1", "false"))


def _bitcast(e: Lanes, args, dtype, argtypes, attrs):
    (x,) = args
    source = argtypes[0]
    if source == dtype:
        return x
    bits = DTYPES[dtype].bits
    integer = e.vec(f"i{bits}")
    if DTYPES[source].kind == "f":
        x = to_storage(e, x, source) if bits < 32 else e.math(source).bitsof(x)
    elif source == "bool":
        x = e.emit(f"zext {e.vec('i1')} {x} to {integer}")
    if DTYPES[dtype].kind == "f":
        return from_storage(e, x, dtype) if bits < 32 else e.math(dtype).frombits(x)
    if dtype == "bool":
        return e.emit(f"trunc {integer} {x} to {e.vec('i1')}")
    return x


def _reduce_precision(e: Lanes, args, dtype, argtypes, attrs):
    return reduce_precision(e.math(dtype), args[0], attrs["exponent_bits"], attrs["mantissa_bits"])


def reduce_precision(m: Math, x: str, exponent_bits: int, mantissa_bits: int) -> str:
    """Round to nearest even at ``mantissa_bits``; overflow to inf and flush below the smallest normal of
    ``exponent_bits``.
    """
    k = vecmath.MANTISSA[m.bits]
    exponent = m.bits - 1 - k
    b = m.bitsof(x)
    if mantissa_bits < k:
        drop = k - mantissa_bits
        last = m.i("and", m.i("lshr", b, m.ci(drop)), m.ci(1))
        b = m.i("add", b, m.i("add", last, m.ci((1 << (drop - 1)) - 1)))
        b = m.i("and", b, m.ci(-(1 << drop)))
    y = m.frombits(b)
    if exponent_bits < exponent:
        top = 2 ** (exponent_bits - 1) - 1
        a = m.abs(y)
        y = m.select(m.cmp("oge", a, m.c(2.0 ** (top + 1))), m.copysign(m.c(math.inf), x), y)
        y = m.select(m.cmp("olt", a, m.c(2.0 ** (1 - top))), m.copysign(m.c(0.0), x), y)
    return m.select(m.isnan(x), x, y)


# ---- conversion ----


def _convert(e: Lanes, args, dtype, argtypes, attrs):
    return convert(e, args[0], argtypes[0], dtype)


def convert(e: Lanes, x: Register, source: str, dtype: str) -> Register:
    """Any dtype to any other. Narrow float results are rounded to their precision, but stay in float32 registers."""
    if source == dtype:
        return x
    s, d = DTYPES[source], DTYPES[dtype]
    if s.kind == "c":
        real = REAL_OF[source]
        if d.kind == "c":
            return convert(e, x[0], real, REAL_OF[dtype]), convert(e, x[1], real, REAL_OF[dtype])
        if d.kind == "b":
            m = e.math(source)
            return m.mor(m.cmp("une", x[0], m.c(0.0)), m.cmp("une", x[1], m.c(0.0)))
        return convert(e, x[0], real, dtype)
    if d.kind == "c":
        real = REAL_OF[dtype]
        return convert(e, x, source, real), e.const(real, 0.0)
    ts, td = e.type(source), e.type(dtype)
    if s.kind == "f":
        if d.kind == "f":
            if ts != td:
                if td.endswith(("double", "double>")):
                    return e.emit(f"fpext {ts} {x} to {td}")
                if d.bits < 32:
                    x = round_to_odd(e, x)  # so that rounding twice, to float and then to the narrow type, rounds once
                else:
                    return e.emit(f"fptrunc {ts} {x} to {td}")
            return from_storage(e, to_storage(e, x, dtype), dtype) if d.bits < 32 else x
        if d.kind == "b":
            return e.math(source).cmp("une", x, e.math(source).c(0.0))
        return float_to_int(e, x, source, dtype)
    if d.kind == "b":
        return e.icmp("ne", source, x, e.const(source, 0))
    if d.kind == "f":
        op = "sitofp" if s.kind == "i" else "uitofp"
        if d.bits < 32 and s.bits >= 32:  # exact first, then one rounding
            y = e.emit(f"{op} {ts} {x} to {e.vec('double')}")
            return convert(e, y, "float64", dtype)
        y = e.emit(f"{op} {ts} {x} to {td}")
        return from_storage(e, to_storage(e, y, dtype), dtype) if d.bits < 32 else y
    sb, db = (1 if s.kind == "b" else s.bits), d.bits
    if sb == db:
        return x
    if sb > db:
        return e.emit(f"trunc {ts} {x} to {td}")
    return e.emit(f"{'sext' if s.kind == 'i' else 'zext'} {ts} {x} to {td}")


def float_to_int(e: Lanes, x: str, source: str, dtype: str) -> str:
    """Truncation that saturates; NaN gives 0."""
    m, d = e.math(source), DTYPES[dtype]
    signed = d.kind == "i"
    low, high = (INT_MIN[d.bits], INT_MAX[d.bits]) if signed else (0, 2**d.bits - 1)
    zero = m.c(0.0)
    clean = m.select(m.isnan(x), zero, x)
    if d.bits < 32:
        c = m.max(m.c(float(low)), m.min(m.c(float(high)), clean))
        i = m.emit(f"fptosi {m.F} {c} to {e.vec('i32')}")
        return m.emit(f"trunc {e.vec('i32')} {i} to {e.type(dtype)}")
    # float(high) rounds up to 2^k, which does not fit: convert what is below it, and pick ``high`` elsewhere.
    edge = float(high + 1)
    inside = m.cmp("olt", clean, m.c(edge))
    c = m.select(inside, clean, zero)
    c = m.max(m.c(float(low)), c)
    i = m.emit(f"{'fptosi' if signed else 'fptoui'} {m.F} {c} to {e.type(dtype)}")
    return e.select(inside, i, e.const(dtype, high), dtype)


def round_to_odd(e: Lanes, x: str) -> str:
    """double -> float keeping in the last bit whether anything was lost (for a second rounding)."""
    m, w = e.math32, e.math64
    y = m.emit(f"fptrunc {w.F} {x} to {m.F}")
    back = m.widen(y)
    a, b = w.abs(back), w.abs(x)
    bits = m.bitsof(y)
    inexact = w.cmp("one", a, b)
    down = m.i("sub", bits, m.emit(f"zext {m.B} {w.cmp('ogt', a, b)} to {m.I}"))  # now truncated towards zero
    odd = m.i("or", down, m.emit(f"zext {m.B} {inexact} to {m.I}"))
    return m.frombits(odd)


def float_bits(v: float) -> int:
    return struct.unpack("<i", struct.pack("<f", v))[0]


_I16 = "i16"

# Narrow floats: (mantissa bits, exponent bias, has infinities)
_FLOAT8 = {"float8_e4m3fn": (3, 7, False), "float8_e5m2": (2, 15, True)}


def from_storage(e: Lanes, x: str, dtype: str) -> str:
    """Bits of a 16- or 8-bit float, as integers, to float32."""
    m = e.math32
    if dtype == "bfloat16":
        return m.frombits(m.i("shl", m.emit(f"zext {e.vec('i16')} {x} to {m.I}"), m.ci(16)))
    if dtype == "float16":
        half = e.vec("half")
        return m.emit(f"fpext {half} {m.emit(f'bitcast {e.vec(_I16)} {x} to {half}')} to {m.F}")
    mantissa, bias, has_inf = _FLOAT8[dtype]
    b = m.emit(f"zext {e.vec('i8')} {x} to {m.I}")
    magnitude = m.i("and", b, m.ci(0x7F))
    sign = m.i("shl", m.i("and", b, m.ci(0x80)), m.ci(24))
    exponent = m.i("lshr", magnitude, m.ci(mantissa))
    normal = m.i("add", m.i("shl", magnitude, m.ci(23 - mantissa)), m.ci((127 - bias) << 23))
    subnormal = m.bitsof(m.mul(m.tofloat(magnitude), m.c(2.0 ** (1 - bias - mantissa))))
    value = m.iselect(m.icmp("eq", exponent, m.ci(0)), subnormal, normal)
    if has_inf:
        special = m.icmp("uge", magnitude, m.ci(0x7C))
        inf_nan = m.i("or", m.ci(0x7F800000), m.i("shl", m.i("and", magnitude, m.ci(3)), m.ci(21)))
        value = m.iselect(special, inf_nan, value)
    else:
        value = m.iselect(m.icmp("eq", magnitude, m.ci(0x7F)), m.ci(0x7FC00000), value)
    return m.frombits(m.i("or", value, sign))


def to_storage(e: Lanes, x: str, dtype: str) -> str:
    """float32 to the bits of a 16- or 8-bit float, rounding to nearest even."""
    m = e.math32
    if dtype == "float16":
        half = e.vec("half")
        return m.emit(f"bitcast {half} {m.emit(f'fptrunc {m.F} {x} to {half}')} to {e.vec(_I16)}")
    b = m.bitsof(x)
    if dtype == "bfloat16":
        last = m.i("and", m.i("lshr", b, m.ci(16)), m.ci(1))
        r = m.i("lshr", m.i("add", b, m.i("add", last, m.ci(0x7FFF))), m.ci(16))
        quiet = m.i("or", m.i("lshr", b, m.ci(16)), m.ci(0x40))
        return m.emit(f"trunc {m.I} {m.iselect(m.isnan(x), quiet, r)} to {e.vec('i16')}")
    mantissa, bias, has_inf = _FLOAT8[dtype]
    sign = m.i("lshr", m.i("and", b, m.ci(-(1 << 31))), m.ci(24))
    a = m.i("and", b, m.ci(0x7FFFFFFF))
    drop = 23 - mantissa
    last = m.i("and", m.i("lshr", a, m.ci(drop)), m.ci(1))
    r = m.i("lshr", m.i("add", a, m.i("add", last, m.ci((1 << (drop - 1)) - 1))), m.ci(drop))
    r = m.i("sub", r, m.ci((127 - bias) << mantissa))
    # Below the smallest normal, adding 2^(23 - mantissa + 1 - bias) leaves the rounded subnormal in the low bits.
    anchor = 2.0 ** (23 - mantissa + 1 - bias)
    sub = m.i("sub", m.bitsof(m.add(m.abs(x), m.c(anchor))), m.ci(float_bits(anchor)))
    r = m.iselect(m.icmp("ult", a, m.ci((128 - bias) << 23)), sub, r)
    top = 0x7C if has_inf else 0x7F
    r = m.iselect(m.icmp("sge", r, m.ci(top)), m.ci(top), r)  # overflow: inf, or nan where there is no inf
    r = m.iselect(m.isnan(x), m.ci(0x7E if has_inf else 0x7F), r)
    return m.emit(f"trunc {m.I} {m.i('or', r, sign)} to {e.vec('i8')}")


def _real(part: int) -> Callable:
    return lambda e, args, dtype, argtypes, attrs: args[0][part]


def _complex(e: Lanes, args, dtype, argtypes, attrs):
    return (args[0], args[1])


def _rsqrt(m: Math, x: str) -> str:
    return m.div(m.c(1.0), m.sqrt(x))


c = vecmath_complex
EMIT: dict[str, Callable] = {
    "add": _complex_or(_binary_op("fadd", "add"), c.add),
    "sub": _complex_or(_binary_op("fsub", "sub"), c.sub),
    "mul": _complex_or(_mul, c.mul),
    "div": _complex_or(_div, c.div),
    "rem": _rem,
    "neg": _complex_or(_neg, c.neg),
    "abs": _complex_or(_abs, c.abs),
    "sign": _complex_or(_sign, c.sign),
    "max": _extreme("max"),
    "min": _extreme("min"),
    "clamp": _clamp,
    "square": _square,
    "fma": _fma,
    "mulhi": _mulhi,
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "round": _round,
    "nextafter": _nextafter,
    "integer_pow": _integer_pow,
    "pow": _pow,
    "sqrt": _math(Math.sqrt, c.sqrt),
    "rsqrt": _math(_rsqrt, c.rsqrt),
    "cbrt": _math(vecmath.cbrt),
    "exp": _math(vecmath.exp, c.exp),
    "exp2": _math(vecmath.exp2, c.exp2),
    "expm1": _math(vecmath.expm1, c.expm1),
    "log": _math(vecmath.log, c.log),
    "log1p": _math(vecmath.log1p, c.log1p),
    "logistic": _math(vecmath.logistic, c.logistic),
    "sin": _math(vecmath_trig.sin, c.sin),
    "cos": _math(vecmath_trig.cos, c.cos),
    "tan": _math(vecmath_trig.tan, c.tan),
    "asin": _math(vecmath_trig.asin, c.asin),
    "acos": _math(vecmath_trig.acos, c.acos),
    "atan": _math(vecmath_trig.atan, c.atan),
    "atan2": _math(vecmath_trig.atan2),
    "sinh": _math(vecmath.sinh, c.sinh),
    "cosh": _math(vecmath.cosh, c.cosh),
    "tanh": _math(vecmath.tanh, c.tanh),
    "asinh": _math(vecmath.asinh, c.asinh),
    "acosh": _math(vecmath.acosh, c.acosh),
    "atanh": _math(vecmath.atanh, c.atanh),
    "erf": _math(vecmath_special.erf),
    "erfc": _math(vecmath_special.erfc),
    "erf_inv": _math(vecmath_special.erf_inv),
    "lgamma": _math(vecmath_special.lgamma),
    "digamma": _math(vecmath_special.digamma),
    "is_finite": _is_finite,
    **{p: _compare(p) for p in _FLOAT_PREDICATES},
    **{f"{p}_to": _total_order(p) for p in ("eq", "lt", "le")},
    "select": _select,
    "select_n": _select_n,
    "and": _bitwise("and"),
    "or": _bitwise("or"),
    "xor": _bitwise("xor"),
    "not": _not,
    "shift_left": _shift("shl"),
    "shift_right_logical": _shift("lshr"),
    "shift_right_arithmetic": _shift("ashr"),
    "population_count": _population_count,
    "clz": _clz,
    "bitcast_convert_type": _bitcast,
    "reduce_precision": _reduce_precision,
    "convert": _convert,
    "copy": lambda e, args, dtype, argtypes, attrs: args[0],
    "real": _real(0),
    "imag": _real(1),
    "complex": _complex,
    "conj": lambda e, args, dtype, argtypes, attrs: (args[0][0], e.math(dtype).neg(args[0][1])),
}
"""All ops but ``iota``, which needs the loop (see emit.py)."""
