"""Scaled dot product attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.engines.eager import fused
from addax.nn.normalise import logsumexp, softmax
from addax.numpy.base import as_array, check_array_like

NAME = "dot_product_attention"


def dot_product_attention(
    query, key, value, bias=None, mask=None, *, scale: float | None = None, is_causal: bool = False,
    query_seq_lengths=None, key_value_seq_lengths=None,
    local_window_size: int | tuple[int, int] | None = None, implementation: str | None = None,
    return_residual: bool = False,
) -> Any:  # fmt: skip
    """``softmax(scale q k^T + bias) v`` for arrays of shape (..., length, heads, features).

    Args:
      query: (B, T, N, H) or (T, N, H).
      key, value: (B, S, K, H) with K dividing N: each key head serves N / K neighbouring query heads (grouped queries).
      bias: added to the logits; broadcasts to (B, N, T, S).
      mask: booleans that broadcast to (B, N, T, S); where False nothing is attended to. A row without any True gives
        the mean of the values.
      scale: ``1 / sqrt(H)`` by default.
      is_causal: position t sees positions up to t.
      query_seq_lengths, key_value_seq_lengths: integers of shape (B,): positions from there on are padding. The result
        is 0 at padded queries.
      local_window_size: ``(left, right)`` or one number for both: position t sees t - left ... t + right.
      implementation: None or "xla"; "cudnn" is not there.
      return_residual: return ``(result, logsumexp of the logits)``, the latter of shape (B, T, N).

    Logits and softmax are computed in float32 at least.

    Source: Vaswani et al., "Attention is all you need", 2017; Ainslie et al., "GQA", 2023.

    >>> import addax, addax.numpy as jnp
    >>> x = addax.random.normal(addax.random.key(0), (1, 4, 2, 8))
    >>> addax.nn.dot_product_attention(x, x, x, is_causal=True).shape
    (1, 4, 2, 8)
    """
    if implementation == "cudnn":
        raise NotImplementedError(f"{NAME}: implementation='cudnn' is not available; use 'xla' or None.")
    if implementation not in (None, "xla"):
        raise ValueError(f"{NAME}: unknown implementation {implementation!r}. Expected None, 'xla' or 'cudnn'.")
    check_array_like(NAME, query, key, value)
    rank = len(get_aval(query).shape)
    q, k, v = (_batched(x, part) for x, part in ((query, "query"), (key, "key"), (value, "value")))
    _check_operands(q, k, v)
    batch, length_q, heads, features = q.shape
    full = (batch, heads, length_q, k.shape[1])
    extra: dict[str, Any] = {}
    for part, x in (("bias", bias), ("mask", mask)):
        if x is not None:
            extra[part] = _fitting(part, x, full)
    for part, x in (("query_lengths", query_seq_lengths), ("key_lengths", key_value_seq_lengths)):
        if x is not None:
            extra[part] = _lengths(part, x, batch)
    window = local_window_size
    if window is not None:
        window = (window, window) if isinstance(window, int) else tuple(window)
        if len(window) != 2:
            raise ValueError(f"{NAME}: local_window_size must be an integer or a pair, got {local_window_size!r}")
    out = _attention(
        q, k, v, features**-0.5 if scale is None else scale, **extra, is_causal=bool(is_causal), window=window,
        residual=bool(return_residual),
    )  # fmt: skip
    if rank == 3:
        return (out[0][0], out[1][0]) if return_residual else out[0]
    return out


def _batched(x, part: str):
    x = as_array(x)
    if x.ndim not in (3, 4):
        raise ValueError(
            f"{NAME}: {part} must have shape (batch, length, heads, features) or without batch, got {x.shape}"
        )
    return x if x.ndim == 4 else x[None]


def _check_operands(q, k, v) -> None:
    if k.shape != v.shape:
        raise ValueError(f"{NAME}: key and value must have the same shape, got {k.shape} and {v.shape}")
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise ValueError(
            f"{NAME}: query and key must agree in batch size and features, got shapes {q.shape} and {k.shape}"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(
            f"{NAME}: query, key and value must have one dtype, got "
            f"{', '.join(dtypes.dtype_name(x.dtype) for x in (q, k, v))}"
        )
    if q.shape[2] % k.shape[2]:
        raise ValueError(
            f"{NAME}: the number of query heads must be a multiple of the number of key heads, got {q.shape[2]} and "
            f"{k.shape[2]}"
        )


def _fitting(part: str, x, full):
    """``x`` with four dimensions, each 1 or full."""
    check_array_like(NAME, x)
    x = as_array(x)
    if part == "mask" and x.dtype != np.bool_:
        raise ValueError(f"{NAME}: the mask must be of booleans, got {dtypes.dtype_name(x.dtype)}")
    shape = (1,) * (4 - x.ndim) + x.shape
    if len(shape) != 4 or any(d not in (1, f) for d, f in zip(shape, full, strict=True)):
        raise ValueError(f"{NAME}: the {part} must broadcast to (batch, heads, queries, keys) = {full}, got {x.shape}")
    return x.reshape(shape)


def _lengths(part: str, x, batch: int):
    check_array_like(NAME, x)
    x = as_array(x)
    if not dtypes.issubdtype(x.dtype, np.integer) or x.shape not in ((batch,), (1,)):
        raise ValueError(
            f"{NAME}: sequence lengths must be integers of shape ({batch},), got {get_aval(x).str_short(False)}"
        )
    return x


@fused(static=("is_causal", "window", "residual"))
def _attention(
    q, k, v, scale, bias=None, mask=None, query_lengths=None, key_lengths=None, *, is_causal, window, residual
):
    batch, length_q, heads, features = q.shape
    length_k, groups = k.shape[1], k.shape[2]
    wide = dtypes.promote_types(q.dtype, np.dtype(np.float32))
    grouped = q.reshape(batch, length_q, groups, heads // groups, features)
    logits = jnp.einsum("btkgh,bskh->bkgts", grouped, k, preferred_element_type=wide)
    logits = logits.reshape(batch, heads, length_q, length_k) * jnp.asarray(scale, wide)
    if bias is not None:
        logits = logits + bias.astype(wide)
    allowed = [] if mask is None else [mask]
    rows, columns = jnp.expand_dims(jnp.arange(length_q), 1), jnp.expand_dims(jnp.arange(length_k), 0)
    if is_causal:
        allowed.append(rows >= columns)
    if window is not None:
        allowed.append((columns >= rows - window[0]) & (columns <= rows + window[1]))
    if query_lengths is not None:
        allowed.append(rows < query_lengths.reshape(-1, 1, 1, 1))
    if key_lengths is not None:
        allowed.append(columns < key_lengths.reshape(-1, 1, 1, 1))
    if allowed:
        together = allowed[0]
        for condition in allowed[1:]:
            together = together & condition
        # A large finite number instead of -inf: rows that see nothing stay finite, in value and derivative.
        logits = jnp.where(together, logits, -0.7 * float(np.finfo(wide).max))
    weights = softmax(logits, -1).astype(k.dtype).reshape(batch, groups, heads // groups, length_q, length_k)
    out = jnp.einsum("bkgts,bskh->btkgh", weights, v).reshape(batch, length_q, heads, features)
    if query_lengths is not None:
        out = jnp.where(jnp.arange(length_q).reshape(-1, 1, 1) < query_lengths.reshape(-1, 1, 1, 1), out, 0)
    if not residual:
        return out
    return out, logsumexp(logits, axis=-1).transpose(0, 2, 1)
