"""The rules of ops/explicit.py, one per family of primitives: (layouts of the program, equation, *layouts of operands) -> the
layout of each result, or a list of them.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from addax.core.jaxpr import ClosedJaxpr
from addax.core.sharding import PartitionSpec, ShardingTypeError
from addax.ops.layout import Layout, as_entry, axes_in, like, pending, typed

RULES: dict[str, Callable[..., Any]] = {}
PROGRAMS = frozenset({"jit", "custom_jvp_call", "custom_vjp_call", "checkpoint", "cond", "scan", "while"})
PROGRAMS |= {"shard_map", "sharding_constraint", "iota", "empty"}


def _rule(*names: str):
    def register(rule):
        for name in names:
            RULES[name] = rule
        return rule

    return register


def _disagree(eqn, layouts: Sequence[tuple], d: int, why: str) -> ShardingTypeError:
    types = [typed(x.aval, layout) for x, layout in zip(eqn.invars, layouts, strict=True)]
    cut = [layout for layout in layouts if len(layout) > d and layout[d] is not None]
    entries = list(dict.fromkeys(layout[d] for layout in cut))
    return ShardingTypeError(
        f"{eqn.primitive.name} got incompatible shardings for {why}: {', '.join(map(str, dict.fromkeys(layouts)))}. Its "
        f"operands are {' and '.join(types)}: dimension {d} is cut over mesh axis "
        f"{' in one and over '.join(repr(e) for e in entries)} in the other. Lay them out alike before: "
        f"reshard(x, {PartitionSpec(*cut[0])!r})." + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
    )


def _merged(eqn, layouts: Sequence[tuple], shapes: Sequence[tuple], why: str) -> tuple:
    """One layout for operands of equal rank: each dimension as those that cut it agree. Scalars and dimensions of size 1,
    which are stretched, have no say."""
    rank = max(map(len, layouts), default=0)
    merged = []
    for d in range(rank):
        entries = {x[d] for x, s in zip(layouts, shapes, strict=True) if len(x) > d and s[d] != 1} - {None}
        if len(entries) > 1:
            raise _disagree(eqn, layouts, d, why)
        merged.append(entries.pop() if entries else None)
    return tuple(merged)


@_rule(*"select_n clamp convert_element_type copy stop_gradient name to_memory reduce_precision random_clone".split())
def elementwise(self, eqn, *layouts):
    return _merged(eqn, layouts, [x.aval.shape for x in eqn.invars], "broadcasting")


@_rule("optimization_barrier")
def _each(self, eqn, *layouts):
    return list(layouts)


@_rule("rev", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "dynamic_update_slice")
@_rule("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max", "scatter-apply")
def _as_first(self, eqn, first, *rest):
    return first


@_rule("sort")
def _sort(self, eqn, *layouts):
    return _merged(eqn, layouts, [x.aval.shape for x in eqn.invars], "sorting together")


@_rule("iota", "empty")
def _new(self, eqn):
    return (None,) * eqn.outvars[0].aval.ndim


@_rule("broadcast_in_dim")
def _broadcast(self, eqn, x):
    out = [None] * len(eqn.params["shape"])
    for d, to in enumerate(eqn.params["broadcast_dimensions"]):
        if eqn.invars[0].aval.shape[d] == eqn.params["shape"][to]:
            out[to] = x[d]
    return tuple(out)


@_rule("transpose")
def _transpose(self, eqn, x):
    return tuple(x[d] for d in eqn.params["permutation"])


@_rule("squeeze")
def _squeeze(self, eqn, x):
    gone = {d % len(x) for d in eqn.params["dimensions"]}
    return tuple(e for d, e in enumerate(x) if d not in gone)


@_rule("reshape")
def _reshape(self, eqn, x):
    """Dimensions that are joined are cut by the axes of all of them; of one that is split the first part is cut."""
    before, after = eqn.invars[0].aval.shape, eqn.params["new_sizes"]
    if eqn.params["dimensions"] is not None or 0 in before:
        return None
    ends, new_ends = (list(itertools.accumulate(shape, operator.mul)) for shape in (before, after))
    out: list[Any] = [None] * len(after)
    start = 0
    for end in sorted(set(ends) & set(new_ends)):  # between two of these a group of dimensions becomes another
        axes = [a for e, k in zip(x, ends, strict=True) if start < k <= end for a in axes_in(e)]
        if axes:
            first = next(d for d, k in enumerate(new_ends) if start < k <= end and after[d] != 1)
            out[first] = as_entry(axes)
        start = end
    return tuple(out)


@_rule(
    "reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_xor", "argmax", "argmin"
)
def _reduce(self, eqn, x):
    return tuple(e for d, e in enumerate(x) if d not in eqn.params["axes"])


@_rule("slice", "dynamic_slice", "pad")
def _part(self, eqn, x, *_):
    """Dimensions stay as they are cut, if what is left of them can be."""
    return tuple(e if n % self.cuts(e) == 0 else None for e, n in zip(x, eqn.outvars[0].aval.shape, strict=True))


@_rule("gather")
def _gather(self, eqn, x, indices):
    """The examples of a batch, and dimensions that are taken whole; else it is the compiler's choice."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    window = iter([d for d in range(len(x)) if d not in gone])
    rows = iter(range(len(indices)))
    pairs = dict(zip(numbers.start_indices_batching_dims, numbers.operand_batching_dims, strict=True))
    shape, out, used = eqn.invars[0].aval.shape, [], set(numbers.operand_batching_dims)
    for d in range(eqn.outvars[0].aval.ndim):
        if d in numbers.offset_dims:
            taken = next(window)
            whole = sizes[taken] == shape[taken]
            used.update([taken] if whole else ())
            out.append(x[taken] if whole else None)
        else:
            row = next(rows)
            out.append(indices[row] or (x[pairs[row]] if row in pairs else None))
    return tuple(out) if all(e is None or d in used for d, e in enumerate(x)) else None


@_rule("fft")
def _fft(self, eqn, x):
    return (*x[: len(x) - len(eqn.params["fft_lengths"])], *[None] * len(eqn.params["fft_lengths"]))


@_rule("top_k")
def _top_k(self, eqn, x):
    axis = eqn.params["axis"] % len(x)
    return [(*x[:axis], None, *x[axis + 1 :])] * 2


@_rule("conv_general_dilated")
def _convolution(self, eqn, x, w):
    """Batches are cut as those of the images, features as those of the kernel."""
    lhs_spec, rhs_spec, out_spec = eqn.params["dimension_numbers"]
    out: list[Any] = [None] * len(x)
    out[out_spec[0]], out[out_spec[1]] = x[lhs_spec[0]], w[rhs_spec[0]]
    return tuple(out)


@_rule("cholesky", "lu", "qr", "geqrf", "eigh", "svd", "eig", "schur", "hessenberg", "tridiagonal", "triangular_solve")
def _of_matrices(self, eqn, x, *rest):
    """Matrices are whole in the results, batches of them are cut as those of the (first) operand."""
    return [(*x[:-2], *[None] * (v.aval.ndim - len(x) + 2)) for v in eqn.outvars]


@_rule("concatenate")
def _concatenate(self, eqn, *layouts):
    return _merged(eqn, layouts, [(2,) * len(x) for x in layouts], "concatenation")


@_rule("stack")
def _stack(self, eqn, *layouts):
    merged = list(_merged(eqn, layouts, [(2,) * len(x) for x in layouts], "stacking"))
    merged.insert(eqn.params["axis"], None)
    return tuple(merged)


@_rule("dot_general")
def _dot(self, eqn, x, y):
    (cx, cy), (bx, by) = eqn.params["dimension_numbers"]
    for what, mine, theirs in (("contracting", cx, cy), ("batch", bx, by)):
        for d, e in zip(mine, theirs, strict=True):
            if x[d] is not None and y[e] is not None and x[d] != y[e]:
                a, b = (typed(v.aval, cut) for v, cut in zip(eqn.invars, (x, y), strict=True))
                raise ShardingTypeError(
                    f"dot_general requires {what} dimensions to have consistent sharding, got {x[d]!r} and {y[e]!r}: of {a} "
                    f"dimension {d} meets dimension {e} of {b}. Lay one out as the other before, with reshard."
                    + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
                )
    batch = [x[d] if x[d] is not None else y[e] for d, e in zip(bx, by, strict=True)]
    left = [e for d, e in enumerate(x) if d not in (*cx, *bx)]
    right = [e for d, e in enumerate(y) if d not in (*cy, *by)]
    return (*batch, *left, *right)


@_rule("sharding_constraint")
def _constraint(self, eqn, x):
    wanted = self.of_sharding(eqn.params["sharding"], eqn.outvars[0].aval.ndim)
    over = pending(wanted)
    if over and pending(x) != over and not self.can_stay_open(eqn.invars[0], over):
        text = "" if x is None else f", of type {typed(eqn.invars[0].aval, x)},"
        raise ShardingTypeError(
            f"reshard: a value{text} cannot be made unreduced over {', '.join(map(repr, sorted(over, key=str)))}. A product can be "
            "left so that contracts dimensions which are cut over exactly these axes, and is resharded (or has out_sharding) "
            "at once; so can zeros, and arrays outside of programs."
            + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
        )
    return wanted


@_rule("shard_map")
def _shard_map(self, eqn, *layouts):
    return [
        tuple(as_entry(a for a in spec.axes_of(d) if a in self.axes) for d in range(v.aval.ndim))
        for spec, v in zip(eqn.params["out_specs"], eqn.outvars, strict=True)
    ]


@_rule("jit", "custom_jvp_call", "custom_vjp_call", "checkpoint")
def _call(self, eqn, *layouts):
    closed = next(p for p in eqn.params.values() if isinstance(p, ClosedJaxpr))
    return self.program(closed, layouts) if len(closed.in_avals) == len(layouts) else None


@_rule("cond")
def _cond(self, eqn, index, *layouts):
    return [common(found) for found in zip(*(self.program(b, layouts) for b in eqn.params["branches"]), strict=True)]


@_rule("scan")
def _scan(self, eqn, *layouts):
    p = eqn.params
    n, k = p["num_consts"], p["num_consts"] + p["num_carry"]
    xs = [None if x is None else like(x, x[1:]) for x in layouts[k:]]
    carry, outs = self.loop(p["jaxpr"], list(layouts[:n]), list(layouts[n:k]), xs)
    if any(map(pending, (*layouts[k:], *outs))):
        raise ShardingTypeError(
            "scan goes over no values that are still to be summed over mesh axes, and stacks none: sum them first, with "
            "reshard(x, P(...)). (Those that it carries may be.)"
            + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
        )
    return [*carry, *(None if y is None else like(y, (None, *y)) for y in outs)]


@_rule("while")
def _while(self, eqn, *layouts):
    p = eqn.params
    first = p["cond_nconsts"]
    start = first + p["body_nconsts"]
    carry = self.loop(p["body_jaxpr"], list(layouts[first:start]), list(layouts[start:]), [])[0]
    self.program(p["cond_jaxpr"], [*layouts[:first], *carry])
    return carry


def common(layouts: Sequence[Layout]) -> Layout:
    if None in layouts:
        return None
    if all(x == layouts[0] for x in layouts):
        return layouts[0]
    return tuple(next(iter(set(es))) if len(set(es)) == 1 else None for es in zip(*layouts, strict=True))
