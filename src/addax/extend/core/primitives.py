"""addax's own primitives, under JAX's names: ``add_p``, ``dot_general_p``, ``scan_p``."""

from __future__ import annotations

from typing import Any

from addax import lax as _lax  # defines them all
from addax.core.primitive import registry as _registry

# Where JAX's name is not that of the primitive with ``_p``.
_RENAMED = {
    "add_jaxvals": "add_any", "call": "jit", "closed_call": "jit", "empty2": "empty", "householder_product": "householder",
    "linear_solve": "custom_linear_solve", "remat": "checkpoint", "threefry2x32": "threefry2x32",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    short = _RENAMED.get(name.removesuffix("_p"), name.removesuffix("_p"))
    found = _registry.get(short) or _registry.get(short.replace("_", "-"))
    if not name.endswith("_p") or found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted(f"{p.replace('-', '_')}_p" for p in _registry)


_ = _lax
