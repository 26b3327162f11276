"""What a sparsity pattern alone says about a derivative: which products to take, and where in them the entries stand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from addax.numpy.shapes import ravel
from addax.sparse_derivatives.coloring import color_columns, color_symmetric, star_sources
from addax.sparse_derivatives.detect import symmetric
from addax.sparse_derivatives.matrix import Positions
from addax.sparse_derivatives.patterns import Pattern


class Plan:
    """One product per colour.

    Attributes:
      positions: of the entries.
      colors: a colour per column; in reverse mode per row.
      forward: whether the products are J v, or v J.
      count: of colours.
    """

    def __init__(self, pattern: Pattern, colors: np.ndarray, forward: bool, element, color):
        """Entry k is the number ``element[k]`` of the product with the colour ``color[k]``."""
        self.positions = Positions(*entries(pattern), shape_of(pattern))
        self.colors, self.forward = colors, forward
        self.count = int(colors.max()) + 1 if pattern.nnz else 0
        self.length = pattern.shape[0 if forward else 1]
        self.source = color * self.length + element

    def read(self, products):
        """The entries, from the products, shape (colours, elements)."""
        wide = np.int64 if self.count * self.length > np.iinfo(np.int32).max else np.int32
        return ravel(products)[self.source.astype(wide)]

    def seeds(self, avals: Sequence) -> list[np.ndarray]:
        """The vectors of zeros and ones, one per colour, for leaves of these types."""
        seeds = self.colors == np.arange(self.count)[:, None]
        return split(seeds, avals)


def split(vectors: np.ndarray, avals: Sequence) -> list[np.ndarray]:
    """The last dimension of ``vectors`` cut into leaves of these types."""
    cuts = np.cumsum([math.prod(a.shape) for a in avals])[:-1]
    parts = np.split(vectors, cuts, axis=-1)
    return [p.reshape(*p.shape[:-1], *a.shape).astype(a.dtype) for p, a in zip(parts, avals, strict=True)]


def entries(pattern: Pattern) -> tuple[np.ndarray, np.ndarray]:
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    return rows, np.asarray(pattern.indices, np.int64)


def shape_of(pattern: Pattern) -> tuple[int, int]:
    return int(pattern.shape[0]), int(pattern.shape[1])


def jacobian_plan(pattern: Pattern, mode: str) -> Plan:
    """Colour the columns ("fwd"), the rows ("rev"), or what takes fewer colours ("auto")."""
    rows, columns = entries(pattern)
    plans = []
    if mode != "rev":
        colors = color_columns(pattern)
        plans.append(Plan(pattern, colors, True, rows, colors[columns]))
    # All rows that have an entry in one column differ in colour, which often tells that rows cannot be better.
    fullest = int(np.bincount(columns, minlength=1).max())
    if mode == "rev" or (mode == "auto" and fullest < plans[0].count):
        colors = color_columns(sparse.csr_array(pattern.T))
        plans.append(Plan(pattern, colors, False, columns, colors[rows]))
    return min(plans, key=lambda p: p.count)


def hessian_plan(pattern: Pattern) -> Plan:
    """A star colouring."""
    pattern = symmetric(pattern)
    rows, columns = entries(pattern)
    colors = color_symmetric(pattern)
    element, color = star_sources(rows, columns, colors)
    return Plan(pattern, colors, True, element, color)
