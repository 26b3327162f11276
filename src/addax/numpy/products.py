"""Products of arrays: dot, matmul, tensordot, outer and the like, all one `dot_general`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.sizes import is_symbolic, larger, shared, smaller
from addax.interpreters.values import convert, reshape
from addax.lax.dot import dot_general
from addax.lax.shape import iota
from addax.lax.sharding import place
from addax.numpy.base import as_operand, canonical_axis, check_array_like, no_out, promote_dtypes
from addax.numpy.creation import asarray
from addax.numpy.joining import stack
from addax.numpy.shapes import broadcast_to, moveaxis, ravel


def _operands(name: str, a, b, preferred):
    check_array_like(name, a, b)
    x, y = promote_dtypes(as_operand(a), as_operand(b))
    x, y = asarray(x), asarray(y)
    if preferred is not None:
        return x, y, dtypes.canonicalize_user_dtype(preferred, name), False
    _, weak = dtypes.lattice_result_type(as_operand(a), as_operand(b))
    return x, y, get_aval(x).dtype, weak


def _general(x, y, contract, batch, precision, dtype, weak):
    out = dot_general(x, y, (contract, batch), precision=precision, preferred_element_type=dtype)
    return convert(out, dtype, weak)


def dot(a, b, *, precision=None, preferred_element_type=None, out_sharding=None):
    """The product of vectors and matrices; for more dimensions the sum over the last of ``a`` and second-last of ``b``.

    Raises:
      TypeError: if the summed dimensions differ in size.

    >>> import addax.numpy as jnp
    >>> float(jnp.dot(jnp.arange(3.0), jnp.ones(3)))
    3.0
    """
    if out_sharding is not None:
        return place(dot(a, b, precision=precision, preferred_element_type=preferred_element_type), out_sharding)
    x, y, dtype, weak = _operands("dot", a, b, preferred_element_type)
    if not x.ndim or not y.ndim:
        return convert(x * y, dtype, weak)
    contract = ((x.ndim - 1,), (max(y.ndim - 2, 0),))
    return _general(x, y, contract, ((), ()), precision, dtype, weak)


def matmul(a, b, *, precision=None, preferred_element_type=None, out_sharding=None):
    """``a @ b``: the matrix product over the last two dimensions, the leading ones broadcast.

    Raises:
      ValueError: for scalars.
      TypeError: if the inner dimensions differ in size.

    >>> import addax.numpy as jnp
    >>> jnp.matmul(jnp.ones((2, 3)), jnp.ones(3)).tolist()
    [3.0, 3.0]
    """
    if out_sharding is not None:
        return place(matmul(a, b, precision=precision, preferred_element_type=preferred_element_type), out_sharding)
    for i, v in enumerate((a, b)):
        if np.ndim(as_operand(v)) < 1:
            raise ValueError(
                f"matmul input operand {i} must have ndim at least 1, but it has ndim {np.ndim(v)}: use * for scalars."
            )
    x, y, dtype, weak = _operands("matmul", a, b, preferred_element_type)
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else -1]:
        raise TypeError(
            f"matmul: contracting dimensions differ: {x.shape} @ {y.shape} needs the last dimension of the first "
            f"({x.shape[-1]}) to equal the {'second-last' if y.ndim > 1 else 'only'} of the second "
            f"({y.shape[-2 if y.ndim > 1 else -1]})."
        )
    if x.ndim <= 2 and y.ndim <= 2:
        return _general(x, y, ((x.ndim - 1,), (max(y.ndim - 2, 0),)), ((), ()), precision, dtype, weak)
    xb, yb = x.shape[:-2] if x.ndim > 1 else (), y.shape[:-2] if y.ndim > 1 else ()
    if not yb:  # one matrix for all: no batch
        return _general(x, y, ((x.ndim - 1,), (max(y.ndim - 2, 0),)), ((), ()), precision, dtype, weak)
    try:
        batch = shared((xb, yb))
    except ValueError:
        raise TypeError(f"matmul: incompatible batch shapes {xb} and {yb} of {x.shape} @ {y.shape}") from None
    if not xb and x.ndim == 1:
        out = _general(y, x, ((y.ndim - 2,), (0,)), ((), ()), precision, dtype, weak)
        return out
    x = broadcast_to(x, (*batch, *x.shape[-2:]))
    vector = y.ndim == 1
    y = broadcast_to(y, (*batch, *y.shape[-2:])) if not vector else y
    n = len(batch)
    dims = tuple(range(n))
    return _general(x, y, ((n + 1,), (n,)), (dims, dims), precision, dtype, weak)


def vdot(a, b, *, precision=None, preferred_element_type=None):
    """The sum of ``conj(a) b`` over all elements."""
    check_array_like("vdot", a, b)
    a = asarray(a)
    if dtypes.issubdtype(a.dtype, np.complexfloating):
        a = a.conj()
    return dot(ravel(a), ravel(b), precision=precision, preferred_element_type=preferred_element_type)


def vecdot(x1, x2, /, *, axis: int = -1, precision=None, preferred_element_type=None):
    """The sum of ``conj(x1) x2`` along ``axis``, the other dimensions broadcast."""
    check_array_like("vecdot", x1, x2)
    a, b = asarray(x1), asarray(x2)
    if a.shape[axis] != b.shape[axis]:
        raise ValueError(f"vecdot requires arguments to have equal size along axis {axis}; got {a.shape} and {b.shape}")
    a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    if dtypes.issubdtype(a.dtype, np.complexfloating):
        a = a.conj()
    out = matmul(a[..., None, :], b[..., :, None], precision=precision, preferred_element_type=preferred_element_type)
    return out[..., 0, 0]


def matvec(x1, x2, /):
    """Matrices times vectors, the leading dimensions broadcast."""
    return matmul(asarray(x1), asarray(x2)[..., None])[..., 0]


def vecmat(x1, x2, /):
    """Conjugated vectors times matrices, the leading dimensions broadcast."""
    a = asarray(x1)
    a = a.conj() if dtypes.issubdtype(a.dtype, np.complexfloating) else a
    return matmul(a[..., None, :], asarray(x2))[..., 0, :]


def inner(a, b, *, precision=None, preferred_element_type=None):
    """The sum over the last dimensions of both."""
    x, y, dtype, weak = _operands("inner", a, b, preferred_element_type)
    if not x.ndim or not y.ndim:
        return convert(x * y, dtype, weak)
    return _general(x, y, ((x.ndim - 1,), (y.ndim - 1,)), ((), ()), precision, dtype, weak)


def outer(a, b, out=None):
    """All products of an element of ``a`` and one of ``b``, both flattened."""
    no_out("outer", out)
    check_array_like("outer", a, b)
    return ravel(a)[:, None] * ravel(b)[None, :]


def tensordot(a, b, axes: int | Sequence = 2, *, precision=None, preferred_element_type=None, out_sharding=None):
    """The sum of products over the given axes: the last ``n`` of ``a`` with the first ``n`` of ``b``, or pairs of lists.

    >>> import addax.numpy as jnp
    >>> jnp.tensordot(jnp.ones((2, 3)), jnp.ones((3, 4)), 1).shape
    (2, 4)
    """
    if out_sharding is not None:
        out = tensordot(a, b, axes, precision=precision, preferred_element_type=preferred_element_type)
        return place(out, out_sharding)
    x, y, dtype, weak = _operands("tensordot", a, b, preferred_element_type)
    if isinstance(axes, (int, np.integer)):
        n = int(axes)
        if n > min(x.ndim, y.ndim):
            raise TypeError(f"Number of tensordot axes (axes {n}) exceeds input ranks ({x.shape} and {y.shape})")
        contract = (tuple(range(x.ndim - n, x.ndim)), tuple(range(n)))
    else:
        left, right = axes
        left = (left,) if isinstance(left, (int, np.integer)) else tuple(left)
        right = (right,) if isinstance(right, (int, np.integer)) else tuple(right)
        if len(left) != len(right):
            raise TypeError(f"tensordot requires axes lists to have equal length, got {left} and {right}.")
        contract = (tuple(canonical_axis(i, x.ndim) for i in left), tuple(canonical_axis(i, y.ndim) for i in right))
    return _general(x, y, contract, ((), ()), precision, dtype, weak)


def kron(a, b):
    """The Kronecker product."""
    check_array_like("kron", a, b)
    a, b = asarray(a), asarray(b)
    rank = max(a.ndim, b.ndim)
    a = reshape(a, (1,) * (rank - a.ndim) + a.shape)
    b = reshape(b, (1,) * (rank - b.ndim) + b.shape)
    wide = reshape(a, [v for n in a.shape for v in (n, 1)]) * reshape(b, [v for n in b.shape for v in (1, n)])
    return reshape(wide, [m * n for m, n in zip(a.shape, b.shape, strict=True)])


def trace(a, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype=None, out=None):
    """The sum along a diagonal."""
    no_out("trace", out)
    return diagonal(a, offset, axis1, axis2).sum(-1, dtype=dtype)


def diagonal(a, offset: int = 0, axis1: int = 0, axis2: int = 1):
    """The elements ``a[..., i, i + offset]``, as the last dimension."""
    check_array_like("diagonal", a)
    a = asarray(a)
    if a.ndim < 2:
        raise ValueError("diagonal requires an array of at least two dimensions.")
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = a.shape[-2:]
    start, shift = max(-offset, 0), max(offset, 0)
    count = larger(smaller(rows - start, columns - shift), 0)
    i = iota(np.dtype(np.int32), count) if is_symbolic(count) else np.arange(count, dtype=np.int32)
    return a[..., i + start, i + shift]


def cross(a, b, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of two or three components; of two vectors of two, its one component (a number).

    Args:
      axisa, axisb, axisc: where the components stand in ``a``, ``b`` and the result; ``axis`` says all three.

    >>> import addax.numpy as jnp
    >>> jnp.cross(jnp.array([1, 0, 0]), jnp.array([0, 1, 0])).tolist()
    [0, 0, 1]
    """
    check_array_like("cross", a, b)
    a, b = (asarray(x) for x in promote_dtypes(as_operand(a), as_operand(b)))
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(
            f"cross: vectors must have 2 or 3 components, got {a.shape[-1]} and {b.shape[-1]} along axes {axisa} and "
            f"{axisb}."
        )
    x, y = ([v[..., i] for i in range(v.shape[-1])] for v in (a, b))
    last = x[0] * y[1] - x[1] * y[0]
    if len(x) == len(y) == 2:
        return last
    # A missing third component is 0.
    first = (x[1] * y[2] if len(y) == 3 else 0) - (x[2] * y[1] if len(x) == 3 else 0)
    second = (x[2] * y[0] if len(x) == 3 else 0) - (x[0] * y[2] if len(y) == 3 else 0)
    return moveaxis(stack([first, second, last], -1), -1, axisc)


__all__ = [
    "cross", "diagonal", "dot", "inner", "kron", "matmul", "matvec", "outer", "tensordot", "trace", "vdot", "vecdot", "vecmat",
]  # fmt: skip
