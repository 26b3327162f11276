"""Ahead of time: ``jit(f).trace(...)``, ``.lower()``, ``.compile()``, and the specifications they accept."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace
from typing import Any

from addax.core import dtypes, tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.execution import CompileOptions, compile_program
from addax.core.jaxpr import ClosedJaxpr
from addax.core.printer import pretty_print
from addax.core.sharding import NamedSharding, Sharding, as_sharding
from addax.core.sizes import as_size
from addax.core.trace import Tracer


class ShapeDtypeStruct:
    """Shape and dtype of an array that need not exist, and where it is, if that matters. Immutable.

    Args:
      shape: sizes of the dimensions; they may be symbolic (`addax.export.symbolic_shape`).
      dtype: a dtype, or anything that names one.
      sharding: a `Sharding`, or a `PartitionSpec` for the mesh in scope.
      weak_type: whether the array bends to others in promotion, as Python scalars do.
      vma: mesh axes over which it varies, inside `shard_map`.

    Raises:
      TypeError: if the sharding is none, or the shape is not of integers.
      ValueError: if there is no dtype, or the sharding is for arrays of higher rank.

    >>> import addax, numpy as np
    >>> spec = addax.ShapeDtypeStruct((2, 3), np.float32)
    >>> spec, spec.update(shape=(6,)).size
    (ShapeDtypeStruct(shape=(2, 3), dtype=float32), 6)
    """

    __slots__ = ("dtype", "shape", "sharding", "vma", "weak_type")

    shape: tuple[Any, ...]
    dtype: Any
    sharding: Sharding | None
    weak_type: bool
    vma: frozenset
    is_ref = False

    def __init__(
        self, shape, dtype, *, sharding=None, weak_type: bool = False, vma=None, is_ref: bool = False,
        manual_axis_type=None,
    ):  # fmt: skip
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype must be specified.")
        if is_ref:
            raise NotImplementedError("ShapeDtypeStruct: there are no references in addax; is_ref must be False.")
        if manual_axis_type is not None:
            raise NotImplementedError("ShapeDtypeStruct: say over which mesh axes the array varies with vma=.")
        try:
            sizes = tuple(map(as_size, shape))
        except TypeError:
            raise TypeError(f"ShapeDtypeStruct: the shape must be a sequence of integers, got {shape!r:.100}") from None
        put = object.__setattr__
        put(self, "shape", sizes)
        put(self, "dtype", dtypes.as_dtype(dtype))
        put(self, "sharding", None if sharding is None else _sharding_for(sharding, sizes))
        put(self, "weak_type", bool(weak_type))
        put(self, "vma", frozenset() if vma is None else frozenset(vma))

    @classmethod
    def like(cls, x) -> ShapeDtypeStruct:
        """The description of an array."""
        aval = aval_of_spec(x)
        sharding = getattr(x, "sharding", None)
        if isinstance(sharding, NamedSharding) and sharding.mesh.empty:
            sharding = None
        return cls(aval.shape, aval.dtype, sharding=sharding, weak_type=aval.weak_type, vma=aval.vma)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object: this ShapeDtypeStruct has shape ()")
        return self.shape[0]

    def update(self, **changes) -> ShapeDtypeStruct:
        """The same description with some of ``shape``, ``dtype``, ``sharding``, ``weak_type``, ``vma`` replaced.

        Raises:
          TypeError: for other names, which JAX ignores.
        """
        fields = {name: getattr(self, name) for name in self.__slots__} | changes
        return ShapeDtypeStruct(fields.pop("shape"), fields.pop("dtype"), **fields)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError(
            f"Cannot reassign attributes ({name}) of immutable ShapeDtypeStruct objects: spec.update({name}=...) is a new one."
        )

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self):
        return _rebuild, (self.shape, self.dtype, self.sharding, self.weak_type, self.vma)

    def __repr__(self) -> str:
        sharding = f", sharding={self.sharding}" if self.sharding is not None else ""
        weak = ", weak_type=True" if self.weak_type else ""
        vma = f", vma={set(self.vma)}" if self.vma else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={dtypes.dtype_name(self.dtype)}{sharding}{weak}{vma})"

    __str__ = __repr__

    def __eq__(self, other) -> bool:
        return isinstance(other, ShapeDtypeStruct) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.sharding, self.weak_type, self.vma))


def _rebuild(shape, dtype, sharding, weak_type, vma) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(shape, dtype, sharding=sharding, weak_type=weak_type, vma=vma)


def _sharding_for(x: Any, shape: tuple[Any, ...]) -> Sharding:
    sharding = as_sharding(x, "ShapeDtypeStruct")
    if isinstance(sharding, NamedSharding) and len(sharding.spec) > len(shape):
        raise ValueError(
            f"ShapeDtypeStruct: the sharding {sharding} is for values of rank at least {len(sharding.spec)}, the shape "
            f"{shape} has rank {len(shape)}."
        )
    return sharding


def aval_of_spec(x) -> ShapedArray:
    """The aval of an array, or of anything with a shape and a dtype (`ShapeDtypeStruct`)."""
    if isinstance(x, ShapedArray):
        return x
    try:
        return get_aval(x)
    except TypeError:
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return ShapedArray(
                x.shape,
                dtypes.canonicalize_dtype(x.dtype),
                getattr(x, "weak_type", False),
                getattr(x, "vma", frozenset()),
            )
        raise


class ArgInfo:
    """What is known of an argument: its type, and whether its memory is donated."""

    __slots__ = ("_aval", "donated")

    def __init__(self, aval: ShapedArray, donated: bool):
        self._aval, self.donated = aval, donated

    shape = property(lambda self: self._aval.shape)
    dtype = property(lambda self: self._aval.dtype)

    def __repr__(self) -> str:
        return f"ArgInfo(_aval={self._aval!r}, donated={self.donated})"

    def __eq__(self, other) -> bool:
        return isinstance(other, ArgInfo) and (self._aval, self.donated) == (other._aval, other.donated)

    def __hash__(self) -> int:
        return hash((self._aval, self.donated))


class _Stage:
    """What all stages know: the structures and types of arguments and results."""

    _traced: Traced

    in_tree = property(lambda self: self._traced.in_tree)
    out_tree = property(lambda self: self._traced.out_tree)

    @property
    def in_avals(self):
        """The types of the arguments, as ``(args, kwargs)``."""
        return self.in_tree.unflatten(self._traced._flat_avals)

    @property
    def out_avals(self):
        """The types of the results, in their tree."""
        return self.out_tree.unflatten(self._traced.jaxpr.out_avals)

    @property
    def args_info(self):
        """An `ArgInfo` for each argument, as ``(args, kwargs)``."""
        donated = set(self.donate_argnums)
        return self.in_tree.unflatten([ArgInfo(a, i in donated) for i, a in enumerate(self._traced._flat_avals)])

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """The numbers of the leaves of the arguments whose memory the program may reuse."""
        return tuple(self._traced._donated)

    @property
    def out_info(self):
        """Shapes and dtypes of the results, in their tree."""
        return self.out_tree.unflatten([ShapeDtypeStruct.like(a) for a in self._traced.jaxpr.out_avals])


class Traced(_Stage):
    """A traced function, not yet lowered. ``jaxpr`` is its program."""

    def __init__(
        self, jaxpr: ClosedJaxpr, in_tree, out_tree, in_avals, fun_name: str, donated, options: CompileOptions
    ):
        self.jaxpr, self._in_tree, self._out_tree, self._flat_avals = jaxpr, in_tree, out_tree, tuple(in_avals)
        self.fun_name, self._donated, self._options = fun_name, donated, options

    in_tree = property(lambda self: self._in_tree)
    out_tree = property(lambda self: self._out_tree)
    _traced = property(lambda self: self)  # type: ignore[assignment]

    def lower(self, **_) -> Lowered:
        """Lower it, for the devices that its arguments and options say. For other platforms there is `addax.export`."""
        return Lowered(self)


class Lowered(_Stage):
    """A lowered program; ``as_text`` shows any stage of it."""

    def __init__(self, traced: Traced):
        self._traced = traced
        self._compiled: Any = None

    def _program(self):
        if self._compiled is None:
            options = replace(self._traced._options, donated=self._traced._donated)
            self._compiled = compile_program(self._traced.jaxpr, options)
        return self._compiled

    def as_text(self, dialect: str | None = None, *, hlo_version: int | None = None, debug_info: bool = False) -> str:
        """The program at a stage: "jaxpr", "simplified", "loops", "llvm" or "asm"; "stablehlo", or "hlo".

        Args:
          debug_info: with the lines and the `named_scope`s that operations come from (in "jaxpr" and "stablehlo").
        """
        if dialect in (None, "jaxpr"):
            closed = self._traced.jaxpr
            return pretty_print(closed, source_info=True, name_stack=True) if debug_info else str(closed)
        return self._program().as_text(dialect, **({"debug_info": True} if debug_info else {}))

    def compiler_ir(self, dialect: str | None = None) -> str:
        """The program as the compiler gets it: `as_text`, by default in StableHLO. JAX returns an object of its compiler."""
        return self.as_text(dialect or "stablehlo")

    def compile(self, compiler_options: dict[str, Any] | None = None) -> Compiled:
        """The executable program. ``compiler_options`` are added to those of `jit`."""
        if not compiler_options:
            return Compiled(self)
        traced = copy(self._traced)
        both = dict(traced._options.compiler_options) | compiler_options
        traced._options = replace(traced._options, compiler_options=tuple(sorted(both.items())))
        return Compiled(Lowered(traced))

    def cost_analysis(self) -> dict[str, float]:
        """See `Compiled.cost_analysis`."""
        return self._program().cost_analysis()


class Compiled(_Stage):
    """A compiled program for fixed types; calling it checks the types and runs."""

    def __init__(self, lowered: Lowered):
        self._traced = lowered._traced
        self._program = lowered._program()

    @property
    def input_shardings(self):
        """Where the arguments are to be, as ``(args, kwargs)``."""
        return self.in_tree.unflatten(self._program.in_shardings)

    @property
    def output_shardings(self):
        """Where the results are, in their tree."""
        return self.out_tree.unflatten(self._program.out_shardings)

    def runtime_executable(self) -> Any:
        """What the engine runs."""
        return self._program.executable

    def as_text(self, dialect: str = "asm") -> str:
        """The program at a stage, see `Lowered.as_text`."""
        return self._program.as_text(dialect)

    def cost_analysis(self) -> dict[str, float]:
        """What one run costs: "flops", "transcendentals" and "bytes accessed", with all turns of loops, which JAX counts
        once. Loops whose number of turns cannot be seen are counted once and numbered under "loops of unknown length".

        >>> import addax, addax.numpy as jnp
        >>> f = addax.jit(lambda x: addax.lax.fori_loop(0, 10, lambda i, c: jnp.sin(c) @ x, x))
        >>> cost = f.lower(jnp.ones((8, 8))).compile().cost_analysis()
        >>> cost["transcendentals"], cost["flops"] >= 10 * 2 * 8**3
        (640.0, True)
        """
        return self._program.cost_analysis()

    def memory_analysis(self) -> Any:
        """How much memory the program takes: its ``argument_size_in_bytes``, ``output_size_in_bytes``,
        ``temp_size_in_bytes``, ``alias_size_in_bytes``, ``constant_size_in_bytes``, ``generated_code_size_in_bytes``, and
        ``peak_memory_in_bytes``. None if the engine does not plan memory.

        >>> import addax, addax.numpy as jnp
        >>> plan = addax.jit(lambda x: jnp.tanh(x @ x) @ x).lower(jnp.ones((64, 64))).compile().memory_analysis()
        >>> plan.temp_size_in_bytes, plan.peak_memory_in_bytes
        (16384, 49152)
        """
        return self._program.memory_analysis()

    def call(self, *args, **kwargs):
        """The same as calling it."""
        return self(*args, **kwargs)

    def __call__(self, *args, **kwargs):
        leaves, in_tree = tree.flatten((args, kwargs))
        for x in leaves:
            if isinstance(x, Tracer):
                raise TypeError(
                    "Cannot apply addax transformations to a function lowered and compiled for a particular signature: it "
                    f"was called with the tracer {x}. Differentiate, batch or compile the jitted function instead."
                )
        if in_tree != self.in_tree:
            raise TypeError(
                "Function compiled with input pytree does not match the input pytree it was called with:\n"
                f"compiled for {self.in_tree}\ncalled with  {in_tree}"
            )
        for i, (x, want) in enumerate(zip(leaves, self._traced._flat_avals, strict=True)):
            got = get_aval(x)
            if (got.shape, got.dtype) != (want.shape, want.dtype):
                raise TypeError(
                    f"Argument types differ from the types for which this computation was compiled: argument {i} is "
                    f"{got.str_short(False)}, compiled for {want.str_short(False)}. Call the jitted function instead, "
                    "or lower again for these types."
                )
        return self.out_tree.unflatten(self._program.run(leaves))
