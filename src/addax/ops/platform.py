"""``platform_index``: which of several platforms a program is compiled for, a number that only the engine knows."""

from __future__ import annotations

import numpy as np

from addax.core.avals import ShapedArray
from addax.ops.rules import primitive
from addax.ops.shape import expansion, never_batched, nothing_to_differentiate


def index_of(platform: str, platforms: tuple[tuple[str, ...] | None, ...]) -> np.int32:
    """The position of ``platform``, or of None, which stands for all others.

    Raises:
      NotImplementedError: if there is neither.
    """
    for wanted in ((platform,), None):
        for i, names in enumerate(platforms):
            if names == wanted:
                return np.int32(i)
    known = ", ".join(n for names in platforms if names for n in names)
    raise NotImplementedError(
        f"platform_dependent has no code for platform {platform!r}, only for {known or 'none'}: give default=."
    )


platform_index = primitive(
    "platform_index",
    lambda *, platforms: ShapedArray((), np.dtype(np.int32)),
    jvp=nothing_to_differentiate("platform_index"),
    batch=never_batched("platform_index"),
    reference=lambda *, platforms: index_of("cpu", platforms),
    expand=expansion(lambda *, platforms: index_of("cpu", platforms)),
)

__all__ = ["index_of", "platform_index"]
