"""Linear algebra under NumPy's names: ``jnp.linalg``. Matrices are the last two dimensions; the others are a batch.

Arguments are promoted to a common floating dtype, so integer matrices are fine; factorisations are done in float32,
float64 and their complex kin. The factorisations themselves are those of `addax.lax.linalg`.
"""

from addax.numpy.linalg.determinants import SlogdetResult as SlogdetResult, det as det, slogdet as slogdet
from addax.numpy.linalg.factors import (
    EighResult as EighResult,
    EigResult as EigResult,
    QRResult as QRResult,
    SVDResult as SVDResult,
    cholesky as cholesky,
    eig as eig,
    eigh as eigh,
    eigvals as eigvals,
    eigvalsh as eigvalsh,
    qr as qr,
    svd as svd,
    svdvals as svdvals,
)
from addax.numpy.linalg.norms import (
    cond as cond,
    matrix_norm as matrix_norm,
    matrix_rank as matrix_rank,
    norm as norm,
    vector_norm as vector_norm,
)
from addax.numpy.linalg.products import (
    cross as cross,
    diagonal as diagonal,
    matmul as matmul,
    matrix_power as matrix_power,
    matrix_transpose as matrix_transpose,
    multi_dot as multi_dot,
    outer as outer,
    tensordot as tensordot,
    trace as trace,
    vecdot as vecdot,
)
from addax.numpy.linalg.systems import (
    inv as inv,
    lstsq as lstsq,
    pinv as pinv,
    solve as solve,
    tensorinv as tensorinv,
    tensorsolve as tensorsolve,
)
