"""The dtypes and ops of the loop-nest IR, with their typing rules: one table that the validator, the emitter and the
tests share.

Op names and meanings are those of the jaxpr primitives. Where the hardware or C would trap or leave a case undefined,
JAX's answer holds:

* integer ``x / 0`` is -1 (all ones), ``x rem 0`` is ``x``, ``MIN / -1`` is ``MIN`` and ``MIN rem -1`` is 0;
* shifts by an amount outside ``0 .. bits-1`` give 0, or the sign for ``shift_right_arithmetic``;
* float to integer ``convert`` truncates, saturates at the ends of the type, and takes NaN to 0;
* ``max``, ``min`` and ``clamp`` give NaN if an operand is NaN; ``sign`` of NaN is NaN and keeps the sign of zero.

Attributes: ``integer_pow`` y (int); ``round`` to_even (bool); ``iota`` var (loop variable);
``reduce_precision`` exponent_bits, mantissa_bits.
"""

from __future__ import annotations

from typing import NamedTuple


class DType(NamedTuple):
    """``kind`` b, i, u, f, c; ``bits`` in memory; ``compute`` the dtype that registers hold."""

    kind: str
    bits: int
    compute: str


DTYPES: dict[str, DType] = {
    "bool": DType("b", 8, "bool"),
    **{f"int{n}": DType("i", n, f"int{n}") for n in (8, 16, 32, 64)},
    **{f"uint{n}": DType("u", n, f"uint{n}") for n in (8, 16, 32, 64)},
    "float16": DType("f", 16, "float32"),
    "bfloat16": DType("f", 16, "float32"),
    "float8_e4m3fn": DType("f", 8, "float32"),
    "float8_e5m2": DType("f", 8, "float32"),
    "float32": DType("f", 32, "float32"),
    "float64": DType("f", 64, "float64"),
    "complex64": DType("c", 64, "complex64"),
    "complex128": DType("c", 128, "complex128"),
}

REAL_OF = {"complex64": "float32", "complex128": "float64"}
COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}


class Op(NamedTuple):
    """``arity``; ``rule`` how operand and result types relate; ``kinds`` of operands allowed; ``cost`` in rough
    vector instructions (float32).
    """

    arity: int
    rule: str
    kinds: str
    cost: int = 1


# Rules: same = operands and result share one dtype; compare = operands share one, result bool; the others are in
# check_types.
OPS: dict[str, Op] = {
    # arithmetic
    "add": Op(2, "same", "iufc"),
    "sub": Op(2, "same", "iufc"),
    "mul": Op(2, "same", "iufc"),
    "div": Op(2, "same", "iufc", 4),
    "rem": Op(2, "same", "iuf", 12),
    "neg": Op(1, "same", "iufc"),
    "abs": Op(1, "real", "iufc"),
    "sign": Op(1, "same", "iufc", 3),
    "max": Op(2, "same", "biuf", 3),
    "min": Op(2, "same", "biuf", 3),
    "clamp": Op(3, "same", "biuf", 6),
    "square": Op(1, "same", "iufc"),
    "fma": Op(3, "same", "f"),
    "mulhi": Op(2, "same", "iu", 6),
    "floor": Op(1, "same", "f"),
    "ceil": Op(1, "same", "f"),
    "round": Op(1, "same", "f", 4),
    "nextafter": Op(2, "same", "f", 10),
    # powers
    "integer_pow": Op(1, "same", "iufc", 4),
    "pow": Op(2, "pow", "iufc", 60),
    "sqrt": Op(1, "same", "fc", 6),
    "rsqrt": Op(1, "same", "fc", 8),
    "cbrt": Op(1, "same", "f", 25),
    # exponentials and logarithms
    "exp": Op(1, "same", "fc", 14),
    "exp2": Op(1, "same", "fc", 14),
    "expm1": Op(1, "same", "fc", 24),
    "log": Op(1, "same", "fc", 22),
    "log1p": Op(1, "same", "fc", 28),
    "logistic": Op(1, "same", "fc", 18),
    # trigonometry
    "sin": Op(1, "same", "fc", 35),
    "cos": Op(1, "same", "fc", 35),
    "tan": Op(1, "same", "fc", 45),
    "asin": Op(1, "same", "fc", 25),
    "acos": Op(1, "same", "fc", 25),
    "atan": Op(1, "same", "fc", 25),
    "atan2": Op(2, "same", "f", 35),
    "sinh": Op(1, "same", "fc", 30),
    "cosh": Op(1, "same", "fc", 25),
    "tanh": Op(1, "same", "fc", 28),
    "asinh": Op(1, "same", "fc", 40),
    "acosh": Op(1, "same", "fc", 40),
    "atanh": Op(1, "same", "fc", 40),
    # special functions
    "erf": Op(1, "same", "f", 35),
    "erfc": Op(1, "same", "f", 60),
    "erf_inv": Op(1, "same", "f", 50),
    "lgamma": Op(1, "same", "f", 90),
    "digamma": Op(1, "same", "f", 90),
    # comparison and selection
    "is_finite": Op(1, "compare", "f", 2),
    "eq": Op(2, "compare", "biufc"),
    "ne": Op(2, "compare", "biufc"),
    "lt": Op(2, "compare", "biuf"),
    "le": Op(2, "compare", "biuf"),
    "gt": Op(2, "compare", "biuf"),
    "ge": Op(2, "compare", "biuf"),
    "eq_to": Op(2, "compare", "biuf", 3),
    "lt_to": Op(2, "compare", "biuf", 3),
    "le_to": Op(2, "compare", "biuf", 3),
    "select": Op(3, "select", "biufc"),
    "select_n": Op(-1, "select_n", "biufc", 2),
    # bits
    "and": Op(2, "same", "biu"),
    "or": Op(2, "same", "biu"),
    "xor": Op(2, "same", "biu"),
    "not": Op(1, "same", "biu"),
    "shift_left": Op(2, "same", "iu", 2),
    "shift_right_logical": Op(2, "same", "iu", 2),
    "shift_right_arithmetic": Op(2, "same", "iu", 2),
    "population_count": Op(1, "same", "iu"),
    "clz": Op(1, "same", "iu"),
    "bitcast_convert_type": Op(1, "bitcast", "biuf"),
    "reduce_precision": Op(1, "same", "f", 12),
    # types and structure
    "convert": Op(1, "any", "biufc", 2),
    "copy": Op(1, "same", "biufc", 0),
    "iota": Op(0, "iota", ""),
    "real": Op(1, "part", "c", 0),
    "imag": Op(1, "part", "c", 0),
    "complex": Op(2, "complex", "f", 0),
    "conj": Op(1, "same", "c"),
}


def check_types(op: str, args: list[str], dtype: str, attrs: dict) -> str | None:
    """What is wrong with an op applied to operands of dtypes ``args`` giving ``dtype``; None if nothing is."""
    arity, rule, kinds, _ = OPS[op]
    if arity >= 0 and len(args) != arity:
        return f"{op} takes {arity} operands, got {len(args)}"
    shown = f"{op}({', '.join(args)}) -> {dtype}"
    if rule == "select":
        return None if args[0] == "bool" and args[1] == args[2] == dtype else f"{shown}: expected (bool, T, T) -> T"
    if rule == "select_n":
        if len(args) < 2 or any(a != dtype for a in args[1:]):
            return f"{shown}: expected (bool or int32, T, T, ...) -> T"
        ok = args[0] == "int32" or (args[0] == "bool" and len(args) <= 3)
        return None if ok else f"{shown}: the selector must be int32, or bool with at most two cases"
    for a in args:
        if DTYPES[a].kind not in kinds:
            return f"{shown}: {op} does not take {a}"
    if rule == "same":
        ok = all(a == dtype for a in args)
    elif rule == "compare":
        ok = dtype == "bool" and all(a == args[0] for a in args)
    elif rule == "real":
        ok = dtype == REAL_OF.get(args[0], args[0])
    elif rule == "part":
        ok = dtype == REAL_OF[args[0]]
    elif rule == "complex":
        ok = args[0] == args[1] and COMPLEX_OF.get(args[0]) == dtype
    elif rule == "pow":
        ok = args[0] == dtype and (args[1] == dtype or DTYPES[args[1]].kind in "iu")
    elif rule == "bitcast":
        ok = DTYPES[dtype].bits == DTYPES[args[0]].bits and "c" not in DTYPES[dtype].kind
    elif rule == "iota":
        ok = DTYPES[dtype].kind in "iuf"
    else:
        ok = True
    if not ok:
        return f"{shown}: operand and result dtypes do not fit"
    need = {"integer_pow": ("y",), "reduce_precision": ("exponent_bits", "mantissa_bits")}.get(op, ())
    for a in need:
        if type(attrs.get(a)) is not int:
            return f"{op} needs the integer attribute {a!r}"
    return None
