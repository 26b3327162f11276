"""Elementwise primitives. Most name their operation themselves (`Primitive.stablehlo`); here is what those names mean, and
the few functions that StableHLO does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import addax.ops.elementwise  # noqa: F401  (declares the primitives)
from addax.core import dtypes
from addax.core.jaxpr import Eqn
from addax.core.primitive import registry
from addax.engines.xla.block import Block, Value, is_complex
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import RULES, rule
from addax.engines.xla.types import BOOL, FLOAT32, UINT32
from addax.ops.rules import Elementwise

# Operations of the dialect chlo, which StableHLO programs may use: each is decomposed when the program is compiled.
CHLO = frozenset(
    "acos acosh asin asinh atan atanh bessel_i1e cosh digamma erf erf_inv erfc lgamma next_after polygamma sinh square zeta".split()
)
# Operations that StableHLO has for numbers of one kind only, or not at all, have their own rule below.
SPECIAL = frozenset({"bessel_i0e", "conj", "digamma", "exp2", "imag", "integer_pow", "real", "round_nearest", "square"})


def stretched(b: Block, eqn: Eqn, args) -> list[Value]:
    """The operands in the shape of the result."""
    shape = eqn.outvars[0].aval.shape
    return [x if x.shape == shape else b.stretch(x, shape) for x in args]


def _unary(name: str) -> Callable[..., Value]:
    def lower(b: Block, eqn: Eqn, x: Value) -> Value:
        return b.unary(name, x)

    return lower


def _binary(name: str) -> Callable[..., Value]:
    def lower(b: Block, eqn: Eqn, x: Value, y: Value) -> Value:
        shape = eqn.outvars[0].aval.shape
        if x.shape != shape:
            x = b.stretch(x, shape)
        if y.shape != shape:
            y = b.stretch(y, shape)
        return b.binary(name, x, y)

    return lower


def _chlo(name: str) -> Callable[..., Value]:
    def lower(b: Block, eqn: Eqn, *args: Value) -> Value:
        return b.chlo(name, *stretched(b, eqn, args))

    return lower


def _compare(words: str) -> Callable[..., Value]:
    _, direction, *order = words.split()

    def lower(b: Block, eqn: Eqn, *args: Value) -> Value:
        x, y = stretched(b, eqn, args)
        return b.compare(direction, x, y, total_order=bool(order))

    return lower


def _rule_of(primitive: Elementwise) -> Callable[..., Value] | None:
    name = primitive.stablehlo
    if name is None or name in SPECIAL:
        return None
    if name.startswith("compare"):
        return _compare(name)
    if name in CHLO:
        return _chlo(name)
    return _unary(name) if primitive.arity == 1 else _binary(name)


for _primitive in list(registry.values()):
    if isinstance(_primitive, Elementwise) and (_rule := _rule_of(_primitive)) is not None:
        RULES[_primitive.name] = _rule


# ---------------------------------------------------------------------------------------------------------------------
# Extremes, sign, rounding


def lexicographic(b: Block, direction: str, x: Value, y: Value) -> Value:
    """Complex numbers compared by real part, then imaginary part."""
    (xr, xi), (yr, yi) = b.parts(x), b.parts(y)
    return b.select(b.compare("EQ", xr, yr), b.compare(direction, xi, yi), b.compare(direction, xr, yr))


def extreme(b: Block, name: str, x: Value, y: Value) -> Value:
    """``maximum`` or ``minimum``."""
    if not is_complex(x):
        return b.binary(name, x, y)
    return b.select(lexicographic(b, "GT" if name == "maximum" else "LT", x, y), x, y)


@rule("max")
def _max(b: Block, eqn: Eqn, *args: Value) -> Value:
    return extreme(b, "maximum", *stretched(b, eqn, args))


@rule("min")
def _min(b: Block, eqn: Eqn, *args: Value) -> Value:
    return extreme(b, "minimum", *stretched(b, eqn, args))


@rule("sign")
def _sign(b: Block, eqn: Eqn, x: Value) -> Value:
    if not dtypes.issubdtype(x.dtype, np.unsignedinteger):
        return b.unary("sign", x)
    return b.binary("minimum", x, b.full(1, x.shape, x.dtype))


@rule("abs")
def _abs(b: Block, eqn: Eqn, x: Value) -> Value:
    out = result_type(eqn)
    return b.to_type("abs", x, out.shape, out.dtype)


@rule("is_finite")
def _is_finite(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.to_type("is_finite", x, x.shape, BOOL)


@rule("round")
def _round(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.unary("round_nearest_even" if int(eqn.params["rounding_method"]) == 1 else "round_nearest_afz", x)


@rule("reduce_precision")
def _reduce_precision(b: Block, eqn: Eqn, x: Value) -> Value:
    # A format that keeps more bits than there are keeps them all.
    info = dtypes.finfo(x.dtype)
    exponent = min(eqn.params["exponent_bits"], 11)
    mantissa = min(eqn.params["mantissa_bits"], info.nmant)
    return b.emit(f"stablehlo.reduce_precision {x.name}, format = e{exponent}m{mantissa} : {x.type}", x.shape, x.dtype)


@rule("add", "add_any")
def _add(b: Block, eqn: Eqn, *args: Value) -> Value:
    return b.binary("add", *stretched(b, eqn, args))


# ---------------------------------------------------------------------------------------------------------------------
# Parts of complex numbers


@rule("real", "imag")
def _part(b: Block, eqn: Eqn, x: Value) -> Value:
    out = result_type(eqn)
    return b.to_type(eqn.primitive.name, x, out.shape, out.dtype)


@rule("complex")
def _complex(b: Block, eqn: Eqn, *args: Value) -> Value:
    return b.complex(*stretched(b, eqn, args))


@rule("conj")
def _conj(b: Block, eqn: Eqn, x: Value) -> Value:
    if not is_complex(x):
        return b.complex(x, b.full(0, x.shape, x.dtype))
    re, im = b.parts(x)
    return b.complex(re, b.unary("negate", im))


@rule("eq_to")
def _equal_in_total_order(b: Block, eqn: Eqn, *args: Value) -> Value:
    x, y = stretched(b, eqn, args)
    if not is_complex(x):
        return b.compare("EQ", x, y, total_order=True)
    (xr, xi), (yr, yi) = b.parts(x), b.parts(y)
    return b.binary("and", b.compare("EQ", xr, yr, total_order=True), b.compare("EQ", xi, yi, total_order=True))


# ---------------------------------------------------------------------------------------------------------------------
# Powers


@rule("square")
def _square(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.binary("multiply", x, x)


@rule("integer_pow")
def _integer_pow(b: Block, eqn: Eqn, x: Value) -> Value:
    """By squaring: the products of ops.arithmetic.power_by_squaring."""
    n = abs(eqn.params["y"])
    if n == 0:
        return b.full(1, x.shape, x.dtype)
    result, base = None, x
    while n:
        if n & 1:
            result = base if result is None else b.binary("multiply", result, base)
        n >>= 1
        if n:
            base = b.binary("multiply", base, base)
    assert result is not None
    return b.binary("divide", b.full(1, x.shape, x.dtype), result) if eqn.params["y"] < 0 else result


@rule("pow")
def _pow(b: Block, eqn: Eqn, x: Value, y: Value) -> Value:
    shape = eqn.outvars[0].aval.shape
    x, y = b.stretch(x, shape), b.stretch(y, shape)
    if x.dtype == y.dtype:
        return b.binary("power", x, y)
    if is_complex(x):
        return b.binary("power", x, b.convert(y, x.dtype))
    # An integer exponent may be too large for the float to tell odd from even: |x|**y, with the sign apart.
    odd = b.compare("NE", b.binary("and", y, b.full(1, shape, y.dtype)), b.full(0, shape, y.dtype))
    exponent = b.convert(y, x.dtype)
    size = b.binary("power", b.unary("abs", x), exponent)
    negative = b.compare(
        "LT", b.binary("multiply", _sign_bit(b, x), b.full(1, shape, x.dtype)), b.full(0, shape, x.dtype)
    )
    return b.select(b.binary("and", odd, negative), b.unary("negate", size), size)


def _sign_bit(b: Block, x: Value) -> Value:
    """A number with the sign of x, also where x is -0."""
    bits = np.dtype(f"i{x.dtype.itemsize}")
    raw = b.to_type("bitcast_convert", x, x.shape, bits)
    return b.select(
        b.compare("LT", raw, b.full(0, x.shape, bits)), b.full(-1, x.shape, x.dtype), b.full(1, x.shape, x.dtype)
    )


@rule("exp2")
def _exp2(b: Block, eqn: Eqn, x: Value) -> Value:
    if is_complex(x):
        return b.unary("exponential", b.binary("multiply", x, b.full(math.log(2.0), x.shape, x.dtype)))
    return b.binary("power", b.full(2, x.shape, x.dtype), x)


@rule("digamma")
def _digamma(b: Block, eqn: Eqn, x: Value) -> Value:
    """Its pole at zero is -inf to XLA since jaxlib 0.11, and was NaN before, as those at the negative integers are."""
    pole = b.compare("EQ", x, b.full(0, x.shape, x.dtype))
    return b.select(pole, b.full(np.nan, x.shape, x.dtype), b.chlo("digamma", x))


# ---------------------------------------------------------------------------------------------------------------------
# Bits


@rule("mulhi")
def _mulhi(b: Block, eqn: Eqn, *args: Value) -> Value:
    x, y = stretched(b, eqn, args)
    bits = dtypes.itemsize_bits(x.dtype)
    signed = dtypes.issubdtype(x.dtype, np.signedinteger)
    if bits < 64:
        wide = np.dtype(np.int64 if signed else np.uint64)
        product = b.binary("multiply", b.convert(x, wide), b.convert(y, wide))
        shift = "shift_right_arithmetic" if signed else "shift_right_logical"
        return b.convert(b.binary(shift, product, b.full(bits, x.shape, wide)), x.dtype)
    # Schoolbook on halves (Hacker's Delight, section 8-2); shifts of signed integers keep the sign.
    shift = "shift_right_arithmetic" if signed else "shift_right_logical"
    mask, half = b.full(2**32 - 1, x.shape, x.dtype), b.full(32, x.shape, x.dtype)

    def low(v):
        return b.binary("and", v, mask)

    def high(v):
        return b.binary(shift, v, half)

    def mul(v, w):
        return b.binary("multiply", v, w)

    def add(v, w):
        return b.binary("add", v, w)

    x0, x1, y0, y1 = low(x), high(x), low(y), high(y)
    middle = add(mul(x1, y0), b.binary("shift_right_logical", mul(x0, y0), half))
    return add(add(mul(x1, y1), high(middle)), high(add(mul(x0, y1), low(middle))))


# ---------------------------------------------------------------------------------------------------------------------
# Choices and conversions


@rule("select_n")
def _select_n(b: Block, eqn: Eqn, which: Value, *cases: Value) -> Value:
    if len(cases) == 1:
        return cases[0]
    if which.dtype == BOOL:
        return b.select(which, cases[1], cases[0])

    def pick(low: int, high: int) -> Value:
        """One of cases low..high-1: halve the range."""
        if high - low == 1:
            return cases[low]
        middle = (low + high) // 2
        below = b.compare("LT", which, b.full(middle, which.shape, which.dtype))
        return b.select(below, pick(low, middle), pick(middle, high))

    # A selector of few bits counts no further than its own largest value.
    reachable = min(len(cases), int(dtypes.iinfo(which.dtype).max) + 1)
    return pick(0, reachable)


@rule("clamp")
def _clamp(b: Block, eqn: Eqn, low: Value, x: Value, high: Value) -> Value:
    if x.dtype == BOOL or is_complex(x):
        low, high = b.stretch(low, x.shape), b.stretch(high, x.shape)
        return extreme(b, "minimum", extreme(b, "maximum", low, x), high)
    text = f"stablehlo.clamp {low.name}, {x.name}, {high.name} : ({low.type}, {x.type}, {high.type}) -> {x.type}"
    return b.emit(text, x.shape, x.dtype)


def convert_element_type(b: Block, x: Value, dtype: np.dtype) -> Value:
    """Conversion as ops.convert defines it."""
    if x.dtype == dtype:
        return x
    if dtype == BOOL:
        return b.compare("NE", x, b.full(0, x.shape, x.dtype))
    if is_complex(x) and dtype.kind != "c":
        return convert_element_type(b, b.parts(x)[0], dtype)
    small = dtypes.issubdtype(dtype, np.integer) and dtypes.itemsize_bits(dtype) < 32
    if small and dtypes.issubdtype(x.dtype, np.floating):
        # Out of range: the nearest integer in range, and 0 for NaN. XLA defines neither.
        info = dtypes.iinfo(dtype)
        if dtypes.itemsize_bits(x.dtype) < 32:
            x = b.convert(x, FLOAT32)
        clamped = b.binary("maximum", x, b.full(int(info.min), x.shape, x.dtype))
        clamped = b.binary("minimum", clamped, b.full(int(info.max), x.shape, x.dtype))
        x = b.select(b.compare("EQ", x, x), clamped, b.full(0, x.shape, x.dtype))
    return b.convert(x, dtype)


@rule("convert_element_type")
def _convert(b: Block, eqn: Eqn, x: Value) -> Value:
    return convert_element_type(b, x, result_type(eqn).dtype)


@rule("bitcast_convert_type")
def _bitcast(b: Block, eqn: Eqn, x: Value) -> Value:
    out = result_type(eqn)
    return x if x.dtype == out.dtype else b.to_type("bitcast_convert", x, out.shape, out.dtype)


@rule("copy", "stop_gradient", "random_clone")
def _same(b: Block, eqn: Eqn, x: Value) -> Value:
    return x


__all__ = ["UINT32", "convert_element_type", "extreme", "lexicographic", "stretched"]
