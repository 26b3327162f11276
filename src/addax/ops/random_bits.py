"""Random bits: the Threefry-2x32 hash and the operations on PRNG keys that are built on it.

A generator is a pure function of a key and a counter. Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011) hashes two 32-bit words with a 64-bit key; everything here is
that hash at chosen counters, and gives JAX's bits:

* bits of element i:        hash(key, i), its two halves xored (32 bits and less) or joined (64 bits)
* split into n keys:        key i is hash(key, i)
* fold in a number d:       the key hash(key, d)
* seed s:                   the key is s itself

where i and d are the two words (high, low) of a 64-bit counter. Element i of a result does not depend on the size of
the result, so parts of an array can be made apart (JAX's "partitionable" threefry, its default).

An array of keys stands in memory as uint64, the first word of the key in the lower half.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.ops.rules import (
    ZERO_DERIVATIVE,
    broadcast_shapes,
    move_axis,
    primitive,
    registry,
    reshape,
    to_front,
)

# ---------------------------------------------------------------------------------------------------------------------
# The hash

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)  # keeps the key schedule from being all zeros


def threefry(k1, k2, x1, x2) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32-20 of the counter words ``(x1, x2)`` under the key words ``(k1, k2)``; uint32, broadcasting."""
    with np.errstate(over="ignore"):
        schedule = (k1, k2, k1 ^ k2 ^ _PARITY)
        x1, x2 = x1 + k1, x2 + k2
        for step in range(5):
            for r in _ROTATIONS[step % 2]:
                x1 = x1 + x2
                x2 = ((x2 << np.uint32(r)) | (x2 >> np.uint32(32 - r))) ^ x1
            x1 = x1 + schedule[(step + 1) % 3]
            x2 = x2 + schedule[(step + 2) % 3] + np.uint32(step + 1)
    return x1, x2


def words(keys: np.ndarray) -> np.ndarray:
    """uint64 keys ``[*shape]`` as their uint32 words ``[*shape, 2]``."""
    return np.array(keys, "<u8", order="C")[..., None].view("<u4").astype(np.uint32, copy=False)


def join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The uint64 keys with these two words."""
    first, second = np.asarray(first, np.uint64), np.asarray(second, np.uint64)
    return np.asarray(first | (second << np.uint64(32)))


def _halves(keys: np.ndarray, extra_dims: int) -> tuple[np.ndarray, np.ndarray]:
    both = words(keys).reshape(*keys.shape, *(1,) * extra_dims, 2)
    return both[..., 0], both[..., 1]


def _counters(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The position of each element, as the high and the low word of a 64-bit number."""
    index = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
    return (index >> np.uint64(32)).astype(np.uint32), index.astype(np.uint32)


# ---------------------------------------------------------------------------------------------------------------------
# Implementations


class PRNGImpl:
    """A random number generator: the parameter ``impl`` of primitives that make keys. Prints as its tag, ``fry``."""

    __slots__ = ("dtype", "name", "tag")

    def __init__(self, dtype: dtypes.PRNGKeyDType):
        self.dtype, self.name, self.tag = dtype, dtype.impl_name, dtype.tag

    @property
    def key_shape(self) -> tuple[int, ...]:
        return self.dtype.key_shape

    def __repr__(self) -> str:
        return self.tag

    __str__ = __repr__

    def __reduce__(self):
        return prng_impl, (self.name,)


THREEFRY = PRNGImpl(dtypes.key_fry)
_IMPLS: dict[str, PRNGImpl] = {"threefry2x32": THREEFRY, "fry": THREEFRY}  # the tag is what a parsed jaxpr holds


def prng_impl(name: Any) -> PRNGImpl:
    """The generator of a name, a key dtype, or a generator.

    Raises:
      ValueError: for a name that no generator has.
      NotImplementedError: for JAX's ``rbg`` and ``unsafe_rbg``, which are bound to XLA's own generator.
    """
    if isinstance(name, PRNGImpl):
        return name
    if isinstance(name, dtypes.PRNGKeyDType):
        name = name.impl_name
    if name in _IMPLS:
        return _IMPLS[name]
    if name in ("rbg", "unsafe_rbg"):
        raise NotImplementedError(
            f"the PRNG implementation {name!r} is not available: its bits are those of XLA's generator, which differ "
            "from device to device. Use 'threefry2x32', which is the default."
        )
    if name in ("philox2x32", "philox4x32", "threefry4x32"):
        raise NotImplementedError(
            f"the PRNG implementation {name!r} is not available. Use 'threefry2x32', which is the default."
        )
    raise ValueError(f"unrecognized PRNG implementation {name!r}. Did you mean one of: threefry2x32?")


def _impl_of(name: str, keys: ShapedArray) -> PRNGImpl:
    if not isinstance(keys.dtype, dtypes.PRNGKeyDType):
        raise TypeError(
            f"{name} takes an array of PRNG keys, got {keys}. Make keys with random.key(seed), or from their uint32 "
            "words with random.wrap_key_data."
        )
    return prng_impl(keys.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Primitives. Their results are keys or integers, so that no tangent passes


def _threefry_type(k1, k2, x1, x2):
    avals = (k1, k2, x1, x2)
    if any(a.dtype != dtypes.uint32 for a in avals):
        names = ", ".join(dtypes.dtype_name(a.dtype) for a in avals)
        raise TypeError(f"threefry2x32 takes four arrays of uint32: two key words and two counter words; got {names}.")
    out = ShapedArray(broadcast_shapes("threefry2x32", [a.shape for a in avals]), dtypes.uint32)
    return [out, out]


def _threefry_batch(axis, args, dims):
    rank = max(len(x.shape) - (d is not None) for x, d in zip(args, dims, strict=True))
    moved = []
    for x, d in zip(args, dims, strict=True):
        x = to_front(x, d, axis.size) if d is not None or len(x.shape) == rank else x
        if d is not None and len(x.shape) <= rank:  # a batch of scalars among arrays
            x = reshape(x, (axis.size, *(1,) * rank))
        moved.append(x)
    return threefry2x32.bind(*moved), [0, 0]


threefry2x32 = primitive(
    "threefry2x32",
    _threefry_type,
    jvp=ZERO_DERIVATIVE,
    batch=_threefry_batch,
    reference=lambda *args: [np.asarray(x) for x in np.broadcast_arrays(*threefry(*args))],
    multiple_results=True,
)


def _keys_batch(axis, args, dims, *, of: str, **params):
    """Batching of a primitive that maps over the leading dimensions of its keys: the batch is one more of them."""
    (keys,), (d,) = args, dims
    return registry[of].bind(move_axis(keys, d, 0), **params), 0


def mapped(name: str):
    return functools.partial(_keys_batch, of=name)


def _seed_type(seeds, *, impl):
    if not dtypes.issubdtype(seeds.dtype, np.integer):
        raise TypeError(f"PRNG key seed must be an integer; got {seeds}")
    return ShapedArray(seeds.shape, prng_impl(impl).dtype)


def _seed_reference(seeds, *, impl):
    wide = seeds.astype(np.uint64) if seeds.dtype.itemsize == 8 else seeds.astype(f"u{seeds.dtype.itemsize}")
    wide = wide.astype(np.uint64)
    return join(wide >> np.uint64(32), wide & np.uint64(0xFFFFFFFF))


random_seed = primitive(
    "random_seed", _seed_type, jvp=ZERO_DERIVATIVE, batch=mapped("random_seed"), reference=_seed_reference,
)  # fmt: skip


def _split_type(keys, *, shape):
    _impl_of("random_split", keys)
    return ShapedArray((*keys.shape, *shape), keys.dtype)


def _split_reference(keys, *, shape):
    k1, k2 = _halves(keys, len(shape))
    return join(*threefry(k1, k2, *_counters(shape)))


random_split = primitive(
    "random_split", _split_type, jvp=ZERO_DERIVATIVE, batch=mapped("random_split"), reference=_split_reference,
)  # fmt: skip


def _fold_in_type(keys, data):
    _impl_of("random_fold_in", keys)
    if data.dtype != dtypes.uint32:
        raise TypeError(f"random_fold_in takes data of dtype uint32, got {data}")
    return ShapedArray(broadcast_shapes("random_fold_in", [keys.shape, data.shape]), keys.dtype)


def _fold_in_batch(axis, args, dims):
    rank = max(len(x.shape) - (d is not None) for x, d in zip(args, dims, strict=True))
    moved = [to_front(x, d, axis.size) for x, d in zip(args, dims, strict=True)]
    moved = [reshape(x, (*x.shape, *(1,) * (rank + 1 - len(x.shape)))) for x in moved]
    return random_fold_in.bind(*moved), 0


def _fold_in_reference(keys, data):
    k1, k2 = _halves(keys, 0)
    return join(*threefry(k1, k2, np.uint32(0), data))


random_fold_in = primitive(
    "random_fold_in", _fold_in_type, jvp=ZERO_DERIVATIVE, batch=_fold_in_batch, reference=_fold_in_reference,
)  # fmt: skip

BIT_WIDTHS = (8, 16, 32, 64)


def _bits_type(keys, *, bit_width, shape):
    _impl_of("random_bits", keys)
    if bit_width not in BIT_WIDTHS:
        raise TypeError(f"random_bits: bit_width must be 8, 16, 32 or 64, got {bit_width}")
    return ShapedArray((*keys.shape, *shape), np.dtype(f"uint{bit_width}"))


def _bits_reference(keys, *, bit_width, shape):
    k1, k2 = _halves(keys, len(shape))
    high, low = threefry(k1, k2, *_counters(shape))
    if bit_width == 64:
        return (high.astype(np.uint64) << np.uint64(32)) | low
    return np.asarray(high ^ low).astype(f"u{bit_width // 8}")


random_bits = primitive(
    "random_bits", _bits_type, jvp=ZERO_DERIVATIVE, batch=mapped("random_bits"), reference=_bits_reference,
)  # fmt: skip


def _wrap_type(data, *, impl):
    if data.dtype != dtypes.uint32:
        raise TypeError(f"random_wrap takes the words of keys as uint32, got {data}")
    impl = prng_impl(impl)
    n = len(impl.key_shape)
    if data.shape[-n:] != impl.key_shape or len(data.shape) < n:
        raise TypeError(
            f"random_wrap: the words of a {impl.name} key have shape {impl.key_shape}, so the data must end in it; got "
            f"shape {data.shape}"
        )
    return ShapedArray(data.shape[:-n], impl.dtype)


random_wrap = primitive(
    "random_wrap",
    _wrap_type,
    jvp=ZERO_DERIVATIVE,
    batch=mapped("random_wrap"),
    reference=lambda data, *, impl: join(data[..., 0], data[..., 1]),
)


def _unwrap_type(keys):
    return ShapedArray((*keys.shape, *_impl_of("random_unwrap", keys).key_shape), dtypes.uint32)


random_unwrap = primitive(
    "random_unwrap", _unwrap_type, jvp=ZERO_DERIVATIVE, batch=mapped("random_unwrap"), reference=words,
)  # fmt: skip


def _clone_type(keys):
    _impl_of("random_clone", keys)
    return keys


random_clone = primitive(
    "random_clone", _clone_type, jvp=ZERO_DERIVATIVE, batch=mapped("random_clone"), reference=np.copy,
)  # fmt: skip
