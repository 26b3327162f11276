"""Strided views: how a value is read from the memory of another one without copying it.

A `Ref` says where element ``(i_0, ..., i_n)`` of an operand lies: at ``offset + sum(i_d * strides[d])`` in the row-major
memory of ``base``, all counted in elements. Broadcasting is a stride of 0, reversal a negative stride, slicing an offset.
Layout equations compose into one Ref; only a reshape of a view can be impossible, and then somebody has to copy.

``base`` is a variable whose value lies in memory, a `Literal` (any index gives the same number), or an `Iota`, whose
"memory" is the sequence 0, 1, 2, ... that nobody stores.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any


class Iota:
    """The base of counting values: element k is the number k, in ``dtype``."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


class Ref:
    """See the module's docstring."""

    __slots__ = ("base", "offset", "shape", "strides")

    base: Any
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]

    def __init__(self, base, offset, strides, shape):
        self.base, self.offset, self.strides, self.shape = base, offset, strides, shape

    def __repr__(self) -> str:
        return f"Ref({self.base!r} + {self.offset}, strides={self.strides}, shape={self.shape})"

    @property
    def dtype(self):
        return self.base.dtype if type(self.base) is Iota else self.base.aval.dtype

    def is_whole(self) -> bool:
        """Whether this is the memory of ``base`` from its first element on, row-major, whatever the shape."""
        return self.offset == 0 and is_contiguous(self.shape, self.strides)


@lru_cache(maxsize=4096)
def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    out = []
    step = 1
    for d in reversed(shape):
        out.append(step)
        step *= d
    return tuple(out[::-1])


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether a view is dense and row-major; strides of dimensions of size 1 do not matter."""
    if strides == contiguous_strides(shape):
        return True
    step = 1
    for d, s in zip(reversed(shape), reversed(strides), strict=True):
        if d != 1:
            if s != step:
                return False
            step *= d
    return True


def whole(var) -> Ref:
    """All of a variable's own memory."""
    shape = var.aval.shape
    return Ref(var, 0, contiguous_strides(shape), shape)


def broadcast(ref: Ref, shape: tuple[int, ...], dims: tuple[int, ...]) -> Ref:
    """``ref`` spread over ``shape``; its dimension i becomes ``dims[i]``."""
    strides = [0] * len(shape)
    for i, d in enumerate(dims):
        if ref.shape[i] == shape[d]:
            strides[d] = ref.strides[i] if shape[d] != 1 else 0
    return Ref(ref.base, ref.offset, tuple(strides), tuple(shape))


def transpose(ref: Ref, permutation) -> Ref:
    return Ref(
        ref.base, ref.offset, tuple([ref.strides[p] for p in permutation]), tuple([ref.shape[p] for p in permutation])
    )


def slice_(ref: Ref, starts, limits, steps) -> Ref:
    steps = steps or (1,) * len(starts)
    offset = ref.offset
    strides, shape = [], []
    for s, a, b, k in zip(ref.strides, starts, limits, steps, strict=True):
        offset += s * a
        strides.append(s * k)
        shape.append(max(0, -(-(b - a) // k)))
    return Ref(ref.base, offset, tuple(strides), tuple(shape))


def reverse(ref: Ref, dims) -> Ref:
    strides = list(ref.strides)
    offset = ref.offset
    for d in dims:
        offset += strides[d] * max(0, ref.shape[d] - 1)
        strides[d] = -strides[d]
    return Ref(ref.base, offset, tuple(strides), ref.shape)


def squeeze(ref: Ref, dims) -> Ref:
    drop = set(dims)
    kept = [i for i in range(len(ref.shape)) if i not in drop]
    return Ref(ref.base, ref.offset, tuple([ref.strides[i] for i in kept]), tuple([ref.shape[i] for i in kept]))


def reshape(ref: Ref, shape: tuple[int, ...]) -> Ref | None:
    """The same elements in row-major order under another shape; None if no strides express that."""
    shape = tuple(shape)
    if shape == ref.shape:
        return ref
    if math.prod(shape) == 0 or type(ref.base).__name__ == "Literal":
        return Ref(ref.base, ref.offset, (0,) * len(shape), shape)
    if is_contiguous(ref.shape, ref.strides):
        return Ref(ref.base, ref.offset, contiguous_strides(shape), shape)
    old = [(d, s) for d, s in zip(ref.shape, ref.strides, strict=True) if d != 1]
    strides = [0] * len(shape)
    i, j, n = 0, 0, len(shape)
    while i < len(old):
        size, target_end = old[i][0], j
        while j < n and shape[j] == 1:
            j += 1
        target_end = j + 1
        want = shape[j]
        last = i
        while size != want:  # grow whichever side is smaller until both cover the same block of elements
            if size < want:
                last += 1
                if old[last - 1][1] != old[last][0] * old[last][1]:
                    return None
                size *= old[last][0]
            else:
                want *= shape[target_end]
                target_end += 1
        step = old[last][1]
        for k in range(target_end - 1, j - 1, -1):
            strides[k] = step
            step *= shape[k]
        i, j = last + 1, target_end
    return Ref(ref.base, ref.offset, tuple(strides), shape)
