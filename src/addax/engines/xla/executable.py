"""Compiling a lowered program with XLA, and running it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.jaxpr import ClosedJaxpr
from addax.engines.xla import buffers, compat, disk
from addax.engines.xla.buffers import Aval, Placement
from addax.engines.xla.client import client as client_of
from addax.engines.xla.compat import xla_client
from addax.engines.xla.inspect import readable
from addax.engines.xla.lower import Program, lower
from addax.engines.xla.module import Target


class XlaExecutable:
    """A compiled program on one device.

    Calling it takes and gives arrays in the runtime's own class; ``run`` takes and gives NumPy arrays.
    """

    def __init__(self, program: Program, loaded: Any, device: Any):
        self.program = program
        self._loaded = loaded
        self._devices = [device]
        self._placement = Placement(self._devices)
        self._handlers = [compat.array_result_handler(Aval(t.shape, t.dtype), self._placement) for t in program.results]
        self._captured = [self._put(x) for x in program.captured]

    def _put(self, value: np.ndarray) -> Any:
        return buffers.put([value], self._placement, self._devices)

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """Launch; results may not be ready yet."""
        results = self._loaded.execute_sharded([*arrays, *self._captured], with_tokens=self.program.ordered)
        outs = results.consume_with_handlers(self._handlers)
        if self.program.ordered:
            results.consume_token().block_until_ready()
        return outs

    @property
    def executable(self):
        return self.run

    def run(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """Run on NumPy arrays of exactly the types compiled for, and wait for the results.

        Raises:
          TypeError: naming an argument of another type.
          Exception: what a host function raised.
        """
        sent = []
        for i, (x, t) in enumerate(zip(arrays, self.program.parameters, strict=True)):
            x = np.asarray(x)
            if x.dtype != t.dtype or x.shape != t.shape:
                raise TypeError(
                    f"argument {i} has type {x.dtype}{list(x.shape)}; the program was compiled for {t.dtype}{list(t.shape)}"
                )
            sent.append(self._put(x))
        try:
            outs = self(sent)
            return [buffers.get(x, t.shape, t.dtype) for x, t in zip(outs, self.program.results, strict=True)]
        except compat.XlaRuntimeError:
            for callback in self.program.callbacks:
                error, callback.error = callback.error, None
                if error is not None:
                    raise error from None
            raise

    def as_text(self, stage: str = "hlo") -> str:
        """The program at a stage: "stablehlo" as sent to XLA, or "hlo" as XLA has optimised it."""
        if stage == "stablehlo":
            return readable(self.program.text)
        if stage == "hlo":
            with compat.without_jax():
                return "\n\n".join(m.to_string() for m in self._loaded.hlo_modules())
        raise ValueError(f'unknown stage {stage!r}; the XLA engine has "stablehlo" and "hlo"')

    def cost_analysis(self) -> dict[str, float]:
        with compat.without_jax():
            return dict(self._loaded.cost_analysis())

    def memory_analysis(self) -> Any:
        return self._loaded.get_compiled_memory_stats()


def compile_program(
    closed: ClosedJaxpr,
    target: Target | None = None,
    donated: Sequence[int] = (),
    compiler_options: Sequence[tuple[str, Any]] = (),
) -> XlaExecutable:
    """Lower and compile a program for the first device of a platform.

    Args:
      compiler_options: names and values of XLA's debug options, ``("xla_backend_optimization_level", 0)``.
    """
    target = target or Target()
    program = lower(closed, target, donated)
    device = client_of(target.platform).devices()[0]
    return XlaExecutable(program, load(program, target, [device], compiler_options), device)


def load(
    program: Program, target: Target, devices: Sequence[Any], compiler_options: Sequence[tuple[str, Any]] = ()
) -> Any:
    """The executable of a program on devices of one platform, numbered as partitions in the order given."""
    if "@lapack_" in program.text:
        compat.register_lapack()
    options = compile_options(target, devices)
    if compiler_options:
        options.env_option_overrides = [(name, value) for name, value in compiler_options]
    device_list = xla_client.DeviceList(tuple(devices))
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
            compat.parse_module(program.text), xla_client.DeviceList(tuple(devices)), compile_options(target, devices)
        )


def compile_options(target: Target, devices: Sequence[Any]) -> Any:
    options = xla_client.CompileOptions()
    options.num_replicas, options.num_partitions = 1, target.num_partitions
    ids = np.array([[d.id for d in devices]], np.int32)
    options.device_assignment = xla_client.DeviceAssignment.create(ids)
    build = options.executable_build_options
    build.num_replicas, build.num_partitions = 1, target.num_partitions
    sharded = target.num_partitions > 1 and bool(target.preamble)
    build.use_spmd_partitioning = sharded
    build.use_shardy_partitioner = True
    return options
