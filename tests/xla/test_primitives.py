"""Every primitive on XLA: the sample tables of tests/ops against the reference engine."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import samples as elementwise
from batch import Case, execute, run_reference, run_xla, ulps
from samples import BF16, BOOL, C64, EPS, F32, F64, I32, U8
from samples_layout import LAYOUT_SAMPLES
from samples_reduce import SAMPLES as FOLD_SAMPLES

import addax.ops.shard_map  # noqa: F401  (declared when it is first used)
from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.config import enable_x64
from addax.core.extended_dtypes import key_fry
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Refusal, registry
from addax.engines.reference import evaluate
from addax.engines.xla.lower import has_rule
from addax.engines.xla.rules import RULES
from addax.ops.random_bits import THREEFRY

QUICK = {BF16, BOOL, C64, F32, F64, I32}
PRIMITIVES = dict(registry)  # before tests add theirs


def test_every_primitive_is_lowered_or_refused_with_a_reason():
    missing = [name for name, p in PRIMITIVES.items() if not has_rule(p) and not isinstance(RULES.get(name), Refusal)]
    assert missing == []
    unknown = [name for name in RULES if name not in registry]
    assert unknown == []


def check(cases: list[Case], problems, **options) -> None:
    """Run cases together and collect what ``problems(case, i, got, want)`` says of each result."""
    found = []
    for case, got in zip(cases, run_xla(cases, **options), strict=True):
        want = run_reference([case])[0]
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            if (g.dtype, g.shape) != (w.dtype, w.shape):
                found.append(f"{case.facts['id']}: {g.dtype}{g.shape} instead of {w.dtype}{w.shape}")
            elif (problem := problems(case, i, g, w)) is not None:
                found.append(f"{case.facts['id']} result {i}: {problem}")
    assert not found, "\n".join(found)


# ---------------------------------------------------------------------------------------------------------------------


def _elementwise_cases(keep):
    for sample in elementwise.SAMPLES:
        for row in sample.rows():
            if not keep(sample, row):
                continue
            rng = np.random.default_rng(sum(map(ord, sample.id)))
            names = "-".join(d.name for d in row)
            for kind in ("draw", "edges") if sample.special else ("draw",):
                args = sample.draw(rng, row) if kind == "draw" else sample.edges(row)
                yield Case(sample.name, args, sample.params, sample=sample, id=f"{sample.id} {names} {kind}")


def ulp_problem(case, i, got, want):
    sample, eps = case.facts["sample"], EPS.get(want.dtype)
    if eps is None:
        return None if np.array_equal(got, want) else f"{got} instead of {want} at {case.args}"
    error = ulps(got, want, eps, sample.scale)
    return None if error <= 2 * max(sample.ulps, 2) else f"off by {error} ulps: {got} instead of {want}"


def _is_quick(sample, row):
    """XLA takes 20 ms and more to compile each case: float32, and a few of the other dtypes."""
    return row[0] == F32 or (row[0] in QUICK and (sum(map(ord, sample.id)) + row[0].num) % 16 == 0)


def test_elementwise_primitives():
    with enable_x64(True):
        check(list(_elementwise_cases(_is_quick)), ulp_problem)


@pytest.mark.slow
@pytest.mark.parametrize("first", elementwise.ALL, ids=str)
def test_elementwise_primitives_of_every_dtype(first):
    with enable_x64(True):
        check(list(_elementwise_cases(lambda sample, row: row[0] == first)), ulp_problem)


# ---------------------------------------------------------------------------------------------------------------------


def table_cases(samples, keep):
    for number, sample in enumerate(samples):
        for dtype in sample.dtypes:
            if keep(number, sample, dtype):
                args = sample.draw(np.random.default_rng(5), dtype)
                params = sample.params_for(args) if hasattr(sample, "params_for") else sample.params
                yield Case(sample.name, args, params, id=f"{sample.id} {dtype}")


def _exact(case, i, got, want):
    with np.errstate(all="ignore"):
        same = (got == want) | ((got != got) & (want != want))
    return None if same.all() else f"{got} instead of {want}"


def problem_of(case, i, got, want):
    if want.dtype.kind in "biu":
        return _exact(case, i, got, want)
    tol = {"float16": 2e-3, "bfloat16": 1e-2}.get(want.dtype.name, 2e-5)
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    a, b = got.astype(wide), want.astype(wide)
    with np.errstate(all="ignore"):
        good = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= tol * (np.abs(b) + 1))
    return None if good.all() else f"{got} instead of {want}"


def _one_dtype(number, sample, dtype):
    """Each sample at one of its dtypes, a different one each."""
    return dtype == sample.dtypes[number % len(sample.dtypes)]


def _every_other(number, sample, dtype):
    return number % 2 == 0 and _one_dtype(number // 2, sample, dtype)


def test_layout_and_indexing_primitives():
    cases = list(table_cases(LAYOUT_SAMPLES, _one_dtype))
    check(cases, lambda case, *rest: (problem_of if case.name.startswith("scatter-") else _exact)(case, *rest))


def test_reductions_products_sorts_windows_linear_algebra_and_transforms():
    check(list(table_cases(FOLD_SAMPLES, _every_other)), problem_of)


@pytest.mark.slow
@pytest.mark.parametrize("samples", (LAYOUT_SAMPLES, FOLD_SAMPLES), ids=("layout", "fold"))
def test_every_sample_at_every_dtype(samples):
    cases = list(table_cases(samples, lambda number, sample, dtype: True))
    for i in range(0, len(cases), 80):
        check(cases[i : i + 80], problem_of)


# ---------------------------------------------------------------------------------------------------------------------
# Cases that the tables do not have


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_linear_algebra_beyond_the_samples():
    matrix = _random(4, 3)
    square = _random(3, 3, seed=1)
    spoiled = square.copy()
    spoiled[0, 0] = np.nan
    upper = np.linalg.cholesky(square @ square.T + np.eye(3, dtype=np.float32)).T
    empty = np.zeros((2, 0, 0), np.float32)
    svd = {"full_matrices": True, "compute_uv": True, "subset_by_index": None, "algorithm": None}
    partial = {"lower": False, "sort_eigenvalues": True, "subset_by_index": (1, 3), "algorithm": None}
    eig = {
        "compute_left_eigenvectors": True, "compute_right_eigenvectors": True, "enable_eigvec_derivs": False,
        "implementation": None,
    }  # fmt: skip
    pivoted = {"pivoting": True, "full_matrices": False, "use_magma": None}
    symmetric = square + square.T
    cases = [
        Case("qr", [matrix], pivoted),
        Case("geqrf", [matrix]),
        Case("svd", [matrix], svd),
        Case("svd", [spoiled], svd | {"full_matrices": False}),
        Case("eigh", [symmetric], partial),
        Case("eigh", [spoiled], partial | {"subset_by_index": None, "lower": True}),
        Case("eig", [symmetric], eig),
        Case("cholesky", [-np.eye(3, dtype=np.float32)]),
        Case("cholesky", [empty]),
        Case("lu", [empty]),
        Case("lu", [np.zeros((2, 2), np.float32)]),
        Case("cholesky_update", [np.stack([upper] * 2), _random(2, 3)]),
        Case(
            "tridiagonal_solve",
            [np.zeros((1, 1), np.float32) + 2] * 3 + [_random(1, 1, 2)],
            {"perturb_singular": False},
        ),
        Case("lu_pivots_to_permutation", [np.array([[2, 1, 3], [0, 3, 2]], np.int32)], {"permutation_size": 4}),
    ]
    for case in cases:
        case.facts["id"] = case.name
    check(cases, problem_of)


def test_random_bits_are_those_of_every_engine():
    keys = np.array([[1, 2**40 + 5], [2**63, 77]], np.uint64)

    def program(keys, seeds, words):
        bind = {name: registry[name].bind for name in registry if name.startswith("random_")}
        made = bind["random_seed"](seeds, impl=THREEFRY)
        wrapped = bind["random_wrap"](words, impl=THREEFRY)
        split = bind["random_split"](keys, shape=(3, 2))
        folded = bind["random_fold_in"](keys, np.uint32(9))
        bits = [bind["random_bits"](keys, bit_width=w, shape=(2, 5)) for w in (8, 16, 32, 64)]
        scalar = bind["random_bits"](made, bit_width=32, shape=())
        unwrapped = [bind["random_unwrap"](k) for k in (made, wrapped, split, folded)]
        picked = registry["select_n"].bind(np.bool_(True), keys, bind["random_clone"](folded))
        return [*bits, scalar, *unwrapped, picked]

    seeds, words = np.array([3, -1], np.int32), np.arange(6, dtype=np.uint32).reshape(3, 2)
    with enable_x64(True):
        avals = [ShapedArray((2, 2), key_fry), *(ShapedArray(x.shape, x.dtype) for x in (seeds, words))]
        closed = ClosedJaxpr(*trace_to_jaxpr(program, avals))
    args = [keys, seeds, words]
    for got, want in zip(execute(closed, args), evaluate(closed, args), strict=True):
        np.testing.assert_array_equal(got, want)


def test_small_dtypes():
    """Floats of 8 bits, integers of 4."""
    f8, i4 = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.int4)
    x = np.array([0.5, -1.25, 3.0, 448.0], f8)
    n = np.array([-8, -1, 0, 7], i4)
    params = {"weak_type": False, "sharding": None}
    cases = [
        Case("neg", [x]),
        Case("convert_element_type", [x], {"new_dtype": np.dtype(np.float32), **params}),
        Case("convert_element_type", [np.array([-9.5, np.nan, 3.7, 99.0], np.float32)], {"new_dtype": i4, **params}),
        Case("convert_element_type", [np.array([-9.5, np.nan, 300.0], BF16)], {"new_dtype": U8, **params}),
        Case("add", [n, n]),
        Case("reshape", [n], {"new_sizes": (2, 2), "dimensions": None, "sharding": None}),
    ]
    for case in cases:
        case.facts["id"] = case.name
    check(cases, _exact)
