"""How jaxprs print: JAX's textual format.

    { lambda ; a:f32[]. let
        b:f32[] = sin a
        c:f32[] = integer_pow[y=2] b
      in (c,) }

Jaxprs inside equations stand where they are used; those used more than once, and those of more than ten equations, are
written first, under a name: ``let f = { lambda ... } in``. Variables are named in the order in which they print.

One intended difference from JAX: where jit has a result nobody reads, JAX writes ``_`` for that result *inside* the
inner jaxpr too, so two different values may both be returned as ``_``; here every variable that is read has a name.

Start reading at `_Writer.jaxpr`. This module also gives `Jaxpr`, `ClosedJaxpr` and `Eqn` their printing methods.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import notation
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var
from addax.core.layout import KEYWORD, TYPE, Document
from addax.core.notation import PLAIN
from addax.core.source_info import SourceInfo, name_stack

WIDTH = 80
# Jaxprs with more equations than this are written apart even if used once.
_LONGEST_INLINE = 10


class _Settings(NamedTuple):
    print_shapes: bool = True
    source_info: bool = False
    name_stack: bool = False
    notations: bool = True
    effects: bool = False
    color: bool = False


_PLAIN_SETTINGS = _Settings()


# --- Names ---


def _letters(n: int) -> str:
    """The n-th name: a, ..., z, ba, bb, ...: n in base 26 with the letters for digits."""
    name = chr(97 + n % 26)
    while n := n // 26:
        name = chr(97 + n % 26) + name
    return name


class Names:
    """Names of variables, given when first asked for; those in ``reserved`` are not used."""

    def __init__(self, reserved: Sequence[str] = ()):
        self._names: dict[Var, str] = {}
        self._reserved = frozenset(reserved)
        self._next = 0

    def __getitem__(self, var: Var) -> str:
        name = self._names.get(var)
        if name is None:
            name = self._names[var] = "_" if type(var) is DropVar else self._fresh()
        return name

    def _fresh(self) -> str:
        while True:
            name = _letters(self._next)
            self._next += 1
            if name not in self._reserved:
                return name

    def share(self, outer: Sequence, inner: Sequence) -> None:
        """Let the variables of an inner jaxpr print like those they stand for, as far as that is unambiguous."""
        taken = set()
        for x, v in zip(outer, inner, strict=False):
            if type(x) is Literal or type(v) is Literal or v in self._names:
                continue
            name = self[x]
            if name != "_" and name not in taken:
                taken.add(name)
                self._names[v] = name

    def drop(self, variables) -> None:
        """Print these, which nobody reads, as ``_``."""
        for v in variables:
            self._names[v] = "_"


# --- Atoms ---


def write_literal(x: Literal) -> str:
    """``2.0:f32[]``: the value as its dtype holds it, then the type."""
    return f"{_literal_value(x)}:{x.aval.str_short(True)}"


def _literal_value(x: Literal) -> str:
    if np.shape(x.val):
        return "[...]"
    dtype = x.aval.dtype
    if not isinstance(dtype, np.dtype) or (dtype.kind == "V" and dtype.names is not None):
        return str(x.val)
    with np.errstate(all="ignore"):
        return str(dtype.type(x.val).item())


# --- Equations and jaxprs ---


def _jaxprs_of(value: Any) -> tuple[Jaxpr, ...]:
    """The jaxprs a parameter value consists of: one, a tuple of them, or none."""
    kind = type(value)
    if kind is ClosedJaxpr:
        return (value.jaxpr,)
    if kind is Jaxpr:
        return (value,)
    if kind is tuple and value and all(isinstance(x, (Jaxpr, ClosedJaxpr)) for x in value):
        return tuple(x.jaxpr if isinstance(x, ClosedJaxpr) else x for x in value)
    if isinstance(value, ClosedJaxpr):
        return (value.jaxpr,)
    return (value,) if isinstance(value, Jaxpr) else ()


class _Use:
    """What is known of a jaxpr inside the program: how often it stands there, and the jaxprs in it."""

    __slots__ = ("inner", "jaxpr", "name", "repeated")

    def __init__(self, jaxpr: Jaxpr):
        self.jaxpr = jaxpr
        self.name: str | None = None
        self.repeated = False
        self.inner: list[_Use] = []


def _written_apart(top: Jaxpr) -> dict[int, tuple[str, Jaxpr]]:
    """Jaxprs to write under a name: id -> (name, jaxpr), nearest to the surface first.

    Those in a jaxpr that is used twice are themselves used twice.
    """
    found: dict[int, _Use] = {}
    queue = deque([_Use(top)])
    while queue:
        outer = queue.popleft()
        for eqn in outer.jaxpr.eqns:
            for value in eqn.params.values():
                for jaxpr in _jaxprs_of(value):
                    use = found.get(id(jaxpr))
                    if use is None:
                        use = found[id(jaxpr)] = _Use(jaxpr)
                        queue.append(use)
                    else:
                        use.repeated = True
                    outer.inner.append(use)
                    name = eqn.params.get("name")
                    if use.name is None and isinstance(name, str):
                        use.name = name
    todo = [use for use in found.values() if use.repeated]
    while todo:
        for use in todo.pop().inner:
            if not use.repeated:
                use.repeated = True
                todo.append(use)
    names = _Distinct()
    return {
        key: (names.new(use.name), use.jaxpr)
        for key, use in found.items()
        if use.repeated or len(use.jaxpr.eqns) > _LONGEST_INLINE
    }


class _Distinct:
    """Names for jaxprs: ``f``, ``f1``, ``f2``, ..."""

    def __init__(self):
        self.taken: set[str] = set()
        self.clashes: dict[str, int] = {}

    def new(self, wanted: str | None) -> str:
        wanted = (wanted or "jaxpr").strip("<>")
        name = wanted = wanted if notation.is_bare(wanted) else "jaxpr"
        while name in self.taken:
            self.clashes[wanted] = n = self.clashes.get(wanted, 0) + 1
            name = f"{wanted}{n}"
        self.taken.add(name)
        return name


class _Writer:
    """Writes jaxprs into a document. Jaxprs in jaxprs are generators run by `_run`, so depth costs no stack."""

    def __init__(self, document: Document, names: Names, apart: dict[int, tuple[str, Jaxpr]], settings: _Settings):
        self.doc, self.names, self.settings = document, names, settings
        self.apart = {key: name for key, (name, _) in apart.items()}
        self.apart_names = frozenset(self.apart.values())

    def jaxpr(self, jaxpr: Jaxpr) -> Iterator[Iterator]:
        doc = self.doc
        doc.open()
        doc.indent()
        doc.text("{ ")
        doc.text("lambda ", KEYWORD)
        self.binders(jaxpr.constvars)
        doc.text("; ")
        self.binders(jaxpr.invars)
        doc.text(". ")
        doc.text("let", KEYWORD)
        doc.indent()
        doc.break_()
        for i, eqn in enumerate(jaxpr.eqns):
            if i:
                doc.break_("; ")
            yield from self.eqn(eqn)
        doc.dedent()
        doc.break_()
        doc.text("in ", KEYWORD)
        doc.text("(")
        self.filled([self.atom(x) + "," for x in jaxpr.outvars[:-1]] + [self.atom(x) for x in jaxpr.outvars[-1:]])
        doc.text(",)" if len(jaxpr.outvars) == 1 else ")")
        if self.settings.effects:
            doc.text(f" : {{ {', '.join(sorted(map(str, jaxpr.effects)))} }}")
        doc.dedent()
        doc.text(" }")
        doc.close()

    def eqn(self, eqn: Eqn) -> Iterator[Iterator]:
        params = eqn.params
        notes = self.notes(eqn) if self.settings.source_info or self.settings.name_stack else ()
        if not params:
            self.simple_eqn(eqn, (), notes)
            return
        form = eqn.primitive.notation if self.settings.notations else PLAIN
        if form is PLAIN:
            visible = sorted(params) if len(params) > 1 else list(params)
        else:
            visible = form.visible(params, [x.aval for x in eqn.invars], [v.aval for v in eqn.outvars])
        inner = [_jaxprs_of(params[k]) for k in visible]
        if not any(inner):
            self.simple_eqn(eqn, [f"{k}={self.value(form, k, params[k])}" for k in visible], notes)
            return
        if form.call is not None and form.call in visible:
            called = _jaxprs_of(params[form.call])
            if len(called) == 1 and id(called[0]) not in self.apart:
                self.names.share(eqn.invars, called[0].invars)
                self.names.share(eqn.outvars, called[0].outvars)
        doc = self.doc
        self.results(doc, eqn)
        doc.note(notes)
        doc.text(eqn.primitive.name)
        doc.open()
        doc.text("[")
        doc.indent()
        doc.break_("")
        for i, (k, jaxprs) in enumerate(zip(visible, inner, strict=True)):
            if i:
                doc.break_(" ")
            if not jaxprs:
                doc.text(f"{k}={self.value(form, k, params[k])}")
                continue
            doc.text(f"{k}=")
            if isinstance(params[k], tuple):
                yield from self.jaxpr_tuple(jaxprs)
            else:
                yield from self.jaxpr_or_name(jaxprs[0])
        doc.dedent()
        doc.break_("")
        doc.text("]")
        doc.close()
        self.operands(doc, [self.atom(x) for x in eqn.invars])

    def jaxpr_tuple(self, jaxprs: Sequence[Jaxpr]) -> Iterator[Iterator]:
        doc = self.doc
        doc.open()
        doc.text("(")
        doc.indent()
        doc.break_("")
        for i, jaxpr in enumerate(jaxprs):
            if i:
                doc.break_(" ")
            yield from self.jaxpr_or_name(jaxpr)
        doc.dedent()
        doc.break_("")
        doc.text(")")
        doc.close()

    def jaxpr_or_name(self, jaxpr: Jaxpr) -> Iterator[Iterator]:
        name = self.apart.get(id(jaxpr))
        if name is None:
            yield self.jaxpr(jaxpr)
        else:
            self.doc.text(name)

    def simple_eqn(self, eqn: Eqn, params: Sequence[str], notes: tuple[str, ...]) -> None:
        """An equation without jaxprs inside: almost always one line, so laid out only if it is too long for one."""
        names = self.names
        typed = self.settings.print_shapes
        left = [f"{names[v]}:{v.aval.str_short(True)}" if typed else names[v] for v in eqn.outvars]
        right = [self.atom(x) for x in eqn.invars]

        def write(doc: Document) -> None:
            self.results(doc, eqn)
            doc.note(notes)
            doc.text(eqn.primitive.name)
            if params:
                doc.open()
                doc.text("[")
                doc.indent()
                for i, text in enumerate(params):
                    doc.break_(" " if i else "")
                    doc.text(text)
                doc.dedent()
                doc.break_("")
                doc.text("]")
                doc.close()
            self.operands(doc, right)

        if self.settings.color:
            write(self.doc)
            return
        head = f"{' '.join(left)} = {eqn.primitive.name}" if left else eqn.primitive.name
        if params:
            head += f"[{' '.join(params)}]"
        self.doc.leaf(f"{head} {' '.join(right)}", notes, write)

    def results(self, doc: Document, eqn: Eqn) -> None:
        if eqn.outvars:
            self.binders(eqn.outvars, doc)
            doc.text(" = ")

    def operands(self, doc: Document, atoms: Sequence[str]) -> None:
        doc.text(" ")
        self.filled(atoms, doc)

    def binders(self, variables: Sequence[Var], doc: Document | None = None) -> None:
        """Variables with their types, filling lines."""
        doc = doc or self.doc
        doc.indent()
        for i, v in enumerate(variables):
            if i:
                doc.soft_space()
            doc.text(self.names[v])
            if self.settings.print_shapes:
                doc.text(f":{v.aval.str_short(True)}", TYPE)
        doc.dedent()

    def filled(self, words: Sequence[str], doc: Document | None = None) -> None:
        doc = doc or self.doc
        doc.indent()
        for i, word in enumerate(words):
            if i:
                doc.soft_space()
            doc.text(word)
        doc.dedent()

    def atom(self, x) -> str:
        return write_literal(x) if type(x) is Literal else self.names[x]

    def value(self, form: notation.Notation, key: str, value: Any) -> str:
        if key in form.functions:
            return notation.function_name(value)
        if key in form.spelled:
            return form.spelled[key][0](value)
        if type(value) is str:
            if key == "name":
                return value if notation.BARE_NAME.fullmatch(value) and value != "None" else repr(value)
            if value in self.apart_names:
                return repr(value)
        return notation.write_value(value)

    def notes(self, eqn: Eqn) -> tuple[str, ...]:
        """What to write in the margin."""
        source = eqn.source
        where = (str(SourceInfo(None if source is None else source[:2])),) if self.settings.source_info else ()
        return (*where, f"[{name_stack(source)}]") if self.settings.name_stack else where


def _run(generator: Iterator) -> None:
    stack = [generator]
    while stack:
        inner = next(stack[-1], None)
        if inner is None:
            stack.pop()
        else:
            stack.append(inner)


def _unread(jaxpr: Jaxpr) -> Iterator[Var]:
    read = {x for x in jaxpr.outvars if type(x) is not Literal}
    for eqn in jaxpr.eqns:
        read.update(x for x in eqn.invars if type(x) is not Literal)
    return (v for eqn in jaxpr.eqns for v in eqn.outvars if v not in read)


def write_jaxpr(jaxpr: Jaxpr, settings: _Settings = _PLAIN_SETTINGS, width: int = WIDTH) -> str:
    """The text of a whole program."""
    apart = _written_apart(jaxpr)
    document = Document()
    names = Names([name for name, _ in apart.values()])
    names.drop(_unread(jaxpr))
    writer = _Writer(document, names, apart, settings)
    for name, inner in apart.values():
        document.text(f"let {name} = ")
        _run(writer.jaxpr(inner))
        document.text(" in")
        document.break_()
    _run(writer.jaxpr(jaxpr))
    return document.format(width, settings.color)


def write_eqn(eqn: Eqn, names: Names | None = None, width: int = WIDTH) -> str:
    """The text of one equation; variables are named by ``names``, or else afresh."""
    document = Document()
    names = Names() if names is None else names
    _run(_Writer(document, names, {}, _PLAIN_SETTINGS).eqn(eqn))
    return document.format(width)


# --- The methods ---


def pretty_print(
    self,
    *,
    source_info: bool = False,
    print_shapes: bool = True,
    name_stack: bool = False,
    custom_pp_eqn_rules: bool = True,
    print_effects: bool = False,
    width: int | None = None,
    use_color: bool | None = None,
) -> str:
    """The program as text.

    Args:
      source_info: beside each equation, the line of the program it came from.
      print_shapes: write the types of variables.
      name_stack: beside each equation, the name scopes it was traced in.
      custom_pp_eqn_rules: let primitives leave out parameters that go without saying. False writes every parameter.
      print_effects: after the results, the effects of the program.
      width: of the lines, 80 by default.
      use_color: color keywords and types for a terminal.
    """
    jaxpr = self.jaxpr if isinstance(self, ClosedJaxpr) else self
    settings = _Settings(
        print_shapes, source_info, name_stack, custom_pp_eqn_rules, print_effects, color=bool(use_color)
    )
    return write_jaxpr(jaxpr, settings, WIDTH if width is None else width)


def _as_text(self) -> str:
    return write_jaxpr(self.jaxpr if isinstance(self, ClosedJaxpr) else self)


def _as_html(self) -> str:
    text = _as_text(self).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<pre>{text}</pre>"


def _for_ipython(self, printer, cycle) -> None:
    printer.text(_as_text(self))


def _attach(cls: type, methods: dict[str, Callable]) -> None:
    for name, method in methods.items():
        setattr(cls, name, method)


for _cls in (Jaxpr, ClosedJaxpr):
    _attach(
        _cls,
        {
            "pretty_print": pretty_print,
            "__repr__": _as_text,
            "__str__": _as_text,
            "_repr_html_": _as_html,
            "_repr_pretty_": _for_ipython,
        },
    )
_attach(Eqn, {"__repr__": write_eqn, "__str__": write_eqn})
