"""`jacobian_sparsity` and `hessian_sparsity`: patterns from programs. The work is done in walk.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scipy import sparse

from addax.core import dtypes, tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import JaxprTrace
from addax.core.trace import swap_trace
from addax.interpreters.jvp import jvp_flat
from addax.interpreters.values import Zero, instantiate
from addax.sparse_derivatives import loops, rules  # noqa: F401 (their rules are registered)
from addax.sparse_derivatives.patterns import Pattern, block, empty, stack
from addax.sparse_derivatives.walk import UNKNOWN, Value, constant, walk
from addax.transforms.autodiff import check_callable, grad, normalise_argnums
from addax.transforms.flat import FlatFunction, check_leaves
from addax.transforms.stages import ShapeDtypeStruct, aval_of_spec


def jacobian_sparsity(fun: Callable, *args, argnums: int | Sequence[int] = 0, **kwargs) -> sparse.csr_array:
    """Which elements of the result of ``fun`` depend on which elements of an argument: a boolean sparse matrix.

    Row i stands for element i of the result (of all its leaves, each in row-major order, one after the other), column j
    for element j of the argument or arguments ``argnums``. The pattern is read off the program of the derivative, so
    it does not depend on the values of any argument; arrays that ``fun`` closes over, and what it computes from them
    alone, are looked at. Where the program does not tell (a data-dependent index, a loop of unknown length) an entry is
    reported that may be 0.

    Args:
      args: the arguments of ``fun``: arrays, or `ShapeDtypeStruct`s, for only their types matter.

    Raises:
      ValueError: if the pattern, or one on the way to it, is too dense to be a sparse matrix.

    >>> import addax, addax.numpy as jnp
    >>> addax.jacobian_sparsity(lambda x: x[1:] - x[:-1] ** 2, jnp.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    check_callable(fun, "jacobian_sparsity")
    return detect(fun, args, kwargs, chosen_arguments(fun, argnums, args))


def hessian_sparsity(fun: Callable, *args, argnums: int | Sequence[int] = 0, **kwargs) -> sparse.csr_array:
    """Where the Hessian of a scalar function may differ from 0: a symmetric boolean matrix. See `jacobian_sparsity`.

    >>> import addax, addax.numpy as jnp
    >>> addax.hessian_sparsity(lambda x: x[0] ** 2 * x[1] + x[2], jnp.ones(3)).toarray().astype(int)
    array([[1, 1, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    check_callable(fun, "hessian_sparsity")
    chosen = chosen_arguments(fun, argnums, args)
    return symmetric(detect(grad(fun, chosen), args, kwargs, chosen))


def chosen_arguments(fun, argnums, args) -> tuple[int, ...]:
    nums = normalise_argnums(fun, argnums, args)
    return nums if isinstance(nums, tuple) else (nums,)


def symmetric(pattern: Pattern) -> Pattern:
    return sorted_rows(pattern + pattern.T)


def sorted_rows(pattern) -> Pattern:
    out = sparse.csr_array(pattern)
    out.sort_indices()
    return out


def detect(fun: Callable, args: tuple, kwargs: dict, chosen: tuple[int, ...], has_aux: bool = False) -> Pattern:
    """The pattern of the Jacobian of ``fun`` with respect to the arguments ``chosen``."""
    leaves, in_tree = tree.flatten((args, kwargs))
    leaves = [aval_of_spec(x) if isinstance(x, ShapeDtypeStruct) else x for x in leaves]
    types = iter(
        check_leaves(fun, [x for x in leaves if type(x) is not ShapedArray], args, kwargs, "jacobian_sparsity")
    )
    avals = [x if type(x) is ShapedArray else next(types) for x in leaves]
    varies = [i in chosen for i, x in enumerate((*args, kwargs)) for _ in tree.leaves(x)]
    columns = sum(a.size for a, v in zip(avals, varies, strict=True) if v)

    builder = JaxprTrace()
    primals = [builder.new_arg(a) for a in avals]
    tangents: list = []
    values = [UNKNOWN] * len(primals)
    offset = 0
    for aval, v in zip(avals, varies, strict=True):
        tangent = aval.to_tangent()
        if not v or tangent.dtype == dtypes.float0:
            tangents.append(Zero(tangent))
        else:
            tangents.append(builder.new_arg(tangent))
            values.append(Value(block(aval.size, offset, columns)))
        offset += aval.size if v else 0
    previous = swap_trace(builder)
    try:
        _, out_tangents = jvp_flat(FlatFunction(fun, in_tree, has_aux), primals, tangents, builder)
        live = [instantiate(t) for t in out_tangents if type(t) is not Zero]
    finally:
        swap_trace(previous)
    jaxpr, consts = builder.finish(live)
    outs = iter(walk(jaxpr, [constant(c) for c in consts], values))
    rows = []
    for t in out_tangents:
        pattern = None if type(t) is Zero else next(outs).pattern
        size = math.prod((t.aval if type(t) is Zero else get_aval(t)).shape)
        rows.append(empty(size, columns) if pattern is None else pattern)
    return sorted_rows(stack(rows)) if rows else empty(0, columns)


__all__ = ["chosen_arguments", "detect", "hessian_sparsity", "jacobian_sparsity", "symmetric"]
