"""What all tests share: every program is held to the type checker, and the oracle compiles quickly."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # for the oracle of tests/sharding
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the oracle's only: plugins may be here that find no hardware

import hypothesis
import jax._src.compiler
import pytest

import addax

# The same examples each time, so that a run says something about what has changed; ADDAX_RANDOM_TESTS=1 goes hunting.
hypothesis.settings.register_profile("repeatable", derandomize=os.environ.get("ADDAX_RANDOM_TESTS") != "1")
hypothesis.settings.load_profile("repeatable")

addax.config.update("addax_enable_checks", True)

# JAX's programs run once or twice here: it compiles them in a third of the time without what XLA spends most on, fusion
# emitters above all. The XLA engine of addax is not touched; a test that needs JAX's best says so to its ``compile``.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
compile_options = jax._src.compiler.get_compile_options


def quick_compile_options(*args, env_options_overrides=None, **rest):
    return compile_options(*args, env_options_overrides=QUICK | (env_options_overrides or {}), **rest)


jax._src.compiler.get_compile_options = quick_compile_options


@pytest.fixture
def unchecked():
    """For tests of programs that are not whole, or of the options themselves."""
    addax.config.update("addax_enable_checks", False)
    yield
    addax.config.update("addax_enable_checks", True)
