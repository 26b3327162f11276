"""Dtypes: bfloat16, float0, PRNG key dtypes, promotion and limits. The names of `jax.dtypes`."""

from addax.core.dtypes import (
    TypePromotionError,
    bfloat16 as _bfloat16,
    canonicalize_dtype,
    extended,
    finfo,
    float0,
    iinfo,
    issubdtype,
    itemsize_bits,
    prng_key,
    promote_types,
    result_type,
    scalar_type_of,
)

bfloat16: type = _bfloat16.type
"""The scalar type of brain floats: float32 with a 7-bit mantissa."""

__all__ = [
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "promote_types",
    "result_type",
    "scalar_type_of",
]
