"""Linear maps that users hold in their hands: what `vjp` and `linearize` return, and `linear_transpose`.

Both objects are pytrees of the values they keep (the residuals), so they may be returned from a jitted function, passed to
one, saved, moved or mapped over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, eval_jaxpr
from addax.core.trace import Tracer
from addax.interpreters.linearity import NotLinear, transpose_linear
from addax.interpreters.linearize import Linearized
from addax.interpreters.transpose import backward_pass
from addax.interpreters.values import SCALARS, UndefinedPrimal, Zero, convert, instantiate, zeros
from addax.ops.custom import FlatRule, linear_call as linear_call_p
from addax.transforms.flat import FlatFunction, LazyDebugInfo, describe_function, function_name
from addax.transforms.stages import aval_of_spec


def as_array(x):
    """A value as the user gets it: the constants that rules made become arrays."""
    if type(x) in SCALARS or (isinstance(x, (np.generic, np.ndarray)) and x.dtype != dtypes.float0):
        aval = get_aval(x)
        return _native.array_from_numpy(np.asarray(x, aval.dtype), aval)
    return x


class _Program:
    """What does not change in a linear map: its program and the types around it. Compared by identity."""

    __slots__ = ("describe", "in_avals", "in_tree", "jaxpr", "out_avals", "out_tree", "out_zero")

    jaxpr: Jaxpr
    in_avals: Sequence
    out_avals: Sequence
    out_zero: list[bool]

    def __init__(self, fun: Callable, lin: Linearized, in_tree, in_avals: Sequence, out_tree):
        self.jaxpr, self.out_zero = lin.jaxpr, lin.out_zero
        self.in_tree, self.in_avals = in_tree, [a.to_tangent() for a in in_avals]
        self.out_tree, self.out_avals = out_tree, [get_aval(x).to_tangent() for x in lin.outs]
        self.describe = describe_function(fun)

    def __repr__(self) -> str:
        return f"derivative of {self.describe}"


class _NotNeeded:
    """An argument of which a derivative has no need; a pytree without leaves."""

    def __repr__(self) -> str:
        return "NotNeeded()"


NOT_NEEDED = _NotNeeded()
tree.register_pytree_node(_NotNeeded, lambda _: ((), None), lambda *_: NOT_NEEDED)


class VJP:
    """The function that `vjp` returns: ``f(ct) -> ct @ J``, a tuple with the cotangent of each argument.

    Attributes:
      args_res: per argument a tree of what is kept of it, with ``NotNeeded()`` for the leaves that are not.
      opaque_residuals: the other values that are kept.
    """

    __slots__ = ("_places", "_program", "args_res", "opaque_residuals")

    def __init__(self, program: _Program, places: tuple[int, ...], args_res: list, opaque_residuals: list):
        self._program, self._places = program, places
        self.args_res, self.opaque_residuals = args_res, opaque_residuals

    @staticmethod
    def of(fun: Callable, lin: Linearized, in_tree, leaves: Sequence, out_tree) -> VJP:
        """
        Args:
          in_tree: the structure of the arguments, a tuple.
        """
        program = _Program(fun, lin, in_tree, [get_aval(x) for x in leaves], out_tree)
        number = {id(x): i for i, x in enumerate(leaves)}
        kept: list[Any] = [NOT_NEEDED] * len(leaves)
        places, opaque = [], []
        for value in lin.consts:  # where each comes from: argument i, or ~k, the k-th of the others
            i = number.get(id(value))
            if i is None:
                places.append(~len(opaque))
                opaque.append(value)
            else:
                places.append(i)
                kept[i] = value
        return VJP(program, tuple(places), list(in_tree.unflatten(kept)), opaque)

    in_tree = property(lambda self: self._program.in_tree)
    out_tree = property(lambda self: self._program.out_tree)
    jaxpr = property(lambda self: self._program.jaxpr)

    def __call__(self, *cts):
        p = self._program
        if len(cts) != 1:
            raise TypeError(
                f"the function returned by vjp takes one argument, the cotangent of the result of {p.describe}; got "
                f"{len(cts)}. If the result is a tuple pass one tuple: f_vjp((a, b))."
            )
        leaves, ct_tree = tree.flatten(cts[0])
        if ct_tree != p.out_tree:
            raise ValueError(
                f"unexpected tree structure of argument to vjp function: got {ct_tree}, but expected {p.out_tree}, the "
                f"structure of the result of {p.describe}."
            )
        checked = [_check_cotangent(c, a) for c, a in zip(leaves, p.out_avals, strict=True)]
        args = tree.leaves(self.args_res, is_leaf=lambda x: x is NOT_NEEDED or x is None)
        consts = [args[i] if i >= 0 else self.opaque_residuals[~i] for i in self._places]
        if any(c is NOT_NEEDED or c is None for c in consts):
            raise ValueError(f"this vjp function of {p.describe} has lost residuals: its args_res have been replaced.")
        live = [c for c, zero in zip(checked, p.out_zero, strict=True) if not zero]
        results = iter(backward_pass(p.jaxpr, consts, [UndefinedPrimal(v.aval) for v in p.jaxpr.invars], live))
        return p.in_tree.unflatten(
            np.zeros(a.shape, dtypes.float0) if a.dtype == dtypes.float0 else as_array(instantiate(next(results)))
            for a in p.in_avals
        )

    def __repr__(self) -> str:
        return f"VJP({self._program}, args_res={self.args_res}, opaque_residuals={self.opaque_residuals})"


tree.register_pytree_node(
    VJP,
    lambda f: ((f.args_res, f.opaque_residuals), (f._program, f._places)),
    lambda aux, children: VJP(*aux, *children),
)


class LinearizedFunction:
    """The function that `linearize` returns: ``f(*tangents) -> J @ tangents``."""

    __slots__ = ("_program", "residuals")

    def __init__(self, program: _Program, residuals: Sequence):
        self._program, self.residuals = program, residuals

    @staticmethod
    def of(fun: Callable, lin: Linearized, in_tree, leaves: Sequence, out_tree) -> LinearizedFunction:
        return LinearizedFunction(_Program(fun, lin, in_tree, [get_aval(x) for x in leaves], out_tree), lin.consts)

    @property
    def jaxpr(self) -> ClosedJaxpr:
        """The linear program, of the tangents."""
        return ClosedJaxpr(self._program.jaxpr, self.residuals)

    def __call__(self, *tangents):
        p = self._program
        leaves, t_tree = tree.flatten(tangents)
        if t_tree != p.in_tree:
            raise TypeError(
                f"linearized function called with arguments of structure {t_tree}, expected that of the primals, "
                f"{p.in_tree}."
            )
        live = [t for t, a in zip(leaves, p.in_avals, strict=True) if type(_check_tangent(t, a)) is not Zero]
        outs = iter(eval_jaxpr(p.jaxpr, self.residuals, *live))
        return p.out_tree.unflatten(
            as_array(zeros(a) if zero else next(outs)) for a, zero in zip(p.out_avals, p.out_zero, strict=True)
        )

    def __repr__(self) -> str:
        return f"LinearizedFunction({self._program}, residuals={list(self.residuals)})"


tree.register_pytree_node(
    LinearizedFunction,
    lambda f: (f.residuals, f._program),
    lambda program, residuals: LinearizedFunction(program, list(residuals)),
)


def _check_cotangent(ct, aval):
    """A cotangent of the right type for a result of tangent type ``aval``."""
    if aval.dtype == dtypes.float0:
        return Zero(aval)
    got = get_aval(ct)
    if got.shape != aval.shape:
        raise ValueError(
            f"Shape of cotangent input to vjp pullback function {got.shape} must be the same as the shape of "
            f"corresponding primal input {aval.shape}."
        )
    if got.dtype != aval.dtype:
        raise ValueError(
            f"Type of cotangent input to vjp pullback function ({dtypes.dtype_name(got.dtype)}) is not the expected tangent "
            f"type ({dtypes.dtype_name(aval.dtype)}). Check the dtype of the result, or convert with astype."
        )
    return ct


def _check_tangent(t, aval) -> Any:
    """A tangent of type ``aval`` for a linearized function.

    Raises:
      ValueError: if dtype or shape differ.
    """
    got = aval if isinstance(t, np.ndarray) and t.dtype == dtypes.float0 else get_aval(t)
    if (got.shape, got.dtype) != (aval.shape, aval.dtype):
        raise ValueError(
            "linearized function called on tangent values inconsistent with the original primal values: got a tangent of "
            f"type {got.str_short(False)}, expected {aval.str_short(False)}."
        )
    return Zero(aval) if aval.dtype == dtypes.float0 else t


def refuse_reduce_axes(name: str, reduce_axes: Sequence) -> None:
    if reduce_axes:
        raise NotImplementedError(
            f"{name}: reduce_axes is no longer supported, got {reduce_axes!r}. Sum over the axes yourself: "
            "lax.psum(gradient, axis_name)."
        )


def linear_transpose(fun: Callable, *primals, reduce_axes: Sequence = ()) -> Callable:
    """The transpose of a linear function: for ``fun(x) = A x`` the function ``ct -> (A^T ct,)``, without conjugation.

    Args:
      fun: linear in all its arguments. Of an affine function the linear part is transposed.
      primals: arrays or `ShapeDtypeStruct`, of which only shapes and dtypes matter.

    Returns:
      a function from cotangents with the structure of ``fun``'s result to a tuple with one cotangent per argument.

    Raises:
      NotImplementedError: if ``fun`` is not linear, with the line that is not.
      TypeError: if ``fun`` takes floats to integers or the reverse, or the cotangent does not fit the result.

    >>> import addax, addax.numpy as jnp
    >>> a = jnp.arange(6.0).reshape(2, 3)
    >>> transposed = addax.linear_transpose(lambda x: a @ x, addax.ShapeDtypeStruct((3,), "float32"))
    >>> transposed(jnp.ones(2))[0].tolist()
    [3.0, 5.0, 7.0]
    """
    refuse_reduce_axes("linear_transpose", reduce_axes)
    leaves, in_tree = tree.flatten((primals, {}))
    avals = [aval_of_spec(x) for x in leaves]
    flat = FlatFunction(fun, in_tree)
    closed = ClosedJaxpr(*trace_to_jaxpr(flat, avals, LazyDebugInfo(fun, primals)))
    kinds = [[dtypes.issubdtype(a.dtype, np.inexact) for a in side] for side in (avals, closed.out_avals)]
    if not (all(kinds[0]) and all(kinds[1])) and any(kinds[0] + kinds[1]):
        names = [f"[{', '.join(dtypes.dtype_name(a.dtype) for a in side)}]" for side in (avals, closed.out_avals)]
        raise TypeError(
            "linear_transpose only supports [float or complex] -> [float or complex], and integer -> integer functions, "
            f"but {describe_function(fun)} goes from {names[0]} to {names[1]}."
        )
    try:
        program = transpose_linear(closed)
    except NotLinear as e:
        raise NotImplementedError(
            f"linear_transpose: {describe_function(fun)} is not linear in its arguments: {e}. For the derivative at a point, "
            "which is linear, use vjp or linearize."
        ) from None
    out_tree, args_tree = flat.out_tree, tree.structure(primals)

    def transposed_fun(ct):
        cts, got = tree.flatten(ct)
        if got != out_tree:
            raise TypeError(f"cotangent tree does not match function output, expected {out_tree} but got {got}")
        for i, (c, want) in enumerate(zip(cts, closed.out_avals, strict=True)):
            aval = get_aval(c)
            if (aval.shape, aval.dtype) != (want.shape, want.dtype):
                raise TypeError(
                    f"cotangent type does not match function output: leaf {i} is {aval.str_short(False)}, expected "
                    f"{want.str_short(False)}, the type of the result of {describe_function(fun)}."
                )
        return args_tree.unflatten(map(as_array, eval_jaxpr(program.jaxpr, program.consts, *cts)))

    return transposed_fun


def linear_call(fun: Callable, fun_transpose: Callable, residual_args, linear_args):
    """``fun(residual_args, linear_args)``, a function that is linear in its second argument and brings its own transpose.

    Reverse mode calls ``fun_transpose(residual_args, ct)``, which gives the cotangent of ``linear_args``; its own transpose
    is ``fun`` again. With respect to ``residual_args`` there are no derivatives.

    >>> import addax
    >>> from addax.custom_derivatives import linear_call
    >>> def divide(x, by):
    ...     return linear_call(lambda r, x: x / r, lambda r, ct: 10 * ct / r, by, x)
    >>> float(divide(6.0, 2.0)), float(addax.grad(divide)(6.0, 2.0))
    (3.0, 5.0)
    """
    residuals, res_tree = tree.flatten(residual_args)
    leaves, lin_tree = tree.flatten(linear_args)
    in_avals = tuple(get_aval(x) for x in leaves)
    flat = FlatFunction(fun, tree.structure(((residual_args, linear_args), {})))
    closed = ClosedJaxpr(*trace_to_jaxpr(flat, [get_aval(x) for x in (*residuals, *leaves)], LazyDebugInfo(fun)))
    captured = [c for c in closed.consts if isinstance(c, Tracer)]
    if captured:
        raise TypeError(
            f"linear_call: {describe_function(fun)} uses a traced value that is not among its arguments: pass it in "
            "residual_args."
        )
    out_tree, out_avals, n = flat.out_tree, tuple(closed.out_avals), len(residuals)

    def forward(*xs):
        return eval_jaxpr(closed.jaxpr, closed.consts, *xs)

    def backward(*xs):
        result = fun_transpose(res_tree.unflatten(map(as_array, xs[:n])), out_tree.unflatten(map(as_array, xs[n:])))
        cts, got = tree.flatten(result)
        if got != lin_tree or [get_aval(c).shape for c in cts] != [a.shape for a in in_avals]:
            raise TypeError(
                f"linear_call: {describe_function(fun_transpose)} must return cotangents like the linear arguments, "
                f"{[a.str_short(False) for a in in_avals]} in {lin_tree}, but returned "
                f"{[get_aval(c).str_short(False) for c in cts]} in {got}."
            )
        return [convert(c, a.dtype, a.weak_type) for c, a in zip(cts, in_avals, strict=True)]

    outs = linear_call_p.bind(
        *residuals, *leaves, num_residuals=n, fun=FlatRule(forward, function_name(fun)),
        transpose=FlatRule(backward, function_name(fun_transpose)), in_avals=in_avals, out_avals=out_avals,
    )  # fmt: skip
    return out_tree.unflatten(outs)


__all__ = ["VJP", "LinearizedFunction", "as_array", "linear_call", "linear_transpose"]
