"""Reads at computed positions inside a loop nest: ``dynamic_slice`` and ``gather``.

Each becomes an `IndexedRead`: the memory accesses it makes, of which the loop planner must know, and how to write its
statements. Positions are int64, clamped so that the window fits; out-of-bounds positions of a filling gather select
the fill value instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core.jaxpr import Eqn, Literal
from addax.engines.cpu.loops import Let, Lit, Load
from addax.engines.cpu.lower_elementwise import element_name
from addax.engines.cpu.views import Ref


class IndexedRead:
    """``accesses``: what the read touches. Subclasses write the statements."""

    accesses: list

    def emit(self, builder, env: dict, here: list, body: list) -> Any:
        raise NotImplementedError


def clamped(builder, value, dtype: str, limit: int, into: list) -> str:
    """``value`` as int64 in 0..limit."""
    if dtype != "int64":
        name = builder.fresh()
        into.append(Let(name, "convert", (value,), "int64"))
        value = name
    name = builder.fresh()
    into.append(Let(name, "clamp", (Lit(0, "int64"), value, builder.sym(limit)), "int64"))
    return name


class DynamicSlice(IndexedRead):
    def __init__(self, builder, eqn: Eqn, refs: list[Ref], axes):
        self.eqn, self.refs = eqn, refs
        r = refs[0]
        access = builder.leaf(Ref(r.base, r.offset, r.strides, eqn.outvars[0].aval.shape), axes)
        # A literal start is an offset.
        for d, start in enumerate(eqn.invars[1:]):
            if type(start) is Literal:
                limit = r.shape[d] - eqn.outvars[0].aval.shape[d]
                access.offset += r.strides[d] * max(0, min(int(start.val), limit))
        access.key = (*access.key, access.offset, tuple(id(x) for x in eqn.invars[1:]))
        self.access = access
        self.starts: dict[int, Any] = {}
        for d, x in enumerate(eqn.invars[1:]):
            if type(x) is not Literal and r.shape[d] != eqn.outvars[0].aval.shape[d]:
                base = refs[1 + d].base
                if base not in builder.group.axes:
                    self.starts[d] = builder.leaf(refs[1 + d], ())
                else:
                    self.starts[d] = base
        self.accesses = [access, *[s for s in self.starts.values() if hasattr(s, "strides")]]

    def emit(self, builder, env, here, body):
        terms = []
        r, shape = self.refs[0], self.eqn.outvars[0].aval.shape
        for d, start in self.starts.items():
            if hasattr(start, "strides"):
                value = builder.load(start, body, body)
            elif type(start) is Literal:
                value = builder.literal(start, body)
            else:
                value = env[start]
            dtype = element_name(self.eqn.invars[1 + d].aval.dtype)
            at = clamped(builder, value, dtype, r.shape[d] - shape[d], body)
            if r.strides[d]:
                terms.append((at, builder.sym(r.strides[d])))
        deep = any(a in self.access.strides for a in builder.inner)
        name = builder.fresh()
        into = here if deep else body
        into.append(
            Load(name, builder.param(self.access, False), builder.affine(self.access, tuple(terms)), self.access.dtype)
        )
        return name


class Gather(IndexedRead):
    def __init__(self, builder, eqn: Eqn, refs: list[Ref], axes):
        self.eqn, self.refs = eqn, refs
        p = eqn.params
        dims = p["dimension_numbers"]
        operand, indices = refs
        out_rank = len(eqn.outvars[0].aval.shape)
        batch_dims = [d for d in range(out_rank) if d not in dims.offset_dims]
        # indices: one access per component, walking the batch dimensions, or a value that the group computes
        batch_axes = tuple([axes[d] for d in batch_dims])
        self.computed = indices.base in builder.group.axes
        self.inner = self.computed and builder.is_inner(batch_axes)
        self.components = []
        for k in range(0 if self.computed else indices.shape[-1]):
            view = Ref(indices.base, indices.offset + k * indices.strides[-1], indices.strides[:-1], indices.shape[:-1])
            self.components.append(builder.leaf(view, batch_axes))
        # the operand: its window dimensions are walked by the offset dimensions of the result
        batching = tuple(getattr(dims, "operand_batching_dims", ()))
        window = [d for d in range(len(operand.shape)) if d not in dims.collapsed_slice_dims and d not in batching]
        walk_axes: list = [()] * len(operand.shape)
        shape = [1] * len(operand.shape)
        for d, o in zip(window, dims.offset_dims, strict=True):
            walk_axes[d], shape[d] = axes[o], p["slice_sizes"][d]
        for d, i in zip(batching, getattr(dims, "start_indices_batching_dims", ()), strict=True):
            walk_axes[d], shape[d] = batch_axes[i], operand.shape[d]
        self.access = builder.leaf(Ref(operand.base, operand.offset, operand.strides, tuple(shape)), tuple(walk_axes))
        self.access.key = (*self.access.key, id(eqn))
        self.accesses = [self.access, *[c for c in self.components if hasattr(c, "strides")]]

    def emit(self, builder, env, here, body):
        p = self.eqn.params
        dims = p["dimension_numbers"]
        operand, indices = self.refs
        dtype = element_name(indices.dtype)
        deep = self.inner or any(a in x.strides for x in self.accesses for a in builder.inner)
        into = here if deep else body
        fill = mode_name(p["mode"]) == "FILL_OR_DROP"
        terms, valid = [], None
        for k, d in enumerate(dims.start_index_map):
            if self.computed:
                value = env[indices.base]
            else:
                c = self.components[k]
                value = builder.literal(c, body) if type(c) is Literal else builder.load(c, into, body)
            limit = operand.shape[d] - p["slice_sizes"][d]
            at = clamped(builder, value, dtype, limit, into)
            if fill:
                wide = value
                if dtype != "int64":
                    wide = builder.fresh()
                    into.append(Let(wide, "convert", (value,), "int64"))
                ok = builder.fresh()
                into.append(Let(ok, "eq", (wide, at), "bool"))
                if valid is None:
                    valid = ok
                else:
                    both = builder.fresh()
                    into.append(Let(both, "and", (valid, ok), "bool"))
                    valid = both
            terms.append((at, builder.sym(operand.strides[d])))
        name = builder.fresh()
        into.append(
            Load(name, builder.param(self.access, False), builder.affine(self.access, tuple(terms)), self.access.dtype)
        )
        if valid is not None:
            chosen = builder.fresh()
            into.append(
                Let(
                    chosen,
                    "select",
                    (valid, name, fill_value(p.get("fill_value"), self.access.dtype)),
                    self.access.dtype,
                )
            )
            name = chosen
        return name


def mode_name(mode) -> str:
    return getattr(mode, "name", str(mode)).upper()


def fill_value(value, dtype: str) -> Lit:
    """What a filling gather reads out of bounds: NaN, the lowest signed, the highest unsigned value, True."""
    if value is None:
        if dtype == "bool":
            value = True
        elif dtype.startswith("uint"):
            value = np.iinfo(dtype).max
        elif dtype.startswith("int"):
            value = np.iinfo(dtype).min
        else:
            value = complex(np.nan, np.nan) if dtype.startswith("complex") else float("nan")
    elif dtype == "bool":
        value = bool(value)
    elif "int" in dtype:
        value = int(value)
    else:
        value = complex(value) if dtype.startswith("complex") else float(value)
    return Lit(value, dtype)


def _plain_gather(eqn: Eqn) -> bool:
    operand, indices = eqn.invars
    if element_name(operand.aval.dtype) is None or element_name(indices.aval.dtype) is None or operand.aval.size == 0:
        return False
    return mode_name(eqn.params["mode"]) in ("CLIP", "PROMISE_IN_BOUNDS", "FILL_OR_DROP")


# Which equations can be members of a group, and how they are written.
READABLE = {
    "dynamic_slice": lambda eqn: element_name(eqn.outvars[0].aval.dtype) is not None,
    "gather": _plain_gather,
}
READS = {"dynamic_slice": DynamicSlice, "gather": Gather}
