"""Linear systems given by functions: `jax.scipy.sparse`."""

from addax.scipy.sparse import linalg as linalg
