"""Arithmetic: the field operations, rounding, absolute values, powers, and the parts of complex numbers."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.primitive import registry
from addax.ops.comparison import eq, ge, select_n
from addax.ops.reference_tools import component, formula, maximum, minimum, predicate
from addax.ops.rules import (
    ANY,
    COMPLEX,
    FLOATING,
    INEXACT,
    NUMERIC,
    REAL,
    SIGNED,
    Elementwise,
    Refusal,
    Zero,
    broadcast_shapes,
    broadcast_to,
    convert,
    dtype_of,
    elementwise,
    full_like,
    instantiate,
    shape_of,
    to_bool,
)


def _additive(p: Elementwise, negate: bool) -> None:
    """The jvp of x + y and x - y: the primitive itself where both tangents are there."""

    def jvp(primals, tangents):
        out = p.bind(*primals)
        tx, ty = tangents
        if type(tx) is Zero and type(ty) is Zero:
            return out, Zero.of(out)
        if type(ty) is Zero:
            return out, broadcast_to(tx, shape_of(out))
        if type(tx) is Zero:
            return out, broadcast_to(neg.bind(ty) if negate else ty, shape_of(out))
        return out, broadcast_to(p.bind(tx, ty), shape_of(out))

    p.jvp = jvp


# --- Sums, products, quotients ---

neg = elementwise("neg", NUMERIC)
neg.derivative(lambda t, out, x: neg(t))
neg.linear(lambda ct, x: neg(ct))
neg.lower(stablehlo="negate", reference=formula(np.negative))

add = elementwise("add", NUMERIC, 2)
_additive(add, negate=False)
add.linear(lambda ct, x, y: ct, lambda ct, x, y: ct)
add.lower(stablehlo="add", reference=formula(np.add))

sub = elementwise("sub", NUMERIC, 2, numpy_name="subtract")
_additive(sub, negate=True)
sub.linear(lambda ct, x, y: ct, lambda ct, x, y: neg(ct))
sub.lower(stablehlo="subtract", reference=formula(np.subtract))

mul = elementwise("mul", NUMERIC, 2, numpy_name="multiply")
mul.derivative(lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t))
mul.linear(lambda ct, x, y: mul(ct, y), lambda ct, x, y: mul(x, ct))
mul.lower(stablehlo="multiply", reference=formula(np.multiply))


def _divide(x, y):
    """Integers divide toward zero; n / 0 has all bits set, and the one quotient that overflows wraps."""
    if x.dtype.kind not in "iu":
        return np.divide(x, y)
    return np.where(y == 0, x.dtype.type(0) - x.dtype.type(1), _truncated_quotient(x, y))


def _truncated_quotient(x, y):
    if x.dtype.kind == "u":
        return x // np.where(y == 0, x.dtype.type(1), y)
    overflow = (y == -1) & (x == np.iinfo(x.dtype).min)
    safe = np.where((y == 0) | overflow, x.dtype.type(1), y)
    quotient = x // safe
    return quotient + ((x - quotient * safe != 0) & ((x < 0) != (safe < 0))).astype(x.dtype)


def _remainder(x, y):
    """The remainder has the sign of the dividend; n rem 0 is n."""
    if x.dtype.kind not in "iu":
        return np.fmod(x, y)
    overflow = y == np.asarray(-1).astype(x.dtype) if x.dtype.kind == "i" else False
    return np.where(y == 0, x, np.where(overflow, 0, np.fmod(x, np.where((y == 0) | overflow, x.dtype.type(1), y))))


div = elementwise("div", NUMERIC, 2, numpy_name="divide")
div.derivative(
    lambda t, out, x, y: div(t, y),
    lambda t, out, x, y: mul(mul(neg(t), x), integer_pow(y, y=-2)),
)
div.linear(lambda ct, x, y: div(ct, y), Refusal("div is not linear in its divisor, so it has no transpose there"))
div.lower(stablehlo="divide", reference=formula(_divide))

rem = elementwise("rem", REAL, 2, numpy_name="remainder")
rem.derivative(
    lambda t, out, x, y: t,
    lambda t, out, x, y: mul(neg(t), mul(sign(div(x, y)), floor(abs_(div(x, y))))),
)
rem.lower(stablehlo="remainder", reference=formula(_remainder))

# --- max and min: NaN wins over numbers, -0 < 0, and complex numbers go by the real part first, then the imaginary ---


def _share(x, out, y):
    """1 where x is the result, 1/2 where both are, 0 elsewhere."""
    chosen = _constants_where(eq(x, out), 1, 0, out)
    return div(chosen, _constants_where(eq(y, out), 2, 1, out))


def _constants_where(mask, on_true, on_false, like):
    on_true, on_false = full_like(like, on_true), full_like(like, on_false)
    return select_n(mask, on_false, on_true)


max_ = elementwise("max", ANY, 2, numpy_name="maximum")
max_.derivative(lambda t, out, x, y: mul(t, _share(x, out, y)), lambda t, out, x, y: mul(t, _share(y, out, x)))
max_.lower(stablehlo="maximum", reference=formula(maximum))

min_ = elementwise("min", ANY, 2, numpy_name="minimum")
min_.derivative(lambda t, out, x, y: mul(t, _share(x, out, y)), lambda t, out, x, y: mul(t, _share(y, out, x)))
min_.lower(stablehlo="minimum", reference=formula(minimum))

# --- Sign and magnitude ---


def _sign(x):
    if x.dtype.kind in "iu":
        return np.sign(x)
    if x.dtype.kind == "c":
        return np.where(x == 0, x, x / np.where(x == 0, 1, np.abs(x)))
    return np.where((x == 0) | np.isnan(x), x, np.copysign(x.dtype.type(1), x))  # the sign of -0 is -0


def _sign_jvp(primals, tangents):
    """0 for real x. The sign of a complex one turns with it: i out Im(conj(out) t) / |x|, and 0 at 0. (0 in JAX.)"""
    (x,), (t,) = primals, tangents
    out = sign(x)
    if type(t) is Zero or not dtypes.issubdtype(dtype_of(x), np.complexfloating):
        return out, Zero.of(out)
    size = convert(abs_(x), dtype_of(x))
    turn = imag(mul(conj(out, input_dtype=dtype_of(x)), t))
    safe = select_n(eq(size, 0), size, full_like(size, 1))
    return out, div(mul(out, complex_(full_like(turn, 0), turn)), safe)


sign = elementwise("sign", NUMERIC)
sign.jvp = _sign_jvp
sign.lower(stablehlo="sign", reference=formula(_sign))


def real_dtype(dtype, **_):
    """The dtype of the parts of a complex number; that of a real one is its own."""
    return {dtypes.complex64: dtypes.float32, dtypes.complex128: dtypes.float64}.get(dtype, dtype)


def complex_dtype(dtype, *_, **__):
    return {dtypes.float32: dtypes.complex64, dtypes.float64: dtypes.complex128}.get(dtype, dtype)


def _abs_derivative(t, out, x):
    """t sign(x), with t itself at 0; for complex x, Re(t conj(x) / |x|), 0 at 0."""
    if not dtypes.issubdtype(dtype_of(x), np.complexfloating):
        return select_n(ge(x, 0), neg(t), t)
    magnitude = convert(out, dtype_of(x))
    safe = select_n(eq(magnitude, 0), magnitude, full_like(magnitude, 1))
    return real(mul(t, div(conj(x, input_dtype=dtype_of(x)), safe)))


abs_ = elementwise("abs", (SIGNED, FLOATING, COMPLEX), result=real_dtype)
abs_.derivative(_abs_derivative)
abs_.lower(
    stablehlo="abs",
    reference=lambda x: formula(np.abs)(x) if x.dtype.kind != "c" else component(np.abs)(x),
)

# --- Rounding ---

floor = elementwise("floor", (FLOATING,)).not_differentiable()
floor.lower(stablehlo="floor", reference=formula(np.floor))

ceil = elementwise("ceil", (FLOATING,)).not_differentiable()
ceil.lower(stablehlo="ceil", reference=formula(np.ceil))


def _round(x, *, rounding_method):
    """To the nearest integer; ties away from zero (method 0) or to the even one (method 1)."""
    if int(rounding_method) == 1:
        return np.rint(x)
    whole = np.trunc(x)
    away = whole + np.copysign((np.abs(x - whole) >= 0.5).astype(x.dtype), x)
    return np.where(np.isfinite(x), np.copysign(away, x), x)


round_ = elementwise("round", (FLOATING,)).not_differentiable()
round_.lower(stablehlo="round_nearest", reference=formula(_round))

is_finite = elementwise("is_finite", (FLOATING,), result=to_bool).not_differentiable()
is_finite.lower(stablehlo="is_finite", reference=predicate(np.isfinite))

nextafter = elementwise("nextafter", (FLOATING,), 2)
nextafter.jvp = Refusal("nextafter steps between floating point numbers and is no function of the reals: no derivative")
nextafter.lower(
    stablehlo="next_after", reference=component(lambda x, y: np.where(x == y, y, np.nextafter(x, y)).astype(x.dtype))
)

# --- Complex numbers. As JAX does, a cotangent is paired with a tangent without conjugation: Re(ct * t) ---

real = elementwise("real", (COMPLEX,), result=real_dtype)
real.derivative(lambda t, out, x: real(t))
real.linear(lambda ct, x: complex_(ct, 0))
real.lower(stablehlo="real", reference=component(lambda x: x.real.copy()))

imag = elementwise("imag", (COMPLEX,), result=real_dtype)
imag.derivative(lambda t, out, x: imag(t))
imag.linear(lambda ct, x: neg(complex_(0, ct)))
imag.lower(stablehlo="imag", reference=component(lambda x: x.imag.copy()))


def _assemble(x, y):
    out = np.empty(np.broadcast_shapes(x.shape, y.shape), complex_dtype(x.dtype))
    out.real, out.imag = x, y  # x + 1j * y would turn an infinite part into NaN
    return out


complex_ = elementwise("complex", (np.float32, np.float64), 2, complex_dtype, numpy_name=None)
complex_.linear(lambda ct, x, y: real(ct), lambda ct, x, y: imag(neg(ct)))
complex_.lower(stablehlo="complex", reference=component(_assemble))


def _complex_jvp(primals, tangents):
    out = complex_.bind(*primals)
    if all(type(t) is Zero for t in tangents):
        return out, Zero.of(out)
    return out, complex_.bind(*(broadcast_to(instantiate(t), shape_of(out)) for t in tangents))


complex_.jvp = _complex_jvp


def _conj_transpose(ct, x, *, input_dtype):
    if dtypes.issubdtype(input_dtype, np.complexfloating):
        return conj(ct, input_dtype=input_dtype)
    return real(conj(ct, input_dtype=dtype_of(ct)))


conj = elementwise("conj", (np.float32, np.float64, COMPLEX), result=complex_dtype)
conj.derivative(lambda t, out, x, **params: conj(t, **params))
conj.linear(_conj_transpose)
conj.lower(stablehlo="conj", reference=component(lambda x, *, input_dtype: np.conj(x).astype(complex_dtype(x.dtype))))

# --- Powers ---

square = elementwise("square", NUMERIC)
square.derivative(lambda t, out, x: mul(t, mul(2, x)))
square.lower(stablehlo="square", reference=formula(lambda x: x * x))


def power_by_squaring(x: np.ndarray, y: int) -> np.ndarray:
    """x**|y| by repeated squaring, then its reciprocal if y < 0: the products, and the rounding, of compiled code."""
    result, base, n = None, x, abs(y)
    while n:
        if n & 1:
            result = base if result is None else result * base
        n >>= 1
        if n:
            base = base * base
    if result is None:
        return np.ones_like(x)
    return np.reciprocal(result) if y < 0 else result


def _integer_pow_derivative(t, out, x, *, y):
    if y == 0:
        return full_like(t, 0)
    if y == 1:
        return t
    return mul(t, mul(float(y), x if y == 2 else integer_pow(x, y=y - 1)))


def _integer_pow_type(x, *, y):
    if y < 0 and not dtypes.issubdtype(x.dtype, np.inexact):
        raise TypeError(
            f"Integers cannot be raised to negative powers, got integer_pow({x.str_short(short_dtypes=False)}, {y})"
        )
    return integer_pow._type(x)


def _integer_pow_transpose(ct, x, *, y):
    if y != 1:
        raise NotImplementedError(f"integer_pow with exponent {y} is not linear, so it has no transpose")
    return ct


integer_pow = elementwise("integer_pow", NUMERIC)
integer_pow.abstract_eval = _integer_pow_type
integer_pow.derivative(_integer_pow_derivative)
integer_pow.linear(_integer_pow_transpose)
integer_pow.lower(stablehlo="integer_pow", reference=formula(lambda x, *, y: power_by_squaring(x, y)))


def _pow_type(x, y):
    x_inexact, y_inexact = (dtypes.issubdtype(a.dtype, np.inexact) for a in (x, y))
    if not x_inexact or not (y_inexact or dtypes.issubdtype(y.dtype, np.integer)) or (y_inexact and x.dtype != y.dtype):
        raise TypeError(
            "the first argument to pow must have an inexact dtype (float or complex), and the second argument must "
            "have an inexact or integer dtype, and two inexact dtypes must match, but got "
            f"{dtypes.dtype_name(x.dtype)} and {dtypes.dtype_name(y.dtype)} respectively."
        )
    shape = broadcast_shapes("pow", [x.shape, y.shape])
    return ShapedArray(shape, x.dtype, x.weak_type and y.weak_type)


def _power(x, y):
    if y.dtype.kind not in "iu":
        return np.power(x, y.astype(x.dtype, copy=False))
    # An integer exponent, whatever its size, keeps its parity: square and multiply on its bits.
    x, y = np.broadcast_arrays(x, y)
    n = np.abs(y.astype(np.int64)).astype(np.uint64) if y.dtype.kind == "i" else y.astype(np.uint64)
    result, base = np.ones_like(x), x
    while n.any():
        result = np.where(n & np.uint64(1), result * base, result)
        n = n >> np.uint64(1)
        base = base * base
    return np.where(y < 0, np.reciprocal(result), result)


def _pow_base_derivative(t, out, x, y):
    """t y x**(y - 1). With an integer exponent 0 it is 0, also at x = 0."""
    if dtypes.issubdtype(dtype_of(y), np.inexact):
        return mul(t, mul(y, pow_(x, sub(y, full_like(y, 1)))))
    n = convert(y, dtype_of(x))
    zero = eq(n, 0)
    safe = select_n(zero, n, full_like(n, 1))
    slope = mul(safe, pow_(x, sub(n, full_like(n, 1))))
    return mul(t, select_n(broadcast_to(zero, shape_of(slope)), slope, full_like(slope, 0)))


def _pow_exponent_derivative(t, out, x, y):
    """t log(x) x**y, and 0 at x = 0."""
    return mul(t, mul(log(select_n(eq(x, 0), x, full_like(x, 1))), out))


def log(x):
    return registry["log"](x)


pow_ = elementwise("pow", (INEXACT, NUMERIC), 2)
pow_.abstract_eval = _pow_type
pow_.derivative(_pow_base_derivative, _pow_exponent_derivative)
pow_.lower(stablehlo="power", reference=formula(_power))
