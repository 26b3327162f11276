"""The rewrite rules of simplify: for each primitive, functions ``rule(s, operands, params, aval) -> replacement or None``.

``s`` is the simplifier (``s.emit`` makes equations, ``s.definition`` looks through variables), ``aval`` the type of the
result. Only identities that hold in IEEE arithmetic for every input, NaN, infinities and signed zeros included, or that
XLA:CPU applies without fast-math. The identity stands beside each rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core.avals import ShapedArray
from addax.core.jaxpr import Literal

RULES: dict[str, list[Callable[..., Any]]] = {}

# Operations that are rounded once or exact, so that NumPy and every engine agree to the last bit.
EXACT_FOLDS = frozenset(
    "add sub mul div neg max min and or xor not eq ne lt le gt ge convert_element_type select_n add_any sign abs rem "
    "floor ceil clamp integer_pow sqrt square is_finite".split()
)


def rule(*names: str):
    def register(f):
        for name in names:
            RULES.setdefault(name, []).append(f)
        return f

    return register


def _value(x):
    """The number if ``x`` is a literal, else None."""
    return x.val if type(x) is Literal else None


def _is(x, number) -> bool:
    """Whether ``x`` is the literal ``number``, sign of zero included."""
    v = _value(x)
    return (
        v is not None and bool(v == number) and (number != 0 or math.copysign(1, _real(v)) == math.copysign(1, number))
    )


def _real(v) -> float:
    return float(v.real) if isinstance(v, (complex, np.complexfloating)) else float(v)


def _fits(x, aval) -> bool:
    """Whether ``x`` can stand for a result of this type."""
    return x.aval.shape == aval.shape and x.aval.dtype == aval.dtype


def _kind(dtype) -> str:
    """b, i, u, f, c, or V for extended dtypes; bfloat16 and float8 are floats."""
    if not isinstance(dtype, np.dtype):
        return "V"
    return "f" if dtype.kind == "V" else dtype.kind


def _is_int(aval) -> bool:
    return _kind(aval.dtype) in "iu"


# ---- identities that say nothing


@rule("stop_gradient", "copy", "copy_p", "name", "to_memory", "sharding_constraint", "pvary")  # f(x) -> x
def _transparent(s, ops, params, aval):
    return list(ops)


@rule("reshape", "broadcast_in_dim", "transpose", "squeeze", "slice", "rev", "convert_element_type", "reduce_precision")
def _same_type(s, ops, params, aval):  # a layout op that changes nothing -> x
    if len(ops) != 1 or not _fits(ops[0], aval):
        return None
    p = params
    if p.get("exponent_bits") is not None:
        return None
    if "permutation" in p and tuple(p["permutation"]) != tuple(range(len(aval.shape))):
        return None
    if p.get("dimensions") is not None and "new_sizes" not in p and any(aval.shape[d] > 1 for d in p["dimensions"]):
        return None  # rev
    if "broadcast_dimensions" in p and tuple(p["broadcast_dimensions"]) != tuple(range(len(aval.shape))):
        return None
    return ops[0]


@rule("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "reduce_xor")
def _reduce_nothing(s, ops, params, aval):  # a reduction over dimensions of size 1 -> reshape
    x = ops[0]
    if len(ops) != 1 or any(x.aval.shape[a] != 1 for a in params["axes"]) or x.aval.dtype != aval.dtype:
        return None
    if not params["axes"]:
        return x
    return s.emit("reshape", [x], aval, new_sizes=aval.shape, dimensions=None, sharding=None)


# ---- arithmetic


@rule("add_any")  # add_any(x, y) -> add(x, y)
def _add_any(s, ops, params, aval):
    return s.emit("add", ops, aval) if isinstance(aval, ShapedArray) and _kind(aval.dtype) != "V" else None


@rule("add")  # x + -0.0 -> x (x + 0.0 would turn -0.0 into 0.0); for ints x + 0 -> x; x + (-y) -> x - y
def _add(s, ops, params, aval):
    x, y = ops
    for a, b in ((x, y), (y, x)):
        if _fits(a, aval) and (_is(b, -0.0) if _kind(aval.dtype) == "f" else _is_int(aval) and _is(b, 0)):
            return a
    neg = s.definition(y, "neg")
    if neg is not None and s.used_once(y):
        return s.emit("sub", [x, neg.invars[0]], aval)
    return None


@rule("sub")  # x - 0 -> x; x - (-y) -> x + y
def _sub(s, ops, params, aval):
    x, y = ops
    if _fits(x, aval) and _kind(aval.dtype) in "iuf" and _is(y, 0):
        return x
    neg = s.definition(y, "neg")
    if neg is not None and s.used_once(y):
        return s.emit("add", [x, neg.invars[0]], aval)
    return None


@rule("mul")  # x * 1 -> x; x * -1 -> -x
def _mul(s, ops, params, aval):
    for x, y in (ops, ops[::-1]):
        if _fits(x, aval) and _kind(aval.dtype) in "iuf":
            if _is(y, 1):
                return x
            if _is(y, -1) and _kind(aval.dtype) != "u":
                return s.emit("neg", [x], aval)
    return None


@rule("div")  # x / 1 -> x; x / 2^k -> x * 2^-k, exact while both are normal numbers
def _div(s, ops, params, aval):
    x, y = ops
    v = _value(y)
    if v is None:
        return None
    if _is(y, 1) and _fits(x, aval):
        return x
    if (
        isinstance(aval.dtype, np.dtype)
        and aval.dtype in (np.float32, np.float64)
        and float(v) != 0
        and math.isfinite(v)
    ):
        mantissa, exponent = math.frexp(v)
        if mantissa in (0.5, -0.5) and abs(exponent) < 60:
            return s.emit("mul", [x, Literal(aval.dtype.type(1.0 / float(v)), y.aval)], aval)
    return None


@rule("neg")  # -(-x) -> x
def _neg(s, ops, params, aval):
    inner = s.definition(ops[0], "neg")
    return inner.invars[0] if inner is not None else None


@rule("not")  # ~~x -> x
def _not(s, ops, params, aval):
    inner = s.definition(ops[0], "not")
    return inner.invars[0] if inner is not None else None


@rule("max")  # max(-inf, x) -> x, NaN included
def _max(s, ops, params, aval):
    for x, y in (ops, ops[::-1]):
        if _fits(x, aval) and _kind(aval.dtype) == "f" and _is(y, -math.inf):
            return x
    return None


@rule("min")  # min(inf, x) -> x
def _min(s, ops, params, aval):
    for x, y in (ops, ops[::-1]):
        if _fits(x, aval) and _kind(aval.dtype) == "f" and _is(y, math.inf):
            return x
    return None


@rule("integer_pow")  # x**1 -> x; x**2 -> x*x
def _integer_pow(s, ops, params, aval):
    y = params["y"]
    if y == 1:
        return ops[0]
    return s.emit("mul", [ops[0], ops[0]], aval) if y == 2 else None


@rule("square")  # square(x) -> x*x
def _square(s, ops, params, aval):
    return s.emit("mul", [ops[0], ops[0]], aval)


@rule("pow")  # pow(x, 2.0) -> x*x; pow(x, 1.0) -> x
def _pow(s, ops, params, aval):
    x, y = ops
    if _is(y, 2) and _fits(x, aval):
        return s.emit("mul", [x, x], aval)
    return x if _is(y, 1) and _fits(x, aval) else None


# ---- types


@rule("convert_element_type")
def _convert_chain(s, ops, params, aval):
    """convert(convert(x: A -> B) -> C) -> convert(x: A -> C), if B holds every A exactly."""
    inner = s.definition(ops[0], "convert_element_type")
    if inner is None:
        return None
    x = inner.invars[0]
    a, b, c = x.aval.dtype, ops[0].aval.dtype, aval.dtype
    if not _holds(b, a):
        return None
    if a == c:
        return x
    if (_kind(a) in "biu") == (_kind(b) in "biu") and _kind(a) != "b" and _kind(c) != "b":
        return s.emit("convert_element_type", [x], aval, **dict(params))
    return None


def _holds(wide, narrow) -> bool:
    """Whether every value of ``narrow`` is one of ``wide``."""
    if _kind(wide) not in "iuf" or _kind(narrow) not in "biuf" or wide == narrow:
        return False
    if _kind(narrow) == "b":
        return True
    if _kind(narrow) == "f":
        return _kind(wide) == "f" and (
            (wide == np.float64 and narrow.itemsize < 8) or (wide == np.float32 and narrow.itemsize < 4)
        )
    bits = narrow.itemsize * 8 - (_kind(narrow) == "i")
    if _kind(wide) == "f":
        return bits <= {np.dtype(np.float64): 53, np.dtype(np.float32): 24}.get(wide, 0)
    if _kind(wide) == "u" and _kind(narrow) == "i":
        return False
    return bits <= wide.itemsize * 8 - (_kind(wide) == "i")


@rule("select_n")  # select_n(literal, ...) -> the chosen case; select_n(p, x, x) -> x
def _select(s, ops, params, aval):
    which, *cases = ops
    v = _value(which)
    if v is not None and not which.aval.shape:
        chosen = cases[max(0, min(int(v), len(cases) - 1))]
        return chosen if _fits(chosen, aval) else None
    first = cases[0]
    return first if type(first) is not Literal and all(c is first for c in cases) and _fits(first, aval) else None


# ---- layout


@rule("iota")  # iota[shape, dimension] -> broadcast of the counting vector: then any view of it is still a formula
def _iota(s, ops, params, aval):
    shape, d = aval.shape, params["dimension"]
    if len(shape) == 1 or ops:
        return None
    line = s.emit(
        "iota",
        [],
        ShapedArray((shape[d],), aval.dtype),
        dtype=params["dtype"],
        shape=(shape[d],),
        dimension=0,
        sharding=None,
    )
    return s.emit("broadcast_in_dim", [line], aval, shape=shape, broadcast_dimensions=(d,), sharding=None)


@rule("transpose")  # transpose(dot(a, b)) -> dot(b, a), when only free dimensions trade places
def _transposed_dot(s, ops, params, aval):
    dot = s.definition(ops[0], "dot_general")
    if dot is None or not s.used_once(ops[0]):
        return None
    a, b = dot.invars
    (ca, cb), (ba, bb) = dot.params["dimension_numbers"]
    n_batch, free_a = len(ba), len(a.aval.shape) - len(ba) - len(ca)
    n = len(aval.shape)
    wanted = (*range(n_batch), *range(n_batch + free_a, n), *range(n_batch, n_batch + free_a))
    if tuple(params["permutation"]) != wanted:
        return None
    dims = ((tuple(cb), tuple(ca)), (tuple(bb), tuple(ba)))
    return s.emit("dot_general", [b, a], aval, dot, **(dot.params | {"dimension_numbers": dims}))


@rule("dot_general")  # a dot b without a sum -> the products, which fuse with what adds them up (gradients of weights)
def _outer_product(s, ops, params, aval):
    a, b = ops
    if params["dimension_numbers"] != (((), ()), ((), ())) or not a.aval.dtype == b.aval.dtype == aval.dtype:
        return None
    first = len(a.aval.shape)
    spread = [
        x if x.aval.shape == aval.shape
        else s.emit("broadcast_in_dim", [x], ShapedArray(aval.shape, aval.dtype), shape=aval.shape,
                    broadcast_dimensions=tuple(range(at, at + len(x.aval.shape))), sharding=None)
        for x, at in ((a, 0), (b, first))
    ]  # fmt: skip
    return s.emit("mul", spread, aval)


# ---- control flow


@rule("cond")  # cond(literal) -> the chosen branch
def _cond(s, ops, params, aval):
    v = _value(ops[0])
    if v is None:
        return None
    branches = params["branches"]
    branch = branches[max(0, min(int(v), len(branches) - 1))]
    if branch.effects:
        return None
    env: dict = {}
    s.bind_consts(branch, env)
    env.update(zip(branch.jaxpr.invars, ops[1:], strict=True))
    s.count_uses(branch.jaxpr)
    return s.walk(branch.jaxpr, env, fresh=True)
