"""Arrays from and to bytes, text, files and other libraries: frombuffer, fromfile, load, save, from_dlpack."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.errors import TracerArrayConversionError
from addax.core.trace import Tracer
from addax.lax.sharding import place
from addax.numpy.creation import array, asarray


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """The bytes of ``buffer`` as numbers of ``dtype`` (a copy).

    Args:
      dtype: as it is in the buffer: float and int are 64 bits wide there, and are narrowed afterwards.
      count: how many numbers; -1: as many as there are.
      offset: the bytes to skip.

    >>> import addax.numpy as jnp
    >>> jnp.frombuffer(b"\\x01\\x02\\x03", jnp.uint8).tolist()
    [1, 2, 3]
    """
    if isinstance(buffer, Tracer):
        raise TracerArrayConversionError(buffer)
    if isinstance(buffer, _native.Array):
        buffer = np.asarray(buffer)
    return asarray(np.frombuffer(buffer, dtype=np.dtype(dtype), count=count, offset=offset))


def _refused(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"{name} is not implemented: what it reads is consumed when a function is traced, so that the compiled program "
        f"would go on with the old values. Read outside of it: addax.numpy.asarray(numpy.{name}(...))."
    )


def fromfile(*args: Any, **kwargs: Any) -> Any:
    """Refused: reading a file is a side effect, which compiled functions cannot have."""
    raise _refused("fromfile")


def fromiter(*args: Any, **kwargs: Any) -> Any:
    """Refused: reading an iterator is a side effect, which compiled functions cannot have."""
    raise _refused("fromiter")


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Any:
    """The numbers in a text, between separators ``sep``.

    >>> import addax.numpy as jnp
    >>> jnp.fromstring("1, 2, 3", dtype=int, sep=",").tolist()
    [1, 2, 3]
    """
    return asarray(np.fromstring(string, dtype=np.dtype(dtype), count=count, sep=sep))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array of another library (an object with ``__dlpack__``), in the memory of the CPU.

    The memory is shared, so that array must not be written to any more, unless it has strides or a dtype to be converted.

    Args:
      device: where the array shall be.
      copy: True: always copy; False: never.

    Raises:
      ValueError: for ``copy=False`` where the memory cannot be shared.
      BufferError: if the array is in the memory of an accelerator.

    >>> import addax.numpy as jnp
    >>> import numpy as np
    >>> jnp.from_dlpack(np.arange(3.0, dtype=np.float32)).tolist()
    [0.0, 1.0, 2.0]
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: expected an object with a method __dlpack__, got {type(x)}")
    if isinstance(x, _native.Array):
        return array(x, copy=bool(copy), device=device)
    out = _native.from_dlpack(x, _aval, copy)
    return out if device is None else place(out, device)


def _aval(shape: tuple[int, ...], dtype: np.dtype) -> ShapedArray:
    return ShapedArray(shape, dtypes.canonicalize_dtype(dtype))


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The array in a ``.npy`` file, or the mapping of names to NumPy arrays in an ``.npz`` file; see `numpy.load`.

    NumPy's format has no name for bfloat16: numbers of two nameless bytes are taken to be that.
    """
    out = np.load(file, *args, **kwargs)
    return asarray(_named(out)) if isinstance(out, np.ndarray) else out


def _named(out: np.ndarray) -> np.ndarray:
    if out.dtype.kind == "V" and out.dtype.itemsize == 2:
        return out.view(dtypes.bfloat16)
    return out


def save(file: Any, arr: Any, allow_pickle: bool = True) -> None:
    """Write an array to a ``.npy`` file; see `numpy.save`."""
    if isinstance(arr, Tracer):
        raise TracerArrayConversionError(arr)
    np.save(file, np.asarray(arr), allow_pickle=allow_pickle)


def savez(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Write several arrays to an uncompressed ``.npz`` file, by position ("arr_0", ...) or name; see `numpy.savez`."""
    for x in (*args, *kwds.values()):
        if isinstance(x, Tracer):
            raise TracerArrayConversionError(x)
    arrays = {k: np.asarray(x) for k, x in kwds.items()}
    np.savez(file, *map(np.asarray, args), allow_pickle=allow_pickle, **arrays)


__all__ = ["from_dlpack", "frombuffer", "fromfile", "fromiter", "fromstring", "load", "save", "savez"]
