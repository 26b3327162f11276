"""Sparse Jacobians and Hessians: as many products as colours, instead of as many as columns.

Read derivatives.py first, then walk.py (where the entries are, from the program) and coloring.py (which of them one product
can give together).
"""

from addax.sparse_derivatives.derivatives import sparse_hessian as sparse_hessian, sparse_jacobian as sparse_jacobian
from addax.sparse_derivatives.detect import hessian_sparsity as hessian_sparsity, jacobian_sparsity as jacobian_sparsity
from addax.sparse_derivatives.matrix import SparseMatrix as SparseMatrix
