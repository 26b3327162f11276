"""One op of the loop IR on one set of lanes: from registers of the operands to registers of the result.

``EMIT[op](e, args, dtype, argtypes, attrs)`` where ``e`` is an ``Emitter`` (width, helpers). A register is a string,
or for complex values a pair (re, im) of strings. JAX's answers at the edges (division by zero, shifts, conversions)
are written out here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from addax.engines.cpu import vecmath, vecmath_complex, vecmath_special, vecmath_trig
from addax.engines.cpu.emit_builder import Math, constant
from addax.engines.cpu.emit_convert import bitcast, convert, convert_op, nextafter, reduce_precision_op
from addax.engines.cpu.emit_division import div, rem
from addax.engines.cpu.emit_lanes import Lanes, literal
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Lit

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
    "div": _complex_or(div, c.div),
    "rem": rem,
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
    "nextafter": nextafter,
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
    "bitcast_convert_type": bitcast,
    "reduce_precision": reduce_precision_op,
    "convert": convert_op,
    "copy": lambda e, args, dtype, argtypes, attrs: args[0],
    "real": _real(0),
    "imag": _real(1),
    "complex": _complex,
    "conj": lambda e, args, dtype, argtypes, attrs: (args[0][0], e.math(dtype).neg(args[0][1])),
}
"""All ops but ``iota``, which needs the loop (see emit.py)."""
