"""Products of matrices of few bits, whose blocks of neighbours share a scale: `scaled_matmul`, `scaled_dot_general`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.engines.eager import fused
from addax.numpy.base import as_array, check_array_like
from addax.transforms.custom import custom_vjp


def scaled_matmul(lhs, rhs, lhs_scales, rhs_scales, preferred_element_type=np.float32) -> Any:
    """The product of two matrices whose rows are scaled by blocks: ``out[b,m,n] = sum_k lhs[b,m,k] rhs[b,n,k]``.

    Args:
      lhs: (B, M, K), of any float dtype; computed in float32.
      rhs: (B, N, K).
      lhs_scales: (B, M, K'), one scale for each block of K / K' neighbours.
      rhs_scales: (B, N, K''), likewise.
      preferred_element_type: of the result.

    >>> import addax, addax.numpy as jnp
    >>> a, s = jnp.ones((1, 2, 4)), jnp.full((1, 2, 2), 0.5)
    >>> addax.nn.scaled_matmul(a, a, s, s).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    check_array_like("scaled_matmul", lhs, rhs, lhs_scales, rhs_scales)
    a, b, sa, sb = (as_array(x) for x in (lhs, rhs, lhs_scales, rhs_scales))
    for name, x, s in (("lhs", a, sa), ("rhs", b, sb)):
        if x.ndim != 3 or s.ndim != 3 or x.shape[:2] != s.shape[:2] or not s.shape[2] or x.shape[2] % s.shape[2]:
            raise ValueError(
                f"scaled_matmul: {name} of shape (batch, rows, K) takes scales of shape (batch, rows, blocks) with blocks "
                f"dividing K; got {x.shape} and {s.shape}"
            )
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[2]:
        raise ValueError(
            f"scaled_matmul: lhs (B, M, K) and rhs (B, N, K) must agree in B and K, got {a.shape} and {b.shape}"
        )
    dtype = dtypes.canonicalize_user_dtype(preferred_element_type, "scaled_matmul")
    return _scaled_matmul(a, b, sa, sb, dtype=dtype)


@fused(static=("dtype",))
def _scaled_matmul(a, b, sa, sb, *, dtype):
    def scaled(x, s):
        return x.astype(np.float32) * jnp.repeat(s.astype(np.float32), x.shape[2] // s.shape[2], axis=2)

    return jnp.einsum("bmk,bnk->bmn", scaled(a, sa), scaled(b, sb)).astype(dtype)


class BlockScaleConfig(NamedTuple):
    """How arrays are quantized: see `get_scaled_dot_general_config`.

    Attributes:
      mode: the name of the format.
      block_size: how many neighbours share a scale.
      data_type, scale_type: of elements and scales.
      global_scale: one more scale, for all of an array; float32 of shape (1,), or None.
    """

    mode: str
    block_size: int
    data_type: Any
    scale_type: Any
    global_scale: Any = None


def get_scaled_dot_general_config(mode: str, global_scale: Any = None) -> BlockScaleConfig:
    """How `scaled_dot_general` shall quantize an operand.

    Args:
      mode: "mxfp8": elements of float8_e4m3fn, a power of two for each 32; "nvfp4": elements of float4_e2m1fn, a scale
        of float8_e4m3fn for each 16, and one for all.
      global_scale: the latter, 1 by default.

    >>> from addax import nn
    >>> nn.get_scaled_dot_general_config("mxfp8").block_size
    32
    """
    if mode == "mxfp8":
        return BlockScaleConfig(mode, 32, jnp.float8_e4m3fn, jnp.float8_e8m0fnu)
    if mode == "nvfp4":
        one = jnp.ones((1,), np.float32) if global_scale is None else global_scale
        return BlockScaleConfig(mode, 16, jnp.float4_e2m1fn, jnp.float8_e4m3fn, one)
    raise ValueError(f"Unsupported mode: {mode!r}. Expected 'mxfp8' or 'nvfp4'.")


def scaled_dot_general(
    lhs, rhs, dimension_numbers, preferred_element_type: Any = np.float32,
    configs: Sequence[BlockScaleConfig] | None = None, implementation: str | None = None,
) -> Any:  # fmt: skip
    """`lax.dot_general` of operands that are quantized first, in blocks along what is summed over.

    Args:
      lhs, rhs, dimension_numbers: as for `addax.lax.dot_general`.
      preferred_element_type: of the result.
      configs: how to quantize lhs, rhs and, for their derivatives, the cotangent: those are products of quantized
        arrays too. None: nothing is quantized.
      implementation: without effect.

    Raises:
      ValueError: if the number of elements that are summed is no multiple of the block size; for derivatives, that of
        the elements that are not.

    Source: "OCP microscaling formats (MX) specification", version 1.0, 2023, with scales rounded up, so that nothing
    overflows. (JAX has these formats on GPUs only.)

    >>> import addax.numpy as jnp
    >>> from addax import nn
    >>> x, configs = jnp.ones((2, 32)), [nn.get_scaled_dot_general_config("mxfp8")] * 3
    >>> nn.scaled_dot_general(x, x, (((1,), (1,)), ((), ())), configs=configs).tolist()
    [[32.0, 32.0], [32.0, 32.0]]
    """
    check_array_like("scaled_dot_general", lhs, rhs)
    a, b = as_array(lhs), as_array(rhs)
    dtype = dtypes.canonicalize_user_dtype(preferred_element_type, "scaled_dot_general")
    if configs is None:
        return lax.dot_general(a, b, dimension_numbers, preferred_element_type=dtype)
    if len(configs) not in (2, 3):
        raise ValueError(f"scaled_dot_general: configs are for lhs, rhs and cotangent, got {len(configs)} of them.")
    (a_sum, b_sum), (a_batch, b_batch) = dimension_numbers
    a, batch, rows = _as_matrices(a, a_batch, a_sum)
    b, _, columns = _as_matrices(b, b_batch, b_sum)

    @custom_vjp
    def product(a, b):
        return _quantized_product(a, b, configs[0], configs[1])

    def backward(operands, g):
        if len(configs) < 3:
            raise ValueError("scaled_dot_general: derivatives need a third of the configs, for the cotangent.")
        (a, b), by_row = operands, configs[2]
        of_a = _quantized_product(g, jnp.matrix_transpose(b), by_row, configs[1])
        of_b = _quantized_product(jnp.matrix_transpose(g), jnp.matrix_transpose(a), by_row, configs[0])
        return of_a.astype(a.dtype), of_b.astype(b.dtype)

    product.defvjp(lambda a, b: (product(a, b), (a, b)), backward)
    return product(a, b).astype(dtype).reshape(*batch, *rows, *columns)


def _as_matrices(x, batch: Sequence[int], summed: Sequence[int]) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """``x`` as [batch, rest, summed], the shape of its batch, and that of the rest."""
    rest = [d for d in range(x.ndim) if d not in batch and d not in summed]
    shapes = [tuple(x.shape[d] for d in dims) for dims in (batch, rest, summed)]
    x = lax.transpose(x, (*batch, *rest, *summed))
    return x.reshape(*map(math.prod, shapes)), shapes[0], shapes[1]


def _quantized_product(a, b, a_config: BlockScaleConfig, b_config: BlockScaleConfig):
    (a, a_scales), (b, b_scales) = _quantized(a, a_config), _quantized(b, b_config)
    out = _scaled_matmul(a, b, a_scales, b_scales, dtype=np.dtype(np.float32))
    for config in (a_config, b_config):
        out = out if config.global_scale is None else out * config.global_scale
    return out


def _quantized(x, config: BlockScaleConfig) -> tuple[Any, Any]:
    """``(elements, scales)`` of the blocks along the last dimension."""
    size, most = config.block_size, float(dtypes.finfo(config.data_type).max)
    if x.shape[-1] % size:
        raise ValueError(
            f"scaled_dot_general: {config.mode} scales blocks of {size} elements, which do not divide the {x.shape[-1]} "
            f"that are summed in a product of an array of shape {x.shape}."
        )
    x = x.astype(np.float32) if config.global_scale is None else x.astype(np.float32) / config.global_scale
    blocks = x.reshape(*x.shape[:-1], -1, size)
    scale = jnp.max(abs(blocks), axis=-1, keepdims=True) / most
    if config.scale_type == jnp.float8_e8m0fnu:
        fraction, exponent = jnp.frexp(scale)
        scale = jnp.ldexp(jnp.float32(1), jnp.clip(exponent - (fraction <= 0.5), -126, 127))
    else:
        scale = jnp.minimum(scale, float(dtypes.finfo(config.scale_type).max))
    scale = scale.astype(config.scale_type)
    divisor = scale.astype(np.float32)
    blocks = jnp.clip(blocks / jnp.where(divisor == 0, 1, divisor), -most, most)
    return blocks.astype(config.data_type).reshape(x.shape), scale[..., 0]
