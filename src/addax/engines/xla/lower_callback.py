"""Calls back into Python. The compiled program refers to host functions by number (`Module.callbacks`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core.jaxpr import Eqn
from addax.core.sharding import PartitionSpec
from addax.engines.xla.block import Block, Token, Value
from addax.engines.xla.layouts import spec_text
from addax.engines.xla.program import current_token, result_type
from addax.engines.xla.rules import rule

TARGETS = {"cpu": "xla_ffi_python_cpu_callback", "cuda": "xla_ffi_python_gpu_callback"}


class HostCallback:
    """A host function as the runtime calls it: arrays in, a tuple of arrays out, checked against what was declared.

    The runtime does not check what it gets back, and turns an exception into text; the exception itself is kept for who
    runs the program to raise again.
    """

    def __init__(self, fun: Callable[..., Any], results: Sequence[Value], ordered: bool):
        self.fun, self.results, self.ordered = fun, list(results), ordered
        self.error: BaseException | None = None

    def __call__(self, *arrays: Any) -> tuple:
        token: tuple = ()
        if self.ordered:
            token, arrays = (arrays[0],), arrays[1:]
        try:
            # The views given here end with the call; what the function may keep is a copy.
            outs = self.fun(*(np.array(x) for x in arrays))
            return (*token, *self._checked(outs))
        except BaseException as error:
            self.error = error
            raise

    def take_error(self) -> BaseException | None:
        """What it raised since this was last asked."""
        error, self.error = self.error, None
        return error

    def _checked(self, outs: Any) -> list[np.ndarray]:
        if not self.results:
            return []
        if len(outs) != len(self.results):
            raise RuntimeError(f"callback {self.fun} promised {len(self.results)} results but returned {len(outs)}")
        checked = []
        for i, (out, t) in enumerate(zip(outs, self.results, strict=True)):
            out = np.asarray(out)
            if out.shape != t.shape:
                raise RuntimeError(
                    f"callback {self.fun} promised result {i} of shape {t.shape} but returned shape {out.shape}"
                )
            checked.append(np.ascontiguousarray(out, t.dtype).reshape(t.shape))
        return checked


def call_host(
    b: Block, fun: Callable[..., Any], operands: Sequence[Value], results: Sequence[Value], ordered: bool, effect: bool
) -> list[Value]:
    """A custom call of a host function."""
    platform = b.module.target.platform
    target = TARGETS.get(platform)
    if target is None:
        raise NotImplementedError(f"callbacks into Python are not available on platform {platform!r}")
    number = b.module.callback(HostCallback(fun, results, ordered))
    attrs = f"api_version = 4 : i32, backend_config = {{index = {number} : ui64}}"
    if effect:
        attrs = f"has_side_effect = true, {attrs}"
    if b.module.target.num_partitions > 1 and b.module.manual is None:
        # Once, on the first device, with whole arrays; inside a shard_map each device calls for its own shard.
        if ordered:
            raise NotImplementedError(
                f"ordered callbacks are not supported in programs over several devices; got {fun} with ordered=True. Without "
                "it, calls of one program may happen in another order."
            )
        first = ", ".join(["<@first_device, []>"] * max(1, len(results)))
        attrs = f"{attrs}, sdy.sharding = #sdy.sharding_per_value<[{first}]>"
        mesh = next(iter(b.module.target.meshes.values()))
        return [
            b.emit(
                f"sdy.sharding_constraint {x.name} {spec_text(mesh, PartitionSpec(), len(x.shape))} : {x.type}",
                x.shape,
                x.dtype,
            )
            for x in b.custom_call(target, operands, results, attrs)
        ]
    if not ordered:
        return b.custom_call(target, operands, results, attrs)
    token, *outs = b.custom_call(target, [current_token(b), *operands], [Token(""), *results], attrs)
    assert type(token) is Token
    b.token = token
    return outs


@rule("debug_callback")
def _debug_callback(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    return call_host(b, eqn.params["callback"], args, [], bool(eqn.params["ordered"]), effect=True)


@rule("pure_callback")
def _pure_callback(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    results = [result_type(eqn, i) for i in range(len(eqn.outvars))]
    return call_host(b, eqn.params["callback"], args, results, ordered=False, effect=False)


@rule("io_callback")
def _io_callback(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    results = [result_type(eqn, i) for i in range(len(eqn.outvars))]
    return call_host(b, eqn.params["callback"], args, results, bool(eqn.params["ordered"]), effect=True)
