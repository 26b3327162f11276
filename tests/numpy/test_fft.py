"""addax.numpy.fft against jax.numpy.fft."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import batched, check, sample

import addax
import addax.numpy as anp

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY = ["fftn", "ifftn", "rfftn", "irfftn"]
REAL = ("rfft", "ihfft", "rfftn", "rfft2")


@batched
def test_one_dimension(check):
    for name in ONE:
        for dtype in ("float32", "int32") if name in REAL else ("float32", "complex64"):
            x = sample(dtype, (3, 5))
            check(f"fft.{name}", x, rtol=1e-5)
            for norm in ("ortho", "forward", "backward"):
                check(f"fft.{name}", x, 6, 0, norm, rtol=1e-5)
            check(f"fft.{name}", x, 3, rtol=1e-5)
    check("fft.fft", sample("float16", (4,)), rtol=1e-3)
    check("fft.fft", np.zeros((0, 3), np.float32))
    check("fft.fft", np.zeros((0,), np.float32))
    check("fft.irfft", np.ones((1,), np.float32))


@batched
def test_several_dimensions(check):
    for name in MANY:
        x = sample("float32" if name in REAL else "complex64", (2, 3, 4))
        check(f"fft.{name}", x, rtol=1e-5)
        check(f"fft.{name}", x, (3, 3), rtol=1e-5, norm="ortho")
        check(f"fft.{name}", x, (3, 2), (2, 0), "forward", rtol=1e-5)
        check(f"fft.{name}", x[0], axes=(), rtol=1e-5)
        check(f"fft.{name}", sample(x.dtype, (2, 3, 2, 3)), rtol=1e-5)
    for name in ("fft2", "ifft2", "rfft2", "irfft2"):
        x = sample("float32" if name in REAL else "complex64", (2, 3, 4))
        check(f"fft.{name}", x, rtol=1e-5)
        check(f"fft.{name}", x, (4, 5), (0, 1), rtol=1e-5)


def test_five_dimensions():
    x = sample("float32", (2, 3, 2, 3, 4))
    np.testing.assert_allclose(np.asarray(anp.fft.rfftn(x)), np.fft.rfftn(x), atol=1e-4)
    np.testing.assert_allclose(np.asarray(anp.fft.irfftn(anp.fft.rfftn(x))), x, atol=1e-5)


@batched
def test_frequencies_and_shifts(check):
    for n in (1, 4, 5):
        check("fft.fftfreq", n)
        check("fft.rfftfreq", n, 0.1, rtol=1e-6)
    check("fft.fftfreq", 5, 0.1, dtype="float16")
    check("fft.fftfreq", 0)
    x = sample("int32", (3, 4))
    for axes in (None, 0, (0, 1), -1):
        check("fft.fftshift", x, axes)
        check("fft.ifftshift", x, axes)


def test_errors():
    x = np.ones((4, 6), np.float32)
    for name in ("fft", "irfft"):
        check(f"fft.{name}", x, norm="bad")
        check(f"fft.{name}", x, axis=5)
        check(f"fft.{name}", x, axis=(0, 1))
        check(f"fft.{name}", x, axis=1.5)
        check(f"fft.{name}", x, 0)
        check(f"fft.{name}", x, 2.5)
        check(f"fft.{name}", [1.0])
        check(f"fft.{name}", np.float32(1))
    for kwargs in ({"s": (2, 3), "axes": (0,)}, {"axes": (0, 0)}, {"s": (2, -1)}):
        check("fft.fftn", x, **kwargs)
    check("fft.rfft", x + 1j)
    check("fft.ihfft", x + 1j)
    check("fft.fft2", x, axes=(0,))
    check("fft.fft2", x[0])
    check("fft.fftfreq", [3])
    check("fft.fftfreq", 3, [1.0])
    check("fft.fftshift", [1, 2])
    with pytest.raises(ValueError, match=r"fft\.rfft: only real valued inputs"):
        anp.fft.rfft(x + 1j)


def test_derivatives_and_batches():
    x, c = sample("float32", (2, 6)), sample("complex64", (2, 6))

    def everything(library, m):
        def loss(f):
            def g(x):
                y = f(x)
                w = m.cos(m.arange(y.size, dtype="float32")).reshape(y.shape)
                return m.sum((y * m.conj(y)).real * w + y.real * w + (y * 2j).real)

            return g

        out = [library.grad(loss(f))(x) for f in (m.fft.rfft, m.fft.ihfft, m.fft.fft2, m.fft.rfftn, m.fft.fft)]
        out += [library.grad(loss(f))(c) for f in (m.fft.fft, m.fft.irfft, m.fft.hfft, m.fft.ifft, m.fft.irfft2)]
        out += [library.jvp(m.fft.irfft, (c,), (c * 1j,))[1], library.vmap(lambda x: m.fft.rfft(x, 4), 1)(x)]
        return out

    for got, want in zip(addax.jit(lambda: everything(addax, anp))(), jax.jit(lambda: everything(jax, jnp))()):
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-4, atol=1e-4)
