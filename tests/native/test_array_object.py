"""The Array object: creation, attributes, conversions, deletion, sharing of memory, the allocator."""

from __future__ import annotations

import gc
import threading
import weakref

import ml_dtypes
import numpy as np
import pytest

from addax import _native
from addax.core.avals import ShapedArray
from addax.engines.xla import arrays

DTYPES = [
    *"? i1 u1 i2 u2 i4 u4 i8 u8 f2 f4 f8 c8 c16".split(),
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
    ml_dtypes.int4,
]


def aval(shape=(), dtype=np.float32, weak_type=False):
    return ShapedArray(shape, np.dtype(dtype), weak_type)


def array(x, dtype=np.float32):
    x = np.asarray(x, dtype)
    return _native.array_from_numpy(x, aval(x.shape, x.dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_values_survive_the_round_trip(dtype):
    x = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    a = array(x, dtype)
    assert a.dtype == x.dtype and a.shape == (2, 3) and a.ndim == 2 and a.size == 6
    assert a.nbytes == x.nbytes and a.itemsize == x.itemsize
    for back in (np.asarray(a), a._value, a.__array__()):
        assert back.dtype == x.dtype
        np.testing.assert_array_equal(back, x)
        assert not back.flags.writeable


@pytest.mark.parametrize("view", [np.s_[::2], np.s_[::-1], np.s_[:, 1:3], np.s_[..., None]], ids=str)
def test_any_strides_can_be_copied_in(view):
    x = np.arange(24, dtype=np.int32).reshape(4, 6)[view]
    np.testing.assert_array_equal(array(x, np.int32)._value, x)


def test_values_are_converted_to_the_avals_dtype_and_shapes_are_checked():
    a = _native.array_from_numpy(np.array([1.7, -2.2]), aval((2,), np.float32))
    np.testing.assert_array_equal(a._value, np.float32([1.7, -2.2]))
    with pytest.raises(ValueError, match=r"array of shape \(3,\) from one of shape \(2,\)"):
        _native.array_from_numpy(np.ones(2), aval((3,)))
    swapped = np.arange(3, dtype=">i4")
    np.testing.assert_array_equal(_native.array_from_numpy(swapped, aval((3,), np.int32))._value, [0, 1, 2])


def test_memory_is_aligned():
    for n in (1, 100, 3000, 10**6):
        assert array(np.zeros(n)).unsafe_buffer_pointer() % 64 == 0


def test_views_share_memory_and_outlive_the_array():
    a = array([1, 2, 3])
    view, memory = a._value, memoryview(a)
    assert view.ctypes.data == a.unsafe_buffer_pointer()
    a.delete()
    del a
    gc.collect()
    np.testing.assert_array_equal(view, [1, 2, 3])
    assert memory.tolist() == [1.0, 2.0, 3.0] and memory.readonly and memory.format == "f"


def test_buffer_protocol_refuses_what_it_cannot_say():
    with pytest.raises(BufferError, match="bfloat16"):
        memoryview(array([1], ml_dtypes.bfloat16))


def test_array_interface_copies_only_when_asked():
    a = array([1, 2])
    assert a.__array__(copy=True).flags.writeable
    assert np.asarray(a, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="Unable to avoid copy"):
        np.array(a, dtype=np.float64, copy=False)


SCALARS = [(True, "?"), (3, "i4"), (-3, "i1"), (2**63, "u8"), (2.5, "f4"), (2.5, "f2"), (2.5, ml_dtypes.bfloat16)]


@pytest.mark.parametrize("value, dtype", SCALARS)
def test_python_scalars(value, dtype):
    a = array(value, dtype)
    assert float(a) == value and int(a) == int(value) and bool(a) is True and complex(a) == value
    assert array(0, dtype).__bool__() is False


def test_scalar_errors_are_jaxs():
    cases = [
        (
            lambda: float(array([1.0])),
            TypeError,
            "Only scalar arrays can be converted to Python scalars; got arr.ndim=1",
        ),
        (lambda: bool(array([1, 2])), ValueError, "more than one element is ambiguous"),
        (lambda: bool(array([])), ValueError, "truth value of an empty array is ambiguous"),
        (lambda: array(1.5).__index__(), TypeError, "Only integer scalar arrays can be converted to a scalar index"),
        (lambda: array(True, bool).__index__(), TypeError, "Only integer scalar arrays"),
        (lambda: float(array(1j, "c8")), TypeError, "must be a string or a real number, not 'complex'"),
        (lambda: int(array(np.nan)), ValueError, "cannot convert float NaN to integer"),
        (lambda: len(array(1)), TypeError, "unsized object"),
        (lambda: hash(array(1)), TypeError, "unhashable"),
        (lambda: _native.Array(), TypeError, "cannot create"),
    ]
    for f, error, text in cases:
        with pytest.raises(error, match=text):
            f()
    assert array(7, "i4").__index__() == 7 and bool(array([[1]])) and len(array([1, 2])) == 2


def test_deleted_arrays_say_so():
    a = array([1, 2, 3])
    a.delete()
    a.delete()
    assert a.is_deleted() and a.shape == (3,)
    for use in (
        lambda: a._value,
        lambda: np.asarray(a),
        a.unsafe_buffer_pointer,
        lambda: _native.array_alias(a, a.aval),
    ):
        with pytest.raises(RuntimeError, match=r"Array has been deleted with shape=float32\[3\]\."):
            use()


def test_alias_shares_memory_under_another_aval():
    a = array([1, 2, 3, 4])
    a._device, a._committed = "here", True
    b = _native.array_alias(a, aval((2, 2), weak_type=True))
    assert b.unsafe_buffer_pointer() == a.unsafe_buffer_pointer()
    assert b.weak_type and b.shape == (2, 2) and b._device == "here" and b._committed
    a.delete()
    np.testing.assert_array_equal(b._value, [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="bytes"):
        _native.array_alias(b, aval((3,)))


def test_adopt_keeps_the_ndarray_alive():
    x = np.arange(1000, dtype=np.float32)
    a = _native.array_adopt(x, aval((1000,)))
    assert a.unsafe_buffer_pointer() == x.ctypes.data
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is not None and float(a._value.sum()) == 499500
    del a
    gc.collect()
    assert gone() is None


def test_external_arrays_are_fetched_once():
    fetched = []

    def fetch(buffer):
        fetched.append(buffer)
        return np.full(3, buffer, np.float32)

    _native.set_external_fetch(fetch)
    try:
        a = _native.array_external(5, aval((3,)), None, False)
        assert a._buffer == 5 and not fetched
        np.testing.assert_array_equal(a._value, [5, 5, 5])
        np.testing.assert_array_equal(np.asarray(a), [5, 5, 5])
        assert fetched == [5]
    finally:
        _native.set_external_fetch(arrays.fetch)


@pytest.mark.parametrize("dtype", "? i1 u4 i8 f2 f4 f8 c8".split())
def test_dlpack_to_and_from_numpy_shares_memory(dtype):
    a = array([0, 1, 1], dtype)
    assert a.__dlpack_device__() == (1, 0)
    x = np.from_dlpack(a)
    assert x.ctypes.data == a.unsafe_buffer_pointer() and x.dtype == dtype
    y = np.arange(6).astype(dtype).reshape(2, 3)
    b = _native.from_dlpack(y, lambda shape, d: aval(shape, d))
    assert b.unsafe_buffer_pointer() == y.ctypes.data
    np.testing.assert_array_equal(b._value, y)
    copied = _native.from_dlpack(y.T, lambda shape, d: aval(shape, d))
    np.testing.assert_array_equal(copied._value, y.T)
    assert _native.from_dlpack(y, lambda s, d: aval(s, d), True).unsafe_buffer_pointer() != y.ctypes.data


def test_dlpack_capsules_release_the_memory():
    before = _native.memory_stats()["bytes_in_use"]
    a = array(np.zeros(10**5))
    capsule, versioned = a.__dlpack__(), a.__dlpack__(max_version=(1, 0))
    del a
    assert _native.memory_stats()["bytes_in_use"] > before
    b = _native.from_dlpack(capsule, lambda s, d: aval(s, d))
    del capsule, versioned
    assert b.shape == (10**5,)
    del b
    gc.collect()
    assert _native.memory_stats()["bytes_in_use"] == before
    bf = _native.from_dlpack(array([1, 2], ml_dtypes.bfloat16), lambda s, d: aval(s, d))
    assert bf.dtype == ml_dtypes.bfloat16
    with pytest.raises(BufferError, match="float8"):
        array([1], ml_dtypes.float8_e5m2).__dlpack__()


def test_unknown_operands_get_their_turn():
    class Other:
        def __radd__(self, other):
            return "radd"

        def __rpow__(self, other):
            return "rpow"

    a = array([1, 2])
    assert a + Other() == "radd" and a ** Other() == "rpow"
    assert (a == None) is False and (a == "x") is False and (a != "x") is True  # noqa: E711
    with pytest.raises(TypeError, match="unsupported operand"):
        a + [1]
    with pytest.raises(TypeError, match="not supported between instances"):
        a < "x"
    with pytest.raises(ValueError, match="unknown operator"):
        _native.set_operator("plus", max)


def test_operators_keep_their_operands_in_order():
    a, before, seen = array([1]), _native.get_operator("sub"), []
    _native.set_operator("sub", lambda x, y: seen.append((x, y)))
    try:
        a - 1
        2 - a
        np.float32(3) - a
        np.ones(1, np.float32) - a
    finally:
        _native.set_operator("sub", before)
    assert [y if x is a else x for x, y in seen] == [1, 2, 3, 1] and [x is a for x, _ in seen] == [
        True,
        False,
        False,
        False,
    ]


def test_freed_memory_is_reused_and_counted():
    _native.trim()
    start = _native.memory_stats()
    a = _native.array_empty(aval((1 << 20,)))
    address = a.unsafe_buffer_pointer()
    now = _native.memory_stats()
    assert now["bytes_in_use"] - start["bytes_in_use"] == 4 << 20 and now["num_allocs"] == start["num_allocs"] + 1
    assert now["peak_bytes_in_use"] >= 4 << 20 and now["largest_alloc_size"] >= 4 << 20
    del a
    cached = _native.memory_stats()
    assert cached["bytes_in_use"] == start["bytes_in_use"] and cached["bytes_cached"] >= 4 << 20
    assert _native.array_empty(aval((1 << 20,))).unsafe_buffer_pointer() == address
    _native.trim()
    assert _native.memory_stats()["bytes_cached"] == 0


def test_the_cache_is_bounded():
    limit = 8 << 20
    _native.set_cache_limit(limit)
    try:
        arrays = [_native.array_empty(aval((n << 18,))) for n in range(1, 12)]
        del arrays
        assert _native.memory_stats()["bytes_cached"] <= limit
    finally:
        _native.set_cache_limit(2 << 30)


def test_impossible_sizes_are_refused():
    with pytest.raises(MemoryError, match="float32"):
        _native.array_empty(aval((1 << 50,)))
    with pytest.raises(OverflowError, match="more elements than memory"):
        _native.array_empty(aval((1 << 40, 1 << 40)))


def test_threads_allocate_and_free_each_others_arrays():
    start = _native.memory_stats()["bytes_in_use"]
    handed: list = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(300):
            n = int(rng.integers(1, 1 << int(rng.integers(1, 18))))
            x = np.full(n, seed, np.float32)
            handed.append((seed, _native.array_from_numpy(x, aval((n,)))))
            if len(handed) > 20:
                s, a = handed.pop(0)
                assert (a._value == s).all()

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    handed.clear()
    gc.collect()
    assert _native.memory_stats()["bytes_in_use"] == start


def test_weak_references():
    a = array([1])
    r = weakref.ref(a)
    assert r() is a
    del a
    assert r() is None
