"""Compiling a lowered program with XLA, and running it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.jaxpr import ClosedJaxpr
from addax.engines.xla import buffers, compat
from addax.engines.xla.block import Value
from addax.engines.xla.buffers import Aval, Placement
from addax.engines.xla.client import client as client_of
from addax.engines.xla.compat import xla_client
from addax.engines.xla.lower import Program, lower
from addax.engines.xla.module import Target


class XlaExecutable:
    """A compiled program on the devices of one platform.

    ``executable(arrays)`` takes and gives arrays in the runtime's own class; ``run`` takes and gives NumPy arrays.
    Several devices each run the program on arrays of their own (the collectives in it tie them together); then the
    arguments and results of ``run`` have a leading dimension, one entry per device.
    """

    def __init__(self, program: Program, target: Target, loaded: Any, devices: Sequence[Any]):
        self.program, self.target = program, target
        self._loaded = loaded
        self._devices = list(devices)
        self._placement = Placement(self._devices)
        self._handlers = [compat.array_result_handler(Aval(t.shape, t.dtype), self._placement) for t in program.results]
        self._captured = [self._put_everywhere(x) for x in program.captured]

    def _put_everywhere(self, value: np.ndarray) -> Any:
        return self._put([value] * len(self._devices))

    def _put(self, values: Sequence[np.ndarray]) -> Any:
        return buffers.put(values, self._placement, self._devices)

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
        """Run on NumPy arrays of exactly the types compiled for, and wait for the results."""
        n = len(self._devices)
        prefix = () if n == 1 else (n,)
        sent = []
        for i, (x, t) in enumerate(zip(arrays, self.program.parameters, strict=True)):
            x = np.asarray(x)
            if x.dtype != t.dtype or x.shape != (*prefix, *t.shape):
                raise TypeError(
                    f"argument {i} has type {x.dtype}{list(x.shape)}; the program was compiled for "
                    f"{t.dtype}{[*prefix, *t.shape]}"
                )
            sent.append(self._put([x] if n == 1 else list(x)))
        try:
            outs = self(sent)
            return [self._fetch(x, t) for x, t in zip(outs, self.program.results, strict=True)]
        except compat.XlaRuntimeError:
            for callback in self.program.callbacks:
                if callback.error is not None:
                    error, callback.error = callback.error, None
                    raise error from None
            raise

    def _fetch(self, array: Any, t: Value) -> np.ndarray:
        if len(self._devices) == 1:
            return buffers.get(array, t.shape, t.dtype)
        with compat.without_jax():
            return np.stack([buffers.get(shard, t.shape, t.dtype) for shard in array._arrays])

    def as_text(self, stage: str = "hlo") -> str:
        """The program at a stage: "stablehlo" as sent to XLA, or "hlo" as XLA has optimised it."""
        if stage == "stablehlo":
            return self.program.text
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
    devices: Sequence[Any] | None = None,
    compiler_options: Sequence[tuple[str, Any]] = (),
) -> XlaExecutable:
    """Lower and compile a program for devices of one platform (the first of them by default).

    Args:
      compiler_options: names and values of XLA's debug options, ``("xla_backend_optimization_level", 0)``.
    """
    target = target or Target()
    program = lower(closed, target, donated)
    if devices is None:
        devices = list(client_of(target.platform).devices())[: target.num_partitions]
    if len(devices) != target.num_partitions:
        raise ValueError(
            f"the program runs on {target.num_partitions} devices of platform {target.platform!r}, got {len(devices)}"
        )
    return XlaExecutable(program, target, load(program, target, devices, compiler_options), devices)


def load(
    program: Program, target: Target, devices: Sequence[Any], compiler_options: Sequence[tuple[str, Any]] = ()
) -> Any:
    if "@lapack_" in program.text:
        compat.register_lapack()
    options = compile_options(target, devices)
    if compiler_options:
        options.env_option_overrides = [(name, value) for name, value in compiler_options]
    device_list = xla_client.DeviceList(tuple(devices))
    client = devices[0].client
    with compat.without_jax():
        if not program.callbacks:
            return client.compile_and_load(program.text, device_list, options)
        # With host functions only a parsed module is accepted.
        return client.compile_and_load(compat.parse_module(program.text), device_list, options, program.callbacks)


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


def fingerprint(program: Program) -> str:
    return hashlib.sha256(program.text.encode()).hexdigest()
