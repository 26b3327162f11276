"""PRNG keys: making, splitting and inspecting them.

A key is an explicit seed. Every random function is a pure function of its key: the same key gives the same numbers, so a
key is used once, after being split off from another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.config import current_context
from addax.core.errors import warn_user
from addax.core.trace import Tracer
from addax.numpy.base import canonical_shape
from addax.numpy.creation import asarray, placed
from addax.ops import random_bits as _prims
from addax.ops.random_bits import PRNGImpl, prng_impl
from addax.random.reuse import consume


def is_key(x) -> bool:
    """Whether ``x`` is an array of typed keys."""
    return dtypes.issubdtype(getattr(x, "dtype", np.dtype(bool)), dtypes.prng_key)


def _impl(impl: Any) -> PRNGImpl:
    name = current_context().default_prng_impl if impl is None else impl
    if isinstance(name, dtypes.PRNGKeyDType):
        name = name.impl_name
    return prng_impl(name)


def _impl_or_dtype(name: str, impl, dtype):
    if impl is not None and dtype is not None:
        raise TypeError(f"{name} takes the generator as impl or as dtype, not both: got impl={impl!r}, dtype={dtype}")
    if dtype is not None and not isinstance(dtype, dtypes.PRNGKeyDType):
        raise TypeError(f"{name}: dtype must be one of keys (random.key_dtype()), got {dtype!r:.100}")
    return impl if dtype is None else dtype


def key_dtype(impl_spec: Any = None):
    """The dtype of keys of a generator, the default one unless named.

    >>> import addax.random as jr
    >>> jr.key_dtype() == jr.key(0).dtype
    True
    """
    return _impl(impl_spec).dtype


def key(seed: int | Any, *, impl: Any = None, dtype: Any = None):
    """A typed key from an integer seed.

    Args:
      seed: an integer scalar, Python's or an array.
      impl: the generator; "threefry2x32" by default.
      dtype: the generator by the dtype of its keys, instead of ``impl``.

    Raises:
      TypeError: if the seed is not an integer scalar.

    >>> import addax.random as jr
    >>> jr.key_data(jr.key(42)).tolist()
    [0, 42]
    """
    return _make_key("key", seed, _impl_or_dtype("key", impl, dtype))


def _make_key(name: str, seed, impl):
    impl = _impl(impl)
    if is_key(seed):
        raise TypeError(f"{name} accepts a scalar seed, but was given a PRNG key array. Use random.split or fold_in.")
    offset = current_context().random_seed_offset
    if offset:
        seed = seed + offset
    if type(seed) is int and impl.key_shape == (2,):
        # As in JAX, a Python integer keeps 64 bits only with 64-bit types enabled, and its low 32 bits otherwise.
        high = (seed >> 32) & 0xFFFFFFFF if current_context().enable_x64 else 0
        return wrap_key_data(_concrete(np.array([high, seed & 0xFFFFFFFF], np.uint32)), impl=impl)
    value = asarray(seed)
    if value.ndim:
        raise TypeError(
            f"{name} accepts a scalar seed, but was given an array of shape {value.shape} != (). Use vmap for a batch "
            "of keys."
        )
    if not dtypes.issubdtype(value.dtype, np.integer):
        raise TypeError(f"PRNG key seed must be an integer; got {seed!r}")
    return _prims.random_seed.bind(value, impl=impl)


def _concrete(data: np.ndarray):
    return _native.array_from_numpy(data, ShapedArray(data.shape, data.dtype))


def PRNGKey(seed: int | Any, *, impl: Any = None):
    """A legacy key: its raw ``uint32[2]`` words; a typed key under the option ``enable_custom_prng``. New code uses `key`.

    >>> import addax.random as jr
    >>> jr.PRNGKey(0).tolist()
    [0, 0]
    """
    made = _make_key("PRNGKey", seed, impl)
    return made if current_context().enable_custom_prng else key_data(made)


def key_data(keys):
    """The ``uint32`` words of typed keys, with one more dimension; legacy keys as they are."""
    if is_key(keys):
        return _prims.random_unwrap.bind(keys)
    _, data = as_keys("key_data", keys)
    return data


def wrap_key_data(key_bits_array, *, impl: Any = None, dtype: Any = None):
    """Typed keys from their ``uint32`` words, the inverse of `key_data`.

    >>> import addax.random as jr
    >>> bool(jr.wrap_key_data(jr.key_data(jr.key(5))) == jr.key(5))
    True
    """
    impl = _impl_or_dtype("wrap_key_data", impl, dtype)
    impl = _impl(impl) if not isinstance(impl, PRNGImpl) else impl
    return _prims.random_wrap.bind(asarray(key_bits_array), impl=impl)


def key_impl(keys):
    """The name of the generator of ``keys``."""
    return get_aval(keys).dtype.impl_name if is_key(keys) else _impl(None).name


def as_keys(name: str, keys) -> tuple[Any, Any]:
    """``(typed keys, the legacy array or None)``

    Raises:
      TypeError: if ``keys`` is not a key.
    """
    if is_key(keys):
        return keys, None
    if isinstance(keys, (_native.Array, Tracer, np.ndarray)):
        impl = _impl(None)
        if keys.dtype != np.uint32:
            raise TypeError(
                f"{name} requires a PRNG key: an array of keys (random.key) or of uint32 (random.PRNGKey), got "
                f"{get_aval(keys).str_short(False)}."
            )
        if keys.ndim < len(impl.key_shape) or keys.shape[keys.ndim - len(impl.key_shape) :] != impl.key_shape:
            raise TypeError(
                f"{name}: a legacy PRNG key array must have trailing shape {impl.key_shape}, got shape {keys.shape}."
            )
        if current_context().legacy_prng_key != "allow":
            _discourage_legacy(name)
        return wrap_key_data(keys, impl=impl), asarray(keys)
    raise TypeError(
        f"unexpected PRNG key type {type(keys)}: {name} takes a key made by random.key(seed), got {keys!r:.100}."
    )


def _discourage_legacy(name: str) -> None:
    message = (
        f"Legacy uint32 key array passed as key to random.{name}. Make keys with addax.random.key(seed); if a raw array "
        'was meant, set addax_legacy_prng_key="allow".'
    )
    if current_context().legacy_prng_key == "error":
        raise ValueError(message)
    warn_user(message)


def single_key(name: str, k):
    """One typed key.

    Raises:
      ValueError: for an array of keys.
    """
    typed, legacy = as_keys(name, k)
    if typed.ndim:
        raise ValueError(
            f"{name} accepts a single key, but was given a key array of shape {typed.shape} != (). Use addax.vmap for "
            "batching."
        )
    if legacy is None:
        consume(name, typed)
    return typed


def split(key, num: int | tuple[int, ...] = 2):
    """``num`` new keys (an array of keys), independent of each other and of ``key``, which must not be used again.

    >>> import addax.random as jr
    >>> jr.key_data(jr.split(jr.key(0))).tolist()
    [[1797259609, 2579123966], [928981903, 3453687069]]
    """
    typed, legacy = as_keys("split", key)
    if typed.ndim:
        raise TypeError(
            f"split accepts a single key, but was given a key array of shape {typed.shape} != (). Use addax.vmap for "
            "batching."
        )
    shape = canonical_shape(num)
    if legacy is None:
        consume("split", typed)
    out = _prims.random_split.bind(typed, shape=shape)
    return out if legacy is None else key_data(out)


def fold_in(key, data):
    """A new key determined by ``key`` and an integer, e.g. a step number.

    >>> import addax.random as jr
    >>> jr.key_data(jr.fold_in(jr.key(0), 1)).tolist()
    [928981903, 3453687069]
    """
    typed, legacy = as_keys("fold_in", key)
    if typed.ndim:
        raise TypeError(
            f"fold_in accepts a single key, but was given a key array of shape {typed.shape} != (). Use addax.vmap for "
            "batching."
        )
    if type(data) is int:
        if not 0 <= data < 2**32:
            raise OverflowError(
                f"fold_in takes a number of 32 bits, 0 to 2**32 - 1, got {data}: other numbers would share the keys of those. "
                "Fold larger ones in as their parts: fold_in(fold_in(key, n >> 32), n & 0xFFFFFFFF)."
            )
        data = np.uint32(data)
        out = _prims.random_fold_in.bind(typed, data)
        return out if legacy is None else key_data(out)
    data = asarray(data)
    if data.ndim:
        raise TypeError(f"fold_in accepts a scalar, but was given an array of shape {data.shape} != ().")
    if not dtypes.issubdtype(data.dtype, np.integer):
        raise TypeError(f"fold_in takes an integer, got {data.dtype}")
    out = _prims.random_fold_in.bind(typed, data.astype(np.uint32))
    return out if legacy is None else key_data(out)


def clone(key):
    """A copy of a key that reuse checks treat as new: say that using the same numbers again is meant."""
    typed, legacy = as_keys("clone", key)
    out = _prims.random_clone.bind(typed)
    return out if legacy is None else key_data(out)


@placed
def bits(key, shape=(), dtype=None, *, out_sharding=None):
    """Uniformly random unsigned integers: every bit pattern is equally likely. 32 bits, or 64 with 64-bit types, by default.

    >>> import addax.random as jr
    >>> jr.bits(jr.key(0), (2,)).dtype
    dtype('uint32')
    """
    k = single_key("bits", key)
    dtype = dtypes.default_uint_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "bits")
    if not dtypes.issubdtype(dtype, np.unsignedinteger):
        raise ValueError(f"dtype argument to `bits` must be an unsigned int dtype, got {dtypes.dtype_name(dtype)}")
    return _prims.random_bits.bind(k, bit_width=dtype.itemsize * 8, shape=canonical_shape(shape))
