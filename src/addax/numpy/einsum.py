"""Einstein summation: parsed to pairwise contractions, each one `dot_general`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.interpreters.values import convert, transpose
from addax.lax.dot import dot_general
from addax.lax.sharding import place
from addax.numpy.base import check_array_like, no_out, promote_dtypes
from addax.numpy.creation import asarray
from addax.numpy.products import diagonal
from addax.numpy.shapes import moveaxis

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(
    subscripts, /, *operands, out=None, optimize: Any = "auto", precision=None, preferred_element_type=None,
    _dot_general=None, out_sharding=None,
):  # fmt: skip
    """The sum over the subscripts that the result does not have: ``einsum("ij,jk->ik", A, B)`` is ``A @ B``.

    Several operands are contracted in pairs, always the pair with the smallest result next.

    Raises:
      ValueError: if the subscripts do not fit the operands.

    >>> import addax.numpy as jnp
    >>> jnp.einsum("ij,j->i", jnp.ones((2, 3)), jnp.arange(3.0)).tolist()
    [3.0, 3.0]
    """
    no_out("einsum", out)
    if out_sharding is not None:
        product = einsum(subscripts, *operands, precision=precision, preferred_element_type=preferred_element_type)
        return place(product, out_sharding)
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists(subscripts, operands)
    check_array_like("einsum", *operands)
    arrays = [asarray(x) for x in promote_dtypes(*(asarray(x) for x in operands))]
    preferred = (
        None if preferred_element_type is None else dtypes.canonicalize_user_dtype(preferred_element_type, "einsum")
    )
    inputs, output = parse(subscripts, [x.shape for x in arrays])
    terms = [_simplified(x, names, inputs, k, output) for k, (x, names) in enumerate(zip(arrays, inputs, strict=True))]
    while len(terms) > 1:
        i, j = _next_pair(terms, output)
        a, b = terms[i], terms[j]
        rest = [t for k, t in enumerate(terms) if k not in (i, j)]
        kept = set(output).union(*(n for _, n in rest)) if rest else set(output)
        terms = [*rest, _contract(a, b, kept, precision, preferred)]
    x, names = terms[0]
    extra = [d for d, n in enumerate(names) if n not in output]
    if extra:
        x, names = x.sum(tuple(extra)), [n for n in names if n in output]
    x = transpose(x, [names.index(n) for n in output])
    if preferred is None:  # sums of narrow integers have been widened, those of weakly typed arrays made strong
        return convert(x, arrays[0].dtype, all(a.weak_type for a in arrays))
    return convert(x, preferred)


def _from_lists(first, operands) -> tuple[str, Sequence]:
    """The alternating form ``einsum(A, [0, 1], B, [1, 2], [0, 2])``."""
    items = [first, *operands]
    arrays, lists = items[: len(items) // 2 * 2 : 2], items[1::2]
    result = items[-1] if len(items) % 2 else None
    used = sorted({s for sub in [*lists, *([result] if result is not None else [])] for s in sub if s is not Ellipsis})
    letter = {s: _LETTERS[k] for k, s in enumerate(used)}

    def spell(sub) -> str:
        return "".join("..." if s is Ellipsis else letter[s] for s in sub)

    text = ",".join(map(spell, lists)) + (f"->{spell(result)}" if result is not None else "")
    return text, arrays


def parse(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """The names of the dimensions of each operand and of the result."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise ValueError(f"einsum: {subscripts!r} names {len(parts)} operands, got {len(shapes)}")
    for ch in left.replace("...", "").replace(",", "") + right.replace("...", ""):
        if ch not in _LETTERS:
            raise ValueError(f"einsum: {ch!r} is not a valid subscript in {subscripts!r}; use letters, '...' and '->'")
    widths = [len(s) - len(p.replace("...", "")) for p, s in zip(parts, shapes, strict=True)]
    for p, s, w in zip(parts, shapes, widths, strict=True):
        if w < 0 or (w > 0 and "..." not in p):
            raise ValueError(f"einsum: subscripts {p!r} do not fit an operand of shape {s}")
    longest = max(widths, default=0)
    dots = [f"...{k}" for k in range(longest)]

    def expand(p: str, width: int) -> list[str]:
        before, ellipsis, after = p.partition("...")
        middle = dots[longest - width :] if ellipsis else []
        return [*before, *middle, *after]

    inputs = [expand(p, w) for p, w in zip(parts, widths, strict=True)]
    if arrow:
        output = expand(right, longest)
    else:
        counts: dict[str, int] = {}
        for names in inputs:
            for n in names:
                counts[n] = counts.get(n, 0) + 1
        output = dots + sorted(n for n, c in counts.items() if c == 1 and not n.startswith("."))
    sizes: dict[str, int] = {}
    for names, shape in zip(inputs, shapes, strict=True):
        for n, d in zip(names, shape, strict=True):
            known = sizes.setdefault(n, d)
            if known != d and 1 not in (known, d):
                raise ValueError(f"einsum: subscript {n!r} has size {known} in one place and {d} in another")
            sizes[n] = max(known, d) if 0 not in (known, d) else 0
    for n in output:
        if n not in sizes:
            raise ValueError(f"einsum: the result has subscript {n!r}, which no operand has")
    if len(set(output)) != len(output):
        raise ValueError(f"einsum: a subscript occurs twice in the result of {subscripts!r}")
    return inputs, output


def _simplified(x, names: list[str], inputs, k: int, output) -> tuple[Any, list[str]]:
    """An operand with repeated subscripts as diagonals, and those nobody else has summed."""
    names = list(names)
    for n in list(dict.fromkeys(names)):
        while names.count(n) > 1:
            i = names.index(n)
            j = names.index(n, i + 1)
            x = moveaxis(diagonal(x, 0, i, j), -1, i)
            del names[j]
    elsewhere = set(output).union(*(v for m, v in enumerate(inputs) if m != k))
    lonely = tuple(d for d, n in enumerate(names) if n not in elsewhere)
    if lonely:
        x = x.sum(lonely)
        names = [n for n in names if n in elsewhere]
    return x, names


def _next_pair(terms, output) -> tuple[int, int]:
    """The pair whose contraction has the smallest result, then the least work."""
    best: Any = None
    for i in range(len(terms)):
        for j in range(i + 1, len(terms)):
            sizes = dict(zip(terms[i][1], terms[i][0].shape, strict=True))
            for n, d in zip(terms[j][1], terms[j][0].shape, strict=True):
                sizes[n] = max(d, sizes.get(n, 1))
            kept = set(output).union(*(t[1] for k, t in enumerate(terms) if k not in (i, j)))
            result = math.prod(d for n, d in sizes.items() if n in kept)
            grown = result - terms[i][0].size - terms[j][0].size
            cost = (grown, math.prod(sizes.values()), i, j)
            best = cost if best is None or cost < best else best
    return best[2], best[3]


def _contract(a, b, kept: set[str], precision, preferred) -> tuple[Any, list[str]]:
    (x, xn), (y, yn) = a, b
    # A size 1 against a larger one is stretched: sum nothing over it, drop it here.
    for n in [n for n in xn if n in yn]:
        dx, dy = x.shape[xn.index(n)], y.shape[yn.index(n)]
        if dx != dy:
            if dx == 1:
                x = x.squeeze(xn.index(n))
                xn = [m for m in xn if m != n]
            else:
                y = y.squeeze(yn.index(n))
                yn = [m for m in yn if m != n]
    shared = [n for n in xn if n in yn]
    batch = [n for n in shared if n in kept]
    contract = [n for n in shared if n not in kept]
    for names in (xn, yn):  # names only one of them has and nobody needs
        lonely = [n for n in names if n not in kept and n not in shared]
        if lonely and names is xn:
            x, xn = x.sum(tuple(xn.index(n) for n in lonely)), [n for n in xn if n not in lonely]
        elif lonely:
            y, yn = y.sum(tuple(yn.index(n) for n in lonely)), [n for n in yn if n not in lonely]
    dims = (
        (tuple(xn.index(n) for n in contract), tuple(yn.index(n) for n in contract)),
        (tuple(xn.index(n) for n in batch), tuple(yn.index(n) for n in batch)),
    )
    out = dot_general(x, y, dims, precision=precision, preferred_element_type=preferred)
    names = [*batch, *(n for n in xn if n not in shared), *(n for n in yn if n not in shared)]
    if preferred is None and out.dtype != x.dtype:
        out = convert(out, x.dtype)
    return out, names


def einsum_path(subscripts, /, *operands, optimize: Any = "auto"):
    """NumPy's contraction order and report for an einsum."""
    arrays = (np.empty(np.shape(x)) for x in operands)
    return np.einsum_path(subscripts, *arrays, optimize="greedy" if optimize == "auto" else optimize)


__all__ = ["einsum", "einsum_path"]
