"""Programs with checks: every equation that can go wrong is watched, and what goes wrong first becomes a result.

Start at `functionalized`: it makes of a program one with more results, the *code* of the first failure (the number of its
`Site`, or 0) and the values that the messages of the sites show. `_Checker` walks the equations; programs inside loops and
branches are made likewise, and their loops carry the code. `prepare` closes the circle: the program that raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.config import current_context
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, bind_equation, eval_jaxpr, interpret, subjaxprs
from addax.core.primitive import registry
from addax.interpreters.values import broadcast_in_dim, convert, expand_dims, reshape, shape_of, zeros
from addax.ops.bits import or_
from addax.ops.call import jit_p
from addax.ops.callback import io_effect, ordered_io_effect
from addax.ops.check import (
    CheckError,
    DivisionByZeroError,
    FailedCheckError,
    JaxRuntimeError,
    NaNError,
    OOBError,
    Site,
    check_p,
)
from addax.ops.comparison import eq, gt, lt, ne
from addax.ops.control_flow import cond_p, scan_p, while_p
from addax.ops.control_flow.common import split_list
from addax.ops.control_flow.replay import without_side_effects

CODE = ShapedArray((), np.dtype(np.int32))
Kinds = frozenset[type[CheckError]]
_NO_KINDS: Kinds = frozenset()


class _NotDebug(CheckError):
    """Not a kind of error: among the kinds it says that debug checks do not count."""


class Functionalized(NamedTuple):
    """A program whose last results are the code and the values of ``sites``. Without sites it has no such results."""

    program: ClosedJaxpr
    sites: tuple[Site, ...]


def functionalized(closed: ClosedJaxpr, kinds: Kinds) -> Functionalized:
    """The program that reports its failures of these kinds instead of raising. Memoised."""
    return closed.derive(_functionalize, kinds)


def _functionalize(closed: ClosedJaxpr, kinds: Kinds) -> Functionalized:
    sites: tuple[Site, ...] = ()

    def run(*args):
        nonlocal sites
        checker = _Checker(kinds)
        outs = checker.walk(closed.jaxpr, closed.consts, args)
        sites = tuple(checker.values)
        return [*outs, *checker.state(sites)] if sites else outs

    program = ClosedJaxpr(*trace_to_jaxpr(run, closed.in_avals, closed.jaxpr.debug_info))
    return Functionalized(program, sites)


def value_avals(sites: Sequence[Site]) -> list[ShapedArray]:
    return [a for s in sites for a in s.avals]


class _Checker:
    """Runs a program under the current trace, and notes its first failure.

    ``values`` are those that belong to each site met so far; they mean something where ``code`` is its number.
    """

    def __init__(self, kinds: Kinds):
        self.kinds = kinds
        self.code: Any = None
        self.values: dict[Site, list] = {}

    def state(self, sites: Sequence[Site]) -> list:
        """The code, and the values of these sites."""
        values = [v for s in sites for v in self.values.get(s) or map(zeros, s.avals)]
        return [zeros(CODE) if self.code is None else self.code, *values]

    def resume(self, sites: Sequence[Site], state: Sequence) -> None:
        """Go on from a state."""
        self.code, rest = state[0], iter(state[1:])
        self.values = {s: [next(rest) for _ in s.avals] for s in sites}

    def add(self, sites: Sequence[Site], code, values: Sequence) -> None:
        """What happens next: nothing, or a failure, which counts if it is the first."""
        first = None if self.code is None else eq(self.code, 0)
        rest = iter(values)
        for site in sites:
            mine = [next(rest) for _ in site.avals]
            old = self.values.get(site)
            self.values[site] = mine if old is None or first is None else [
                choose(first, x, y) for x, y in zip(mine, old, strict=True)
            ]  # fmt: skip
        self.code = code if first is None else choose(first, code, self.code)

    def fail_if(self, failed, site: Site, values: Sequence = ()) -> None:
        number = np.int32(site.number)
        self.add([site], choose(failed, number, np.int32(0)), values)

    # -- the walk

    def walk(self, jaxpr: Jaxpr, consts: Sequence, args: Sequence) -> list:
        return interpret(jaxpr, consts, args, self.equation)

    def equation(self, eqn: Eqn, operands: list) -> Sequence:
        name = eqn.primitive.name
        if eqn.primitive is check_p:
            if not (eqn.params["debug"] and _NotDebug in self.kinds):
                self.check(operands, eqn.params["sites"])
            return []
        inside = _INSIDE.get(name)
        if inside is not None:
            return inside(self, eqn, operands)
        expand = eqn.primitive.expand
        if expand is not None and next(iter(subjaxprs(eqn.params)), None) is not None:
            return self.call(eqn, operands, expand(*map(get_aval, operands), **eqn.params))
        watch = _WATCHED.get(name)
        if watch is not None:
            watch(self, eqn, operands)
        outs = bind_equation(eqn, operands)
        if NaNError in self.kinds and name not in _MOVES:
            self.results_are_numbers(eqn, outs)
        return outs

    def results_are_numbers(self, eqn: Eqn, outs: Sequence) -> None:
        found = [any_of(ne(x, x)) for x in outs if dtypes.issubdtype(get_aval(x).dtype, np.inexact)]
        if found:
            text = f"nan generated by primitive: {eqn.primitive.name}."
            self.fail_if(functools.reduce(or_, found), Site(NaNError, lambda: text, (), eqn.source))

    def check(self, operands: list, sites: tuple[Site, ...]) -> None:
        """A check that stands in the program; batched ones report the first example that fails."""
        code, *values = operands
        if FailedCheckError not in self.kinds and all(s.kind is FailedCheckError for s in sites):
            return
        shape = shape_of(code)
        if shape:
            count = int(np.prod(shape))
            if not count:
                return
            first = position(ne(code, np.int32(0)))
            code, *values = (element(reshape(v, (count, *shape_of(v)[len(shape) :])), first) for v in operands)
        self.add(sites, code, values)

    def call(self, eqn: Eqn, operands: list, closed: ClosedJaxpr) -> list:
        """A call with rules of its own: it stays what it is, without its checks; these are made beside it."""
        made = functionalized(closed, self.kinds)
        if not closed.effects.isdisjoint((io_effect, ordered_io_effect)):  # that cannot be done beside it
            return self.inline(made, operands)
        if made.sites:
            beside = without_side_effects(made.program)
            outs = jit_p.bind(*map(_constant, operands), jaxpr=beside, name="checks")
            self.results(made, outs, len(closed.out_avals))
        return eqn.primitive.bind(*operands, **{k: _without_checks(v) for k, v in eqn.params.items()})

    def results(self, made: Functionalized, outs: Sequence, n: int) -> list:
        """The n results of a functionalized program; its failures are the next to happen."""
        if made.sites:
            self.add(made.sites, outs[n], outs[n + 1 :])
        return list(outs[:n])

    def inline(self, made: Functionalized, args: Sequence) -> list:
        """Run a functionalized program in line."""
        outs = eval_jaxpr(made.program.jaxpr, made.program.consts, *args)
        return self.results(made, outs, len(outs) - (1 + len(value_avals(made.sites)) if made.sites else 0))

    # -- control flow

    def jit(self, eqn: Eqn, operands: list) -> list:
        made = functionalized(eqn.params["jaxpr"], self.kinds)
        outs = jit_p.bind(*operands, **dict(eqn.params, jaxpr=made.program))
        return self.results(made, outs, len(eqn.outvars))

    def cond(self, eqn: Eqn, operands: list) -> list:
        made = [functionalized(b, self.kinds) for b in eqn.params["branches"]]
        sites = tuple(dict.fromkeys(s for m in made for s in m.sites))
        n = len(eqn.outvars)

        def branch(m: Functionalized) -> ClosedJaxpr:
            def run(*args):
                checker = _Checker(self.kinds)
                outs = checker.inline(m, args)
                return [*outs, *checker.state(sites)]

            return ClosedJaxpr(*trace_to_jaxpr(run, m.program.in_avals, m.program.jaxpr.debug_info))

        branches = tuple(branch(m) if sites else m.program for m in made)
        outs = cond_p.bind(*operands, **dict(eqn.params, branches=branches))
        if sites:
            self.add(sites, outs[n], outs[n + 1 :])
        return outs[:n]

    def scan(self, eqn: Eqn, operands: list) -> list:
        params = eqn.params
        made = functionalized(params["jaxpr"], self.kinds)
        if not made.sites:
            return scan_p.bind(*operands, **dict(params, jaxpr=made.program))
        nc, nk = params["num_consts"], params["num_carry"]
        state_avals = [CODE, *value_avals(made.sites)]

        def body(*args):
            consts, carry, state, xs = split_list(args, nc, nk, len(state_avals))
            checker = _Checker(self.kinds)
            checker.resume(made.sites, state)
            outs = checker.inline(made, [*consts, *carry, *xs])
            return [*outs[:nk], *checker.state(made.sites), *outs[nk:]]

        avals = [*made.program.in_avals[: nc + nk], *state_avals, *made.program.in_avals[nc + nk :]]
        program = ClosedJaxpr(*trace_to_jaxpr(body, avals, made.program.jaxpr.debug_info))
        consts, carry, xs = split_list(operands, nc, nk)
        start = map(zeros, state_avals)
        outs = scan_p.bind(*consts, *carry, *start, *xs, **dict(params, jaxpr=program, num_carry=nk + len(state_avals)))
        carry, state, ys = split_list(outs, nk, len(state_avals))
        self.add(made.sites, state[0], state[1:])
        return [*carry, *ys]

    def while_(self, eqn: Eqn, operands: list) -> list:
        params = eqn.params
        nc, nb = params["cond_nconsts"], params["body_nconsts"]
        condition, body = (functionalized(params[k], self.kinds) for k in ("cond_jaxpr", "body_jaxpr"))
        plain = functionalized(params["cond_jaxpr"], _NO_KINDS).program
        sites = tuple(dict.fromkeys([*condition.sites, *body.sites]))
        if not sites:
            return while_p.bind(*operands, **dict(params, cond_jaxpr=plain, body_jaxpr=body.program))
        state_avals = [CODE, *value_avals(sites)]
        cond_consts, body_consts, init = split_list(operands, nc, nb)
        start = _Checker(self.kinds)
        if condition.sites:
            start.inline(condition, [*cond_consts, *init])

        def turn(*args):
            cc, bc, carry, state = split_list(args, nc, nb, len(init))
            checker = _Checker(self.kinds)
            checker.resume(sites, state)
            carry = checker.inline(body, [*bc, *carry])
            if condition.sites:
                checker.inline(condition, [*cc, *carry])
            return [*carry, *checker.state(sites)]

        def go_on(*args):
            return eval_jaxpr(plain.jaxpr, plain.consts, *args[: nc + len(init)])

        in_avals = params["cond_jaxpr"].in_avals
        program = ClosedJaxpr(*trace_to_jaxpr(turn, [*in_avals[:nc], *body.program.in_avals, *state_avals]))
        predicate = ClosedJaxpr(*trace_to_jaxpr(go_on, [*in_avals, *state_avals]))
        outs = while_p.bind(
            *cond_consts, *cond_consts, *body_consts, *init, *start.state(sites),
            **dict(params, cond_jaxpr=predicate, body_jaxpr=program, body_nconsts=nc + nb),
        )  # fmt: skip
        self.add(sites, outs[len(init)], outs[len(init) + 1 :])
        return outs[: len(init)]

    # -- what can go wrong in one equation

    def division(self, eqn: Eqn, operands: list) -> None:
        divisor = operands[1]
        dtype = get_aval(divisor).dtype
        if DivisionByZeroError not in self.kinds or not get_aval(divisor).size:
            return
        if eqn.primitive.name == "rem" and not dtypes.issubdtype(dtype, np.integer):
            return  # nan, which is what to look for
        site = Site(DivisionByZeroError, lambda: "division by zero", (), eqn.source)
        self.fail_if(any_of(eq(divisor, np.zeros((), dtype)[()])), site)

    def indexing(self, eqn: Eqn, operands: list) -> None:
        if OOBError not in self.kinds:
            return
        shape = eqn.invars[0].aval.shape
        name, params = eqn.primitive.name, eqn.params
        dtype = np.dtype(np.int64 if current_context().enable_x64 else np.int32)
        if name in ("dynamic_slice", "dynamic_update_slice"):
            starts = operands[1:] if name == "dynamic_slice" else operands[2:]
            sizes = params["slice_sizes"] if name == "dynamic_slice" else eqn.invars[1].aval.shape
            axes = tuple(range(len(starts)))
            if not axes:
                return
            parts = [expand_dims(convert(s, dtype), (0,)) for s in starts]
            indices = registry["concatenate"].bind(*parts, dimension=0)
        else:
            numbers, indices = params["dimension_numbers"], operands[1]
            axes = numbers.start_index_map if name == "gather" else numbers.scatter_dims_to_operand_dims
            sizes = params["slice_sizes"] if name == "gather" else _scatter_window(eqn)
            indices = convert(indices, dtype)
        count = int(np.prod(shape_of(indices)))
        if not count or not axes:
            return
        last = np.asarray([shape[d] - sizes[d] for d in axes], dtype)
        limit = broadcast_in_dim(last, shape_of(indices), (len(shape_of(indices)) - 1,))
        outside = reshape(or_(lt(indices, dtype.type(0)), gt(indices, limit)), (count,))
        at = position(outside)
        k = len(axes)

        def describe(place, index):
            axis = axes[int(place) % k]
            return (
                f"out-of-bounds indexing for array of shape {shape}: index {int(index)} is out of bounds for axis {axis} "
                f"with size {shape[axis]}."
            )

        site = Site(OOBError, describe, (CODE, ShapedArray((), dtype)), eqn.source)
        self.fail_if(any_of(outside), site, (at, element(reshape(indices, (count,)), at)))


def _scatter_window(eqn: Eqn) -> tuple[int, ...]:
    numbers, operand, updates = eqn.params["dimension_numbers"], eqn.invars[0].aval, eqn.invars[2].aval
    window = iter([updates.shape[d] for d in numbers.update_window_dims])
    dropped = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return tuple(1 if d in dropped else next(window) for d in range(operand.ndim))


def _without_checks(value):
    """A parameter whose programs, if it has any, do not check."""
    if isinstance(value, ClosedJaxpr):
        return functionalized(value, _NO_KINDS).program
    return tuple(map(_without_checks, value)) if type(value) is tuple else value


def _constant(x):
    """What checks look at is no part of any derivative."""
    return registry["stop_gradient"].bind(x) if dtypes.issubdtype(get_aval(x).dtype, np.inexact) else x


def choose(which, x, y):
    """``x`` where the scalar ``which`` holds, else ``y``."""
    return registry["select_n"].bind(which, y, x)


def any_of(x):
    return registry["reduce_or"].bind(x, axes=tuple(range(len(shape_of(x))))) if shape_of(x) else x


def position(flags):
    """The place of the first True among flags, counted through them all; 0 if there is none."""
    n = int(np.prod(shape_of(flags)))
    return registry["argmax"].bind(reshape(flags, (n,)), axes=(0,), index_dtype=np.dtype(np.int32))


def element(x, at):
    """``x[at]``, for an ``at`` within bounds."""
    rest = shape_of(x)[1:]
    start = (at, *(np.int32(0) for _ in rest))
    return reshape(registry["dynamic_slice"].bind(x, *start, slice_sizes=(1, *rest)), rest)


# Layout: what comes out went in.
_MOVES = frozenset(
    """broadcast_in_dim reshape transpose squeeze expand_dims slice dynamic_slice dynamic_update_slice concatenate pad rev copy
    copy_p convert_element_type select_n stop_gradient sort name optimization_barrier sharding_constraint while scan cond jit
    pvary all_gather all_to_all ppermute real imag complex split tile debug_callback pure_callback device_put""".split()
)
_INDEXING = "gather dynamic_slice dynamic_update_slice scatter scatter-add scatter-sub scatter-mul scatter-min scatter-max scatter-apply"
_WATCHED: dict[str, Callable[[_Checker, Eqn, list], None]] = {
    "div": _Checker.division, "rem": _Checker.division, **dict.fromkeys(_INDEXING.split(), _Checker.indexing)
}  # fmt: skip
_INSIDE: dict[str, Callable[[_Checker, Eqn, list], list]] = {
    "jit": _Checker.jit, "cond": _Checker.cond, "scan": _Checker.scan, "while": _Checker.while_,
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Checks that need no wrapper: programs that raise by themselves.

USER: Kinds = frozenset({FailedCheckError})
NAN: Kinds = frozenset({NaNError})
DIVISION: Kinds = frozenset({DivisionByZeroError})
INDEX: Kinds = frozenset({OOBError})


def prepare(closed: ClosedJaxpr, options: CompileOptions) -> ClosedJaxpr:
    """The program that raises at its end what its checks found, and those that the options ask for."""
    context = current_context()
    kinds = set(USER | NAN | DIVISION | INDEX) if context.debug_checks else {FailedCheckError, _NotDebug}
    for option, kind in (("nan", NaNError), ("divide", DivisionByZeroError), ("oob", OOBError)):
        if getattr(context, f"error_checking_behavior_{option}") == "raise":
            kinds.add(kind)
    return closed.derive(_raising, frozenset(kinds))


def _raising(closed: ClosedJaxpr, kinds: Kinds) -> ClosedJaxpr:
    made = functionalized(closed, kinds)
    if not made.sites:
        return made.program

    def run(*args):
        checker = _Checker(kinds)
        outs = checker.inline(made, args)
        check_p.bind(*checker.state(made.sites), sites=made.sites, kind=JaxRuntimeError, debug=False)
        return outs

    return ClosedJaxpr(*trace_to_jaxpr(run, closed.in_avals, closed.jaxpr.debug_info))


__all__ = ["DIVISION", "INDEX", "NAN", "USER", "Functionalized", "Kinds", "functionalized", "prepare", "value_avals"]
