"""How jaxprs are written: what the printer and the parser must agree on.

The text is JAX's. A primitive may refine how its parameters are written (`Notation`); everything it leaves out must be
recomputable from the rest, so that the text still says all there is to say. Values of other types than numbers,
strings, dtypes, containers and jaxprs become readable for the parser through `register_param_type`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.dtype_table import BY_NAME


class Derived:
    """A parameter that the types of an equation determine: ``rule(in_avals, out_avals) -> value``."""

    __slots__ = ("rule",)

    def __init__(self, rule: Callable[[list, list], Any]):
        self.rule = rule


class Notation:
    """How the equations of one primitive are written.

    Args:
      first: parameters written before the others, which come in alphabetical order.
      omit: parameters left out while they have the given value; a `Derived` value is worked out from the types. The
        parser puts them back.
      call: the parameter whose jaxpr is applied to the operands as they are. Inside it, operands and results keep
        their outer names.
      open: parameters that hold a `Jaxpr` rather than a `ClosedJaxpr`.
      functions: parameters that are Python functions, written as their name. They cannot be parsed.
      spelled: parameters not written as Python shows them: name -> (value to text, parsed value to value).

    Example:
      >>> iota_like = Notation(omit={"shape": Derived(lambda ins, outs: outs[0].shape), "sharding": None})
    """

    __slots__ = ("call", "first", "functions", "omit", "open", "spelled")

    def __init__(
        self,
        first: tuple[str, ...] = (),
        omit: Mapping[str, Any] | None = None,
        call: str | None = None,
        open: Collection[str] = (),
        functions: Collection[str] = (),
        spelled: Mapping[str, tuple[Callable[[Any], str], Callable[[Any], Any]]] | None = None,
    ):
        self.first, self.omit, self.call = first, dict(omit or {}), call
        self.open, self.functions = frozenset(open), frozenset(functions)
        self.spelled = dict(spelled or {})

    def visible(self, params: Mapping[str, Any], in_avals: list, out_avals: list) -> list[str]:
        """Names of the parameters to write, in order."""
        names = sorted(params)
        if self.omit:
            names = [k for k in names if not self._omitted(k, params[k], in_avals, out_avals)]
        if self.first:
            names = [k for k in self.first if k in names] + [k for k in names if k not in self.first]
        return names

    def _omitted(self, name: str, value: Any, in_avals: list, out_avals: list) -> bool:
        if name not in self.omit:
            return False
        usual = self.omit[name]
        if type(usual) is Derived:
            usual = usual.rule(in_avals, out_avals)
        return type(value) is type(usual) and value == usual

    def restore(self, params: dict[str, Any], in_avals: list, out_avals: list) -> None:
        """Put back the parameters that were left out, and read those that are spelled in another way."""
        for name, (_, read) in self.spelled.items():
            if name in params:
                params[name] = read(params[name])
        for name, usual in self.omit.items():
            if name not in params:
                params[name] = usual.rule(in_avals, out_avals) if type(usual) is Derived else usual


PLAIN = Notation()


# --- Parameter types ---

# name as written -> a callable of the written arguments, or the Enum class
param_types: dict[str, Any] = {
    "dtype": np.dtype,
    "slice": slice,
    "range": range,
    "frozenset": frozenset,
    "set": set,
    "complex": complex,
    **{f"np.{t.__name__}": t for t in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32)},
    **{f"np.{t.__name__}": t for t in (np.uint64, np.float16, np.float32, np.float64, np.complex64, np.complex128)},
    "np.True_": np.True_,
    "np.False_": np.False_,
}


def register_param_type(cls: Any, name: str | None = None, make: Callable[..., Any] | None = None) -> Any:
    """Let the parser read values of ``cls``, written ``Name(field=value, ...)`` or, for an enum, ``Name.MEMBER``.

    Named tuples, frozen dataclasses and enums need nothing more, so this also serves as a decorator.

    Args:
      cls: the class.
      name: how it is written, if not by the name of the class.
      make: called with the written arguments, if not the class itself.
    """
    param_types[name or cls.__name__] = make or cls
    return cls


# --- Bare words ---

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
NUMBER = re.compile(_NUMBER + r"(?![\w.])")
_NUMBER_LIKE = re.compile(rf"{_NUMBER}|[+-]?(?:inf|nan)|{_NUMBER}j|.*(?:inf|nan)j|[+-]?\.?\d.*")
BARE_WORD = re.compile(r"[^\s\[\]{}()=,'\"#]+")
# The parameter `name` is always a string, so a word there need not be told from other values.
BARE_NAME = re.compile(r"[^\s\[\]{}='\",#]+")

KEYWORDS = {"None": None, "True": True, "False": False, "Ellipsis": Ellipsis}
SPECIAL_FLOATS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def dtype_named(word: str) -> Any:
    """The dtype that prints as ``word``, or None: ``float32`` and ``key<fry>`` are, ``f`` and ``sum`` are not."""
    dtype = BY_NAME.get(word)
    if dtype is None and ("<" in word or word == "float0"):
        try:
            dtype = dtypes.dtype_from_short_name(word)
        except ValueError:
            return None
    return dtype


def is_bare(text: str) -> bool:
    """Whether a string parameter may be written without quotes, because nothing else is written like it."""
    return (
        BARE_WORD.fullmatch(text) is not None
        and text not in KEYWORDS
        and not _NUMBER_LIKE.fullmatch(text)
        and text.split(".")[0] not in param_types
        and text not in param_types
        and (not text.startswith("<") or re.fullmatch(r"<\w+>", text) is not None)
        and dtype_named(text) is None
    )


def write_value(value: Any) -> str:
    """A parameter value as text: dtypes by name, strings bare where that is clear, else what Python shows."""
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value if is_bare(value) else repr(str(value))
    if isinstance(value, (np.dtype, dtypes.ExtendedDType)):
        return dtypes.dtype_name(value)
    return str(value)


def function_name(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value)
