"""Linear algebra: library routines where a platform has them (`solvers`), XLA's own operations and loops elsewhere."""

from __future__ import annotations

import numpy as np

from addax.core.jaxpr import Eqn
from addax.engines.xla import solvers
from addax.engines.xla.block import Block, Value, ints, is_complex
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.solvers import both, finite, info_of, letter, nan_unless, platform_of, succeeded
from addax.engines.xla.types import INT32, tensor_type

# --- Small pieces ---


def triangle(b: Block, x: Value, direction: str, offset: int = 0) -> Value:
    """x where row ``direction`` column - offset ("GE" keeps the lower triangle), else 0."""
    m, n = x.shape[-2:]
    rows, columns = b.iota(INT32, (m, n), 0), b.iota(INT32, (m, n), 1)
    if offset:
        rows = b.binary("add", rows, b.full(offset, (m, n), INT32))
    rank = len(x.shape)
    mask = b.broadcast(b.compare(direction, rows, columns), x.shape, (rank - 2, rank - 1))
    return b.select(mask, x, b.full(0, x.shape, x.dtype))


def symmetric(b: Block, a: Value, lower: bool) -> Value:
    """The hermitian matrices of which ``a`` holds a triangle."""
    rank = len(a.shape)
    held = triangle(b, a, "GE" if lower else "LE")
    mirrored = conj(b, b.transpose(held, [*range(rank - 2), rank - 1, rank - 2]))
    return triangle_of(b, lower, held, mirrored)


def triangle_of(b: Block, lower: bool, x: Value, y: Value) -> Value:
    """x in one triangle and on the diagonal, y in the other."""
    n, rank = x.shape[-1], len(x.shape)
    rows, columns = b.iota(INT32, (n, n), 0), b.iota(INT32, (n, n), 1)
    mask = b.compare("GE" if lower else "LE", rows, columns)
    return b.select(b.broadcast(mask, x.shape, (rank - 2, rank - 1)), x, y)


def eye(b: Block, shape: tuple[int, ...], dtype: np.dtype) -> Value:
    """Matrices with ones on the diagonal, repeated over the leading dimensions."""
    return triangle(b, triangle(b, b.full(1, shape, dtype), "GE"), "LE")


def conj(b: Block, x: Value) -> Value:
    if not is_complex(x):
        return x
    re, im = b.parts(x)
    return b.complex(re, b.unary("negate", im))


def part(b: Block, x: Value, m: int, n: int) -> Value:
    """The upper left block of every matrix."""
    rank = len(x.shape)
    return b.take(b.take(x, rank - 2, 0, m), rank - 1, 0, n)


def batched_matmul(b: Block, x: Value, y: Value, transpose_y: bool = False) -> Value:
    batch = range(len(x.shape) - 2)
    rank = len(x.shape)
    n = y.shape[-2] if transpose_y else y.shape[-1]
    shape = (*x.shape[:-1], n)
    batching = f"batching_dims = {ints(batch)} x {ints(batch)}, " if rank > 2 else ""
    return b.emit(
        f"stablehlo.dot_general {x.name}, {y.name}, {batching}contracting_dims = [{rank - 1}] x "
        f"[{rank - 1 if transpose_y else rank - 2}], precision = [HIGHEST, HIGHEST] : ({x.type}, {y.type}) -> "
        f"{tensor_type(shape, x.dtype)}",
        shape,
        x.dtype,
    )


def is_empty(x: Value) -> bool:
    return 0 in x.shape


# ---------------------------------------------------------------------------------------------------------------------
# Triangular systems and Cholesky factors


@rule("triangular_solve")
def _triangular_solve(b: Block, eqn: Eqn, a: Value, y: Value) -> Value:
    p = eqn.params
    if is_empty(y):
        return y
    transpose, conjugate = p["transpose_a"], p["conjugate_a"] and is_complex(a)
    if conjugate and not transpose:
        a, conjugate = conj(b, a), False
    if b.module.target.platform == "cpu":
        (out,) = solvers.call(
            b, "trsm", [a, y], [y], [2, 2, 2],
            side=letter("L" if p["left_side"] else "R"),
            uplo=letter("L" if p["lower"] else "U"),
            trans_x=letter(("C" if conjugate else "T") if transpose else "N"),
            diag=letter("U" if p["unit_diagonal"] else "N"),
        )  # fmt: skip
        return out
    kind = ("ADJOINT" if conjugate else "TRANSPOSE") if transpose else "NO_TRANSPOSE"
    attrs = (
        f"left_side = {str(p['left_side']).lower()}, lower = {str(p['lower']).lower()}, transpose_a = #stablehlo<transpose "
        f"{kind}>, unit_diagonal = {str(p['unit_diagonal']).lower()}"
    )
    return b.generic("stablehlo.triangular_solve", [a, y], [y], attrs=attrs)[0]


@rule("cholesky")
def _cholesky(b: Block, eqn: Eqn, a: Value) -> Value:
    if is_empty(a):
        return a
    if b.module.target.platform != "cpu":
        return triangle(b, b.emit(f"stablehlo.cholesky {a.name}, lower = true : {a.type}", a.shape, a.dtype), "GE")
    out, info = solvers.call(b, "potrf", [a], [a, info_of(b, a)], [2, 2, 0], uplo=letter("L"))
    return triangle(b, nan_unless(b, succeeded(b, info), out), "GE")


@rule("cholesky_update")
def _cholesky_update(b: Block, eqn: Eqn, r: Value, w: Value) -> Value:
    """Givens rotations that turn w into the rows of r, one column after the other."""
    n = r.shape[-1]
    if is_empty(r):
        return r
    rank = len(r.shape)
    batch = range(rank - 2)

    def step(c: Block, values: list[Value]) -> list[Value]:
        i, r, w = values
        zero = c.scalar(0, INT32)
        starts = [zero] * (rank - 2)
        row = c.reshape(c.dynamic_slice(r, [*starts, i, zero], (*r.shape[:-2], 1, n)), w.shape)
        at = c.compare("EQ", c.iota(INT32, w.shape, rank - 2), c.broadcast(i, w.shape, ()))

        def pick(v: Value) -> Value:
            return c.reduce_simple(
                "add", c.select(at, v, c.full(0, v.shape, v.dtype)), c.scalar(0, v.dtype), [rank - 2]
            )

        x, y = pick(row), pick(w)
        largest = c.binary("maximum", c.unary("abs", x), c.unary("abs", y))
        nothing = c.compare("EQ", largest, c.full(0, x.shape, x.dtype))
        one, nought = c.full(1, x.shape, x.dtype), c.full(0, x.shape, x.dtype)
        scale = c.select(nothing, one, largest)
        xs, ys = c.binary("divide", x, scale), c.binary("divide", y, scale)
        size = c.unary("sqrt", c.binary("add", c.binary("multiply", xs, xs), c.binary("multiply", ys, ys)))
        safe = c.select(nothing, one, size)
        cosine = c.select(nothing, one, c.binary("divide", xs, safe))
        sine = c.select(nothing, nought, c.binary("divide", ys, safe))
        cosine, sine = (c.broadcast(v, w.shape, batch) for v in (cosine, sine))
        new_row = c.binary("add", c.binary("multiply", cosine, row), c.binary("multiply", sine, w))
        new_w = c.binary("subtract", c.binary("multiply", cosine, w), c.binary("multiply", sine, row))
        r = c.dynamic_update_slice(r, c.reshape(new_row, (*r.shape[:-2], 1, n)), [*starts, i, zero])
        return [c.binary("add", i, c.scalar(1, INT32)), r, new_w]

    outs = b.loop([b.scalar(0, INT32), r, w], lambda c, v: c.compare("LT", v[0], c.scalar(n, INT32)), step)
    return outs[1]


@rule("symmetric_product")
def _symmetric_product(b: Block, eqn: Eqn, a: Value, c: Value) -> Value:
    product = batched_matmul(b, a, a, transpose_y=True)

    def scaled(factor: float, x: Value) -> Value:
        return b.binary("multiply", b.full(factor, x.shape, x.dtype), x)

    return b.binary("add", scaled(eqn.params["alpha"], product), scaled(eqn.params["beta"], c))


# ---------------------------------------------------------------------------------------------------------------------
# LU


@rule("lu")
def _lu(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    _, pivot_type, permutation_type = (result_type(eqn, i) for i in range(3))
    if is_empty(a):
        return [a, b.full(0, pivot_type.shape, INT32), permutation(b, None, permutation_type.shape)]
    out, pivots, info = solvers.getrf(b, a, pivot_type)
    if info is not None:  # info > 0: a pivot is exactly 0, but the factors are there
        out = nan_unless(b, succeeded(b, info, "GE"), out)
    return [out, pivots, permutation(b, pivots, permutation_type.shape)]


def permutation(b: Block, pivots: Value | None, shape: tuple[int, ...]) -> Value:
    """What swapping row i with row pivots[i], for i = 0, 1, ..., makes of 0, 1, ..."""
    d = len(shape) - 1
    start = b.iota(INT32, shape, d)
    if pivots is None or is_empty(pivots) or 0 in shape:
        return start
    k = pivots.shape[-1]

    def step(c: Block, values: list[Value]) -> list[Value]:
        i, order = values
        zero = c.scalar(0, INT32)
        target = c.reshape(c.dynamic_slice(pivots, [*[zero] * d, i], (*shape[:-1], 1)), shape[:-1])
        columns = c.iota(INT32, shape, d)
        here = c.compare("EQ", columns, c.broadcast(i, shape, ()))
        there = c.compare("EQ", columns, c.broadcast(target, shape, range(d)))

        def pick(mask: Value) -> Value:
            found = c.reduce_simple("add", c.select(mask, order, c.full(0, shape, INT32)), c.scalar(0, INT32), [d])
            return c.broadcast(found, shape, range(d))

        swapped = c.select(here, pick(there), c.select(there, pick(here), order))
        return [c.binary("add", i, c.scalar(1, INT32)), swapped]

    return b.loop([b.scalar(0, INT32), start], lambda c, v: c.compare("LT", v[0], c.scalar(k, INT32)), step)[1]


@rule("lu_pivots_to_permutation")
def _pivots_to_permutation(b: Block, eqn: Eqn, pivots: Value) -> Value:
    return permutation(b, pivots, result_type(eqn).shape)


@rule("tridiagonal_solve")
def _tridiagonal_solve(b: Block, eqn: Eqn, dl: Value, d: Value, du: Value, y: Value) -> Value:
    if is_empty(y):
        return y
    if eqn.params["perturb_singular"]:
        zero = b.full(0, d.shape, d.dtype)
        tiny = b.full(np.finfo(d.dtype).eps, d.shape, d.dtype)
        d = b.select(b.compare("EQ", d, zero), tiny, d)
    if d.shape[-1] == 1:
        return b.binary("divide", y, b.broadcast(d, y.shape, range(len(d.shape))))
    if b.module.target.platform == "tpu":
        return thomas(b, dl, d, du, y)
    x, info = solvers.gtsv(b, dl, d, du, y)
    return x if info is None else nan_unless(b, succeeded(b, info), x)


def thomas(b: Block, dl: Value, d: Value, du: Value, y: Value) -> Value:
    """Elimination from above and substitution from below, without pivoting: for diagonally dominant systems."""
    n, rank, batch = d.shape[-1], len(y.shape), y.shape[:-2]
    row_shape = (*batch, y.shape[-1])

    def at(c: Block, v: Value, i: Value) -> Value:
        """Element i of each diagonal."""
        zero = c.scalar(0, INT32)
        return c.reshape(c.dynamic_slice(v, [*[zero] * (rank - 2), i], (*batch, 1)), batch)

    def row(c: Block, v: Value, i: Value) -> Value:
        zero = c.scalar(0, INT32)
        return c.reshape(c.dynamic_slice(v, [*[zero] * (rank - 2), i, zero], (*batch, 1, y.shape[-1])), row_shape)

    def put(c: Block, v: Value, i: Value, value: Value) -> Value:
        zero = c.scalar(0, INT32)
        along = [i] if len(v.shape) == rank - 1 else [i, zero]
        shape = (*batch, 1, *v.shape[rank - 1 :])
        return c.dynamic_update_slice(v, c.reshape(value, shape), [*[zero] * (rank - 2), *along])

    def times(c: Block, v: Value, x: Value) -> Value:
        return c.binary("multiply", c.broadcast(v, row_shape, range(rank - 2)), x)

    def down(c: Block, values: list[Value]) -> list[Value]:
        i, upper, right, last_upper, last_right = values
        below = at(c, dl, i)
        pivot = c.binary("subtract", at(c, d, i), c.binary("multiply", below, last_upper))
        upper_i = c.binary("divide", at(c, du, i), pivot)
        change = c.binary("subtract", row(c, y, i), times(c, below, last_right))
        right_i = c.binary("divide", change, c.broadcast(pivot, row_shape, range(rank - 2)))
        news = [put(c, upper, i, upper_i), put(c, right, i, right_i), upper_i, right_i]
        return [c.binary("add", i, c.scalar(1, INT32)), *news]

    def up(c: Block, values: list[Value]) -> list[Value]:
        i, solution, last = values
        x = c.binary("subtract", row(c, right, i), times(c, at(c, upper, i), last))
        return [c.binary("subtract", i, c.scalar(1, INT32)), put(c, solution, i, x), x]

    none, empty = b.full(0, batch, d.dtype), b.full(0, row_shape, d.dtype)
    start = [b.scalar(0, INT32), b.full(0, d.shape, d.dtype), b.full(0, y.shape, d.dtype), none, empty]
    _, upper, right, *_ = b.loop(start, lambda c, v: c.compare("LT", v[0], c.scalar(n, INT32)), down)
    start = [b.scalar(n - 1, INT32), b.full(0, y.shape, d.dtype), empty]
    return b.loop(start, lambda c, v: c.compare("GE", v[0], c.scalar(0, INT32)), up)[1]


# ---------------------------------------------------------------------------------------------------------------------
# Orthogonal factors


def _reflectors(b: Block, a: Value, pivoting: bool) -> tuple[Value, Value, Value | None]:
    """``(factors, taus, column order)`` of stacks of matrices."""
    if not pivoting:
        factors, taus = solvers.geqrf(b, a)
        return factors, taus, None
    platform_of(b, "qr with pivoting", ("cpu",))
    taus = b.like((*a.shape[:-2], min(a.shape[-2:])), a.dtype)
    free = b.full(0, (*a.shape[:-2], a.shape[-1]), INT32)  # no column is fixed
    factors, order, taus = solvers.call(b, "geqp3", [a, free], [a, free, taus], [2, 1, 2, 1, 1])
    return factors, taus, b.binary("subtract", order, b.full(1, order.shape, INT32))


@rule("qr")
def _qr(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    p = eqn.params
    m, n = a.shape[-2:]
    k = m if p["full_matrices"] else min(m, n)
    q_type, r_type = result_type(eqn, 0), result_type(eqn, 1)
    if is_empty(a):
        outs = [eye(b, q_type.shape, a.dtype), b.full(0, r_type.shape, a.dtype)]
        return [*outs, permutation(b, None, result_type(eqn, 2).shape)] if p["pivoting"] else outs
    factors, taus, order = _reflectors(b, a, p["pivoting"])
    r = triangle(b, part(b, factors, k, n), "LE")
    start = part(b, factors, m, min(m, n))
    if k > min(m, n):
        config = [(0, 0, 0)] * (len(a.shape) - 1) + [(0, k - min(m, n), 0)]
        start = b.pad(start, b.scalar(0, a.dtype), config)
    outs = [solvers.orgqr(b, start, taus), r]
    return outs if order is None else [*outs, order]


@rule("geqrf")
def _geqrf(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    if is_empty(a):
        out = result_type(eqn, 1)
        return [a, b.full(0, out.shape, out.dtype)]
    factors, taus, _ = _reflectors(b, a, False)
    return [factors, taus]


@rule("householder_product")
def _householder_product(b: Block, eqn: Eqn, a: Value, taus: Value) -> Value:
    if is_empty(a):
        return a
    return eye(b, a.shape, a.dtype) if is_empty(taus) else solvers.orgqr(b, a, taus)


@rule("ormqr")
def _ormqr(b: Block, eqn: Eqn, a: Value, taus: Value, c: Value) -> Value:
    """One reflector after the other: c - tau v (v^H c), or c - tau (c v) v^H; q = h_1 h_2 ... h_k."""
    left, transpose = eqn.params["left"], eqn.params["transpose"]
    k = taus.shape[-1]
    if is_empty(c) or k == 0:
        return c
    rank, m = len(c.shape), a.shape[-2]
    batch = tuple(c.shape[:-2])
    if transpose:
        taus = conj(b, taus)

    def step(s: Block, values: list[Value]) -> list[Value]:
        i, out = values
        zero, one = s.scalar(0, INT32), s.scalar(1, INT32)
        # The reflector next to c acts first: h_k for q c, h_1 for c q; the other way round with q^H.
        at = i if left == transpose else s.binary("subtract", s.scalar(k - 1, INT32), i)
        column = s.dynamic_slice(a, [*[zero] * (rank - 2), zero, at], (*batch, m, 1))
        rows = s.iota(INT32, column.shape, rank - 2)
        here = s.broadcast(at, column.shape, ())
        v = s.select(s.compare("GT", rows, here), column, s.full(0, column.shape, column.dtype))
        v = s.select(s.compare("EQ", rows, here), s.full(1, column.shape, column.dtype), v)
        tau = s.dynamic_slice(taus, [*[zero] * (rank - 2), at], (*batch, 1))
        swap = [*range(rank - 2), rank - 1, rank - 2]
        v_h = s.transpose(conj(s, v), swap)
        if left:
            change = batched_matmul(s, v, batched_matmul(s, v_h, out))
        else:
            change = batched_matmul(s, batched_matmul(s, out, v), v_h)
        scaled = s.binary("multiply", s.broadcast(s.reshape(tau, batch), change.shape, range(rank - 2)), change)
        return [s.binary("add", i, one), s.binary("subtract", out, scaled)]

    return b.loop([b.scalar(0, INT32), c], lambda s, v: s.compare("LT", v[0], s.scalar(k, INT32)), step)[1]


# ---------------------------------------------------------------------------------------------------------------------
# Spectra


def _zeros(b: Block, eqn: Eqn) -> list[Value]:
    """The results of an empty matrix: nothing, or vectors that are free, which are then unit vectors."""
    outs = []
    for i in range(len(eqn.outvars)):
        out = result_type(eqn, i)
        rank = len(out.shape)
        square = rank >= 2 and not is_empty(out)
        outs.append(eye(b, out.shape, out.dtype) if square else b.full(0, out.shape, out.dtype))
    return outs


@rule("eigh")
def _eigh(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    p = eqn.params
    n = a.shape[-1]
    if is_empty(a):
        return _zeros(b, eqn)
    ok = finite(b, triangle(b, a, "GE" if p["lower"] else "LE"))
    if b.module.target.platform == "tpu":  # where both triangles are read
        a = symmetric(b, a, p["lower"])
    v, w, info = solvers.syevd(b, a, p["lower"])
    ok = both(b, ok, info)
    v, w = nan_unless(b, ok, v), nan_unless(b, ok, w)
    start, end = p["subset_by_index"] or (0, n)
    return [b.take(v, len(v.shape) - 1, start, end), b.take(w, len(w.shape) - 1, start, end)]


@rule("svd")
def _svd(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    p = eqn.params
    batch = a.shape[:-2]
    if is_empty(a):
        return _zeros(b, eqn)
    full, vectors = p["full_matrices"], p["compute_uv"]
    ok = finite(b, a)
    s, u, vt, info = solvers.gesdd(b, a, full, vectors)
    ok = b.binary("and", ok, succeeded(b, info))
    outs = [nan_unless(b, ok, x) for x in ((s, u, vt) if vectors else (s,))]
    if p["subset_by_index"] is None:
        return outs
    start, end = p["subset_by_index"]
    rank = len(batch)
    outs[0] = b.take(outs[0], rank, start, end)
    if vectors and not full:
        outs[1], outs[2] = b.take(outs[1], rank + 1, start, end), b.take(outs[2], rank, start, end)
    return outs


@rule("eig")
def _eig(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    p = eqn.params
    if is_empty(a):
        return _zeros(b, eqn)
    platform_of(b, "eig", ("cpu",))
    left, right = p["compute_left_eigenvectors"], p["compute_right_eigenvectors"]
    out = result_type(eqn)
    vectors = b.like(a.shape, out.dtype)
    values = [b.like(out.shape, a.dtype)] * (1 if is_complex(a) else 2)  # real and imaginary parts apart
    ok = finite(b, a)
    *w, vl, vr, info = solvers.call(
        b, "geev", [a], [*values, vectors, vectors, info_of(b, a)], [2, *[1] * len(values), 2, 2, 0],
        compute_left=letter("V" if left else "N"), compute_right=letter("V" if right else "N"),
    )  # fmt: skip
    ok = b.binary("and", ok, succeeded(b, info))
    found = w[0] if is_complex(a) else b.complex(w[0], w[1])
    return [nan_unless(b, ok, x) for x in (found, *([vl] if left else []), *([vr] if right else []))]


@rule("schur")
def _schur(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    if is_empty(a):
        return [a] * len(eqn.outvars)
    platform_of(b, "schur", ("cpu",))
    vector = b.like(a.shape[:-1], a.dtype)
    values = [vector] * (1 if is_complex(a) else 2)
    wanted = eqn.params["compute_schur_vectors"]
    ok = finite(b, a)
    info = info_of(b, a)
    t, z, *_, info = solvers.call(
        b, "gees", [a], [a, a, *values, info, info], [2, 2, 2, *[1] * len(values), 0, 0],
        mode=letter("V" if wanted else "N"), sort=letter("N"),
    )  # fmt: skip
    ok = b.binary("and", ok, succeeded(b, info))
    return [nan_unless(b, ok, x) for x in ((t, z) if wanted else (t,))]


@rule("hessenberg")
def _hessenberg(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    taus = result_type(eqn, 1)
    if is_empty(a) or is_empty(taus):
        return [a, b.full(0, taus.shape, taus.dtype)]
    platform_of(b, "hessenberg", ("cpu",))
    out, taus, info = solvers.call(
        b, "gehrd", [a], [a, taus, info_of(b, a)], [2, 2, 1, 0], low="1 : i32", high=f"{a.shape[-1]} : i32"
    )
    ok = succeeded(b, info)
    return [nan_unless(b, ok, out), nan_unless(b, ok, taus)]


@rule("tridiagonal")
def _tridiagonal(b: Block, eqn: Eqn, a: Value) -> list[Value]:
    kinds = [result_type(eqn, i) for i in range(1, 4)]
    if is_empty(a) or a.shape[-1] == 1:
        diagonal = b.reshape(b.parts(a)[0] if is_complex(a) else a, kinds[0].shape)
        return [a, diagonal, *(b.full(0, t.shape, t.dtype) for t in kinds[1:])]
    *outs, info = solvers.sytrd(b, a, eqn.params["lower"])
    ok = succeeded(b, info)
    return [nan_unless(b, ok, x) for x in outs]
