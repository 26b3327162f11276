"""Matrix factorisations as custom calls: LAPACK on CPUs, cuSOLVER and cuSPARSE on CUDA GPUs, XLA's own on TPUs.

Matrices are column-major in the former two, which the layouts of the call say; XLA transposes where it must. ``info`` is one i32 per
matrix, 0 for success. Names and attributes are those that jaxlib registers (`compat.register_lapack`, `compat.load_cuda`).
Each function takes and gives stacks of matrices; the rules in lower_linalg.py finish what it leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from addax.engines.xla.block import Block, Value
from addax.engines.xla.types import BOOL, INT32

_PREFIXES = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}


def letter(c: str) -> str:
    """A character argument, as the byte it is."""
    return f"{ord(c)} : ui8"


def _layout(rank: int, own: int) -> str:
    """Minor to major: a matrix has its rows first, a vector is dense; batch dimensions are slowest."""
    if own == 2:
        order = [rank - 2, rank - 1, *reversed(range(rank - 2))]
    else:
        order = [*reversed(range(rank))]
    if not order:
        return "dense<> : tensor<0xindex>"
    return f"dense<{order}> : tensor<{rank}xindex>"


def call(
    b: Block, target: str, operands: Sequence[Value], results: Sequence[Value], ranks: Sequence[int], **attributes: str
) -> list[Value]:
    """Call a routine on stacks of matrices.

    Args:
      target: its registered name, or that of a LAPACK routine without the letter of the dtype, which is that of the
        first operand: ``"potrf"``.
      results: examples of the results.
      ranks: for each operand, then each result: 2 for a matrix, 1 for a vector, 0 for ``info``.
      attributes: as MLIR text.
    """
    if not target.startswith("cu"):
        target = f"lapack_{_PREFIXES[operands[0].dtype.name]}{target}_ffi"
    layouts = [_layout(len(x.shape), own) for x, own in zip([*operands, *results], ranks, strict=True)]
    n = len(operands)
    config = ", ".join(f"{k} = {v}" for k, v in sorted(attributes.items()))
    batch = len(operands[0].shape) - ranks[0]
    attrs = (
        f"api_version = 4 : i32, backend_config = {{{config}}}, "
        f'mhlo.frontend_attributes = {{num_batch_dims = "{batch}"}}, '
        f"operand_layouts = [{', '.join(layouts[:n])}], result_layouts = [{', '.join(layouts[n:])}]"
    )
    return b.custom_call(target, operands, results, attrs)


def platform_of(b: Block, name: str, platforms: Sequence[str]) -> str:
    """The platform that is compiled for, if it is one of those that have a routine for ``name``.

    Raises:
      NotImplementedError: if it has none.
    """
    platform = b.module.target.platform
    if platform not in platforms:
        raise NotImplementedError(
            f"{name} is computed by a library routine that platform {platform!r} does not have (it is there on "
            f"{', '.join(platforms)}): run this part of the program on the CPU."
        )
    return platform


def real_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


EVERYWHERE = ("cpu", "cuda", "tpu")


def xla_call(
    b: Block, target: str, operands: Sequence[Value], results: Sequence[Value], config: str = ""
) -> list[Value]:
    """A routine that the TPU compiler itself has."""
    return b.custom_call(target, operands, results, f'api_version = 2 : i32, backend_config = "{config}"')


def getrf(b: Block, a: Value, pivots: Value) -> tuple[Value, Value, Value | None]:
    """LU factors, 0-based pivots, and info where there is one."""
    platform = platform_of(b, "lu", EVERYWHERE)
    if platform == "tpu":
        permutation = b.like(a.shape[:-1], INT32)
        lu, pivots, _ = xla_call(b, "LuDecomposition", [a], [a, pivots, permutation])
        return lu, pivots, None
    target = "getrf" if platform == "cpu" else "cusolver_getrf_ffi"
    lu, pivots, info = call(b, target, [a], [a, pivots, info_of(b, a)], [2, 2, 1, 0])
    return lu, b.binary("subtract", pivots, b.full(1, pivots.shape, INT32)), info


def geqrf(b: Block, a: Value) -> list[Value]:
    """r above, reflectors below the diagonal; their taus."""
    taus = b.like((*a.shape[:-2], min(a.shape[-2:])), a.dtype)
    platform = platform_of(b, "qr", EVERYWHERE)
    if platform == "tpu":
        return xla_call(b, "Qr", [a], [a, taus])
    return call(b, "geqrf" if platform == "cpu" else "cusolver_geqrf_ffi", [a], [a, taus], [2, 2, 1])


def orgqr(b: Block, a: Value, taus: Value) -> Value:
    """The first columns of the product of reflectors."""
    platform = platform_of(b, "householder_product", EVERYWHERE)
    if platform == "tpu":
        return xla_call(b, "ProductOfElementaryHouseholderReflectors", [a, taus], [a])[0]
    target = ("ungqr" if a.dtype.kind == "c" else "orgqr") if platform == "cpu" else "cusolver_orgqr_ffi"
    return call(b, target, [a, taus], [a], [2, 1, 2])[0]


def syevd(b: Block, a: Value, lower: bool) -> tuple[Value, Value, Value | None]:
    """Eigenvectors, eigenvalues, and info where there is one, of hermitian matrices given by a triangle."""
    values = b.like(a.shape[:-1], real_dtype(a.dtype))
    platform = platform_of(b, "eigh", EVERYWHERE)
    if platform == "tpu":  # Jacobi, ascending: lower, sort, at most 100 sweeps, tolerance
        v, w = xla_call(b, "Eigh", [a], [a, values], f"{int(lower)},1,100,1e-6")
        return v, w, None
    outs = [a, values, info_of(b, a)]
    if platform == "cpu":
        name = "heevd" if a.dtype.kind == "c" else "syevd"
        v, w, info = call(b, name, [a], outs, [2, 2, 1, 0], mode=letter("V"), uplo=letter("L" if lower else "U"))
    else:
        attributes = {"algorithm": "0 : ui8", "lower": str(lower).lower()}
        v, w, info = call(b, "cusolver_syevd_ffi", [a], outs, [2, 2, 1, 0], **attributes)
    return v, w, info


def gesdd(b: Block, a: Value, full: bool, vectors: bool) -> list[Value]:
    """Singular values, u, v^H, info; u and v^H have all columns and rows with ``full``, and are undefined without
    ``vectors``."""
    (m, n), batch = a.shape[-2:], a.shape[:-2]
    k = min(m, n)
    rows, columns = (m, n) if full or not vectors else (k, k)
    s = b.like((*batch, k), real_dtype(a.dtype))
    if platform_of(b, "svd", ("cpu", "cuda")) == "cpu":
        u, vh = b.like((*batch, m, rows), a.dtype), b.like((*batch, columns, n), a.dtype)
        mode = letter("N" if not vectors else "A" if full else "S")
        return call(b, "gesdd", [a], [a, s, u, vh, info_of(b, a)], [2, 2, 1, 2, 2, 0], mode=mode)[1:]
    # One-sided Jacobi: all of u, and v itself.
    u, v = b.like((*batch, m, m), a.dtype), b.like((*batch, n, n), a.dtype)
    attributes = {"compute_uv": str(vectors).lower(), "full_matrices": "true"}
    outs = [a, s, u, v, info_of(b, a)]
    _, s, u, v, info = call(b, "cusolver_gesvdj_ffi", [a], outs, [2, 2, 1, 2, 2, 0], **attributes)
    rank = len(a.shape)
    vh = b.transpose(v, [*range(rank - 2), rank - 1, rank - 2])
    if vh.dtype.kind == "c":
        re, im = b.parts(vh)
        vh = b.complex(re, b.unary("negate", im))
    return [s, b.take(u, rank - 1, 0, rows), b.take(vh, rank - 2, 0, columns), info]


def sytrd(b: Block, a: Value, lower: bool) -> list[Value]:
    """Reflectors, diagonal, off-diagonal, taus, info of hermitian matrices."""
    n, batch, real = a.shape[-1], a.shape[:-2], real_dtype(a.dtype)
    outs = [
        a, b.like((*batch, n), real), b.like((*batch, n - 1), real), b.like((*batch, n - 1), a.dtype), info_of(b, a),
    ]  # fmt: skip
    if platform_of(b, "tridiagonal", ("cpu", "cuda")) == "cpu":
        name = "hetrd" if a.dtype.kind == "c" else "sytrd"
        return call(b, name, [a], outs, [2, 2, 1, 1, 1, 0], uplo=letter("L" if lower else "U"))
    return call(b, "cusolver_sytrd_ffi", [a], outs, [2, 2, 1, 1, 1, 0], lower=str(lower).lower())


def gtsv(b: Block, dl: Value, d: Value, du: Value, y: Value) -> tuple[Value, Value | None]:
    """The solution of tridiagonal systems, and info where there is one."""
    if platform_of(b, "tridiagonal_solve", ("cpu", "cuda")) == "cpu":
        outs = [dl, d, du, y, info_of(b, y)]
        *_, x, info = call(b, "gtsv", [dl, d, du, y], outs, [1, 1, 1, 2, 1, 1, 1, 2, 0])
        return x, info
    return call(b, "cusparse_gtsv2_ffi", [dl, d, du, y], [y], [1, 1, 1, 2, 2])[0], None


def info_of(b: Block, x: Value, own: int = 2) -> Value:
    """An example of the ``info`` result for the stack ``x``."""
    return b.like(x.shape[: len(x.shape) - own], INT32)


# ---------------------------------------------------------------------------------------------------------------------
# What a failed factorisation gives: NaN


def succeeded(b: Block, info: Value, direction: str = "EQ") -> Value:
    return b.compare(direction, info, b.full(0, info.shape, INT32))


def finite(b: Block, x: Value) -> Value:
    """``[*batch]``: whether all elements of each matrix are finite."""
    parts = b.parts(x) if x.dtype.kind == "c" else (x,)
    total: Value | None = None
    for part in parts:
        ok = b.to_type("is_finite", part, part.shape, BOOL)
        total = ok if total is None else b.binary("and", total, ok)
    assert total is not None
    rank = len(x.shape)
    return b.reduce_simple("and", total, b.scalar(True, BOOL), [rank - 2, rank - 1])


def both(b: Block, ok: Value, info: Value | None) -> Value:
    """``ok``, and that the routine succeeded, if it says so."""
    return ok if info is None else b.binary("and", ok, succeeded(b, info))


def nan_unless(b: Block, ok: Value, x: Value) -> Value:
    """``x`` where its matrix is good, else NaN."""
    nan = complex(np.nan, np.nan) if x.dtype.kind == "c" else np.nan
    mask = b.broadcast(ok, x.shape, range(len(ok.shape)))
    return b.select(mask, x, b.full(nan, x.shape, x.dtype))
