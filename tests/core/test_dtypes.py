"""Dtypes and promotion, checked against JAX over every pair of dtypes, kind of scalar, and mode."""

import contextlib
import copy
import itertools
import pickle
import warnings

import jax
import jax.dtypes
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from addax.core import config, dtypes

MODES = [(x64, promotion) for x64 in (False, True) for promotion in ("standard", "strict")]
WIDE = {np.dtype(name) for name in ("int64", "uint64", "float64", "complex128")}
SCALARS = (True, 1, 1.0, 1j)


def both(x64: bool, promotion: str = "standard"):
    """Put JAX and addax into the same mode."""
    stack = contextlib.ExitStack()
    for context in (
        jax.enable_x64(x64),
        jax.numpy_dtype_promotion(promotion),
        config.enable_x64(x64),
        config.numpy_dtype_promotion(promotion),
    ):
        stack.enter_context(context)
    return stack


def outcome(function, *args, **kwargs):
    """The result, or the class name of what it raised."""
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError) as error:
        return type(error).__name__


class Typed:
    """A stand-in for an array of addax: it has a dtype, a shape and a weak type."""

    shape = ()

    def __init__(self, dtype, weak_type=False):
        self.dtype = np.dtype(dtype)
        self.weak_type = weak_type


def operands(x64: bool):
    """(what JAX gets, what addax gets) for each dtype available in this mode and each Python scalar."""
    for dtype in dtypes.ALL_DTYPES:
        if x64 or dtype not in WIDE:
            yield jax.ShapeDtypeStruct((), dtype), Typed(dtype)  # JAX reads no weak type off these
    for scalar in SCALARS:
        yield scalar, scalar
        if type(scalar) is not bool:  # a weakly typed array
            yield jnp.asarray(scalar), Typed(dtypes.canonicalize_dtype(type(scalar)), True)


@pytest.mark.parametrize("x64, promotion", MODES)
def test_result_type_of_every_pair_is_that_of_jax(x64, promotion):
    with both(x64, promotion):
        for (a, our_a), (b, our_b) in itertools.product(list(operands(x64)), repeat=2):
            expected = outcome(jax.dtypes.result_type, a, b, return_weak_type_flag=True)
            got = outcome(dtypes.result_type, our_a, our_b, return_weak_type_flag=True)
            assert got == expected, (a, b)


@pytest.mark.parametrize("x64, promotion", MODES)
def test_promote_types_of_every_pair_is_that_of_jax(x64, promotion):
    names = [*dtypes.ALL_DTYPES, int, float, complex, bool]
    with both(x64, promotion):
        for a, b in itertools.product(names, repeat=2):
            assert outcome(dtypes.promote_types, a, b) == outcome(jnp.promote_types, a, b), (a, b)


@pytest.mark.parametrize("x64, promotion", MODES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_result_type_of_several_is_that_of_jax(x64, promotion, data):
    with both(x64, promotion):
        chosen = data.draw(st.lists(st.sampled_from(list(operands(x64))), min_size=1, max_size=5))
        expected = outcome(jax.dtypes.result_type, *(a for a, _ in chosen), return_weak_type_flag=True)
        assert outcome(dtypes.result_type, *(b for _, b in chosen), return_weak_type_flag=True) == expected


def test_result_type_does_not_depend_on_the_order_of_its_arguments():
    with config.enable_x64(False):
        values = [b for _, b in operands(False)]
        for a, b in itertools.combinations(values, 2):
            assert outcome(dtypes.lattice_result_type, a, b) == outcome(dtypes.lattice_result_type, b, a)


@pytest.mark.parametrize(
    "pairs, expected",
    [
        # Weak values of other than the default dtypes, as convert_element_type can make them. As JAX has it.
        ([("int8", True), ("int8", True)], ("int8", True)),
        ([("int8", True), ("int16", True)], ("int16", True)),
        ([("bfloat16", True), ("float16", True)], ("float32", True)),
        ([("bfloat16", True), ("int32", False)], ("float32", True)),
        ([("bfloat16", True), ("float16", False)], ("float16", False)),
        ([("bool", True), ("int32", True)], ("int32", True)),
        ([("bool", True), ("bool", True)], ("bool", False)),
        ([("bool", True)], ("bool", False)),
        ([("bfloat16", True)], ("bfloat16", True)),
    ],
)
def test_result_type_of_unusual_weak_values(pairs, expected):
    with config.enable_x64(False):
        dtype, weak = dtypes.result_type_of(tuple((np.dtype(name), weak) for name, weak in pairs))
    assert (dtype.name, weak) == expected


def test_result_type_of_numpy_values_is_narrowed():
    with both(False):
        for values in [(np.ones(2),), (np.ones(2), 1), (np.float64(1), np.int8(1)), (np.arange(2), np.uint8(1))]:
            assert dtypes.result_type(*values) == jax.dtypes.result_type(*values)


def test_keys_and_float0_combine_only_with_themselves():
    assert dtypes.result_type_of(((dtypes.key_fry, False),) * 2) == (dtypes.key_fry, False)
    assert dtypes.result_type_of(((dtypes.float0, False),) * 2) == (dtypes.float0, False)
    with pytest.raises(
        ValueError, match=r"key<fry> takes no part in dtype promotion; got inputs of dtypes key<fry>, int"
    ):
        dtypes.result_type_of(((dtypes.key_fry, False), (np.dtype("int32"), True)))
    with pytest.raises(
        ValueError, match="float0 takes no part in dtype promotion; got inputs of dtypes float0, float32"
    ):
        dtypes.result_type_of(((dtypes.float0, False), (np.dtype("float32"), False)))
    with pytest.raises(ValueError, match="key<fry> takes no part"):
        dtypes.promote_types(dtypes.key_fry, bool)


def test_promotion_errors_name_the_dtypes_and_the_fix():
    def message(a, b):
        with pytest.raises(dtypes.TypePromotionError) as caught:
            dtypes.promote_types(a, b)
        return str(caught.value)

    assert message("float8_e4m3fn", "float32") == (
        "Input dtypes float8_e4m3fn, float32 have no available implicit dtype promotion path: floats of 8 bits or less "
        "never convert implicitly. Write x.astype('float32')."
    )
    assert message("int4", "int8") == (
        "Input dtypes int4, int8 have no available implicit dtype promotion path: integers of 1, 2 or 4 bits never "
        "convert implicitly. Write x.astype('int32')."
    )
    with config.numpy_dtype_promotion("strict"):
        assert message("int32", "float32") == (
            "Input dtypes int32, float32 have no available implicit dtype promotion path when "
            "addax_numpy_dtype_promotion is 'strict'. Convert explicitly to the dtype you want, for example "
            "x.astype('float32'), or set the option to 'standard'."
        )
        assert "Input dtypes int32, Python float have" in message("int32", float)
    assert issubclass(dtypes.TypePromotionError, ValueError)


def test_no_arguments():
    with pytest.raises(ValueError, match="at least one array or dtype is required"):
        dtypes.result_type()


@pytest.mark.parametrize("x64", [False, True])
def test_safe_to_cast_is_that_of_jax(x64):
    # JAX shows it in a warning: a scatter whose updates do not safely become the operand's dtype.
    with both(x64):
        available = [d for d in dtypes.ALL_DTYPES if dtypes.itemsize_bits(d) >= 8 and (x64 or d not in WIDE)]
        available = [d for d in available if not d.name.startswith("float8")]
        for source, target in itertools.product([*available, 1, 1.0, 1j, True], available):
            value = source if not isinstance(source, np.dtype) else jnp.zeros((), source)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                jax.eval_shape(lambda x, v: x.at[0].set(v), jax.ShapeDtypeStruct((1,), target), value)
            complained = any("scatter inputs have incompatible types" in str(w.message) for w in caught)
            assert dtypes.safe_to_cast(source, target) == (not complained), (source, target)


# --- Narrowing ---


@pytest.mark.parametrize("x64", [False, True])
def test_canonicalize_dtype_is_that_of_jax(x64):
    with both(x64):
        for dtype in [*dtypes.ALL_DTYPES, "float64", float, int, complex, bool, np.int64, object, dtypes.float0]:
            assert dtypes.canonicalize_dtype(dtype) == jax.dtypes.canonicalize_dtype(dtype)
    assert dtypes.canonicalize_dtype(dtypes.key_fry) is dtypes.key_fry
    assert dtypes.canonicalize_dtype(">f4") == np.dtype("float32") == dtypes.canonicalize_user_dtype(">f4")


def test_an_explicit_64_bit_dtype_is_narrowed_with_a_warning():
    with config.enable_x64(False), pytest.warns(UserWarning) as caught:
        assert dtypes.canonicalize_user_dtype("float64", "zeros") == np.dtype("float32")
    assert str(caught[0].message) == (
        "Explicitly requested dtype float64 requested in zeros is not available, and will be truncated to dtype "
        "float32. To enable more dtypes, set the addax_enable_x64 configuration option or the ADDAX_ENABLE_X64 shell "
        "environment variable."
    )
    assert caught[0].filename == __file__


@pytest.mark.parametrize("dtype", [float, int, complex, bool, "float32", np.int8, "bfloat16", dtypes.key_fry])
def test_other_dtypes_are_taken_without_a_warning(dtype):
    with config.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dtypes.canonicalize_user_dtype(dtype) == dtypes.canonicalize_dtype(dtype)


def test_explicit_x64_dtypes_can_be_refused_or_kept():
    with (
        config.enable_x64(False),
        config.explicit_x64_dtypes("error"),
        pytest.raises(ValueError, match="Explicitly requested dtype int64 requested in ones is not available"),
    ):
        dtypes.canonicalize_user_dtype("int64", "ones")
    with config.enable_x64(False), config.explicit_x64_dtypes("allow"):
        assert dtypes.canonicalize_user_dtype("int64") == np.dtype("int64")
    with config.enable_x64(True):
        assert dtypes.canonicalize_user_dtype("int64") == np.dtype("int64")


@pytest.mark.parametrize("dtype, shown", [("U3", "<U3|str"), (object, "object"), ("datetime64[s]", "datetime64")])
def test_dtypes_arrays_cannot_have_are_refused(dtype, shown):
    with pytest.raises(
        TypeError, match=f"addax only supports number, bool and key dtypes, got dtype .*({shown}).* in zeros"
    ):
        dtypes.check_user_dtype_supported(dtype, "zeros")


# --- Names and spellings ---


def test_short_names_are_those_of_jaxprs_and_invert():
    for dtype in dtypes.ALL_DTYPES:
        x = jax.ShapeDtypeStruct((2,), dtype)
        with both(True):
            assert str(jax.make_jaxpr(lambda x: x)(x).jaxpr.invars[0].aval.str_short(True)) == (
                f"{dtypes.short_name(dtype)}[2]"
            )
        assert dtypes.dtype_from_short_name(dtypes.short_name(dtype)) == dtype
    assert dtypes.short_name(dtypes.key_fry) == "key<fry>"
    assert dtypes.dtype_from_short_name("key<fry>") is dtypes.key_fry
    assert dtypes.short_name(dtypes.float0) == "float0"
    assert dtypes.dtype_from_short_name("float0") == dtypes.float0
    with pytest.raises(ValueError, match=r"unknown dtype name 'f33'\. Did you mean 'f32'"):
        dtypes.dtype_from_short_name("f33")


def test_as_dtype_reads_what_users_write():
    f32 = np.dtype("float32")
    for spelling in (f32, "float32", np.float32, "f4", jnp.float32, np.ones(1, np.float32), jnp.ones(1)):
        assert dtypes.as_dtype(spelling) == f32
    assert dtypes.as_dtype("bfloat16") == ml_dtypes.bfloat16
    assert dtypes.as_dtype(float) == np.dtype("float64")
    assert dtypes.as_dtype(int) == np.dtype("int64")


@pytest.mark.parametrize(
    "spelling, message",
    [
        (None, "None is not a dtype"),
        ("f32", "data type 'f32' not understood. Did you mean 'float32'?"),
        ("bf16", "Did you mean 'bfloat16'?"),
        ("flaot32", "Did you mean 'float32'"),
    ],
)
def test_as_dtype_says_what_was_meant(spelling, message):
    with pytest.raises(TypeError) as caught:
        dtypes.as_dtype(spelling)
    assert message in str(caught.value)


# --- Questions ---


def test_issubdtype_is_that_of_jax():
    abstract = [np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger, np.inexact, np.floating]
    abstract += [np.complexfloating, np.bool_]
    concrete = [*dtypes.ALL_DTYPES, float, int, bool, complex, "float32"]
    for a, b in itertools.product(concrete, [*abstract, *concrete]):
        assert dtypes.issubdtype(a, b) == jnp.issubdtype(a, b), (a, b)
    our_key, key = dtypes.key_fry, jax.random.key(0).dtype
    for b in [*abstract, "float32"]:
        assert dtypes.issubdtype(our_key, b) == jnp.issubdtype(key, b)
        assert dtypes.issubdtype(b, dtypes.prng_key) == jnp.issubdtype(b, jax.dtypes.prng_key)
    assert dtypes.issubdtype(our_key, dtypes.prng_key) and dtypes.issubdtype(our_key, dtypes.extended)
    assert dtypes.issubdtype(dtypes.prng_key, dtypes.extended)
    assert not dtypes.issubdtype("float32", dtypes.extended)


def test_isdtype_is_that_of_jax():
    kinds = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]
    kinds += ["float32", np.int8, ("bool", "integral")]
    for dtype, kind in itertools.product(dtypes.ALL_DTYPES, kinds):
        assert dtypes.isdtype(dtype, kind) == jnp.isdtype(dtype, kind), (dtype, kind)
    with pytest.raises(TypeError, match="isdtype: expected a dtype or one of"):
        dtypes.isdtype("float32", "integer-ish")


def test_limits_are_those_of_jax():
    for dtype in dtypes.ALL_DTYPES:
        if jnp.issubdtype(dtype, np.integer):
            ours, theirs = dtypes.iinfo(dtype), jnp.iinfo(dtype)
            assert (ours.min, ours.max, ours.bits) == (theirs.min, theirs.max, theirs.bits)
        elif jnp.issubdtype(dtype, np.inexact):
            ours, theirs = dtypes.finfo(dtype), jnp.finfo(dtype)
            assert (ours.eps, ours.max, ours.bits, ours.dtype) == (theirs.eps, theirs.max, theirs.bits, theirs.dtype)
    with pytest.raises(ValueError):
        dtypes.iinfo("float32")
    with pytest.raises(ValueError):
        dtypes.finfo("int32")


def test_itemsize_bits_are_those_of_jax():
    for dtype in dtypes.ALL_DTYPES:
        assert dtypes.itemsize_bits(dtype) == jax.dtypes.itemsize_bits(dtype)
    with pytest.raises(ValueError, match="key<fry> has no bit width"):
        dtypes.itemsize_bits(dtypes.key_fry)


def test_supports_inf():
    with_inf = {d.name for d in dtypes.ALL_DTYPES if dtypes.supports_inf(d)}
    assert with_inf == {
        *("float8_e3m4", "float8_e4m3", "float8_e5m2", "bfloat16", "float16", "float32", "float64"),
        *("complex64", "complex128"),
    }


# --- Related dtypes, dtypes of values ---


def test_related_dtypes():
    with config.enable_x64(False):
        assert dtypes.to_numeric_dtype(bool) == np.int32
        assert dtypes.to_numeric_dtype("float16") == np.float16
        assert dtypes.default_float_dtype() == np.float32
    for dtype, inexact, floating, complex_ in [
        ("bool", "float32", "float32", "complex64"),
        ("int8", "float32", "float32", "complex64"),
        ("int32", "float32", "float32", "complex64"),
        ("uint64", "float64", "float64", "complex128"),
        ("bfloat16", "bfloat16", "bfloat16", "complex64"),
        ("float64", "float64", "float64", "complex128"),
        ("complex64", "complex64", "float32", "complex64"),
        ("complex128", "complex128", "float64", "complex128"),
    ]:
        assert dtypes.to_inexact_dtype(dtype).name == inexact
        assert dtypes.to_floating_dtype(dtype).name == floating
        assert dtypes.to_complex_dtype(dtype).name == complex_
        with both(True):
            assert inexact == jnp.sin(jnp.ones((), dtype)).dtype.name


@pytest.mark.parametrize("x64", [False, True])
def test_dtype_of_values(x64):
    with both(x64):
        for value in [True, 1, 1.5, 2j, np.float64(1), np.int8(1), np.ones(2), np.arange(2), np.ones(1, "bfloat16")]:
            assert dtypes.dtype(value) == jnp.asarray(value).dtype
            assert dtypes.is_weakly_typed(value) == jnp.asarray(value).aval.weak_type
            assert dtypes.scalar_type_of(value) is jax.dtypes.scalar_type_of(value)
    assert dtypes.is_python_scalar(1.0) and not dtypes.is_python_scalar(np.float64(1.0))


def test_values_without_a_dtype():
    with pytest.raises(
        TypeError, match="cannot determine the dtype of list: expected an array, a Python scalar or a dty"
    ):
        dtypes.dtype([1])
    with pytest.raises(TypeError, match="None"):
        dtypes.dtype(None)
    with pytest.raises(TypeError, match="a value of dtype <U1 is not a valid array"):
        dtypes.dtype(np.array(["a"]))
    with pytest.raises(TypeError, match="key<fry> is of no Python scalar kind"):
        dtypes.scalar_type_of(dtypes.key_fry)


# --- Key dtypes ---


def test_key_dtypes():
    key = dtypes.PRNGKeyDType("threefry2x32", "fry", (2,))
    theirs = jax.random.key(0).dtype
    assert key is dtypes.key_fry
    assert (str(key), repr(key), key.name, key.itemsize) == (str(theirs), repr(theirs), theirs.name, theirs.itemsize)
    assert key != dtypes.key_rbg and key != np.dtype("uint32")
    assert pickle.loads(pickle.dumps(key)) is key and copy.deepcopy(key) is key
    assert key.type is dtypes.prng_key
    with pytest.raises(ValueError, match="already has tag 'fry'"):
        dtypes.PRNGKeyDType("threefry2x32", "tf", (2,))
