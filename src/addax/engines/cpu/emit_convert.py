"""Conversions between dtypes, bit patterns included; the narrow floats that are stored in 8 or 16 bits and computed
in 32.
"""

from __future__ import annotations

import math
import struct

from addax.engines.cpu import vecmath
from addax.engines.cpu.emit_builder import INT_MAX, INT_MIN, Math, constant
from addax.engines.cpu.emit_lanes import Lanes, Register
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF

_I16 = "i16"

# Narrow floats: (mantissa bits, exponent bias, has infinities)
_FLOAT8 = {"float8_e4m3fn": (3, 7, False), "float8_e5m2": (2, 15, True)}


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


def nextafter(e: Lanes, args, dtype, argtypes, attrs):
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


def bitcast(e: Lanes, args, dtype, argtypes, attrs):
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


def reduce_precision_op(e: Lanes, args, dtype, argtypes, attrs):
    return reduce_precision(e.math(dtype), args[0], attrs["exponent_bits"], attrs["mantissa_bits"])


def convert_op(e: Lanes, args, dtype, argtypes, attrs):
    return convert(e, args[0], argtypes[0], dtype)
