"""Structured control flow: `cond`, `switch`, `while_loop`, `fori_loop`, `scan`, `map`, `associative_scan`.

Each traces the functions it is given to programs and binds one primitive. Mistakes are found here, with the user's
functions named; the primitives of ``ops/control_flow`` see only consistent programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.core.avals import get_aval, is_valid_type
from addax.core.config import current_context
from addax.core.sizes import is_symbolic, larger
from addax.core.trace import Tracer
from addax.core.tree_prefix import equality_errors
from addax.interpreters.values import convert, expand_dims, move_axis, reshape
from addax.lax.arguments import axis_argument
from addax.lax.comparison import clamp
from addax.lax.shape import concatenate, stack
from addax.ops.comparison import ne
from addax.ops.control_flow import cond_p, scan_p, while_p
from addax.ops.control_flow.common import add_unused_inputs
from addax.transforms.flat import describe_function, jax_array, trace_captured
from addax.transforms.vmap import vmap


def _flatten(value) -> tuple[list, Any]:
    leaves, treedef = tree.flatten(value)
    leaves = [jax_array(x) for x in leaves]
    for x in leaves:
        if not is_valid_type(x):
            get_aval(x)  # raises, naming the value
    return leaves, treedef


def _args_tree(*args):
    return tree.structure((args, {}))


def _concrete(x):
    """The value of ``x`` if it is known, else None."""
    return x.concrete() if isinstance(x, Tracer) else x


# ---------------------------------------------------------------------------------------------------------------------


_ABSENT = object()


def _operands(name: str, operands: tuple, operand: Any) -> tuple:
    """The one operand, which may be None, or those given by position."""
    if operand is _ABSENT:
        return operands
    if operands:
        raise TypeError(f"lax.{name}: if 'operand' keyword is passed then no positional operands can be passed")
    return (operand,)


def cond(pred, true_fun: Callable, false_fun: Callable, *operands, operand: Any = _ABSENT):
    """``true_fun(*operands)`` if ``pred`` else ``false_fun(*operands)``; only one of them runs.

    Both functions are traced, and must return the same structure, shapes and dtypes. Under `vmap` with a batched
    ``pred`` both run and the results are selected.

    Args:
      pred: a boolean scalar (numbers count as ``pred != 0``).
      operands: pytrees of arrays passed to either function.
      operand: the only one of them, instead; None is one too.

    The older form with an operand for each function, ``cond(pred, x, true_fun, y, false_fun)``, is understood too.

    Raises:
      TypeError: if ``pred`` is not a scalar, or the results of the functions differ in type.

    >>> import addax
    >>> f = addax.jit(lambda x: addax.lax.cond(x > 0, lambda x: x, lambda x: -x, x))
    >>> float(f(-3.0))
    3.0
    """
    if callable(false_fun) and not callable(true_fun) and len(operands) == 2 and callable(operands[1]):
        # An operand for each function: cond(pred, true_operand, true_fun, false_operand, false_fun).
        x, f, (y, g) = true_fun, false_fun, operands
        return cond(pred, lambda x, y: f(x), lambda x, y: g(y), x, y)
    if not (callable(true_fun) and callable(false_fun)):
        raise TypeError(
            "lax.cond: true_fun and false_fun arguments should be callable: cond(pred, true_fun, false_fun, *operands), "
            f"got {type(true_fun).__name__} and {type(false_fun).__name__}."
        )
    operands = _operands("cond", operands, operand)
    if pred is None:
        raise TypeError("cond predicate is None")
    pred_aval = get_aval(jax_array(pred))
    if pred_aval.shape != ():
        raise TypeError(
            f"Pred must be a scalar, got {pred} of shape {pred_aval.shape}. To choose element by element use "
            "addax.numpy.where."
        )
    if dtypes.issubdtype(pred_aval.dtype, np.complexfloating) or dtypes.is_extended(pred_aval.dtype):
        raise TypeError(f"Pred type must be either boolean or number, got {pred_aval.str_short(False)}.")
    if current_context().disable_jit:
        value = _concrete(pred)
        if value is not None:
            return true_fun(*operands) if value else false_fun(*operands)
    if pred_aval.dtype != np.bool_:
        pred = ne(pred, np.zeros((), get_aval(pred).dtype)[()])
    return _branches("cond", convert(pred, np.dtype(np.int32)), [false_fun, true_fun], operands,
                     ["false_fun", "true_fun"])  # fmt: skip


def switch(index, branches: Sequence[Callable], *operands, operand: Any = _ABSENT):
    """``branches[clip(index, 0, len(branches) - 1)](*operands)``; only that branch runs.

    >>> import addax
    >>> float(addax.lax.switch(1, [lambda x: x, lambda x: x * 10.0], 2.0))
    20.0
    """
    if not all(callable(b) for b in branches):
        raise TypeError("lax.switch: branches argument should be a sequence of callables.")
    operands = _operands("switch", operands, operand)
    aval = get_aval(jax_array(index))
    if aval.shape != ():
        raise TypeError(f"Branch index must be scalar, got {index} of shape {aval.shape}.")
    if not dtypes.issubdtype(aval.dtype, np.integer):
        raise TypeError(f"Index type must be an integer, got {aval.str_short(False)}.")
    branches = tuple(branches)
    if not branches:
        raise ValueError("Empty branch sequence")
    if len(branches) == 1:
        return branches[0](*operands)
    if current_context().disable_jit:
        value = _concrete(index)
        if value is not None:
            return branches[min(max(int(value), 0), len(branches) - 1)](*operands)
    index = clamp(np.int32(0), convert(index, np.dtype(np.int32)), np.int32(len(branches) - 1))
    return _branches("switch", index, branches, operands, [f"branch {i}" for i in range(len(branches))])


def _branches(what, index, functions, operands, labels):
    leaves, ops_tree = _flatten((operands, {}))
    avals = [get_aval(x) for x in leaves]
    traced = [trace_captured(f, ops_tree, avals) for f in functions]
    out_tree = traced[0][2]
    first = traced[-1] if what == "cond" else traced[0]
    if any(t != out_tree for _, _, t in traced):
        _different_trees(what, functions, labels, traced)
    for (closed, _, _), label, f in zip(traced, labels, functions, strict=True):
        for i, (a, b) in enumerate(zip(closed.out_avals, first[0].out_avals, strict=True)):
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                path = tree.keystr(tree.flatten_with_path(out_tree.unflatten(range(out_tree.num_leaves)))[0][i][0])
                raise TypeError(
                    f"{what} branches must have equal output types but they differ: the output of "
                    f"{labels[-1] if what == 'cond' else labels[0]}{path} has type {b.str_short(False)}, but that of "
                    f"{label} ({describe_function(f)}) has type {a.str_short(False)}. Convert one of them (astype), or "
                    "broadcast it to the common shape."
                )
    # All branches take the constants of all.
    counts = [len(consts) for _, consts, _ in traced]
    all_consts = [c for _, consts, _ in traced for c in consts]
    avals = [get_aval(c) for c in all_consts]
    programs = []
    for k, (closed, consts, _) in enumerate(traced):
        before = sum(counts[:k])
        end = before + len(consts)
        programs.append(add_unused_inputs(add_unused_inputs(closed, len(consts), avals[end:]), 0, avals[:before]))
    outs = cond_p.bind(index, *all_consts, *leaves, branches=tuple(programs))
    return out_tree.unflatten(outs)


def _different_trees(what, functions, labels, traced):
    lines = [f"  {label} ({describe_function(f)}) returns {t}"
             for label, f, (_, _, t) in zip(labels, functions, traced, strict=True)]  # fmt: skip
    first = traced[0][2]
    other, label = next((t, label) for (_, _, t), label in zip(traced, labels, strict=True) if t != first)
    raise TypeError(
        f"{what} branch outputs must have the same pytree structure, but they differ:\n"
        + "\n".join(lines)
        + _where_different(f"the result of {labels[0]}", first, f"that of {label}", other)
        + f"\nRevise {' and/or '.join(labels)} so that they have the same pytree structure."
    )


# ---------------------------------------------------------------------------------------------------------------------


def _where_different(one: str, tree1, two: str, tree2) -> str:
    """Lines that say where two structures part, and which leaves only one of them has."""
    values = [t.unflatten([0] * t.num_leaves) for t in (tree1, tree2)]
    lines = []
    for path, a, b, why in equality_errors(*values):
        at = f"at {tree.keystr(path)} " if path else ""
        lines.append(f"\n  * {at}{one} has {a}, {two} {b}: {why}")
    paths = [[tree.keystr(path) for path, _ in tree.flatten_with_path(v)[0]] for v in values]
    for name, mine, others in ((one, *paths), (two, *reversed(paths))):
        alone = [p for p in mine if p and p not in others]
        if alone:
            lines.append(f"\n  * only {name} has {', '.join(alone[:5])}{', ...' if len(alone) > 5 else ''}")
    return "".join(lines)


def _promote_carry(what: str, fun, trace: Callable, leaves: list, in_tree):
    """Trace a loop body, after giving weakly typed initial values the dtype that the body makes of them.

    Returns:
      ``(traced, leaves)``: what ``trace`` gave, and the initial values, converted.
    """
    for _ in range(4):
        avals = [get_aval(x) for x in leaves]
        traced = trace(avals)
        outs = traced[0].out_avals[: len(leaves)]
        out_tree = traced[-1]
        if out_tree != in_tree:
            what, before, after = _as_called(what, fun, in_tree, out_tree)
            raise TypeError(
                f"{what} function carry input and carry output must have the same pytree structure, but they differ: "
                f"the input carry is {before} but {describe_function(fun)} returns the carry {after}."
                f"{_where_different('the input carry', before, 'the output carry', after)}\n"
                "Revise the function so that the carry keeps its structure."
            )
        promote = [
            a.weak_type and a.shape == b.shape and a.dtype != b.dtype
            and dtypes.promote_types(a.dtype, b.dtype) == b.dtype
            for a, b in zip(avals, outs, strict=True)
        ]  # fmt: skip
        if not any(promote):
            break
        leaves = [convert(x, b.dtype, False) if p else x for x, b, p in zip(leaves, outs, promote, strict=True)]
    for i, (a, b) in enumerate(zip(avals, outs, strict=True)):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            path = tree.flatten_with_path(in_tree.unflatten(range(in_tree.num_leaves)))[0][i][0]
            called, *_ = _as_called(what, fun, in_tree, in_tree)
            path = tree.keystr(path if called == what else path[1:])
            fix = (
                f"convert it (astype({dtypes.dtype_name(a.dtype)})) or start from an array of dtype {dtypes.dtype_name(b.dtype)}"
                if a.shape == b.shape else "start from an array of the shape that the loop keeps"
            )  # fmt: skip
            raise TypeError(
                f"{called} function carry input and carry output must have equal types, but they differ: the input carry"
                f"{path} has type {a.str_short(False)} but the corresponding output carry component of "
                f"{describe_function(fun)} has type {b.str_short(False)}. Revise the function so that the types agree: "
                f"{fix}."
            )
    return traced, leaves


def _as_called(what: str, fun, *trees):
    """The name of the loop that the user wrote and structures of its carry: a fori_loop carries its counter, too."""
    at = getattr(fun, "fori_position", None)
    return (what, *trees) if at is None else ("fori_loop body", *(t.children()[at] for t in trees))


def while_loop(cond_fun: Callable, body_fun: Callable, init_val, *, checkpoints: int | None = None):
    """``val = init_val; while cond_fun(val): val = body_fun(val)``, compiled to a loop.

    The value may be any pytree; its structure, shapes and dtypes must not change from turn to turn.

    Unlike in JAX, reverse-mode derivatives work, to any order, without a bound on the number of turns n. The loop is run and
    its turns are counted. Then it goes back from the last turn to the first, in memory for c = ``checkpoints`` values of
    ``val``, whatever n is: the values in between are computed again. The number of times that a turn is run for the way
    back, beyond its own derivative, is

    ======== ================= ======================
    runs     turns, at most    with c = 32
    ======== ================= ======================
    1        c/2               16
    2        (c/2)^2           256
    3        (c/2)^3 / 2       2,176
    4        (c/2)^4 / 6       13,056
    ======== ================= ======================

    so the time grows with the logarithm of n for a c that does. By default c is 32, and more for small values: as many as
    fit into 128 KiB, up to 1024. Only what the derivative needs is kept (no running totals), but what a turn needs of
    ``val`` without changing it is better captured by the functions than carried. When the length is known, `scan` is
    quicker: it keeps what each turn leaves, in memory proportional to n.

    Turns are counted in int32. A `debug.print` in the body prints in the first run only. An `io_callback` whose result is
    used cannot be run again, and is refused by reverse mode.

    Args:
      cond_fun: ``val -> bool[]``. Derivatives ignore how it depends on ``val``.
      body_fun: ``val -> val``.
      checkpoints: c, at least 3.

    Source: A. Griewank and A. Walther, "Algorithm 799: revolve", ACM TOMS 26, 2000, on segments of c/2 turns.

    >>> import addax
    >>> int(addax.lax.while_loop(lambda x: x < 100, lambda x: x * 2, 3))
    192
    >>> float(addax.grad(lambda x: addax.lax.while_loop(lambda x: x < 100, lambda x: x * 2, x))(3.0))
    64.0
    """
    if not (callable(body_fun) and callable(cond_fun)):
        raise TypeError("lax.while_loop: body_fun and cond_fun arguments should be callable.")
    if checkpoints is not None and (not isinstance(checkpoints, int) or checkpoints < 3):
        raise ValueError(
            "while_loop: checkpoints, the number of values of the loop that reverse mode may keep, must be an int of at "
            f"least 3, got {checkpoints!r}."
        )
    if current_context().disable_jit:
        val = init_val
        while bool(cond_fun(val)):
            val = body_fun(val)
        return val
    leaves, in_tree = _flatten(init_val)
    args_tree = _args_tree(init_val)
    (body, body_consts, _), leaves = _promote_carry(
        "while_loop body", body_fun, lambda avals: trace_captured(body_fun, args_tree, avals), leaves, in_tree
    )
    condition, cond_consts, cond_tree = trace_captured(cond_fun, args_tree, [get_aval(x) for x in leaves])
    if cond_tree.num_leaves != 1 or cond_tree != tree.structure(0):
        raise TypeError(f"cond_fun must return a boolean scalar, but got pytree {cond_tree}.")
    (pred,) = condition.out_avals
    if pred.shape != () or pred.dtype != np.bool_:
        raise TypeError(
            f"cond_fun must return a boolean scalar, but {describe_function(cond_fun)} got output type(s) "
            f"[{pred.str_short(False)}]. Compare (`x > 0`) or reduce with .any() or .all()."
        )
    outs = while_p.bind(
        *cond_consts, *body_consts, *leaves, cond_jaxpr=condition, cond_nconsts=len(cond_consts), body_jaxpr=body,
        body_nconsts=len(body_consts), **({} if checkpoints is None else {"checkpoints": checkpoints}),
    )  # fmt: skip
    return in_tree.unflatten(outs)


def fori_loop(
    lower, upper, body_fun: Callable, init_val, *, unroll: int | bool | None = None, checkpoints: int | None = None
):  # fmt: skip
    """``val = init_val; for i in range(lower, upper): val = body_fun(i, val)``, compiled to a loop.

    With bounds known at trace time it is a `scan` (for floats too, unless adding 1 to them would round), whose reverse mode
    keeps what each turn leaves. With bounds known only at run time, or if ``checkpoints`` is given, it is a `while_loop`,
    whose reverse mode (which JAX does not have) works in memory for that many values of the loop and runs turns again; what
    that costs stands there.

    Args:
      lower, upper: scalars, both integers or both floats; i is ``lower``, ``lower + 1``, ... and less than ``upper``.
      body_fun: ``(i, val) -> val``. i is a Python integer's array if the bounds are known integers, else it has the type of
        ``lower`` (in JAX, known floats are counted in integers).
      unroll: as in `scan`, for bounds known at trace time only (else ValueError).

    Raises:
      TypeError: if the bounds are not scalars, or one is an integer and the other a float; or the loop changes the type of
        its value.

    >>> import addax
    >>> float(addax.lax.fori_loop(0, 10, lambda i, x: x + i, 0.0))
    45.0
    >>> power = lambda x, n: addax.lax.fori_loop(0, n, lambda i, y: y * x, 1.0)
    >>> float(addax.jit(addax.grad(power))(2.0, 5))
    80.0
    """
    if not callable(body_fun):
        raise TypeError("lax.fori_loop: body_fun argument should be callable.")
    dtype = _counter_dtype(lower, upper)
    bounds = _static_bounds(lower, upper, dtype)
    if current_context().disable_jit and not isinstance(lower, Tracer) and not isinstance(upper, Tracer):
        i, end = (np.asarray(bound, dtype)[()] for bound in (lower, upper))
        while i < end:
            init_val = body_fun(i, init_val)
            i += 1
        return init_val
    if bounds is not None and checkpoints is None:
        low, high = bounds

        def scan_body(carry, _):
            i, x = carry
            return (i + 1, body_fun(i, x)), None

        _stands_for(scan_body, body_fun, 1)

        start = low if dtype.kind in "iu" else _counter(lower, dtype)
        (_, result), _ = scan(scan_body, (start, init_val), None, length=larger(high - low, 0), unroll=unroll or 1)
        return result
    if unroll is not None and unroll > 1:
        raise ValueError(
            "Can only use `unroll` in `fori_loop` if the loop bounds are statically known (and `checkpoints` is not given): "
            "the loop becomes a while_loop, which runs one turn at a time. Leave it out."
        )
    lower, upper = _counter(lower, dtype), convert(jax_array(upper), dtype)

    def while_body(carry):
        i, end, x = carry
        return i + 1, end, body_fun(i, x)

    _stands_for(while_body, body_fun, 2)
    _, _, result = while_loop(lambda c: c[0] < c[1], while_body, (lower, upper, init_val), checkpoints=checkpoints)
    return result


def _stands_for(loop_body, body_fun, position: int) -> None:
    """Errors in a loop that a fori_loop became speak of the function the user wrote, and its carry at ``position``."""
    loop_body.__wrapped__, loop_body.__name__ = body_fun, getattr(body_fun, "__name__", "body_fun")
    loop_body.fori_position = position


def _counter_dtype(lower, upper) -> np.dtype:
    """The dtype of what counts from ``lower`` to ``upper``."""
    avals = [get_aval(jax_array(bound)) for bound in (lower, upper)]
    for name, aval in zip(("lower", "upper"), avals, strict=True):
        if aval.shape != () or not (aval.dtype.kind in "iu" or dtypes.issubdtype(aval.dtype, np.floating)):
            raise TypeError(
                f"lower and upper arguments to fori_loop must be integers or floats, got {name} of type {aval}"
            )
    if (avals[0].dtype.kind in "iu") != (avals[1].dtype.kind in "iu"):
        raise TypeError(
            "lower and upper arguments to fori_loop must both be integers or both be floats, got lower of type "
            f"{avals[0]} and upper of type {avals[1]}: convert one of them."
        )
    return dtypes.result_type(lower, upper)


def _counter(lower, dtype):
    """The first index, with the weak type of ``lower`` if it keeps its dtype."""
    aval = get_aval(jax_array(lower))
    return convert(jax_array(lower), dtype, aval.weak_type and aval.dtype == dtype)


def _static_bounds(lower, upper, dtype) -> tuple[Any, Any] | None:
    """The bounds as integers, if they are known and counting in ``dtype`` makes the turns of ``range``: without rounding."""
    if isinstance(lower, Tracer) or isinstance(upper, Tracer):
        return None
    if is_symbolic(lower) or is_symbolic(upper) or dtype.kind in "iu":
        return lower if is_symbolic(lower) else int(lower), upper if is_symbolic(upper) else int(upper)
    low, high = (float(np.asarray(bound, dtype)) for bound in (lower, upper))
    exact = 2.0 ** dtypes.finfo(dtype).nmant
    return (int(low), math.ceil(high)) if low.is_integer() and abs(low) <= exact >= abs(high) else None


def scan(
    f: Callable, init, xs=None, length: int | None = None, reverse: bool = False, unroll: int | bool = 1,
    _split_transpose: bool = False,
):  # fmt: skip
    """A loop with a carry over the leading axis of ``xs``, stacking what each turn returns.

    ::

        carry, ys = init, []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, stack(ys)

    Args:
      f: ``(carry, x) -> (carry, y)``; the carry keeps its structure, shapes and dtypes.
      xs: a pytree of arrays with equal leading size, or None (give ``length``).
      length: how many turns, if ``xs`` does not say.
      reverse: run from the last slice to the first; ``ys`` stay aligned with ``xs``.
      unroll: how many turns to write out per iteration of the compiled loop (True: all).

    Reverse mode keeps what the derivative of each turn needs, in arrays with one row per turn; what does not change from
    turn to turn is computed once, and what follows from kept values by a few additions and multiplications is computed
    again. If that is too much memory for n turns, `checkpoint` the body (``scan(checkpoint(f), ...)`` keeps the carry and
    nothing else), or scan over blocks of about sqrt(n) turns, which keeps of the order of sqrt(n) carries and runs each turn
    twice more::

        @addax.checkpoint
        def block(carry, xs):
            return lax.scan(f, carry, xs)

        carry, ys = lax.scan(block, init, xs.reshape(32, 32, *xs.shape[1:]))  # 1,024 turns

    `fori_loop` with ``checkpoints=`` needs memory that does not grow with n at all.

    Raises:
      ValueError: if the lengths differ or are unknown.
      TypeError: if ``f`` does not return a pair, or changes the type of the carry.

    >>> import addax, addax.numpy as jnp
    >>> total, partial = addax.lax.scan(lambda c, x: (c + x, c + x), 0.0, jnp.arange(4.0))
    >>> float(total), partial.tolist()
    (6.0, [0.0, 1.0, 3.0, 6.0])
    """
    if not callable(f):
        raise TypeError("lax.scan: f argument should be a callable.")
    x_leaves, xs_tree = _flatten(xs)
    lengths = set()
    for x in x_leaves:
        aval = get_aval(x)
        if aval.ndim == 0:
            raise ValueError(
                "scan got value with no leading axis to scan over: every array in xs needs one; use length= to repeat "
                "without arrays, and capture constants in the function."
            )
        lengths.add(aval.shape[0])
    if length is not None:
        try:
            length = length if is_symbolic(length) else int(length)
        except Exception:
            raise TypeError(
                f"The `length` argument to `scan` expects a static int, got {length!r}. For a length known only at run "
                "time use while_loop or fori_loop."
            ) from None
        if not is_symbolic(length) and length < 0:
            raise ValueError(f"The `length` argument to `scan` must not be negative, got {length}.")
        if lengths - {length}:
            raise ValueError(
                f"scan got `length` argument of {length} which disagrees with leading axis sizes {sorted(lengths)}."
            )
    elif not lengths:
        raise ValueError("scan got no values to scan over and `length` not provided.")
    elif len(lengths) > 1:
        raise ValueError(
            f"scan got values with different leading axis sizes: {', '.join(str(n) for n in sorted(lengths))}."
        )
    else:
        length = lengths.pop()
    if current_context().disable_jit:
        return _scan_eagerly(f, init, x_leaves, xs_tree, length, reverse)

    leaves, in_tree = _flatten(init)
    x_avals = [_slice_aval(get_aval(x)) for x in x_leaves]
    args_tree = tree.structure(((in_tree.unflatten(leaves), xs_tree.unflatten(x_leaves)), {}))

    def trace(avals):
        closed, consts, out_tree = trace_captured(f, args_tree, [*avals, *x_avals])
        children = out_tree.children()
        if len(children) != 2 or not _is_pair(out_tree):
            raise TypeError(f"scan body output must be a pair, but {describe_function(f)} returned {out_tree}.")
        return closed, consts, children[1], children[0]

    (body, consts, ys_tree, _), leaves = _promote_carry("scan body", f, trace, leaves, in_tree)
    unroll = (length or 1) if unroll is True else int(unroll) or 1
    if unroll < 1:
        raise ValueError(f"`unroll` must be a positive integer or a bool, got {unroll}.")
    outs = scan_p.bind(
        *consts, *leaves, *x_leaves, jaxpr=body, length=length, reverse=bool(reverse), unroll=unroll,
        num_consts=len(consts), num_carry=len(leaves),
    )  # fmt: skip
    n = len(leaves)
    return in_tree.unflatten(outs[:n]), ys_tree.unflatten(outs[n:])


def _is_pair(out_tree) -> bool:
    return isinstance(out_tree.unflatten([0] * out_tree.num_leaves), (tuple, list))


def _slice_aval(aval):
    return aval.update(shape=aval.shape[1:])


def _scan_eagerly(f, init, x_leaves, xs_tree, length, reverse):
    if length == 0:
        raise ValueError("zero-length scan is not supported in disable_jit() mode because the output type is unknown.")
    carry, ys = init, []
    order = range(length - 1, -1, -1) if reverse else range(length)
    for i in order:
        carry, y = f(carry, xs_tree.unflatten([x[i] for x in x_leaves]))
        ys.append(y)
    if reverse:
        ys.reverse()

    def stacked(*rows):
        dtype = dtypes.result_type(*rows)  # numbers of Python among them
        return stack([convert(jax_array(x), dtype) for x in rows])

    return carry, tree.map(stacked, *ys)


def map(f: Callable, xs, *, batch_size: int | None = None):
    """``stack([f(x) for x in xs])`` over the leading axis, one after the other (or in batches, with ``batch_size``).

    With a batch size, f is mapped by `vmap`, and the examples left over are one more, smaller batch.

    >>> import addax, addax.numpy as jnp
    >>> addax.lax.map(lambda x: x * 2.0, jnp.arange(3.0)).tolist()
    [0.0, 2.0, 4.0]
    """
    if batch_size is not None and batch_size < 0:
        raise ValueError(f"lax.map: batch_size must be positive, got {batch_size}.")
    if not batch_size:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    leaves, treedef = _flatten(xs)
    n = get_aval(leaves[0]).shape[0]
    whole = n // batch_size
    head = [reshape(x[: whole * batch_size], (whole, batch_size, *x.shape[1:])) for x in leaves]
    g = vmap(f)
    parts = []
    if whole:
        out = map(g, treedef.unflatten(head))
        parts.append(tree.map(lambda y: reshape(y, (whole * batch_size, *y.shape[2:])), out))
    if n - whole * batch_size or not whole:
        parts.append(g(treedef.unflatten([x[whole * batch_size :] for x in leaves])))
    if len(parts) == 1:
        return parts[0]
    return tree.map(lambda *ys: concatenate(ys, 0), *parts)


def associative_scan(fn: Callable, elems, reverse: bool = False, axis: int = 0):
    """All prefix combinations ``fn(...fn(fn(x0, x1), x2)..., xi)`` in logarithmic depth.

    ``fn`` must be associative and elementwise along ``axis`` (it is given whole slices).

    Source: G. Blelloch, "Prefix sums and their applications", 1990 (odd-even recursion).

    >>> import addax, addax.numpy as jnp
    >>> addax.lax.associative_scan(jnp.add, jnp.arange(5)).tolist()
    [0, 1, 3, 6, 10]
    """
    if not callable(fn):
        raise TypeError("lax.associative_scan: fn argument should be callable.")
    leaves, treedef = _flatten(elems)
    axis = axis_argument("associative_scan", axis, leaves[0].ndim)
    sizes = {x.shape[axis] for x in leaves}
    if len(sizes) != 1:
        raise ValueError(
            f"Array inputs to associative_scan must have the same first dimension. (saw: {[x.shape for x in leaves]})"
        )
    leaves = [move_axis(x, axis, 0) for x in leaves]
    if reverse:
        leaves = [x[::-1] for x in leaves]

    def combine(a, b):
        a = [move_axis(x, 0, axis) for x in a]
        b = [move_axis(x, 0, axis) for x in b]
        out = tree.leaves(fn(treedef.unflatten(a), treedef.unflatten(b)))
        return [move_axis(jax_array(x), axis, 0) for x in out]

    def prefixes(xs):
        n = xs[0].shape[0]
        if n < 2:
            return xs
        pairs = combine([x[: n - n % 2 : 2] for x in xs], [x[1::2] for x in xs])
        odd = prefixes(pairs)
        if n % 2 == 0:
            even = combine([x[:-1] for x in odd], [x[2::2] for x in xs])
        else:
            even = combine(odd, [x[2::2] for x in xs])
        even = [concatenate([x[:1], e], 0) for x, e in zip(xs, even, strict=True)]
        return [_interleave(e, o) for e, o in zip(even, odd, strict=True)]

    out = prefixes(leaves)
    if reverse:
        out = [x[::-1] for x in out]
    return treedef.unflatten([move_axis(x, 0, axis) for x in out])


def _interleave(even, odd):
    """``[e0, o0, e1, o1, ...]`` where ``even`` may be one longer."""
    n, m = even.shape[0], odd.shape[0]
    stacked = _concat_pairs(even[:m], odd)
    return stacked if n == m else concatenate([stacked, even[m:]], 0)


def _concat_pairs(a, b):
    pairs = concatenate([expand_dims(a, (1,)), expand_dims(b, (1,))], 1)
    return reshape(pairs, (a.shape[0] * 2, *a.shape[1:]))


__all__ = ["associative_scan", "cond", "fori_loop", "map", "scan", "switch", "while_loop"]
