"""vectorize, apply_along_axis, apply_over_axes, piecewise, fromfunction, and reading and writing, against JAX."""

from __future__ import annotations

import io

import jax
import jax.numpy as jax_numpy
import ml_dtypes
import numpy as np
import pytest
from oracle import compare

import addax
import addax.numpy as jnp

A = np.arange(6, dtype=np.float32).reshape(2, 3)
X = np.asarray([-2.0, 0, 1, 3], np.float32)


def both(program) -> None:
    """Assert that ``program(numpy module)`` gives the same with both libraries, or the same kind of error."""
    results = []
    for module in (jnp, jax_numpy):
        try:
            results.append(program(module))
        except Exception as error:
            results.append(error)
    got, want = (tuple(r.values()) if isinstance(r, dict) else r for r in results)
    if isinstance(want, AssertionError):
        assert isinstance(got, (TypeError, ValueError)), got
    else:
        compare(got, want, program.__name__)


def test_vectorize():
    row, column = np.arange(3, dtype=np.int32), np.arange(2, dtype=np.int32)[:, None]
    for program in (
        lambda np_: np_.vectorize(lambda a, b: a + b)(row, column),
        lambda np_: np_.vectorize(lambda a, b: a + b)(A, np.ones(2, np.float32)),
        lambda np_: np_.vectorize(lambda a, b: a * b)(A[:, :1], A[:1]),
        lambda np_: np_.vectorize(lambda a, b: a * b)(np.ones((0, 3), np.float32), A[:1]),
        lambda np_: np_.vectorize(lambda a: {"x": a, "y": a + 1})(A),
        lambda np_: np_.vectorize(lambda a: np_.ones(3))(A),
        lambda np_: np_.vectorize(lambda a: 3)(A),
        lambda np_: np_.vectorize(lambda a: a * 2.0)(3),
        lambda np_: np_.vectorize(lambda a: a)([1, 2]),
        lambda np_: np_.vectorize(lambda a, k: a if k is None else a * k)(A, None),
        lambda np_: np_.vectorize(lambda a, k=1: a * k, excluded={"k"})(A, k=3),
        lambda np_: np_.vectorize(lambda a, k: a * len(k), excluded={1})(A, (3, 4)),
        lambda np_: np_.vectorize(lambda a, *k: a + k[1])(A, 2, 3),
        lambda np_: np_.vectorize(lambda a: a, excluded={-1})(A),
        lambda np_: np_.vectorize(lambda: 3)(),
    ):
        both(program)


def test_keyword_arguments_are_mapped_over():
    """As in NumPy; JAX leaves them out of the call."""
    f = jnp.vectorize(lambda a, k=1, how=None: a * k)
    assert f(X, k=3).tolist() == (X * 3).tolist()
    assert f(A, k=A, how="so").tolist() == (A * A).tolist()
    with pytest.raises(TypeError, match="exclude k"):
        jnp.vectorize(lambda a, k=1: a * k, signature="(n)->(n)")(A, k=A)


def test_vectorize_with_signature():
    for program in (
        lambda np_: np_.vectorize(np_.dot, signature="(n),(n)->()")(A, A),
        lambda np_: np_.vectorize(np_.dot, signature="(n,m),(m)->(n)")(A, np.arange(3.0, dtype=np.float32)),
        lambda np_: np_.vectorize(np_.dot, signature="(n,m),(m,k)->(n,k)")(np.ones((5, 1, 2, 3)), np.ones((4, 3, 2))),
        lambda np_: np_.vectorize(lambda a: (a, a.sum()), signature="(n)->(n),()")(A),
        lambda np_: np_.vectorize(lambda a: a, signature="(3)->(3)")(A[:, :2]),
        lambda np_: np_.vectorize(lambda a: a, signature="()->()")(A),
        lambda np_: np_.vectorize(lambda k, a: a * k, excluded={0}, signature="(n)->(n)")(2, A),
        lambda np_: np_.vectorize(lambda a: np_.outer(a, a[:2]), signature="(n)->(n,k)")(A),
        lambda np_: np_.vectorize(np_.dot, signature="(n),(n)->()")(A, np.ones(2, np.float32)),
        lambda np_: np_.vectorize(lambda a: a, signature="(n")(A),
        lambda np_: np_.vectorize(lambda a: a, signature="(n?)->()")(A),
        lambda np_: np_.vectorize(lambda a: a, signature="(n)->(n)")(3),
        lambda np_: np_.vectorize(lambda a: a[:2], signature="(n)->(n)")(A),
        lambda np_: np_.vectorize(lambda a: a, signature="(n)->(n),()")(A),
        lambda np_: np_.vectorize(lambda a, b: a, signature="(n)->(n)")(A, A),
        lambda np_: np_.vectorize(lambda a: a, signature="(n)->(k,n)")(A),
    ):
        both(program)
    with pytest.raises(ValueError, match=r"core dimension 'n': 2 vs 3 .*signature='\(n\),\(n\)->\(\)'"):
        jnp.vectorize(jnp.dot, signature="(n),(n)->()")(A, np.ones(2))


def test_apply():
    for program in (
        lambda np_: np_.apply_along_axis(np_.sum, 0, A),
        lambda np_: np_.apply_along_axis(lambda v: v[:2] * 2, 1, A),
        lambda np_: np_.apply_along_axis(lambda v: np_.outer(v, v), 1, A),
        lambda np_: np_.apply_along_axis(lambda v: np_.outer(v, v[:1]), 1, np.ones((2, 3, 4, 5), np.float32)),
        lambda np_: np_.apply_along_axis(lambda v, k, s=1: v.sum() * k + s, -1, A, 3, s=5),
        lambda np_: np_.apply_along_axis(lambda v: (v, v.sum()), 0, np_.asarray(A)),
        lambda np_: np_.apply_along_axis(np_.sum, 2, A),
        lambda np_: np_.apply_along_axis(np_.sum, 0, 3),
        lambda np_: np_.apply_along_axis(np_.sum, 0, [1, 2]),
        lambda np_: np_.apply_over_axes(np_.sum, A, [0, 1]),
        lambda np_: np_.apply_over_axes(lambda x, axis: x.sum(axis, keepdims=True), A, (0,)),
        lambda np_: np_.apply_over_axes(np_.sum, np_.asarray(A), []),
        lambda np_: np_.apply_over_axes(np_.sum, A, 0),
        lambda np_: np_.apply_over_axes(lambda x, axis: x.sum(), A, [0]),
        lambda np_: np_.fromfunction(lambda i, k: i * 10 + k, (2, 3)),
        lambda np_: np_.fromfunction(lambda i, k: i * 10 + k, (2, 3), dtype=int),
        lambda np_: np_.fromfunction(lambda i, k: np_.array([i, k]), (2, 2)),
        lambda np_: np_.fromfunction(lambda i, k: (i, k), (2, 2)),
        lambda np_: np_.fromfunction(lambda i: i, 3),
        lambda np_: np_.fromfunction(lambda i: 3, (2,)),
        lambda np_: np_.fromfunction(lambda: 3, ()),
    ):
        both(program)
    # As in NumPy; JAX maps over keyword arguments.
    assert jnp.fromfunction(lambda i, s=1: i + s, (2,), s=5).tolist() == [5, 6]


def test_piecewise():
    for program in (
        lambda np_: np_.piecewise(X, [X < 0, X >= 1], [-1, lambda v: v * 2]),
        lambda np_: np_.piecewise(X, [X < 0, X >= 1], [-1, lambda v: v * 2, lambda v: v - 5]),
        lambda np_: np_.piecewise(X, [X < 0, X < 1], [1, 2]),
        lambda np_: np_.piecewise(X, np.stack([X < 0, X > 2]), [1, 2]),
        lambda np_: np_.piecewise(X.astype(np.int32), [X > 2], [2.7]),
        lambda np_: np_.piecewise(X, [X < 0], [lambda v, k: v * k, 0], 3),
        lambda np_: np_.piecewise(X, [X < 0], [lambda v, k=1: v * k, 0], k=9),
        lambda np_: np_.piecewise(A, [A < 2], [lambda v: v + 0.5]),
        lambda np_: np_.piecewise(2.0, [True, False], [1, 2]),
        lambda np_: np_.piecewise(3, [True], [lambda v: v + 0.5]),
        lambda np_: np_.piecewise(np.float32(3), [np.asarray([True, False])], [1.0, 2]),
        lambda np_: np_.piecewise(X, [X < 0], [1, 2, 3]),
        lambda np_: np_.piecewise(X, X < 0, [lambda v: v * v, 0]),
        lambda np_: np_.piecewise(X, [X < 0], 1),
        lambda np_: np_.piecewise(X, [X[:2] < 0], [1]),
        lambda np_: np_.piecewise(X, [], [1]),
        lambda np_: np_.piecewise(X, [X < 0], [X]),
        lambda np_: np_.piecewise([1.0], [X < 0], [1]),
    ):
        both(program)
    slope = addax.grad(lambda x: jnp.piecewise(x, [x < 0, x > 0], [lambda v: -v, jnp.square]).sum())(jnp.asarray(X))
    assert slope.tolist() == [-1, 0, 2, 6]


def test_under_transformations():
    f = jnp.vectorize(lambda a, b: jnp.where(a > b, a * b, b), signature="(),()->()")
    x = jnp.arange(3.0)
    assert addax.jit(f)(x, 1.0).tolist() == [1, 1, 2]
    assert addax.grad(lambda x: f(x, x[:, None]).sum())(x).shape == (3,)
    assert addax.vmap(f, (0, None))(jnp.ones((2, 3)), 0.5).shape == (2, 3)


def test_reading_and_writing():
    bits = np.arange(3.0).tobytes()
    for program in (
        lambda np_: np_.frombuffer(bits),
        lambda np_: np_.frombuffer(bits, "int8", 4, 2),
        lambda np_: np_.frombuffer(bits, "int32"),
        lambda np_: np_.frombuffer(np_.arange(3), "int32"),
        lambda np_: np_.frombuffer(bits, float, 9),
        lambda np_: np_.frombuffer([1]),
        lambda np_: np_.fromstring("1 2 3", sep=" "),
        lambda np_: np_.fromstring("1, 2, 3", int, 2, sep=","),
        lambda np_: np_.fromiter(range(3), int),
        lambda np_: np_.fromfile("nowhere"),
        lambda np_: np_.from_dlpack(np.arange(3.0)),
        lambda np_: np_.from_dlpack(3),
    ):
        both(program)
    for dtype in ("float32", ml_dtypes.bfloat16, "complex64", "bool"):
        file, x = io.BytesIO(), jnp.asarray(A, dtype)
        jnp.save(file, x)
        file.seek(0)
        read = jnp.load(file)
        assert read.dtype == x.dtype and (read == x).all()
    file = io.BytesIO()
    jnp.savez(file, x, named=x[0])
    file.seek(0)
    assert sorted(jnp.load(file)) == ["arr_0", "named"]
    with pytest.raises(addax.errors.TracerArrayConversionError):
        addax.jit(lambda x: jnp.save(io.BytesIO(), x))(x)
    assert jax_numpy.from_dlpack(jnp.arange(3)).tolist() == [0, 1, 2]
    assert jnp.from_dlpack(jax.numpy.arange(3)).tolist() == [0, 1, 2]
