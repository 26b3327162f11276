"""Ways to run a program: forward mode, linearisation, transposition, batching, Taylor mode.

`ad`, `batching`, `mlir` and `partial_eval` have JAX's public names, for primitives that users define; docs/extend.md.
"""

import importlib

_PUBLIC = ("ad", "batching", "mlir", "partial_eval")


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'addax.interpreters' has no attribute {name!r}")
    return importlib.import_module(f"addax.interpreters.{name}")
