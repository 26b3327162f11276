"""The sample table of reductions, products, scans, sorts, convolutions, windows, linear algebra and transforms.

Between them the rows meet every branch of the rules of their primitives. Every law of test_reduce_laws.py runs over them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import ml_dtypes
import numpy as np

from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.ops.conv import ConvDimensionNumbers
from addax.ops.fft import FftType
from addax.ops.precision import Precision

BF16 = np.dtype(ml_dtypes.bfloat16)
F16, F32, F64, I8, I32, U8, C64, C128, BOOL = map(
    np.dtype, ("float16", "float32", "float64", "int8", "int32", "uint8", "complex64", "complex128", "bool")
)
NUMERIC = (F32, I32, BF16, C64, U8, F16)
ALL = (*NUMERIC, BOOL)
REAL = (F32, I32, BF16, U8, F16)
LAPACK = (F32, C64)


@dataclass(frozen=True, eq=False)
class Sample:
    """One application of a primitive.

    Args:
      name: of the primitive.
      shapes: of its operands.
      params: static parameters.
      dtypes: dtypes all operands take.
      order: how many times it can be differentiated; 0 where the derivative is zero or absent.
      rtol: error allowed against the oracle, for float32.
      smooth: operands that are differentiated; all by default.
      kind: what to draw: ``"any"`` numbers, ``"distinct"`` ones, ``"whole"`` ones (with ties), ``"hermitian"`` positive
        definite, ``"dominant"`` (well conditioned) or ``"lower"`` triangular matrices.
      jax_params: parameters of the oracle, where they differ.
      oracle: the oracle, where it is not the primitive of that name.
      symmetrize: differentiate with respect to all of a matrix of which the primitive reads one triangle.
    """

    name: str
    shapes: tuple
    params: dict[str, Any] = field(default_factory=dict)
    dtypes: tuple = NUMERIC
    order: int = 2
    rtol: float = 2e-5
    smooth: tuple | None = None
    kind: str = "any"
    jax_params: dict[str, Any] | None = None
    oracle: Callable | None = None
    symmetrize: bool = False
    row_dtypes: tuple | None = None  # fixed dtypes of single operands: None where the drawn dtype applies
    high: float = 2.0

    @property
    def id(self) -> str:
        shapes = "-".join("x".join(map(str, s)) or "scalar" for s in self.shapes)
        hidden = ("out_sharding", "jaxpr")
        shown = ",".join(f"{k}={v}" for k, v in self.params.items() if v is not None and k not in hidden)
        return f"{self.name}[{shown}]({shapes})".replace(" ", "")

    @property
    def operands(self) -> tuple:
        return self.shapes

    def params_for(self, args) -> dict[str, Any]:
        """The parameters, with the program to fold with at the dtype of the operands."""
        if "jaxpr" not in self.params:
            return self.params
        return self.params | {"jaxpr": combiner(self.params["jaxpr"], np.dtype(args[0].dtype), len(args) // 2)}

    def draw(self, rng: np.random.Generator, dtype=F32) -> list[np.ndarray]:
        rows = self.row_dtypes or (None,) * len(self.shapes)
        return [
            draw(rng, s, dtype if d is None else d, self.kind, self.high)
            for s, d in zip(self.shapes, rows, strict=True)
        ]


def draw(rng, shape, dtype, kind, high):
    dtype = np.dtype(dtype)
    if dtype == BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if kind == "whole" or dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -3
        x = rng.integers(low, 4, shape)
        return (x + 1j * rng.integers(-3, 4, shape) if dtype.kind == "c" else x).astype(dtype)
    if kind == "distinct":
        size = int(np.prod(shape))
        x = (rng.permutation(size).reshape(shape) - size / 2) / max(size, 1) * 4 + 0.1
    else:
        x = rng.uniform(-high, high, shape)
    if dtype.kind == "c":
        x = x + 1j * rng.uniform(-high, high, shape)
    if kind == "hermitian" and len(shape) >= 2:
        x = x @ np.conj(np.swapaxes(x, -1, -2)) + np.diag(1.0 + np.arange(shape[-1]))
    if kind in ("dominant", "lower") and len(shape) >= 2 and shape[-1] == shape[-2]:
        x = x + 3 * high * np.eye(shape[-1])
    return np.asarray(x).astype(dtype)


# ---------------------------------------------------------------------------------------------------------------------


def axes(*dims, **more):
    return {"axes": dims, **more}


def _reductions():
    for name, dtypes, order in (
        ("reduce_sum", NUMERIC, 2), ("reduce_prod", NUMERIC, 2), ("reduce_max", ALL, 1), ("reduce_min", ALL, 1),
        ("reduce_and", (I32, BOOL, U8), 0), ("reduce_or", (I32, BOOL, U8), 0), ("reduce_xor", (I32, BOOL, U8), 0),
    ):  # fmt: skip
        more = {"out_sharding": None} if name == "reduce_sum" else {}
        kind = "distinct" if order == 1 else "any"
        for shape, dims in (((5,), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((3, 2), ()), ((2, 1, 3), (1, 0, 2))):
            yield Sample(name, (shape,), axes(*dims, **more), dtypes, order, 2e-2 if BF16 in dtypes else 0, kind=kind)
        if order != 1:
            yield Sample(name, ((0, 3),), axes(0, **more), dtypes, order)
        yield Sample(name, ((3, 4),), axes(1, **more), (F32,) if order else (I32,), 0, kind="whole")
    for name in ("argmax", "argmin"):
        for shape, dim in (((5,), 0), ((2, 3, 4), 1), ((4, 3), 0)):
            yield Sample(name, (shape,), axes(dim, index_dtype=I32), (*REAL, BOOL), 0, kind="whole")


CONTRACTIONS = (
    (((3, 4), (4, 5)), (((1,), (0,)), ((), ()))),
    (((3,), (3,)), (((0,), (0,)), ((), ()))),
    (((2, 3, 4), (2, 4, 5)), (((2,), (1,)), ((0,), (0,)))),
    (((4, 2, 3), (2, 3, 4)), (((0, 2), (2, 1)), ((1,), (0,)))),
    (((2,), (3, 2)), (((), ()), ((), ()))),
    (((2, 3, 4), (4, 3, 2)), (((1,), (1,)), ((0, 2), (2, 0)))),
    (((2, 0), (0, 3)), (((1,), (0,)), ((), ()))),
)


def dot(numbers, precision=None, preferred=None):
    return {
        "dimension_numbers": numbers,
        "precision": precision,
        "preferred_element_type": preferred,
        "out_sharding": None,
    }


def _products():
    for shapes, numbers in CONTRACTIONS:
        yield Sample("dot_general", shapes, dot(numbers), (*NUMERIC, BOOL), 2, 3e-2, kind="whole")
        yield Sample("dot_general", shapes, dot(numbers), (F32, C64), 2, 1e-4)
    shapes, numbers = CONTRACTIONS[0]
    yield Sample("dot_general", shapes, dot(numbers, preferred=F32), (BF16, F16, I8, F32), 2, 1e-5, kind="whole")
    yield Sample("dot_general", shapes, dot(numbers, preferred=I32), (I8, U8), 0)
    high = (jax.lax.Precision.HIGH,) * 2
    yield Sample("dot_general", shapes, dot(numbers, (Precision.HIGH,) * 2), (F32,), jax_params=dot(numbers, high))


def _scans():
    for name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
        dtypes = (F32, C64, F16) if name == "cumlogsumexp" else (F32, I32, U8, F16)
        order = 1 if name in ("cummax", "cummin") else 2
        kind = "distinct" if order == 1 else "any"
        for shape, axis, reverse in (((7,), 0, False), ((2, 8), 1, True), ((3, 2, 2), 0, False), ((2, 1, 3), 1, True)):
            params = {"axis": axis, "reverse": reverse}
            yield Sample(name, (shape,), params, dtypes, order, 2e-2 if F16 in dtypes else 1e-5, kind=kind)
        yield Sample(name, ((0, 2),), {"axis": 0, "reverse": False}, (F32,), order)


def _sorts():
    def sorting(dimension, num_keys=1):
        return {"dimension": dimension, "is_stable": True, "num_keys": num_keys}

    yield Sample("sort", ((5,),), sorting(0), ALL[:3], 1, 0, kind="distinct")
    yield Sample("sort", ((2, 6, 2),), sorting(1), (F32, BF16, I32, C64, BOOL), 1, 0, kind="distinct")
    yield Sample("sort", ((6, 2), (6, 2)), sorting(0), (F32, I32), 1, 0, kind="distinct")
    yield Sample("sort", ((2, 9), (2, 9), (2, 9)), sorting(1, 2), (F32, I32, BF16), 0, 0, kind="whole")
    yield Sample("sort", ((30,), (30,)), sorting(0, 1), (F32, BOOL), 0, 0, kind="whole")
    for shape, k, axis in (((7,), 3, 0), ((2, 5), 5, 1), ((4, 3), 0, 0), ((2, 90), 2, 1)):
        yield Sample("top_k", (shape,), {"k": k, "axis": axis}, (F32, BF16, I32, U8), 1, 0, kind="distinct")
    yield Sample("top_k", ((40,),), {"k": 4, "axis": 0}, (*REAL, BOOL), 0, 0, kind="whole")
    for largest in (True, False):
        params = {
            "k": 2, "reduction_dimension": -1, "recall_target": 0.95, "is_max_k": largest,
            "reduction_input_size_override": -1, "aggregate_to_topk": True,
        }  # fmt: skip
        yield Sample("approx_top_k", ((3, 7),), params, (F32,), 1, 0, kind="distinct")


NCHW = ConvDimensionNumbers((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3))
NHWC = ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
MIXED = ConvDimensionNumbers((2, 0, 3, 1), (1, 2, 3, 0), (3, 1, 0, 2))


def laid_out(sizes, spec):
    shape = [0] * len(sizes)
    for d, n in zip(spec, sizes, strict=True):
        shape[d] = n
    return tuple(shape)


def conv(numbers, strides, padding, spread=(1, 1), gaps=(1, 1), features=1, batches=1, preferred=None):
    return {
        "window_strides": strides, "padding": padding, "lhs_dilation": spread, "rhs_dilation": gaps,
        "dimension_numbers": numbers, "feature_group_count": features, "batch_group_count": batches,
        "precision": None, "preferred_element_type": preferred, "out_sharding": None,
    }  # fmt: skip


def _convolutions():
    cases = (
        (NCHW, (1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1, 1),
        (NHWC, (2, 1), ((1, 2), (0, 1)), (1, 1), (1, 1), 1, 1),
        (MIXED, (1, 2), ((1, 1), (2, 2)), (2, 1), (1, 2), 1, 1),
        (NHWC, (2, 3), ((3, 1), (-1, 2)), (2, 2), (2, 1), 2, 1),
        (MIXED, (3, 1), ((0, -2), (1, 1)), (1, 3), (1, 1), 1, 2),
        (NCHW, (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 4, 1),
    )
    for case in cases:
        numbers, *_, features, batches = case
        lhs, rhs = (2 * batches, 4, 6, 5), (4, 4 // features, 3, 2)
        params = conv(*case)
        shapes = (laid_out(lhs, numbers.lhs_spec), laid_out(rhs, numbers.rhs_spec))
        oracle = params | {"dimension_numbers": jax.lax.ConvDimensionNumbers(*numbers)}
        yield Sample("conv_general_dilated", shapes, params, (F32, I32, BF16, C64), 2, 3e-2, jax_params=oracle)
    line = ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2))
    params = conv(line, (1,), ((1, 0),), (1,), (1,), preferred=F32)
    oracle = params | {"dimension_numbers": jax.lax.ConvDimensionNumbers(*line)}
    yield Sample(
        "conv_general_dilated", ((2, 3, 7), (4, 3, 2)), params, (BF16, F16), 2, 1e-4, kind="whole", jax_params=oracle
    )


def windows(size, strides, padding, base=None, gaps=None):
    ones = (1,) * len(size)
    return {
        "window_dimensions": size, "window_strides": strides, "padding": padding, "base_dilation": base or ones,
        "window_dilation": gaps or ones,
    }  # fmt: skip


@functools.lru_cache
def combiner(fun, dtype, count: int) -> ClosedJaxpr:
    return ClosedJaxpr(*trace_to_jaxpr(fun, [ShapedArray((), dtype)] * (2 * count)))


def _add_product(a, b):
    bind = {name: registry[name].bind for name in ("add", "mul")}
    return [bind["add"](bind["add"](a, b), bind["mul"](a, b))]  # 1 + c = (1 + a)(1 + b)


def _sum_and_max(a, b, c, d):
    return [registry["add"].bind(a, c), registry["max"].bind(b, d)]


def _window_cases():
    cases = (
        ((5, 6), windows((2, 2), (1, 1), ((0, 0), (0, 0)))),
        ((6, 7), windows((2, 3), (2, 1), ((0, 1), (1, 1)))),
        ((6,), windows((3,), (2,), ((1, 2),))),
        ((4, 4), windows((2, 2), (2, 1), ((1, 0), (1, 1)), (1, 3), (1, 1))),
        ((7, 5), windows((2, 2), (1, 2), ((0, 1), (-1, 1)), None, (3, 2))),
    )
    for shape, params in cases:
        yield Sample("reduce_window_sum", (shape,), params, NUMERIC, 2, 3e-2)
        for name in ("reduce_window_max", "reduce_window_min"):
            # Windows without any element give the identity, whose slope is no number; finite differences skip them.
            yield Sample(name, (shape,), params, (F32, I32, BF16), 1, 0, kind="distinct")
    for select in ("ge", "le"):
        params = {"select_prim": registry[select], **windows((2, 3), (2, 1), ((0, 1), (1, 1)))}
        yield Sample(
            "select_and_gather_add", ((6, 7), (6, 7)), params, (F32,), 1, 0, smooth=(0,), kind="distinct",
            jax_params=params | {"select_prim": getattr(jax.lax, select + "_p")},
        )  # fmt: skip
        plain = {k: v for k, v in params.items() if "dilation" not in k}
        yield Sample(
            "select_and_scatter_add", ((3, 7), (6, 7)), plain, (F32,), 1, 1e-6, smooth=(0,), kind="distinct",
            jax_params=plain | {"select_prim": getattr(jax.lax, select + "_p")},
        )  # fmt: skip
    return


def _programs():
    one, two = _add_product, _sum_and_max

    def folded(dims):
        return lambda x, z: jax.lax.reduce(x, z, lambda a, b: a + b + a * b, dims)

    for shape, dims in (((5,), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (2, 0)), ((0, 2), (0,)), ((3,), ())):
        yield Sample(
            "reduce", (shape, ()), {"dimensions": dims, "jaxpr": one}, (F32,), 2, 1e-3, oracle=folded(dims), high=0.5
        )
    yield Sample(
        "reduce", ((3, 4), (3, 4), (), ()), {"dimensions": (1,), "jaxpr": two}, (F32,), 1, 1e-5, kind="distinct",
        oracle=lambda x, y, a, b: jax.lax.reduce(
            (x, y), (a, b), lambda p, q: (p[0] + q[0], jax.numpy.maximum(p[1], q[1])), (1,)
        ),
    )  # fmt: skip
    params = windows((2, 2), (1, 2), ((1, 0), (0, 1)))

    def pooled(x, z):
        p = params
        return jax.lax.reduce_window(
            x, z, lambda a, b: a + b + a * b, p["window_dimensions"], p["window_strides"], p["padding"]
        )

    yield Sample("reduce_window", ((4, 5), ()), {"jaxpr": one, **params}, (F32,), 2, 1e-3, oracle=pooled, high=0.5)


def _linear_algebra():
    def systems():
        for left in (True, False):
            for transpose, conjugate in ((False, False), (True, False), (True, True)):
                yield left, not transpose, transpose, conjugate, False
        yield True, True, False, False, True
        yield False, False, False, True, False

    for batch in ((), (2,)):
        square = (*batch, 3, 3)
        yield Sample("cholesky", (square,), {}, LAPACK, 2, 1e-4, kind="hermitian", symmetrize=True)
        for left, lower, transpose, conjugate, unit in systems():
            params = {
                "left_side": left, "lower": lower, "transpose_a": transpose, "conjugate_a": conjugate,
                "unit_diagonal": unit,
            }  # fmt: skip
            rhs = (*batch, *((3, 2) if left else (2, 3)))
            yield Sample("triangular_solve", (square, rhs), params, LAPACK, 2, 1e-4, kind="dominant")
        for m, n in ((3, 3), (4, 2), (2, 4)):
            yield Sample("lu", ((*batch, m, n),), {}, LAPACK, 2, 1e-4, kind="dominant")
            for full in (True, False):
                params = {"pivoting": False, "full_matrices": full, "use_magma": None}
                yield Sample("qr", ((*batch, m, n),), params, LAPACK, 2, 1e-4, kind="distinct")
            params = {"full_matrices": False, "compute_uv": m == n, "subset_by_index": None, "algorithm": None}
            yield Sample("svd", ((*batch, m, n),), params, LAPACK, 1, 1e-4, kind="distinct")
        params = {"lower": True, "sort_eigenvalues": True, "subset_by_index": None, "algorithm": None}
        yield Sample("eigh", (square,), params, LAPACK, 1, 1e-3, kind="hermitian", symmetrize=True)
        params = {
            "compute_left_eigenvectors": False, "compute_right_eigenvectors": False, "enable_eigvec_derivs": False,
            "implementation": None,
        }  # fmt: skip
        yield Sample("eig", (square,), params, LAPACK, 1, 1e-3, kind="distinct")
        params = {"compute_schur_vectors": True, "sort_eig_vals": False, "select_callable": None}
        yield Sample("schur", (square,), params, LAPACK, 0, 1e-3, kind="distinct")
        yield Sample("hessenberg", (square,), {}, LAPACK, 0, 1e-4, kind="distinct")
        yield Sample("tridiagonal", (square,), {"lower": True}, LAPACK, 0, 1e-4, kind="hermitian")
        yield Sample("householder_product", ((*batch, 5, 3), (*batch, 2)), {}, LAPACK, 0, 1e-4)
        for left in (True, False):
            params = {"left": left, "transpose": left}
            other = (*batch, *((5, 2) if left else (2, 5)))
            yield Sample("ormqr", ((*batch, 5, 3), (*batch, 3), other), params, (F32,), 0, 1e-3)
        yield Sample("symmetric_product", ((*batch, 3, 2), square), {"alpha": 2.0, "beta": 0.5}, (F32,), 2, 1e-4)
        diagonals = ((*batch, 4),) * 3
        yield Sample(
            "tridiagonal_solve", (*diagonals, (*batch, 4, 2)), {"perturb_singular": False}, (F32,), 2, 1e-3,
            kind="distinct",
        )  # fmt: skip


def _transforms():
    for kind in FftType:
        for lengths in ((5,), (6,), (2, 3, 4), (1,)):
            shape = (2, *lengths)
            if kind == FftType.IRFFT:
                shape = (*shape[:-1], lengths[-1] // 2 + 1)
            params = {"fft_type": kind, "fft_lengths": lengths}
            oracle = {"fft_type": jax.lax.FftType(int(kind)), "fft_lengths": lengths}
            dtypes = (F32,) if kind == FftType.RFFT else (C64,)
            yield Sample("fft", (shape,), params, dtypes, 2, 1e-4, jax_params=oracle)


SAMPLES: tuple[Sample, ...] = (
    *_reductions(), *_products(), *_scans(), *_sorts(), *_convolutions(), *_window_cases(), *_programs(),
    *_linear_algebra(), *_transforms(),
)  # fmt: skip
