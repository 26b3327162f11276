"""Colourings of sparsity patterns: which columns of a derivative one product can compute together.

Columns of a Jacobian that share no row can be told apart in their sum, so a colouring of the columns in which columns
of one colour share no row gives the whole matrix from one product J v per colour. A Hessian is symmetric: an entry can
be read from its column or from its row, and a star colouring, which needs fewer colours, is enough: neighbours differ,
and every path of four vertices has at least three colours.

A. H. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian? Graph coloring for computing derivatives", SIAM
Review 47 (2005), 629-705: algorithms 3.2 (partial distance-2 colouring) and 4.1 (star colouring), both greedy.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse


def color_columns(pattern: sparse.csr_array) -> np.ndarray:
    """A colour per column; two columns with entries in one row differ. In time linear in the number of entries.

    The columns are taken in their order, which is optimal for banded matrices, and again from the largest to the
    smallest if the first attempt needs more colours than the fullest row has entries, which all have to differ.
    """
    by_column = pattern.tocsc()
    best = _greedy(by_column, range(pattern.shape[1]))
    fullest = int(np.diff(pattern.indptr).max(initial=0))
    if best.max(initial=-1) + 1 > fullest:
        order = np.argsort(-np.diff(by_column.indptr), kind="stable").tolist()
        other = _greedy(by_column, order)
        if other.max() < best.max():
            return other
    return best


def _greedy(by_column: sparse.csc_array, order) -> np.ndarray:
    """The lowest colour that no row of the column has. Each row remembers its colours as the bits of one integer."""
    colors = [0] * by_column.shape[1]
    taken = [0] * by_column.shape[0]
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    for j in order:
        mine = rows[starts[j] : starts[j + 1]]
        seen = 0
        for i in mine:
            seen |= taken[i]
        bit = ~seen & (seen + 1)
        for i in mine:
            taken[i] |= bit
        colors[j] = bit.bit_length() - 1
    return np.array(colors, np.int64)


def color_symmetric(pattern: sparse.csr_array) -> np.ndarray:
    """A star colouring of the graph whose edges are the entries of a symmetric pattern outside its diagonal.

    A new vertex v may not have the colour of a neighbour; nor of a second neighbour x behind an uncoloured w, so that the
    neighbours of an uncoloured vertex all differ; nor of an x behind a coloured w if x has another neighbour y with the
    colour of w, for v - w - x - y would have two colours. In time linear in the number of entries but for the number of
    colours: each vertex remembers what it forbids, and the largest come first.
    """
    n = pattern.shape[0]
    starts, columns = pattern.indptr.tolist(), pattern.indices.tolist()
    neighbours = [[w for w in columns[starts[v] : starts[v + 1]] if w != v] for v in range(n)]
    colors = [-1] * n
    members: list[dict[int, list[int]]] = [{} for _ in range(n)]  # the coloured neighbours of each vertex, by colour
    closed: list[set[int]] = [set() for _ in range(n)]  # what a coloured vertex w forbids, by the last rule
    for v in sorted(range(n), key=lambda v: -len(neighbours[v])):
        forbidden: set[int] = set()
        for w in neighbours[v]:
            if colors[w] >= 0:
                forbidden.add(colors[w])
                forbidden |= closed[w]
            else:
                forbidden.update(members[w])
        color = 0
        while color in forbidden:
            color += 1
        colors[v] = color
        for x in neighbours[v]:
            same = members[x].setdefault(color, [])
            same.append(v)
            if len(same) > 1:  # x is coloured: paths from a neighbour of v to x and on would have two colours
                for u in same if len(same) == 2 else (v,):
                    closed[u].add(colors[x])
    return np.array(colors, np.int64)


def star_sources(rows: np.ndarray, columns: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each entry of a symmetric matrix stands in its products with the colours: (row, colour).

    Entry (i, j) is element i of the product with the colour of j if j is the only column of row i that has it;
    otherwise i is the only one of row j with its colour.
    """
    k = int(colors.max(initial=0)) + 1
    _, inverse, count = np.unique(rows * k + colors[columns], return_inverse=True, return_counts=True)
    direct = count[inverse] == 1
    return np.where(direct, rows, columns), np.where(direct, colors[columns], colors[rows])
