"""The options of addax: each declared once, with its type, default, meaning and scope.

Code imports everything about configuration from here: `config` (process-wide updates), `current_context()` (what hot
code reads), and one context manager per option, under the option's own name::

    from addax.core.config import config, current_context, enable_x64

    config.update("addax_enable_x64", True)        # every thread
    with enable_x64(False):                        # this thread, this block
        current_context().enable_x64

The scopes (TRACE, DISPATCH, HOST) are explained in `options.py`, the mechanism is in `context.py`.
"""

from __future__ import annotations

from typing import Any

from addax._native import hide_own_frames
from addax.core.context import (
    Context,
    OptionManager,
    TraceKey,
    config,
    context_of,
    current_context,
    declare,
    declare_inert,
    inert_manager as __getattr__,  # the context managers of options that do nothing here  # noqa: F401
    install_base_context,
    make_user_context,
)
from addax.core.options import DISPATCH, HOST, TRACE, Option, choice, flag, number, parse_bool, text

__all__ = [
    "DISPATCH",
    "HOST",
    "TRACE",
    "Context",
    "Option",
    "OptionManager",
    "TraceKey",
    "config",
    "context_of",
    "current_context",
    "declare",
    "make_user_context",
]


def _device(value: Any) -> Any:
    # Devices are recognised by their attributes: core does not import the engines that define them.
    if value is None or isinstance(value, str) or hasattr(value, "platform") or hasattr(value, "device_set"):
        return value
    raise ValueError(
        f"expected a device (for example `addax.devices('cpu')[0]`), a platform name such as 'cpu', or None; "
        f"got {value!r} of type {type(value).__name__}"
    )


def _partitionable(value: Any) -> bool:
    if not value:
        raise ValueError(
            "expected True: addax draws threefry bits in the layout that JAX has by default since 0.5. The numbers of the "
            "older layout are not to be had"
        )
    return True


# --- Number types and semantics ---

enable_x64 = declare(
    flag("enable_x64", False, "Keep 64-bit dtypes; when off, float64/int64/complex128 become their 32-bit kin.", TRACE)
)
explicit_x64_dtypes = declare(
    choice(
        "explicit_x64_dtypes",
        ("warn", "error", "allow"),
        "warn",
        "What an explicitly requested 64-bit dtype does while x64 is off: truncate with a warning, fail, or be kept.",
        TRACE,
    )
)
numpy_dtype_promotion = declare(
    choice(
        "numpy_dtype_promotion",
        ("standard", "strict"),
        "standard",
        "`strict` refuses implicit conversion between different dtypes (Python scalars of the same kind may join).",
        TRACE,
    )
)
numpy_rank_promotion = declare(
    choice(
        "numpy_rank_promotion",
        ("allow", "warn", "raise"),
        "allow",
        "Whether broadcasting may add leading axes to an operand of lower rank.",
        TRACE,
    )
)
default_matmul_precision = declare(
    choice(
        "default_matmul_precision",
        (
            *("default", "high", "highest", "bfloat16", "tensorfloat32", "float32"),
            *("ANY_F8_ANY_F8_F32", "ANY_F8_ANY_F8_F32_FAST_ACCUM", "ANY_F8_ANY_F8_ANY", "ANY_F8_ANY_F8_ANY_FAST_ACCUM"),
            *("F16_F16_F16", "F16_F16_F32", "BF16_BF16_BF16", "BF16_BF16_F32"),
            *("BF16_BF16_F32_X3", "BF16_BF16_F32_X6", "BF16_BF16_F32_X9"),
            *("TF32_TF32_F32", "TF32_TF32_F32_X3", "F32_F32_F32", "F64_F64_F64"),
        ),
        None,
        "Precision of matrix products and convolutions whose `precision` argument is None.",
        TRACE,
        optional=True,
    )
)

# --- Random numbers ---

default_prng_impl = declare(
    choice(
        "default_prng_impl",
        ("threefry2x32", "rbg", "unsafe_rbg"),
        "threefry2x32",
        "The generator behind `random.key(seed)` when no `impl` is named.",
        TRACE,
    )
)
threefry_partitionable = declare(
    Option(
        "threefry_partitionable",
        True,
        "Threefry's numbers do not depend on how the output is sharded.",
        TRACE,
        "True",
        _partitionable,
        parse_bool,
    )
)
random_seed_offset = declare(number("random_seed_offset", int, 0, "Added to every integer seed.", TRACE))
enable_custom_prng = declare(
    flag("enable_custom_prng", False, "Let `random.PRNGKey` return new-style typed keys.", TRACE)
)
legacy_prng_key = declare(
    choice(
        "legacy_prng_key",
        ("allow", "warn", "error"),
        "allow",
        "What passing a raw uint32 key, rather than a typed one, to a random function does.",
        TRACE,
    )
)
debug_key_reuse = declare(flag("debug_key_reuse", False, "Report a PRNG key that is consumed twice.", TRACE))
high_dynamic_range_gumbel = declare(
    flag("high_dynamic_range_gumbel", False, "Sample Gumbel noise with two uniforms, for a longer tail.", TRACE)
)

# --- Tracing ---

check_tracer_leaks = declare(
    flag("check_tracer_leaks", False, "After each transformation, fail if one of its tracers is still alive.", TRACE)
)
checking_leaks = check_tracer_leaks
enable_checks = declare(flag("enable_checks", False, "Type-check every jaxpr that is built.", TRACE))
no_tracing = declare(flag("no_tracing", False, "Raise an error where a function would be traced again.", HOST))
error_checking_behavior_nan = declare(
    choice(
        "error_checking_behavior_nan",
        ("ignore", "raise"),
        "ignore",
        "Whether programs raise where an operation makes a NaN.",
        TRACE,
    )
)
error_checking_behavior_divide = declare(
    choice(
        "error_checking_behavior_divide",
        ("ignore", "raise"),
        "ignore",
        "Whether programs raise at a division by zero.",
        TRACE,
    )
)
error_checking_behavior_oob = declare(
    choice(
        "error_checking_behavior_oob",
        ("ignore", "raise"),
        "ignore",
        "Whether programs raise at an index out of bounds.",
        TRACE,
    )
)

# --- Running ---

_disable_jit = declare(
    flag("disable_jit", False, "Run jitted functions operation by operation, so print and pdb see values.", DISPATCH)
)


def disable_jit(disable: bool = True):
    """Context manager: run jitted functions operation by operation, so that print, pdb and profilers see real values.

    Control-flow functions (scan, cond, while_loop) run as Python loops and branches too.

    Args:
      disable: False switches compilation back on inside a block that switched it off.
    """
    return _disable_jit(disable)


debug_checks = declare(
    flag(
        "debug_checks",
        False,
        "Make programs raise where an operation makes a NaN, divides by zero or indexes out of bounds, naming the line.",
        DISPATCH,
    )
)
debug_nans = declare(
    flag(
        "debug_nans",
        False,
        "Raise FloatingPointError if a result is NaN, naming the operation that made it first.",
        DISPATCH,
    )
)
debug_infs = declare(
    flag(
        "debug_infs",
        False,
        "Raise FloatingPointError if a result is infinite, naming the operation that made it first.",
        DISPATCH,
    )
)
default_device = declare(
    Option(
        "default_device",
        None,
        "Where arrays are created and computations run when their inputs do not say.",
        DISPATCH,
        "a device, a platform name or None",
        _device,
        str,
    )
)
no_execution = declare(flag("no_execution", False, "Raise an error where a compiled program would run.", DISPATCH))


# --- Logging and messages ---

log_compiles = declare(flag("log_compiles", False, "Log each trace and compilation with its duration.", HOST))
explain_cache_misses = declare(
    flag("explain_cache_misses", False, "Log why a jitted function was traced again, naming the argument.", HOST)
)
logging_level = declare(text("logging_level", "NOTSET", "Level of the addax logger.", HOST))
traceback_filtering = declare(
    choice(
        "traceback_filtering",
        ("auto", "off", "tracebackhide", "remove_frames", "quiet_remove_frames"),
        "auto",
        "Whether errors that leave a jitted function or an operation show the user's frames only; `off`: all of them.",
        HOST,
    )
)
dump_ir_to = declare(text("dump_ir_to", "", "Directory every compiled program's stages are written to.", HOST))
captured_constants_warn_bytes = declare(
    number("captured_constants_warn_bytes", int, 2_000_000_000, "Warn about captured arrays this large.", HOST)
)

# --- Compilation cache ---

enable_compilation_cache = declare(flag("enable_compilation_cache", True, "Keep compiled programs on disk.", HOST))
compilation_cache_dir = declare(
    text("compilation_cache_dir", None, "Where compiled programs are kept; None is the per-user default.", HOST)
)
compilation_cache_max_size = declare(
    number("compilation_cache_max_size", int, -1, "Bytes the disk cache is trimmed to; -1 is the default cap.", HOST)
)
persistent_cache_min_compile_time_secs = declare(
    number("persistent_cache_min_compile_time_secs", float, 1.0, "XLA programs compiled faster stay off disk.", HOST)
)
persistent_cache_min_entry_size_bytes = declare(
    number("persistent_cache_min_entry_size_bytes", int, 0, "XLA programs smaller than this stay off disk.", HOST)
)
raise_persistent_cache_errors = declare(
    flag("raise_persistent_cache_errors", False, "Raise, rather than warn about, errors of the disk cache.", HOST)
)

# --- Devices ---

platforms = declare(
    text("platforms", None, "Comma-separated platforms to initialise, best first, e.g. 'cuda,cpu'.", HOST)
)
platform_name = declare(text("platform_name", "", "The platform to prefer; `platforms` is the newer spelling.", HOST))
num_cpu_devices = declare(number("num_cpu_devices", int, -1, "How many virtual CPU devices there are; -1: one.", HOST))
cuda_visible_devices = declare(
    text("cuda_visible_devices", "all", "Comma-separated CUDA device ids to use, or 'all'.", HOST)
)
cpu_collectives_implementation = declare(
    choice("cpu_collectives_implementation", ("gloo",), "gloo", "How CPU processes talk to each other.", HOST)
)

# --- Options of JAX that set something addax does not have ---
# Accepted with a warning that gives the reason, so that a JAX program's preamble runs. None of them changes a result.

declare_inert(
    "it steers a part of JAX that addax does not have",
    "array_garbage_collection_guard check_proxy_envs compiler_enable_remat_pass custom_vjp3 debug_leaked_clients_on_clear_backends "
    "debug_log_modules disable_bwd_checks disable_most_optimizations distributed_debug eager_constant_folding enable_pgle "
    "enable_preemption_service exec_time_optimization_effort include_full_tracebacks_in_locations memory_fitting_effort "
    "memory_fitting_level optimization_level pallas_use_mosaic_gpu persistent_cache_enable_xla_caches pgle_aggregation_percentile "
    "pgle_profiling_runs pprint_use_color remat3 remove_size_one_mesh_axis_from_type rocm_visible_devices scan3 spmd_mode "
    "thread_guard threefry_gpu_kernel_lowering traceback_in_locations_limit tracer_error_num_traceback_frames use_magma "
    "xla_profile_version",
)
declare_inert(
    "addax always works this way",
    "auto_pcast include_debug_info_in_dumps mutable_array_checks softmax_custom_jvp use_direct_linearize use_shardy_partitioner "
    "use_simplified_jaxpr_constants",
)
declare_inert("float16 is summed in float32", "allow_f16_reductions")
declare_inert("print(addax.ad_checkpoint.print_saved_residuals(f, x)) shows them", "log_checkpoint_residuals")
declare_inert(
    "arrays of the embedded CPU engine share the host's memory, so there are no transfers to watch",
    "transfer_guard transfer_guard_device_to_device transfer_guard_device_to_host transfer_guard_host_to_device",
)
declare_inert("the CPU engine runs programs on the calling thread", "cpu_enable_async_dispatch")

hide_own_frames(lambda: traceback_filtering.value != "off")
install_base_context()
