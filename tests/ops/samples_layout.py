"""The sample table of the layout and indexing primitives: parameters and operand shapes that between them meet every
branch of their rules. Every law of test_layout.py and test_indexing.py runs over these rows.

An operand is the shape of random data, or an array of fixed indices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode, ScatterDimensionNumbers

BF16 = np.dtype(ml_dtypes.bfloat16)
F32, I32, U8, C64, BOOL = map(np.dtype, ("float32", "int32", "uint8", "complex64", "bool"))
OPAQUE = (F32, BF16, I32, U8, C64, BOOL)
NUMERIC = (F32, BF16, I32, U8, C64)
CLIP, DROP, PROMISE = GatherScatterMode.CLIP, GatherScatterMode.FILL_OR_DROP, GatherScatterMode.PROMISE_IN_BOUNDS


@dataclass(frozen=True, eq=False)
class LayoutSample:
    """One application of a primitive.

    Args:
      name: of the primitive.
      operands: shapes of data, or index arrays.
      params: static parameters.
      dtypes: dtypes the data takes.
      differentiable: whether its derivative is compared with the oracle's.
      positive: draw data from 0.5 to 2 (products stay large, ties are rare).
      transposable: whether reverse mode exists for it in the oracle.
    """

    name: str
    operands: tuple
    params: dict[str, Any] = field(default_factory=dict)
    dtypes: tuple = OPAQUE
    differentiable: bool = True
    positive: bool = False

    @property
    def id(self) -> str:
        operands = "-".join(
            "x".join(map(str, o)) or "scalar" if isinstance(o, tuple) else f"{o.dtype}{list(o.shape)}"
            for o in self.operands
        )
        shown = ",".join(_short(k, v) for k, v in self.params.items() if v is not None and k not in ("sharding",))
        return f"{self.name}[{shown}]({operands})"

    def is_data(self, i: int) -> bool:
        return isinstance(self.operands[i], tuple)

    def draw(self, rng: np.random.Generator, dtype=F32) -> list[np.ndarray]:
        """Operands with random data of one dtype."""
        return [self._data(rng, o, dtype) if isinstance(o, tuple) else o for o in self.operands]

    def _data(self, rng, shape, dtype):
        if dtype == BOOL:
            return rng.integers(0, 2, shape).astype(bool)
        low, high = (0.5, 2.0) if self.positive else (-3.0, 3.0)
        x = rng.uniform(low, high, shape)
        if dtype.kind == "c":
            x = x + 1j * rng.uniform(low, high, shape)
        if dtype.kind in "iu":
            x = np.abs(x * 5) if dtype.kind == "u" else x * 5
        return np.asarray(x).astype(dtype)


def _short(key, value) -> str:
    if isinstance(value, (GatherDimensionNumbers, ScatterDimensionNumbers)):
        return "".join(str(tuple(v)).replace(" ", "") for v in value)
    if isinstance(value, GatherScatterMode):
        return value.name
    return f"{key}={value}".replace(" ", "")


def _i(values, dtype="int32") -> np.ndarray:
    return np.asarray(values, dtype)


def broadcast_in_dim(operand, shape, dims):
    return LayoutSample(
        "broadcast_in_dim", (operand,), {"shape": shape, "broadcast_dimensions": dims, "sharding": None}
    )


def reshape(operand, sizes, dimensions=None):
    return LayoutSample("reshape", (operand,), {"new_sizes": sizes, "dimensions": dimensions, "sharding": None})


def sliced(operand, start, limit, strides=None):
    return LayoutSample("slice", (operand,), {"start_indices": start, "limit_indices": limit, "strides": strides})


def pad(operand, *config):
    return LayoutSample("pad", (operand, ()), {"padding_config": config})


def dynamic_slice(operand, starts, sizes, dtype="int32"):
    return LayoutSample("dynamic_slice", (operand, *(_i(s, dtype) for s in starts)), {"slice_sizes": sizes})


def dynamic_update_slice(operand, update, starts, dtype="int32"):
    return LayoutSample("dynamic_update_slice", (operand, update, *(_i(s, dtype) for s in starts)))


LAYOUT_SAMPLES: tuple[LayoutSample, ...] = (
    broadcast_in_dim((3, 4), (2, 3, 4), (1, 2)),
    broadcast_in_dim((), (2, 3), ()),
    broadcast_in_dim((3, 1), (3, 2, 4), (0, 2)),
    broadcast_in_dim((1, 1), (1, 5), (0, 1)),
    broadcast_in_dim((0,), (2, 0), (1,)),
    broadcast_in_dim((1,), (0, 1), (1,)),
    broadcast_in_dim((1,), (0,), (0,)),
    reshape((3, 4), (2, 6)),
    reshape((3, 4), (12,), (1, 0)),
    reshape((2, 3, 4), (4, 6), (2, 0, 1)),
    reshape((1,), ()),
    reshape((0, 3), (7, 0)),
    LayoutSample("transpose", ((3, 4),), {"permutation": (1, 0)}),
    LayoutSample("transpose", ((2, 3, 4),), {"permutation": (2, 0, 1)}),
    LayoutSample("transpose", ((0, 3),), {"permutation": (1, 0)}),
    LayoutSample("transpose", ((),), {"permutation": ()}),
    LayoutSample("squeeze", ((1, 3, 1),), {"dimensions": (0, 2)}),
    LayoutSample("squeeze", ((3, 1, 2),), {"dimensions": (1,)}),
    LayoutSample("squeeze", ((1, 0),), {"dimensions": (0,)}),
    LayoutSample("rev", ((3, 4),), {"dimensions": (0,)}),
    LayoutSample("rev", ((2, 3, 2),), {"dimensions": (2, 0)}),
    LayoutSample("rev", ((0,),), {"dimensions": (0,)}),
    LayoutSample("tile", ((2, 3),), {"reps": (2, 1)}),
    LayoutSample("tile", ((2, 3),), {"reps": (1, 3)}),
    LayoutSample("tile", ((2,),), {"reps": (0,)}),
    LayoutSample("tile", ((),), {"reps": ()}),
    sliced((5, 4), (1, 0), (4, 4)),
    sliced((7, 4), (1, 1), (7, 2), (2, 1)),
    sliced((7,), (0,), (7,), (3,)),
    sliced((4,), (2,), (2,)),
    sliced((4,), (2,), (2,), (2,)),
    sliced((), (), ()),
    pad((3, 4), (1, 2, 0), (0, 0, 0)),
    pad((3,), (1, 2, 2)),
    pad((5,), (-1, -2, 0)),
    pad((5, 2), (-2, 1, 1), (3, -1, 0)),
    pad((5,), (-3, -3, 1)),
    pad((5,), (-5, 4, 0)),
    pad((5,), (4, -7, 1)),
    pad((4,), (-3, 0, 3)),
    pad((1,), (0, 0, 5)),
    pad((0,), (2, 1, 3)),
    pad((2,), (-1, -1, 0)),
    pad((3, 0), (1, 0, 0), (0, 0, 2)),
    pad(()),
    dynamic_slice((5, 4), (1, 2), (2, 2)),
    dynamic_slice((5, 4), (9, -3), (3, 4)),
    dynamic_slice((5,), (2,), (0,)),
    dynamic_slice((5,), (-1,), (5,)),
    dynamic_slice((5,), (250,), (2,), "uint8"),
    dynamic_slice((), (), ()),
    dynamic_update_slice((5, 4), (2, 3), (1, 1)),
    dynamic_update_slice((5, 4), (2, 4), (7, -2)),
    dynamic_update_slice((5,), (0,), (1,)),
    dynamic_update_slice((3,), (3,), (2,), "uint8"),
    dynamic_update_slice((), (), ()),
    LayoutSample("concatenate", ((2, 3), (1, 3)), {"dimension": 0}),
    LayoutSample("concatenate", ((2, 3), (2, 0), (2, 1)), {"dimension": 1}),
    LayoutSample("split", ((5, 2),), {"sizes": (2, 3), "axis": 0}),
    LayoutSample("split", ((2, 4),), {"sizes": (0, 1, 3), "axis": 1}),
    LayoutSample("stack", ((2, 3), (2, 3)), {"axis": 0}),
    LayoutSample("stack", ((2, 3), (2, 3), (2, 3)), {"axis": 2}),
    LayoutSample("stack", ((2, 3), (2, 3)), {"axis": 1}),
    LayoutSample("stack", ((), ()), {"axis": 0}),
    LayoutSample("unstack", ((2, 3),), {"axis": 1}),
    LayoutSample("unstack", ((2, 3),), {"axis": 0}),
    LayoutSample("unstack", ((1, 0),), {"axis": 0}),
)


def gather(operand, indices, numbers, sizes, mode=DROP, fill=None, *, unique=False, dtype="int32"):
    params = {
        "dimension_numbers": GatherDimensionNumbers(*numbers), "slice_sizes": sizes, "indices_are_sorted": False,
        "unique_indices": unique, "mode": mode, "fill_value": fill,
    }  # fmt: skip
    return LayoutSample("gather", (operand, _i(indices, dtype)), params)


ROWS = ((1,), (0,), (0,))
ELEMENTS = ((), (0,), (0,))
POINTS = ((), (0, 1), (0, 1))
PAIRED = ((), (0,), (0,), (1, 2), (1, 0))

GATHER_SAMPLES: tuple[LayoutSample, ...] = (
    gather((3, 4), [[0], [2], [2]], ROWS, (1, 4), PROMISE),
    gather((3, 4), [[0], [5], [-1]], ROWS, (1, 4), CLIP),
    gather((3, 4), [[0], [5], [-1]], ROWS, (1, 4)),
    gather((3, 4), [[0], [5], [-1]], ROWS, (1, 4), DROP, 1),
    gather((5,), [[0], [3], [3], [-2]], ELEMENTS, (1,)),
    gather((5,), [1], ((), (0,), (0,)), (1,), CLIP),
    gather((3, 4), [[0, 1], [2, 3], [2, 4]], POINTS, (1, 1)),
    gather((3, 4), [[1, 0], [3, 2], [9, 2]], ((), (0, 1), (1, 0)), (1, 1), CLIP),
    gather((5, 4), [[[0, 0], [3, 1]], [[4, 2], [1, 5]]], ((1, 3), (), (0, 1)), (2, 3), CLIP),
    gather((5, 4), [[[0, 0], [3, 1]], [[4, 2], [1, 0]]], ((0, 2), (), (0, 1)), (2, 3)),
    gather((3, 4, 2), [[0], [2]], ((0, 1), (1,), (1,)), (3, 1, 2)),
    gather((3, 4, 2), [[0], [7]], ((0, 2), (1,), (1,)), (2, 1, 1), CLIP),
    gather((3, 4), [[0], [5], [2]], ((), (1,), (1,), (0,), (0,)), (1, 1)),
    gather((3, 4), [[0], [5], [2]], ((1,), (), (1,), (0,), (0,)), (1, 2), CLIP),
    gather((4, 2, 3), np.arange(6).reshape(3, 2, 1) % 5, ((), (0,), (0,), (1, 2), (1, 0)), (1, 1, 1)),
    gather((4, 2, 3), np.arange(12).reshape(3, 2, 2, 1) % 3, ((2,), (), (0,), (1, 2), (2, 0)), (2, 1, 1), CLIP),
    gather((3,), np.zeros((0, 1)), ELEMENTS, (1,)),
    gather((3, 0), [[1], [9]], ROWS, (1, 0)),
    gather((4,), [[3], [200]], ELEMENTS, (1,), dtype="uint8"),
    gather((), np.zeros((2, 0)), ((), (), ()), ()),
    gather((5,), [[4], [1]], ((1,), (), (0,)), (2,), unique=True),
)


def scatter(operand, indices, updates, numbers, mode=DROP, *, unique=False, dtype="int32", names=None):
    for name in names or ("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"):
        params = {
            "dimension_numbers": ScatterDimensionNumbers(*numbers), "indices_are_sorted": False,
            "unique_indices": unique, "mode": mode,
        }  # fmt: skip
        yield LayoutSample(
            name, (operand, _i(indices, dtype), updates), params,
            dtypes=OPAQUE if name == "scatter" else NUMERIC,
            positive=name == "scatter-mul",
            differentiable=name != "scatter-mul" or unique,
        )  # fmt: skip


SCATTER_SAMPLES: tuple[LayoutSample, ...] = (
    *scatter((3, 4), [[0], [2]], (2, 4), ROWS, unique=True),
    *scatter((3, 4), [[0], [2], [0]], (3, 4), ROWS),
    *scatter((3, 4), [[0], [5], [-1]], (3, 4), ROWS),
    *scatter((3, 4), [[0], [5], [-1]], (3, 4), ROWS, CLIP),
    *scatter((5,), [[1], [3], [1], [1]], (4,), ELEMENTS),
    *scatter((5,), [1], (), ELEMENTS),
    *scatter((3, 4), [[0, 1], [2, 3], [2, 4], [0, 1]], (4,), POINTS),
    *scatter((5, 4), [[[0, 0], [3, 1]], [[4, 2], [1, 5]]], (2, 2, 2, 3), ((1, 3), (), (0, 1)), CLIP),
    *scatter((5, 4), [[0, 0], [3, 1], [2, 0]], (2, 3, 3), ((0, 2), (), (0, 1))),
    *scatter((3, 4), [[0], [5], [2]], (3,), ((), (1,), (1,), (0,), (0,)), unique=True),
    *scatter((3, 4), [[0], [3], [2]], (3, 2), ((1,), (), (1,), (0,), (0,)), CLIP, unique=True),
    *scatter((4, 2, 3), np.arange(6).reshape(3, 2, 1) % 5, (3, 2), PAIRED, names=["scatter", "scatter-add"]),
    *scatter((3,), np.zeros((0, 1)), (0,), ELEMENTS, names=["scatter", "scatter-add", "scatter-max"]),
    *scatter((3, 0), [[1], [9]], (2, 0), ROWS, names=["scatter", "scatter-add", "scatter-min"]),
    *scatter((4,), [[3], [200]], (2,), ELEMENTS, dtype="uint8", names=["scatter", "scatter-add"]),
    *scatter((), np.zeros((3, 0)), (3,), ((), (), ()), names=["scatter", "scatter-add"]),
)  # fmt: skip
