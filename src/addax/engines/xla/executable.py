"""Compiling a lowered program with XLA: for devices that are here, or only described."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.engines.xla import compat, disk
from addax.engines.xla.lower import Program
from addax.engines.xla.module import Target


def load(
    program: Program, target: Target, devices: Sequence[Any], compiler_options: Sequence[tuple[str, Any]] = ()
) -> Any:
    """The executable of a program on devices of one platform, numbered as partitions in the order given.

    Args:
      compiler_options: names and values of XLA's debug options, ``("xla_backend_optimization_level", 0)``.
    """
    if "@lapack_" in program.text:
        compat.register_lapack()
    options = compile_options(target, devices)
    if compiler_options:
        options.env_option_overrides = [(name, value) for name, value in compiler_options]
    device_list = compat.DeviceList(tuple(devices))
    client = devices[0].client
    with compat.without_jax():
        if program.callbacks:  # with host functions only a parsed module is accepted
            module = compat.parse_module(program.text)
            return client.compile_and_load(module, device_list, options, program.callbacks)
        if any(d.process_index != client.process_index() for d in devices):
            return client.compile_and_load(program.text, device_list, options)
        name = disk.key(program.text, options, devices)
        loaded = disk.read(name, options, devices)
        if loaded is None:
            start = time.perf_counter()
            loaded = client.compile_and_load(program.text, device_list, options)
            disk.write(name, loaded, time.perf_counter() - start)
        return loaded


def compile_only(program: Program, target: Target, devices: Sequence[Any]) -> Any:
    """Compile for devices that are described and need not be here (`cuda.topology`); the result cannot run, but has
    ``hlo_modules()``, ``get_compiled_memory_stats()`` and the like."""
    with compat.without_jax():
        return devices[0].client.compile(
            compat.parse_module(program.text), compat.DeviceList(tuple(devices)), compile_options(target, devices)
        )


def compile_options(target: Target, devices: Sequence[Any]) -> Any:
    options = compat.CompileOptions()
    options.num_replicas, options.num_partitions = 1, target.num_partitions
    ids = np.array([[d.id for d in devices]], np.int32)
    options.device_assignment = compat.DeviceAssignment.create(ids)
    build = options.executable_build_options
    build.num_replicas, build.num_partitions = 1, target.num_partitions
    sharded = target.num_partitions > 1 and bool(target.preamble)
    build.use_spmd_partitioning = sharded
    build.use_shardy_partitioner = True
    return options
