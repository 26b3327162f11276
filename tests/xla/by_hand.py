"""Programs that see one device's part of each array, run on several virtual devices: what shard_map and pmap are made of."""

from __future__ import annotations

import functools

import numpy as np

from addax.engines.xla import compat
from addax.engines.xla.buffers import Aval
from addax.engines.xla.client import cpu_client
from addax.engines.xla.compat import xla_client
from addax.engines.xla.executable import load
from addax.engines.xla.lower import Program, lower
from addax.engines.xla.module import Target
from addax.engines.xla.types import tensor_type


@functools.cache
def devices(count: int):
    return list(cpu_client(count).devices())


class Rows:
    """One row of an array on each device."""

    def __init__(self, n: int):
        self._devices = xla_client.DeviceList(tuple(devices(n)))

    _internal_device_list = property(lambda self: self._devices)
    memory_kind = property(lambda self: None)

    def _to_xla_hlo_sharding(self, ndim: int):
        n = len(self._devices)
        return xla_client.HloSharding.iota_tile((n, *(1,) * (ndim - 1)))


def run(closed, axes, arrays):
    """The results of a program on each row of the arrays, stacked."""
    sizes = [n for _, n in axes]
    n = int(np.prod(sizes))
    names = ", ".join(f'"{name}"' for name, _ in axes)
    sized = ", ".join(f'"{name}"={size}' for name, size in axes)
    mesh = f"sdy.mesh @mesh = <[{sized}]>"
    target = Target(axes=axes, num_partitions=n, preamble=mesh)
    program = lower(closed, target)
    assert not program.captured
    body = program.text.replace("func.func public @main(", "func.func private @part(")

    def spec(t):
        return f"<@mesh, [{{{names}}}{', {}' * len(t.shape)}]>"

    def whole(t, rows):
        return tensor_type((rows, *t.shape), t.dtype)

    ins, outs = program.parameters, program.results
    lines = [
        f"func.func public @main({', '.join(f'%a{i}: {whole(t, n)}' for i, t in enumerate(ins))}) -> "
        f"({', '.join(whole(t, n) for t in outs)}) {{",
        f"%r:{len(outs)} = sdy.manual_computation({', '.join(f'%a{i}' for i in range(len(ins)))}) in_shardings=["
        f"{', '.join(map(spec, ins))}] out_shardings=[{', '.join(map(spec, outs))}] manual_axes={{{names}}} "
        f"({', '.join(f'%p{i}: {whole(t, 1)}' for i, t in enumerate(ins))}) {{",
        *(f"%q{i} = stablehlo.reshape %p{i} : ({whole(t, 1)}) -> {t.type}" for i, t in enumerate(ins)),
        f"%s:{len(outs)} = func.call @part({', '.join(f'%q{i}' for i in range(len(ins)))}) : "
        f"({', '.join(t.type for t in ins)}) -> ({', '.join(t.type for t in outs)})",
        *(f"%t{i} = stablehlo.reshape %s#{i} : ({t.type}) -> {whole(t, 1)}" for i, t in enumerate(outs)),
        f"sdy.return {', '.join(f'%t{i}' for i in range(len(outs)))} : {', '.join(whole(t, 1) for t in outs)}",
        f"}} : ({', '.join(whole(t, n) for t in ins)}) -> ({', '.join(whole(t, n) for t in outs)})",
        f"func.return {', '.join(f'%r#{i}' for i in range(len(outs)))} : {', '.join(whole(t, n) for t in outs)}",
        "}",
    ]
    at = body.index("func.func private")
    text = body[:at] + "\n".join(lines) + "\n" + body[at:]
    program = Program(text, [], [], ins, outs, False)
    loaded = load(program, target, devices(n), (("xla_cpu_collective_call_terminate_timeout_seconds", 20),))
    rows = Rows(n)
    sent = []
    for x, t in zip(arrays, ins, strict=True):
        aval = Aval((n, *t.shape), t.dtype)
        sent.append(xla_client.batched_device_put(aval, rows, [x[i : i + 1] for i in range(n)], devices(n), True, True))
    handlers = [compat.array_result_handler(Aval((n, *t.shape), t.dtype), rows) for t in outs]
    results = loaded.execute_sharded(sent).consume_with_handlers(handlers)
    with compat.without_jax():
        return [np.concatenate([np.array(memoryview(shard)) for shard in r._arrays]) for r in results]
