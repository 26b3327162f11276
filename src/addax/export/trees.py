"""Pytree structures as JSON, and the names of classes that may stand in them.

A class is written under a name that the user gives it here, never as its module and qualified name: reading a file
imports nothing and calls only what was registered.
"""

from __future__ import annotations

import collections
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from addax.core import tree

T = TypeVar("T", bound=type)


class _Registered:
    def __init__(self, node_type, name, encode, decode):
        self.node_type, self.name, self.encode, self.decode = node_type, name, encode, decode


_by_type: dict[type, _Registered] = {}
_by_name: dict[str, _Registered] = {}


def _register(entry: _Registered) -> None:
    for key, table, what in ((entry.node_type, _by_type, "class"), (entry.name, _by_name, "serialized_name")):
        if key in table:
            other = table[key]
            raise ValueError(
                f"Duplicate serialization registration for the {what} {key!r}: it is registered already, class "
                f"{other.node_type.__qualname__} under the name {other.name!r}."
            )
    _by_type[entry.node_type] = _by_name[entry.name] = entry


def register_pytree_node_serialization(
    nodetype: T,
    *,
    serialized_name: str,
    serialize_auxdata: Callable[[Any], bytes | bytearray],
    deserialize_auxdata: Callable[[bytes], Any],
    from_children: Callable[[Any, Any], Any] | None = None,
) -> T:
    """Let exported functions take and return nodes of a class that is registered as a pytree.

    Args:
      nodetype: the class.
      serialized_name: what it is called in files; the same in the program that reads them.
      serialize_auxdata: the auxiliary data of `register_pytree_node` as bytes.
      deserialize_auxdata: the inverse. It reads what a file says: do not unpickle there.
      from_children: accepted as in JAX; structures are read from the auxiliary data alone, so it is not called.

    Raises:
      ValueError: if the class or the name is registered already.
    """
    _register(_Registered(nodetype, serialized_name, serialize_auxdata, deserialize_auxdata))
    return nodetype


def register_namedtuple_serialization(nodetype: Any, *, serialized_name: str) -> Any:
    """Let exported functions take and return a named tuple; see `register_pytree_node_serialization`.

    >>> import collections
    >>> from addax import export
    >>> Point = collections.namedtuple("Point", "x y")
    >>> _ = export.register_namedtuple_serialization(Point, serialized_name="docs.Point")
    """
    if not (isinstance(nodetype, type) and issubclass(nodetype, tuple) and hasattr(nodetype, "_fields")):
        raise ValueError(f"register_namedtuple_serialization: expected a named tuple class, got {nodetype!r}")
    _register(_Registered(nodetype, serialized_name, None, None))
    return nodetype


_KEYS = (str, int, bool)
# Where the named tuples stand that addax's own functions return: ``addax.SVDResult`` in files.
_OWN_MODULES = ("addax.numpy.linalg.factors", "addax.numpy.linalg.determinants", "addax.numpy.uniques",
                "addax.scipy.stats.summaries", "addax.scipy.optimize", "addax.scipy.spatial.transform")  # fmt: skip


def _own_result(name: str, cls: type | None = None) -> _Registered | None:
    """The entry for a named tuple of addax itself."""
    for module in _OWN_MODULES if cls is None else {cls.__module__}.intersection(_OWN_MODULES):
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and issubclass(found, tuple) and name[:1].isupper():
            return _Registered(found, f"addax.{name}", None, None)
    return None


def write_tree(treedef: Any) -> Any:
    """A structure as JSON: ``"*"`` is a leaf, ``[kind, data, children...]`` a node.

    Raises:
      ValueError: naming a class that is not registered.
    """
    found = treedef.node_data()
    if found is None:
        return "*"
    kind, data = found
    children = [write_tree(c) for c in treedef.children()]
    if kind is type(None):
        return ["none", None]
    if kind in (tuple, list):
        return [kind.__name__, None, *children]
    if kind in (dict, collections.OrderedDict):
        bad = next((k for k in data if type(k) not in _KEYS), None)
        if bad is not None:
            raise ValueError(
                f"Cannot serialize a dict with the key {bad!r} of type {type(bad).__name__}: keys must be strings or ints."
            )
        return ["dict" if kind is dict else "ordered_dict", list(data), *children]
    entry = _by_type.get(kind) or _own_result(kind.__name__, kind)
    if entry is None:
        how = (
            "addax.export.register_namedtuple_serialization(cls, serialized_name=...)"
            if issubclass(kind, tuple) and hasattr(kind, "_fields")
            else "addax.export.register_pytree_node_serialization(cls, serialized_name=..., serialize_auxdata=..., "
            "deserialize_auxdata=...)"
        )
        raise ValueError(
            f"Cannot serialize a pytree node of class {kind.__module__}.{kind.__qualname__}: call {how} first."
        )
    aux = None if entry.encode is None else bytes(entry.encode(data)).hex()
    return ["registered", [entry.name, aux], *children]


_BUILTIN: dict[str, type] = {"tuple": tuple, "list": list, "dict": dict, "ordered_dict": collections.OrderedDict}


def read_tree(spec: Any) -> Any:
    """The inverse of `write_tree`.

    Raises:
      ValueError: for a class that is not registered here, or a description that makes no sense.
    """
    if spec == "*":
        return tree.structure(0)
    if not isinstance(spec, list) or len(spec) < 2 or not isinstance(spec[0], str):
        raise ValueError(f"not the description of a pytree: {spec!r:.200}")
    kind, data, *rest = spec
    children = list(map(read_tree, rest))
    if kind == "none":
        return tree.structure(None)
    if kind in ("tuple", "list"):
        return _node((_BUILTIN[kind], None), children)
    if kind in ("dict", "ordered_dict"):
        keys = isinstance(data, list) and len(data) == len(children) and all(type(k) in _KEYS for k in data)
        if not keys or len(set(data)) != len(data):
            raise ValueError(f"not the keys of a dict with {len(children)} entries: {data!r:.200}")
        return _node((_BUILTIN[kind], data if kind == "dict" else tuple(data)), children)
    if kind != "registered":
        raise ValueError(f"unknown kind of pytree node {kind!r}: the file may come from a newer version of addax.")
    name, aux = data
    entry = _by_name.get(name) or (_own_result(name[6:]) if name.startswith("addax.") else None)
    if entry is None:
        raise ValueError(
            f"Cannot deserialize a pytree node with the serialized name {name!r}: register its class first, with "
            "addax.export.register_pytree_node_serialization or register_namedtuple_serialization."
        )
    if entry.decode is None:
        return _node((entry.node_type, None), children)
    return _node((entry.node_type, entry.decode(bytes.fromhex(aux))), children)


def _node(data: tuple[type, Any], children: list) -> Any:
    return tree.PyTreeDef.from_node_data_and_children(None, data, children)
