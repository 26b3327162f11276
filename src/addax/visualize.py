"""Drawing how an array is cut over devices, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from addax.core.sharding import Sharding, SingleDeviceSharding
from addax.core.trace import Tracer
from addax.engines.platforms import default_device
from addax.ops.custom import FlatRule
from addax.ops.inspect_sharding import inspect_sharding
from addax.placement import sharding_of


def visualize_sharding(
    shape: Sequence[int], sharding: Sharding, *, use_color: bool = False, scale: float = 1.0, min_width: int = 9,
    max_width: int = 80,
) -> None:  # fmt: skip
    """Print which device holds which part of an array of one or two dimensions.

    Raises:
      ValueError: for other numbers of dimensions.

    >>> import addax
    >>> addax.debug.visualize_sharding((4, 4), addax.sharding.SingleDeviceSharding(addax.devices()[0]))
    ┌─────────┐
    │  CPU 0  │
    └─────────┘
    """
    print(draw_sharding(shape, sharding, min_width))


def visualize_array_sharding(arr, **kwargs) -> None:
    """Print which device holds which part of an array of one or two dimensions; of a traced one when it is compiled."""
    inspect_array_sharding(arr, callback=lambda sharding: visualize_sharding(arr.shape, sharding, **kwargs))


def inspect_array_sharding(value, *, callback: Callable[[Sharding], None]) -> None:
    """Call ``callback`` with the sharding of an array; of a traced one, with the sharding that the compiler gives it.

    For a traced value that happens once, when the program is compiled (which takes twice as long then).

    Raises:
      NotImplementedError: when a program is compiled in which a value inside a loop or a branch is asked about.

    >>> import addax, addax.numpy as jnp
    >>> @addax.jit
    ... def f(x):
    ...     addax.debug.inspect_array_sharding(2 * x, callback=print)
    ...     return x
    >>> _ = f(jnp.ones(3))
    SingleDeviceSharding(device=CpuDevice(id=0), memory_kind=device)
    """
    if isinstance(value, Tracer):
        inspect_sharding.bind(value, callback=FlatRule(lambda s: callback(_here() if s is None else s), "callback"))
    else:
        callback(sharding_of(value))


def _here() -> Sharding:
    return SingleDeviceSharding(default_device())


def draw_sharding(shape: Sequence[int], sharding: Sharding, min_width: int = 9) -> str:
    """The picture that `visualize_sharding` prints."""
    if len(shape) not in (1, 2):
        raise ValueError(f"visualize_sharding draws arrays of one or two dimensions, got shape {tuple(shape)}")
    two = (1, *shape) if len(shape) == 1 else tuple(shape)
    holders: dict[tuple, list[int]] = {}
    platform = sharding.device_list[0].platform.upper()
    for device, index in sharding.devices_indices_map(tuple(shape)).items():
        index = index if len(shape) == 2 else (slice(None), *index)
        key = tuple(s.indices(n)[:2] for s, n in zip(index, two, strict=True))
        holders.setdefault(key, []).append(device.id)
    rows, columns = (sorted({k[d] for k in holders}) for d in (0, 1))
    cells = [[f"{platform} {','.join(map(str, sorted(holders[r, c])))}" for c in columns] for r in rows]
    width = max(min_width, *(len(cell) + 2 for row in cells for cell in row))
    line = lambda left, middle, right: left + middle.join(["─" * width] * len(columns)) + right  # noqa: E731
    body = ["│" + "│".join(cell.center(width) for cell in row) + "│" for row in cells]
    return "\n".join([line("┌", "┬", "┐"), f"\n{line('├', '┼', '┤')}\n".join(body), line("└", "┴", "┘")])
