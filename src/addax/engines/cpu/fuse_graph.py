"""The nodes of a program while `fuse` makes them: who computes what, and who waits for whom.

Dependencies are bit masks, one per node with a bit for every node it waits for, so that whether a merge would close a
cycle is one ``and``.
"""

from __future__ import annotations

from collections.abc import Sequence

from addax.core.jaxpr import Eqn, Jaxpr, Literal, Var
from addax.engines.cpu import views
from addax.engines.cpu.groups import Call, Node
from addax.engines.cpu.views import Ref

WINDOW = 64  # a group is closed to new members once this many younger nodes exist: keeps fusing linear


class Graph:
    def __init__(self, jaxpr: Jaxpr):
        self.jaxpr = jaxpr
        self.views: dict[Var, Ref] = {}
        self.owner: dict[Var, Node] = {}
        self.nodes: list[Node | None] = []
        self.deps: list[int] = []
        self.last_effect: Node | None = None

    def ref(self, x) -> Ref:
        """How to read an operand."""
        if type(x) is Literal:
            return Ref(x, 0, (), ())
        found = self.views.get(x)
        return views.whole(x) if found is None else found

    def add_node(self, node: Node) -> None:
        node.id = len(self.nodes)
        self.nodes.append(node)
        self.deps.append(0)

    def add_call(self, eqn: Eqn, refs: list[Ref]) -> None:
        call = Call(eqn, refs)
        self.add_node(call)
        for v in eqn.outvars:
            self.owner[v] = call
        self.depend(call, refs)
        if eqn.effects:
            if self.last_effect is not None:
                self.add_deps(call, 1 << self.last_effect.id | self.deps[self.last_effect.id])
            self.last_effect = call

    def depend(self, node: Node, refs: Sequence[Ref]) -> None:
        mask = 0
        for r in refs:
            o = self.owner.get(r.base)
            if o is not None and o is not node:
                mask |= 1 << o.id | self.deps[o.id]
        if mask & ~self.deps[node.id]:
            self.add_deps(node, mask)

    def add_deps(self, node: Node, mask: int) -> None:
        deps, me = self.deps, 1 << node.id
        deps[node.id] |= mask
        for i in range(max(0, node.id - 2 * WINDOW), len(deps)):
            if deps[i] & me:
                deps[i] |= mask

    def in_order(self) -> list[Node]:
        """The nodes that have something to do, each after those whose results it reads."""
        done: set[int] = set()
        out: list[Node] = []
        effects: Node | None = None
        direct: dict[int, list[Node]] = {}
        for node in self.nodes:
            if node is None:
                continue
            if type(node) is Call:
                refs = node.refs
            else:
                if not node.stored:
                    continue
                refs = [r for e in node.members for r in node.refs[e.outvars[0]] if r.base not in node.axes]
            needs = []
            for r in refs:
                o = self.owner.get(r.base)
                if o is not None and o is not node:
                    needs.append(o)
            if type(node) is Call and node.eqn.effects:
                if effects is not None:
                    needs.append(effects)
                effects = node
            direct[node.id] = needs
        for start in self.nodes:
            if start is None or start.id not in direct or start.id in done:
                continue
            stack = [(start, iter(direct[start.id]))]
            active = {start.id}
            while stack:
                node, needs = stack[-1]
                for o in needs:
                    if o.id not in done:
                        if o.id in active:
                            raise AssertionError("fuse: the groups form a cycle")
                        active.add(o.id)
                        stack.append((o, iter(direct[o.id])))
                        break
                else:
                    stack.pop()
                    done.add(node.id)
                    out.append(node)
        return out
