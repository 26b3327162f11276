"""Compute the constants of the vector elementary functions and write ``src/addax/engines/cpu/vecmath_tables.py``.

Each polynomial interpolates a smooth function at Chebyshev nodes in 60-digit arithmetic, which is within a small
factor of the best approximation of its degree. The residual functions are chosen so that the leading terms are exact:
e.g. for sine we fit (sin(sqrt(z))/sqrt(z) - 1)/z.

    python tools/vecmath_coefficients.py
"""

import struct
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60


def fit(f, lo, hi, degree, bits):
    """Coefficients, constant term first, of the polynomial that interpolates ``f`` at degree+1 Chebyshev nodes of
    [lo, hi].
    """
    n = degree + 1
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    nodes = [(lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    values = [f(x) for x in nodes]
    for j in range(1, n):  # Newton's divided differences, then expand
        for k in range(n - 1, j - 1, -1):
            values[k] = (values[k] - values[k - 1]) / (nodes[k] - nodes[k - j])
    poly = [values[-1]]
    for k in range(n - 2, -1, -1):
        poly = [mp.mpf(0), *poly]
        for i in range(len(poly) - 1):
            poly[i] -= nodes[k] * poly[i + 1]
        poly[0] += values[k]
    return [rounded(c, bits) for c in poly]


def rounded(c, bits):
    v = float(c)
    return struct.unpack("<f", struct.pack("<f", v))[0] if bits == 32 else v


def parts(value, sizes):
    """``value`` as a sum of floats: each but the last is cut to ``size`` significant bits, so that products with
    small integers are exact.
    """
    out = []
    for size in sizes:
        with mp.workprec(size):
            p = mp.mpf(+value)
        out.append(float(p))
        value -= p
    return out


def near(f, x, limit):
    """``f`` except at removable singularities."""
    return limit if abs(x) < mp.mpf("1e-25") else f(x)


def tables():
    t = {}
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.01")

    def expm1_residual(x):  # (e^x - 1 - x) / x^2
        return near(lambda x: (mp.expm1(x) - x) / x**2, x, mp.mpf(1) / 2)

    t["EXP_F32"] = fit(expm1_residual, -half_ln2, half_ln2, 4, 32)
    t["EXP_F64"] = fit(expm1_residual, -half_ln2, half_ln2, 9, 64)
    t["EXPM1_F32"] = fit(expm1_residual, -half_ln2, half_ln2, 5, 32)
    t["EXPM1_F64"] = fit(expm1_residual, -half_ln2, half_ln2, 10, 64)

    def exp2_residual(x):  # (2^x - 1) / x
        return near(lambda x: mp.expm1(x * mp.log(2)) / x, x, mp.log(2))

    t["EXP2_F32"] = fit(exp2_residual, -0.505, 0.505, 6, 32)
    t["EXP2_F64"] = fit(exp2_residual, -0.505, 0.505, 11, 64)

    def log1p_residual(x):  # (log(1+x) - x + x^2/2) / x^3
        return near(lambda x: (mp.log1p(x) - x + x * x / 2) / x**3, x, mp.mpf(1) / 3)

    t["LOG_F32"] = fit(log1p_residual, mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, 8, 32)

    def log_series(z):  # log((1+s)/(1-s)) = 2s + s*z*L(z), z = s^2
        return near(lambda z: (mp.log((1 + mp.sqrt(z)) / (1 - mp.sqrt(z))) / mp.sqrt(z) - 2) / z, z, mp.mpf(2) / 3)

    s = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    t["LOG_F64"] = fit(log_series, 0, s * s, 7, 64)

    def log_tail(z):  # the same with 2/3 z taken out, for double-double logarithms
        return near(lambda z: (log_series(z) - mp.mpf(2) / 3) / z, z, mp.mpf(2) / 5)

    t["LOG_TAIL_F64"] = fit(log_tail, 0, s * s * mp.mpf("1.01"), 7, 64)

    def sin_residual(z):  # (sin(x)/x - 1)/z
        return near(lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, z, -mp.mpf(1) / 6)

    def cos_residual(z):  # (cos(x) - 1 + z/2)/z^2
        return near(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, z, mp.mpf(1) / 24)

    q = (mp.pi / 4) ** 2 * mp.mpf("1.01")
    t["SIN_F32"] = fit(sin_residual, 0, q, 3, 32)
    t["SIN_F64"] = fit(sin_residual, 0, q, 6, 64)
    t["COS_F32"] = fit(cos_residual, 0, q, 2, 32)
    t["COS_F64"] = fit(cos_residual, 0, q, 6, 64)

    def tanh_residual(z):  # (tanh(x)/x - 1)/z
        return near(lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, z, -mp.mpf(1) / 3)

    t["TANH_F32"] = fit(tanh_residual, 0, mp.mpf("0.45") ** 2, 4, 32)
    t["TANH_F64"] = fit(tanh_residual, 0, mp.mpf("0.36") ** 2, 9, 64)

    def atan_residual(z):
        return near(lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, z, -mp.mpf(1) / 3)

    t["ATAN_F64"] = fit(atan_residual, 0, mp.mpf("0.5501") ** 2, 15, 64)

    def asin_residual(z):
        return near(lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z, z, mp.mpf(1) / 6)

    t["ASIN_F64"] = fit(asin_residual, 0, mp.mpf("0.2525"), 13, 64)

    # erf: x + x*E(x^2) for |x| < 1; beyond, 1 - exp(-T(a - 1)) in float, 1 - exp(-a^2) * W(u) in double, u a rational
    # map of a.
    def erf_small(z):
        return near(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, z, 2 / mp.sqrt(mp.pi) - 1)

    t["ERF_F32"] = fit(erf_small, 0, mp.mpf("1.0"), 6, 32)
    t["ERF_F64"] = fit(erf_small, 0, mp.mpf("1.0"), 13, 64)

    def erfcx(x):
        return mp.exp(x * x) * mp.erfc(x)

    def erfcx_of(u):  # a = (1 + u)/(1 - u) * 3 maps u in [-1, 1) to a in [0, inf)
        a = 3 * (1 + u) / (1 - u)
        return erfcx(a)

    def u_of(a):
        return (a - 3) / (a + mp.mpf(3))

    t["ERF_TAIL_F32"] = fit(lambda d: -mp.log(mp.erfc(d + 1)), "-0.01", "3.0", 10, 32)
    t["ERFCX_F64"] = fit(erfcx_of, u_of(mp.mpf("0.99")), u_of(mp.mpf("6.1")), 18, 64)
    # erfc needs the tail to 27, where a * erfcx(a) tends to 1/sqrt(pi); the fit is of erfcx * (a + 1).

    def erfcx_scaled(u):
        a = 3 * (1 + u) / (1 - u)
        return erfcx(a) * (a + 1)

    t["ERFC_F64"] = fit(erfcx_scaled, u_of(mp.mpf("0.45")), u_of(mp.mpf(28)), 24, 64)

    # erf_inv, double: x * P(w - c), w = -log(1 - x^2), then x * P(sqrt(w) - c)
    def erfinv(y):
        return mp.erfinv(y)

    def erfinv_w(w):
        x = mp.sqrt(-mp.expm1(-w))
        return near(lambda x: erfinv_hp(x, w) / x, x, mp.sqrt(mp.pi) / 2)

    def erfinv_hp(x, w):
        """erfinv through erfc for x near 1, where 1 - x^2 = exp(-w) is known better than x."""
        if x < mp.mpf("0.9"):
            return mp.erfinv(x)
        tail = mp.exp(-w) / (1 + x)  # 1 - x
        y = mp.sqrt(w)
        for _ in range(60):
            step = (mp.erfc(y) - tail) / (-2 / mp.sqrt(mp.pi) * mp.exp(-y * y))
            y -= step
            if abs(step) < mp.mpf("1e-50"):
                break
        return y

    t["ERFINV_0_F64"] = fit(
        lambda z: near(lambda z: erfinv(mp.sqrt(z)) / mp.sqrt(z), z, mp.sqrt(mp.pi) / 2), 0, "0.27", 15, 64
    )
    t["ERFINV_A_F64"] = fit(lambda s: erfinv_w(s + mp.mpf("3.25")), "-3.01", "3.01", 22, 64)
    t["ERFINV_B_F64"] = fit(lambda s: erfinv_w((s + mp.mpf("3.25")) ** 2), "-0.76", "0.76", 18, 64)
    t["ERFINV_C_F64"] = fit(lambda s: erfinv_w((s + mp.mpf(5)) ** 2), "-1.01", "1.1", 17, 64)

    # lgamma near its roots: lgamma(1+t) = t*A(t), lgamma(2+t) = t*B(t); Stirling's tail for x >= 8: S(1/x^2)/x.
    t["LGAMMA1_F64"] = fit(lambda x: near(lambda x: mp.loggamma(1 + x) / x, x, -mp.euler), -0.42, 0.42, 22, 64)
    t["LGAMMA2_F64"] = fit(lambda x: near(lambda x: mp.loggamma(2 + x) / x, x, 1 - mp.euler), -0.6, 0.6, 22, 64)

    def stirling(z):
        if z < mp.mpf("1e-20"):
            return mp.mpf(1) / 12
        x = 1 / mp.sqrt(z)
        return (mp.loggamma(x) - (x - mp.mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x

    t["STIRLING_F64"] = fit(stirling, 0, mp.mpf(1) / 60, 8, 64)

    def digamma_tail(z):  # psi(x) = log(x) - 1/(2x) - z*D(z)
        if z < mp.mpf("1e-20"):
            return mp.mpf(1) / 12
        x = 1 / mp.sqrt(z)
        return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) / z

    t["DIGAMMA_F64"] = fit(digamma_tail, 0, mp.mpf(1) / 60, 8, 64)

    ln2, pi = mp.log(2), mp.pi
    t["LN2_F32"] = parts(+ln2, (16, 24))
    t["LN2_F64"] = parts(+ln2, (42, 53))
    t["PIO2_F32"] = parts(pi / 2, (24, 24, 24))
    t["PIO2_F64"] = parts(pi / 2, (53, 53, 53))
    t["PIO4_F64"] = parts(pi / 4, (53, 53))
    t["LOG2E_F64"] = parts(1 / ln2, (53, 53))
    t["DIGAMMA_ROOT_F64"] = parts(mp.findroot(mp.digamma, mp.mpf("1.4616")), (53, 53))
    t["DIGAMMA_NEAR_ROOT_F64"] = digamma_root_fit()
    # A zero word, then the bits of 2/pi, 64 at a time: enough for the largest double (see vecmath_trig.rem_pio2_huge).
    with mp.workprec(1600):
        scaled = int(mp.floor(mp.ldexp(2 / mp.pi, 64 * 22)))
    t["TWO_OVER_PI"] = [0, *[(scaled >> (64 * (21 - k))) & (2**64 - 1) for k in range(22)]]
    return t


def digamma_root_fit():
    root = mp.findroot(mp.digamma, mp.mpf("1.4616"))
    return fit(lambda d: near(lambda d: mp.digamma(root + d) / d, d, mp.psi(1, root)), "-0.31", "0.31", 20, 64)


def main():
    lines = [
        '"""Constants of the vector elementary functions. Written by tools/vecmath_coefficients.py: do not edit."""',
        "",
    ]
    for name, values in tables().items():
        lines.append(f"{name} = (")
        lines += [f"    {hex(v) if name == 'TWO_OVER_PI' else repr(v)}," for v in values]
        lines.append(")")
    path = Path(__file__).parent.parent / "src/addax/engines/cpu/vecmath_tables.py"
    path.write_text("\n".join(lines) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
