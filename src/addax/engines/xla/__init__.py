"""The XLA engine: jaxprs become StableHLO text, which XLA compiles for CPUs, GPUs and TPUs, one device or many.

`lower` needs nothing but addax; `compile_program` needs the jaxlib wheel (``pip install 'addax[xla]'``). jax itself is
never imported. See README.md in this folder.
"""

from typing import Any

__all__ = ["Program", "Target", "XlaExecutable", "compile_program", "lower"]

_HOMES = {"Program": "lower", "Target": "module", "XlaExecutable": "executable", "compile_program": "executable", "lower": "lower"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
