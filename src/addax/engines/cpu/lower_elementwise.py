"""Elementwise primitives and reductions in the vocabulary of the loop-nest IR.

`op_of(eqn)` gives ``(op, attrs)``, or None if the IR has no such op at these dtypes; then the equation is a host step.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from addax.core.jaxpr import Eqn
from addax.engines.cpu.loop_ops import DTYPES, OPS, check_types

# jaxpr primitive -> op, where the names differ
RENAMED = {
    "convert_element_type": "convert", "add_any": "add", "copy_p": "copy", "stop_gradient": "copy",
    "sharding_constraint": "copy",
}  # fmt: skip
SAME = frozenset(OPS) - {"iota", "select", "fma", "convert"}

# reduction -> accumulator
REDUCTIONS = {
    "reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min", "reduce_and": "and",
    "reduce_or": "or", "reduce_xor": "xor", "argmax": "argmax", "argmin": "argmin",
}  # fmt: skip

# What may be done with keys, which are 64-bit words to the IR.
MOVES_KEYS = frozenset({"select_n", "copy", "copy_p", "sharding_constraint", "eq", "ne"})

NO_ATTRS: dict[str, Any] = {}


def element_name(dtype) -> str | None:
    """The IR's name of a dtype; None if the IR does not compute with it. Keys are moved as 64-bit words."""
    if type(dtype) is not np.dtype and not isinstance(dtype, np.dtype):
        return "uint64" if getattr(dtype, "itemsize", 0) == 8 else None
    return _NAMES.get(dtype)


_NAMES: dict[np.dtype, str] = {np.dtype(getattr(ml_dtypes, name, name)): name for name in DTYPES}

_cache: dict[Any, Any] = {}


def op_of(eqn: Eqn) -> tuple[str, dict[str, Any]] | None:
    """The IR op and attributes that compute an equation with one result, or None."""
    name = eqn.primitive.name
    params = eqn.params
    key = (name, tuple([x.aval.dtype for x in eqn.invars]), eqn.outvars[0].aval.dtype, *_relevant(name, params))
    try:
        return _cache[key]
    except KeyError:
        found = _cache[key] = _op_of(name, key[1], key[2], params)
        return found


def _relevant(name, params) -> tuple:
    if name == "integer_pow":
        return (params["y"],)
    if name == "round":
        return (int(params["rounding_method"]),)
    if name == "reduce_precision":
        return (params["exponent_bits"], params["mantissa_bits"])
    return ()


def _op_of(name, in_dtypes, out_dtype, params):
    ins = [element_name(d) for d in in_dtypes]
    out = element_name(out_dtype)
    if out is None or None in ins:
        return None
    if name in REDUCTIONS:
        return _reduction(name, ins[0], out)
    if any(not isinstance(d, np.dtype) for d in (*in_dtypes, out_dtype)) and name not in MOVES_KEYS:
        return None
    op = RENAMED.get(name, name)
    if name not in RENAMED and name not in SAME:
        return None
    attrs: dict[str, Any] = NO_ATTRS
    if op == "integer_pow":
        attrs = {"y": int(params["y"])}
    elif op == "round":
        attrs = {"to_even": bool(int(params["rounding_method"]) == 1)}
    elif op == "reduce_precision":
        attrs = {"exponent_bits": int(params["exponent_bits"]), "mantissa_bits": int(params["mantissa_bits"])}
    elif op == "conj":
        if ins != [out]:
            return None
    elif op == "clamp":
        return (op, attrs) if set(ins) == {out} and check_types(op, ins, out, attrs) is None else None
    if check_types(op, ins, out, attrs) is not None:
        return None
    return op, attrs


def _reduction(name, operand, out):
    acc = REDUCTIONS[name]
    kind = DTYPES[operand].kind
    if acc in ("argmax", "argmin"):
        return (acc, NO_ATTRS) if kind in "iufb" and DTYPES[out].kind in "iu" else None
    if operand != out or (acc in ("and", "or", "xor") and kind not in "biu") or (acc == "add" and kind == "b"):
        return None
    if kind == "c" and acc not in ("add", "mul"):
        return None
    return acc, NO_ATTRS


def op_cost(eqn: Eqn) -> float:
    """Rough vector instructions per element (float32); wider types cost more."""
    name = eqn.primitive.name
    if name in REDUCTIONS:
        return 1.0
    op = RENAMED.get(name, name)
    cost = OPS[op].cost if op in OPS else 4
    return float(cost) * (2 if eqn.outvars[0].aval.dtype.itemsize == 8 else 1)
