"""Programs as JSON. What is written is described in docs/export.md; decode.py reads it.

Jaxprs hold types, numbers, strings, enums and named tuples of these, and other jaxprs. What is a Python object beyond that,
a callback, is refused with the line that it comes from.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

import numpy as np

from addax import random
from addax.core import dtypes
from addax.core.avals import AbstractToken, ShapedArray, get_aval
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal
from addax.core.mesh import AbstractMesh
from addax.core.notation import param_types
from addax.core.primitive import Primitive, registry
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.core.sizes import SymbolicSize
from addax.core.source_info import SourceInfo
from addax.export.meshes import OpenMesh
from addax.ops.random_bits import PRNGImpl


class Unwritable(Exception):
    """A value that files do not hold."""


class Encoder:
    """Collects the tables of one file: types, programs, places and constants, each written once."""

    def __init__(self):
        self.avals: dict[Any, int] = {}
        self.aval_rows: list[Any] = []
        self.programs: list[Any] = []
        self.numbers: dict[int, int] = {}  # id of a program -> its number
        self.alive: list[Any] = []  # keeps those ids unique
        self.places: dict[tuple, int] = {}
        self.place_numbers: dict[
            tuple, int
        ] = {}  # by the identity of the code, which programs keep alive, and the offset
        self.primitives: dict[str, int] = {}
        self.constants: list[np.ndarray] = []
        self.constant_types: list[Any] = []
        self.constant_numbers: dict[int, int] = {}

    def tables(self) -> dict[str, Any]:
        return {
            "avals": self.aval_rows,
            "programs": self.programs,
            "places": [list(p) for p in self.places],
            "primitives": list(self.primitives),
            "constants": self.constant_types,
        }

    # -- types and constants

    def aval(self, aval: Any) -> int:
        number = self.avals.get(aval)
        if number is None:
            number = self.avals[aval] = len(self.aval_rows)
            self.aval_rows.append(_aval_row(aval))
        return number

    def constant(self, x: Any) -> int:
        number = self.constant_numbers.get(id(x))
        if number is None:
            aval = get_aval(x)
            if any(isinstance(d, SymbolicSize) for d in aval.shape):
                raise Unwritable("a value of the program that is being traced around the export")
            words = random.key_data(x) if dtypes.is_extended(aval.dtype) else x
            value = np.ascontiguousarray(np.asarray(words))
            number = self.constant_numbers[id(x)] = len(self.constants)
            self.alive.append(x)
            self.constants.append(value.reshape(-1).view(np.uint8))
            self.constant_types.append([self.aval(aval), value.nbytes])
        return number

    # -- programs

    def program(self, program: ClosedJaxpr | Jaxpr) -> int:
        """The number of a program; ones that it holds come before it."""
        number = self.numbers.get(id(program))
        if number is None:
            row = self._program(program)
            number = self.numbers[id(program)] = len(self.programs)
            self.programs.append(row)
            self.alive.append(program)
        return number

    def _program(self, program: ClosedJaxpr | Jaxpr) -> dict[str, Any]:
        jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
        names: dict[Any, int] = {}

        def bind(v) -> int:
            names[v] = len(names)
            return self.aval(v.aval)

        def read(x):
            if type(x) is Literal:
                return {"literal": self.value(x.val), "aval": self.aval(x.aval)}
            return names[x]

        info = jaxpr.debug_info
        row: dict[str, Any] = {
            "name": "" if info is None else info.func_name.partition(" at ")[0],
            "constvars": list(map(bind, jaxpr.constvars)),
            "invars": list(map(bind, jaxpr.invars)),
            "eqns": [self._eqn(eqn, read, bind) for eqn in jaxpr.eqns],
            "outvars": list(map(read, jaxpr.outvars)),
        }
        if isinstance(program, ClosedJaxpr):
            row["consts"] = list(map(self.constant, program.consts))
        return row

    def _eqn(self, eqn: Eqn, read, bind) -> list[Any]:
        """``[primitive, operands, types of results, parameters, place]``"""
        try:
            params = {k: self.value(v) for k, v in eqn.params.items()}
        except Unwritable as reason:
            raise ValueError(
                f"Cannot serialize the equation {eqn.primitive} of {SourceInfo(eqn.source)}: it holds {reason}."
            ) from None
        if registry.get(eqn.primitive.name) is not eqn.primitive:
            raise ValueError(
                f"Cannot serialize the equation {eqn.primitive} of {SourceInfo(eqn.source)}: another primitive has the name "
                f"{eqn.primitive.name!r}, by which a reader would find that one. Give yours a name of its own."
            )
        number = self.primitives.setdefault(eqn.primitive.name, len(self.primitives))
        operands = list(map(read, eqn.invars))
        return [number, operands, list(map(bind, eqn.outvars)), params, self.place(eqn.source)]

    def place(self, source) -> int | None:
        if source is None:
            return None
        key = (id(source[0]), *source[1:])
        number = self.place_numbers.get(key)
        if number is None:
            info = SourceInfo(source)
            place = (info.file, info.function, *info.position, *source[2:])
            number = self.place_numbers[key] = self.places.setdefault(place, len(self.places))
        return number

    # -- parameters

    def value(self, x: Any) -> Any:
        """A parameter: numbers, strings and None as they are, tuples as arrays, the rest as ``{kind: content}``."""
        if x is None or type(x) in (bool, int, str):
            return x
        if type(x) is float:
            return x if math.isfinite(x) else {"float": str(x)}
        if type(x) is complex:
            return {"complex": [self.value(x.real), self.value(x.imag)]}
        if isinstance(x, enum.Enum):
            self._known(type(x))
            return {"enum": [type(x).__name__, x.name]}
        if isinstance(x, PartitionSpec):
            return {"spec": [self.value(p) for p in x]}
        if isinstance(x, tuple):
            if hasattr(x, "_fields"):
                return self._fields(x, getattr(x, "_fields"))  # noqa: B009  (named tuples have it)
            return [self.value(v) for v in x]
        if isinstance(x, list):
            return {"list": [self.value(v) for v in x]}
        if isinstance(x, dict):
            return {"dict": [[self.value(k), self.value(v)] for k, v in x.items()]}
        if isinstance(x, frozenset):
            return {"frozenset": sorted((self.value(v) for v in x), key=str)}
        if isinstance(x, (np.dtype, dtypes.ExtendedDType)):
            return {"dtype": dtypes.dtype_name(x)}
        if isinstance(x, np.generic):
            return {"scalar": [dtypes.dtype_name(x.dtype), x.tobytes().hex()]}
        if isinstance(x, SymbolicSize):
            return {"size": str(x)}
        if isinstance(x, ShapedArray):
            return {"aval": self.aval(x)}
        if isinstance(x, (ClosedJaxpr, Jaxpr)):
            return {"program": self.program(x)}
        if isinstance(x, AbstractMesh):
            types = [t.name for t in x.axis_types]
            return {"mesh": [self.value(x.axis_names), list(x.axis_sizes), types, isinstance(x, OpenMesh)]}
        if isinstance(x, NamedSharding):
            return {"sharding": [self.value(x.mesh), self.value(x.spec)]}
        if isinstance(x, PRNGImpl):
            return {"generator": x.name}
        if isinstance(x, Primitive) and registry.get(x.name) is x:
            return {"primitive": x.name}
        if isinstance(x, np.ndarray) or hasattr(x, "_value"):
            return {"constant": self.constant(x)}
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            return self._fields(x, [f.name for f in dataclasses.fields(x)])
        raise Unwritable(f"a value of type {type(x).__name__}, {x!r:.100}, which is a Python object and not data")

    def _fields(self, x: Any, names) -> dict[str, Any]:
        self._known(type(x))
        return {"record": [type(x).__name__, {n: self.value(getattr(x, n)) for n in names}]}

    def _known(self, cls: type) -> None:
        if param_types.get(cls.__name__) is not cls:
            raise Unwritable(
                f"a value of the class {cls.__qualname__}, which addax.core.notation.register_param_type does not know"
            )


def _aval_row(aval: Any) -> Any:
    if isinstance(aval, AbstractToken):
        return ["token"]
    row = [dtypes.dtype_name(aval.dtype), [str(d) if isinstance(d, SymbolicSize) else d for d in aval.shape]]
    if aval.vma:
        return [*row, aval.weak_type, sorted(aval.vma)]
    return [*row, True] if aval.weak_type else row
