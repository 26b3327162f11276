"""Symbolic shapes from text, and the sizes that the arguments of a call give to their variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from addax.core import tree
from addax.core.sizes import is_symbolic
from addax.core.symbolic import Dim, Scope, substitute
from addax.core.symbolic_text import read_shape
from addax.ops.dimension import dim_as_value as dim_as_value  # what a size is in a program
from addax.transforms.stages import ShapeDtypeStruct, aval_of_spec

SymbolicScope = Scope


def symbolic_shape(
    shape_spec: str | None,
    *,
    constraints: Sequence[str] = (),
    scope: SymbolicScope | None = None,
    like: Sequence[Any] | None = None,
) -> tuple[Any, ...]:
    """A shape with symbolic sizes.

    Args:
      shape_spec: sizes with commas, such as ``"a, 2*b, 3"``. A size is built of integers, variables, ``+ - * ^``,
        ``floordiv(a, 2)``, ``mod(a, 2)``, ``max(a, b)``, ``min(a, b)``. ``_`` stands for the size in ``like``, and ``...``
        for all that follow there. None is ``"..."``.
      constraints: what is known of the variables, see `SymbolicScope`. Variables are always at least 1.
      scope: the scope of the variables; by default a new one. Sizes of different scopes do not mix.
      like: a shape (not an array) for ``_`` and ``...``.

    Raises:
      ValueError: naming the column of a mistake in the text.

    >>> from addax import export
    >>> a, b = export.symbolic_shape("a, 2*b")
    >>> a * b // a, (a + b) * b, b >= 2
    (2*b, 2*a*b + 4*b^2, True)
    """
    if scope is not None and constraints:
        raise ValueError(
            "symbolic_shape: give either a scope or constraints, which belong to a scope: SymbolicScope(...)."
        )
    if shape_spec is not None and not isinstance(shape_spec, str):
        raise TypeError(f"symbolic_shape: expected a text such as 'a, 2*b', got {shape_spec!r}")
    text = "..." if shape_spec is None else shape_spec
    shape = tuple(getattr(like, "shape", like)) if like is not None else None
    return read_shape(text, Scope(constraints) if scope is None else scope, shape)


def symbolic_args_specs(
    args: Any, shapes_specs: Any, constraints: Sequence[str] = (), scope: SymbolicScope | None = None
) -> Any:
    """`ShapeDtypeStruct`s for arguments, with the shapes that texts give them and the dtypes that they have.

    Args:
      args: a pytree of arrays or `ShapeDtypeStruct`s.
      shapes_specs: one text (or None, for the shape as it is) for all, or a pytree of texts that is a prefix of ``args``;
        see `symbolic_shape`.
      constraints, scope: as in `symbolic_shape`; all texts share one scope.

    >>> import addax.numpy as jnp
    >>> from addax import export
    >>> export.symbolic_args_specs((jnp.ones((3, 4)), jnp.ones(4)), ("a, b", "b"))
    (ShapeDtypeStruct(shape=(a, b), dtype=float32), ShapeDtypeStruct(shape=(b,), dtype=float32))
    """
    if scope is not None and constraints:
        raise ValueError("symbolic_args_specs: give either a scope or constraints, which belong to a scope.")
    scope = Scope(constraints) if scope is None else scope
    specs = tree.broadcast(shapes_specs, args, is_leaf=lambda x: x is None or isinstance(x, str))
    leaves, treedef = tree.flatten(args)
    texts = tree.leaves(specs, is_leaf=lambda x: x is None)
    out = []
    for x, text in zip(leaves, texts, strict=True):
        aval = aval_of_spec(x)
        shape = symbolic_shape(text, scope=scope, like=aval.shape)
        out.append(ShapeDtypeStruct(shape, aval.dtype, weak_type=aval.weak_type))
    return treedef.unflatten(out)


def is_symbolic_dim(p: Any) -> bool:
    """Whether a size of a shape is symbolic.

    >>> from addax import export
    >>> [export.is_symbolic_dim(d) for d in export.symbolic_shape("a, 3")]
    [True, False]
    """
    return is_symbolic(p)


# ---------------------------------------------------------------------------------------------------------------------
# From the shapes of arguments to the values of variables


class Equations:
    """``size in the specification = size of the argument``, for all dimensions of all arguments.

    Solved one variable at a time: an equation that is linear in its only unknown variable gives its value.

    Args:
      names: of the arguments, as in ``args[0]['w']``.
      shapes: their specifications.

    Raises:
      ValueError: if the variables cannot be found that way.
    """

    def __init__(self, names: Sequence[str], shapes: Sequence[tuple[Any, ...]]):
        self.names, self.shapes = names, shapes
        sizes = [(i, k, d) for i, shape in enumerate(shapes) for k, d in enumerate(shape) if isinstance(d, Dim)]
        self.scope = sizes[0][2].scope if sizes else None
        self.steps: list[tuple[str, int, Any, int, int]] = []  # variable, its coefficient, the rest, argument, axis
        known: set[str] = set()
        left = sizes
        progress = True
        while progress:
            progress, todo, left = False, left, []
            for i, k, d in todo:
                found = _linear(d, known)
                if found is None:
                    left.append((i, k, d))
                elif found:
                    self.steps.append((*found, i, k))
                    known.add(found[0])
                    progress = True
        missing = sorted({v for _, _, d in sizes for v in d.variables()} - known)
        if missing:
            where = ", ".join(f"'{d}' ({self.place(i, k)})" for i, k, d in left)
            raise ValueError(
                f"Cannot solve for the dimension variables {', '.join(missing)}: the arguments' shapes give only {where}. A "
                f"variable must stand alone, maybe times and plus integers or known variables, in one size.{self.where()}"
            )

    def place(self, i: int, k: int) -> str:
        return f"{self.names[i]}.shape[{k}]"

    def where(self) -> str:
        specs = ", ".join(
            f"{n}.shape = {_shown(s)}" for n, s in zip(self.names, self.shapes, strict=True) if any(map(is_symbolic, s))
        )
        return f" The specifications are: {specs}." if specs else ""

    def solve(self, shapes: Sequence[tuple[Any, ...]], fun_name: str) -> dict[str, Any]:
        """The values of the variables for arguments of these shapes, which may be symbolic themselves.

        Raises:
          ValueError: naming the argument, the axis and the equation that does not hold.
        """
        mismatch = f"Input shapes do not match the symbolic shapes that {fun_name!r} was exported for: "
        for name, want, got in zip(self.names, self.shapes, shapes, strict=True):
            if len(want) != len(got):
                raise ValueError(f"Rank mismatch for {name}: expected {_shown(want)} and called with {tuple(got)}.")
        values: dict[str, Any] = {}
        found: list[str] = []
        for variable, c, rest, i, k in self.steps:
            size, wanted = shapes[i][k], self.shapes[i][k]
            value, remainder = divmod(size - substitute(rest, values), c)
            here = f"{self.place(i, k)} (= {size}) and the specification '{wanted}'"
            if is_symbolic(remainder) or remainder != 0:
                raise ValueError(f"{mismatch}no integer '{variable}' fits {here}.{self.so_far(found)}{self.where()}")
            if not is_symbolic(value) and value < 1:
                raise ValueError(
                    f"{mismatch}{here} give '{variable}' = {value}, and dimension variables are at least 1."
                    f"{self.so_far(found)}{self.where()}"
                )
            values[variable] = value
            found.append(f"'{variable}' = {value} from {self.place(i, k)}")
        for i, shape in enumerate(self.shapes):
            for k, d in enumerate(shape):
                expected = substitute(d, values)
                if expected != shapes[i][k]:
                    computed = f"'{d}' (= {expected})" if is_symbolic(d) else f"{d}"
                    raise ValueError(
                        f"{mismatch}found inconsistency between {self.place(i, k)} (= {shapes[i][k]}) and the "
                        f"specification {computed}.{self.so_far(found)}{self.where()}"
                    )
        self.check_constraints(values, mismatch, found)
        return values

    def check_constraints(self, values: dict[str, Any], mismatch: str, found: list[str]) -> None:
        for text, relation, left, right in self.scope.constraints if self.scope is not None else ():
            try:
                a, b = substitute(left, values), substitute(right, values)
            except KeyError:  # about a variable that no argument has
                continue
            holds = a == b if relation == "==" else a >= b
            if not holds:
                raise ValueError(
                    f"{mismatch}the constraint {text!r} does not hold: '{left}' is {a}, '{right}' is {b}."
                    f"{self.so_far(found)}{self.where()}"
                )

    @staticmethod
    def so_far(found: list[str]) -> str:
        return f" Obtained {', '.join(found)}." if found else ""


def _shown(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _linear(d: Dim, known: set[str]) -> tuple[str, int, Any] | tuple[()] | None:
    """``(v, c, rest)`` if d = c * v + rest with v the only unknown; () if all is known; None if neither."""
    unknown = d.variables() - known
    if not unknown:
        return ()
    if len(unknown) > 1:
        return None
    (v,) = unknown
    c = d.terms.get(((v, 1),), 0)
    if not c:
        return None
    rest = d - c * d.scope.variable(v)
    return None if isinstance(rest, Dim) and v in rest.variables() else (v, c, rest)
