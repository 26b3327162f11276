"""How arrays print: as NumPy's, with the dtype always shown, and ``weak_type=True`` where it holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.trace import Tracer

_PREFIX = "Array("


def array_repr(arr, max_line_width: int | None = None, precision: int | None = None, suppress_small=None) -> str:
    """The text of ``repr(arr)``, as `numpy.array_repr` makes it.

    >>> import addax.numpy as jnp
    >>> jnp.array_repr(jnp.arange(3))
    'Array([0, 1, 2], dtype=int32)'
    """
    if isinstance(arr, Tracer):
        return repr(arr)
    weak = ", weak_type=True" if arr.weak_type else ""
    dtype = f"dtype={dtypes.dtype_name(arr.dtype)}{weak})"
    if arr.is_deleted():
        return f"{_PREFIX}<deleted>, shape={arr.shape}, {dtype}"
    value = arr._value
    if isinstance(arr.dtype, dtypes.PRNGKeyDType):
        return key_repr(arr.shape, arr.dtype, value)
    if arr.size == 0:
        return f"{_PREFIX}[], shape={arr.shape}, {dtype}"
    body = np.array2string(value, max_line_width, precision, suppress_small, separator=", ", prefix=_PREFIX, suffix=",")
    width = np.get_printoptions()["linewidth"] if max_line_width is None else max_line_width
    # The dtype goes to a line of its own where it does not fit behind the last one.
    last_line = len(body) - (body.rfind("\n") + 1) + (len(_PREFIX) if "\n" not in body else 0)
    gap = " " if last_line + len(dtype) + 2 <= width else "\n" + " " * len(_PREFIX)
    return f"{_PREFIX}{body},{gap}{dtype}"


def array_str(a, max_line_width: int | None = None, precision: int | None = None, suppress_small=None) -> str:
    """The text of ``str(a)``, as `numpy.array_str` makes it.

    >>> import addax.numpy as jnp
    >>> jnp.array_str(jnp.arange(3))
    '[0 1 2]'
    """
    if dtypes.is_extended(getattr(a, "dtype", None)) and not isinstance(a, Tracer):
        return array_repr(a)
    return np.array_str(np.asarray(a), max_line_width, precision, suppress_small)


def key_repr(shape: tuple[int, ...], dtype: Any, keys: np.ndarray) -> str:
    """How an array of PRNG keys prints, over its uint32 words."""
    words = np.array(keys, "<u8", order="C")[..., None].view("<u4")
    return f"Array({shape}, dtype={dtypes.dtype_name(dtype)}) overlaying:\n{words}"


def format_array(x, spec: str) -> str:
    """``f"{x:.3f}"``: of a scalar array its number's, of others only without a specification."""
    if isinstance(x, Tracer):
        if x.concrete() is None:
            raise ConcretizationTypeError(
                x, f"The problem arose with the format specification {spec!r}. addax.debug.print formats values as the "
                "program runs."
            )  # fmt: skip
        return format(x.concrete(), spec)
    value = x._numbers("format")
    return format(value[()] if x.ndim == 0 else value, spec)


def set_printoptions(*args, **kwargs) -> None:
    """How arrays print from now on: `numpy.set_printoptions`, which arrays of both libraries obey.

    >>> import addax.numpy as jnp
    >>> jnp.set_printoptions(precision=8)
    """
    np.set_printoptions(*args, **kwargs)


def get_printoptions() -> dict[str, Any]:
    """How arrays print: `numpy.get_printoptions`.

    >>> import addax.numpy as jnp
    >>> jnp.get_printoptions()["threshold"]
    1000
    """
    return dict(np.get_printoptions())


def printoptions(*args, **kwargs):
    """``with jnp.printoptions(precision=3):`` prints so within the block.

    >>> import addax.numpy as jnp
    >>> with jnp.printoptions(precision=3):
    ...     print(jnp.array([1 / 3]))
    [0.333]
    """
    return np.printoptions(*args, **kwargs)
