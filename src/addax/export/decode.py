"""Programs from JSON: the inverse of encode.py.

Reading trusts nothing. It looks names up (of primitives, of parameter classes, of dtypes) in tables of this process,
imports nothing that a file names, calls nothing but constructors of plain data, and leaves it to the type checker whether
what came out is a program.
"""

from __future__ import annotations

import enum
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import addax.ops
from addax import _native, random
from addax.core import dtypes
from addax.core.avals import ShapedArray, abstract_token
from addax.core.errors import near_miss
from addax.core.jaxpr import ClosedJaxpr, DebugInfo, Eqn, Jaxpr, Literal, Var
from addax.core.mesh import AbstractMesh, AxisType
from addax.core.notation import Derived, param_types
from addax.core.primitive import Primitive, registry
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.core.symbolic_text import read_size
from addax.export.meshes import OpenMesh
from addax.ops.random_bits import prng_impl


class Decoder:
    """The tables of one file.

    Args:
      tables: as `encode.Encoder.tables` wrote them.
      constant: gives the bytes of a constant.
      scope: of the symbolic sizes.

    Raises:
      ValueError: for what is no program, or needs what is not there.
    """

    def __init__(self, tables: dict[str, Any], constant: Callable[[int], bytes], scope: Any):
        self.scope, self._constant = scope, constant
        self.avals = [self._aval(row) for row in tables["avals"]]
        self.constant_rows = tables["constants"]
        self.constants: dict[int, Any] = {}
        self.places = [_source(*row) for row in tables["places"]]
        self.primitives = [find_primitive(name) for name in tables["primitives"]]
        self.programs: list[Any] = []
        for row in tables["programs"]:
            self.programs.append(self._program(row))

    def _aval(self, row: Any) -> Any:
        if row == ["token"]:
            return abstract_token
        dtype, shape, weak, vma = [*row, False, ()][:4] if len(row) == 2 else [*row, ()][:4]
        return ShapedArray(tuple(map(self._size, shape)), _dtype(dtype), bool(weak), frozenset(vma))

    def _size(self, d: Any) -> Any:
        if isinstance(d, str):
            return read_size(d, self.scope)
        if type(d) is not int or d < 0:
            raise ValueError(f"not the size of a dimension: {d!r}")
        return d

    def constant(self, number: int) -> Any:
        if number not in self.constants:
            aval, nbytes = self.constant_rows[number]
            self.constants[number] = as_constant(self._constant(number), self.avals[aval], nbytes)
        return self.constants[number]

    # -- programs

    def _program(self, row: dict[str, Any]) -> Any:
        names: list[Var] = []

        def bind(number: int) -> Var:
            names.append(Var(self.avals[number]))
            return names[-1]

        def read(x: Any) -> Any:
            if type(x) is int:
                return names[x]
            return Literal(self.value(x["literal"]), self.avals[x["aval"]])

        constvars, invars = list(map(bind, row["constvars"])), list(map(bind, row["invars"]))
        eqns = [self._eqn(eqn, read, bind) for eqn in row["eqns"]]
        outvars = list(map(read, row["outvars"]))
        jaxpr = Jaxpr(constvars, invars, outvars, eqns, None, DebugInfo(str(row["name"])))
        return ClosedJaxpr(jaxpr, list(map(self.constant, row["consts"]))) if "consts" in row else jaxpr

    def _eqn(self, row: Sequence[Any], read, bind) -> Eqn:
        number, operands, results, given, place = row
        primitive = self.primitives[number]
        invars = list(map(read, operands))
        outvars = list(map(bind, results))
        params = {k: self.value(v) for k, v in given.items()}
        for name, usual in primitive.notation.omit.items():  # parameters that are newer than the file
            if name not in params:
                derived = type(usual) is Derived
                params[name] = usual.rule([x.aval for x in invars], [v.aval for v in outvars]) if derived else usual
        effects = frozenset() if primitive.effects is None else primitive.effects(*(x.aval for x in invars), **params)
        return Eqn(primitive, invars, outvars, params, effects, None if place is None else self.places[place])

    # -- parameters

    def value(self, x: Any) -> Any:
        if x is None or type(x) in (bool, int, str, float):
            return x
        if isinstance(x, list):
            return tuple(map(self.value, x))
        if not isinstance(x, dict) or len(x) != 1:
            raise ValueError(f"not a parameter: {x!r:.200}")
        ((kind, content),) = x.items()
        read = getattr(self, f"_read_{kind}", None)
        if read is None:
            raise ValueError(f"unknown kind of value {kind!r}: the file may come from a newer version of addax.")
        return read(content)

    def _read_float(self, text: str) -> float:
        return float(text)

    def _read_complex(self, parts: list) -> complex:
        return complex(*map(self.value, parts))

    def _read_list(self, items: list) -> list:
        return list(map(self.value, items))

    def _read_dict(self, items: list) -> dict:
        return {self.value(k): self.value(v) for k, v in items}

    def _read_frozenset(self, items: list) -> frozenset:
        return frozenset(map(self.value, items))

    def _read_dtype(self, name: str) -> Any:
        return _dtype(name)

    def _read_scalar(self, content: list) -> Any:
        dtype = _dtype(content[0])
        return np.frombuffer(bytes.fromhex(content[1]), dtype)[0]

    def _read_size(self, text: str) -> Any:
        return read_size(text, self.scope)

    def _read_aval(self, number: int) -> Any:
        return self.avals[number]

    def _read_program(self, number: int) -> Any:
        return self.programs[number]

    def _read_constant(self, number: int) -> Any:
        return self.constant(number)

    def _read_generator(self, name: str) -> Any:
        return prng_impl(name)

    def _read_primitive(self, name: str) -> Primitive:
        return find_primitive(name)

    def _read_spec(self, parts: list) -> PartitionSpec:
        return PartitionSpec(*map(self.value, parts))

    def _read_mesh(self, content: list) -> AbstractMesh:
        names, sizes, types, is_open = content
        kind = OpenMesh if is_open else AbstractMesh
        return kind(sizes, self.value(names), [AxisType[t] for t in types])

    def _read_sharding(self, content: list) -> NamedSharding:
        mesh, spec = map(self.value, content)
        if not isinstance(mesh, AbstractMesh):
            raise ValueError(f"not a mesh: {content[0]!r:.200}")
        return NamedSharding(mesh, spec)

    def _read_enum(self, content: list) -> Any:
        name, member = content
        cls = param_types.get(name)
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum) and member in cls.__members__):
            raise ValueError(f"unknown value {name}.{member}: the file may come from a newer version of addax.")
        # A promise is not taken from a file: what is in bounds is read alike, and what is not stays in the array.
        return cls["CLIP" if (name, member) == ("GatherScatterMode", "PROMISE_IN_BOUNDS") else member]

    def _read_record(self, content: list) -> Any:
        name, fields = content
        cls = param_types.get(name)
        if not isinstance(cls, type) or not (hasattr(cls, "_fields") or hasattr(cls, "__dataclass_fields__")):
            raise ValueError(f"unknown parameter class {name!r}: the file may come from a newer version of addax.")
        try:
            return cls(**{k: self.value(v) for k, v in fields.items()})
        except TypeError as error:
            raise ValueError(f"{name} cannot be made from the fields {', '.join(fields)}: {error}") from None


class _Place:
    """A file and line that an equation comes from, in the form of the code object that `SourceInfo` asks."""

    def __init__(self, file: str, function: str, line: int | None, column: int | None):
        self.co_filename, self.co_qualname, self.co_firstlineno = file, function, line
        self._position = line, None, column, None

    def co_positions(self):
        yield self._position


def _source(file: str, function: str, line: int | None, column: int | None, names: Sequence[Any] = ()) -> tuple:
    """The source of an equation, as source_info.py has it: with the named scopes and transformations around, if any."""
    place = _Place(file, function, line, column)
    scopes = tuple(n if isinstance(n, str) else tuple(map(str, n)) for n in names)
    return (place, 0, scopes) if scopes else (place, 0)


def find_primitive(name: str) -> Primitive:
    """A primitive by its name; those of families that are loaded late are looked for.

    Raises:
      ValueError: if there is none.
    """
    if name not in registry:
        for module in pkgutil.walk_packages(addax.ops.__path__, "addax.ops."):
            importlib.import_module(module.name)
    if name not in registry:
        raise ValueError(
            f"the program uses the primitive {name!r}, which does not exist here.{near_miss(name, registry)} If it is your "
            "own, import the module that defines it before you read the file; else the file may come from a newer version "
            "of addax."
        )
    return registry[name]


def _dtype(name: Any) -> Any:
    try:
        return dtypes.as_dtype(name)
    except (TypeError, ValueError):
        pass
    try:
        return dtypes.dtype_from_short_name(name)
    except ValueError:
        raise ValueError(f"unknown dtype {name!r}") from None


def as_constant(data: bytes, aval: ShapedArray, nbytes: int) -> Any:
    """The array of a constant. The bytes are those of its elements, row by row, little-endian; of keys, their words."""
    if len(data) != nbytes:
        raise ValueError(f"a constant has {len(data)} bytes, expected {nbytes}")
    flat = np.frombuffer(data, np.uint8)
    if isinstance(aval.dtype, dtypes.PRNGKeyDType):
        words = flat.view("<u4").reshape(*aval.shape, *aval.dtype.key_shape)
        return random.wrap_key_data(words, impl=aval.dtype.impl_name)
    if aval.dtype == dtypes.float0:
        return np.zeros(aval.shape, dtypes.float0)
    value = flat.view(aval.dtype).reshape(aval.shape)
    return _native.array_from_numpy(value, aval)
