"""Pytrees: nested tuples, lists, dicts and registered classes, taken apart into leaves and put together again.

What is a node, as in JAX: ``None`` (without children), ``tuple``, ``list``, ``dict`` (children in the order of sorted
keys), namedtuples, ``OrderedDict``, ``defaultdict``, and classes registered here. Everything else is a leaf, subclasses
of the builtin containers included. The work is done in C++ (``native/pytree*.cpp``).

`addax.tree` and `addax.tree_util` re-export these functions under JAX's two sets of names.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar, cast

from addax import _native
from addax._native import DictKey, FlattenedIndexKey, GetAttrKey, PyTreeDef, SequenceKey
from addax.core.tree_prefix import KeyPath, broadcast_prefix, equality_errors, prefix_errors, raise_mismatch

Cls = TypeVar("Cls", bound=type)
IsLeaf = Callable[[Any], bool]
KeyEntry = TypeVar("KeyEntry", bound=Hashable)

_UNSPECIFIED: Any = type("Unspecified", (), {"__repr__": lambda self: "<unspecified>"})()


# -- taking apart and putting together


def flatten(tree: Any, is_leaf: IsLeaf | None = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a tree, left to right, and its structure.

    Args:
      tree: any pytree.
      is_leaf: called on every node and leaf from the root down; where it returns True, that subtree is one leaf.

    Returns:
      ``(leaves, treedef)``, with ``unflatten(treedef, leaves)`` equal to ``tree``.

    >>> flatten({"b": 1, "a": (2, None)})
    ([2, 1], PyTreeDef({'a': (*, None), 'b': *}))
    """
    return _native.flatten(tree, is_leaf)


def unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of structure ``treedef`` with these leaves; the inverse of `flatten`.

    Raises:
      ValueError: if there are not exactly ``treedef.num_leaves`` leaves.

    >>> unflatten(structure([0, (0, 0)]), "abc")
    ['a', ('b', 'c')]
    """
    return treedef.unflatten(leaves)


def leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """The leaves of a tree, left to right.

    >>> leaves({"w": [1, 2], "b": 3})
    [3, 1, 2]
    """
    return _native.leaves(tree, is_leaf)


def structure(tree: Any, is_leaf: IsLeaf | None = None) -> PyTreeDef:
    """The structure of a tree, without its leaves.

    >>> structure([1, {"a": 2}])
    PyTreeDef([*, {'a': *}])
    """
    return _native.structure(tree, is_leaf)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None) -> Any:
    """The tree of ``f(x, *xs)`` over the leaves of ``tree`` and what stands in their places in ``rest``.

    Args:
      f: a function of ``1 + len(rest)`` arguments.
      tree: the tree whose structure counts.
      *rest: trees of which ``tree`` is a prefix: where it has a leaf, they may have whole subtrees.
      is_leaf: see `flatten`; applies to ``tree``.

    Raises:
      ValueError: if a tree in ``rest`` has another structure, naming the key path where.

    >>> map(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    return _native.tree_map(f, tree, *rest, is_leaf=is_leaf)


def reduce(
    function: Callable[[Any, Any], Any], tree: Any, initializer: Any = _UNSPECIFIED, is_leaf: IsLeaf | None = None
) -> Any:
    """``functools.reduce`` over the leaves, left to right.

    >>> reduce(lambda total, x: total + x, {"a": 1, "b": [2, 3]}, 0)
    6
    """
    if initializer is _UNSPECIFIED:
        return functools.reduce(function, leaves(tree, is_leaf))
    return functools.reduce(function, leaves(tree, is_leaf), initializer)


def reduce_associative(
    operation: Callable[[Any, Any], Any], tree: Any, *, identity: Any = _UNSPECIFIED, is_leaf: IsLeaf | None = None
) -> Any:
    """Combine the leaves with an associative operation in a balanced binary tree, in order.

    The depth is ``ceil(log2(number of leaves))``, so floating-point sums lose less than with `reduce`.

    Raises:
      TypeError: if there are no leaves and no ``identity``.

    >>> reduce_associative(lambda x, y: x + y, ["a", "b", ("c", "d")])
    'abcd'
    """
    level = leaves(tree, is_leaf)
    if not level:
        if identity is _UNSPECIFIED:
            raise TypeError("reduce_associative of a tree without leaves needs an identity, the value to return.")
        return identity

    # Splitting at the middle, the left part being the smaller one: the association JAX uses, so sums agree bit for bit.
    def combine(lo: int, hi: int) -> Any:
        if hi - lo == 1:
            return level[lo]
        middle = lo + (hi - lo) // 2
        return operation(combine(lo, middle), combine(middle, hi))

    return combine(0, len(level))


def all(tree: Any, *, is_leaf: IsLeaf | None = None) -> bool:
    """Whether every leaf is true; True for a tree without leaves.

    >>> all({"a": 1, "b": (True, 0)})
    False
    """
    return builtins.all(leaves(tree, is_leaf))


def transpose(outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any) -> Any:
    """A tree of trees turned inside out: from ``outer`` of ``inner`` to ``inner`` of ``outer``.

    Args:
      outer_treedef: the structure at the root of ``pytree_to_transpose``.
      inner_treedef: the structure at the outer leaves; None to take it from the first of them.
      pytree_to_transpose: a tree of structure ``outer_treedef.compose(inner_treedef)``.

    Raises:
      TypeError: if it has another structure.

    >>> transpose(structure([0, 0]), structure((0, 0, 0)), [(1, 2, 3), (4, 5, 6)])
    ([1, 4], [2, 5], [3, 6])
    """
    flat, treedef = flatten(pytree_to_transpose)
    if inner_treedef is None:
        rows = outer_treedef.flatten_up_to(pytree_to_transpose)
        if not rows:
            raise ValueError(
                "transpose: inner_treedef=None needs an outer tree with at least one leaf to take it from."
            )
        inner_treedef = structure(rows[0])
    n, m = inner_treedef.num_leaves, outer_treedef.num_leaves
    if treedef != outer_treedef.compose(inner_treedef):
        raise TypeError(
            f"Mismatch: transpose expected a tree of structure\n{outer_treedef.compose(inner_treedef)}\n"
            f"(outer_treedef with inner_treedef at its leaves), but got\n{treedef}"
        )
    columns = [outer_treedef.unflatten(flat[i : i + n * m : n] if n else []) for i in range(n)]
    return inner_treedef.unflatten(columns)


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf | None = None) -> Any:
    """``full_tree`` with every leaf replaced by the leaf of ``prefix_tree`` that stands for it.

    >>> broadcast((1, 2), ([3, 4], 5))
    ([1, 1], 2)
    """
    return structure(full_tree, is_leaf).unflatten(broadcast_prefix(prefix_tree, full_tree, is_leaf))


def build_tree(treedef: PyTreeDef, xs: Any) -> Any:
    """The tree of structure ``treedef`` whose leaves are given by iterables nested in the same way.

    >>> build_tree(structure({"a": 0, "b": (0, 0)}), [1, [2, 3]])
    {'a': 1, 'b': (2, 3)}
    """
    return treedef.from_iterable_tree(xs)


# -- with key paths


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `flatten`, with the key path of every leaf: ``([(path, leaf), ...], treedef)``.

    With ``is_leaf_takes_path``, ``is_leaf`` is called with ``(path, subtree)``.

    >>> flatten_with_path({"a": [1]})[0]
    [((DictKey(key='a'), SequenceKey(idx=0)), 1)]
    """
    return _native.flatten_with_path(tree, is_leaf, is_leaf_takes_path)


def leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """The leaves with their key paths, ``[(path, leaf), ...]``.

    >>> [(keystr(path), x) for path, x in leaves_with_path({"w": [1, 2]})]
    [("['w'][0]", 1), ("['w'][1]", 2)]
    """
    return _native.flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """As `map`, with the key path as first argument: ``f(path, x, *xs)``.

    >>> map_with_path(lambda path, x: keystr(path) + f"={x}", {"a": (1, 2)})
    {'a': ("['a'][0]=1", "['a'][1]=2")}
    """
    pairs, treedef = _native.flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    others = []
    for r in rest:
        try:
            others.append(treedef.flatten_up_to(r))
        except ValueError:
            if not is_leaf_takes_path:
                raise_mismatch("tree_map_with_path tree", tree, r, is_leaf)
            raise
    return treedef.unflatten([f(*pair, *xs) for pair, *xs in zip(pairs, *others, strict=True)])


def generate_key_paths(tree: Any) -> Iterable[tuple[KeyPath, Any]]:
    """The key path and value of every leaf, one after the other.

    >>> [keystr(path) for path, _ in generate_key_paths([1, {"a": 2}])]
    ['[0]', "[1]['a']"]
    """
    return iter(leaves_with_path(tree))


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """A key path as text.

    Args:
      keys: the path.
      simple: bare names instead of Python syntax.
      separator: what goes between the entries.

    >>> keystr((DictKey("layers"), SequenceKey(0), GetAttrKey("w")))
    "['layers'][0].w"
    >>> keystr((DictKey("layers"), SequenceKey(0), GetAttrKey("w")), simple=True, separator="/")
    'layers/0/w'
    """
    return separator.join(_bare_name(k) if simple else str(k) for k in keys)


def _bare_name(key: Any) -> str:
    match key:
        case SequenceKey(idx=name) | DictKey(key=name) | GetAttrKey(name=name) | FlattenedIndexKey(key=name):
            return str(name)
    return str(key)


# -- treedefs


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure is a single leaf (``num_nodes == 1``; an empty container counts too, as in JAX).

    >>> treedef_is_leaf(structure(1)), treedef_is_leaf(structure([1]))
    (True, False)
    """
    return treedef.num_nodes == 1


def treedef_is_strict_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure is a single leaf and not an empty container.

    >>> treedef_is_strict_leaf(structure(1)), treedef_is_strict_leaf(structure(()))
    (True, False)
    """
    return treedef.num_nodes == 1 and treedef.num_leaves == 1


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the root's children.

    >>> treedef_children(structure([1, (2, 3)]))
    [PyTreeDef(*), PyTreeDef((*, *))]
    """
    return treedef.children()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees of these structures.

    >>> treedef_tuple([structure(1), structure([2])])
    PyTreeDef((*, [*]))
    """
    return PyTreeDef.from_node_data_and_children(None, (tuple, None), list(treedefs))


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf | None = None) -> bool:
    """Whether every element is a leaf; ``None`` and empty containers are not.

    >>> all_leaves([1, 2.0]), all_leaves([1, (2,)])
    (True, False)
    """
    return _native.all_leaves(iterable, is_leaf)


def is_tree_node(typ: type) -> bool:
    """Whether a class is a registered (or builtin) tree node. Namedtuples count once one was flattened.

    >>> is_tree_node(dict), is_tree_node(set)
    (True, False)
    """
    return _native.is_node_type(typ)


def flatten_one_level(tree: Any) -> tuple[Iterable[Any], Hashable]:
    """The children of the root and its auxiliary data.

    Raises:
      ValueError: if ``tree`` is a leaf.

    >>> flatten_one_level({"a": 1, "b": [2]})
    ((1, [2]), ('a', 'b'))
    """
    return _one_level(tree, False)


def flatten_one_level_with_keys(tree: Any) -> tuple[Iterable[tuple[Any, Any]], Hashable]:
    """As `flatten_one_level`, the children as ``(key, child)`` pairs.

    >>> flatten_one_level_with_keys([5])
    (((SequenceKey(idx=0), 5),), None)
    """
    return _one_level(tree, True)


def _one_level(tree: Any, with_keys: bool) -> tuple[Any, Any]:
    found = _native.flatten_one_level(tree, with_keys)
    if found is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)}")
    return found


# -- registration


def register_pytree_node(
    nodetype: type,
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_with_keys_func: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Make the instances of a class tree nodes.

    Args:
      nodetype: the class; its subclasses are not included.
      flatten_func: ``x -> (children, aux_data)``. ``aux_data`` is part of the structure: comparable, and hashable if
        such trees are to be static arguments.
      unflatten_func: ``(aux_data, children) -> x``. It may be called with any objects as children.
      flatten_with_keys_func: ``x -> (((key, child), ...), aux_data)``, for key paths with better names than numbers.

    Raises:
      ValueError: if the class is already registered.

    >>> class Interval:
    ...     def __init__(self, lo, hi): self.lo, self.hi = lo, hi
    >>> register_pytree_node(Interval, lambda i: ((i.lo, i.hi), None), lambda _, ends: Interval(*ends))
    >>> leaves(Interval(1, 2))
    [1, 2]
    """
    _native.register_node(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)


def register_pytree_with_keys(
    nodetype: type,
    flatten_with_keys: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]] | None = None,
) -> None:
    """As `register_pytree_node`, with the flatten function that names its children first.

    >>> class Pair:
    ...     def __init__(self, a, b): self.a, self.b = a, b
    >>> register_pytree_with_keys(
    ...     Pair, lambda p: (((GetAttrKey("a"), p.a), (GetAttrKey("b"), p.b)), None), lambda _, c: Pair(*c))
    >>> [keystr(path) for path, _ in leaves_with_path(Pair(1, 2))]
    ['.a', '.b']
    """
    _native.register_node(nodetype, flatten_func, unflatten_func, flatten_with_keys)


def register_pytree_node_class(cls: Cls) -> Cls:
    """Class decorator: register a class with methods ``tree_flatten`` and ``tree_unflatten`` (a class method).

    >>> @register_pytree_node_class
    ... class Scale:
    ...     def __init__(self, s): self.s = s
    ...     def tree_flatten(self): return (self.s,), None
    ...     @classmethod
    ...     def tree_unflatten(cls, aux, children): return cls(*children)
    >>> leaves(Scale(3))
    [3]
    """
    register_pytree_node(cls, lambda x: x.tree_flatten(), cls.tree_unflatten)
    return cls


def register_pytree_with_keys_class(cls: Cls) -> Cls:
    """Class decorator: register a class with ``tree_flatten_with_keys``, ``tree_unflatten``, maybe ``tree_flatten``.

    >>> @register_pytree_with_keys_class
    ... class Shift:
    ...     def __init__(self, s): self.s = s
    ...     def tree_flatten_with_keys(self): return ((GetAttrKey("s"), self.s),), None
    ...     @classmethod
    ...     def tree_unflatten(cls, aux, children): return cls(*children)
    >>> leaves_with_path(Shift(3))
    [((GetAttrKey(name='s'),), 3)]
    """
    flatten_func = (lambda x: x.tree_flatten()) if hasattr(cls, "tree_flatten") else None
    register_pytree_with_keys(cls, lambda x: x.tree_flatten_with_keys(), cls.tree_unflatten, flatten_func)
    return cls


def register_dataclass(
    nodetype: Cls,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Cls:
    """Make a dataclass a tree node: its data fields are children, its meta fields part of the structure.

    Args:
      nodetype: a dataclass, or any class whose constructor takes the named fields as keywords.
      data_fields, meta_fields: the names; both may be left out for a dataclass, whose fields are then data unless they
        carry ``metadata={"static": True}`` (see `static`).
      drop_fields: fields of the dataclass that are not kept.

    Raises:
      TypeError: if the fields are needed and not given.
      ValueError: if the fields are not those that the constructor takes, or the class is already registered.

    >>> @register_dataclass
    ... @dataclasses.dataclass
    ... class Dense:
    ...     w: int
    ...     activation: str = static(default="relu")
    >>> flatten(Dense(3))
    ([3], PyTreeDef(CustomNode(Dense[('relu',)], [*])))
    """
    if (data_fields is None) != (meta_fields is None):
        raise TypeError(
            "register_dataclass: data_fields and meta_fields must both be specified when either is specified. Got "
            f"data_fields={data_fields!r} meta_fields={meta_fields!r}."
        )
    if data_fields is None or meta_fields is None:
        if not dataclasses.is_dataclass(nodetype):
            raise TypeError(
                "register_dataclass: data_fields and meta_fields are required when nodetype is not a dataclass. Got "
                f"nodetype={nodetype!r}."
            )
        fields = [f for f in dataclasses.fields(cast(Any, nodetype)) if f.name not in drop_fields]
        data_fields = [f.name for f in fields if not f.metadata.get("static", False)]
        meta_fields = [f.name for f in fields if f.metadata.get("static", False)]
    data_fields, meta_fields = tuple(data_fields), tuple(meta_fields)
    if dataclasses.is_dataclass(nodetype):
        expected = {f.name for f in dataclasses.fields(cast(Any, nodetype)) if f.init and f.name not in drop_fields}
        given = {*data_fields, *meta_fields}
        problem = "data_fields and meta_fields must include all dataclass fields with ``init=True`` and only them."
        if missing := expected - given:
            raise ValueError(f"{problem} Missing fields: {missing}. Add them to drop_fields to suppress this error.")
        if unexpected := given - expected:
            raise ValueError(f"{problem} Unexpected fields: {unexpected}.")
    _native.register_dataclass_node(nodetype, data_fields, meta_fields)
    return cast(Any, nodetype)


def register_static(cls: Cls) -> Cls:
    """Class decorator: instances are nodes without children, so part of the structure and constant under `jit`.

    The class needs ``__eq__`` and ``__hash__`` that fit together.

    >>> @register_static
    ... class Mode(str): pass
    >>> flatten([Mode("train"), 1])
    ([1], PyTreeDef([CustomNode(Mode[train], []), *]))
    """
    _native.register_node(cls, lambda x: ((), x), lambda x, _: x, lambda x: ((), x))
    return cls


def static(**kwargs: Any) -> Any:
    """A dataclass field that `register_dataclass` takes as a meta field; arguments as for ``dataclasses.field``.

    >>> static(default=1).metadata["static"]
    True
    """
    metadata = {**(kwargs.pop("metadata", None) or {}), "static": True}
    return dataclasses.field(metadata=metadata, **kwargs)


class _HashableCallable:
    """The callable of a Partial of a Partial, as part of a treedef: stands for itself, equal only to itself."""

    def __init__(self, fun: Callable[..., Any]):
        self.fun = fun

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fun(*args, **kwargs)

    def __hash__(self) -> int:
        return hash(self.fun)

    def __eq__(self, other: object) -> bool:
        return self.fun == (other.fun if isinstance(other, _HashableCallable) else other)

    def __repr__(self) -> str:
        return f"_HashableCallable({self.fun!r})"


class Partial(functools.partial):
    """``functools.partial`` as a pytree: the bound arguments are children, the function is part of the structure.

    >>> add = Partial(lambda x, y: x + y, 1)
    >>> leaves(add), add(2)
    ([1], 3)
    """

    def __new__(cls, func: Callable[..., Any], *args: Any, **kw: Any):
        # functools.partial would merge a partial with what is bound here; a Partial's own bound values stay aux data.
        if isinstance(func, functools.partial):
            shim = _HashableCallable(func)
            out = super().__new__(cls, shim, *args, **kw)
            return out
        return super().__new__(cls, func, *args, **kw)


register_pytree_node(
    Partial,
    lambda p: ((p.args, p.keywords), p.func),
    lambda func, bound: Partial(func, *bound[0], **bound[1]),
)


# -- the long names, and those of the private helpers others build on

tree_flatten, tree_unflatten, tree_leaves, tree_structure = flatten, unflatten, leaves, structure
tree_map, tree_map_with_path, tree_flatten_with_path = map, map_with_path, flatten_with_path
tree_leaves_with_path, tree_reduce, tree_reduce_associative = leaves_with_path, reduce, reduce_associative
tree_all, tree_transpose, tree_broadcast = all, transpose, broadcast

__all__ = [
    "DictKey", "FlattenedIndexKey", "GetAttrKey", "KeyEntry", "KeyPath", "Partial", "PyTreeDef", "SequenceKey", "all",
    "all_leaves", "broadcast", "broadcast_prefix", "build_tree", "equality_errors", "flatten", "flatten_one_level",
    "flatten_one_level_with_keys", "flatten_with_path", "generate_key_paths", "is_tree_node", "keystr", "leaves",
    "leaves_with_path", "map", "map_with_path", "prefix_errors", "raise_mismatch", "reduce", "reduce_associative",
    "register_dataclass", "register_pytree_node", "register_pytree_node_class", "register_pytree_with_keys",
    "register_pytree_with_keys_class", "register_static", "static", "structure", "transpose", "tree_all",
    "tree_broadcast", "tree_flatten", "tree_flatten_with_path", "tree_leaves", "tree_leaves_with_path", "tree_map",
    "tree_map_with_path", "tree_reduce", "tree_reduce_associative", "tree_structure", "tree_transpose",
    "tree_unflatten", "treedef_children", "treedef_is_leaf", "treedef_is_strict_leaf", "treedef_tuple", "unflatten",
]  # fmt: skip
