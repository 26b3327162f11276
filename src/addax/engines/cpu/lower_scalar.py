"""Loops over small arrays as one kernel: every element of every value is a scalar in a register.

``fori_loop`` on a 3-vector runs in a few nanoseconds per turn this way; a step per equation would cost fifty. `ScalarCode`
interprets a body symbolically: a value is the list of its elements' names, so that layout equations are list
operations. Large arrays that are only sliced, and stacked results, stay in memory. Whatever does not fit (a dear body, a
primitive that is not here, a type that is rounded in memory) raises `TooLarge`, and the loop is lowered step by step.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var
from addax.engines.cpu.buffers import Buffer, Kernel
from addax.engines.cpu.groups import Call
from addax.engines.cpu.loop_ops import DTYPES
from addax.engines.cpu.loops import Affine, Let, Lit, Load, Loop, Nest, Param, Phi, Store, Sym, While
from addax.engines.cpu.lower import Block
from addax.engines.cpu.lower_elementwise import REDUCTIONS, element_name, op_cost, op_of

MAX_ELEMENTS = 16  # of a value that is kept in registers
MAX_COST = 800  # of one turn, in vector instructions


class TooLarge(Exception):
    """The loop does not fit in registers."""


class Memory:
    """An array left in memory: parameter, offset, shape."""

    __slots__ = ("dtype", "offset", "param", "shape")

    def __init__(self, param: str, offset: int, shape, dtype: str):
        self.param, self.offset, self.shape, self.dtype = param, offset, tuple(shape), dtype


def fits(jaxpr: Jaxpr, streams: frozenset = frozenset()) -> bool:
    """A quick look: whether the values of a body are few and small enough to try."""
    cost = 0.0
    for e in jaxpr.eqns:
        if e.effects:
            return False
        for v in e.outvars:
            if v.aval.size > MAX_ELEMENTS or not v.aval.size:
                return False
        cost += op_cost(e) * e.outvars[0].aval.size
        if cost > MAX_COST:
            return False
    return all(v.aval.size <= MAX_ELEMENTS or v in streams for v in jaxpr.invars)


class ScalarCode:
    """One kernel being written."""

    def __init__(self, block: Block):
        self.block = block
        self.params: dict[tuple[int, str], Param] = {}
        self.args: list[Buffer] = []
        self.writes: set[Buffer] = set()
        self.prologue: list = []
        self.here: list = self.prologue
        self.table: list[int] = []
        self.n = 0
        self.cost = 0.0

    # ---- names, memory

    def fresh(self) -> str:
        self.n += 1
        return f"v{self.n}"

    def sym(self, value: int) -> Sym:
        self.table.append(value)
        return Sym(len(self.table) - 1)

    def dtype(self, aval) -> str:
        name = element_name(aval.dtype)
        if name is None or DTYPES[name].compute != name or not isinstance(aval.dtype, np.dtype):
            raise TooLarge
        return name

    def param(self, buffer: Buffer, dtype: str, role: str = "in") -> str:
        key = (id(buffer), dtype)
        if key not in self.params:
            self.params[key] = Param(f"p{len(self.params)}", dtype, role)
            self.args.append(buffer)
            if role != "in":
                self.writes.add(buffer)
        return self.params[key].name

    def memory(self, where: tuple[Buffer, int], aval) -> Memory:
        dtype = self.dtype(aval)
        return Memory(self.param(where[0], dtype), where[1], aval.shape, dtype)

    def let(self, op: str, args, dtype: str, **attrs):
        name = self.fresh()
        self.here.append(Let(name, op, tuple(args), dtype, **attrs))
        return name

    def elements(self, value, aval) -> np.ndarray:
        """The names of a value's elements, loading them first if they are in memory."""
        if type(value) is not Memory:
            return value
        if aval.size > MAX_ELEMENTS:
            raise TooLarge
        out = np.empty(aval.size, object)
        for k in range(aval.size):
            out[k] = self.fresh()
            self.prologue.append(Load(out[k], value.param, Affine(value.offset + k), value.dtype))
        return out.reshape(aval.shape)

    def literal(self, x: Literal) -> np.ndarray:
        dtype = self.dtype(x.aval)
        v = np.asarray(x.val, x.aval.dtype).item()
        out = np.empty((), object)
        out[()] = Lit(v, dtype)
        return out

    # ---- programs

    def run(self, closed: ClosedJaxpr, args: list) -> list:
        jaxpr = closed.jaxpr
        env: dict[Var, Any] = dict(zip(jaxpr.invars, args, strict=True))
        for v, c in zip(jaxpr.constvars, closed.consts, strict=True):
            env[v] = self.memory((self.block.lowering.const(c, v.aval), 0), v.aval)

        def read(x):
            if type(x) is Literal:
                return self.literal(x)
            value = env[x]
            if type(value) is Memory and x.aval.size <= MAX_ELEMENTS:
                value = env[x] = self.elements(value, x.aval)
            return value

        for e in jaxpr.eqns:
            self.cost += op_cost(e) * max(1, e.outvars[0].aval.size if e.outvars else 1)
            if self.cost > MAX_COST:
                raise TooLarge
            outs = self.equation(e, [read(x) for x in e.invars])
            for v, y in zip(e.outvars, outs, strict=True):
                env[v] = y
        return [read(x) for x in jaxpr.outvars]

    def equation(self, e, values: list) -> list:
        name = e.primitive.name
        p = e.params
        for v in e.outvars:
            self.dtype(v.aval)
        out = e.outvars[0].aval
        if name == "dynamic_slice":
            return [self.dynamic_slice(e, values)]
        if name == "while":
            return self.while_loop(p, values)
        if name == "scan":
            return self.scan(p, values)
        if any(type(x) is Memory for x in values):
            raise TooLarge
        if name in LAYOUT:
            return [LAYOUT[name](values, p, out)]
        if name in REDUCTIONS and op_of(e) is not None and name not in ("argmax", "argmin"):
            return [self.reduce(REDUCTIONS[name], values[0], p["axes"], out)]
        if name == "iota":
            counting = np.broadcast_to(
                np.arange(out.shape[p["dimension"]]).reshape(
                    [-1 if d == p["dimension"] else 1 for d in range(len(out.shape))]
                ),
                out.shape,
            )
            return [
                self.each(
                    lambda k: Lit(k.item() if "float" not in str(out.dtype) else float(k), self.dtype(out)), counting
                )
            ]
        if name == "dot_general":
            return [self.dot(values, p, out)]
        if name == "cond":
            return self.cond(p["branches"], values)
        found = op_of(e)
        if found is None or name in REDUCTIONS:
            raise TooLarge
        return [self.elementwise(found, values, out, e)]

    def choose(self, pred, dtype, no, yes):
        return self.let("select", (pred, yes, no), dtype)

    def each(self, f, *arrays) -> np.ndarray:
        out = np.empty(arrays[0].shape, object)
        for index in np.ndindex(out.shape):
            out[index] = f(*[a[index] for a in arrays])
        return out

    def elementwise(self, found, values, out, e) -> np.ndarray:
        op, attrs = found
        dtype = self.dtype(out)
        spread = [np.broadcast_to(v, out.shape) for v in values]
        if op == "copy":
            return spread[0]
        if op == "select_n" and len(values) == 3 and e.invars[0].aval.dtype == np.bool_:
            return self.each(lambda c, x, y: self.let("select", (c, y, x), dtype), *spread)
        return self.each(lambda *xs: self.let(op, xs, dtype, **attrs), *spread)

    def reduce(self, op: str, x: np.ndarray, axes, out) -> np.ndarray:
        dtype = self.dtype(out)
        if not x.size:
            raise TooLarge  # nothing to start from; loops know the neutral element
        kept = [d for d in range(x.ndim) if d not in axes]
        rows = x.transpose(*kept, *axes).reshape(*[x.shape[d] for d in kept], -1)
        result = np.empty(out.shape, object)
        for index in np.ndindex(out.shape):
            terms = list(rows[index])
            total = terms[0]
            for t in terms[1:]:
                total = self.let(op, (total, t), dtype)
            result[index] = total
        return result

    def dot(self, values, p, out) -> np.ndarray:
        (ca, cb), (ba, bb) = p["dimension_numbers"]
        a, b = values
        fa = [d for d in range(a.ndim) if d not in ca and d not in ba]
        fb = [d for d in range(b.ndim) if d not in cb and d not in bb]
        a, b = a.transpose(*ba, *fa, *ca), b.transpose(*bb, *fb, *cb)
        k = math.prod(a.shape[a.ndim - len(ca) :])
        batch = a.shape[: len(ba)]
        a, b = a.reshape(*batch, -1, k), b.reshape(*batch, -1, k)
        if out.size * k > 256:
            raise TooLarge
        dtype = self.dtype(out)
        result = np.empty((*batch, a.shape[-2], b.shape[-2]), object)
        for index in np.ndindex(result.shape):
            *at, i, j = index
            total = None
            for t in range(k):
                x, y = a[(*at, i, t)], b[(*at, j, t)]
                term = self.let("mul", (x, y), dtype)
                total = term if total is None else self.let("add", (total, term), dtype)
            result[index] = total
        return result.reshape(out.shape)

    def cond(self, branches, values) -> list:
        """Both branches of a cheap conditional, and a choice between them."""
        if len(branches) != 2 or any(not fits(b.jaxpr) for b in branches):
            raise TooLarge
        if any(e.primitive.name in ("while", "scan", "cond") for b in branches for e in b.eqns):
            raise TooLarge
        index, *args = values
        second = self.let("ne", (index[()], Lit(0, "int32")), "bool")
        no, yes = [self.run(b, list(args)) for b in branches]
        return [
            self.each(functools.partial(self.choose, second, self.dtype(a)), n, y)
            for n, y, a in zip(no, yes, branches[0].out_avals, strict=True)
        ]

    def dynamic_slice(self, e, values) -> np.ndarray:
        x, *starts = values
        if type(x) is not Memory:
            if any(type(s[()]) is not Lit for s in starts):
                raise TooLarge
            at = [
                max(0, min(s[()].value, n - k))
                for s, n, k in zip(starts, x.shape, e.params["slice_sizes"], strict=True)
            ]
            return x[tuple(slice(a, a + k) for a, k in zip(at, e.params["slice_sizes"], strict=True))]
        out = e.outvars[0].aval
        terms, offset, stride = [], x.offset, 1
        strides = []
        for n in reversed(x.shape):
            strides.insert(0, stride)
            stride *= n
        for s, n, k, step in zip(starts, x.shape, e.params["slice_sizes"], strides, strict=True):
            start = s[()]
            if type(start) is Lit:
                offset += step * max(0, min(int(start.value), n - k))
            elif n != k:
                wide = self.let("convert", (start,), "int64")
                terms.append((self.let("clamp", (Lit(0, "int64"), wide, Lit(n - k, "int64")), "int64"), step))
        result = np.empty(out.shape, object)
        for index in np.ndindex(out.shape):
            name = self.fresh()
            at = offset + sum(i * s for i, s in zip(index, strides, strict=True))
            self.here.append(Load(name, x.param, Affine(at, tuple(terms)), x.dtype))
            result[index] = name
        return result

    # ---- loops

    def phis(self, values: list[np.ndarray], avals) -> tuple[list, list[np.ndarray]]:
        """Carried scalars: ``[(name, initial, dtype)]`` and the arrays of their names."""
        flat, arrays = [], []
        for v, a in zip(values, avals, strict=True):
            dtype = self.dtype(a)
            names = self.each(lambda init, dtype=dtype: flat.append((self.fresh(), init, dtype)) or flat[-1][0], v)
            arrays.append(names)
        return flat, arrays

    def close(self, flat, outs) -> list[Phi]:
        """The phis, given the next values; each next value gets a name defined in the body."""
        nexts = [x for o in outs for x in o.ravel()]
        result = []
        for (name, init, dtype), nxt in zip(flat, nexts, strict=True):
            result.append(Phi(name, init, self.let("copy", (nxt,), dtype), dtype))
        return result

    def while_loop(self, p, values) -> list:
        nc, nb = p["cond_nconsts"], p["body_nconsts"]
        cond_consts, body_consts, init = values[:nc], values[nc : nc + nb], values[nc + nb :]
        if any(type(x) is Memory for x in init):
            raise TooLarge
        flat, carry = self.phis(init, p["body_jaxpr"].in_avals[nb:])
        outer = self.here
        self.here = head = []
        test = self.run(p["cond_jaxpr"], [*cond_consts, *carry])[0][()]
        if type(test) is Lit:
            test = self.let("copy", (test,), "bool")
        self.here = body = []
        outs = self.run(p["body_jaxpr"], [*body_consts, *carry])
        phis = self.close(flat, outs)
        self.here = outer
        outer.append(While((*phis, *head), test, tuple(body)))
        return carry

    def scan(self, p, values, stack_into: list[Memory] | None = None) -> list:
        closed: ClosedJaxpr = p["jaxpr"]
        nk, nc = p["num_consts"], p["num_carry"]
        consts, init, xs = values[:nk], values[nk : nk + nc], values[nk + nc :]
        n_ys = len(closed.out_avals) - nc
        if (
            any(type(x) is Memory for x in init)
            or any(type(x) is not Memory for x in xs)
            or (n_ys and stack_into is None)
        ):
            raise TooLarge
        if not p["length"]:
            raise TooLarge
        flat, carry = self.phis(init, closed.in_avals[nk : nk + nc])
        outer, var = self.here, self.fresh()
        self.here = body = []
        position: str = var
        if p["reverse"]:
            i = self.let("iota", (), "int64", var=var)
            position = self.let("sub", (self.sym(p["length"] - 1), i), "int64")
        slices = []
        for x, aval in zip(xs, closed.in_avals[nk + nc :], strict=True):
            row = np.empty(aval.size, object)
            for k in range(aval.size):
                row[k] = self.fresh()
                body.append(Load(row[k], x.param, Affine(x.offset + k, ((position, aval.size),)), x.dtype))
            slices.append(row.reshape(aval.shape))
        outs = self.run(closed, [*consts, *carry, *slices])
        for y, into, aval in zip(outs[nc:], stack_into or (), closed.out_avals[nc:], strict=True):
            for k, element in enumerate(y.ravel()):
                self.here.append(Store(into.param, Affine(into.offset + k, ((position, aval.size),)), element))
        phis = self.close(flat, outs[:nc])
        self.here = outer
        outer.append(Loop(var, self.sym(p["length"]), (*phis, *body)))
        return carry

    def kernel(self, name: str, ns: float) -> Kernel:
        nest = Nest(name, tuple(self.params.values()), len(self.table), tuple(self.prologue))
        return Kernel(nest, self.args, self.writes, self.table, 1, -ns, name)


def _transposed(values, p, out):
    return values[0].transpose(*p["permutation"])


def _pad(values, p, out):
    x, fill = values
    result = np.empty(out.shape, object)
    result[...] = fill[()]
    for index in np.ndindex(x.shape):
        at = tuple(lo + i * (inner + 1) for i, (lo, _, inner) in zip(index, p["padding_config"], strict=True))
        if all(0 <= i < n for i, n in zip(at, out.shape, strict=True)):
            result[at] = x[index]
    return result


def _broadcast(values, p, out):
    dims = p["broadcast_dimensions"]
    x = values[0]
    shape = [1] * len(out.shape)
    for i, d in enumerate(dims):
        shape[d] = x.shape[i]
    return np.broadcast_to(x.reshape(shape), out.shape)


LAYOUT = {
    "broadcast_in_dim": _broadcast,
    "reshape": lambda v, p, out: v[0].reshape(out.shape),
    "squeeze": lambda v, p, out: v[0].reshape(out.shape),
    "transpose": _transposed,
    "slice": lambda v, p, out: v[0][
        tuple(
            slice(a, b, s)
            for a, b, s in zip(p["start_indices"], p["limit_indices"], p["strides"] or (1,) * v[0].ndim, strict=True)
        )
    ],
    "rev": lambda v, p, out: np.flip(v[0], tuple(p["dimensions"])),
    "concatenate": lambda v, p, out: np.concatenate(v, p["dimension"]),
    "stack": lambda v, p, out: np.stack(v, p["axis"]),
    "pad": _pad,
}


def try_loop(block: Block, call: Call) -> bool:
    """Lower a ``while`` or ``scan`` to one kernel; False if it does not fit in registers."""
    eqn, p = call.eqn, call.eqn.params
    is_scan = eqn.primitive.name == "scan"
    if is_scan:
        body: Jaxpr = p["jaxpr"].jaxpr
        nk, nc = p["num_consts"], p["num_carry"]
        if p["length"] < 4 or not fits(body, frozenset(body.invars[:nk])):
            return False
        carry_avals = [v.aval for v in body.invars[nk : nk + nc]]
    else:
        nk, nc = p["cond_nconsts"] + p["body_nconsts"], 0
        body, test = p["body_jaxpr"].jaxpr, p["cond_jaxpr"].jaxpr
        constants = frozenset(body.invars[: p["body_nconsts"]])
        if not fits(body, constants) or not fits(test, frozenset(test.invars[: p["cond_nconsts"]])):
            return False
        carry_avals = [v.aval for v in body.invars[p["body_nconsts"] :]]
        nc = len(carry_avals)
    code = ScalarCode(block)
    mark = len(block.steps)
    try:
        values: list = []
        for i, r in enumerate(call.refs):
            aval = eqn.invars[i].aval
            if type(r.base) is Literal and not aval.shape:
                values.append(code.literal(r.base))
                continue
            values.append(code.memory(block.dense(r), aval))
            if nk <= i < nk + nc:
                values[-1] = code.elements(values[-1], aval)
        if is_scan:
            stacks = []
            for v in eqn.outvars[nc:]:
                buffer, offset = block.destination(v)
                dtype = code.dtype(v.aval)
                stacks.append(Memory(code.param(buffer, dtype, "out"), offset, v.aval.shape, dtype))
            results = code.scan(p, values, stacks)
        else:
            results = code.while_loop(p, values)
    except TooLarge:
        del block.steps[mark:]
        return False
    for v, names in zip(eqn.outvars, results, strict=False):
        buffer, offset = block.destination(v)
        dtype = code.dtype(v.aval)
        param = code.param(buffer, dtype, "out")
        for k, element in enumerate(names.ravel()):
            code.prologue.append(Store(param, Affine(offset + k), element))
    turns = p["length"] if is_scan else 1000
    block.steps.append(code.kernel(eqn.primitive.name, max(1.0, code.cost * turns * 0.3)))
    return True
