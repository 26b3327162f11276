"""What a program is. Importing the package also gives jaxprs their printed form (printer.py).

It has JAX's public names too (`addax.core.Tracer`, `addax.core.ShapedArray`, ...), loaded when first used; for the rest of
what libraries need there is `addax.extend.core`.
"""

import importlib

from addax.core import printer as _printer

_PUBLIC = {
    "AbstractToken": "avals", "ShapedArray": "avals", "Atom": "jaxpr", "eval_jaxpr": "jaxpr",
    "InconclusiveDimensionOperation": "symbolic", "Trace": "trace", "Tracer": "trace",
    "ensure_compile_time_eval": "trace", "eval_context": "trace",
    "max_dim": "sizes", "min_dim": "sizes",
}  # fmt: skip


def __getattr__(name: str):
    if name == "AbstractValue":
        return __getattr__("ShapedArray") | __getattr__("AbstractToken")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'addax.core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"addax.core.{_PUBLIC[name]}"), name)
