"""`jet`: higher derivatives along a curve, all at once (Taylor mode)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import addax.ops.taylor
import addax.ops.taylor_control  # noqa: F401
from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.core.trace import current_trace
from addax.interpreters.jet import jet_flat, scaled
from addax.interpreters.values import broadcast_to, convert, instantiate
from addax.transforms.autodiff import check_callable
from addax.transforms.flat import FlatFunction, check_leaves, jax_array
from addax.transforms.linear_maps import as_array


def jet(fun: Callable, primals: Sequence, series: Sequence, factorial_scaled: bool = True, **_) -> Any:
    """The derivatives up to order K of ``fun(*x(t))`` at t = 0, for curves x(t) given by theirs.

    For one argument, with ``x(0) = primals[0]`` and ``d^k x / dt^k (0) = series[0][k - 1]``, the result is
    ``(y, [y', y'', ..., y^(K)])`` of ``y(t) = fun(x(t))``. In particular ``series = ([v, 0, ..., 0],)`` gives the derivatives
    of ``fun`` in the direction v.

    Where nested `jvp` takes time and memory exponential in K, this takes time proportional to K squared (cubed for
    powers, and for primitives that have no Taylor rule of their own: they go by their derivative, with the same result).

    Args:
      fun: a function of arrays, or pytrees of them, to a pytree of arrays. It may use `jit`, control flow of any kind and
        functions with a `custom_jvp` or `custom_vjp`, whose rules are followed.
      primals: a tuple or list of its arguments, real or complex.
      series: for each argument a tuple or list of K values with its structure, shapes and dtypes (numbers stand for
        arrays that are full of them). K is the same for all arguments.
      factorial_scaled: False: series, given and returned, are Taylor coefficients, ``y^(k) / k!``, instead.

    Returns:
      ``(fun(*primals), terms)``, where ``terms`` has the structure of the result with a list of K arrays at each leaf.

    Raises:
      ValueError: if series do not have equal lengths, one for each argument, or structures or shapes differ.
      TypeError: if an argument is not real or complex.

    Unlike in JAX, arguments may be pytrees, all primitives with a derivative have their higher ones, integers are refused as
    arguments, and where they are results their derivatives are zeros of dtype float0, as in `jvp`.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 13.

    >>> import addax.numpy as jnp
    >>> from addax.experimental.jet import jet
    >>> y, (first, second, third) = jet(jnp.exp, (0.0,), ([1.0, 0.0, 0.0],))
    >>> float(first), float(second), float(third)
    (1.0, 1.0, 1.0)
    >>> f0, (f1, f2) = jet(jnp.sin, (0.125,), ([0.75, 3.0],))  # sin(z^3) at z = 0.5
    >>> round(float(f1), 4), round(float(f2), 4)
    (0.7441, 2.9065)
    """
    check_callable(fun, "jet")
    for name, value in (("primals", primals), ("series", series)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                f"jet: {name} must be a tuple or list with one entry per argument, got {type(value).__name__}. Write "
                "jet(f, (x,), ([x1, x2],))."
            )
    primals = tuple(primals)
    if len(series) != len(primals):
        raise ValueError(
            f"jet: there are {len(primals)} primals but {len(series)} series; each argument needs its own."
        )
    lengths = [len(s) for s in series]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"jet terms have inconsistent lengths for different arguments: {lengths}. Fill the shorter series up with zeros."
        )
    order = lengths[0] if lengths else 0
    leaves, in_tree = tree.flatten((primals, {}))
    avals = check_leaves(fun, leaves, primals, {}, "jet")
    for i, aval in enumerate(avals):
        if not dtypes.issubdtype(aval.dtype, np.inexact):
            raise TypeError(
                f"jet: arguments must be real or complex arrays, but leaf {i} of the primals is {aval.str_short(False)}. "
                "Convert it (astype), or let the function capture it."
            )
    columns = [[x] for x in leaves]
    for k in range(order):
        terms, terms_tree = tree.flatten((tuple(s[k] for s in series), {}))
        if terms_tree != in_tree:
            raise ValueError(
                f"jet: terms of order {k + 1} must have the structure of the primals, {tree.structure(primals)}, got "
                f"{tree.structure(tuple(s[k] for s in series))}."
            )
        for column, term, aval in zip(columns, terms, avals, strict=True):
            term = _term(term, aval, k + 1)
            column.append(scaled(term, 1 / math.factorial(k + 1)) if factorial_scaled else term)
    flat = FlatFunction(fun, in_tree)
    outs = jet_flat(flat, columns, order, current_trace())
    assert flat.out_tree is not None
    results = []
    for y in outs:
        terms = [as_array(instantiate(c)) for c in y[1:]]
        if factorial_scaled and get_aval(y[0]).to_tangent().dtype != dtypes.float0:
            terms = [scaled(c, math.factorial(k)) for k, c in enumerate(terms, 1)]
        results.append(terms)
    return flat.out_tree.unflatten([y[0] for y in outs]), flat.out_tree.unflatten(results)


def _term(x, aval, k: int):
    """A coefficient with the type of its primal."""
    x = jax_array(x)
    given = get_aval(x)
    if given.shape not in ((), aval.shape):
        raise ValueError(
            f"jet: the term of order {k} must have the shape {aval.shape} of its primal (or be a scalar), got {given.shape}."
        )
    return broadcast_to(convert(x, aval.dtype, aval.weak_type), aval.shape)


__all__ = ["jet"]
