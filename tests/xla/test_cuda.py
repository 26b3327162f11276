"""Programs compiled for a CUDA GPU that need not be here. They are skipped where the plugin wheels are not installed."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.engines.xla import cuda
from addax.engines.xla.executable import compile_only
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target

# An H100, as far as the compiler asks.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "sm_90"
"""

needs_plugin = pytest.mark.skipif(
    not any(cuda.find_library(f"jax-cuda{v}-pjrt", "xla_cuda_plugin.so") for v in cuda.VERSIONS),
    reason="the CUDA plugin (pip install 'addax[cuda13]') is not installed",
)
X = np.ones((5, 3), np.float32)
CUDA = Target("cuda")


def module(fun, *args):
    return lower(addax.jit(fun).trace(*args).jaxpr, CUDA)


def in_a_process(code: str, **environment: str):
    return subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)


@needs_plugin
@pytest.mark.parametrize(
    "fun",
    [
        lambda x: jnp.tanh(x @ x.T),
        lambda x: lax.scan(lambda c, v: (c + v.sum(), c), 0.0, x),
        lambda x: addax.random.normal(addax.random.key(0), (100,)) + jnp.sort(x)[0, 0],
        lambda x: addax.pure_callback(np.sin, addax.ShapeDtypeStruct(x.shape, x.dtype), x),
        lambda x: (lax.linalg.lu(x), lax.linalg.qr(x, full_matrices=False), lax.linalg.svd(x, full_matrices=True)),
        lambda x: (lax.linalg.eigh(x @ x.T), lax.linalg.cholesky(x @ x.T), lax.linalg.tridiagonal(x.T @ x)),
        lambda x: lax.linalg.tridiagonal_solve(x[:, 0], x[:, 0], x[:, 0], x),
        lambda x: lax.dot_general(x, x, (((0,), (0,)), ((), ())), precision="BF16_BF16_F32_X3"),
    ],
    ids=("product", "scan", "random", "callback", "factors", "hermitian", "tridiagonal", "algorithm"),
)
def test_programs_compile_without_a_gpu(fun):
    compiled = compile_only(module(fun, X), CUDA, cuda.topology(H100))
    assert "HloModule" in compiled.hlo_modules()[0].to_string()


def rows(x, w, policy):
    """Three layers, written out."""
    for k in range(3):
        x = addax.checkpoint(layer, policy=policy)(x, w[k])
    return x.sum()


def turns(x, w, policy):
    """The same in a loop."""
    return lax.scan(lambda c, w: (addax.checkpoint(layer, policy=policy)(c, w), None), x, w)[0].sum()


def whole(x, w, policy):
    """The same, the loop inside."""
    return addax.checkpoint(lambda x, w: lax.scan(lambda c, w: (layer(c, w), None), x, w)[0].sum(), policy=policy)(x, w)


def layer(x, w):
    return jnp.tanh(addax.ad_checkpoint.checkpoint_name(x @ w, "y"))


@needs_plugin
@pytest.mark.parametrize("fun", [rows, turns, whole])
def test_offloaded_values_wait_in_the_memory_of_the_host(fun):
    x, w = np.ones((256, 256), np.float32), np.ones((3, 256, 256), np.float32)
    names = {"names_which_can_be_saved": [], "names_which_can_be_offloaded": ["y"]}
    there = addax.checkpoint_policies.save_and_offload_only_these_names(
        **names, offload_src="device", offload_dst="pinned_host"
    )
    kept = addax.checkpoint_policies.save_only_these_names("y")

    def memory(fun, *args):
        return compile_only(module(fun, *args), CUDA, cuda.topology(H100)).get_compiled_memory_stats()

    offloaded, plain = (memory(lambda x, w: addax.grad(fun, 1)(x, w, policy), x, w) for policy in (there, kept))
    assert plain.host_temp_size_in_bytes == 0
    assert offloaded.host_temp_size_in_bytes >= 2 * x.nbytes
    # What leaves a program is in the memory of the device.
    outs = memory(lambda x, w: addax.tree.leaves(addax.vjp(lambda w: fun(x, w, there), w)), x, w)
    assert outs.host_output_size_in_bytes == 0


@needs_plugin
def test_the_plugin_may_be_that_of_jax():
    """JAX, imported first, loads the plugin for itself: a process holds one."""
    code = f"""
import contextlib, numpy, jax
with contextlib.suppress(RuntimeError):
    jax.devices("cuda")  # no GPU is here, but the plugin has been loaded
from jaxlib import xla_client
assert xla_client.pjrt_plugin_loaded("cuda")
import addax
from addax import lax
from addax.engines.xla import cuda, executable, lower, module
target = module.Target("cuda")
program = lower.lower(addax.jit(lambda x: lax.linalg.qr(x)).trace(numpy.ones((4, 3), numpy.float32)).jaxpr, target)
executable.compile_only(program, target, cuda.topology({H100!r}))
print("compiled")
"""
    ran = in_a_process(code, JAX_SKIP_CUDA_CONSTRAINTS_CHECK="1")
    assert ran.stdout == "compiled\n", ran.stderr


@needs_plugin
def test_a_machine_without_a_gpu_says_so():
    ran = in_a_process("import addax; addax.devices('cuda')", CUDA_VISIBLE_DEVICES="")
    assert "RuntimeError: no device of platform 'cuda' can be used here: " in ran.stderr


def test_solvers_are_those_of_cuda():
    text = module(lambda x: lax.linalg.qr(x, full_matrices=False), X).text
    assert "@cusolver_geqrf_ffi" in text and "@cusolver_orgqr_ffi" in text and "@lapack" not in text
    assert "dense<[0, 1]> : tensor<2xindex>" in text  # column-major


def test_complex_convolutions_are_made_of_real_ones():
    x = np.ones((1, 1, 5, 3), np.complex64)
    text = module(lambda x: lax.conv(x, x[:, :, :2, :2], (1, 1), "VALID"), x).text
    assert text.count("stablehlo.convolution") == 4


def test_what_cuda_lacks_is_refused_by_name():
    with pytest.raises(
        NotImplementedError, match="qr with pivoting is computed by a library routine that platform 'cuda'"
    ):
        module(lambda x: lax.linalg.qr(x, pivoting=True), X)
    n = np.ones((1, 1, 5, 3), np.int32)
    with pytest.raises(NotImplementedError, match="convolutions of integers do not exist on platform 'cuda'"):
        module(lambda x: lax.conv(x, x[:, :, :2, :2], (1, 1), "VALID"), n)
