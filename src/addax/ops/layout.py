"""How one value is cut along the explicit axes of a mesh, and over which axes it is still to be summed: what ops/explicit.py
works out for the values of programs, and how it is written, ``float32[8@x,4]{U:y}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.sharding import ShardingTypeError
from addax.ops.rules import Elementwise

Layout = tuple | None
"""Per dimension what cuts it: None, a mesh axis, or a tuple of axes; or None for a value of which nothing is known."""


class Marked(tuple):
    """A layout with mesh axes over which the value is still to be summed (``unreduced``), or that are said to cut nothing
    (``reduced``)."""

    unreduced: frozenset
    reduced: frozenset

    def __new__(cls, entries, unreduced=frozenset(), reduced=frozenset()):
        self = tuple.__new__(cls, entries)
        self.unreduced, self.reduced = unreduced, reduced
        return self

    def __eq__(self, other) -> bool:
        return type(other) is Marked and (*self, self.unreduced, self.reduced) == (
            *other,
            other.unreduced,
            other.reduced,
        )

    def __hash__(self) -> int:
        return hash((*self, self.unreduced, self.reduced))


def like(layout: tuple, entries) -> tuple:
    """Other entries with the marks of a layout."""
    return Marked(entries, layout.unreduced, layout.reduced) if type(layout) is Marked else tuple(entries)


def pending(layout: Layout) -> frozenset:
    """The mesh axes over which a value is still to be summed."""
    return layout.unreduced if type(layout) is Marked else frozenset()


def axes_in(entry) -> tuple:
    return () if entry is None else entry if isinstance(entry, tuple) else (entry,)


def as_entry(axes) -> Any:
    found = tuple(axes)
    return None if not found else found[0] if len(found) == 1 else found


def type_text(text: str, shape: Sequence[Any], layout: tuple) -> str:
    """A type with what cuts its dimensions: ``float32[8@x,4]``."""
    sizes = [str(n) if e is None else f"{n}@{entry_text(e)}" for n, e in zip(shape, layout, strict=True)]
    head, _, tail = text.partition("[")
    text = f"{head}[{','.join(sizes)}]{tail.partition(']')[2]}"
    if type(layout) is Marked:
        for letter, axes in (("U", layout.unreduced), ("R", layout.reduced)):
            if axes:
                text += f"{{{letter}:{entry_text(as_entry(sorted(axes, key=str)))}}}"
    return text


def entry_text(entry) -> str:
    return f"({','.join(map(str, entry))})" if isinstance(entry, tuple) else str(entry)


def typed(aval, layout: tuple) -> str:
    return type_text(aval.str_short(False), aval.shape, layout)


# ---------------------------------------------------------------------------------------------------------------------
# What may be done to values that are still to be summed

# Of which operands primitives are linear functions: the first so many, or a slice. Only such that are one operation for the
# partitioner (sums_stay_open constrains the results of equations, not what they are made of).
_LINEAR: dict[str, Any] = dict.fromkeys(
    "neg convert_element_type copy stop_gradient name transpose reshape squeeze broadcast_in_dim reduce_sum slice rev "
    "dynamic_slice real imag div".split(), 1
)  # fmt: skip
_LINEAR |= dict.fromkeys("add sub add_any dynamic_update_slice".split(), 2)
_LINEAR |= {
    "concatenate": slice(None),
    "optimization_barrier": slice(None),
    "select_n": slice(1, 3),
    "mul": slice(None),
}


def terms(eqn, layouts: Sequence[Layout]) -> frozenset:
    """The mesh axes over which the results of a linear equation are still to be summed, as its operands are.

    Raises:
      ShardingTypeError: if it is not linear in what is still to be summed.
    """
    sums = [pending(x) for x in layouts]
    over = next((s for s in sums if s), frozenset())
    if not over:
        return over
    name, operands = eqn.primitive.name, _LINEAR.get(eqn.primitive.name, 0)
    linear = range(len(sums))[operands] if isinstance(operands, slice) else range(operands)
    alike = {sums[i] for i in linear} == {over}
    if name in ("mul", "div"):  # by a value that is no sum itself
        alike = sum(map(bool, sums)) == 1 and (name == "mul" or bool(sums[0]))
    elif any(sums[i] for i in range(len(sums)) if i not in linear):
        alike = False
    if alike and (isinstance(eqn.primitive, Elementwise) or name == "select_n"):  # others are broadcast first
        shape = eqn.outvars[0].aval.shape
        alike = all(not s or x.aval.shape == shape for x, s in zip(eqn.invars, sums, strict=True))
    elif alike and name in (
        "reduce_sum",
        "convert_element_type",
    ):  # small floats are widened first; integers are cut off
        kinds = [x.aval.dtype for x in (*eqn.invars, *eqn.outvars)]
        least = 4 if name == "reduce_sum" else 2
        alike = all(dtypes.issubdtype(d, np.inexact) and d.itemsize >= least for d in kinds)
    if not alike or None in layouts:
        raise open_sum(eqn, layouts, over)
    return over


def open_sum(eqn, layouts: Sequence[Layout], over: frozenset) -> ShardingTypeError:
    pairs = zip(eqn.invars, layouts, strict=True)
    types = " and ".join(x.aval.str_short(False) if layout is None else typed(x.aval, layout) for x, layout in pairs)
    return ShardingTypeError(
        f"{eqn.primitive.name} takes no value that is still to be summed over mesh axes "
        f"{', '.join(map(repr, sorted(over, key=str)))} here: its operands are {types}. Sum it first, reshard(x, P(...))"
        + (", or leave both operands unreduced." if len(eqn.invars) > 1 else ".")
        + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
    )
