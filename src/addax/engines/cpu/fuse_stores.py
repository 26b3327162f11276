"""What the groups that `fuse` made write to memory.

A value is written if a `Call`, a result of the program or another group reads it; a cheap one is recomputed there
instead.
"""

from __future__ import annotations

from addax.core.jaxpr import Eqn, Literal, Var
from addax.engines.cpu.fuse_graph import Graph
from addax.engines.cpu.groups import Axes, Call, Group, broadcast_axes, walked_shape
from addax.engines.cpu.lower_elementwise import op_cost
from addax.engines.cpu.lower_indexed import READABLE as INDEXED_READS
from addax.engines.cpu.views import Iota, Ref

CHEAP_CLONE = 4  # cost of a value that is recomputed rather than stored and loaded


def choose_stores(graph: Graph) -> None:
    """Decide which values groups write to memory, and recompute cheap ones where they are read instead."""
    stored: set[Var] = set()
    for x in graph.jaxpr.outvars:
        base = graph.ref(x).base
        if type(base) is not Literal and type(base) is not Iota:
            stored.add(base)
    crossing = []
    for node in graph.nodes:
        if type(node) is Call:
            for r in node.refs:
                stored.add(r.base)
        elif type(node) is Group:
            for e in node.members:
                for r in node.refs[e.outvars[0]]:
                    o = graph.owner.get(r.base)
                    if o is not None and o is not node:
                        if type(o) is Call:
                            stored.add(r.base)
                        else:
                            crossing.append((o.order[r.base], e, r, o, node))
    crossing.sort(key=lambda c: c[0])
    for _, e, r, source, user in crossing:
        if r.base not in stored and not clone(graph, e, r, source, user, stored):
            stored.add(r.base)
    for v in stored:
        group = graph.owner.get(v)
        if type(group) is Group:
            store(graph, group, v)


def clone(graph: Graph, user_eqn: Eqn, r: Ref, source: Group, user: Group, stored: set) -> bool:
    """Recompute a cheap member of one group inside another that reads it."""
    v = r.base
    if v in user.axes:
        return True  # already cloned, for all readers in the group
    if v in source.operand_axes or not reads_alike(user, v, broadcast_axes(user, user_eqn, v)):
        return False
    eqn = next(e for e in source.members if e.outvars[0] is v)
    if eqn.primitive.name in INDEXED_READS or op_cost(eqn) > CHEAP_CLONE:
        return False
    refs = source.refs[v]
    for o in refs:
        if type(o.base) is Var and o.base in graph.owner and o.base not in stored:
            return False
        if o.base in user.axes:
            return False  # itself a clone there, for readers that may walk it otherwise
    # the clone reads what its operands' groups store: those must not wait for the user
    me = 1 << user.id
    if any((o := graph.owner.get(q.base)) is not None and (o is user or graph.deps[o.id] & me) for q in refs):
        return False
    axes = broadcast_axes(user, user_eqn, v)
    at = next(i for i, e in enumerate(user.members) if e is user_eqn)
    first = min(
        [i for i, e in enumerate(user.members) if any(q.base is v for q in user.refs[e.outvars[0]])], default=at
    )
    user.members.insert(min(at, first), eqn)
    user.axes[v] = axes
    user.refs[v] = refs
    user.order[v] = user.order[user_eqn.outvars[0]]
    user.value_cost[v] = op_cost(eqn)
    for q in refs:
        o = graph.owner.get(q.base)
        if o is not None:
            graph.add_deps(user, 1 << o.id | graph.deps[o.id])
    return True


def reads_alike(user: Group, v: Var, axes: Axes) -> bool:
    """Whether every member of a group that reads ``v`` reads all of it, along the same ``axes``, in its own order.

    Only then one value per iteration serves them: not for ``v + v.T``, nor at computed positions.
    """
    for e in user.members:
        refs = user.refs[e.outvars[0]]
        anywhere = 0
        if e.primitive.name in INDEXED_READS:
            anywhere = 2 if e.primitive.name == "gather" else 1
        for i, r in enumerate(refs):
            if r.base is not v:
                continue
            if i < anywhere or r.shape != v.aval.shape or not r.is_whole():
                return False
            if (r.shape and r.shape != walked_shape(e)) or broadcast_axes(user, e, v) != axes:
                return False
    return True


def store(graph: Graph, group: Group, v: Var) -> None:
    """Have the group write a member to memory, or, where its nest is too large for that, a group of its own."""
    atoms = group.atoms(group.axes[v])
    if atoms == group.space() or (group.reduced is not None and atoms == group.kept):
        group.stored.append(v)
        return
    alone = Group()
    alone.id = len(graph.nodes)
    graph.nodes.append(alone)
    graph.deps.append(graph.deps[group.id])
    needed = {v}
    for e in reversed(group.members):
        if e.outvars[0] in needed:
            needed.update(r.base for r in group.refs[e.outvars[0]] if r.base in group.axes)
    for e in group.members:
        out = e.outvars[0]
        if out in needed:
            alone.members.append(e)
            alone.axes[out] = group.axes[out]
            alone.refs[out] = group.refs[out]
            alone.value_cost[out] = group.value_cost[out]
            alone.order[out] = group.order[out]
    used = {a for x in alone.axes.values() for d in x for a in d}
    alone.sizes = {a: n for a, n in group.sizes.items() if a in used}
    alone.stored.append(v)
    graph.owner[v] = alone
