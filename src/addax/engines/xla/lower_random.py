"""Random bits: the Threefry hash written out, so that every device gives the bits that ops/random_bits.py defines.

Keys are ``ui64``: the first word of a key in the lower half.
"""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value
from addax.engines.xla.module import Callee, Function
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import UINT32, UINT64
from addax.ops.random_bits import _PARITY, _ROTATIONS


def _rotate(b: Block, x: Value, bits: int) -> Value:
    left = b.binary("shift_left", x, b.full(bits, x.shape, UINT32))
    right = b.binary("shift_right_logical", x, b.full(32 - bits, x.shape, UINT32))
    return b.binary("or", left, right)


def _hash(b: Block, k1: Value, k2: Value, x1: Value, x2: Value) -> tuple[Value, Value]:
    """Twenty rounds, operands of one shape."""
    shape = x1.shape

    def add(x, y):
        return b.binary("add", x, y)

    schedule = (k1, k2, b.binary("xor", b.binary("xor", k1, k2), b.full(_PARITY, shape, UINT32)))
    x1, x2 = add(x1, k1), add(x2, k2)
    for step in range(5):
        for r in _ROTATIONS[step % 2]:
            x1 = add(x1, x2)
            x2 = b.binary("xor", _rotate(b, x2, r), x1)
        x1 = add(x1, schedule[(step + 1) % 3])
        x2 = add(add(x2, schedule[(step + 2) % 3]), b.full(step + 1, shape, UINT32))
    return x1, x2


def threefry(b: Block, k1: Value, k2: Value, x1: Value, x2: Value) -> list[Value]:
    """The hash, as a function of the module for each shape."""
    shape = np.broadcast_shapes(k1.shape, k2.shape, x1.shape, x2.shape)
    operands = [b.stretch(x, shape) for x in (k1, k2, x1, x2)]
    if b.isolated:
        return list(_hash(b, *operands))
    module = b.module
    key = ("threefry2x32", shape)
    if key not in module.callees:
        function = Function(module, module.unique_name("threefry2x32"))
        inner = Block(function)
        params = [function.fresh_like(x) for x in operands]
        outs = _hash(inner, *params)
        module.add_private(function, params, outs, inner)
        module.callees[key] = (Callee(function.name, [], outs, False), None)
    callee = module.callees[key][0]
    names = ", ".join(x.name for x in operands)
    types = f"({', '.join(x.type for x in operands)}) -> ({', '.join(x.type for x in callee.results)})"
    return b.emit_many(f"func.call @{callee.name}({names}) : {types}", callee.results)


def words(b: Block, keys: Value) -> tuple[Value, Value]:
    """The two uint32 words of each key."""
    high = b.binary("shift_right_logical", keys, b.full(32, keys.shape, UINT64))
    return b.convert(keys, UINT32), b.convert(high, UINT32)


def join(b: Block, first: Value, second: Value) -> Value:
    """Keys of their two words."""
    high = b.binary("shift_left", b.convert(second, UINT64), b.full(32, second.shape, UINT64))
    return b.binary("or", b.convert(first, UINT64), high)


def counters(b: Block, shape: tuple[int, ...]) -> tuple[Value, Value]:
    """The row-major position of each element, as the high and the low word of a 64-bit number."""
    if math.prod(shape) <= 2**32:
        return b.full(0, shape, UINT32), b.flat_index(shape, UINT32)
    index = b.flat_index(shape, UINT64)
    low, high = words(b, index)
    return high, low


def hash_at_counters(b: Block, keys: Value, shape: tuple[int, ...]) -> list[Value]:
    """``[*keys.shape, *shape]``: the hash of each counter under each key."""
    k1, k2 = words(b, keys)
    full = (*keys.shape, *shape)
    high, low = counters(b, shape)
    own, rest = range(len(keys.shape)), range(len(keys.shape), len(full))
    operands = [*(b.broadcast(k, full, own) for k in (k1, k2)), *(b.broadcast(c, full, rest) for c in (high, low))]
    return threefry(b, *operands)


@rule("threefry2x32")
def _threefry2x32(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    return threefry(b, *args)


@rule("random_seed")
def _seed(b: Block, eqn: Eqn, seeds: Value) -> Value:
    bits = dtypes.itemsize_bits(seeds.dtype)
    unsigned = b.convert(seeds, np.dtype(f"u{max(bits, 8) // 8}"))
    low, high = words(b, b.convert(unsigned, UINT64))
    return join(b, high, low)


@rule("random_split")
def _split(b: Block, eqn: Eqn, keys: Value) -> Value:
    return join(b, *hash_at_counters(b, keys, tuple(eqn.params["shape"])))


@rule("random_fold_in")
def _fold_in(b: Block, eqn: Eqn, keys: Value, data: Value) -> Value:
    shape = result_type(eqn).shape
    keys, data = b.stretch(keys, shape), b.stretch(data, shape)
    k1, k2 = words(b, keys)
    return join(b, *threefry(b, k1, k2, b.full(0, shape, UINT32), data))


@rule("random_bits")
def _bits(b: Block, eqn: Eqn, keys: Value) -> Value:
    high, low = hash_at_counters(b, keys, tuple(eqn.params["shape"]))
    width = eqn.params["bit_width"]
    if width == 64:
        return join(b, low, high)
    return b.convert(b.binary("xor", high, low), np.dtype(f"u{width // 8}"))


@rule("random_wrap")
def _wrap(b: Block, eqn: Eqn, data: Value) -> Value:
    shape = result_type(eqn).shape
    d = len(shape)
    return join(b, *(b.reshape(b.take(data, d, i, i + 1), shape) for i in range(2)))


@rule("random_unwrap")
def _unwrap(b: Block, eqn: Eqn, keys: Value) -> Value:
    shape = (*keys.shape, 1)
    return b.concatenate([b.reshape(x, shape) for x in words(b, keys)], len(keys.shape))
