"""Compute the Chebyshev series of special functions and write ``src/addax/scipy/special/tables.py``.

Each entry is a smooth part of a function, on [-1, 1]; which part, of which variable, its line says. The coefficients are
those of interpolation at 64 Chebyshev nodes in 40 digits, cut where they fall below 2^-57 of the largest.

    python tools/special_coefficients.py
"""

from pathlib import Path

import mpmath as mp

mp.mp.dps = 40
NODES = 64
INF = mp.inf


def series(f):
    angles = [mp.pi * (k + mp.mpf(1) / 2) / NODES for k in range(NODES)]
    values = [f(mp.cos(a)) for a in angles]
    out = [
        2 / mp.mpf(NODES) * mp.fsum(v * mp.cos(j * a) for v, a in zip(values, angles, strict=True))
        for j in range(NODES)
    ]
    out[0] /= 2
    least = max(map(abs, out)) * mp.mpf(2) ** -57
    while abs(out[-1]) < least:
        out.pop()
    return [float(c) for c in out]


def between(low, high):
    """The interval as [-1, 1]."""
    low, high = mp.mpf(low), mp.mpf(high)
    return lambda s: (low + high) / 2 + (high - low) / 2 * s


def beyond(low, scale):
    """[low, inf) as [-1, 1): s = 1 - 2 scale / (x - low + scale)."""
    return lambda s: low + scale * (1 + s) / (1 - s)


EI_ZERO = mp.findroot(mp.ei, 0.3725)


def ei_slope(x):
    return (mp.ei(x) - mp.log(x / EI_ZERO)) / (x - EI_ZERO)


def ei_far(u):
    return mp.exp(-1 / u) * mp.ei(1 / u) / u


def dawson(x):
    return mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


def dawson_far(u):
    x = 1 / mp.sqrt(u)
    if x < 60:
        return x * dawson(x)
    return mp.fsum(mp.fac2(2 * k - 1) * (u / 2) ** k for k in range(8)) / 2  # its asymptotic series


def erfcx(x):
    with mp.workdps(60):
        return mp.exp(x * x) * mp.erfc(x) if x < 1e4 else 1 / (x * mp.sqrt(mp.pi)) * (1 - 1 / (2 * x * x))


def sine_cosine(x):
    """f and g with Si(x) = pi/2 - f cos(x) - g sin(x) and Ci(x) = f sin(x) - g cos(x)."""
    with mp.workdps(60):
        si, ci = mp.pi / 2 - mp.si(x), mp.ci(x)
        return ci * mp.sin(x) + si * mp.cos(x), si * mp.sin(x) - ci * mp.cos(x)


def fresnel(x):
    """f and g with S(x) = 1/2 - f cos(a) - g sin(a) and C(x) = 1/2 + f sin(a) - g cos(a), a = pi x^2 / 2."""
    with mp.workdps(60):
        s, c, a = 1 / mp.mpf(2) - mp.fresnels(x), 1 / mp.mpf(2) - mp.fresnelc(x), mp.pi * x * x / 2
        return s * mp.cos(a) - c * mp.sin(a), c * mp.cos(a) + s * mp.sin(a)


def of_root(f, n):
    """f as a function of x^n."""
    return lambda y: f(mp.root(y, n))


TABLES = {
    "EXP1_NEAR": ("E1(x) + log(x), x in [0, 1]", lambda x: mp.e1(x) + mp.log(x), between(0, 1)),
    "EXP1_FAR": ("x exp(x) E1(x), x in [1, inf), scale 3", lambda x: x * mp.exp(x) * mp.e1(x), beyond(1, 3)),
    "EXPI_NEAR": ("(Ei(x) - log(x / x0)) / (x - x0), x in [0, 6], for the zero x0", ei_slope, between(0, 6)),
    "EXPI_MIDDLE": ("x exp(-x) Ei(x) of 1/x in [1/15, 1/6]", ei_far, between(mp.mpf(1) / 15, mp.mpf(1) / 6)),
    "EXPI_FAR": ("x exp(-x) Ei(x) of 1/x in [0, 1/15]", ei_far, between(0, mp.mpf(1) / 15)),
    "ERFCX": ("(1 + 2x) erfcx(x), x in [0, inf), scale 3.75", lambda x: (1 + 2 * x) * erfcx(x), beyond(0, 3.75)),
    "DAWSN_NEAR": (
        "(1 + 2 x^2) F(x) / x of x^2 in [0, 9]", of_root(lambda x: (1 + 2 * x * x) * dawson(x) / x, 2), between(0, 9),
    ),
    "DAWSN_MIDDLE": ("x F(x) of 1/x^2 in [1/25, 1/9]", dawson_far, between(mp.mpf(1) / 25, mp.mpf(1) / 9)),
    "DAWSN_FAR": ("x F(x) of 1/x^2 in [0, 1/25]", dawson_far, between(0, mp.mpf(1) / 25)),
    "SI_NEAR": ("Si(x) / x of x^2 in [0, 16]", of_root(lambda x: mp.si(x) / x, 2), between(0, 16)),
    "CI_NEAR": (
        "(Ci(x) - log(x) - gamma) / x^2 of x^2 in [0, 16]",
        of_root(lambda x: (mp.ci(x) - mp.log(x) - mp.euler) / x**2, 2), between(0, 16),
    ),
    "SICI_F": ("x f(x) of x^2 in [16, inf), scale 64", of_root(lambda x: x * sine_cosine(x)[0], 2), beyond(16, 64)),
    "SICI_G": ("x^2 g(x) likewise", of_root(lambda x: x * x * sine_cosine(x)[1], 2), beyond(16, 64)),
    "FRESNEL_S": ("S(x) / x^3 of x^4 in [0, 16]", of_root(lambda x: mp.fresnels(x) / x**3, 4), between(0, 16)),
    "FRESNEL_C": ("C(x) / x of x^4 in [0, 16]", of_root(lambda x: mp.fresnelc(x) / x, 4), between(0, 16)),
    "FRESNEL_F": ("x f(x) of x^4 in [16, inf), scale 64", of_root(lambda x: x * fresnel(x)[0], 4), beyond(16, 64)),
    "FRESNEL_G": ("x^3 g(x) likewise", of_root(lambda x: x**3 * fresnel(x)[1], 4), beyond(16, 64)),
}  # fmt: skip


def rows(numbers, width=118):
    line = "   "
    for text in (f" {c!r}," for c in numbers):
        if len(line) + len(text) > width:
            yield line
            line = "   "
        line += text
    yield line


def main():
    zero = float(EI_ZERO)
    out = [
        '"""Chebyshev series of special functions: written by ``tools/special_coefficients.py``, which says how."""',
        "",
        "# The zero of Ei, as a sum of two numbers.",
        f"EXPI_ZERO = ({zero!r}, {float(EI_ZERO - zero)!r})",
    ]
    for name, (what, f, variable) in TABLES.items():
        coefficients = series(lambda s, f=f, variable=variable: f(variable(s)))
        print(name, len(coefficients))
        out += ["", f"# {what}", f"{name} = (", *rows(coefficients), ")  # fmt: skip"]
    path = Path(__file__).parent.parent / "src/addax/scipy/special/tables.py"
    path.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
