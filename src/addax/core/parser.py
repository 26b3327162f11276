"""Reading jaxprs: the inverse of printer.py.

``parse(str(jaxpr))`` is a program that prints identically and computes the same. What text does not hold, it cannot
give back: weak types, the source lines of equations, the values of constants (they come back as ``constvars``), and
parameters that are Python functions, which are refused.

Start reading at `_Parser.jaxpr`.
"""

from __future__ import annotations

import ast
import enum
import re
from typing import Any, NoReturn

import numpy as np

from addax.core import dtypes, notation
from addax.core.avals import ShapedArray, abstract_token
from addax.core.errors import near_miss
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var
from addax.core.notation import KEYWORDS, NUMBER, SPECIAL_FLOATS, param_types
from addax.core.primitive import no_effects, registry
from addax.core.reader import JaxprSyntaxError, Reader


def parse(text: str) -> Jaxpr:
    """Read a program from its printed form.

    Primitives are found by name among those that are defined. Jaxprs in parameters become `ClosedJaxpr`, unless the
    primitive's `Notation` says otherwise.

    Args:
      text: what ``str(jaxpr)`` gives, also with other widths, margin notes or line breaks; types must be there.

    Returns:
      The `Jaxpr`. Wrap it as ``ClosedJaxpr(jaxpr, consts)`` to give its ``constvars`` their values.

    Raises:
      JaxprSyntaxError: with the line, the column, and what was expected there.

    Example:
      >>> parse("{ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }")
      { lambda ; a:f32[]. let b:f32[] = sin a in (b,) }
    """
    parser = _Parser(text)
    try:
        jaxpr = parser.program()
    except RecursionError:
        raise JaxprSyntaxError("the jaxprs here are nested too deeply to be read", text, parser.pos) from None
    if not parser.at_end():
        parser.fail("expected the end of the text")
    return jaxpr


_NAME = re.compile(r"[A-Za-z_]\w*")
_TYPE = re.compile(r"(\w+(?:<\w+>)?)\[((?:\d+(?:,\d+)*)?)\](?:\{V:\(?([\w,]+)\)?\})?|Token(?:\[\])?")
_BINDER = re.compile(r"(\w+):(?=[A-Za-z])")
_PRIMITIVE = re.compile(r"[^\s\[\](){};,=]+")
_LITERAL = re.compile(r"(\([^()\s]*\)|[^\s:,;(){}\[\]]+):(?=[A-Za-z])")
_LET = re.compile(r"let\s+([^\s={}]+)\s*=\s*(?=\{)")
_KEY = re.compile(r"([A-Za-z_]\w*)=")
_COMPLEX = re.compile(r"\([+-]?[\w.+-]*j\)|[+-]?[\d.][\w.+-]*j(?!\w)|[+-]?(?:inf|nan)j(?!\w)")
_SPECIAL = re.compile(r"(?:-?inf|nan)(?!\w)")
_STRING = re.compile(r"""[bB]?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL)
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_ENUM_REPR = re.compile(r"<([A-Za-z_]\w*)\.(\w+): [^<>]*>")
_BRACES = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|#[^\n]*|[{}]""")
_RESULTS = re.compile(r"in\s*\((?![+-]?[\w.+-]*j\))")
_ARRAY_LITERAL = re.compile(r"\[\.\.\.\]:")


# Kind of dtype -> kinds of numbers it holds.
_LITERAL_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}


class _Let:
    """A jaxpr written apart; read when first referred to, because earlier ones may refer to later ones."""

    __slots__ = ("position", "reading", "value")

    def __init__(self, position: int):
        self.position = position
        self.value: Jaxpr | None = None
        self.reading = False


class _Parser(Reader):
    def __init__(self, text: str):
        super().__init__(text)
        self.lets: dict[str, _Let] = {}
        self.types: dict[str, Any] = {}

    # --- Programs ---

    def program(self) -> Jaxpr:
        """``let name = jaxpr in ... jaxpr``"""
        outer, self.lets = self.lets, {}
        while found := self.match(_LET):
            if found.group(1) in self.lets:
                self.fail(f"a second jaxpr is named {found.group(1)!r}", found.start(1))
            self.lets[found.group(1)] = _Let(self.pos)
            self.skip_braces()
            self.expect("in", " after a jaxpr that is written apart")
        jaxpr = self.jaxpr()
        for name in self.lets:
            self.referred(name)
        self.lets = outer
        return jaxpr

    def skip_braces(self) -> None:
        depth, start = 0, self.pos
        for found in _BRACES.finditer(self.text, self.pos):
            mark = found.group()
            if mark == "{":
                depth += 1
            elif mark == "}":
                depth -= 1
                if depth == 0:
                    self.pos = found.end()
                    return
        self.fail("this '{' is never closed", start)

    def referred(self, name: str) -> Jaxpr:
        let = self.lets[name]
        if let.value is None:
            if let.reading:
                self.fail(f"the jaxpr {name!r} contains itself", let.position)
            let.reading = True
            back, self.pos = self.pos, let.position
            let.value = self.jaxpr()
            self.pos = back
        return let.value

    def jaxpr(self) -> Jaxpr:
        """``{ lambda constvars ; invars. let eqns in (results) }``"""
        env: dict[str, Var] = {}
        self.expect("{", " and a jaxpr")
        self.expect("lambda")
        constvars = self.binders(env)
        self.expect(";", " between the constants and the arguments")
        invars = self.binders(env)
        self.expect(".", " after the arguments, or another argument 'name:type'")
        self.expect("let")
        eqns = []
        while not self.match(_RESULTS):
            if self.next_is("}") or self.at_end():
                self.fail("expected an equation or 'in (results)'")
            eqns.append(self.eqn(env))
            self.take(";")
        outvars = []
        while not self.take(")"):
            if outvars:
                self.expect(",", " or ')' after a result")
                if self.take(")"):
                    break
            outvars.append(self.atom(env))
        if self.take(":"):
            self.skip()
            self.skip_braces()
        self.expect("}", " after the results")
        return Jaxpr(constvars, invars, outvars, eqns)

    def binders(self, env: dict[str, Var]) -> list[Var]:
        bound = []
        while found := self.match(_BINDER):
            name = found.group(1)
            aval = self.type()
            if name == "_":
                var: Var = DropVar(aval)
            else:
                if name in env:
                    self.fail(f"the variable {name!r} is bound twice", found.start())
                var = env[name] = Var(aval)
            bound.append(var)
        return bound

    def type(self) -> Any:
        found = _TYPE.match(self.text, self.pos)
        if found is None:
            self.fail("expected a type such as f32[2,3]")
        word = found.group()
        aval = self.types.get(word)
        if aval is None:
            aval = self.types[word] = self._type(found)
        self.pos = found.end()
        return aval

    def _type(self, found: re.Match) -> Any:
        name, shape, varying = found.groups()
        if name is None or name == "Token":
            return abstract_token
        try:
            dtype = dtypes.dtype_from_short_name(name)
        except ValueError as error:
            self.fail(str(error), found.start())
        vma = frozenset(varying.split(",")) if varying else frozenset()
        return ShapedArray(tuple(int(d) for d in shape.split(",") if d), dtype, vma=vma)

    def eqn(self, env: dict[str, Var]) -> Eqn:
        self.skip()
        start = self.pos
        # Results are bound only after the operands are read.
        bound: dict[str, Var] = {}
        outvars = self.binders(bound)
        if outvars:
            self.expect("=", " or another result 'name:type'")
        found = self.match(_PRIMITIVE)
        if found is None:
            self.fail("expected the name of a primitive")
        name = found.group()
        primitive = registry.get(name)
        if primitive is None:
            at = found.start()
            if self.take("="):
                self.fail(f"expected ':' and the type of the variable {name!r}", at + len(name))
            self.fail(f"there is no primitive {name!r}.{near_miss(name, registry)}", at)
        params = {}
        if self.text.startswith("[", self.pos):
            self.pos += 1
            params = self.params(primitive)
        invars = self.operands(env, start)
        for name, var in bound.items():
            if name in env:
                self.fail(f"the variable {name!r} is bound twice", start)
            env[name] = var
        in_avals = [x.aval for x in invars]
        primitive.notation.restore(params, in_avals, [v.aval for v in outvars])
        effects = no_effects if primitive.effects is None else primitive.effects(*in_avals, **params)
        return Eqn(primitive, invars, outvars, params, effects)

    def operands(self, env: dict[str, Var], start: int) -> list:
        """The operands of the equation that begins at ``start``.

        They end at ``;``, at ``in``, or at a line that is not indented more than the equation.
        """
        text, atoms = self.text, []
        column = None
        while True:
            before = self.pos
            self.skip()
            if self.pos >= len(text) or text[self.pos] in ";}":
                return atoms
            newline = text.rfind("\n", before, self.pos)
            if newline >= 0:
                if column is None:
                    column = start - text.rfind("\n", 0, start)
                if self.pos - newline <= column:
                    return atoms
            if _RESULTS.match(text, self.pos):
                return atoms
            atoms.append(self.atom(env))

    def atom(self, env: dict[str, Var]):
        found = self.match(_LITERAL)
        if found is not None:
            return self.literal(found)
        found = self.match(_NAME)
        if found is None:
            if self.match(_ARRAY_LITERAL):
                self.fail("the value of this constant array is not in the text", self.pos - 6)
            self.fail("expected a variable or a literal such as 2.0:f32[]")
        name = found.group()
        var = env.get(name)
        if var is None:
            self.fail(f"the variable {name!r} is not bound here.{near_miss(name, env)}", found.start())
        return var

    def literal(self, found: re.Match) -> Literal:
        at = found.start()
        aval = self.type()
        word = found.group(1)
        value: Any = KEYWORDS.get(word)
        if value is None:
            try:
                value = int(word)
            except ValueError:
                try:
                    value = complex(word) if word.endswith(("j", "j)")) else float(word)
                except ValueError:
                    self.fail(f"{word!r} is not a number", at)
        if not isinstance(aval, ShapedArray) or not isinstance(aval.dtype, np.dtype):
            self.fail(f"a literal cannot have the type {aval.str_short(True)}", at)
        narrowest = np.min_scalar_type(value).kind  # NumPy itself would convert with a loss
        if narrowest not in _LITERAL_KINDS.get(aval.dtype.kind, "biufc"):
            self.fail(f"{word} is not a value of type {aval.str_short(True)}", at)
        try:
            # A NumPy scalar has exactly this type, where a Python number would be weakly typed.
            return Literal(aval.dtype.type(value), aval)
        except (OverflowError, TypeError, ValueError) as error:
            self.fail(f"{word} is not a value of type {aval.str_short(True)}: {error}", at)

    # --- Parameters ---

    def params(self, primitive) -> dict[str, Any]:
        params: dict[str, Any] = {}
        while not self.take("]"):
            found = self.match(_KEY)
            if found is None:
                self.fail(f"expected a parameter 'name=value' of {primitive}, or ']'")
            key = found.group(1)
            if key in params:
                self.fail(f"the parameter {key!r} of {primitive} is given twice", found.start())
            params[key] = self.param(primitive, key)
        return params

    def param(self, primitive, key: str) -> Any:
        at = self.pos
        if key in primitive.notation.functions:
            self.fail(
                f"the parameter {key!r} of {primitive} is a Python function, which text does not hold. Trace the "
                "program again instead of parsing it"
            )
        if key == "name" and (found := self.match(notation.BARE_NAME)):
            return KEYWORDS.get(found.group(), found.group()) if found.group() == "None" else found.group()
        closed = key not in primitive.notation.open
        if (found := self.match(notation.BARE_WORD)) and found.group() in self.lets:
            return self.closed(self.referred(found.group()), closed, at)
        self.pos = at
        if self.next_is("(") and (jaxprs := self.jaxpr_tuple(closed)) is not None:
            return jaxprs
        value = self.value(closed, bare=True)
        if self.pos < len(self.text) and not re.match(r"[\s\]]", self.text[self.pos]):
            self.fail(f"expected a blank or ']' after the parameter {key!r}")
        return value

    def closed(self, jaxpr: Jaxpr, closed: bool, at: int):
        if not closed:
            return jaxpr
        if jaxpr.constvars:
            self.fail("the values of the constants of this jaxpr are not in the text", at)
        return ClosedJaxpr(jaxpr)

    def jaxpr_tuple(self, closed: bool) -> tuple | None:
        """``({ lambda ... } name)``, or None if it is another kind of tuple."""
        start = self.pos
        self.pos += 1
        items = []
        while not self.take(")"):
            at = self.pos
            if self.match(re.compile(r"\{\s*lambda\b")):
                self.pos = at
                jaxpr = self.jaxpr()
            elif (found := self.match(notation.BARE_WORD)) and found.group() in self.lets:
                jaxpr = self.referred(found.group())
            else:
                self.pos = start
                return None
            items.append(self.closed(jaxpr, closed, at))
        if not items:
            self.pos = start
            return None
        return tuple(items)

    def value(self, closed: bool, bare: bool = False) -> Any:
        """A value as Python writes it. ``bare`` words are strings and dtypes where they are parameters themselves."""
        self.skip()
        at = self.pos
        if found := self.match(_STRING):
            return ast.literal_eval(found.group())
        if found := self.match(_COMPLEX):
            return complex(found.group())
        if found := self.match(NUMBER):
            word = found.group()
            return int(word) if word.lstrip("+-").isdigit() else float(word)
        if found := self.match(_SPECIAL):
            return SPECIAL_FLOATS[found.group()]
        if self.take("("):
            return tuple(self.items(")", closed))
        if self.take("["):
            return self.items("]", closed)
        if self.next_is("{"):
            return self.braces(closed)
        if _LET.match(self.text, self.pos):
            return self.closed(self.program(), closed, at)
        if found := self.match(_ENUM_REPR):
            return self.member(found.group(1), found.group(2), at)
        if found := _DOTTED.match(self.text, self.pos):
            known, value = self.known_type(found, closed)
            if known:
                return value
        if bare and (found := self.match(notation.BARE_WORD)):
            word = found.group()
            if word in KEYWORDS:
                return KEYWORDS[word]
            dtype = notation.dtype_named(word)
            if dtype is not None:
                return dtype
            if notation.is_bare(word) and not self.text.startswith(("(", "[", "="), self.pos):
                return word
            self.pos = at
        elif (found := self.match(_NAME)) and found.group() in KEYWORDS:
            return KEYWORDS[found.group()]
        self.pos = at
        self.unreadable()

    def unreadable(self) -> NoReturn:
        found = re.compile(r"(<[^<>]*(?:<\w+>[^<>]*)*>)|(\w[\w.]*)\(").match(self.text, self.pos)
        if found is None:
            self.fail("expected a value: a number, a string, a dtype, a container or a jaxpr")
        if found.group(1):
            self.fail(f"{found.group(1)} is a Python object, which text does not hold")
        self.fail(
            f"values of type {found.group(2)} cannot be read. If one is made from what is written, register it: "
            f"addax.core.notation.register_param_type({found.group(2)})"
        )

    def known_type(self, found: re.Match, closed: bool) -> tuple[bool, Any]:
        """A value of a registered type: ``Name(...)``, ``Name.MEMBER`` or a named constant."""
        at, name = self.pos, found.group()
        made = param_types.get(name)
        if made is not None:
            if not callable(made):
                self.pos = found.end()
                return True, made
            if self.text.startswith("(", found.end()):
                self.pos = found.end() + 1
                return True, self.call(made, closed, at)
        owner, _, member = name.rpartition(".")
        if owner in param_types:
            self.pos = found.end()
            return True, self.member(owner, member, at)
        return False, None

    def member(self, owner: str, member: str, at: int) -> Any:
        cls = param_types.get(owner)
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            self.fail(
                f"{owner} is not known as an enum. Register it: addax.core.notation.register_param_type({owner})", at
            )
        if member not in cls.__members__:
            self.fail(f"{owner} has no member {member!r}.{near_miss(member, cls.__members__)}", at)
        return cls[member]

    def call(self, made, closed: bool, at: int) -> Any:
        args, fields = [], {}
        while not self.take(")"):
            if args or fields:
                self.expect(",", " or ')'")
                if self.take(")"):
                    break
            if found := self.match(_KEY):
                fields[found.group(1)] = self.value(closed)
            else:
                item = self.value(closed)
                args.append((item, self.value(closed)) if self.take(":") else item)  # Mesh('x': 4)
        try:
            return made(*args, **fields)
        except (TypeError, ValueError) as error:
            self.fail(f"this value cannot be made: {error}", at)

    def items(self, end: str, closed: bool) -> list:
        items = []
        while not self.take(end):
            if items:
                self.expect(",", f" or {end!r}")
                if self.take(end):
                    break
            items.append(self.value(closed))
        return items

    def braces(self, closed: bool) -> Any:
        at = self.pos
        self.expect("{")
        if self.next_is("lambda"):
            self.pos = at
            return self.closed(self.jaxpr(), closed, at)
        if self.take("}"):
            return {}
        first = self.value(closed)
        if not self.take(":"):
            if self.take("}"):
                return {first}
            self.expect(",", " or '}'")
            return {first, *self.items("}", closed)}
        result = {first: self.value(closed)}
        while not self.take("}"):
            self.expect(",", " or '}'")
            if self.take("}"):
                break
            key = self.value(closed)
            self.expect(":")
            result[key] = self.value(closed)
        return result


__all__ = ["JaxprSyntaxError", "parse"]
