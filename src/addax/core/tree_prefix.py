"""Where two pytrees differ, told by key path, and prefix trees spread over full ones.

A *prefix* of a tree has the same nodes from the root down, but may stop earlier: its leaves stand for whole subtrees.
`vmap`'s ``in_axes`` and `jit`'s shardings are prefixes of the arguments.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from addax import _native

KeyPath = tuple[Any, ...]


class Mismatch(NamedTuple):
    """One place where a full tree does not continue a prefix tree; calling it with the tree's name gives the error."""

    path: KeyPath
    headline: str
    details: str

    def __call__(self, name: str) -> ValueError:
        where = name + "".join(str(key) for key in self.path)
        return ValueError(
            f"pytree structure error: {self.headline} at key path\n    {where}\n{self.details.format(name=name)}"
        )


def _is_leaf_or_stop(x: Any, is_leaf: Callable[[Any], bool] | None) -> bool:
    return (is_leaf is not None and bool(is_leaf(x))) or _native.flatten_one_level(x) is None


def _metadata_diff(a: Any, b: Any) -> str:
    import difflib  # for this message only

    return "\n".join("    " + line for line in difflib.ndiff(str(a).splitlines(), str(b).splitlines()))


def _braces(text: str) -> str:
    """Text that will pass through ``str.format`` unchanged."""
    return text.replace("{", "{{").replace("}", "}}")


def _compare_nodes(path: KeyPath, prefix: Any, full: Any) -> Mismatch | None:
    """What is wrong if the node ``full`` stands where ``prefix`` has a node; None if they agree."""
    start = "At that key path, the prefix pytree {name} has a subtree of type"
    if type(prefix) is not type(full):
        return Mismatch(
            path,
            "different types",
            f"{start}\n    {_braces(str(type(prefix)))}\nbut at the same key path the full pytree has a subtree of "
            f"different type\n    {_braces(str(type(full)))}.",
        )
    kind = type(prefix)
    prefix_children, prefix_data = _native.flatten_one_level(prefix)
    full_children, full_data = _native.flatten_one_level(full)
    if kind in (tuple, list) and len(prefix_children) != len(full_children):
        return Mismatch(
            path,
            f"different lengths of {kind.__name__}",
            f"{start} {kind.__name__} of length {len(prefix_children)}, but the full pytree has a subtree of the same "
            f"type but of length {len(full_children)}.",
        )
    if len(prefix_children) != len(full_children):
        ours, theirs = _child_names(prefix), _child_names(full)
        only = [k for k in [*ours, *theirs] if (k in ours) != (k in theirs)]
        return Mismatch(
            path,
            "different numbers of pytree children",
            _braces_after(
                start,
                f"\n    {kind}\nwith {len(ours)} child keys\n    {' '.join(ours)}\nbut at the same key path the full "
                f"pytree has a subtree of the same type but with {len(theirs)} child keys\n    {' '.join(theirs)}\n"
                f"so the symmetric difference on key sets is\n    {' '.join(only)}",
            ),
        )
    if prefix_data != full_data:
        return Mismatch(
            path,
            "different pytree metadata",
            _braces_after(
                start,
                f"\n    {kind}\nwith metadata\n    {prefix_data}\nbut at the same key path the full pytree has a "
                f"subtree of the same type but with metadata\n    {full_data}\nso the diff in the metadata at these "
                f"pytree nodes is\n{_metadata_diff(prefix_data, full_data)}",
            ),
        )
    return None


def _braces_after(start: str, rest: str) -> str:
    return start + _braces(rest)


def _child_names(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [str(k) for k in _native.flatten_one_level(node)[1]]
    return [str(key) for key, _ in _native.flatten_one_level(node, True)[0]]


def _mismatches(prefix: Any, full: Any, is_leaf: Callable[[Any], bool] | None) -> Iterator[Mismatch]:
    stack: list[tuple[KeyPath, Any, Any]] = [((), prefix, full)]
    while stack:
        path, p, f = stack.pop()
        if _is_leaf_or_stop(p, is_leaf):
            continue
        found = _compare_nodes(path, p, f)
        if found is not None:
            yield found
            continue
        keyed, _ = _native.flatten_one_level(p, True)
        children, _ = _native.flatten_one_level(f)
        stack += [((*path, key), a, b) for (key, a), b in reversed(list(zip(keyed, children, strict=True)))]


def prefix_errors(prefix_tree: Any, full_tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Mismatch]:
    """Every place where ``full_tree`` does not continue ``prefix_tree``, in order; empty if it is a prefix.

    >>> [error] = prefix_errors((1, 2), (1, 2, 3))
    >>> print(error("in_axes"))
    pytree structure error: different lengths of tuple at key path
        in_axes
    At that key path, the prefix pytree in_axes has a subtree of type tuple of length 2, but the full pytree has a \
subtree of the same type but of length 3.
    """
    return list(_mismatches(prefix_tree, full_tree, is_leaf))


def raise_mismatch(name: str, prefix_tree: Any, full_tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> None:
    """Raise the error for the first place where ``full_tree`` does not continue ``prefix_tree``, if there is one."""
    for error in _mismatches(prefix_tree, full_tree, is_leaf):
        raise error(name)


def broadcast_prefix(prefix_tree: Any, full_tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of ``prefix_tree``, each as often as the subtree of ``full_tree`` in its place has leaves.

    Raises:
      ValueError: if ``prefix_tree`` is not a prefix of ``full_tree``, naming the key path.

    >>> broadcast_prefix((1, 2), ([3, 4], 5))
    [1, 1, 2]
    """
    leaves, treedef = _native.flatten(prefix_tree, is_leaf)
    try:
        subtrees = treedef.flatten_up_to(full_tree)
    except ValueError:
        raise_mismatch("broadcast_prefix prefix_tree", prefix_tree, full_tree, is_leaf)
        raise
    return [
        x
        for x, sub in zip(leaves, subtrees, strict=True)
        for x in itertools.repeat(x, _native.structure(sub).num_leaves)
    ]


def equality_errors(
    tree1: Any, tree2: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Iterator[tuple[KeyPath, str, str, str]]:
    """Where two trees have different structure: ``(path, what tree1 has, what tree2 has, explanation)``.

    >>> list(equality_errors((1, [2]), (1, 2)))[0][3]
    'their Python types differ'
    """
    stack: list[tuple[KeyPath, Any, Any]] = [((), tree1, tree2)]
    while stack:
        path, a, b = stack.pop()
        a_leaf, b_leaf = _is_leaf_or_stop(a, is_leaf), _is_leaf_or_stop(b, is_leaf)
        if a_leaf and b_leaf:
            continue
        if a_leaf or b_leaf or type(a) is not type(b):
            yield path, _describe(a, a_leaf), _describe(b, b_leaf), "their Python types differ"
            continue
        children_a, data_a = _native.flatten_one_level(a, True)
        children_b, data_b = _native.flatten_one_level(b)
        if len(children_a) != len(children_b):
            n, m = len(children_a), len(children_b)
            yield (
                path,
                f"{type(a).__name__} of length {n}",
                f"{type(b).__name__} of length {m}",
                "the lengths do not match",
            )
        elif data_a != data_b:
            yield (
                path,
                f"{type(a)} with pytree metadata {data_a}",
                f"{type(b)} with pytree metadata {data_b}",
                "the pytree node metadata does not match",
            )
        else:
            stack += [((*path, key), x, y) for (key, x), y in reversed(list(zip(children_a, children_b, strict=True)))]


def _describe(x: Any, leaf: bool) -> str:
    return "a pytree leaf" if leaf else f"a {type(x).__name__} with {_native.structure(x).num_leaves} leaves"


_native.set_mismatch_hook(lambda prefix, full, is_leaf: raise_mismatch("tree_map tree", prefix, full, is_leaf))
