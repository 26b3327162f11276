"""Programs compiled for TPUs that need not be here. They are skipped where libtpu is not installed."""

from __future__ import annotations

import numpy as np
import pytest
from batch import execute

import addax
import addax.numpy as jnp
from addax import lax
from addax.core.primitive import registry
from addax.engines.xla import tpu
from addax.engines.xla.cuda import find_library
from addax.engines.xla.executable import compile_only
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target
from addax.engines.xla.special_functions import FUNCTIONS, program

TPU = Target("tpu")
X = np.ones((8, 4), np.float32)
needs_libtpu = pytest.mark.skipif(
    find_library("libtpu", "libtpu.so") is None, reason="libtpu (pip install libtpu) is not installed"
)


@needs_libtpu
@pytest.mark.parametrize(
    "fun",
    [
        lambda x: jnp.tanh(x @ x.T),
        lambda x: lax.scan(lambda c, v: (c + v.sum(), c), 0.0, x),
        lambda x: addax.random.normal(addax.random.key(0), (100,)) + jnp.sort(x)[0, 0],
        lambda x: (lax.linalg.cholesky(x.T @ x), lax.linalg.triangular_solve(x.T @ x, x.T, left_side=True)),
        lambda x: (lax.linalg.lu(x), lax.linalg.qr(x, full_matrices=False), lax.linalg.eigh(x.T @ x)),
        lambda x: (lax.igamma(x, x), lax.betainc(x, x, x * 0.5), lax.bessel_i0e(x)),
    ],
    ids=("product", "scan", "random", "triangular", "factors", "special"),
)
def test_programs_compile_without_a_tpu(fun):
    lowered = lower(addax.jit(fun).trace(X).jaxpr, TPU)
    compile_only(lowered, TPU, tpu.topology("v5e:2x2")[:1])


def test_callbacks_are_refused_by_name():
    closed = (
        addax.jit(lambda x: addax.pure_callback(np.sin, addax.ShapeDtypeStruct(x.shape, x.dtype), x)).trace(X).jaxpr
    )
    with pytest.raises(NotImplementedError, match="callbacks into Python are not available on platform 'tpu'"):
        lower(closed, TPU)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "igamma" else pytest.mark.slow) for n in FUNCTIONS])
def test_special_functions_in_float32(name):
    """What TPUs compute, on the CPU: float64 would take them minutes to compile."""
    primitive = registry[name]
    rng, high = np.random.default_rng(0), (6.0, 6.0, 0.9)
    args = [rng.uniform(0.2, high[i], 40).astype(np.float32) for i in range(primitive.arity)]
    (got,) = execute(program(name, (40,), np.dtype(np.float32)), args)
    want = primitive.reference(*(x.astype(np.float64) for x in args))
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_special_functions_for_tpus_have_no_float64():
    text = lower(addax.jit(lax.igamma).trace(X, X).jaxpr, TPU).text
    assert "f32" in text and "f64" not in text
