"""addax's own primitives, under JAX's names: ``add_p``, ``dot_general_p``, ``scan_p``."""

from __future__ import annotations

from typing import Any

from addax import lax as _lax  # defines them all
from addax.core.primitive import registry as _registry
from addax.lax.primitives import primitive_named as _primitive_named


def __getattr__(name: str) -> Any:
    return _primitive_named(__name__, name)


def __dir__() -> list[str]:
    return sorted(f"{p.replace('-', '_')}_p" for p in _registry)


_ = _lax
