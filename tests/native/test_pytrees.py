"""Pytrees, with JAX as the oracle: leaves, structure, printing, key paths, errors."""

from __future__ import annotations

import dataclasses
import doctest
import pickle
from collections import OrderedDict, defaultdict, deque, namedtuple

import jax
import pytest
from hypothesis import given, settings, strategies as st

import addax.tree
import addax.tree_util as ours
from addax.core import tree, tree_prefix

theirs = jax.tree_util

Point = namedtuple("Point", "x y")


class SubPoint(Point):
    pass


class SubTuple(tuple):
    pass


class SubDict(dict):
    pass


class Both:
    """Registered with both libraries in the same way."""

    def __init__(self, a, b, aux="aux"):
        self.a, self.b, self.aux = a, b, aux

    def __eq__(self, other):
        return isinstance(other, Both) and (self.a, self.b, self.aux) == (other.a, other.b, other.aux)

    def __repr__(self):
        return f"Both({self.a}, {self.b}, {self.aux})"


class Keyed(Both):
    pass


class Static:
    def __init__(self, v):
        self.v = v

    def __eq__(self, other):
        return isinstance(other, Static) and self.v == other.v

    def __hash__(self):
        return hash(self.v)

    def __repr__(self):
        return f"Static({self.v})"


@dataclasses.dataclass
class Data:
    w: object
    b: object = 0
    name: str = dataclasses.field(default="n", metadata={"static": True})


for lib in (ours, theirs):
    lib.register_pytree_node(Both, lambda x: ((x.a, x.b), x.aux), lambda aux, c: Both(*c, aux))
    lib.register_pytree_with_keys(
        Keyed,
        lambda x, lib=lib: (((lib.GetAttrKey("a"), x.a), (lib.DictKey("b"), x.b)), x.aux),
        lambda aux, c: Keyed(*c, aux),
    )
    lib.register_dataclass(Data)
    lib.register_static(Static)

TREES = [
    None, 1, (), [], {}, (1, None), [1, [2]], {"b": 1, "a": (2,)}, Point(1, [2]), SubPoint(1, 2), SubTuple((1, 2)),
    SubDict(a=1), OrderedDict([("b", 1), ("a", 2)]), defaultdict(list, {"b": 1, "a": 2}), deque([1]), {1: 2, 3: {}},
    (Point,), "leaf", [b"x", 1.5, "s"], {"a": {}, "b": [(), None, {"c": Point((1,), 2)}]}, Both(1, [2]),
    Both(None, (1,), ("x", 1)),
    Keyed({"k": 1}, 2), Data(1), Data([1], {"z": 2}, "other"), [Static(1), 2], {(1, 2): 3, (1, 1): 4},
    {"%s": 1, "{}": 2},
    {f"k{i}": i for i in range(100)}, [[[[[1]]]]],
]  # fmt: skip


@pytest.mark.parametrize("x", TREES, ids=lambda x: repr(x)[:30])
def test_flatten_agrees_with_jax(x):
    leaves, treedef = ours.tree_flatten(x)
    their_leaves, their_def = theirs.tree_flatten(x)
    assert leaves == their_leaves
    assert repr(treedef) == repr(their_def)
    assert (treedef.num_leaves, treedef.num_nodes) == (their_def.num_leaves, their_def.num_nodes)
    assert treedef.node_data() == their_def.node_data()
    assert [repr(c) for c in treedef.children()] == [repr(c) for c in their_def.children()]
    rebuilt = treedef.unflatten(leaves)
    assert type(rebuilt) is type(x) and (rebuilt == x or isinstance(x, Data))
    assert ours.tree_leaves(x) == leaves and ours.tree_structure(x) == treedef
    assert hash(ours.tree_structure(x)) == hash(treedef)
    inner, their_inner = ours.tree_structure([1, (2,)]), theirs.tree_structure([1, (2,)])
    assert repr(treedef.compose(inner)) == repr(their_def.compose(their_inner))
    pairs, with_path = ours.tree_flatten_with_path(x)
    assert with_path == treedef
    assert repr(pairs) == repr(theirs.tree_flatten_with_path(x)[0])
    for (path, _), (their_path, _) in zip(pairs, theirs.tree_leaves_with_path(x), strict=True):
        assert ours.keystr(path) == theirs.keystr(their_path)
        assert ours.keystr(path, simple=True, separator="/") == theirs.keystr(their_path, simple=True, separator="/")
    assert pickle.loads(pickle.dumps(treedef)) == treedef
    again = ours.PyTreeDef.from_node_data_and_children(None, treedef.node_data(), treedef.children())
    assert again == treedef
    assert ours.all_leaves([x]) == theirs.all_leaves([x])


def trees(leaves):
    keys = st.one_of(st.text("abc", max_size=2), st.integers(0, 3))
    return st.recursive(
        st.one_of(leaves, st.none()),
        lambda sub: st.one_of(
            st.lists(sub, max_size=3),
            st.lists(sub, max_size=3).map(tuple),
            st.dictionaries(st.text("abc", max_size=2), sub, max_size=3),
            st.dictionaries(keys, sub, max_size=2).map(OrderedDict),
            st.builds(Point, sub, sub),
            st.builds(Both, sub, sub, st.integers(0, 1)),
            st.builds(Data, sub, sub, st.text("ab", max_size=1)),
        ),
        max_leaves=12,
    )


@settings(max_examples=150, deadline=None)
@given(trees(st.integers(0, 9)), trees(st.integers(0, 9)))
def test_random_trees_agree_with_jax(x, y):
    leaves, treedef = ours.tree_flatten(x)
    their_leaves, their_def = theirs.tree_flatten(x)
    assert leaves == their_leaves and repr(treedef) == repr(their_def)
    assert repr(ours.tree_flatten_with_path(x)[0]) == repr(theirs.tree_flatten_with_path(x)[0])
    assert repr(ours.tree_map(lambda v: v + 1, x)) == repr(theirs.tree_map(lambda v: v + 1, x))
    assert (ours.tree_structure(y) == treedef) == (theirs.tree_structure(y) == their_def)
    assert outcome(lambda: repr(treedef.flatten_up_to(y))) == outcome(lambda: repr(their_def.flatten_up_to(y)))
    assert outcome(lambda: repr(ours.tree_map(lambda a, b: b, x, y))) == outcome(
        lambda: repr(theirs.tree_map(lambda a, b: b, x, y))
    )


def outcome(f):
    """A result, or the kind of failure and its first line."""
    try:
        return f()
    except (ValueError, TypeError) as e:
        text = str(e).splitlines()
        return type(e), text[0] if text[0].startswith("pytree structure error") else None


MISMATCHES = [
    ([1, 2], [1]), ({"a": 1}, {"b": 1}), ({"a": [1, (2, 3)]}, {"a": [1, (2,)]}), ((1,), [1]), (None, [1]), ([1], None),
    (Point(1, 2), (1, 2)), (OrderedDict(a=1), {"a": 1}), (OrderedDict(a=1, b=2), OrderedDict(b=1, a=2)),
    (defaultdict(int, a=1), defaultdict(list, a=1)), (Data(1, 2, "a"), Data(1, 2, "b")), (Both(1, 2), Data(1)),
    (Both(1, 2), Both(1, 2, "other")), ({"a": (1, 2)}, {"a": (1, 2), "c": 4}), ({"a": 1, "b": 2}, {"a": 1}),
    ((1, (2, 3)), (1, 5)),
]  # fmt: skip


@pytest.mark.parametrize("prefix, full", MISMATCHES, ids=lambda x: repr(x)[:25])
def test_mismatches_are_told_as_jax_tells_them(prefix, full):
    with pytest.raises(ValueError) as our_error:
        ours.tree_map(lambda *xs: xs, prefix, full)
    with pytest.raises(ValueError) as their_error:
        theirs.tree_map(lambda *xs: xs, prefix, full)
    assert str(our_error.value).splitlines()[:3] == str(their_error.value).splitlines()[:3]


def test_prefix_errors_name_the_key_path():
    [error] = tree_prefix.prefix_errors({"a": (1, [2]), "b": 3}, {"a": (1, (2,)), "b": 4})
    assert str(error("in_axes")).startswith(
        "pytree structure error: different types at key path\n    in_axes['a'][1]\nAt that key path, the prefix pytree "
        "in_axes has a subtree of type\n    <class 'list'>"
    )
    assert tree_prefix.prefix_errors((1, 2), ((3, 4), 5)) == []
    assert tree_prefix.broadcast_prefix((1, 2), ((3, 4), 5)) == [1, 1, 2]
    with pytest.raises(ValueError, match="different lengths of tuple"):
        tree_prefix.broadcast_prefix((1, 2), ((3, 4),))
    assert [e[3] for e in tree_prefix.equality_errors((1, {"a": 2}), ((1,), {"a": [2]}))] == [
        "their Python types differ"
    ] * 2


ERRORS = [
    (lambda u: u.tree_flatten({1: 1, "a": 2}), ValueError, "Comparator raised exception while sorting"),
    (
        lambda u: u.tree_unflatten(u.tree_structure((1, 2)), [1]),
        ValueError,
        "Too few leaves for PyTreeDef; expected 2, got 1",
    ),
    (
        lambda u: u.tree_unflatten(u.tree_structure((1, 2)), [1, 2, 3]),
        ValueError,
        "Too many leaves for PyTreeDef; expected 2",
    ),
    (lambda u: u.tree_flatten([1], is_leaf=lambda x: 3), ValueError, "non-boolean value 3"),
    (lambda u: u.tree_flatten([1], is_leaf=lambda x: 1 / 0), ZeroDivisionError, "division by zero"),
    (lambda u: u.register_pytree_node(Both, repr, repr), ValueError, "Duplicate custom PyTreeDef type registration"),
    (lambda u: u.register_pytree_node(dict, repr, repr), ValueError, "Duplicate custom PyTreeDef type registration"),
    (lambda u: u.register_dataclass(Data), ValueError, "Duplicate custom dataclass PyTreeDef type registration"),
    (lambda u: u.register_dataclass(Data, ["w"], ["b"]), ValueError, "Missing fields: {'name'}"),
    (lambda u: u.register_dataclass(Data, ["w", "q"], ["b", "name"]), ValueError, "Unexpected fields: {'q'}"),
    (lambda u: u.register_dataclass(Data, ["w"]), TypeError, "must both be specified"),
    (lambda u: u.register_dataclass(int), TypeError, "required when nodetype is not a dataclass"),
    (lambda u: u.flatten_one_level(1), ValueError, "can't tree-flatten type: <class 'int'>"),
    (lambda u: u.tree_reduce(lambda x, y: x, []), TypeError, "empty iterable with no initial value"),
    (lambda u: u.tree_reduce_associative(max, []), TypeError, "identity"),
    (lambda u: u.tree_structure(1) < u.tree_structure(1), TypeError, "not supported between instances"),
    (
        lambda u: u.tree_transpose(u.tree_structure([0]), u.tree_structure((0, 0)), [(1, 2, 3)]),
        TypeError,
        "Mismatch",
    ),
]


@pytest.mark.parametrize("f, error, text", ERRORS, ids=lambda x: x if isinstance(x, str) else "")
def test_errors_agree_with_jax(f, error, text):
    for library in (theirs, ours):
        with pytest.raises(error) as e:
            f(library)
        assert text in str(e.value)


def bad_registration(library, result):
    cls = type("Bad", (), {})
    library.register_pytree_node(cls, lambda x: result, lambda aux, c: c)
    return library.tree_flatten(cls())


def test_flatten_functions_are_checked():
    for library in (theirs, ours):
        with pytest.raises(ValueError, match=r"should return a \(children, aux_data\) tuple"):
            bad_registration(library, 5)
        assert bad_registration(library, (iter([1, 2]), None))[0] == [1, 2]


def test_flatten_with_keys_is_checked_on_every_way_in():
    children: list = [("a", 1), ("b", 2)]
    cls = type("Keyed", (), {})
    ours.register_pytree_with_keys(cls, lambda x: (children, None), lambda aux, c: cls())
    treedef = ours.tree_structure(cls())
    assert treedef.flatten_up_to(cls()) == [1, 2]
    children[1] = 2
    for use in (ours.tree_leaves, ours.tree_leaves_with_path, treedef.flatten_up_to):
        with pytest.raises(ValueError, match=r"must return \(\(key, child\), \.\.\.\) pairs"):
            use(cls())


def test_is_leaf_sees_paths_when_asked():
    kwargs = {"is_leaf": lambda path, x: len(path) == 1, "is_leaf_takes_path": True}
    assert repr(ours.tree_flatten_with_path([1, [2]], **kwargs)) == repr(
        theirs.tree_flatten_with_path([1, [2]], **kwargs)
    )
    assert ours.tree_map(lambda x: x, [None, 1], is_leaf=lambda x: x is None) == [None, 1]


def test_functions_over_trees():
    assert ours.tree_map(lambda x, y: (x, y), (1, 2), ((3, 4), 5)) == ((1, (3, 4)), (2, 5))
    assert addax.tree.map_with_path(lambda p, x, y: (ours.keystr(p), x, y), {"a": 1}, {"a": [2]}) == {
        "a": ("['a']", 1, [2])
    }
    for n in range(1, 20):
        xs = [f"x{i}" for i in range(n)]
        join = lambda a, b: f"({a}{b})"  # noqa: E731
        assert ours.tree_reduce_associative(join, xs) == theirs.tree_reduce_associative(join, xs)
    assert ours.tree_transpose(ours.tree_structure([0, 0]), None, [(1, 2), (3, 4)]) == ([1, 3], [2, 4])
    assert ours.tree_broadcast((1, 2), ((3, 4), 5)) == ((1, 1), 2)
    assert ours.tree_all([1, (2, 0)]) is False and ours.tree_all([]) is True
    assert ours.build_tree(ours.tree_structure({"a": 1, "b": [2]}), [5, [6]]) == {"a": 5, "b": [6]}
    d = ours.tree_structure((1, [2, {"a": 3}]))
    their_d = theirs.tree_structure((1, [2, {"a": 3}]))
    walk = (lambda ys, data: (ys, data), lambda x: x * 10, [1, 2, 3])
    assert d.walk(*walk) == their_d.walk(*walk)
    assert ours.flatten_one_level({"a": 1}) == ((1,), ("a",)) == theirs.flatten_one_level({"a": 1})


def test_partial_is_a_tree():
    for u in (ours, theirs):
        p = u.Partial(max, 1, key=2)
        assert u.tree_leaves(p) == [1, 2] and p.func is max
        assert repr(u.tree_structure(p)).startswith(
            "PyTreeDef(CustomNode(Partial[<built-in function max>], [(*,), {'key': *}]"
        )
        assert u.tree_map(lambda x: x + 1, u.Partial(lambda x, y: x - y, 10))(1) == 10
        nested = u.Partial(u.Partial(lambda x, y: (x, y), 3), 1)
        assert u.tree_leaves(nested) == [1] and nested() == (3, 1)
        assert u.tree_map(lambda x: x * 2, nested)() == (3, 2)


def test_key_entries():
    for cls, field, value in [
        ("DictKey", "key", "a"), ("SequenceKey", "idx", 1), ("GetAttrKey", "name", "b"), ("FlattenedIndexKey", "key", 3)
    ]:  # fmt: skip
        key, their_key = getattr(ours, cls)(value), getattr(theirs, cls)(value)
        assert repr(key) == repr(their_key) and str(key) == str(their_key)
        assert getattr(key, field) == value and key.__match_args__ == (field,)
        assert key == getattr(ours, cls)(value) and hash(key) == hash(getattr(ours, cls)(value))
        assert pickle.loads(pickle.dumps(key)) == key
        assert getattr(ours, cls)(**{field: value}) == key
    assert ours.DictKey(1) != ours.SequenceKey(1)


def test_depth_costs_memory_not_stack():
    x = 1
    for i in range(20000):
        x = [x] if i % 2 else {"a": x}
    treedef = ours.tree_structure(x)
    assert treedef.num_nodes == 20001
    assert treedef == ours.tree_structure(x) and hash(treedef) == hash(ours.tree_structure(x))
    assert len(repr(treedef)) > 20000 * 4
    assert ours.tree_leaves(ours.tree_map(lambda a, b: a + b, x, x)) == [2]
    assert len(ours.tree_flatten_with_path(x)[0][0][0]) == 20000
    cycle: list = []
    cycle.append(cycle)
    with pytest.raises(RecursionError, match="contain itself"):
        ours.tree_leaves(cycle)


def test_unhashable_aux_data_compare_but_hash_coarsely():
    a, b, c = (ours.tree_structure(Both(1, 2, aux)) for aux in ([1], [1], [2]))
    assert a == b and a != c and hash(a) == hash(b)


def test_dicts_of_equal_but_not_identical_keys():
    key = "".join(["a", "b"])
    assert ours.tree_structure({key: 1}) == ours.tree_structure({"ab": 1})
    assert ours.tree_map(lambda x, y: x + y, {key: 1, "c": 2}, {"c": 20, "ab": 10}) == {"ab": 11, "c": 22}


def test_trees_changed_while_flattened_do_not_crash():
    victim = [1, 2, 3]
    with pytest.raises(RuntimeError, match="changed size"):
        ours.tree_flatten(victim, is_leaf=lambda x: x == 1 and bool(victim.clear()))
    shrinks = {"a": 1, "b": 2}
    with pytest.raises(KeyError):
        ours.tree_flatten(shrinks, is_leaf=lambda x: x == 1 and shrinks.pop("b") is None)


@pytest.mark.parametrize("module", [tree, tree_prefix], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_namespaces_have_jaxs_names():
    for ns, their_ns in ((ours, theirs), (addax.tree, jax.tree)):
        public = {n for n in dir(their_ns) if not n.startswith("_")} - {"default_registry"}
        assert public <= set(dir(ns)), public - set(dir(ns))


def test_node_data_of_another_form_is_refused():
    # Data that has not come from node_data(), such as that of a pickle whose class has changed.
    leaf = ours.tree_structure(0)
    for cls, data, form in [
        (Data, None, "a tuple of its meta fields"),
        (Data, ("a", "b"), "a tuple of its meta fields"),
        (OrderedDict, [1], "a tuple of keys"),
        (defaultdict, (1, 2, 3), "a pair"),
    ]:
        with pytest.raises(TypeError, match=f"{cls.__name__}'> must be {form}"):
            ours.PyTreeDef.from_node_data_and_children(None, (cls, data), [leaf, leaf])
