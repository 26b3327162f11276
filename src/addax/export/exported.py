"""`Exported`: a traced function that outlives its Python code, and `export`, which makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.checker import check_jaxpr, same_type
from addax.core.dtypes import float0
from addax.core.errors import JaxprTypeError, near_miss
from addax.core.execution import CompileOptions, shardings_of
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.sharding import NamedSharding
from addax.core.sizes import is_symbolic
from addax.core.symbolic import Scope, common_scope, substitute
from addax.core.trace import Tracer
from addax.engines import platforms as _platforms
from addax.engines.xla.inspect import text as _module_text
from addax.export.decode import Decoder
from addax.export.encode import Encoder
from addax.export.format import VERSION, Package, pack
from addax.export.meshes import choose_devices, count_devices
from addax.export.refine import as_data, has_symbols, refine
from addax.export.shapes import Equations
from addax.export.trees import read_tree, write_tree
from addax.extend.core import jaxpr_as_fun
from addax.transforms.autodiff import vjp
from addax.transforms.custom import custom_jvp, custom_vjp
from addax.transforms.flat import jax_array
from addax.transforms.jit import constrain, drop_unused, jit
from addax.transforms.stages import ShapeDtypeStruct, Traced, aval_of_spec

minimum_supported_calling_convention_version = 1
maximum_supported_calling_convention_version = 1


class DisabledSafetyCheck:
    """A check of `export` or `Exported.call` that is left out: `platform`, or that of a `custom_call`."""

    def __init__(self, text: str):
        self._text = text

    @classmethod
    def platform(cls) -> DisabledSafetyCheck:
        """Allow calls on platforms that the function was not exported for."""
        return cls("platform")

    @classmethod
    def custom_call(cls, target_name: str) -> DisabledSafetyCheck:
        """Allow a custom call. addax's programs have none, so this changes nothing; it is there for JAX's programs."""
        return cls(f"custom_call:{target_name}")

    def is_custom_call(self) -> str | None:
        """The name of the custom call that is allowed, if this is about one."""
        return self._text.partition(":")[2] or None

    def __repr__(self) -> str:
        return f"DisabledSafetyCheck({self._text})"

    __str__ = __repr__

    def __eq__(self, other) -> bool:
        return isinstance(other, DisabledSafetyCheck) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class Exported:
    """A function as data: its typed program and all that is needed to call it. Made by `export` and `deserialize`.

    Attributes:
      fun_name: the name of the function.
      in_tree, out_tree: the structures of ``(args, kwargs)`` and of the result.
      in_avals, out_avals: the types of their leaves, maybe with symbolic sizes.
      platforms: where it may be called: of "cpu", "cuda", "tpu".
      nr_devices: for how many devices it is. Its meshes have axes but no devices: those are chosen when it is called.
      ordered_effects, unordered_effects: the side effects of the program.
      disabled_safety_checks: as given to `export`.
      calling_convention_version: 1, the version of the format.
      module_kept_var_idx: the numbers of the arguments that the program reads.
      jaxpr: the program, a `ClosedJaxpr`.
    """

    calling_convention_version = maximum_supported_calling_convention_version

    def __init__(
        self, fun_name: str, jaxpr: ClosedJaxpr, in_tree, out_tree, platforms: tuple[str, ...],
        disabled_checks: tuple[DisabledSafetyCheck, ...], get_vjp: Callable[[], Exported] | None,
        out_avals: Sequence[ShapedArray] | None = None, nr_devices: int | None = None,
    ):  # fmt: skip
        self.fun_name, self.jaxpr, self.in_tree, self.out_tree = fun_name, jaxpr, in_tree, out_tree
        self.in_avals = tuple(jaxpr.in_avals)
        # Cotangents of integers, of type float0, are results that the program does not have.
        self.out_avals = tuple(jaxpr.out_avals if out_avals is None else out_avals)
        self.platforms, self.disabled_safety_checks = platforms, disabled_checks
        self.ordered_effects = tuple(e for e in jaxpr.effects if getattr(e, "ordered", False))
        self.unordered_effects = tuple(e for e in jaxpr.effects if e not in self.ordered_effects)
        self._get_vjp, self._vjp = get_vjp, None
        self._linear_from: int | None = None  # where the cotangents begin, in which a derivative is linear
        self._equations = Equations(self._names(), [a.shape for a in self.in_avals])
        self._instances: dict[Any, Any] = {}
        self._checks_platform = DisabledSafetyCheck.platform() not in disabled_checks
        self.nr_devices = count_devices(jaxpr) if nr_devices is None else nr_devices
        self._call = self._jitted(None)
        self._calls: dict[Any, Any] = {}  # by devices, where there are several

    def __repr__(self) -> str:
        return f"Exported(fun_name={self.fun_name}, ...)"

    __str__ = __repr__

    def _names(self) -> list[str]:
        """``args[0]['w']`` for each leaf of the arguments."""
        leaves = tree.leaves_with_path(self.in_tree.unflatten(range(self.in_tree.num_leaves)))
        return [f"{'args' if path[0].idx == 0 else 'kwargs'}{tree.keystr(path[1:])}" for path, _ in leaves]

    @property
    def module_kept_var_idx(self) -> tuple[int, ...]:
        kept, _ = drop_unused(self.jaxpr)
        return tuple(range(len(self.in_avals))) if kept is None else kept

    # -- calling

    def call(self, *args, **kwargs):
        """Call the function.

        It is compiled for each combination of types, like a jitted function, and the values of symbolic sizes are found then.
        Inside a jitted function it becomes one ``jit`` equation; under `grad` its exported derivative is called, if there is
        one; `vmap` maps over the program.

        Raises:
          ValueError: if the arguments have another structure, dtype or rank than exported for; if their sizes do not
            fulfil the symbolic shapes or the constraints, naming the argument, the axis and the equation; if there is no
            derivative; if the platform is none of `platforms`.
        """
        if self.nr_devices > 1:
            devices = choose_devices(self.fun_name, self.nr_devices, tree.leaves((args, kwargs)))
            key = tuple(devices)
            call = self._calls.get(key)
            if call is None:
                call = self._calls[key] = self._jitted(devices)
            return call(*args, **kwargs)
        if self._checks_platform:
            self._check_platform(tree.leaves((args, kwargs)))
        return self._call(*args, **kwargs)

    def _jitted(self, devices: Any) -> Any:
        def call(*args, **kwargs):
            return self._traced_call(devices, *args, **kwargs)

        call.__name__ = f"call_exported_{self.fun_name}"
        return jit(call)

    def _traced_call(self, devices: Any, /, *args, **kwargs):
        """What `call` compiles, once for each combination of types: the checks are made while it is traced."""
        leaves, in_tree = tree.flatten((args, kwargs))
        if in_tree != self.in_tree:
            raise ValueError(self._structure_message(args, kwargs))
        leaves = [jax_array(x) for x in leaves]
        self._check_dtypes(leaves)
        sizes = self._equations.solve([get_aval(x).shape for x in leaves], self.fun_name)
        outs = iter(self._instance(sizes, devices)(*leaves))
        return self.out_tree.unflatten(
            [_no_tangent(a, sizes) if a.dtype == float0 else next(outs) for a in self.out_avals]
        )

    def _instance(self, sizes: dict[str, Any], devices: Any) -> Any:
        """The program for these sizes and devices, as a function of leaves with the exported derivative."""
        key = tuple(sorted(sizes.items())), None if devices is None else tuple(devices)
        found = self._instances.get(key)
        if found is None:
            open_ = has_symbols(self.jaxpr) or devices is not None
            program = refine(self.jaxpr, sizes, devices) if open_ else self.jaxpr
            run = jaxpr_as_fun(program)
            if self.has_vjp():
                found = self._instances[key] = custom_vjp(run)
                found.defvjp(
                    lambda *leaves: (found(*leaves), leaves),
                    lambda leaves, cts: tuple(self.vjp().call(*leaves, *cts)),
                )
            else:
                n = len(self.in_avals) if self._linear_from is None else self._linear_from
                constant = custom_jvp(lambda x: x)
                constant.defjvp(lambda *_: self.vjp())  # which raises
                found = self._instances[key] = lambda *leaves: run(*map(constant, leaves[:n]), *leaves[n:])
        return found

    def _structure_message(self, args, kwargs) -> str:
        example = self.in_tree.unflatten([0] * self.in_tree.num_leaves)
        errors = [
            f"  - {'args' if path and path[0].idx == 0 else 'kwargs'}{tree.keystr(path[1:])} is {got} in the call and "
            f"{want} when exported, so {why}."
            for path, got, want, why in tree.equality_errors((args, kwargs), example)
        ]
        return (
            "The invocation args and kwargs must have the same pytree structure as when the function "
            f"{self.fun_name!r} was exported, but they have the following structural differences:\n" + "\n".join(errors)
        )

    def _check_dtypes(self, leaves: Sequence[Any]) -> None:
        for i, (x, want) in enumerate(zip(leaves, self.in_avals, strict=True)):
            got = get_aval(x)
            if got.dtype != want.dtype:
                raise ValueError(
                    f"Dtype mismatch for {self._names()[i]}: expected {want.str_short(False)} and called with "
                    f"{got.str_short(False)}. Convert it with astype."
                )

    def _check_platform(self, leaves: Sequence[Any]) -> None:
        placed = next((s for s in shardings_of(leaves) if s is not None), None)
        platform = (_platforms.default_device() if placed is None else next(iter(placed.device_set))).platform
        if platform not in self.platforms:
            raise ValueError(
                f"The exported function {self.fun_name!r} was exported for the platforms {', '.join(self.platforms)}, but it "
                f"is used on {platform!r}. Export it with platforms={[*self.platforms, platform]!r}, or with "
                "disabled_checks=[DisabledSafetyCheck.platform()]."
            )

    # -- derivatives

    def has_vjp(self) -> bool:
        """Whether `vjp` gives the derivative."""
        return self._vjp is not None or self._get_vjp is not None

    def vjp(self) -> Exported:
        """The exported derivative: ``(leaves of the arguments, cotangents of the results) -> cotangents of the leaves``.

        Raises:
          ValueError: if the function was read from a file without it.
        """
        if self._vjp is None:
            if self._get_vjp is None:
                raise ValueError(
                    f"No VJP is available for the exported function {self.fun_name!r}: it was serialized without one. "
                    "Serialize it with exported.serialize(vjp_order=1)."
                )
            self._vjp = self._get_vjp()
        return self._vjp

    # -- as text and as bytes

    def mlir_module(self, platform: str | None = None) -> str:
        """The program in StableHLO, as XLA gets it.

        Raises:
          ValueError: if it has symbolic sizes, which addax resolves before lowering: see `refined`.
        """
        if has_symbols(self.jaxpr):
            raise ValueError(
                f"{self.fun_name!r} has symbolic sizes, {self._equations.where().strip()} addax lowers programs of known "
                "sizes only: exported.refined(*args).mlir_module() is the one for given arguments."
            )
        return _module_text(self.jaxpr, "stablehlo", platform or self.platforms[0])

    def refined(self, *args, **kwargs) -> Exported:
        """The function for the sizes of these arguments (arrays, or `ShapeDtypeStruct`s)."""
        leaves, in_tree = tree.flatten((args, kwargs))
        if in_tree != self.in_tree:
            raise ValueError(self._structure_message(args, kwargs))
        return self._refined(self._equations.solve([aval_of_spec(x).shape for x in leaves], self.fun_name))

    def _refined(self, sizes: dict[str, Any]) -> Exported:
        program = refine(self.jaxpr, sizes) if has_symbols(self.jaxpr) else self.jaxpr
        found = Exported(
            self.fun_name, program, self.in_tree, self.out_tree, self.platforms, self.disabled_safety_checks,
            (lambda: self.vjp()._refined(sizes)) if self.has_vjp() else None,
            [_refined_aval(a, sizes) for a in self.out_avals], self.nr_devices,
        )  # fmt: skip
        found._linear_from = self._linear_from
        return found

    def serialize(self, vjp_order: int = 0) -> bytearray:
        """The function as bytes that `deserialize` reads, here or elsewhere. docs/export.md describes them.

        Args:
          vjp_order: how many times what is read can be differentiated in reverse mode.

        Raises:
          ValueError: if the program calls Python functions, or its arguments have nodes of an unregistered class.

        >>> import addax, addax.numpy as jnp
        >>> from addax import export
        >>> f = export.export(addax.jit(jnp.sin))(1.0)
        >>> float(export.deserialize(f.serialize()).call(0.0))
        0.0
        """
        if not isinstance(vjp_order, int) or vjp_order < 0:
            raise ValueError(f"serialize: vjp_order must be a nonnegative integer, got {vjp_order!r}")
        encoder = Encoder()
        functions = []
        each: Exported = self
        for order in range(vjp_order + 1):
            functions.append(each._document(encoder))
            if order < vjp_order:
                each = each.vjp()
        scope = self._equations.scope
        document = {
            "format": list(VERSION),
            "functions": functions,  # the function, its derivative, the derivative of that...
            "constraints": [] if scope is None else [text for text, *_ in scope.constraints],
            "tables": encoder.tables(),
        }
        return bytearray(pack(document, encoder.constants))

    def _document(self, encoder: Encoder) -> dict[str, Any]:
        return {
            "name": self.fun_name,
            "in_tree": write_tree(self.in_tree),
            "out_tree": write_tree(self.out_tree),
            "platforms": list(self.platforms),
            "devices": self.nr_devices,
            "disabled_checks": [c._text for c in self.disabled_safety_checks],
            "program": encoder.program(self.jaxpr),
            "out_avals": list(map(encoder.aval, self.out_avals)),
        }


def deserialize(blob: bytes | bytearray) -> Exported:
    """The function that `Exported.serialize` wrote. Reading a file of unknown origin is safe: see docs/export.md.

    Raises:
      ValueError: if this is no such data, it is damaged, of a newer version, or needs a primitive, a class or a dtype that
        does not exist here.
    """
    package = Package(blob)
    document = package.document
    try:
        scope = Scope(document["constraints"])
        decoder = Decoder(document["tables"], package.constant, scope)
        found: Exported | None = None
        for row in reversed(document["functions"]):
            program = decoder.programs[row["program"]]
            check_jaxpr(program)
            checks = tuple(map(DisabledSafetyCheck, row["disabled_checks"]))
            in_tree, out_tree = read_tree(row["in_tree"]), read_tree(row["out_tree"])
            out_avals = [decoder.avals[i] for i in row["out_avals"]]
            _check_signature(program, in_tree, out_tree, out_avals)
            function = Exported(
                row["name"], program, in_tree, out_tree, tuple(row["platforms"]), checks, None, out_avals,
                int(row["devices"]),
            )  # fmt: skip
            function._vjp = found
            if found is not None:
                found._linear_from = len(function.in_avals)
            found = function
        assert found is not None
        return found
    except JaxprTypeError as error:
        raise ValueError(f"the data holds a program that is not well-typed: {error}") from error
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError, AssertionError) as error:
        raise ValueError(f"the data is no exported function: {type(error).__name__}: {error}") from error


def default_export_platform() -> str:
    """The platform that `export` is for if it is not told: the one programs run on here.

    >>> from addax import export
    >>> export.default_export_platform()
    'cpu'
    """
    return _platforms.default_platform()


def export(
    fun_jit: Callable, *, platforms: Sequence[str] | None = None, disabled_checks: Sequence[DisabledSafetyCheck] = ()
) -> Callable[..., Exported]:
    """Make a jitted function into data that can be saved, sent elsewhere, and called there without its Python code.

    Args:
      fun_jit: what `jit` returned.
      platforms: where it may be called: of "cpu", "cuda" (or "gpu") and "tpu"; by default the platform of this process.
      disabled_checks: see `DisabledSafetyCheck`.

    Returns:
      a function of arguments (arrays or `ShapeDtypeStruct`s, whose shapes may be symbolic: see `symbolic_shape`) that
      traces ``fun_jit`` for them and returns the `Exported`.

    Raises:
      ValueError: if ``fun_jit`` is not jitted, a platform is unknown, or the symbolic sizes cannot be found from the shapes
        of the arguments.

    JAX exports StableHLO; this exports the jaxpr, which addax compiles where it is called, for the sizes that it is called
    with. So one file serves all platforms, can be mapped by `vmap`, and keeps the lines of the source for error messages.

    >>> import addax, addax.numpy as jnp, numpy as np
    >>> from addax import export
    >>> spec = addax.ShapeDtypeStruct(export.symbolic_shape("batch, 3"), np.float32)
    >>> mean = export.export(addax.jit(lambda x: x.mean(0)))(spec)
    >>> mean.in_avals, mean.out_avals
    ((ShapedArray(float32[batch,3]),), (ShapedArray(float32[3]),))
    >>> mean.call(np.arange(6, dtype=np.float32).reshape(2, 3)).tolist()
    [1.5, 2.5, 3.5]
    """
    if not (callable(fun_jit) and hasattr(fun_jit, "trace")):
        raise ValueError(f"Function to be exported must be the result of `jit` but is: {fun_jit!r}")
    names = [default_export_platform()] if platforms is None else list(platforms)
    for p in names:
        if p not in _platforms.ALIASES:
            raise ValueError(
                f"unknown platform {p!r}: expected some of {', '.join(map(repr, _platforms.ALIASES))}."
                f"{near_miss(p, _platforms.ALIASES)}"
            )
    chosen = tuple(dict.fromkeys(_platforms.ALIASES[p] for p in names))
    if not chosen:
        raise ValueError("export: platforms must name at least one platform")

    def exporter(*args, **kwargs) -> Exported:
        sizes = [n for x in tree.leaves((args, kwargs)) for n in getattr(x, "shape", ()) if is_symbolic(n)]
        if sizes:
            common_scope(*sizes)  # else "n" and "n" would differ
        traced: Traced = fun_jit.trace(*args, **kwargs)  # type: ignore[attr-defined]
        if any(isinstance(c, Tracer) for c in traced.jaxpr.consts):
            raise ValueError(
                f"Cannot export {traced.fun_name!r}: it uses a value of a function that is being traced around it. Pass the "
                "value as an argument, or export outside."
            )
        program = laid_out(traced.jaxpr, traced._options)
        exported = Exported(
            traced.fun_name, as_data(program), traced.in_tree, traced.out_tree, chosen, tuple(disabled_checks),
            lambda: _derivative(exported, program),
        )  # fmt: skip
        return exported

    return exporter


def laid_out(closed: ClosedJaxpr, options: CompileOptions) -> ClosedJaxpr:
    """A program whose arguments and results are where ``in_shardings`` and ``out_shardings`` of `jit` say."""
    ins, outs = (
        [s if isinstance(s, NamedSharding) else None for s in given or [None] * len(avals)]
        for given, avals in ((options.in_shardings, closed.in_avals), (options.out_shardings, closed.out_avals))
    )
    if not any(ins) and not any(outs):
        return closed

    def program(*leaves):
        return constrain(eval_jaxpr(closed.jaxpr, closed.consts, *constrain(leaves, ins)), outs)

    return ClosedJaxpr(*trace_to_jaxpr(program, closed.in_avals, closed.jaxpr.debug_info))


def _derivative(exported: Exported, closed: ClosedJaxpr) -> Exported:
    """The exported derivative of a function, from the program it was traced to: that has the rules the user wrote."""
    n = len(exported.in_avals)
    results = [a.to_tangent() for a in exported.in_avals]

    def pullback(*primals_and_cotangents):
        primals, cotangents = primals_and_cotangents[:n], primals_and_cotangents[n:]

        def of_inexact(*xs):
            given = iter(xs)
            full = [x if a.dtype == float0 else next(given) for x, a in zip(primals, results, strict=True)]
            return eval_jaxpr(closed.jaxpr, closed.consts, *full)

        _, pull = vjp(of_inexact, *(x for x, a in zip(primals, results, strict=True) if a.dtype != float0))
        return list(pull(list(cotangents)))

    pullback.__name__ = f"{exported.fun_name}_vjp"
    specs = [_spec(a) for a in exported.in_avals] + [_spec(a.to_tangent()) for a in exported.out_avals]
    make = export(jit(pullback), platforms=exported.platforms, disabled_checks=exported.disabled_safety_checks)
    found = make(*specs)
    derivative = Exported(
        found.fun_name, found.jaxpr, found.in_tree, tree.structure((0,) * n), found.platforms,
        found.disabled_safety_checks, found._get_vjp, results, exported.nr_devices,
    )  # fmt: skip
    derivative._linear_from = n
    return derivative


def _no_tangent(aval: ShapedArray, sizes: dict[str, Any]) -> np.ndarray:
    return np.zeros(_refined_aval(aval, sizes).shape, float0)


def _refined_aval(aval: ShapedArray, sizes: dict[str, Any]) -> ShapedArray:
    return aval.update(shape=tuple(substitute(d, sizes) for d in aval.shape))


def _check_signature(program: ClosedJaxpr, in_tree, out_tree, out_avals: Sequence[ShapedArray]) -> None:
    computed = [a for a in out_avals if a.dtype != float0]
    fits = in_tree.num_leaves == len(program.in_avals) and out_tree.num_leaves == len(out_avals)
    if not fits or len(computed) != len(program.out_avals) or not all(map(same_type, computed, program.out_avals)):
        raise ValueError("the data is no exported function: its structures do not fit its program")


def _spec(aval: ShapedArray) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


__all__ = ["DisabledSafetyCheck", "Exported", "default_export_platform", "deserialize", "export"]
