"""Grids of coordinates and index expressions: indices, ix_, mgrid, ogrid, r_, c_, s_."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.numpy.base import as_array, as_operand, check_array_like, promote_dtypes
from addax.numpy.creation import arange, asarray, linspace
from addax.numpy.joining import concatenate, stack
from addax.numpy.shapes import broadcast_to, expand_dims, reshape

s_ = np.s_
index_exp = np.index_exp


def indices(dimensions: Sequence[int], dtype=None, sparse: bool = False) -> Any:
    """The coordinates of the elements of an array of shape ``dimensions``: one array per axis, stacked.

    Args:
      dtype: int by default.
      sparse: a tuple of arrays that broadcast to the grid instead.

    >>> import addax.numpy as jnp
    >>> jnp.indices((2, 2)).tolist()
    [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]
    """
    shape = tuple(dimensions)
    if dtype is not None and not dtypes.issubdtype(dtype, np.number):
        raise TypeError(f"indices: dtype must be a numeric type, got {dtypes.dtype_name(dtype)}")
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "indices")
    lines = [
        reshape(arange(n, dtype=dtype), [-1 if k == d else 1 for k in range(len(shape))]) for d, n in enumerate(shape)
    ]
    if sparse:
        return tuple(lines)
    return stack([broadcast_to(v, shape) for v in lines]) if lines else asarray(np.zeros(0), dtype)


def ix_(*args) -> tuple:
    """Vectors as index arrays that pick the rows, columns, ... they name: ``x[jnp.ix_(rows, columns)]``.

    >>> import addax.numpy as jnp
    >>> jnp.arange(9).reshape(3, 3)[jnp.ix_(jnp.array([0, 2]), jnp.array([1, 2]))].tolist()
    [[1, 2], [7, 8]]
    """
    check_array_like("ix_", *args)
    vectors = [as_array(x) for x in args]
    out = []
    for d, v in enumerate(vectors):
        if v.ndim != 1:
            raise ValueError(f"Arguments to addax.numpy.ix_ must be 1-dimensional, got shape {v.shape} at position {d}")
        if v.dtype == np.bool_:
            raise NotImplementedError(
                "Boolean arguments to addax.numpy.ix_ are not implemented: use addax.numpy.nonzero(mask)[0] (with size= "
                "in compiled functions)."
            )
        if v.size == 0:
            v = asarray(v, dtypes.default_int_dtype())
        out.append(reshape(v, [-1 if k == d else 1 for k in range(len(vectors))]))
    return tuple(out)


# ---------------------------------------------------------------------------------------------------------------------
# Slices as vectors


def _vector(s: slice, name: str):
    """``start:stop:step`` as arange, ``start:stop:nj`` as n points of linspace."""
    start = 0 if s.start is None else s.start
    if s.stop is None:
        raise ValueError(f"{name}: a slice needs a stop, got {s}")
    if isinstance(s.step, complex):
        return linspace(start, s.stop, int(abs(s.step)))
    return arange(start, s.stop, 1 if s.step is None else s.step)


class _Grid:
    """What ``mgrid`` and ``ogrid`` are: indexing them makes coordinate arrays."""

    def __init__(self, name: str, dense: bool, doc: str):
        self.name, self.dense, self.__doc__ = name, dense, doc

    def __repr__(self) -> str:
        return f"<addax.numpy.{self.name}>"

    def __getitem__(self, key) -> Any:
        if isinstance(key, slice):
            return _vector(key, self.name)
        if not isinstance(key, tuple) or not all(isinstance(k, slice) for k in key):
            raise TypeError(f"{self.name} takes slices, one per axis: {self.name}[0:3, 0:1:5j], got {key!r}")
        vectors = promote_dtypes(*(_vector(k, self.name) for k in key))
        lines = [reshape(v, [-1 if k == d else 1 for k in range(len(vectors))]) for d, v in enumerate(vectors)]
        if not self.dense:
            return lines
        shape = tuple(v.shape[0] for v in vectors)
        return stack([broadcast_to(v, shape) for v in lines]) if lines else asarray(np.zeros(0))


mgrid = _Grid(
    "mgrid",
    True,
    """The coordinates of a grid, stacked: ``mgrid[0:2, 0:1:3j]`` (an imaginary step is a number of points).

    >>> import addax.numpy as jnp
    >>> jnp.mgrid[0:2, 0:3].shape
    (2, 2, 3)
    """,
)
ogrid = _Grid(
    "ogrid",
    False,
    """The coordinates of a grid as a list of arrays that broadcast to it; see `mgrid`.

    >>> import addax.numpy as jnp
    >>> [v.shape for v in jnp.ogrid[0:2, 0:3]]
    [(2, 1), (1, 3)]
    """,
)


# ---------------------------------------------------------------------------------------------------------------------
# Joining by indexing


class _Join:
    """What ``r_`` and ``c_`` are: indexing them joins arrays, numbers and slices.

    A string in front says how, ``"axis,ndim,first"``: the axis to join along, the least number of dimensions, and where
    the dimensions of a smaller array begin among them (-1: at the end); ``"r"`` and ``"c"`` make a row or column matrix
    of vectors.
    """

    def __init__(self, name: str, axis: int, ndim: int, first: int, doc: str):
        self.name, self.default, self.__doc__ = name, (axis, ndim, first), doc

    def __repr__(self) -> str:
        return f"<addax.numpy.{self.name}>"

    def __getitem__(self, key) -> Any:
        items = list(key) if isinstance(key, tuple) else [key]
        (axis, ndim, first), matrix = self.default, ""
        if items and isinstance(items[0], str):
            directive = items.pop(0)
            if directive in ("r", "c"):
                matrix = directive
            else:
                axis, ndim, first = self._parse(directive)
        if any(isinstance(k, str) for k in items):
            raise ValueError(f"{self.name}: string directive must be placed at the beginning")
        parts = [self._part(k, ndim, first) for k in items]
        out = concatenate(promote_dtypes(*parts), axis) if parts else asarray(np.zeros(0))
        if matrix and out.ndim == 1:
            out = expand_dims(out, 0 if matrix == "r" else 1)
        return out

    def _parse(self, directive: str) -> tuple[int, int, int]:
        try:
            given = [int(v) for v in directive.split(",")]
        except ValueError:
            given = []
        if not 1 <= len(given) <= 3:
            raise ValueError(
                f"{self.name}: could not understand directive {directive!r}: expected 'r', 'c', or up to three integers "
                "'axis,ndim,first'"
            )
        axis, ndim, first = (*given, *self.default[len(given) :])
        return axis, ndim, first

    def _part(self, k, ndim: int, first: int):
        a = _vector(k, self.name) if isinstance(k, slice) else as_operand(k)
        a = asarray(a)
        missing = ndim - a.ndim
        if missing <= 0:
            return a
        # In front of `first` dimensions of size 1, behind it the rest; counted from the end if negative.
        at = first if first >= 0 else missing + 1 + first
        if not 0 <= at <= missing:
            raise ValueError(
                f"{self.name}: an array of shape {a.shape} among {ndim} dimensions cannot begin at {first}: it must be in "
                f"[{-missing - 1}, {missing}]"
            )
        return reshape(a, (1,) * at + a.shape + (1,) * (missing - at))


r_ = _Join(
    "r_",
    0,
    1,
    -1,
    """Join along the first axis: ``r_[1:4, 0, x]``; slices are ranges, ``0:1:5j`` is five points of linspace.

    >>> import addax.numpy as jnp
    >>> jnp.r_[1:4, 0, jnp.array([7])].tolist()
    [1, 2, 3, 0, 7]
    """,
)
c_ = _Join(
    "c_",
    -1,
    2,
    0,
    """Join along the last axis, vectors as columns: ``c_[x, y]``.

    >>> import addax.numpy as jnp
    >>> jnp.c_[jnp.arange(2), jnp.arange(2)].tolist()
    [[0, 0], [1, 1]]
    """,
)

__all__ = ["c_", "index_exp", "indices", "ix_", "mgrid", "ogrid", "r_", "s_"]
