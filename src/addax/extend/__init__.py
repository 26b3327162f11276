"""For libraries built on addax: jaxprs, primitives of one's own, interpreters.

`addax.extend.core` has what a program is and how to define primitives; `addax.interpreters` has the tables of their
rules. docs/extend.md shows both at work.
"""

import importlib

_MODULES = ("backend", "core")


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'addax.extend' has no attribute {name!r}")
    return importlib.import_module(f"addax.extend.{name}")
