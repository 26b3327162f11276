"""The errors of addax. Each class is a page of documentation: a program that raises it, why, and what to write instead.

Names and base classes are those of `jax.errors`, so programs that catch them keep working. The constructors take the
tracer that was misused and build the whole message: what it is, where it comes from, and the code to write instead.
Helpers that messages all over addax are made from (`near_miss`, `type_name`, `array_summary`) live here too.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from typing import Any, Protocol


class TracerLike(Protocol):
    """What the constructors below need of a tracer."""

    @property
    def aval(self) -> Any: ...

    def origin(self) -> str:
        """Where the value was made and which argument it depends on; "" if unknown."""
        ...


# --- Helpers for messages ---


def near_miss(name: str, candidates: Iterable[str], *, prefix: str = "") -> str:
    """ " Did you mean 'x'?" for the candidates closest to `name`, or "" if none is close. Starts with a space.

    >>> near_miss("tanch", ["sin", "tanh", "tan"])
    " Did you mean 'tanh'?"
    """
    budget = max(1, len(name) // 3)
    distances = {candidate: _edit_distance(name, candidate, budget) for candidate in candidates}
    close = sorted((c for c, distance in distances.items() if distance <= budget), key=lambda c: (distances[c], c))[:3]
    if not close:
        return ""
    return " Did you mean " + " or ".join(repr(prefix + match) for match in close) + "?"


def _edit_distance(a: str, b: str, limit: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that turn a into b; not exact above `limit`."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    # Own code because importing difflib costs a millisecond of every program's start.
    before, row = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, above, row = row, row and before, [i]
        for j, y in enumerate(b, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, above[j - 2] + 1)
            row.append(best)
    return row[-1]


def type_name(x: Any) -> str:
    """The name of x's type as a user would write it: `int`, `numpy.ndarray`, `optax.GradientTransformation`."""
    cls = x if isinstance(x, type) else type(x)
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def array_summary(x: Any) -> str:
    """What x is, in the notation of jaxprs: ``float32[3,4]`` for an array, aval or tracer, otherwise value and type.

    Never prints array contents.
    """
    aval = getattr(x, "aval", x)
    shape, dtype = getattr(aval, "shape", None), getattr(aval, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        weak = "~" if getattr(aval, "weak_type", False) else ""
        return f"{weak}{getattr(dtype, 'name', dtype)}[{','.join(map(str, shape))}]"
    if x is None or isinstance(x, (bool, int, float, complex)):
        return f"{x!r} ({type(x).__name__})" if x is not None else "None"
    if isinstance(x, (list, tuple, dict, set)):
        return f"a {type_name(x)} of length {len(x)}"
    return f"a value of type {type_name(x)}"


def user_stacklevel() -> int:
    """The `stacklevel` that makes `warnings.warn`, called by our caller, point at the user's line."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return level


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, attributing the warning to the innermost line outside addax."""
    warnings.warn(message, category, stacklevel=user_stacklevel())


def _message(*parts: str) -> str:
    return "\n".join(part.strip("\n") for part in parts if part)


def _origin(tracer: TracerLike) -> str:
    return tracer.origin().strip()


# --- Base classes ---


def _restore(cls: type[BaseException], args: tuple, state: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class _Documented:
    """Errors that survive pickling, to another process say, although a tracer and not a text makes them."""

    args: tuple

    def __reduce__(self):
        return _restore, (type(self), self.args, self.__dict__)

    def _help(self) -> str:
        return f"With examples: help(addax.errors.{type(self).__name__})"


class AddaxTypeError(_Documented, TypeError):
    """An operation was given a value of a kind it cannot work with. Base of most errors here; a `TypeError`."""


class AddaxIndexError(_Documented, IndexError):
    """An array was indexed in a way that cannot be compiled. An `IndexError`."""


# The names JAX programs catch.
JAXTypeError = AddaxTypeError
JAXIndexError = AddaxIndexError


class ConcretizationTypeError(AddaxTypeError):
    """A number was needed where only a traced value, with a shape and a dtype but no numbers, is there.

    While `jit`, `grad` or `vmap` records a function, its arguments are tracers: stand-ins for every value the argument
    may take. Operations on tracers are recorded. Turning one into a Python number is not an operation: there is no
    number yet.

    A program that fails, because `float` must return a number now::

        @addax.jit
        def scale(x):
            return x * float(x.sum())      # ConcretizationTypeError

    Leave the value an array; arithmetic needs no conversion::

        >>> import addax, addax.numpy as jnp
        >>> @addax.jit
        ... def scale(x):
        ...     return x * x.sum().astype(float)
        >>> scale(jnp.ones(2)).tolist()
        [2.0, 2.0]

    The same error arises where an argument must be known while tracing because a *shape* depends on it::

        @addax.jit
        def count_from(x, n):
            return x + jnp.arange(n)       # ConcretizationTypeError: how large is the result?

    Name the argument static. Each new value of it is then compiled anew::

        >>> import functools
        >>> @functools.partial(addax.jit, static_argnums=1)
        ... def count_from(x, n):
        ...     return x + jnp.arange(n)
        >>> count_from(10, 3).tolist()
        [10, 11, 12]
    """

    def __init__(self, tracer: TracerLike, context: str = "") -> None:
        super().__init__(
            _message(
                f"A concrete value is needed here, but the array {array_summary(tracer)} is being traced: it has a "
                "shape and a dtype, and no numbers until the compiled function runs.",
                context,
                _origin(tracer),
                self._advice(),
                self._help(),
            )
        )

    def _advice(self) -> str:
        return (
            "If it decides a shape or a Python-level choice, make the argument static: jit(f, static_argnums=...) or "
            "static_argnames=...; otherwise keep it an array and use addax.numpy operations on it."
        )


class TracerBoolConversionError(ConcretizationTypeError):
    """A traced array was used where Python must choose: `if`, `while`, `and`, `or`, `not`, `assert`, `min`, `max`.

    Python runs one branch of an `if`, and which one depends on a number that is not there while tracing. This fails::

        @addax.jit
        def relu(x):
            if x > 0:                      # TracerBoolConversionError
                return x
            return 0.0

    Choose elementwise, with both values computed::

        >>> import addax, addax.numpy as jnp
        >>> @addax.jit
        ... def relu(x):
        ...     return jnp.where(x > 0, x, 0.0)
        >>> float(relu(-1.0))
        0.0

    or run one of two functions inside the compiled program::

        >>> from addax import lax
        >>> @addax.jit
        ... def relu(x):
        ...     return lax.cond(x > 0, lambda x: x, lambda x: 0.0, x)
        >>> float(relu(3.0))
        3.0

    Loops: ``while x > 0:`` becomes `lax.while_loop`, and ``and``/``or``/``not`` become ``&``, ``|``, ``~``. If the
    value is an argument that takes few values (a mode, a flag), make it static instead::

        >>> import functools
        >>> @functools.partial(addax.jit, static_argnames="square")
        ... def power(x, square):
        ...     return x * x if square else x
        >>> float(power(3.0, square=True))
        9.0

    What may be asked of a tracer in an `if` is what its type says: ``x.shape``, ``x.ndim``, ``x.dtype``, and ``x is
    None``.
    """

    def __init__(self, tracer: TracerLike) -> None:
        aval = tracer.aval
        if getattr(aval, "shape", ()) != ():
            advice = (
                "Write jnp.where(condition, x, y) to choose element by element; or reduce it to one truth value with "
                ".any() or .all() and pass that to lax.cond."
            )
        else:
            advice = (
                "Instead of `if`, write jnp.where(condition, x, y) or lax.cond(condition, f, g, x); instead of "
                "`while`, lax.while_loop; instead of and/or/not, the operators &, |, ~. If the choice is between a "
                "few settings, make the argument static: jit(f, static_argnums=...)."
            )
        AddaxTypeError.__init__(
            self,
            _message(
                f"Attempted boolean conversion of the traced array {array_summary(tracer)}: Python's if, while, and, "
                "or, not and assert need to know now whether it is true, and its value exists only when the compiled "
                "function runs.",
                _origin(tracer),
                advice,
                self._help(),
            ),
        )


class TracerArrayConversionError(AddaxTypeError):
    """A traced array was handed to NumPy, or to a library that calls NumPy.

    NumPy computes at once on numbers in memory; while tracing there are none. This fails::

        import numpy as np

        @addax.jit
        def f(x):
            return np.sin(x)               # TracerArrayConversionError

    Use the same function of addax.numpy::

        >>> import addax, addax.numpy as jnp
        >>> @addax.jit
        ... def f(x):
        ...     return jnp.sin(x)
        >>> float(f(0.0))
        0.0

    A NumPy *table* indexed by a tracer fails in the same way; make the table an addax array first::

        >>> import numpy as np
        >>> table = np.arange(5) ** 2
        >>> @addax.jit
        ... def lookup(i):
        ...     return jnp.asarray(table)[i]
        >>> int(lookup(3))
        9

    Code that must stay NumPy can be called from the running program with `addax.pure_callback`.
    """

    def __init__(self, tracer: TracerLike) -> None:
        super().__init__(
            _message(
                f"NumPy asked for the numbers of the traced array {array_summary(tracer)} (its __array__ method was "
                "called), and there are none until the compiled function runs.",
                _origin(tracer),
                "Use addax.numpy instead of numpy here (jnp.sin for np.sin, jnp.asarray(table)[i] for table[i]), or "
                "call the NumPy code from inside the program with addax.pure_callback.",
                self._help(),
            )
        )


class TracerIntegerConversionError(AddaxTypeError):
    """A traced array was used where Python needs an int: a list index, `range`, a shape, a string repetition.

    This fails, because a Python list must hand out its element now::

        @addax.jit
        def pick(i):
            return [10, 20, 30][i]         # TracerIntegerConversionError

    Index an array, which is an operation that can be recorded::

        >>> import addax, addax.numpy as jnp
        >>> @addax.jit
        ... def pick(i):
        ...     return jnp.array([10, 20, 30])[i]
        >>> int(pick(1))
        20

    ``for i in range(n)`` with a traced n becomes `lax.fori_loop`::

        >>> from addax import lax
        >>> @addax.jit
        ... def double_n_times(x, n):
        ...     return lax.fori_loop(0, n, lambda i, x: 2 * x, x)
        >>> float(double_n_times(1.0, 3))
        8.0

    If the int selects an axis, a size or a layer, make it static: ``jit(f, static_argnums=...)``.
    """

    def __init__(self, tracer: TracerLike) -> None:
        super().__init__(
            _message(
                f"Python asked for the int that the traced array {array_summary(tracer)} stands for (its __index__ "
                "method was called), and there is none until the compiled function runs.",
                _origin(tracer),
                "To index a Python or NumPy sequence with it, make the sequence an array: jnp.asarray(sequence)[i]. "
                "To loop over range(n), use lax.fori_loop. If it is a size, an axis or a choice of code, make the "
                "argument static: jit(f, static_argnums=...).",
                self._help(),
            )
        )


class NonConcreteBooleanIndexError(AddaxIndexError):
    """A traced boolean mask was used as an index, and the size of the result would depend on its values.

    This fails, because compiled programs have fixed shapes::

        @addax.jit
        def positive(x):
            return x[x > 0]                # NonConcreteBooleanIndexError

    Put a neutral value where the mask is false, and keep the shape::

        >>> import addax, addax.numpy as jnp
        >>> @addax.jit
        ... def positive(x):
        ...     return jnp.where(x > 0, x, 0)
        >>> positive(jnp.array([-1.0, 2.0, 3.0])).tolist()
        [0.0, 2.0, 3.0]

    Unlike in JAX, what needs no array of the picked elements is fine: reductions (``x[x > 0].sum()``, ``mean``, ``prod``,
    ``max``, ``min``, ``var``, ``std``, ``any``, ``all``, ``jnp.count_nonzero``), also after arithmetic and elementwise
    functions (``jnp.log(x[m] / y[m]).sum()``); and *assigning* through a mask, which keeps the shape:
    ``x.at[x > 0].set(0)``. If you know how many elements can be true, ``jnp.nonzero(mask, size=n)`` gives their indices
    with a fixed shape. Outside `jit` masks work as in NumPy.
    """

    def __init__(self, tracer: TracerLike, asked: str = "") -> None:
        super().__init__(
            _message(
                f"Boolean indices must be concrete while tracing; got the traced mask {array_summary(tracer)}. The "
                "shape of x[mask] would depend on how many entries are true.",
                asked,
                _origin(tracer),
                "Reductions of x[mask] (sum, mean, prod, max, min, var, std, any, all, jnp.count_nonzero), elementwise "
                "functions of it before them, and x.at[mask].set(value) do not need to know it. Otherwise write "
                "jnp.where(mask, x, fill_value) to keep the shape, or x[jnp.nonzero(mask, size=n)] if at most n entries "
                "are true.",
                self._help(),
            )
        )


class UnexpectedTracerError(AddaxTypeError):
    """A traced value was used after the trace it belongs to had ended: it *leaked*.

    A function being traced stored an intermediate value outside itself. The function returned, the program was
    compiled, and what was stored is a name inside that program, not a number. This fails at the last line::

        seen = []

        @addax.jit
        def f(x):
            seen.append(2 * x)             # the tracer escapes here
            return x

        f(1.0)
        seen[0] + 1                        # UnexpectedTracerError

    Return the value::

        >>> import addax
        >>> @addax.jit
        ... def f(x):
        ...     return x, 2 * x
        >>> float(f(1.0)[1])
        2.0

    Usual ways out of a function: a list or dict of an outer scope, `global`, an attribute of an object (``self.state =
    x``), a cache (`functools.lru_cache`), a generator, an exception, or an inner function returned and called later.
    Return the value and pass it on; in a loop body (`scan`, `while_loop`) put it in the carry. To see values as the
    program runs, use `addax.debug.print` or `addax.debug.callback`. ``with addax.checking_leaks():`` reports a leak
    where it happens.
    """

    def __init__(self, tracer_or_message: TracerLike | str) -> None:
        if isinstance(tracer_or_message, str):
            super().__init__(tracer_or_message)
            return
        super().__init__(
            _message(
                f"Encountered an unexpected tracer: the value {array_summary(tracer_or_message)} was made while a "
                "function was being traced and is used after that trace ended. The function let it escape by a side "
                "effect (a list or dict of an outer scope, a global, an attribute of an object, a cache).",
                _origin(tracer_or_message),
                "Return the value from the function instead of storing it. To find where it escapes, run the program "
                "under `with addax.checking_leaks():` or with ADDAX_CHECK_TRACER_LEAKS=1. To look at values, use "
                "addax.debug.print.",
                self._help(),
            )
        )


class KeyReuseError(AddaxTypeError):
    """A PRNG key was used twice, so two sets of random numbers that should be independent are the same.

    Raised when ``addax.debug_key_reuse`` is on (``with addax.debug_key_reuse(True):``, or ADDAX_DEBUG_KEY_REUSE=1).
    ``noise = random.normal(key, (2,))`` followed by ``mask = random.bernoulli(key, 0.5)`` draws from the same bits.

    Split the key, and use each part once::

        >>> from addax import random
        >>> noise_key, mask_key = random.split(random.key(0))
        >>> noise = random.normal(noise_key, (2,))
        >>> mask = random.bernoulli(mask_key, 0.5)

    In a loop, split off a key per turn (``key, step_key = random.split(key)``) or derive one: ``random.fold_in(key,
    step)``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class JaxprTypeError(TypeError):
    """A jaxpr is malformed: a variable is unbound or bound twice, or types do not agree.

    Programs of the public API never cause this: it is a bug in a transformation or in a primitive's rule.
    """


class InconclusiveDimensionOperation(Exception):
    """A question about symbolic dimensions has no answer that holds for all their values.

    With ``a, = symbolic_shape("a")``, whether ``a >= 2`` depends on what `a` will be. Add a constraint to the scope
    (``symbolic_shape("a", constraints=["a >= 2"])``), or write code that does not need to know.
    """


class AddaxRuntimeError(RuntimeError):
    """A compiled program failed while it ran, or a device could not do what it was asked (out of memory, say)."""


JaxRuntimeError = AddaxRuntimeError


class TypePromotionError(ValueError):
    """Two dtypes have no dtype that both may silently become.

    8-bit floats, sub-byte integers and PRNG keys never promote, and under ``numpy_dtype_promotion("strict")`` different
    dtypes do not either. Convert explicitly::

        >>> import addax, addax.numpy as jnp
        >>> with addax.numpy_dtype_promotion("strict"):
        ...     total = jnp.arange(3).astype("float32") + jnp.ones(3, "float32")
        >>> total.dtype.name
        'float32'
    """
