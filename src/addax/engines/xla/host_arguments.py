"""Calls of a program for one device with ndarrays among its arguments.

``batched_device_put`` takes longer than a small program. jaxlib's own call path, which is behind ``jax.jit``, transfers
an ndarray in less than half of that time: so it is given such calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core.sharding import Sharding, SingleDeviceSharding
from addax.engines.xla import compat
from addax.engines.xla.arrays import Aval, put_host
from addax.engines.xla.placement import placement

_WIDE = {np.dtype(t) for t in ("int64", "uint64", "float64", "complex128")}


def sender(
    loaded: Any, device: SingleDeviceSharding, dtypes: Sequence[np.dtype], handlers: Sequence[Any], out_avals: Sequence[Aval],
    out_shardings: Sequence[Sharding],
) -> Callable[..., list[Any]] | None:  # fmt: skip
    """A function that runs a program on arguments that are buffers on its device or ndarrays that nobody writes to, and
    returns its buffers. None if jax, once it is loaded, could have an ndarray converted: it makes 32 bits of 64.

    Args:
      loaded: the executable, for one device.
      device: where it is, and its arguments.
      dtypes: of the arguments.
      handlers: what makes its results, of ``out_avals`` and ``out_shardings``, of those of an execution.
    """
    if not _WIDE.isdisjoint(dtypes):
        return None

    def run(*arguments: Any) -> list[Any]:
        buffers = [put_host(x, device) if isinstance(x, np.ndarray) else x for x in arguments]
        return loaded.execute_sharded(buffers).consume_with_handlers(handlers)

    return compat.call_path(
        run, loaded, [placement(device)] * len(dtypes), out_avals, [placement(s) for s in out_shardings]
    )
