"""The text, bases and documentation of the error classes, and the helpers messages are made from."""

import inspect
import pickle
import re

import jax
import numpy as np
import pytest

import addax.errors
from addax.core import dtypes, errors

ORIGIN = "It depends on the argument x of the function f, traced for jit at model.py:14."


class Aval:
    def __init__(self, dtype, shape=(), weak_type=False):
        self.dtype, self.shape, self.weak_type = dtypes.as_dtype(dtype), shape, weak_type


class Tracer:
    """As much of a tracer as messages need."""

    def __init__(self, dtype="float32", shape=(), weak_type=False, origin=ORIGIN):
        self.aval = Aval(dtype, shape, weak_type)
        self._origin = origin

    def origin(self):
        return self._origin


PUBLIC = [name for name in dir(jax.errors) if isinstance(getattr(jax.errors, name), type)]


@pytest.mark.parametrize("name", PUBLIC)
def test_the_classes_and_bases_are_those_of_jax(name):
    ours, theirs = getattr(addax.errors, name), getattr(jax.errors, name)
    python_bases = {c.__name__ for c in theirs.__mro__ if c.__module__ == "builtins"}
    assert {c.__name__ for c in ours.__mro__ if c.__module__ == "builtins"} == python_bases
    for other in PUBLIC:
        assert issubclass(ours, getattr(addax.errors, other)) == issubclass(theirs, getattr(jax.errors, other)), other


def test_public_names_are_listed():
    assert set(PUBLIC) <= set(addax.errors.__all__)
    assert all(hasattr(addax.errors, name) for name in addax.errors.__all__)
    assert addax.errors.JAXTypeError is addax.errors.AddaxTypeError


MESSAGES = [
    (
        errors.TracerBoolConversionError(Tracer("bool")),
        "Attempted boolean conversion of the traced array bool[]: Python's if, while, and, or, not and assert need "
        "to know "
        "now whether it is true, and its value exists only when the compiled function runs.\n" + ORIGIN + "\n"
        "Instead of `if`, write jnp.where(condition, x, y) or lax.cond(condition, f, g, x); instead of `while`, "
        "lax.while_loop; instead of and/or/not, the operators &, |, ~. If the choice is between a few settings, make "
        "the argument static: jit(f, static_argnums=...).",
    ),
    (
        errors.TracerBoolConversionError(Tracer("bool", (3,), origin="")),
        "Attempted boolean conversion of the traced array bool[3]: Python's if, while, and, or, not and assert need "
        "to know now whether it is true, and its value exists only when the compiled function runs.\nWrite "
        "jnp.where(condition, x, y) to choose element by element; or reduce it to one truth value with .any() or "
        ".all() and pass that to lax.cond.",
    ),
    (
        errors.ConcretizationTypeError(Tracer("int32", weak_type=True), "It is the argument 'stop' of jnp.arange."),
        "A concrete value is needed here, but the array ~int32[] is being traced: it has a shape and a dtype, and no "
        "numbers until the compiled function runs.\nIt is the argument 'stop' of jnp.arange.\n" + ORIGIN + "\n"
        "If it decides a shape or a Python-level choice, make the argument static: jit(f, static_argnums=...) or "
        "static_argnames=...; otherwise keep it an array and use addax.numpy operations on it.",
    ),
    (
        errors.TracerArrayConversionError(Tracer("float32", (2, 3))),
        "NumPy asked for the numbers of the traced array float32[2,3] (its __array__ method was called), and there are "
        "none until the compiled function runs.\n" + ORIGIN + "\n"
        "Use addax.numpy instead of numpy here (jnp.sin for np.sin, jnp.asarray(table)[i] for table[i]), or call the "
        "NumPy code from inside the program with addax.pure_callback.",
    ),
    (
        errors.TracerIntegerConversionError(Tracer("int32")),
        "Python asked for the int that the traced array int32[] stands for (its __index__ method was called), and "
        "there is "
        "none until the compiled function runs.\n" + ORIGIN + "\n"
        "To index a Python or NumPy sequence with it, make the sequence an array: jnp.asarray(sequence)[i]. To loop "
        "over range(n), use lax.fori_loop. If it is a size, an axis or a choice of code, make the argument static: "
        "jit(f, static_argnums=...).",
    ),
    (
        errors.NonConcreteBooleanIndexError(Tracer("bool", (5,))),
        "Boolean indices must be concrete while tracing; got the traced mask bool[5]. The shape of x[mask] would "
        "depend on "
        "how many entries are true.\n" + ORIGIN + "\n"
        "Reductions of x[mask] (sum, mean, prod, max, min, var, std, any, all, jnp.count_nonzero), elementwise functions of "
        "it before them, and x.at[mask].set(value) do not need to know it. Otherwise write jnp.where(mask, x, fill_value) "
        "to keep the shape, or x[jnp.nonzero(mask, size=n)] if at most n entries are true.",
    ),
    (
        errors.UnexpectedTracerError(Tracer("float32", (4,), origin="It was made at model.py:9:4 (f).")),
        "Encountered an unexpected tracer: the value float32[4] was made while a function was being traced and is "
        "used after that trace ended. The function let it escape by a side effect (a list or dict of an outer scope, "
        "a global, an attribute of an object, a cache).\nIt was made at model.py:9:4 (f).\nReturn the value from the "
        "function instead of storing it. To find where it escapes, run the program under `with "
        "addax.checking_leaks():` or with ADDAX_CHECK_TRACER_LEAKS=1. To look at values, use addax.debug.print.",
    ),
    (errors.UnexpectedTracerError("a message of your own"), "a message of your own"),
    (errors.KeyReuseError("key<fry>[] was used twice"), "key<fry>[] was used twice"),
]


@pytest.mark.parametrize("error, text", MESSAGES, ids=lambda x: type(x).__name__ if isinstance(x, Exception) else "")
def test_messages(error, text):
    if not isinstance(error, errors.KeyReuseError) and text != "a message of your own":
        text += f"\nWith examples: help(addax.errors.{type(error).__name__})"
    assert str(error) == text
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), text)


def test_messages_print_no_numbers():
    assert len(str(errors.TracerArrayConversionError(Tracer("float32", (100, 100))))) < 800


@pytest.mark.parametrize("name", PUBLIC)
def test_every_class_is_documented(name):
    doc = inspect.getdoc(getattr(addax.errors, name))
    assert doc and len(doc.splitlines()[0]) > 40


@pytest.mark.parametrize(
    "cls",
    [
        errors.ConcretizationTypeError,
        errors.TracerBoolConversionError,
        errors.TracerArrayConversionError,
        errors.TracerIntegerConversionError,
        errors.NonConcreteBooleanIndexError,
        errors.UnexpectedTracerError,
    ],
)
def test_the_pages_show_a_program_that_fails_and_one_that_runs(cls):
    doc = inspect.getdoc(cls)
    assert re.search(rf"# .*{cls.__name__}|# .*escapes|# how large", doc), "no failing program"
    assert ">>>" in doc, "no program that runs"


# --- Helpers ---


@pytest.mark.parametrize(
    "name, candidates, expected",
    [
        ("tanch", ["sin", "tanh", "tan"], " Did you mean 'tanh'?"),
        ("flaot32", ["float32", "float64", "int32"], " Did you mean 'float32'?"),  # neighbours swapped
        ("max_pol", ["avg_pool", "max_pool"], " Did you mean 'max_pool'?"),
        ("cat", ["cot", "cut", "bat", "car", "dog"], " Did you mean 'bat' or 'car' or 'cot'?"),
        ("unrelated", ["sin", "cos"], ""),
        ("x", [], ""),
    ],
)
def test_near_miss(name, candidates, expected):
    assert errors.near_miss(name, candidates) == expected


def test_near_miss_adds_a_prefix():
    assert errors.near_miss("debug_nan", ["debug_nans"], prefix="addax_") == " Did you mean 'addax_debug_nans'?"


def test_type_name():
    assert errors.type_name(3) == "int" and errors.type_name(int) == "int"
    assert errors.type_name(np.ones(2)) == "numpy.ndarray"
    assert errors.type_name(re.compile("")) == "re.Pattern"


@pytest.mark.parametrize(
    "value, summary",
    [
        (np.ones((3, 4), np.float32), "float32[3,4]"),
        (np.float32(1), "float32[]"),
        (Tracer("int8", (2,), weak_type=True), "~int8[2]"),
        (Aval(dtypes.key_fry, (7,)), "key<fry>[7]"),
        (2, "2 (int)"),
        (True, "True (bool)"),
        (None, "None"),
        ([1, 2, 3], "a list of length 3"),
        ("text", "a value of type str"),
    ],
)
def test_array_summary(value, summary):
    assert errors.array_summary(value) == summary


def test_warn_user_points_at_the_user():
    with pytest.warns(DeprecationWarning, match="old") as caught:
        errors.warn_user("old", DeprecationWarning)
    assert caught[0].filename == __file__
