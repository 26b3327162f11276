"""addax: trace a pure NumPy-style function, transform it, compile it to native code, run it.

>>> import addax, addax.numpy as jnp
>>> f = addax.jit(addax.grad(lambda x: jnp.sin(x) ** 2))
>>> round(float(f(0.5)), 4)
0.8415
"""

import importlib as _importlib

from addax import core as core  # isort: skip  (the floors load from the ground up)
from addax import dtypes as dtypes, engines as _engines, errors as errors, tree as tree, tree_util as tree_util
from addax.array import Array as Array
from addax.core.config import (
    check_tracer_leaks as check_tracer_leaks,
    checking_leaks as checking_leaks,
    config as config,
    debug_checks as debug_checks,
    debug_infs as debug_infs,
    debug_key_reuse as debug_key_reuse,
    debug_nans as debug_nans,
    default_device as default_device,
    default_matmul_precision as default_matmul_precision,
    default_prng_impl as default_prng_impl,
    disable_jit as disable_jit,
    enable_checks as enable_checks,
    enable_custom_prng as enable_custom_prng,
    enable_x64 as enable_x64,
    explain_cache_misses as explain_cache_misses,
    legacy_prng_key as legacy_prng_key,
    log_compiles as log_compiles,
    make_user_context as make_user_context,
    no_execution as no_execution,
    no_tracing as no_tracing,
    numpy_dtype_promotion as numpy_dtype_promotion,
    numpy_rank_promotion as numpy_rank_promotion,
    threefry_partitionable as threefry_partitionable,
)
from addax.transforms.autodiff import (
    fwd_and_bwd as fwd_and_bwd,
    grad as grad,
    hessian as hessian,
    jacfwd as jacfwd,
    jacrev as jacrev,
    jvp as jvp,
    linearize as linearize,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from addax.transforms.custom import (
    closure_convert as closure_convert,
    custom_gradient as custom_gradient,
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
)
from addax.transforms.inspect import eval_shape as eval_shape, make_jaxpr as make_jaxpr, typeof as typeof
from addax.transforms.jit import jit as jit
from addax.transforms.linear_maps import linear_transpose as linear_transpose
from addax.transforms.remat import (
    checkpoint as checkpoint,
    checkpoint_policies as checkpoint_policies,
    remat as remat,
)
from addax.transforms.stages import ShapeDtypeStruct as ShapeDtypeStruct
from addax.transforms.vmap import vmap as vmap

from addax import numpy as numpy  # isort: skip
from addax import debug as debug, lax as lax, nn as nn, random as random
from addax.api import (
    block_until_ready as block_until_ready,
    clear_caches as clear_caches,
    copy_to_host_async as copy_to_host_async,
    default_backend as default_backend,
    device_count as device_count,
    devices as devices,
    effects_barrier as effects_barrier,
    get_num_threads as get_num_threads,
    io_callback as io_callback,
    live_arrays as live_arrays,
    local_device_count as local_device_count,
    local_devices as local_devices,
    named_call as named_call,
    named_scope as named_scope,
    process_count as process_count,
    process_index as process_index,
    process_indices as process_indices,
    pure_callback as pure_callback,
    set_num_threads as set_num_threads,
)
from addax.core import execution as _execution
from addax.core.context import inert_manager as _inert_manager
from addax.core.mesh import set_mesh as set_mesh
from addax.core.sharding import NamedSharding as NamedSharding, PartitionSpec as PartitionSpec
from addax.lax.sharding import reshard as reshard
from addax.transfers import (
    device_get as device_get,
    device_put as device_put,
    make_array_from_callback as make_array_from_callback,
    make_array_from_process_local_data as make_array_from_process_local_data,
    make_array_from_single_device_arrays as make_array_from_single_device_arrays,
    make_mesh as make_mesh,
)

P = PartitionSpec
jacobian = jacrev
__version__ = "0.1.0"

# Loaded when first used.
_MODULES = (
    *("ad_checkpoint", "custom_batching", "custom_derivatives", "distributed", "dlpack", "experimental", "export"),
    *("extend", "flatten_util", "image", "ops", "scipy", "sharding", "stages", "test_util", "typing"),
)
_NAMES = {
    "Device": "addax.engines.devices",
    "Shard": "addax.placement",
    "ensure_compile_time_eval": "addax.core.trace",
    "float0": "addax.dtypes",
    "pmap": "addax.parallel_map",
    "print_environment_info": "addax.environment",
    "shard_map": "addax.transforms.shard_map",
    "smap": "addax.transforms.smap",
    **dict.fromkeys(
        ("SparseMatrix", "hessian_sparsity", "jacobian_sparsity", "sparse_hessian", "sparse_jacobian"),
        "addax.sparse_derivatives",
    ),
}
_INSTEAD = {  # names that jax has had
    "device_put_replicated": "device_put(numpy.stack([x] * n), NamedSharding(mesh, P('axis')))",
    "device_put_sharded": "device_put(numpy.stack(shards), NamedSharding(mesh, P('axis')))",
}
# What checks, and options like debug_checks, make of programs before they are compiled.
_execution.set_prepare_rule(lambda module, *args: _importlib.import_module(module).prepare(*args))


def __getattr__(name: str):
    if name in _MODULES:
        return _importlib.import_module(f"addax.{name}")
    try:
        # Options that do nothing here have context managers too, which say so.
        found = getattr(_importlib.import_module(_NAMES[name]), name) if name in _NAMES else _inert_manager(name)
    except AttributeError:
        advice = f": use {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise AttributeError(f"module 'addax' has no attribute {name!r}{advice}") from None
    globals()[name] = found
    return found
