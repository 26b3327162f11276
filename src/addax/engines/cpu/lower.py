"""From fused nodes to steps: the walk over a program and the rules of the primitives that are nodes of their own.

`Lowering` owns what is common to the whole program (constants, buffers); `Block` lowers one jaxpr, the program itself or
the body of a loop. Rules stand in the ``lower_*`` files, registered in `RULES` by primitive name; a primitive without a
rule becomes a host step that runs its NumPy definition; one without a definition is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import _native
from addax.core.avals import ShapedArray
from addax.core.jaxpr import Eqn, Jaxpr, Literal, Var
from addax.core.primitive import Refusal, registry
from addax.engines.cpu import views
from addax.engines.cpu.buffers import Buffer, Copy, Fill, Host, ahead_of_time
from addax.engines.cpu.fuse import Fuser
from addax.engines.cpu.groups import Call, Group, fresh_axes
from addax.engines.cpu.lower_nest import Place, build_kernels
from addax.engines.cpu.lower_windows import plan_windows
from addax.engines.cpu.views import Ref

# Primitives whose result is their first operand with some elements replaced.
UPDATES = frozenset(
    "dynamic_update_slice scatter scatter-add scatter-sub scatter-mul scatter-min scatter-max scatter-apply".split()
)

# Primitives whose result lies in the memory of their operand.
ALIASES = frozenset({"bitcast_convert_type", "random_wrap", "random_unwrap"})

RULES: dict[str, Callable[[Block, Call], None]] = {}


def rule(*names: str):
    """Register ``f(block, call)`` as the lowering of primitives."""

    def register(f):
        for name in names:
            RULES[name] = f
        return f

    return register


def storage(aval) -> np.dtype:
    """The NumPy dtype of a type in memory: keys are 64-bit words."""
    return aval.dtype if isinstance(aval.dtype, np.dtype) else np.dtype(np.uint64)


def storage_aval(aval) -> ShapedArray:
    return ShapedArray(aval.shape, storage(aval))


def nbytes(aval) -> int:
    return aval.size * aval.dtype.itemsize


class Lowering:
    """One program being lowered."""

    def __init__(self):
        self.consts: list = []
        self._const_buffers: dict[Any, Buffer] = {}
        self.host_steps: list[str] = []

    def const(self, value, aval) -> Buffer:
        """The buffer of a constant array; equal scalars share one."""
        key: Any = id(value)
        if not aval.shape and not isinstance(value, _native.Array):
            key = (str(storage(aval)), np.asarray(value, storage(aval)).tobytes())
        found = self._const_buffers.get(key)
        if found is None:
            array = value
            if not isinstance(value, _native.Array):
                array = _native.array_from_numpy(np.asarray(value, storage(aval)), aval)
            found = self._const_buffers[key] = Buffer("const", nbytes(aval), len(self.consts))
            self.consts.append(array)
        return found


class Block:
    """One jaxpr on its way to steps.

    ``env`` maps variables that lie in memory to ``(buffer, offset in elements)``, row-major. ``destinations`` says where
    given variables are to be written. ``owned``: input buffers that may be overwritten once they are not read any more.
    """

    def __init__(
        self, lowering: Lowering, jaxpr: Jaxpr, env: dict[Var, tuple[Buffer, int]], owned: frozenset = frozenset()
    ):
        self.lowering, self.jaxpr, self.env = lowering, jaxpr, env
        self.steps: list = []
        self.fuser = Fuser(jaxpr)
        self.nodes = self.fuser.run()
        self.owned = set(owned)
        self.destinations: dict[Var, tuple[Buffer, int, tuple[int, ...]]] = {}
        self.last_reader: dict[Var, int] = {}
        self.result_bases = set()
        self.aliased: set[Var] = set()  # variables whose memory other variables may share
        for i, node in enumerate(self.nodes):
            if type(node) is Call and node.eqn.primitive.name in ALIASES:
                self.aliased.update([r.base for r in node.refs])
            refs = node.refs if type(node) is Call else [r for e in node.members for r in node.refs[e.outvars[0]]]
            for r in refs:
                if type(r.base) is Var:
                    self.last_reader[r.base] = i
        for x in jaxpr.outvars:
            self.result_bases.add(self.fuser.ref(x).base)
        self.windows: dict[Var, Place] = {}
        self.position = 0
        self.unchanged: dict[
            Var, tuple[Block, Ref]
        ] = {}  # in a loop's body: what each turn reads, as seen from outside
        self.copied_outside: dict[tuple, Ref] = {}

    def aim(self, results: list, places: list[Buffer | None]) -> None:
        """Have results written to given places where a step computes them there as a whole, or updates them in place."""
        arguments = set(self.jaxpr.invars) | set(self.jaxpr.constvars)
        for x, place in zip(results, places, strict=True):
            if place is None or type(x) is Literal:
                continue
            r = self.fuser.ref(x)
            while type(r.base) is Var and r.is_whole() and nbytes(r.base.aval) == place.nbytes:
                base = r.base
                if base in arguments or base in self.destinations:
                    break
                self.destinations[base] = (place, 0, views.contiguous_strides(base.aval.shape))
                node = self.fuser.owner.get(base)
                if type(node) is not Call or node.eqn.primitive.name not in UPDATES:
                    break
                r = node.refs[0]  # the array that is updated: make it in the same place, if nobody else wants it later
                if any(other.base is r.base for other in node.refs[1:]):  # x.at[i].add(x) reads what it would overwrite
                    break
                if (
                    r.base in self.result_bases
                    or r.base in self.aliased
                    or self.nodes[self.last_reader.get(r.base, -1)] is not node
                ):
                    break

    def run(self) -> None:
        plan_windows(self)
        for position, node in enumerate(self.nodes):
            self.position = position
            if type(node) is Group:
                self.group(node)
                continue
            eqn = node.eqn
            if eqn.outvars and not eqn.effects and not any(nbytes(v.aval) for v in eqn.outvars):
                for v in eqn.outvars:  # no elements, or such as hold nothing (float0): nothing to compute
                    self.destination(v)
                continue
            name = eqn.primitive.name
            found = RULES.get(name)
            if found is None or found(self, node) is NotImplemented:
                host_step(self, node)

    # ---- memory

    def new_buffer(self, size: int) -> Buffer:
        return Buffer("arena", size)

    def locate(self, v) -> tuple[Buffer, int]:
        """Where a variable (or a scalar literal) lies."""
        if type(v) is Literal:
            return self.lowering.const(v.val, v.aval), 0
        return self.env[v]

    def destination(self, v: Var) -> tuple[Buffer, int]:
        """Where to write a result, row-major from the given offset on."""
        found = self.env.get(v)
        if found is None:
            place = self.destinations.get(v)
            if place is not None and views.is_contiguous(v.aval.shape, place[2]):
                found = place[0], place[1]
            else:
                found = self.new_buffer(nbytes(v.aval)), 0
            self.env[v] = found
        return found

    def place(self, v: Var) -> Place:
        """Where a group is to store a member."""
        window = self.windows.get(v)
        if window is not None:
            return window
        buffer, offset = self.destination(v)
        return buffer, offset, views.contiguous_strides(v.aval.shape)

    def dies(self, v) -> bool:
        """Whether this node is the last to read ``v``, and ``v`` is not a result."""
        return self.last_reader.get(v, -1) <= self.position and v not in self.result_bases

    def may_overwrite(self, v) -> bool:
        """Whether this node may turn the memory of ``v``, which it reads, into that of its result."""
        if type(v) is not Var or not self.dies(v):
            return False
        buffer, offset = self.env[v]
        whole = offset == 0 and buffer.nbytes == nbytes(v.aval) and buffer.parent is None
        if not whole:
            return False
        sharing = [w for w, (b, _) in self.env.items() if b is buffer and w is not v]
        if any(not self.dies(w) or w in self.destinations for w in sharing):
            return False
        return buffer in self.owned or (buffer.kind in ("arena", "out") and v in self.fuser.owner)

    # ---- nodes

    def group(self, group: Group) -> None:
        simple = self.as_copy(group)
        if simple:
            return
        places = {v: self.place(v) for v in group.stored}
        self.steps += build_kernels(group, self.locate, places, self.new_buffer)

    def as_copy(self, group: Group) -> bool:
        """A group that only moves elements goes to the C++ copy kernels, which have tiles for transposes."""
        if len(group.members) != 1 or group.members[0].primitive.name not in ("copy", "copy_p"):
            return False
        out = group.members[0].outvars[0]
        r = group.refs[out][0]
        if type(r.base) is not Var or out.aval.size < 256 or out in self.windows:
            return False
        buffer, offset = self.destination(out)
        self.copy_view(r, buffer, offset, views.contiguous_strides(out.aval.shape))
        return True

    def copy_view(self, r: Ref, dst: Buffer, offset: int, strides) -> None:
        """Copy a view to a strided place."""
        src, start = self.locate(r.base)
        self.copy_strided(src, start + r.offset, r.strides, dst, offset, strides, r.shape, r.base.aval.dtype.itemsize)

    def copy_strided(self, src, src_offset, src_strides, dst, dst_offset, dst_strides, shape, itemsize) -> None:
        if not itemsize or any(n == 0 for n in shape):
            return
        size = math.prod(shape)
        dense = views.is_contiguous(tuple(shape), tuple(src_strides)) and views.is_contiguous(
            tuple(shape), tuple(dst_strides)
        )
        if dense and not src_offset and not dst_offset:
            self.steps.append(Copy(dst, src, size * itemsize))
            return
        table = [len(shape), src_offset, dst_offset, *shape, *src_strides, *dst_strides]
        self.native(f"copy_{itemsize}", [src, dst], {dst}, table, size * itemsize * 0.1)

    def native(self, symbol: str, args: list[Buffer], writes: set[Buffer], table: list[int], ns: float) -> None:
        """A step that calls an ahead-of-time kernel, which divides its work itself."""
        self.steps.append(ahead_of_time(symbol, args, writes, table, ns))

    def dense(self, r: Ref) -> tuple[Buffer, int]:
        """Memory that holds a view row-major: where it is, or a copy of it."""
        if type(r.base) is Var and views.is_contiguous(r.shape, r.strides):
            buffer, offset = self.env[r.base]
            return buffer, offset + r.offset
        if type(r.base) is Literal and not r.shape:
            return self.locate(r.base)
        out = self.new_buffer(math.prod(r.shape) * r.dtype.itemsize)
        self.write_view(r, out, 0, views.contiguous_strides(r.shape))
        return out, 0

    def dense_at_zero(self, r: Ref) -> Buffer:
        """As `dense`, from the first byte of a buffer on, for kernels that take no offset."""
        buffer, offset = self.dense(r)
        return self.at_offset(buffer, offset, r)

    def copied_before(self, r: Ref) -> Ref | None:
        """A dense copy of a view, made before the loop whose body this is; None if the loop changes what is viewed."""
        found = self.unchanged.get(r.base)
        if found is None:
            return None
        key = (r.base, r.offset, r.strides, r.shape)
        copy = self.copied_outside.get(key)
        if copy is None:
            outer, whole = found
            view = Ref(whole.base, r.offset, r.strides, r.shape)
            further = outer.copied_before(view)
            v = Var(ShapedArray(r.shape, r.dtype))
            self.env[v] = outer.dense(view) if further is None else outer.env[further.base]
            copy = self.copied_outside[key] = views.whole(v)
        return copy

    def at_offset(self, buffer: Buffer, offset: int, r: Ref) -> Buffer:
        if offset == 0:
            return buffer
        itemsize = r.dtype.itemsize
        out = self.new_buffer(math.prod(r.shape) * itemsize)
        strides = views.contiguous_strides(r.shape)
        self.copy_strided(buffer, offset, strides, out, 0, strides, r.shape, itemsize)
        return out

    def write_view(self, r: Ref, dst: Buffer, offset: int, strides) -> None:
        """Compute any view (of memory, of a literal, of a counting sequence) into a strided place."""
        if type(r.base) is Var:
            self.copy_view(r, dst, offset, strides)
            return
        if (
            type(r.base) is Literal
            and dst.kind != "in"
            and not np.asarray(r.base.val, storage(r.base.aval)).tobytes().strip(b"\0")
        ):
            size = math.prod(r.shape) * r.dtype.itemsize
            if offset == 0 and size == dst.nbytes:
                self.steps.append(Fill(dst, size))
                return
        out = Var(ShapedArray(r.shape, r.dtype))
        self.steps += build_kernels(
            copy_group(r, out), self.locate, {out: (dst, offset, tuple(strides))}, self.new_buffer
        )


def copy_group(r: Ref, out: Var) -> Group:
    """A group of one member that copies a view."""
    group = Group()
    group.id = -1
    eqn = Eqn(registry["copy"], [Var(ShapedArray(r.shape, r.dtype))], [out], {})
    group.add(eqn, [r], fresh_axes(group, r.shape), 0, 0.0)
    group.stored.append(out)
    return group


# ---- host steps


def host_step(block: Block, call: Call) -> None:
    """Run the NumPy definition of an equation, or a callback, in Python."""
    eqn = call.eqn
    primitive = eqn.primitive
    impl = HOST_FUNCTIONS.get(primitive.name)
    if impl is not None:
        function = impl(eqn)
    elif isinstance(primitive.reference, Refusal):
        raise NotImplementedError(
            f"the CPU engine cannot run {primitive}: {primitive.reference.reason}"
            + (f"\n  in {eqn.source_info}" if eqn.source is not None else "")
        )
    else:
        function = numpy_function(primitive, eqn.params, [v.aval for v in eqn.outvars])
    ins = [block.dense_at_zero(r) for r in call.refs]
    in_avals = [storage_aval(x.aval) for x in eqn.invars]
    outs = []
    for v in eqn.outvars:
        buffer, offset = block.destination(v)
        assert offset == 0
        outs.append(buffer)
    block.steps.append(Host(function, ins, in_avals, outs, [storage_aval(v.aval) for v in eqn.outvars], primitive.name))
    block.lowering.host_steps.append(primitive.name)


HOST_FUNCTIONS: dict[str, Callable[[Eqn], Callable[..., Any]]] = {}


def numpy_function(primitive, params: dict[str, Any], out_avals) -> Callable[..., Any]:
    reference = primitive.reference
    dtypes = [storage(a) for a in out_avals]

    if not primitive.multiple_results:
        (dtype,) = dtypes
        return lambda *xs: np.asarray(reference(*xs, **params), dtype)
    return lambda *xs: tuple([np.asarray(y, d) for y, d in zip(reference(*xs, **params), dtypes, strict=True)])
