"""Every name of jaxlib that addax uses, and what differs between its versions, in one place.

jaxlib has no documented Python interface; what is used here was found to work in 0.10.2 and 0.11. Differences are found
by asking for features, not for version numbers. Importing this module imports jaxlib (60 ms) but never ``jax``.

Some calls of jaxlib import ``jax.core`` behind the caller's back, to make an aval. `without_jax` keeps them from it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when jaxlib is loaded: no messages on stderr

try:
    import jaxlib
    from jaxlib import _jax, xla_client  # pyright: ignore[reportAttributeAccessIssue]
except ImportError as error:
    raise ImportError(
        "the XLA engine needs jaxlib, which is not installed: pip install 'addax[xla]' (for GPUs 'addax[cuda13]')"
    ) from error
else:
    from jaxlib.xla_client import (
        ArrayCopySemantics,
        CompileOptions,
        DeviceAssignment,
        DeviceList,
        HloSharding,
        OpSharding,
        batched_copy_array_to_devices_with_sharding,
        batched_device_put,
        generate_pjrt_gpu_plugin_options,
        initialize_pjrt_plugin,
        load_pjrt_plugin_dynamically,
        make_c_api_client,
        make_cpu_client,
        make_tfrt_tpu_c_api_device_topology,
        pjrt_plugin_initialized,
        pjrt_plugin_loaded,
        register_custom_call_as_batch_partitionable,
        register_custom_call_handler,
        register_custom_call_target,
        register_custom_type,
        register_custom_type_handler,
    )  # fmt: skip

jaxlib_version: str = jaxlib.__version__  # pyright: ignore[reportPrivateImportUsage]

# Without this flag every transfer fails; with jax loaded it is jax's to set.
if "jax" not in sys.modules:
    _x64 = _jax.config.Config("enable_x64", True, include_in_jit_key=True, include_in_trace_context=True)
    _jax.jax_jit.set_enable_x64_state(_x64)

XlaRuntimeError: type[Exception] = _jax.JaxRuntimeError
Array: type = _jax.ArrayImpl

_HANDLER_SKIPS_CHECKS = "_skip_checks" in (getattr(xla_client.array_result_handler, "__doc__", None) or "")


def array_result_handler(aval: Any, sharding: Any) -> Any:
    """What makes an array of this type out of the result of an execution."""
    if _HANDLER_SKIPS_CHECKS:
        return xla_client.array_result_handler(aval, sharding, True, True)
    return xla_client.array_result_handler(aval, sharding, True)


# consume_with_handlers(results of an execution, handlers) -> list of arrays
consume_with_handlers = _jax.ExecuteResults.consume_with_handlers

# get_default_c_api_topology(plugin, name, options) -> the devices described by the options
get_default_c_api_topology = _jax.get_default_c_api_topology

_guard = threading.RLock()


@contextlib.contextmanager
def without_jax() -> Iterator[None]:
    """Keep jaxlib from importing jax meanwhile (if the user has not imported it)."""
    if "jax" in sys.modules:
        yield
        return
    with _guard:
        sys.modules["jax"] = None  # type: ignore[assignment]
        try:
            yield
        finally:
            if sys.modules.get("jax", 0) is None:
                del sys.modules["jax"]


# ---------------------------------------------------------------------------------------------------------------------
# Several processes

_HEARTBEAT = 3600  # seconds: addax has a watchdog of its own, which knows more (processes.py)


def distributed_service(address: str, count: int, timeout: int) -> Any:
    """The coordination service, which process 0 runs."""
    return _jax.get_distributed_runtime_service(
        f"[::]:{address.rpartition(':')[2]}", count, heartbeat_timeout=_HEARTBEAT, cluster_register_timeout=timeout, recoverable=True,
        shutdown_timeout=10,
    )  # fmt: skip


def distributed_client(address: str, rank: int, timeout: int) -> Any:
    """A connection to the coordination service."""
    return _jax.get_distributed_runtime_client(
        address, rank, init_timeout=timeout, shutdown_timeout=10, heartbeat_timeout=_HEARTBEAT,
        shutdown_on_destruction=False, use_compression=True,
    )  # fmt: skip


def gloo_collectives(client: Any, hostname: str | None) -> Any:
    """Collectives between the CPU devices of several processes, over TCP."""
    return _jax.make_gloo_tcp_collectives(distributed_client=client, hostname=hostname)


# ---------------------------------------------------------------------------------------------------------------------
# Libraries of custom calls

_lapack_lock = threading.Lock()
_lapack_ready = False


def register_lapack() -> None:
    """Make the LAPACK custom calls known to the CPU compiler; this loads SciPy, so it waits for the first program that
    needs them."""
    global _lapack_ready
    with _lapack_lock:
        if _lapack_ready:
            return
        with without_jax():
            from jaxlib import lapack  # loads SciPy's LAPACK, 0.26 s

            lapack._lapack.initialize()  # pyright: ignore[reportPrivateImportUsage]
            for name, function, version in lapack.registrations()["cpu"]:
                register_custom_call_target(name, function, platform="cpu", api_version=version)
            for name in lapack.batch_partitionable_targets():
                register_custom_call_as_batch_partitionable(name)
        _lapack_ready = True


def gpu_kernels() -> Iterator[tuple[str, Any, int]]:
    """``(name, handler, version)`` of the custom calls of the CUDA solver libraries."""
    for module in ("gpu_solver", "gpu_linalg", "gpu_sparse"):
        registrations = getattr(importlib.import_module(f"jaxlib.{module}"), "registrations", dict)()
        yield from registrations.get("CUDA", ())


# ---------------------------------------------------------------------------------------------------------------------
# MLIR, for checking and printing modules

_context: Any = None


def mlir_context() -> Any:
    """A context that knows the dialects modules are written in."""
    global _context
    if _context is None:
        with without_jax():
            from jaxlib.mlir import ir
            from jaxlib.mlir._mlir_libs import _jax_mlir_ext
            from jaxlib.mlir.dialects import chlo, sdy, stablehlo

            registry = ir.DialectRegistry()
            _jax_mlir_ext.register_dialects(registry)
            context = ir.Context()
            context.append_dialect_registry(registry)
            context.load_all_available_dialects()
            for dialect in (sdy, stablehlo, chlo):
                dialect.register_dialect(context)
        _context = context
    return _context


def parse_module(text: str) -> Any:
    """The module as MLIR's verifier has accepted it.

    Raises:
      MLIRError: if it is not well formed.
    """
    from jaxlib.mlir import ir

    with mlir_context():
        return ir.Module.parse(text)


__all__ = [
    "Array", "ArrayCopySemantics", "CompileOptions", "DeviceAssignment", "DeviceList", "HloSharding", "OpSharding",
    "XlaRuntimeError", "array_result_handler", "batched_copy_array_to_devices_with_sharding", "batched_device_put",
    "consume_with_handlers", "distributed_client", "distributed_service", "generate_pjrt_gpu_plugin_options",
    "get_default_c_api_topology", "gloo_collectives", "gpu_kernels", "initialize_pjrt_plugin", "jaxlib_version",
    "load_pjrt_plugin_dynamically", "make_c_api_client", "make_cpu_client", "make_tfrt_tpu_c_api_device_topology", "mlir_context",
    "parse_module", "pjrt_plugin_initialized", "pjrt_plugin_loaded", "register_custom_call_handler", "register_custom_call_target",
    "register_custom_type", "register_custom_type_handler", "register_lapack", "without_jax",
]  # fmt: skip
