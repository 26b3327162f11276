"""The sample table: for each elementwise primitive, where it lives and how well it must be met.

Every law in the tests of the primitives runs over these rows; a new primitive gets all of them by adding one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

BF16 = np.dtype(ml_dtypes.bfloat16)
F16, F32, F64, C64, C128 = map(np.dtype, ("float16", "float32", "float64", "complex64", "complex128"))
I8, I32, I64, U8, U32, U64 = map(np.dtype, ("int8", "int32", "int64", "uint8", "uint32", "uint64"))
BOOL = np.dtype(bool)

FLOATS = (BF16, F16, F32, F64)
COMPLEXES = (C64, C128)
INTS = (I8, I32, I64, U8, U32, U64)
INEXACT = FLOATS + COMPLEXES
NUMERIC = INTS + INEXACT
ALL = (BOOL, *NUMERIC)

EPS = {BF16: 2.0**-8, F16: 2.0**-11, F32: 2.0**-24, F64: 2.0**-53, C64: 2.0**-24, C128: 2.0**-53}

SPECIAL_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-30, -1e30)


@dataclass(frozen=True)
class Sample:
    """One primitive.

    Args:
      dtypes: dtypes all operands take together; rows of `dtype_rows` are used instead where operands differ.
      low, high: the interval (per operand, or one for all) random operands are drawn from.
      order: how many times it can be differentiated in each operand (0: the derivative is zero or absent).
      ulps: allowed error against the oracle, in units of half the last place of the result dtype, for `low..high`.
      special: also try zeros, infinities, NaN and extreme integers.
      params: static parameters.
      smooth: operands that are differentiated; all by default.
    """

    name: str
    arity: int = 1
    dtypes: tuple = INEXACT
    low: Any = -3.0
    high: Any = 3.0
    order: int = 0
    ulps: float = 8.0
    special: bool = True
    params: dict = field(default_factory=dict)
    dtype_rows: tuple = ()
    smooth: tuple | None = None
    scale: float = 0.0  # errors of results smaller than this count as if they were this large (zeros of lgamma)
    grid: float | None = None  # draw multiples of this, for whole-number operands or to meet ties

    @property
    def id(self) -> str:
        shown = ",".join(f"{k}={v}" for k, v in self.params.items())
        return f"{self.name}[{shown}]" if shown else self.name

    def rows(self):
        """The dtypes of the operands, one tuple per case."""
        return self.dtype_rows or tuple((d,) * self.arity for d in self.dtypes)

    def _bounds(self, i: int) -> tuple[float, float]:
        low = self.low[i] if isinstance(self.low, tuple) else self.low
        high = self.high[i] if isinstance(self.high, tuple) else self.high
        return low, high

    def draw(self, rng: np.random.Generator, dtypes: tuple, shape=(7,)) -> list[np.ndarray]:
        """Random operands inside the domain."""
        return [_draw(rng, d, *self._bounds(i), shape, self.grid) for i, d in enumerate(dtypes)]

    def edges(self, dtypes: tuple) -> list[np.ndarray]:
        """Every combination of the special values of the operands."""
        values = [_special_values(d) for d in dtypes]
        grid = np.meshgrid(*(np.arange(len(v)) for v in values), indexing="ij")
        return [v[g.ravel()] for v, g in zip(values, grid, strict=True)]


def _draw(rng, dtype, low, high, shape, grid):
    if dtype == BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "c":
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        ends = np.clip([np.floor(low), np.ceil(high)], max(info.min, -(2**31)), min(info.max, 2**31)).astype(np.int64)
        return rng.integers(ends[0], ends[1], shape, endpoint=True).astype(dtype)
    x = rng.uniform(low, high, shape)
    with np.errstate(over="ignore"):
        return (np.round(x / grid) * grid if grid else x).astype(dtype)


def _special_values(dtype) -> np.ndarray:
    if dtype == BOOL:
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        bits = info.bits
        negative = (-1, -2, info.min) if info.min else ()
        return np.array([0, 1, 2, 7, bits - 1, bits, info.max, info.max - 1, *negative], dtype)
    if dtype.kind == "c":
        return np.array([0, 1, -1, 1j, -1j, 0.5 + 2j, -2.5 - 0.5j], dtype)
    with np.errstate(all="ignore"):
        return np.array(SPECIAL_FLOATS, np.float64).astype(dtype)


def _unary(name, low=-3.0, high=3.0, **kw):
    return Sample(name, low=low, high=high, order=kw.pop("order", 2), **kw)


SAMPLES: tuple[Sample, ...] = (
    # arithmetic
    _unary("neg", dtypes=NUMERIC, ulps=0),
    Sample("add", 2, NUMERIC, order=2, ulps=0),
    Sample("sub", 2, NUMERIC, order=2, ulps=0),
    Sample("mul", 2, NUMERIC, order=2, ulps=4),
    Sample("div", 2, NUMERIC, order=2, ulps=8),
    Sample("rem", 2, INTS + FLOATS, low=-9.0, high=9.0, order=1, ulps=4),
    Sample("max", 2, ALL, order=1, ulps=0),
    Sample("min", 2, ALL, order=1, ulps=0),
    Sample("max", 2, (F32,), order=1, ulps=0, grid=1.0),
    Sample("add_any", 2, NUMERIC, order=2, ulps=0),
    _unary("sign", dtypes=INTS + FLOATS, order=0, ulps=4),
    _unary("sign", dtypes=COMPLEXES, ulps=4),
    _unary("abs", dtypes=(I8, I32, I64, *INEXACT), order=1, ulps=8),
    _unary("floor", dtypes=FLOATS, order=0, ulps=0),
    _unary("ceil", dtypes=FLOATS, order=0, ulps=0),
    _unary("round", dtypes=FLOATS, order=0, ulps=0, params={"rounding_method": 0}),
    _unary("round", dtypes=FLOATS, order=0, ulps=0, params={"rounding_method": 1}),
    _unary("is_finite", dtypes=FLOATS, order=0, ulps=0),
    Sample("nextafter", 2, FLOATS, ulps=0),
    _unary("real", dtypes=COMPLEXES, ulps=0),
    _unary("imag", dtypes=COMPLEXES, ulps=0),
    Sample("complex", 2, (F32, F64), order=2, ulps=0),
    _unary("conj", dtypes=(C64,), ulps=0, params={"input_dtype": C64}),
    _unary("conj", dtypes=(F32,), ulps=0, params={"input_dtype": F32}),
    _unary("square", dtypes=NUMERIC, ulps=4),
    *(_unary("integer_pow", 0.3, 2.0, dtypes=INEXACT, ulps=40, params={"y": y}) for y in (-5, -2, -1)),
    *(_unary("integer_pow", dtypes=NUMERIC, ulps=40, params={"y": y}) for y in (0, 1, 2, 3, 7)),
    Sample("pow", 2, FLOATS, low=(0.1, -3.0), high=(4.0, 3.0), order=2, ulps=64),
    Sample("pow", 2, COMPLEXES, low=(0.3, -2.0), high=(3.0, 2.0), order=2, ulps=600, special=False),
    Sample(
        "pow", 2, low=(-3.0, -9.0), high=(3.0, 9.0), dtype_rows=((F32, I32), (F64, I32), (F32, U8)), order=1, ulps=64,
        special=False, smooth=(0,),
    ),
    # exponentials, roots, trigonometry
    _unary("exp", -5.0, 5.0, ulps=16),
    _unary("exp2", -5.0, 5.0, ulps=32),
    _unary("expm1", ulps=32),
    _unary("log", 0.1, 9.0, ulps=16),
    _unary("log1p", -0.7, 9.0, ulps=32),
    _unary("logistic", -9.0, 9.0, ulps=64),
    _unary("sqrt", 0.01, 9.0, ulps=16),
    _unary("rsqrt", 0.1, 9.0, ulps=16),
    _unary("cbrt", 0.1, 9.0, dtypes=FLOATS, ulps=16),
    _unary("sin", ulps=32),
    _unary("cos", ulps=32),
    _unary("tan", -1.2, 1.2, ulps=64),
    _unary("asin", -0.9, 0.9, ulps=64),
    _unary("acos", -0.9, 0.9, ulps=64),
    _unary("atan", ulps=64),
    Sample("atan2", 2, FLOATS, order=2, ulps=16),
    _unary("sinh", ulps=32),
    _unary("cosh", ulps=32),
    _unary("tanh", ulps=32),
    _unary("asinh", ulps=32),
    _unary("acosh", 1.2, 9.0, ulps=32),
    _unary("atanh", -0.9, 0.9, ulps=256),
    # special functions
    _unary("erf", dtypes=FLOATS, ulps=32),
    _unary("erfc", dtypes=FLOATS, ulps=64),
    _unary("erf_inv", -0.9, 0.9, dtypes=FLOATS, ulps=64),
    _unary("lgamma", 0.1, 9.0, dtypes=FLOATS, ulps=64, scale=1.0),
    _unary("digamma", 0.1, 9.0, dtypes=FLOATS, ulps=64, scale=1.0),
    Sample(
        "polygamma", 2, FLOATS, low=(0.0, 0.3), high=(4.0, 9.0), grid=1.0, order=2, ulps=512, special=False, smooth=(1,)
    ),
    Sample("zeta", 2, FLOATS, low=(1.5, 0.3), high=(5.0, 9.0), order=2, ulps=256, special=False, smooth=(1,)),
    Sample("igamma", 2, FLOATS, low=0.2, high=6.0, order=1, ulps=2048, special=False),
    Sample("igammac", 2, FLOATS, low=0.2, high=6.0, order=1, ulps=2048, special=False),
    # The oracle is right to 1e-9 in float64; test_incomplete_gamma holds these to 1e-12 against mpmath.
    Sample("igamma_grad_a", 2, (F32,), low=0.2, high=6.0, ulps=2000, special=False),
    Sample("igamma_grad_a", 2, (F64,), low=0.2, high=6.0, ulps=1e7, special=False),
    Sample("random_gamma_grad", 2, (F32,), low=0.2, high=6.0, ulps=2000, special=False),
    Sample("random_gamma_grad_a", 2, (F32,), low=0.2, high=6.0, ulps=5000, special=False),
    Sample("random_gamma_grad", 2, (F64,), low=0.2, high=6.0, ulps=1e7, special=False),
    Sample(
        "regularized_incomplete_beta", 3, FLOATS, low=(0.5, 0.5, 0.05), high=(5.0, 5.0, 0.95), order=1, ulps=4096,
        special=False, smooth=(2,),
    ),
    _unary("bessel_i0e", 0.1, 6.0, dtypes=FLOATS, ulps=32),
    _unary("bessel_i1e", 0.1, 6.0, dtypes=FLOATS, ulps=32),
    # comparisons and choices
    *(Sample(name, 2, ALL, ulps=0, grid=1.0) for name in ("eq", "ne")),
    *(Sample(name, 2, (BOOL, *INTS, *FLOATS), ulps=0, grid=1.0) for name in ("lt", "le", "gt", "ge")),
    *(Sample(name, 2, (*INTS, *FLOATS), ulps=0, grid=1.0) for name in ("eq_to", "lt_to", "le_to")),
    Sample("clamp", 3, (*INTS, *FLOATS), order=1, ulps=0),
    Sample("select_n", 3, dtype_rows=tuple((BOOL, d, d) for d in ALL), order=2, ulps=0, smooth=(1, 2)),
    Sample("select_n", 4, low=0, high=2, dtype_rows=((I32, F32, F32, F32),), order=2, ulps=0, smooth=(1, 2, 3)),
    # bits
    *(Sample(name, 2, (BOOL, *INTS), ulps=0, low=-99, high=99) for name in ("and", "or", "xor")),
    Sample("not", 1, (BOOL, *INTS), ulps=0),
    Sample("population_count", 1, INTS, ulps=0, low=-(2**31), high=2**31),
    Sample("clz", 1, INTS, ulps=0, low=-(2**31), high=2**31),
    *(
        Sample(f"shift_{name}", 2, INTS, ulps=0, low=(-(2**31), 0), high=(2**31, 9))
        for name in ("left", "right_logical", "right_arithmetic")
    ),
    Sample("mulhi", 2, INTS, ulps=0, low=-(2**31), high=2**31),
    # representation
    *(
        Sample(
            "convert_element_type", 1, ALL, low=-300.0, high=300.0, ulps=0, order=1 if d.kind not in "biu" else 0,
            params={"new_dtype": d, "weak_type": False, "sharding": None},
        )
        for d in ALL
    ),
    *(
        _unary(
            "reduce_precision", -bound, bound, dtypes=FLOATS, order=0, ulps=0,
            params={"exponent_bits": e, "mantissa_bits": m},
        )
        for e, m, bound in ((5, 10, 9e4), (4, 3, 3.0), (8, 7, 3.0))
    ),
    *(
        Sample("bitcast_convert_type", 1, (old,), ulps=0, params={"new_dtype": new})
        for old, new in (
            (F32, I32), (F32, U32), (I32, F32), (F64, I64), (BF16, np.dtype("uint16")), (F32, U8), (F64, F32),
        )
    ),
    _unary("copy", dtypes=ALL, ulps=0),
    _unary("stop_gradient", dtypes=INEXACT, order=0, ulps=0),
)  # fmt: skip
