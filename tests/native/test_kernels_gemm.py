"""Matrix-product kernels: every dtype, layout, batch form and instruction set, with and without BLAS."""

from __future__ import annotations

import ctypes
import glob
import os

import ml_dtypes
import numpy as np
import pytest
import scipy
from hypothesis import given, settings, strategies as st
from native_programs import call_kernel, isas, table

from addax import _native

BF16 = np.dtype(ml_dtypes.bfloat16)
F16 = np.dtype(np.float16)


def blas_addresses() -> dict[str, int]:
    import scipy.linalg.cython_blas as blas

    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsules = {k: blas.__pyx_capi__[k] for k in ("sgemm", "dgemm", "cgemm", "zgemm")}
    addresses = {k: pointer(c, name(c)) for k, c in capsules.items()}
    libs = glob.glob(os.path.join(os.path.dirname(scipy.__file__), "..", "scipy.libs", "*scipy_openblas*"))
    if libs:
        lib = ctypes.CDLL(libs[0])
        for f in ("set_num_threads", "get_num_threads"):
            addresses[f] = ctypes.cast(getattr(lib, f"scipy_openblas_{f}"), ctypes.c_void_p).value
    return addresses


@pytest.fixture(params=[False, True], ids=["own", "blas"])
def blas(request):
    _native.set_blas(blas_addresses() if request.param else {})
    yield
    _native.set_blas({})


def elements(x):
    return [s // x.itemsize for s in x.strides]


def gemm(a, b, kernel, out_dtype, isa=None, start=None, c_transposed=False):
    """a @ b of views, by strides; the batch dimensions broadcast. `start`: accumulate onto it."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    av, bv = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    shape = (*batch, n, m) if c_transposed else (*batch, m, n)
    out = np.empty(shape, out_dtype) if start is None else start
    cv = out.swapaxes(-1, -2) if c_transposed else out
    flat_a, flat_b = np.ascontiguousarray(flat(a)), np.ascontiguousarray(flat(b))
    fields = [m, n, k, elements(av)[-2:], elements(bv)[-2:], elements(cv)[-2:], start is not None, len(batch)]
    for i, size in enumerate(batch):
        fields.append([size, elements(av)[i], elements(bv)[i], elements(cv)[i]])
    got = call_kernel(kernel, [flat_a, flat_b], [(shape, out_dtype) if start is None else start], table(*fields), isa)[
        0
    ]
    return got.swapaxes(-1, -2) if c_transposed else got


def flat(x):
    """The memory a (dense) view covers, in address order."""
    kept = x[tuple(slice(0, 1) if s == 0 else slice(None) for s in x.strides)]
    order = np.argsort([-abs(s) for s in kept.strides], kind="stable")
    return kept.transpose(order)


SIZES = [
    (1, 1, 1),
    (3, 5, 7),
    (16, 16, 16),
    (1, 64, 100),
    (100, 64, 1),
    (1, 300, 3),
    (37, 129, 65),
    (64, 100, 10),
    (300, 1100, 3),
    (5, 0, 4),
    (70, 600, 130),
]


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_float(blas, isa, dtype, size, layout):
    m, k, n = size
    rng = np.random.default_rng(0)

    def make(rows, cols, order):
        x = rng.standard_normal((rows, cols) if order == "n" else (cols, rows))
        if np.dtype(dtype).kind == "c":
            x = x + 1j * rng.standard_normal(x.shape)
        x = x.astype(dtype)
        return x if order == "n" else x.T

    a, b = make(m, k, layout[0]), make(k, n, layout[1])
    name = {"f4": "f32", "f8": "f64", "c8": "c64", "c16": "c128"}[np.dtype(dtype).str[1:]]
    wide = np.result_type(dtype, np.float64)
    expected = a.astype(wide) @ b.astype(wide)
    tol = 1e-5 if np.dtype(dtype).itemsize // (1 + (np.dtype(dtype).kind == "c")) == 4 else 1e-13
    for c_transposed in (False, True):
        got = gemm(a, b, f"gemm_{name}_{name}", dtype, isa, c_transposed=c_transposed)
        np.testing.assert_allclose(got, expected, rtol=tol, atol=tol * np.sqrt(k + 1) * 2)
    start = rng.standard_normal((m, n)).astype(dtype)
    got = gemm(a, b, f"gemm_{name}_{name}", dtype, isa, start=start)
    np.testing.assert_allclose(got, start + expected, rtol=tol, atol=tol * np.sqrt(k + 1) * 3)


INTEGERS = [
    ("i8", "i8"), ("i8", "i32"), ("u8", "u8"), ("u8", "i32"), ("u8", "u32"), ("i16", "i16"), ("i16", "i32"), ("u16", "u16"),
    ("u16", "u32"), ("i32", "i32"), ("u32", "u32"), ("i64", "i64"), ("u64", "u64"), ("bool", "bool"),
]  # fmt: skip
NUMPY = {"bool": np.dtype(bool)} | {f"{k}{8 * n}": np.dtype(f"{k}{n}") for k in "iu" for n in (1, 2, 4, 8)}


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(("ins", "out"), INTEGERS)
@pytest.mark.parametrize("size", [(3, 5, 7), (1, 64, 100), (100, 40, 1), (37, 300, 65), (64, 1000, 10), (4, 0, 4)])
def test_integers_wrap(isa, ins, out, size):
    m, k, n = size
    rng = np.random.default_rng(1)
    if ins == "bool":
        a, b = rng.random((m, k)) < 0.1, rng.random((k, n)) < 0.1
        expected = a @ b
    else:
        info = np.iinfo(NUMPY[ins])
        a, b = (rng.integers(info.min, info.max, s, NUMPY[ins], endpoint=True) for s in ((m, k), (k, n)))
        expected = a.astype(NUMPY[out]) @ b.astype(NUMPY[out])
    for x, y in [(a, b), (np.asfortranarray(a), np.asfortranarray(b))]:
        np.testing.assert_array_equal(gemm(x, y, f"gemm_{ins}_{out}", NUMPY[out], isa), expected)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dtype", [F16, BF16])
@pytest.mark.parametrize("size", [(3, 5, 7), (1, 64, 100), (100, 64, 1), (37, 300, 65), (130, 700, 150)])
def test_small_floats_accumulate_in_float32(isa, dtype, size):
    m, k, n = size
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    name = "f16" if dtype == F16 else "bf16"
    wide = gemm(a, b, f"gemm_{name}_f32", np.dtype(np.float32), isa)
    np.testing.assert_allclose(wide, exact, rtol=1e-5, atol=1e-4)
    got = gemm(a, b, f"gemm_{name}_{name}", dtype, isa)
    step = float(ml_dtypes.finfo(dtype).eps)  # one rounding of a float32 sum
    np.testing.assert_allclose(got.astype(np.float64), exact, rtol=0.51 * step, atol=1e-3)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dtype", [F16, BF16])
def test_every_small_float_survives_times_one(isa, dtype):
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype).reshape(-1, 1)
    name = "f16" if dtype == F16 else "bf16"
    one = np.ones((1, 1), dtype)
    with np.errstate(invalid="ignore"):
        wide = gemm(x, one, f"gemm_{name}_f32", np.dtype(np.float32), isa)
        expected = x.astype(np.float32)
    subnormal = np.abs(expected) < np.finfo(np.float32).tiny  # bfloat16's are flushed, like everywhere
    np.testing.assert_array_equal(np.where(subnormal, 0, wide), np.where(subnormal, 0, expected))
    back = gemm(x, one, f"gemm_{name}_{name}", dtype, isa).astype(np.float32)
    np.testing.assert_array_equal(np.where(subnormal, 0, back), np.where(subnormal, 0, expected))


@pytest.mark.parametrize("isa", isas())
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_batches(isa, data):
    rng = np.random.default_rng(3)
    batch = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    m, k, n = (data.draw(st.integers(1, 40)) for _ in range(3))
    drop_a, drop_b = (tuple(1 if data.draw(st.booleans()) else s for s in batch) for _ in range(2))
    a, b = rng.standard_normal((*drop_a, m, k), np.float32), rng.standard_normal((*drop_b, k, n), np.float32)
    got = gemm(a, b, "gemm_f32_f32", np.dtype(np.float32), isa)
    np.testing.assert_allclose(got, a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("n", [1, 3, 40])
def test_both_operands_may_be_views_of_one_array(isa, n):
    """A batch of matrices times the head of the first."""
    x = np.random.default_rng(5).standard_normal((3, 64, 8), np.float32)
    b = x[0, :n].T
    batch = [3, 64 * 8, 0, 64 * n]
    fields = table(64, n, 8, [8, 1], [1, 8], [n, 1], False, 1, batch)
    (got,) = call_kernel("gemm_f32_f32", [x, x], [((3, 64, n), np.dtype(np.float32))], fields, isa)
    np.testing.assert_allclose(got, x @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(512, 300, 700), (2000, 64, 30), (30, 64, 2000), (1, 1000, 2000), (2000, 1000, 1)])
def test_large_products_are_split(blas, shape):
    m, k, n = shape
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    got = gemm(a, b, "gemm_f32_f32", np.dtype(np.float32))
    np.testing.assert_allclose(got, a.astype(np.float64) @ b, rtol=1e-4, atol=1e-3)


def test_blas_threads_are_restored():
    addresses = blas_addresses()
    if "get_num_threads" not in addresses:
        pytest.skip("no thread control")
    get = ctypes.CFUNCTYPE(ctypes.c_int)(addresses["get_num_threads"])
    before = get()
    _native.set_blas(addresses)
    try:
        a = np.ones((300, 300), np.float32)
        gemm(a, a, "gemm_f32_f32", np.dtype(np.float32))
    finally:
        _native.set_blas({})
    assert get() == before
