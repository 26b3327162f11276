"""CUDA: the PJRT plugin and the kernels that jaxlib's CUDA wheels bring, loaded without importing jax.

The wheels are ``jax-cuda13-pjrt`` (the compiler and runtime) and ``jax-cuda13-plugin`` (solvers, callbacks), or their
CUDA 12 counterparts. Without a GPU programs can still be compiled for one that is described (`topology`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pathlib
from collections.abc import Sequence
from typing import Any

from addax.core.config import cuda_visible_devices
from addax.engines.xla import compat, processes

VERSIONS = ("13", "12")


def find_library(distribution: str, name: str) -> pathlib.Path | None:
    """A shared library of an installed wheel, found without importing the wheel's package (which would import jax)."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = next((f for f in files if f.name == name), None)
    return None if found is None else pathlib.Path(str(found.locate()))


@functools.cache
def load_plugin() -> None:
    """Load the plugin and register its kernels, unless JAX, in the same process, has done so.

    Raises:
      RuntimeError: if the wheels are not installed.
    """
    with compat.without_jax():
        if not compat.pjrt_plugin_loaded("cuda"):
            version, library = _find_plugin()
            api = compat.load_pjrt_plugin_dynamically("cuda", str(library))
            _register_kernels(f"jax_cuda{version}_plugin", api)
        if not compat.pjrt_plugin_initialized("cuda"):
            compat.initialize_pjrt_plugin("cuda")


def _find_plugin() -> tuple[str, pathlib.Path]:
    for version in VERSIONS:
        library = find_library(f"jax-cuda{version}-pjrt", "xla_cuda_plugin.so")
        if library is not None:
            return version, library
    raise RuntimeError("no CUDA plugin is installed: pip install 'addax[cuda13]'")


def _register_kernels(package: str, api: Any) -> None:
    """Custom calls: those of the plugin itself (callbacks into Python) and the solver libraries."""
    try:
        extension = importlib.import_module(f"{package}.cuda_plugin_extension")
    except ImportError:
        return  # programs that need them will be refused by name
    compat.register_custom_type_handler("CUDA", functools.partial(extension.register_custom_type, api))
    compat.register_custom_call_handler("CUDA", functools.partial(extension.register_custom_call_target, api))
    for name, value in extension.ffi_types().items():
        compat.register_custom_type(name, value, platform="CUDA")
    for name, value in extension.ffi_handlers().items():
        compat.register_custom_call_target(name, value, platform="CUDA", api_version=1)
    for name, value, version in compat.gpu_kernels():
        compat.register_custom_call_target(name, value, platform="CUDA", api_version=version)


def make_client() -> Any:
    """The client of the GPUs of this machine that this process uses; with other processes it speaks through NCCL."""
    load_plugin()
    others = processes.current()
    options = client_options(others)
    return compat.make_c_api_client("cuda", options, None if others is None else others.client)


def client_options(others: Any) -> dict[str, Any]:
    """What the client is to know: the GPUs it may use, and its place among the processes.

    Raises:
      ValueError: if the option ``cuda_visible_devices`` is not a list of numbers.
    """
    options: dict[str, Any] = dict(compat.generate_pjrt_gpu_plugin_options())
    visible = cuda_visible_devices.value
    if visible != "all":
        try:
            options["visible_devices"] = [int(i) for i in visible.split(",")]
        except ValueError:
            raise ValueError(
                f"option addax_cuda_visible_devices: expected 'all' or numbers such as '0,1', got {visible!r}"
            ) from None
    if others is not None:
        options |= {"node_id": others.rank, "num_nodes": others.count}
    return options


def topology(target_config: str, shape: str = "1x1x1") -> Sequence[Any]:
    """Devices to compile for that need not be here.

    Args:
      target_config: the text of XLA's ``GpuTargetConfigProto`` of a GPU.
      shape: slices x hosts x devices of each.
    """
    load_plugin()
    options = {"target_config": target_config, "topology": shape}
    with compat.without_jax():
        return compat.get_default_c_api_topology("cuda", "", options)._make_compile_only_devices()
