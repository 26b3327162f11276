"""addax.scipy.signal against SciPy and JAX."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest
import scipy.signal as exact

import addax
import addax.numpy as anp
import addax.scipy.signal as ours

RNG = np.random.default_rng(0)


def close(got, want, tol=1e-4, case=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (case, got.shape, want.shape)
    np.testing.assert_allclose(got, want, rtol=tol, atol=tol, err_msg=str(case))


def test_convolutions():
    shapes = [((7,), (3,)), ((3,), (7,)), ((4,), (4,)), ((5, 6), (2, 3)), ((4, 5, 3), (2, 1, 3))]
    for left, right in shapes:
        for dtype in ("float32", "complex64"):
            x, y = (RNG.normal(size=s).astype(dtype) for s in (left, right))
            if dtype == "complex64":
                x, y = x + 1j * RNG.normal(size=left).astype("float32"), y * (1 - 2j)
            for mode in ("full", "same", "valid"):
                case = (left, right, dtype, mode)
                close(ours.convolve(x, y, mode), exact.convolve(x, y, mode), case=case)
                close(ours.convolve(x, y, mode, method="fft"), exact.convolve(x, y, mode), case=case)
                close(ours.fftconvolve(x, y, mode), exact.fftconvolve(x, y, mode), case=case)
                if mode != "valid" or left != (3,):
                    close(ours.correlate(x, y, mode), exact.correlate(x, y, mode), case=case)
                if len(left) == 2:
                    close(ours.convolve2d(x, y, mode), exact.convolve2d(x, y, mode), case=case)
                    close(ours.correlate2d(x, y, mode), exact.correlate2d(x, y, mode), case=case)
    x, y = RNG.normal(size=(3, 6)).astype("float32"), RNG.normal(size=(3, 4)).astype("float32")
    for mode in ("full", "same", "valid"):
        close(ours.fftconvolve(x, y, mode, axes=(1,)), exact.fftconvolve(x, y, mode, axes=(1,)))
    assert ours.convolve(np.arange(3), np.arange(2)).dtype == np.float32
    grad = addax.grad(lambda y: (ours.convolve(x[0], y) ** 2).sum())(y[0])
    close(grad, jax.grad(lambda y: (jax.scipy.signal.convolve(x[0], y) ** 2).sum())(y[0]))


SPECTRA = [
    {}, {"nperseg": 16}, {"nperseg": 16, "noverlap": 4, "nfft": 20}, {"nperseg": 15, "window": "boxcar", "fs": 3.0},
    {"nperseg": 16, "return_onesided": False}, {"nperseg": 16, "detrend": "linear"}, {"nperseg": 16, "detrend": False},
]  # fmt: skip


def test_spectral_densities():
    x, y = RNG.normal(size=(2, 100)).astype(np.float32), RNG.normal(size=(2, 100)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kwargs in SPECTRA:
            for extra in ({}, {"scaling": "spectrum"}, {"average": "median"}):
                for g, w in zip(ours.welch(x, **kwargs, **extra), exact.welch(x, **kwargs, **extra), strict=True):
                    close(g, w, case=(kwargs, extra))
                for g, w in zip(ours.csd(x, y, **kwargs, **extra), exact.csd(x, y, **kwargs, **extra), strict=True):
                    close(g, w, case=(kwargs, extra))
        for g, w in zip(ours.welch(x.T, nperseg=16, axis=0), exact.welch(x.T, nperseg=16, axis=0), strict=True):
            close(g, w)


def test_short_time_transforms():
    x = RNG.normal(size=(2, 100)).astype(np.float32)
    cases = [
        {"nperseg": 16}, {"nperseg": 16, "noverlap": 12, "boundary": "even"}, {"nperseg": 16, "boundary": None, "padded": False},
        {"nperseg": 15, "boundary": "odd", "fs": 2.0}, {"nperseg": 16, "nfft": 32, "boundary": "constant"},
        {"nperseg": 16, "return_onesided": False},
    ]  # fmt: skip
    for kwargs in cases:
        for g, w in zip(ours.stft(x, **kwargs), exact.stft(x, **kwargs), strict=True):
            close(g, w, case=kwargs)
    for kwargs in ({"nperseg": 16}, {"nperseg": 16, "noverlap": 12}, {"nperseg": 15, "window": "hamming", "fs": 2.0}):
        _, _, z = exact.stft(x[0], **kwargs)
        for g, w in zip(ours.istft(z.astype(np.complex64), **kwargs), exact.istft(z, **kwargs), strict=True):
            close(g, w, case=kwargs)
        batch = np.stack([z, 2 * z]).astype(np.complex64)
        close(ours.istft(batch, **kwargs)[1], exact.istft(batch, **kwargs)[1], case=kwargs)
    _, _, z = exact.stft(x, nperseg=16, return_onesided=False)
    close(ours.istft(z, input_onesided=False)[1], exact.istft(z, input_onesided=False)[1])
    f = addax.jit(lambda x: abs(ours.stft(x, nperseg=16)[2]).sum())
    assert addax.grad(f)(x).shape == x.shape


def test_detrend():
    x = RNG.normal(size=(3, 20)).astype(np.float32) + np.arange(20, dtype=np.float32)
    for kwargs in ({}, {"type": "constant"}, {"axis": 0}, {"bp": 7}, {"bp": np.array([5, 12])}):
        close(ours.detrend(x, **kwargs), exact.detrend(x, **kwargs), 1e-4, kwargs)


def test_errors():
    x = anp.ones(8)
    for call, error, text in [
        (lambda: ours.convolve(x, x, "bad"), ValueError, "mode must be one of"),
        (lambda: ours.convolve(x, x, method="bad"), ValueError, "expected 'auto'"),
        (lambda: ours.convolve(x, anp.ones((2, 2))), ValueError, "same number of dimensions"),
        (lambda: ours.convolve(x, x[:0]), ValueError, "zero-size"),
        (lambda: ours.convolve(anp.ones((4, 5)), anp.ones((5, 2)), "valid"), ValueError, "smaller than the other"),
        (lambda: ours.convolve2d(x, x), ValueError, "2-dimensional"),
        (lambda: ours.correlate2d(anp.eye(2), anp.eye(2), boundary="wrap"), NotImplementedError, "boundary='fill'"),
        (lambda: ours.convolve([1.0], x), TypeError, "requires ndarray or scalar"),
        (lambda: ours.welch(x, nperseg=4, noverlap=4), ValueError, "noverlap must be less"),
        (lambda: ours.welch(x, nperseg=4, nfft=2), ValueError, "nfft must be greater"),
        (lambda: ours.welch(x, nperseg=4, average="bad"), ValueError, "'median' or 'mean'"),
        (lambda: ours.welch(x, nperseg=4, scaling="bad"), ValueError, "Unknown scaling"),
        (lambda: ours.stft(x, nperseg=4, boundary="bad"), ValueError, "Unknown boundary"),
        (lambda: ours.detrend(x, type="bad"), ValueError, "Trend type"),
        (lambda: ours.detrend(x, bp=9), ValueError, "Breakpoints"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_lists_are_refused_by_the_function_that_got_them():
    for call, name in (
        (lambda: ours.stft([1.0, 2.0]), "stft"), (lambda: ours.convolve([1.0], [1.0]), "convolve"),
        (lambda: addax.scipy.stats.multivariate_normal.logpdf([0.0], anp.ones(1), anp.eye(1)), "multivariate_normal.logpdf"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"^{name} requires ndarray or scalar arguments"):
            call()
