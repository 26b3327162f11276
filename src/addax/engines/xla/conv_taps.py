"""Convolutions of groups of batches, as products: what XLA's partitioner can cut without mistakes.

Such convolutions are the derivatives of grouped ones with respect to their kernels. XLA's partitioner (jaxlib 0.10.2) gives
wrong sums for them, or ends the process: the gradient of a depthwise convolution whose images are cut over one of two
mesh axes is off by its own size, in JAX too. With ``L[g, n, c, ...]`` and ``R[g, o, c, ...]``

    out[g, n, o, q] = sum over c, k of  L[g, n, c, stride q + dilation k] R[g, o, c, k]

is one batched product per position ``q`` of the result, or a sum of one per position ``k`` of the kernel, whichever there
are fewer of. Derivatives have as few results as the kernel had elements.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.engines.xla.block import Block, Value
from addax.engines.xla.program import inline_program


def convolve_batch_groups(b: Block, lhs: Value, rhs: Value, params: dict[str, Any], shape: Sequence[int]) -> Value:
    """The convolution of ``params`` for operands of one dtype, whose results have ``shape``.

    Only ``c``, over which is summed, is left to be cut: in derivatives, the batch. (Products whose groups are cut in another
    way than those of their result are wrong too.)
    """
    lhs_spec, rhs_spec, _ = params["dimension_numbers"]
    lhs, rhs = (b.whole(x, [s[0], *s[2:]]) for x, s in ((lhs, lhs_spec), (rhs, rhs_spec)))
    closed = ClosedJaxpr(
        *trace_to_jaxpr(
            lambda x, w: [_program(x, w, params, shape)],
            [ShapedArray(lhs.shape, lhs.dtype), ShapedArray(rhs.shape, rhs.dtype)],
        )
    )
    out = b.whole(inline_program(b, closed, [lhs, rhs])[0], range(len(shape)))
    return b.convert(out, lhs.dtype)  # small floats are summed in float32


def _bind(name: str, *args, **params):
    return registry[name].bind(*args, **params)


def _reshape(x, shape):
    return _bind("reshape", x, new_sizes=tuple(shape), dimensions=None, sharding=None)


def _transpose(x, order):
    return _bind("transpose", x, permutation=tuple(order))


def _window(x, starts, counts, steps):
    """``counts`` elements along each of the dimensions after the third, ``steps`` apart."""
    limits = [s + (n - 1) * d + 1 for s, n, d in zip(starts, counts, steps, strict=True)]
    return _bind(
        "slice", x, start_indices=(0, 0, 0, *starts), limit_indices=(*x.shape[:3], *limits), strides=(1, 1, 1, *steps)
    )


def _program(x, w, p: dict[str, Any], shape: Sequence[int]):
    lhs_spec, rhs_spec, out_spec = p["dimension_numbers"]
    dtype = x.dtype
    groups, spatial = p["batch_group_count"], len(lhs_spec) - 2
    x, w = _transpose(x, lhs_spec), _transpose(w, rhs_spec)
    config = [(low, high, d - 1) for (low, high), d in zip(p["padding"], p["lhs_dilation"], strict=True)]
    x = _bind("pad", x, np.zeros((), x.dtype), padding_config=((0, 0, 0), (0, 0, 0), *config))
    x = _reshape(x, (groups, x.shape[0] // groups, *x.shape[1:]))
    w = _reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    kernel, strides, dilation = w.shape[3:], p["window_strides"], p["rhs_dilation"]
    results = tuple(shape[d] for d in out_spec[2:])

    def product(a, c, dims):
        numbers = ((dims, dims), ((0,), (0,)))
        return _bind(
            "dot_general", a, c, dimension_numbers=numbers, precision=p["precision"],
            preferred_element_type=np.dtype(np.float32) if dtype.itemsize < 4 and dtype.kind not in "iu" else None,
            out_sharding=None,
        )  # fmt: skip

    if math.prod(results) <= math.prod(kernel):
        dims = tuple(range(2, 3 + spatial))
        parts = []
        for q in itertools.product(*map(range, results)):
            starts = [i * s for i, s in zip(q, strides, strict=True)]
            parts.append(product(_window(x, starts, kernel, dilation), w, dims))
        out = _bind("stack", *parts, axis=3)
        out = _reshape(out, (*out.shape[:3], *results))  # [g, n, o, *results]
    else:
        total: Any = None
        for k in itertools.product(*map(range, kernel)):
            starts = [i * d for i, d in zip(k, dilation, strict=True)]
            tap = _reshape(_window(w, k, (1,) * spatial, (1,) * spatial), w.shape[:3])
            part = product(_window(x, starts, results, strides), tap, (2,))
            total = part if total is None else _bind("add", total, part)
        out = _transpose(total, (0, 1, 2 + spatial, *range(2, 2 + spatial)))
    out = _transpose(out, (1, 0, 2, *range(3, 3 + spatial)))
    out = _reshape(out, (out.shape[0], out.shape[1] * out.shape[2], *results))
    return _transpose(out, np.argsort(out_spec).tolist())
