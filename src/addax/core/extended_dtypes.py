"""Extended dtypes: those whose elements are not numbers. There is one family, PRNG keys: ``key<fry>``."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np


class extended(np.generic):
    """Abstract type of every dtype whose elements are not numbers: ``issubdtype(key.dtype, dtypes.extended)``."""


class prng_key(extended):
    """Abstract type of PRNG key dtypes: ``issubdtype(x.dtype, dtypes.prng_key)`` asks whether x is an array of keys."""


# Users know these as addax.dtypes.extended and addax.dtypes.prng_key.
extended.__module__ = prng_key.__module__ = "addax.dtypes"


class ExtendedDType:
    """A dtype whose elements are not numbers. Subclasses set `name`, `type` (for issubdtype) and `itemsize`."""

    __slots__ = ()

    name: str
    type: type
    itemsize: int

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


class PRNGKeyDType(ExtendedDType):
    """The dtype of arrays of PRNG keys: ``key<fry>`` for threefry2x32. Interned, so equality is identity.

    Args:
      impl_name: name of the generator, e.g. "threefry2x32". One generator has one dtype.
      tag: the short name shown in ``key<...>``.
      key_shape: shape of the uint32 words behind one key.
    """

    __slots__ = ("impl_name", "itemsize", "key_shape", "name", "tag")

    type = prng_key
    _interned: ClassVar[dict[str, PRNGKeyDType]] = {}

    impl_name: str
    tag: str
    key_shape: tuple[int, ...]

    def __new__(cls, impl_name: str, tag: str, key_shape: tuple[int, ...]) -> PRNGKeyDType:
        key_shape = tuple(key_shape)
        known = cls._interned.get(impl_name)
        if known is not None:
            if (known.tag, known.key_shape) != (tag, key_shape):
                raise ValueError(
                    f"PRNG implementation {impl_name!r} already has tag {known.tag!r} and key shape {known.key_shape}; "
                    f"got tag {tag!r} and key shape {key_shape}"
                )
            return known
        self = super().__new__(cls)
        self.impl_name = impl_name
        self.tag = tag
        self.key_shape = key_shape
        self.name = f"key<{tag}>"
        self.itemsize = 4 * math.prod(key_shape)
        return cls._interned.setdefault(impl_name, self)

    def __reduce__(self):
        return PRNGKeyDType, (self.impl_name, self.tag, self.key_shape)

    @classmethod
    def from_name(cls, name: str) -> PRNGKeyDType | None:
        """The key dtype printed as `name` ("key<fry>"), if there is one."""
        return next((dtype for dtype in cls._interned.values() if dtype.name == name), None)


key_fry = PRNGKeyDType("threefry2x32", "fry", (2,))
key_rbg = PRNGKeyDType("rbg", "rbg", (4,))
key_urbg = PRNGKeyDType("unsafe_rbg", "urbg", (4,))
