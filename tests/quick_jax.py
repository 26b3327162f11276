"""JAX, the oracle, compiling quickly.

Its programs run once or twice here: they compile in a third of the time without what XLA spends most on, fusion emitters
above all. The last digits differ then. The XLA engine of addax is not touched.
"""

import contextlib

import jax._src.compiler
import jaxlib.version

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": 1,
}
if jaxlib.version.__version_info__ < (0, 11):  # later ones always have them, and no such option
    QUICK["xla_cpu_use_fusion_emitters"] = False
own_options = jax._src.compiler.get_compile_options


def quick_options(*args, env_options_overrides=None, **rest):
    return own_options(*args, env_options_overrides=QUICK | (env_options_overrides or {}), **rest)


jax._src.compiler.get_compile_options = quick_options


@contextlib.contextmanager
def as_jax_compiles():
    """In it, JAX compiles as it does by itself, whatever it has compiled before."""
    jax.clear_caches()
    jax._src.compiler.get_compile_options = own_options
    try:
        yield
    finally:
        jax._src.compiler.get_compile_options = quick_options
        jax.clear_caches()
