"""Named axes in scope: what ``psum(x, "batch")`` may refer to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_scope = threading.local()


def axis_sizes() -> dict:
    """Name -> size of the named axes in scope, outermost first."""
    return getattr(_scope, "sizes", {})


@contextlib.contextmanager
def extend_axis_env(name, size: int) -> Iterator[None]:
    if name is None:
        yield
        return
    previous = axis_sizes()
    _scope.sizes = {**previous, name: size}
    try:
        yield
    finally:
        _scope.sizes = previous


def axis_size_of(name) -> int:
    """The size of a named axis.

    Raises:
      NameError: if no enclosing transformation binds the name.
    """
    sizes = axis_sizes()
    if name not in sizes:
        known = f"The axes in scope are {', '.join(map(repr, sizes))}." if sizes else "No named axis is in scope."
        raise NameError(
            f"Found an unbound axis name: {name}. {known} To fix this, call the function under vmap(..., "
            f"axis_name={name!r}), pmap or shard_map."
        )
    return sizes[name]
