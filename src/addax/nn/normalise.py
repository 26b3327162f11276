"""Functions along an axis: softmax and its kin, standardize, one-hot vectors, attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes


def logsumexp(a, axis=None, b=None, keepdims: bool = False, return_sign: bool = False, where=None):
    """``log(sum(b exp(a)))``, without overflow.

    Args:
      axis: the axes to sum over; all by default.
      b: weights, broadcast against ``a``.
      return_sign: return ``(log|s|, sign(s))`` of the sum s instead.
      where: elements to include.

    >>> import addax, addax.numpy as jnp
    >>> round(float(addax.nn.logsumexp(jnp.array([1000.0, 1000.0]))), 3)
    1000.693
    """
    a = jnp.asarray(a)
    a = a if dtypes.issubdtype(a.dtype, np.inexact) else a.astype(dtypes.to_inexact_dtype(a.dtype))
    real = a.real if dtypes.issubdtype(a.dtype, np.complexfloating) else a
    largest = jnp.max(real, axis=axis, keepdims=True, where=where, initial=None if where is None else -np.inf)
    largest = lax.stop_gradient(jnp.where(jnp.isfinite(largest), largest, jnp.zeros_like(largest)))
    terms = jnp.exp(a - largest)
    if b is not None:
        terms = terms * b
    total = jnp.sum(terms, axis=axis, keepdims=keepdims, where=where)
    shift = largest if keepdims else jnp.reshape(largest, total.shape)
    if return_sign:
        return jnp.log(jnp.abs(total)) + shift, jnp.sign(total)
    return jnp.log(total) + shift


def softmax(x, axis: int | tuple[int, ...] | None = -1, where=None):
    """``exp(x) / sum(exp(x))`` along ``axis``.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.softmax(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    x = jnp.asarray(x)
    x = x if dtypes.issubdtype(x.dtype, np.inexact) else x.astype(dtypes.to_inexact_dtype(x.dtype))
    largest = lax.stop_gradient(
        jnp.max(x, axis=axis, keepdims=True, where=where, initial=None if where is None else -np.inf)
    )
    shifted = x - largest if where is None else jnp.where(where, x - largest, -np.inf)
    terms = jnp.exp(shifted)
    return terms / jnp.sum(terms, axis=axis, keepdims=True, where=where)


def log_softmax(x, axis: int | tuple[int, ...] | None = -1, where=None):
    """``x - logsumexp(x)`` along ``axis``.

    >>> import addax, addax.numpy as jnp
    >>> [round(v, 4) for v in addax.nn.log_softmax(jnp.zeros(2)).tolist()]
    [-0.6931, -0.6931]
    """
    x = jnp.asarray(x)
    x = x if dtypes.issubdtype(x.dtype, np.inexact) else x.astype(dtypes.to_inexact_dtype(x.dtype))
    largest = jnp.max(x, axis=axis, keepdims=True, where=where, initial=None if where is None else -np.inf)
    shifted = x - lax.stop_gradient(largest)
    total = jnp.sum(jnp.exp(shifted), axis=axis, keepdims=True, where=where)
    out = shifted - jnp.log(total)
    return out if where is None else jnp.where(where, out, -np.inf)


def log1mexp(x):
    """``log(1 - exp(-x))`` for x > 0, accurate at both ends."""
    x = jnp.asarray(x)
    small = x < np.log(2.0)
    return jnp.where(
        small, jnp.log(-jnp.expm1(-jnp.where(small, x, 1.0))), jnp.log1p(-jnp.exp(-jnp.where(small, 1.0, x)))
    )


def standardize(x, axis: int | tuple[int, ...] | None = -1, mean=None, variance=None, epsilon=1e-5, where=None):
    """``(x - mean) / sqrt(variance + epsilon)`` along ``axis``."""
    x = jnp.asarray(x)
    if mean is None:
        mean = jnp.mean(x, axis=axis, keepdims=True, where=where)
    if variance is None:
        variance = jnp.mean(jnp.square(x), axis=axis, keepdims=True, where=where) - jnp.square(mean)
    return (x - mean) * lax.rsqrt(jnp.asarray(variance + epsilon))


def one_hot(x, num_classes: int, *, dtype: Any = None, axis: int = -1):
    """Vectors with a 1 at position ``x`` and zeros elsewhere; all zeros for positions out of range.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.one_hot(jnp.array([0, 2]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    x = jnp.asarray(x)
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "one_hot")
    rank = x.ndim + 1
    where = axis + rank if axis < 0 else axis
    if not 0 <= where < rank:
        raise ValueError(f"one_hot: axis {axis} is out of bounds for a result of rank {rank}")
    classes = jnp.arange(num_classes, dtype=x.dtype).reshape([num_classes if i == where else 1 for i in range(rank)])
    return (jnp.expand_dims(x, where) == classes).astype(dtype)


def dot_product_attention(
    query, key, value, bias=None, mask=None, *, scale: float | None = None, is_causal: bool = False,
    query_seq_lengths=None, key_value_seq_lengths=None, local_window_size=None, implementation: str | None = None,
    return_residual: bool = False,
):  # fmt: skip
    """``softmax(scale q k^T + bias) v`` for arrays of shape (..., length, heads, features).

    Args:
      query: (B, T, N, H) or (T, N, H).
      key, value: (B, S, K, H) with K dividing N (grouped queries).
      bias, mask: broadcast to (B, N, T, S); where the mask is False nothing is attended to.
      scale: ``1 / sqrt(H)`` by default.
      is_causal: position t sees positions up to t.

    Source: Vaswani et al., "Attention is all you need", 2017.
    """
    q, k, v = jnp.asarray(query), jnp.asarray(key), jnp.asarray(value)
    squeeze = q.ndim == 3
    if squeeze:
        q, k, v = q[None], k[None], v[None]
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4:
        raise ValueError(f"dot_product_attention: expected rank 4 (or 3) operands, got {q.shape}, {k.shape}, {v.shape}")
    batch, length_q, heads, features = q.shape
    length_k, groups = k.shape[1], k.shape[2]
    if heads % groups:
        raise ValueError(f"dot_product_attention: {heads} query heads cannot share {groups} key heads")
    scale = features**-0.5 if scale is None else scale
    q = q.reshape(batch, length_q, groups, heads // groups, features)
    logits = jnp.einsum("btkgh,bskh->bkgts", q, k, preferred_element_type=np.float32)
    logits = logits.reshape(batch, heads, length_q, length_k) * scale
    if bias is not None:
        logits = logits + bias
    allowed = None if mask is None else jnp.asarray(mask)

    def restrict(allowed, condition):
        return condition if allowed is None else jnp.logical_and(allowed, condition)

    rows, columns = jnp.arange(length_q)[:, None], jnp.arange(length_k)[None, :]
    if is_causal:
        allowed = restrict(allowed, rows >= columns)
    if local_window_size is not None:
        left, right = (local_window_size,) * 2 if isinstance(local_window_size, int) else local_window_size
        allowed = restrict(allowed, jnp.logical_and(columns >= rows - left, columns <= rows + right))
    if query_seq_lengths is not None:
        allowed = restrict(allowed, rows < jnp.asarray(query_seq_lengths).reshape(-1, 1, 1, 1))
    if key_value_seq_lengths is not None:
        allowed = restrict(allowed, columns < jnp.asarray(key_value_seq_lengths).reshape(-1, 1, 1, 1))
    if allowed is not None:
        logits = jnp.where(allowed, logits, -0.7 * float(np.finfo(np.float32).max))
    weights = softmax(logits, -1).astype(v.dtype).reshape(batch, groups, heads // groups, length_q, length_k)
    out = jnp.einsum("bkgts,bskh->btkgh", weights, v).reshape(batch, length_q, heads, v.shape[-1])
    if query_seq_lengths is not None:
        out = jnp.where(
            jnp.arange(length_q)[None, :, None, None] < jnp.asarray(query_seq_lengths).reshape(-1, 1, 1, 1), out, 0
        )
    out = out.astype(q.dtype)
    if return_residual:
        residual = logsumexp(logits, axis=-1).transpose(0, 2, 1)
        return (out[0], residual[0]) if squeeze else (out, residual)
    return out[0] if squeeze else out
