"""What running a program costs: arithmetic and memory traffic, counted in its jaxpr.

All engines use it, because it counts what XLA's own analysis does not: a loop costs as much as all of its turns. What a
number means is what it means there:

* ``flops``: one per element of the result for simple arithmetic, comparisons, selections and conversions; two for a product
  and a sum in a matrix product or a convolution; n - 1 for the sum of n; complex arithmetic by its real operations;
  factorisations by the leading term of their textbook count (Golub & Van Loan).
* ``transcendentals``: one per element for exp, log, sqrt, tanh and their like, which are not in ``flops``.
* ``bytes accessed``: what operations read and write. Chains of elementwise operations, and reductions of them, keep what is
  between them in registers; reshapes and transposes are other views of memory; slices and gathers read, and updates write,
  only their part.

The body of a `scan` counts as often as its length says. That of a `while` counts as often as it runs if that can be seen: a
counter with known start, step and bound. Otherwise it counts once, and ``loops of unknown length`` says how many such loops
there are. Of the branches of a `cond`, the most expensive counts; of a program over several devices, all devices together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, subjaxprs

UNKNOWN_LOOPS = "loops of unknown length"

_TRANSCENDENTAL = frozenset(
    "acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1 "
    "igamma igamma_grad_a igammac lgamma log log1p polygamma pow random_gamma_grad random_gamma_grad_a "
    "regularized_incomplete_beta rsqrt sin sinh sqrt tan tanh zeta".split()
)
_ARITHMETIC = frozenset(
    "abs add add_any and ceil clamp clz complex conj convert_element_type div eq eq_to floor ge gt imag is_finite le le_to lt "
    "lt_to max min mul mulhi ne neg nextafter not or population_count real reduce_precision rem round select_n shift_left "
    "shift_right_arithmetic shift_right_logical sign square sub xor".split()
)
# Elementwise, but free: names for values.
_FREE = frozenset(
    "name to_memory optimization_barrier pvary copy stop_gradient random_wrap random_unwrap random_clone".split()
)
# Other views of the same memory.
_VIEWS = frozenset("reshape squeeze transpose bitcast_convert_type sharding_constraint".split())
_FUSED = _TRANSCENDENTAL | _ARITHMETIC | _FREE | frozenset(("integer_pow", "logistic", "broadcast_in_dim", "iota"))
_REDUCTIONS = frozenset(
    "argmax argmin reduce reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor".split()
)
_WINDOWS = frozenset("reduce_window reduce_window_max reduce_window_min reduce_window_sum".split())
_SCANS = frozenset("cumlogsumexp cummax cummin cumprod cumsum".split())
_PARTIAL_READS = frozenset("dynamic_slice gather slice".split())
_COMPLEX_FLOPS = {"add": 2, "sub": 2, "add_any": 2, "mul": 6, "div": 11, "neg": 2, "square": 5, "conj": 1, "abs": 3}
# Per 32-bit word: 20 rounds of an addition, a rotation and an exclusive or, and the keys, for two words.
_RANDOM_FLOPS = 58.0

# Per matrix with m rows and n columns (m = n unless said otherwise).
_FACTORISATIONS = {
    "cholesky": lambda m, n: n**3 / 3,
    "lu": lambda m, n: m * n * min(m, n) - (m + n) * min(m, n) ** 2 / 2 + min(m, n) ** 3 / 3,
    "geqrf": lambda m, n: 2 * max(m, n) * min(m, n) ** 2 - 2 * min(m, n) ** 3 / 3,
    "qr": lambda m, n: 4 * max(m, n) * min(m, n) ** 2 - 4 * min(m, n) ** 3 / 3,
    "householder_product": lambda m, n: 2 * m * n**2 - 2 * n**3 / 3,
    "eigh": lambda m, n: 9 * n**3,
    "eig": lambda m, n: 25 * n**3,
    "svd": lambda m, n: 4 * max(m, n) ** 2 * min(m, n) + 22 * min(m, n) ** 3,
    "schur": lambda m, n: 25 * n**3,
    "hessenberg": lambda m, n: 10 * n**3 / 3,
    "tridiagonal": lambda m, n: 4 * n**3 / 3,
    "tridiagonal_solve": lambda m, n: 8 * n,
}


class Cost:
    """A sum of costs."""

    __slots__ = ("bytes", "flops", "transcendentals", "unknown_loops")

    def __init__(
        self, flops: float = 0.0, transcendentals: float = 0.0, moved: float = 0.0, unknown_loops: float = 0.0
    ):
        self.flops, self.transcendentals, self.bytes = flops, transcendentals, moved
        self.unknown_loops = unknown_loops

    def add(self, other: Cost, times: float = 1.0) -> None:
        self.flops += times * other.flops
        self.transcendentals += times * other.transcendentals
        self.bytes += times * other.bytes
        self.unknown_loops += other.unknown_loops

    def as_dict(self) -> dict[str, float]:
        """As `cost_analysis` returns it. Loops of unknown length are named only if there are any."""
        found = {"flops": self.flops, "transcendentals": self.transcendentals, "bytes accessed": self.bytes}
        return found | ({UNKNOWN_LOOPS: self.unknown_loops} if self.unknown_loops else {})


def cost_of(closed: ClosedJaxpr) -> Cost:
    """The cost of running a program once.

    >>> import addax, addax.numpy as jnp
    >>> program = addax.make_jaxpr(lambda x: addax.lax.scan(lambda c, _: (jnp.sin(c) * 2, None), x, None, length=10)[0])
    >>> cost_of(program(jnp.ones(100))).as_dict()
    {'flops': 1000.0, 'transcendentals': 1000.0, 'bytes accessed': 8000.0}
    """
    known = {v: c for v, c in zip(closed.jaxpr.constvars, closed.consts, strict=True) if _number(c) is not None}
    return _program(closed.jaxpr, known)


def has_loops(closed: ClosedJaxpr) -> bool:
    """Whether there is a `scan` or a `while` in a program."""
    stack = [closed.jaxpr]
    while stack:
        for eqn in stack.pop().eqns:
            if eqn.primitive.name in ("scan", "while"):
                return True
            stack += subjaxprs(eqn.params)
    return False


def _number(x: Any) -> float | int | None:
    """The value of a scalar that is known."""
    if isinstance(x, (bool, int, float)):
        return x
    if getattr(x, "shape", None) != () or (getattr(x, "aval", None) is not None and not hasattr(x, "_value")):
        return None
    try:
        return x.item()
    except (AttributeError, TypeError, ValueError):
        return None


def _program(jaxpr: Jaxpr, known: Mapping[Any, Any]) -> Cost:
    numbers = {v: _number(x) for v, x in known.items()}

    def value(x) -> Any:
        return _number(x.val) if type(x) is Literal else numbers.get(x)

    chains = _Chains(jaxpr)
    total = Cost()
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "convert_element_type" and value(eqn.invars[0]) is not None:
            numbers[eqn.outvars[0]] = value(eqn.invars[0])
        total.add(_equation(eqn, value, chains))
    return total


def _inner(program: ClosedJaxpr | Jaxpr, operands=(), value=None) -> Cost:
    """The cost of a program inside an equation, to which some scalars are handed that are known."""
    if isinstance(program, Jaxpr):
        return _program(program, {})
    known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    if value is not None:
        known |= {v: value(x) for v, x in zip(program.jaxpr.invars, operands, strict=False) if value(x) is not None}
    return _program(program.jaxpr, {v: x for v, x in known.items() if _number(x) is not None})


class _Chains:
    """Which elementwise operations run together: those linked by values that never are in memory.

    Such a value is made by an elementwise operation and read only by such, or by reductions. What a chain reads from memory
    it reads once.
    """

    def __init__(self, jaxpr: Jaxpr):
        self.results = {x for x in jaxpr.outvars if type(x) is not Literal}
        in_registers = {v for eqn in jaxpr.eqns if eqn.primitive.name in _FUSED for v in eqn.outvars}
        in_registers -= self.results
        for eqn in jaxpr.eqns:
            if eqn.primitive.name not in _FUSED and eqn.primitive.name not in _REDUCTIONS:
                in_registers.difference_update(x for x in eqn.invars if type(x) is not Literal)
        self.in_registers = in_registers
        self._leader: dict[Any, Any] = {}  # of in-register values: one in the same chain, in the end its representative
        self._read: set[tuple[Any, Any]] = set()
        for eqn in jaxpr.eqns:
            linked = [x for x in (*eqn.invars, *eqn.outvars) if type(x) is not Literal and x in in_registers]
            for x in linked[1:]:
                self._leader[self._chain(x)] = self._chain(linked[0])

    def _chain(self, x: Any) -> Any:
        while (leader := self._leader.get(x, x)) is not x:
            self._leader[x] = self._leader.get(leader, leader)
            x = leader
        return x

    def reads(self, eqn: Eqn) -> list[Any]:
        """What an equation reads from memory that its chain has not read yet."""
        operands = dict.fromkeys(x for x in eqn.invars if type(x) is not Literal)
        link = next((x for x in (*operands, *eqn.outvars) if x in self.in_registers), None)
        chain = eqn if link is None else self._chain(link)
        found = [x for x in operands if x not in self.in_registers and (chain, x) not in self._read]
        self._read.update((chain, x) for x in found)
        return found

    def writes(self, eqn: Eqn) -> list[Any]:
        return [v for v in eqn.outvars if v not in self.in_registers]


def _size(x: Any) -> int:
    return getattr(x.aval, "size", 0)


def _nbytes(x: Any) -> float:
    """Bytes of a variable; literals are in the code."""
    if type(x) is Literal or not hasattr(x.aval, "dtype"):
        return 0.0
    return float(x.aval.size * x.aval.dtype.itemsize)


def _equation(eqn: Eqn, value, chains: _Chains) -> Cost:
    name, params = eqn.primitive.name, eqn.params
    called = _call(eqn, value)
    if called is not None:
        return called
    flops, transcendentals = _arithmetic(eqn)
    if name in _VIEWS or name in _FREE:
        copied = name == "transpose" and eqn.outvars[0] in chains.results
        return Cost(moved=2 * _nbytes(eqn.outvars[0]) if copied else 0.0)
    moved = sum(map(_nbytes, chains.reads(eqn))) + sum(map(_nbytes, chains.writes(eqn)))
    if name in _PARTIAL_READS:
        moved = 2 * sum(map(_nbytes, eqn.outvars)) + sum(map(_nbytes, eqn.invars[1:]))
    elif name == "dynamic_update_slice" or name.startswith("scatter"):
        update = 1 if name == "dynamic_update_slice" else 2
        moved = 2 * _nbytes(eqn.invars[update]) + sum(
            _nbytes(x) for i, x in enumerate(eqn.invars) if i not in (0, update)
        )
    if name in ("reduce", "reduce_window", "scatter-apply"):  # a program that combines two elements, or changes one
        steps = _size(eqn.invars[0]) - _size(eqn.outvars[0]) if name == "reduce" else flops
        for program in subjaxprs(params):
            inner = _program(program, {})
            flops, transcendentals = steps * inner.flops, steps * inner.transcendentals
    return Cost(flops, transcendentals, moved)


def _call(eqn: Eqn, value) -> Cost | None:
    """The cost of an equation that runs programs; None for others."""
    name, params, total = eqn.primitive.name, eqn.params, Cost()
    if name == "scan":
        total.add(_inner(params["jaxpr"], eqn.invars[: params["num_consts"]], value), params["length"])
    elif name == "while":
        turns = trip_count(eqn, value)
        condition, body = _inner(params["cond_jaxpr"]), _inner(params["body_jaxpr"])
        total.add(body, 1 if turns is None else turns)
        total.add(condition, 2 if turns is None else turns + 1)
        if turns is None:
            total.unknown_loops += 1
    elif name == "cond":
        branches = [_inner(b, eqn.invars[1:], value) for b in params["branches"]]
        total.add(max(branches, key=lambda c: (c.flops + c.transcendentals, c.bytes)))
    elif name == "shard_map":
        devices = math.prod(dict(params["mesh"].shape).values())
        for program in subjaxprs(params):
            total.add(_program(program, {}), devices)
    elif eqn.primitive.expand is not None:
        total.add(_inner(eqn.primitive.expand(*(x.aval for x in eqn.invars), **params), eqn.invars, value))
    else:
        return None
    return total


def _arithmetic(eqn: Eqn) -> tuple[float, float]:
    """``(flops, transcendentals)`` of one equation that runs no program."""
    name = eqn.primitive.name
    out = _size(eqn.outvars[0]) if eqn.outvars else 0
    into = _size(eqn.invars[0]) if eqn.invars else 0
    dtype = getattr(eqn.invars[0].aval, "dtype", None) if eqn.invars else None
    is_complex = getattr(dtype, "kind", "") == "c"
    if name in _TRANSCENDENTAL:
        return 0.0, float(out)
    if name in _ARITHMETIC:
        return float(out * (_COMPLEX_FLOPS.get(name, 1) if is_complex else 1)), 0.0
    if name == "logistic":
        return 3.0 * out, float(out)
    if name == "integer_pow":
        power = abs(eqn.params["y"])
        products = max(power.bit_length() - 1 + power.bit_count() - 1, 0) + (eqn.params["y"] < 0)
        return float(out * products * (6 if is_complex else 1)), 0.0
    if name == "dot_general":
        (contract, _), _ = eqn.params["dimension_numbers"]
        depth = math.prod(eqn.invars[0].aval.shape[d] for d in contract)
        return (8.0 if is_complex else 2.0) * out * depth, 0.0
    if name == "conv_general_dilated":
        numbers = eqn.params["dimension_numbers"]
        kernel = eqn.invars[1].aval
        per_result = kernel.size // max(kernel.shape[numbers.rhs_spec[0]], 1)
        return (8.0 if is_complex else 2.0) * out * per_result, 0.0
    if name in _REDUCTIONS:
        return float(max(into - out, 0)) * (2 if is_complex else 1), 0.0
    if name in _SCANS:
        return float(max(into - 1, 0)), float(into) if name == "cumlogsumexp" else 0.0
    if name in _WINDOWS:
        return float(out * max(math.prod(eqn.params["window_dimensions"]) - 1, 0)), 0.0
    if name in ("sort", "top_k", "approx_top_k"):
        d = eqn.params.get("dimension", -1)
        return into * math.log2(max(eqn.invars[0].aval.shape[d], 2)), 0.0
    if name.startswith("scatter-"):
        return float(_size(eqn.invars[2])), 0.0
    if name == "fft":
        length = math.prod(eqn.params["fft_lengths"])
        return 5.0 * max(into, out) * math.log2(max(length, 2)) / (1 if is_complex else 2), 0.0
    if name == "triangular_solve":
        a, b = eqn.invars[0].aval, eqn.invars[1].aval
        return (4.0 if is_complex else 1.0) * b.size * a.shape[-1], 0.0
    if name in _FACTORISATIONS:
        shape = eqn.invars[0].aval.shape
        m, n = (shape[-2], shape[-1]) if len(shape) > 1 else (1, shape[-1])
        each = _FACTORISATIONS[name](m, n)
        return each * math.prod(shape[:-2]) * (4.0 if is_complex else 1.0), 0.0
    if name in ("random_bits", "threefry2x32"):
        words = sum(map(_nbytes, eqn.outvars)) / 4
        return _RANDOM_FLOPS * words, 0.0
    return 0.0, 0.0


_COMPARE = {
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
    "ne": lambda a, b: a != b,
}  # fmt: skip


def trip_count(eqn: Eqn, value) -> int | None:
    """How often a ``while`` equation runs its body, if it counts from a known start by a known step to a known bound.

    Args:
      eqn: the equation.
      value: gives the number that an operand of it is known to be, or None.
    """
    condition, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    nc, nb = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    carry = eqn.invars[nc + nb :]
    tests = condition.jaxpr.eqns
    if len(tests) != 1 or tests[0].primitive.name not in _COMPARE or condition.jaxpr.outvars != tests[0].outvars:
        return None
    numbered = {v: i for i, v in enumerate(condition.jaxpr.invars)}
    constants = dict(zip(condition.jaxpr.constvars, condition.consts, strict=True))
    steps = [_step(body.jaxpr, nb + i, body.jaxpr.outvars[i]) for i in range(len(carry))]

    def start_and_step(x) -> tuple[Any, Any]:
        if type(x) is Literal:
            return _number(x.val), 0
        if x in constants:
            return _number(constants[x]), 0
        i = numbered[x]
        return (value(eqn.invars[i]), 0) if i < nc else (value(carry[i - nc]), steps[i - nc])

    (a, da), (b, db) = map(start_and_step, tests[0].invars)
    if None in (a, b, da, db) or not all(isinstance(x, int) for x in (a, b, da, db)):
        return None
    compare = _COMPARE[tests[0].primitive.name]
    if not compare(a, b):
        return 0
    closing = db - da  # how fast a - b falls towards the end
    distance = a - b
    if tests[0].primitive.name == "ne":
        return distance // closing if closing and distance % closing == 0 and distance // closing >= 0 else None
    if tests[0].primitive.name in ("gt", "ge"):
        return None if closing <= 0 else _turns(distance, closing, tests[0].primitive.name == "ge")
    return None if closing >= 0 else _turns(-distance, -closing, tests[0].primitive.name == "le")


def _turns(distance: int, closing: int, inclusive: bool) -> int:
    """The number of steps until ``distance - steps * closing`` is no longer positive (or, inclusive, is negative)."""
    return distance // closing + 1 if inclusive else -(-distance // closing)


def _step(body: Jaxpr, argument: int, result: Any) -> int | None:
    """By how much the body changes an argument; 0 if it hands it on."""
    v = body.invars[argument]
    if result is v:
        return 0
    made = next((e for e in body.eqns if result in e.outvars), None)
    if made is None or made.primitive.name not in ("add", "sub") or len(made.invars) != 2:
        return None
    a, b = made.invars
    if a is v and type(b) is Literal:
        step = _number(b.val)
        return step if step is None or made.primitive.name == "add" else -step  # type: ignore[return-value]
    if b is v and type(a) is Literal and made.primitive.name == "add":
        return _number(a.val)  # type: ignore[return-value]
    return None
