"""Checking derivatives against finite differences.

A directional derivative is compared with the central difference ``(f(x + h v) - f(x - h v)) / 2h`` in a random direction
``v``; the reverse mode with the forward one by ``<ct, J v> = <J^T ct, v>``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.transforms.autodiff import jvp, vjp

# Of the precision in which differences are taken: (tolerance, step)
_TOLERANCES = {
    "bfloat16": 1e-1,
    "float16": 1e-2,
    "float32": 2e-3,
    "complex64": 2e-3,
    "float64": 1e-5,
    "complex128": 1e-5,
}


def _tolerance(x: Any) -> float:
    return _TOLERANCES.get(dtypes.dtype_name(get_aval(x).dtype), 0.0)


def _random_like(random: np.random.RandomState, x: Any) -> np.ndarray:
    aval = get_aval(x)
    tangent = aval.to_tangent()
    if tangent.dtype == dtypes.float0:
        return np.zeros(aval.shape, dtypes.float0)
    values = random.randn(*aval.shape)
    if dtypes.issubdtype(aval.dtype, np.complexfloating):
        values = values + 1j * random.randn(*aval.shape)
    return np.asarray(values, aval.dtype)


def _moved(args: Any, direction: Any, step: float) -> Any:
    def move(x, v):
        if v.dtype == dtypes.float0:
            return x
        x = np.asarray(x)
        wide = np.float32 if x.dtype.itemsize < 4 else x.dtype
        return (x.astype(wide) + np.asarray(step, wide) * v.astype(wide)).astype(x.dtype)

    return tree.map(move, args, direction)


def _difference(f: Callable, args: tuple, direction: tuple, eps: float) -> Any:
    above, below = f(*_moved(args, direction, eps)), f(*_moved(args, direction, -eps))

    def divide(a, b):
        a, b = np.asarray(a), np.asarray(b)
        wide = np.float32 if a.dtype.itemsize < 4 else a.dtype
        return (a.astype(wide) - b.astype(wide)) / np.asarray(2 * eps, wide)

    return tree.map(divide, above, below)


def _assert_close(got: Any, want: Any, atol: float | None, rtol: float | None, what: str) -> None:
    for (path, g), w in zip(tree.flatten_with_path(got)[0], tree.leaves(want), strict=True):
        if get_aval(g).dtype == dtypes.float0:
            continue
        tolerance = max(_tolerance(g), _tolerance(w))
        g, w = np.asarray(g), np.asarray(w)
        g, w = (x.astype(np.float32) if x.dtype.itemsize < 4 else x for x in (g, w))
        np.testing.assert_allclose(
            g, w, atol=tolerance if atol is None else atol, rtol=tolerance if rtol is None else rtol,
            err_msg=f"{what}{tree.keystr(path)}",
        )  # fmt: skip


def check_jvp(
    f: Callable, f_jvp: Callable, args: Sequence[Any], atol: float | None = None, rtol: float | None = None,
    eps: float = 1e-4, err_msg: str = "",
) -> None:  # fmt: skip
    """Compare a forward derivative with a finite difference in a random direction.

    Args:
      f: a function of pytrees of arrays.
      f_jvp: ``(args, tangents) -> (values, tangents)``, e.g. ``functools.partial(addax.jvp, f)``.
      args: where.
      atol, rtol: tolerances; by default those of the dtypes (2e-3 for float32, 1e-5 for float64).
      eps: the step ``h``. For float32 it is at least 2e-3, below which rounding drowns the difference.

    Raises:
      AssertionError: if they differ.

    >>> import addax, functools
    >>> from addax.test_util import check_jvp
    >>> check_jvp(addax.numpy.sin, functools.partial(addax.jvp, addax.numpy.sin), (0.5,))
    """
    args = tuple(args)
    random = np.random.RandomState(0)
    direction = tree.map(lambda x: _random_like(random, x), args)
    values, tangents = f_jvp(args, direction)
    prefix = f"{err_msg} " if err_msg else ""
    _assert_close(values, f(*args), atol, rtol, f"{prefix}JVP primal")
    _assert_close(tangents, _difference(f, args, direction, _step(args, eps)), atol, rtol, f"{prefix}JVP tangent")


def _step(args: Any, eps: float) -> float:
    coarse = any(_tolerance(x) >= _TOLERANCES["float32"] for x in tree.leaves(args))
    return max(eps, 2e-3) if coarse else eps


def check_vjp(
    f: Callable, f_vjp: Callable, args: Sequence[Any], atol: float | None = None, rtol: float | None = None,
    eps: float = 1e-4, err_msg: str = "",
) -> None:  # fmt: skip
    """Compare a reverse derivative with a finite difference, by ``<ct, J v> = <J^T ct, v>`` for random ``v``, ``ct``.

    Args:
      f_vjp: ``(*args) -> (values, pullback)``, e.g. ``functools.partial(addax.vjp, f)``. Others as in `check_jvp`.

    Raises:
      AssertionError: if they differ.

    >>> import addax, functools
    >>> from addax.test_util import check_vjp
    >>> check_vjp(addax.numpy.sin, functools.partial(addax.vjp, addax.numpy.sin), (0.5,))
    """
    args = tuple(args)
    random = np.random.RandomState(0)
    values, pullback = f_vjp(*args)
    prefix = f"{err_msg} " if err_msg else ""
    _assert_close(values, f(*args), atol, rtol, f"{prefix}VJP primal")
    direction = tree.map(lambda x: _random_like(random, x), args)
    difference = _difference(f, args, direction, _step(args, eps))
    cotangent = tree.map(lambda y: _random_like(random, y), values)
    got = _inner(pullback(cotangent), direction)
    want = _inner(cotangent, difference)
    loosest = max((_tolerance(x) for x in tree.leaves((args, values))), default=0.0)
    atol, rtol = (loosest if t is None else t for t in (atol, rtol))
    np.testing.assert_allclose(got, want, atol=atol, rtol=rtol, err_msg=f"{prefix}VJP cotangent projection")


def _inner(a: Any, b: Any) -> float:
    """The sum of all products, unconjugated; its real part, as cotangents of complex values are paired with tangents."""
    total = 0.0
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        if get_aval(x).dtype != dtypes.float0 and get_aval(y).dtype != dtypes.float0:
            wide = np.result_type(np.asarray(x).dtype, np.float64)
            total += np.real(np.sum(np.asarray(x).astype(wide) * np.asarray(y).astype(wide)))
    return total


def check_grads(
    f: Callable, args: Sequence[Any], order: int, modes: str | Sequence[str] = ("fwd", "rev"),
    atol: float | None = None, rtol: float | None = None, eps: float | None = None,
) -> None:  # fmt: skip
    """Compare the derivatives of a function, to an order, with finite differences.

    Args:
      f: a function of pytrees of arrays.
      args: where.
      order: how often to differentiate; each combination of modes is checked.
      modes: "fwd", "rev" or both.
      atol, rtol, eps: as in `check_jvp`.

    Raises:
      AssertionError: if they differ; the message says in which mode and order.
      ValueError: for another mode.

    >>> import addax
    >>> from addax.test_util import check_grads
    >>> check_grads(lambda x, y: addax.numpy.sin(x) * y, (0.5, 2.0), order=2)
    """
    args = tuple(args)
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    for mode in modes:
        if mode not in ("fwd", "rev"):
            raise ValueError(f"check_grads: modes are 'fwd' and 'rev', got {mode!r}")
    step = 1e-4 if eps is None else eps
    random = np.random.RandomState(2)

    def check(f: Callable, args: tuple, order: int, done: str) -> None:
        if "fwd" in modes:
            name = f"{done}jvp of "
            check_jvp(f, lambda primals, tangents: jvp(f, primals, tangents), args, atol, rtol, step, name + "f:")
            if order > 1:
                check(
                    lambda *xs: jvp(f, xs[: len(args)], xs[len(args) :]),
                    (*args, *(tree.map(lambda x: _random_like(random, x), args))),
                    order - 1,
                    name,
                )
        if "rev" in modes:
            name = f"{done}vjp of "
            check_vjp(f, lambda *xs: vjp(f, *xs), args, atol, rtol, step, name + "f:")
            if order > 1:

                def pulled(*xs):
                    values, pullback = vjp(f, *xs)
                    return values, pullback(cotangent)

                cotangent = tree.map(lambda y: _random_like(np.random.RandomState(1), y), f(*args))
                check(pulled, args, order - 1, name)

    check(f, args, order, "")


__all__ = ["check_grads", "check_jvp", "check_vjp"]
