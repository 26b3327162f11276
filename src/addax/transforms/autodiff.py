"""`grad`, `value_and_grad`, `vjp`, `jvp`, `linearize` and their kin: derivatives as functions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.core.trace import current_trace
from addax.interpreters.jvp import JVPTracer, jvp_flat
from addax.interpreters.linearize import linearize_flat
from addax.interpreters.values import Zero, convert, full_like, instantiate, reshape, zeros
from addax.ops.arithmetic import add
from addax.ops.comparison import eq
from addax.ops.shape import iota
from addax.transforms.flat import FlatFunction, LazyDebugInfo, check_leaves, describe_function
from addax.transforms.jit import jit
from addax.transforms.linear_maps import VJP, LinearizedFunction, as_array, refuse_reduce_axes
from addax.transforms.vmap import vmap


def value_and_grad(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence = (),
) -> Callable:
    """A function that returns ``(fun(...), gradient of fun)`` from one forward and one backward pass.

    Args:
      fun: returns a scalar (with ``has_aux``: a pair of a scalar and any pytree).
      argnums: which positional arguments to differentiate; the gradient has the structure of that argument (a tuple
        of them if ``argnums`` is a tuple).
      holomorphic: promise that ``fun`` is holomorphic; arguments and result must then be complex.
      allow_int: accept integer arguments; their gradient is of dtype ``float0``.

    Raises:
      TypeError: if the result is not a real scalar, or an argument is not real (or complex with ``holomorphic``).

    >>> import addax
    >>> value, slope = addax.value_and_grad(lambda x: x ** 2)(3.0)
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    check_callable(fun, "value_and_grad")
    refuse_reduce_axes("grad", reduce_axes)

    @functools.wraps(fun)
    def value_and_grad_f(*args, **kwargs):
        nums = normalise_argnums(fun, argnums, args)
        partial_fun, inputs = of_arguments(fun, nums, args, kwargs)
        for x in tree.leaves(inputs):
            check_input(x, holomorphic, allow_int, "grad")
        if has_aux:
            out, pullback, aux = vjp(partial_fun, *inputs, has_aux=True)
        else:
            out, pullback = vjp(partial_fun, *inputs)
            aux = None
        check_scalar(out, holomorphic, fun)
        gradients = pullback(full_like(out, 1))
        gradient = gradients if isinstance(nums, tuple) else gradients[0]
        return ((out, aux), gradient) if has_aux else (out, gradient)

    return value_and_grad_f


def grad(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence = (),
) -> Callable:
    """The gradient of a scalar function, as a function of the same arguments. See `value_and_grad`.

    For a complex argument z = x + i y of a real function it is ``df/dx - i df/dy``, twice the Wirtinger derivative
    df/dz and the conjugate of the direction of steepest ascent: descend along ``-conj(grad(f)(z))``. It is JAX's convention.

    >>> import addax, addax.numpy as jnp
    >>> f = lambda x: jnp.sin(x) ** 2 + 1.0
    >>> round(float(addax.grad(f)(0.5)), 4), round(float(addax.grad(addax.grad(f))(0.5)), 4)
    (0.8415, 1.0806)
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int, reduce_axes)

    @functools.wraps(fun)
    def grad_f(*args, **kwargs):
        if has_aux:
            (_, aux), g = both(*args, **kwargs)
            return g, aux
        return both(*args, **kwargs)[1]

    return grad_f


def vjp(fun: Callable, *primals, has_aux: bool = False, reduce_axes=()) -> Any:
    """``(fun(*primals), vjp_fun)``: ``vjp_fun(ct)`` gives the tuple of cotangents of the primals, ``ct @ J``.

    >>> import addax, addax.numpy as jnp
    >>> y, pull = addax.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> [float(g) for g in pull(1.0)]
    [3.0, 2.0]
    """
    check_callable(fun, "vjp")
    refuse_reduce_axes("vjp", reduce_axes)
    leaves, in_tree = tree.flatten((primals, {}))
    check_leaves(fun, leaves, primals, {}, "vjp")
    flat = FlatFunction(fun, in_tree, has_aux)
    lin = linearize_flat(flat, leaves, LazyDebugInfo(fun, primals))
    out = flat.out_tree.unflatten(lin.outs)
    pullback = VJP.of(fun, lin, tree.structure(primals), leaves, flat.out_tree)
    return (out, pullback, _settled(flat.aux)) if has_aux else (out, pullback)


def fwd_and_bwd(
    fun: Callable, argnums: int | Sequence[int], has_aux: bool = False, jitted: bool = True
) -> tuple[Callable, Callable]:
    """The two halves of `vjp` as functions of their own, to be compiled apart.

    Args:
      argnums: which arguments to differentiate.
      jitted: compile both.

    Returns:
      ``fwd(*args, **kwargs) -> (out, residuals)`` (``(out, residuals, aux)`` with ``has_aux``) and ``bwd(residuals, ct)``,
      the cotangent of the argument, or a tuple of them if ``argnums`` is a sequence.

    >>> import addax
    >>> fwd, bwd = addax.fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1))
    >>> out, residuals = fwd(2.0, 3.0)
    >>> [float(g) for g in bwd(residuals, 1.0)]
    [3.0, 2.0]
    """
    check_callable(fun, "fwd_and_bwd")

    def fwd(*args, **kwargs):
        nums = normalise_argnums(fun, argnums, args)
        partial_fun, inputs = of_arguments(fun, nums, args, kwargs)
        return vjp(partial_fun, *inputs, has_aux=has_aux)

    def bwd(residuals, outgrad):
        grads = residuals(outgrad)
        return grads[0] if isinstance(argnums, int) else grads

    return (jit(fwd), jit(bwd)) if jitted else (fwd, bwd)


def of_arguments(fun: Callable, nums: int | tuple[int, ...], args: tuple, kwargs: dict) -> tuple[Callable, tuple]:
    """``(fun as a function of the arguments numbered nums alone, those arguments)``"""
    chosen = nums if isinstance(nums, tuple) else (nums,)

    def partial_fun(*xs):
        full = list(args)
        for i, x in zip(chosen, xs, strict=True):
            full[i] = x
        return fun(*full, **kwargs)

    return functools.update_wrapper(partial_fun, fun), tuple(args[i] for i in chosen)


def _settled(aux):
    """Auxiliary data without the tracers of the differentiation that is over: they stand for their primal values."""
    return tree.map(lambda x: as_array(x.primal) if type(x) is JVPTracer and not x._trace.alive else x, aux)


def jvp(fun: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False):
    """``(fun(*primals), J @ tangents)``: the directional derivative, in one forward pass.

    >>> import addax, addax.numpy as jnp
    >>> y, dy = addax.jvp(lambda x: x ** 3, (2.0,), (1.0,))
    >>> float(y), float(dy)
    (8.0, 12.0)
    """
    check_callable(fun, "jvp")
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError(
            "primal and tangent arguments to jvp must be tuples or lists; found "
            f"{type(primals).__name__} and {type(tangents).__name__}. Write jvp(f, (x,), (t,))."
        )
    primals, tangents = tuple(primals), tuple(tangents)
    leaves, in_tree = tree.flatten((primals, {}))
    t_leaves, t_tree = tree.flatten((tangents, {}))
    if in_tree != t_tree:
        raise TypeError(
            "primal and tangent arguments to jvp must have the same tree structure; primals have tree structure "
            f"{tree.structure(primals)} whereas tangents have tree structure {tree.structure(tangents)}."
        )
    avals = check_leaves(fun, leaves, primals, {}, "jvp")
    checked = [check_tangent(t, a) for t, a in zip(t_leaves, avals, strict=True)]
    flat = FlatFunction(fun, in_tree, has_aux)
    outs, out_tangents = jvp_flat(flat, leaves, checked, current_trace())
    assert flat.out_tree is not None
    out = flat.out_tree.unflatten(outs)
    tangent = flat.out_tree.unflatten([as_array(instantiate(t)) for t in out_tangents])
    return (out, tangent, _settled(flat.aux)) if has_aux else (out, tangent)


def linearize(fun: Callable, *primals, has_aux: bool = False) -> Any:
    """``(fun(*primals), f_jvp)``: the linear map ``tangents -> J @ tangents`` at this point, to be applied many times.

    >>> import addax
    >>> y, f_jvp = addax.linearize(lambda x: x ** 2, 3.0)
    >>> float(f_jvp(1.0))
    6.0
    """
    check_callable(fun, "linearize")
    leaves, in_tree = tree.flatten((primals, {}))
    check_leaves(fun, leaves, primals, {}, "linearize")
    flat = FlatFunction(fun, in_tree, has_aux)
    lin = linearize_flat(flat, leaves, LazyDebugInfo(fun, primals))
    out = flat.out_tree.unflatten(lin.outs)
    f_jvp = LinearizedFunction.of(fun, lin, tree.structure(primals), leaves, flat.out_tree)
    return (out, f_jvp, _settled(flat.aux)) if has_aux else (out, f_jvp)


def _std_basis(avals):
    """One cotangent (or tangent) tree of leaves per input scalar: rows of the identity, stacked."""
    total, start, blocks = sum(a.size for a in avals), 0, []
    for a in avals:
        shape = total, a.size
        rows, columns = (iota.bind(dtype=dtypes.int32, shape=shape, dimension=d, sharding=None) for d in (0, 1))
        here = convert(eq(rows, add(columns, start)), a.dtype, a.weak_type)
        blocks.append(reshape(here, (total, *a.shape)))
        start += a.size
    return blocks


def jacfwd(fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False):
    """The Jacobian, column by column in forward mode: for output ``y`` and input ``x`` of shape ``y.shape + x.shape``."""
    return _jacobian(fun, argnums, has_aux, holomorphic, forward=True)


def jacrev(
    fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False,
    allow_int: bool = False,
):  # fmt: skip
    """The Jacobian, row by row in reverse mode: for output ``y`` and input ``x`` of shape ``y.shape + x.shape``."""
    return _jacobian(fun, argnums, has_aux, holomorphic, forward=False, allow_int=allow_int)


def hessian(fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False):
    """The matrix of second derivatives, ``jacfwd(jacrev(fun))``.

    >>> import addax, addax.numpy as jnp
    >>> addax.hessian(lambda x: x[0] ** 2 * x[1])(jnp.array([1.0, 2.0]))
    Array([[4., 2.],
           [2., 0.]], dtype=float32)
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def _jacobian(fun, argnums, has_aux, holomorphic, forward: bool, allow_int: bool = False):
    check_callable(fun, "jacfwd" if forward else "jacrev")

    @functools.wraps(fun)
    def jacobian_f(*args, **kwargs):
        nums = normalise_argnums(fun, argnums, args)
        partial_fun, inputs = of_arguments(fun, nums, args, kwargs)
        for x in tree.leaves(inputs):
            check_input(x, holomorphic, allow_int, "jacfwd" if forward else "jacrev")
        in_leaves, in_tree = tree.flatten(inputs)
        in_avals = [get_aval(x) for x in in_leaves]
        aux = None
        if forward:
            result = linearize(partial_fun, *inputs, has_aux=has_aux)
            out, apply = result[0], result[1]
            check_outputs(out, holomorphic, "jacfwd")
            basis = in_tree.unflatten(_std_basis(in_avals))
            stacked = vmap(lambda ts: apply(*ts), axis_size=sum(a.size for a in in_avals))(basis)
        else:
            result = vjp(partial_fun, *inputs, has_aux=has_aux)
            out, apply = result[0], result[1]
            check_outputs(out, holomorphic, "jacrev")
            out_leaves, out_tree = tree.flatten(out)
            out_avals = [get_aval(x) for x in out_leaves]
            stacked = vmap(apply, axis_size=sum(a.size for a in out_avals))(out_tree.unflatten(_std_basis(out_avals)))
        if has_aux:
            aux = result[2]
        jac = _assemble(in_avals, in_tree, out, stacked, forward)
        if not isinstance(nums, tuple):
            jac = tree.map(lambda t: t[0], jac, is_leaf=lambda t: isinstance(t, _Inputs))
        else:
            jac = tree.map(lambda t: t.value, jac, is_leaf=lambda t: isinstance(t, _Inputs))
        return (jac, aux) if has_aux else jac

    return jacobian_f


class _Inputs:
    """The blocks of one output with respect to the tuple of inputs, opaque to tree functions."""

    def __init__(self, value):
        self.value = value

    def __getitem__(self, i):
        return self.value[i]


def _assemble(in_avals, in_tree, out, stacked, forward: bool):
    """Cut the stacked products with basis vectors into blocks ``output leaf x input leaf``."""
    out_leaves, out_tree = tree.flatten(out)
    out_avals = [get_aval(x) for x in out_leaves]
    rows = []
    if forward:
        columns = tree.leaves(stacked)  # per output leaf: (total inputs, *out shape)
        cuts = np.cumsum([0, *(a.size for a in in_avals)])
        for oa, col in zip(out_avals, columns, strict=True):
            blocks = []
            for k, ia in enumerate(in_avals):
                part = col[int(cuts[k]) : int(cuts[k + 1])]
                order = (*range(1, oa.ndim + 1), 0)
                blocks.append(_block(part.transpose(order), oa.shape + ia.shape, oa))
            rows.append(_Inputs(in_tree.unflatten(blocks)))
    else:
        per_input = tree.leaves(stacked)  # per input leaf: (total outputs, *in shape)
        cuts = np.cumsum([0, *(a.size for a in out_avals)])
        for k, oa in enumerate(out_avals):
            blocks = [
                _block(g[int(cuts[k]) : int(cuts[k + 1])], oa.shape + ia.shape, ia)
                for g, ia in zip(per_input, in_avals, strict=True)
            ]
            rows.append(_Inputs(in_tree.unflatten(blocks)))
    return out_tree.unflatten(rows)


def _block(values, shape: tuple[int, ...], aval):
    """Values as a block of a Jacobian; zeros of the dtype of ``aval`` where that has no tangents."""
    return as_array(zeros(aval.update(shape=shape))) if values.dtype == dtypes.float0 else values.reshape(shape)


# -- checks


def check_callable(fun, transform: str) -> None:
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r:.100}: {transform} takes the function, not its result.")


def normalise_argnums(fun, argnums, args) -> int | tuple[int, ...]:
    """
    Raises:
      TypeError: if they are no numbers of positional arguments, or name one twice.
    """
    try:
        single = hasattr(argnums, "__index__")
        nums = (operator.index(argnums),) if single else tuple(map(operator.index, argnums))
    except TypeError:
        raise TypeError(f"argnums must be an int or a sequence of ints, got {argnums!r}") from None
    for i in nums:
        if not -len(args) <= i < len(args):
            raise TypeError(
                f"differentiating {describe_function(fun)} with respect to argnums={argnums} requires at least "
                f"{(i if i >= 0 else -i - 1) + 1} positional arguments to be passed by the caller, but got only "
                f"{len(args)} positional arguments. Arguments passed by keyword cannot be differentiated by number."
            )
    nums = tuple(i + len(args) if i < 0 else i for i in nums)
    if len(set(nums)) != len(nums):
        raise TypeError(f"argnums={argnums} names the same argument of {describe_function(fun)} twice.")
    return nums[0] if single else nums


def check_input(x, holomorphic: bool, allow_int: bool, name: str) -> None:
    dtype = get_aval(x).dtype
    if holomorphic and not dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(
            f"{name} with holomorphic=True requires inputs with complex dtype, but got {dtypes.dtype_name(dtype)}."
        )
    if dtypes.is_extended(dtype) or dtypes.issubdtype(dtype, np.integer) or dtypes.issubdtype(dtype, np.bool_):
        if not allow_int:
            raise TypeError(
                f"{name} requires real- or complex-valued inputs (input dtype that is a sub-dtype of np.inexact), but "
                f"got {dtypes.dtype_name(dtype)}. If you want to use Boolean- or integer-valued inputs, use vjp"
                f"{'' if name == 'jacfwd' else ' or set allow_int to True'}; a Python int becomes differentiable when "
                "written as a float (2.0 instead of 2)."
            )
    elif not holomorphic and name == "jacfwd" and dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(
            f"jacfwd requires real-valued inputs (input dtype that is a sub-dtype of np.floating), but got "
            f"{dtypes.dtype_name(dtype)}. For holomorphic differentiation, pass holomorphic=True. For differentiation of "
            "non-holomorphic functions involving complex inputs, use jvp directly."
        )


def check_outputs(out, holomorphic: bool, name: str) -> None:
    """
    Raises:
      TypeError: if a result has no Jacobian of this kind.
    """
    for x in tree.leaves(out):
        dtype = get_aval(x).dtype
        complex_out = dtypes.issubdtype(dtype, np.complexfloating)
        if holomorphic and not complex_out:
            raise TypeError(
                f"{name} with holomorphic=True requires outputs with complex dtype, but got {dtypes.dtype_name(dtype)}."
            )
        if name == "jacrev" and not holomorphic and not dtypes.issubdtype(dtype, np.floating):
            raise TypeError(
                "jacrev requires real-valued outputs (output dtype that is a sub-dtype of np.floating), but got "
                f"{dtypes.dtype_name(dtype)}. "
                + (
                    "For holomorphic differentiation, pass holomorphic=True. For differentiation of non-holomorphic "
                    "functions involving complex outputs, use vjp directly."
                    if complex_out
                    else "For differentiation of functions with integer outputs, use vjp directly."
                )
            )


def check_scalar(out, holomorphic: bool, fun) -> None:
    try:
        aval = get_aval(out)
    except TypeError:
        raise TypeError(
            f"Gradient only defined for scalar-output functions. Output was {_describe_tree(out)}. Return one scalar; "
            "to return more beside it use has_aux=True and return (value, extras)."
        ) from None
    if aval.shape != ():
        raise TypeError(
            f"Gradient only defined for scalar-output functions. Output had shape: {aval.shape}. Reduce it to a scalar "
            "(.sum() or .mean()), or use jacrev or vjp."
        )
    if holomorphic:
        if not dtypes.issubdtype(aval.dtype, np.complexfloating):
            raise TypeError(
                f"grad with holomorphic=True requires outputs with complex dtype, but got {dtypes.dtype_name(aval.dtype)}."
            )
    elif dtypes.issubdtype(aval.dtype, np.complexfloating):
        raise TypeError(
            f"grad requires real-valued outputs (output dtype that is a sub-dtype of np.floating), but got "
            f"{dtypes.dtype_name(aval.dtype)}. For holomorphic differentiation, pass holomorphic=True. For differentiation "
            "of non-holomorphic functions involving complex outputs, use vjp directly."
        )
    elif not dtypes.issubdtype(aval.dtype, np.floating):
        raise TypeError(
            f"grad requires real-valued outputs (output dtype that is a sub-dtype of np.floating), but got "
            f"{dtypes.dtype_name(aval.dtype)}. For differentiation of functions with integer outputs, use vjp directly."
        )


def _describe_tree(out) -> str:
    return repr(tree.map(lambda x: get_aval(x).str_short(False) if hasattr(x, "dtype") else type(x).__name__, out))


def check_tangent(t, primal_aval) -> Any:
    """A tangent of the right type for an argument of type ``primal_aval``.

    Raises:
      TypeError, ValueError: if dtypes or shapes differ.
    """
    aval = primal_aval.to_tangent()
    got = get_aval(t) if not (isinstance(t, np.ndarray) and t.dtype == dtypes.float0) else aval
    if aval.dtype == dtypes.float0:
        if got.dtype != dtypes.float0:
            raise TypeError(
                "primal and tangent arguments to jvp do not match; dtypes must be equal, or in case of int/bool primal "
                f"dtype the tangent dtype must be float0. Got primal dtype {dtypes.dtype_name(primal_aval.dtype)} and so "
                f"expected tangent dtype float0, but got tangent dtype {dtypes.dtype_name(got.dtype)} instead."
            )
        return Zero(aval)
    if got.dtype != aval.dtype:
        raise TypeError(
            "primal and tangent arguments to jvp do not match; dtypes must be equal, or in case of int/bool primal "
            f"dtype the tangent dtype must be float0. Got primal dtype {dtypes.dtype_name(primal_aval.dtype)} and so "
            f"expected tangent dtype {dtypes.dtype_name(aval.dtype)}, but got tangent dtype {dtypes.dtype_name(got.dtype)} instead."
        )
    if got.shape != aval.shape:
        raise ValueError(
            f"jvp called with different primal and tangent shapes; Got primal shape {aval.shape} and tangent shape as "
            f"{got.shape}"
        )
    return t


__all__ = ["fwd_and_bwd", "grad", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "value_and_grad", "vjp"]
