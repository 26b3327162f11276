"""Key operations in terms of threefry and integer arithmetic, so that they fuse and need no kernels of their own."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.jaxpr import Eqn, Literal, Var
from addax.core.primitive import registry
from addax.engines.cpu.simplify_rules import rule

UINT32 = np.dtype(np.uint32)


def _is_fry(aval) -> bool:
    return aval.dtype is dtypes.key_fry


def _broadcast(s, x, shape):
    if x.aval.shape == shape:
        return x
    dims = tuple(range(len(shape) - len(x.aval.shape), len(shape)))
    aval = ShapedArray(shape, x.aval.dtype)
    return s.emit("broadcast_in_dim", [x], aval, shape=shape, broadcast_dimensions=dims, sharding=None)


def _wrap(s, high, low, aval):
    """A key from its two words: random_wrap(stack([high, low], -1))."""
    shape = aval.shape
    column = ShapedArray((*shape, 1), UINT32)
    parts = [
        s.emit(
            "broadcast_in_dim",
            [x],
            column,
            shape=column.shape,
            broadcast_dimensions=tuple(range(len(shape))),
            sharding=None,
        )
        for x in (_broadcast(s, high, shape), _broadcast(s, low, shape))
    ]
    words = s.emit("concatenate", parts, ShapedArray((*shape, 2), UINT32), dimension=len(shape))
    return s.emit("random_wrap", [words], aval, impl="threefry2x32")


@rule("random_clone")  # clone(key) -> key: reuse is checked elsewhere
def _clone(s, ops, params, aval):
    return ops[0]


@rule("random_fold_in")  # fold_in(key, data) -> threefry(key, (0, data))
def _fold_in(s, ops, params, aval):
    keys, data = ops
    if not _is_fry(aval) or not aval.size:
        return None
    shape = keys.aval.shape
    words = s.emit("random_unwrap", [keys], ShapedArray((*shape, 2), UINT32))
    halves = []
    for i in (0, 1):
        starts, limits = (*(0,) * len(shape), i), (*shape, i + 1)
        half = s.emit(
            "slice", [words], ShapedArray((*shape, 1), UINT32), start_indices=starts, limit_indices=limits, strides=None
        )
        half = s.emit("reshape", [half], ShapedArray(shape, UINT32), new_sizes=shape, dimensions=None, sharding=None)
        halves.append(_broadcast(s, half, aval.shape))
    threefry = registry["threefry2x32"]
    out = ShapedArray(aval.shape, UINT32)
    zero = Literal(np.uint32(0), ShapedArray((), UINT32))
    operands = [*halves, _broadcast(s, zero, aval.shape), _broadcast(s, data, aval.shape)]
    outvars = [Var(out), Var(out)]
    high, low = s.equation(threefry, operands, outvars, {}, Eqn(threefry, operands, outvars, {}), fresh=False)
    return _wrap(s, high, low, aval)


@rule("random_seed")  # key(seed) -> (high word, low word)
def _seed(s, ops, params, aval):
    seed = ops[0]
    if not _is_fry(aval) or not aval.size:
        return None
    shape, dtype = seed.aval.shape, seed.aval.dtype
    word = ShapedArray(shape, UINT32)

    def convert(x, to):
        return s.emit("convert_element_type", [x], ShapedArray(shape, to), new_dtype=to, weak_type=False, sharding=None)

    if dtype.itemsize < 8:
        unsigned = convert(seed, np.dtype(f"uint{dtype.itemsize * 8}"))
        return _wrap(s, Literal(np.uint32(0), ShapedArray((), UINT32)), convert(unsigned, UINT32), aval)
    wide = convert(seed, np.dtype(np.uint64))
    shift = Literal(np.uint64(32), ShapedArray((), wide.aval.dtype))
    high = s.emit("shift_right_logical", [wide, shift], wide.aval)
    return _wrap(s, convert(high, word.dtype), convert(wide, word.dtype), aval)
