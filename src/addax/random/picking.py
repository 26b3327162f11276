"""Random choices: categories, elements of an array, permutations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.engines.eager import fused
from addax.interpreters.values import convert, reshape
from addax.numpy.base import canonical_axis, canonical_shape, check_array_like
from addax.numpy.creation import asarray, placed
from addax.random.base import bits_of, const, split_key
from addax.random.keys import single_key
from addax.random.samplers import gumbel_mode, randint_below, standard_gumbel, unit_uniform


def _index_dtype():
    return dtypes.default_int_dtype()


@placed
def categorical(
    key, logits, axis: int = -1, shape=None, replace: bool = True, mode: str | None = None, *, out_sharding=None
):
    """Indices along ``axis``, with probabilities ``softmax(logits)``, by the largest of Gumbel-perturbed logits.

    Args:
      logits: unnormalised log probabilities, floats; ``-inf`` is never chosen.
      shape: of the result; it must end in the shape of ``logits`` without ``axis``, which is its default.
      replace: False draws without replacement over the leading dimensions of ``shape``.
      mode: as for `gumbel`.

    >>> import addax.random as jr, addax.numpy as jnp
    >>> jr.categorical(jr.key(0), jnp.array([0.0, -jnp.inf]), shape=(3,)).tolist()
    [0, 0, 0]
    """
    k = single_key("categorical", key)
    check_array_like("categorical", logits)
    logits = asarray(logits)
    axis = canonical_axis(axis, logits.ndim)
    batch = logits.shape[:axis] + logits.shape[axis + 1 :]
    shape = batch if shape is None else canonical_shape(shape)
    prefix = shape[: len(shape) - len(batch)]
    if not dtypes.issubdtype(logits.dtype, np.floating):
        raise ValueError(f"categorical: logits must be floats, got {dtypes.dtype_name(logits.dtype)}")
    if not _ends_in(shape[len(prefix) :], batch):
        raise ValueError(f"categorical: shape {shape} must end in the batch shape {batch} of the logits")
    mode = gumbel_mode(mode)
    if replace:
        full = (*prefix, *shape[len(prefix) : len(prefix) + axis], logits.shape[axis], *shape[len(prefix) + axis :])
        return _largest(k, logits, axis=axis + len(prefix), full=full, mode=mode)
    count = math.prod(prefix)
    if count > logits.shape[axis]:
        raise ValueError(
            f"Number of samples without replacement ({count}) cannot exceed number of categories ({logits.shape[axis]})."
        )
    scores = lax.add(standard_gumbel(k, shape=logits.shape, dtype=logits.dtype, mode=mode), logits)
    _, picked = lax.top_k(_last(scores, axis), count)
    rank = picked.ndim
    picked = lax.transpose(picked, (rank - 1, *range(rank - 1)))
    return reshape(picked, (*prefix, *picked.shape[1:]))


@fused(static=("axis", "full", "mode"))
def _largest(k, logits, *, axis, full, mode) -> Any:
    noise = standard_gumbel(k, shape=full, dtype=logits.dtype, mode=mode)
    scores = lax.add(noise, lax.broadcast_in_dim(logits, full, tuple(range(len(full) - logits.ndim, len(full)))))
    return lax.argmax(scores, axis, _index_dtype())


def _ends_in(tail, batch) -> bool:
    return len(tail) == len(batch) and all(b in (1, t) for t, b in zip(tail, batch, strict=True))


def _last(x, axis: int):
    order = [i for i in range(x.ndim) if i != axis]
    return lax.transpose(x, (*order, axis))


@placed
def permutation(key, x, axis: int = 0, independent: bool = False, *, out_sharding=None):
    """``x`` (or ``arange(x)`` for an integer) in random order along ``axis``.

    Args:
      independent: every slice along ``axis`` gets an order of its own.

    >>> import addax.random as jr
    >>> sorted(jr.permutation(jr.key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    return _permutation(single_key("permutation", key), x, axis, independent)


def _permutation(k, x, axis: int = 0, independent: bool = False) -> Any:
    check_array_like("permutation", x)
    if np.ndim(x) == 0:
        if not dtypes.issubdtype(get_aval(x).dtype, np.integer):
            raise TypeError("x must be an integer or at least 1-dimensional")
        return _shuffled_range(k, size=int(x), dtype=_index_dtype())
    x = asarray(x)
    axis = canonical_axis(axis, x.ndim)
    if independent or x.ndim == 1:
        return _shuffle(k, x, axis=axis)
    order = _shuffled_range(k, size=x.shape[axis], dtype=_index_dtype())
    return _take(x, order, axis)


def _take(x, index, axis: int):
    return x[(slice(None),) * axis + (index,)]


@fused(static=("size", "dtype"))
def _shuffled_range(k, *, size, dtype) -> Any:
    return _shuffle(k, lax.iota(dtype, size), axis=0)


@fused(static=("axis",))
def _shuffle(k, x, *, axis) -> Any:
    """Sort by random keys, so often that ties between 32-bit keys do not matter: 3 log n / log 2^32 times."""
    rounds = math.ceil(3 * math.log(max(x.size, 1)) / math.log(2**32 - 1))
    for _ in range(rounds):
        k, sub = split_key(k)
        _, x = lax.sort((bits_of(sub, 32, x.shape), x), dimension=axis, num_keys=1)
    return x


def choice(key, a, shape=(), replace: bool = True, p: Any = None, axis: int = 0, mode=None):
    """Random elements of ``a`` (or of ``arange(a)``) along ``axis``, with probabilities ``p``.

    Args:
      p: weights of the elements, which need not sum to 1; equal by default.
      replace: whether an element may be drawn twice.
      mode: of the Gumbel numbers that order the elements with ``p`` and without replacement, as for `gumbel`.

    >>> import addax.random as jr, addax.numpy as jnp
    >>> jr.choice(jr.key(0), jnp.array([1, 5, 7]), (2,), p=jnp.array([0.0, 1.0, 0.0])).tolist()
    [5, 5]
    """
    k = single_key("choice", key)
    shape = canonical_shape(shape)
    check_array_like("choice", a, *(() if p is None else (p,)))
    arr = None if np.ndim(a) == 0 else asarray(a)
    if arr is None and not dtypes.issubdtype(get_aval(a).dtype, np.integer):
        raise TypeError(f"choice: a must be an integer or an array, got a {type(a).__name__}")
    axis = 0 if arr is None else canonical_axis(axis, arr.ndim)
    n = int(a) if arr is None else arr.shape[axis]
    count = math.prod(shape)
    if not count:
        rest = () if arr is None else arr.shape[:axis] + arr.shape[axis + 1 :]
        return lax.full((*rest[:axis], *shape, *rest[axis:]), 0, _index_dtype() if arr is None else arr.dtype)
    if n <= 0:
        raise ValueError("a must be greater than 0 unless no samples are taken")
    if not replace and count > n:
        raise ValueError(f"Cannot take a larger sample (size {count}) than population (size {n}) when 'replace=False'")
    if p is not None:
        index = _weighted(k, asarray(p), n, shape, replace, gumbel_mode(mode))
    elif replace:
        index = randint_below(k, n, shape)
    elif arr is None:
        index = reshape(_permutation(k, n)[:count], shape)
    else:  # shuffle the elements themselves
        shuffled = _permutation(k, arr, axis)
        kept = lax.slice_in_dim(shuffled, 0, count, axis=axis)
        return reshape(kept, (*arr.shape[:axis], *shape, *arr.shape[axis + 1 :]))
    return index if arr is None else _take(arr, index, axis)


def _weighted(k, p, n: int, shape, replace: bool, mode: str):
    if p.shape != (n,):
        raise ValueError(
            f"p must be None or a 1D vector with the same size as a.shape[axis]. p has shape {p.shape} and "
            f"a.shape[axis] is {n}."
        )
    if not dtypes.issubdtype(p.dtype, np.inexact):
        p = p.astype(dtypes.to_inexact_dtype(p.dtype))
    if replace:  # invert the cumulative distribution
        total = lax.cumsum(p, 0)
        r = lax.mul(total[-1], lax.sub(const(1, p.dtype), unit_uniform(k, shape=shape, dtype=p.dtype)))
        return convert(jnp.searchsorted(total, r), _index_dtype())
    scores = lax.add(standard_gumbel(k, shape=(n,), dtype=p.dtype, mode=mode), lax.log(p))
    return convert(reshape(lax.top_k(scores, math.prod(shape))[1], shape), _index_dtype())
