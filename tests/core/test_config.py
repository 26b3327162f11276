"""Configuration: spelling, checking, scoping over threads and `with` blocks, and the identity of contexts."""

import enum
import gc
import os
import subprocess
import sys
import threading

import jax
import pytest

import addax
from addax.core import config as options
from addax.core.config import DISPATCH, HOST, TRACE, config, context_of, current_context


@pytest.fixture(autouse=True)
def restore():
    before = dict(config.values)
    yield
    for name, value in before.items():
        if config.values[name] != value:
            config.update(name, value)


def in_new_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


# --- update ---


def test_update_by_both_spellings_and_reading_by_both():
    config.update("addax_enable_x64", True)
    assert config.jax_enable_x64 is True and config.addax_enable_x64 is True and config.enable_x64 is True
    assert config.x64_enabled is True and current_context().enable_x64 is True
    config.update("jax_enable_x64", False)
    assert config.addax_enable_x64 is False and config.read("jax_enable_x64") is False


def test_update_reaches_every_thread():
    config.update("addax_numpy_rank_promotion", "raise")
    assert in_new_thread(lambda: current_context().numpy_rank_promotion) == "raise"


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("jax_enable_x65", True, "Unrecognized config option: 'jax_enable_x65'. Did you mean 'addax_enable_x64'"),
        (
            "enable_x64",
            True,
            "Unrecognized config option: 'enable_x64'. Options are spelled with a prefix: 'addax_enable_x64'.",
        ),
        ("jax_zzz", True, "Unrecognized config option: 'jax_zzz'."),
        ("addax_debug_nan", True, "Did you mean 'addax_debug_nans'"),
    ],
)
def test_unknown_options_are_refused_with_a_suggestion(name, value, message):
    with pytest.raises(AttributeError) as caught:
        config.update(name, value)
    assert message in str(caught.value)


def test_reading_an_unknown_option():
    with pytest.raises(AttributeError, match=r"'addax_debug_nan'.* Did you mean 'addax_debug_nans'"):
        config.addax_debug_nan
    assert not hasattr(config, "nonsense")


def test_attributes_are_read_only():
    with pytest.raises(AttributeError, match=r"write config.update\('addax_enable_x64', True\)"):
        config.addax_enable_x64 = True


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("addax_enable_x64", 2.5, "option addax_enable_x64: expected a bool, got 2.5 of type float"),
        ("addax_enable_x64", "maybe", "expected a truth value such as 1, true, 0 or false, got 'maybe'"),
        ("addax_numpy_rank_promotion", "x", "expected one of 'allow', 'warn', 'raise', got 'x'"),
        ("addax_default_matmul_precision", "f32", "or None, got 'f32'"),
        ("addax_random_seed_offset", "3", "option addax_random_seed_offset: expected an int, got '3' of type str"),
        ("addax_compilation_cache_dir", 3, "expected a string or None, got 3 of type int"),
        ("addax_default_device", 3, "a platform name such as 'cpu', or None; got 3 of type int"),
    ],
)
def test_values_are_checked(name, value, message):
    with pytest.raises(ValueError) as caught:
        config.update(name, value)
    assert message in str(caught.value)


def test_enum_members_stand_for_their_word():
    config.update("jax_explicit_x64_dtypes", jax.config.values["jax_explicit_x64_dtypes"])
    config.update("jax_legacy_prng_key", jax.config.values["jax_legacy_prng_key"])
    assert (config.jax_explicit_x64_dtypes, config.jax_legacy_prng_key) == ("warn", "allow")


def test_options_jax_has_and_addax_does_not_need_are_accepted_with_the_reason():
    with pytest.warns(
        UserWarning, match="the option jax_use_shardy_partitioner has no effect: addax always works this way"
    ):
        config.update("jax_use_shardy_partitioner", True)


@pytest.mark.usefixtures("unchecked")
def test_defaults_are_those_of_jax():
    theirs = jax.config.values
    for name, value in config.values.items():
        name = name.replace("addax_", "jax_")
        if name in theirs and name not in ("jax_platforms", "jax_enable_x64"):
            default = theirs[name]
            assert (default.name.lower() if isinstance(default, enum.Enum) else default) == value, name


def test_every_option_of_jax_that_is_a_context_manager_is_one_here():
    names = """
    enable_x64 debug_nans debug_infs numpy_dtype_promotion numpy_rank_promotion default_matmul_precision log_compiles
    check_tracer_leaks default_device legacy_prng_key threefry_partitionable default_prng_impl explain_cache_misses
    debug_key_reuse enable_checks no_tracing no_execution enable_custom_prng
    """
    inert = """
    transfer_guard transfer_guard_host_to_device transfer_guard_device_to_host transfer_guard_device_to_device
    softmax_custom_jvp allow_f16_reductions thread_guard array_garbage_collection_guard
    """
    for name in names.split():
        assert hasattr(jax, name)
        assert getattr(addax, name) is getattr(options, name)
        assert isinstance(getattr(options, name), options.OptionManager)
    for name in inert.split():
        assert hasattr(jax, name)
        with pytest.warns(UserWarning, match=f"the option addax_{name} has no effect: "), getattr(addax, name)("allow"):
            pass


def test_hooks_run_before_an_update_and_may_refuse_it():
    def refuse(value):
        if value == 7:
            raise RuntimeError("devices are in use")

    config.on_update("addax_captured_constants_warn_bytes", refuse)
    with pytest.raises(RuntimeError, match="devices are in use"):
        config.update("addax_captured_constants_warn_bytes", 7)
    assert config.addax_captured_constants_warn_bytes == 2_000_000_000
    config.update("addax_captured_constants_warn_bytes", 2)
    assert config.addax_captured_constants_warn_bytes == 2


# --- Context managers ---


def test_a_with_block_holds_for_this_thread_and_block_only():
    with options.enable_x64(True):
        assert current_context().enable_x64 is True and config.addax_enable_x64 is True
        assert in_new_thread(lambda: current_context().enable_x64) is False
        with options.enable_x64(False):
            assert current_context().enable_x64 is False
        assert current_context().enable_x64 is True
    assert current_context().enable_x64 is False


def test_a_decorated_function_may_run_in_several_threads_at_once():
    inside, go_on = threading.Event(), threading.Event()

    @options.numpy_rank_promotion("raise")
    def f(wait=False):
        if wait:
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=f, args=(True,))
    with options.numpy_rank_promotion("warn"):
        thread.start()
        inside.wait(10)
        f()
        go_on.set()
        thread.join()
        assert current_context().numpy_rank_promotion == "warn"


def test_a_with_block_ends_on_an_exception():
    with pytest.raises(ZeroDivisionError), options.debug_nans(True):
        1 / 0
    assert current_context().debug_nans is False


def test_a_with_block_wins_over_an_update_and_other_options_pass_through():
    with options.enable_x64(True):
        config.update("addax_enable_x64", False)
        config.update("addax_debug_nans", True)
        assert current_context().enable_x64 is True
        assert current_context().debug_nans is True
    assert current_context().enable_x64 is False and current_context().debug_nans is True


def test_one_setting_may_be_entered_again_and_decorate():
    strict = options.numpy_dtype_promotion("strict")
    with strict, options.numpy_dtype_promotion("standard"), strict:
        assert current_context().numpy_dtype_promotion == "strict"
    assert current_context().numpy_dtype_promotion == "standard"

    @options.default_matmul_precision("float32")
    def precision():
        return current_context().default_matmul_precision

    assert (precision(), precision(), current_context().default_matmul_precision) == ("float32", "float32", None)


def test_flags_may_be_called_bare_and_others_may_not():
    with options.enable_x64(), options.disable_jit(), options.checking_leaks():
        assert current_context().enable_x64 and current_context().disable_jit
        assert current_context().check_tracer_leaks
        with options.disable_jit(disable=False), options.enable_x64(new_val=False):
            assert not current_context().disable_jit
    with pytest.raises(TypeError, match=r"numpy_rank_promotion\(\) needs a value: one of 'allow', 'warn', 'raise'"):
        options.numpy_rank_promotion()


def test_a_bad_value_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="option addax_legacy_prng_key: expected one of 'allow', 'warn'"):
        options.legacy_prng_key("never")
    with pytest.raises(ValueError, match="option addax_threefry_partitionable: expected True"):
        config.update("jax_threefry_partitionable", False)


def test_option_managers_show_themselves():
    assert options.enable_x64.value is False
    assert repr(options.enable_x64) == "<option addax_enable_x64 = False>"
    assert options.enable_x64.__name__ == "enable_x64" and "64-bit" in options.enable_x64.__doc__


def test_host_options_are_per_thread_too_and_leave_the_context_alone():
    before = current_context()
    with options.log_compiles(True):
        assert config.addax_log_compiles is True and options.log_compiles.value is True
        assert current_context() is before
        assert in_new_thread(lambda: config.addax_log_compiles) is False
    assert config.addax_log_compiles is False


def test_many_threads_keep_their_own_context():
    def work(value):
        for _ in range(200):
            with options.default_matmul_precision(value):
                assert current_context().default_matmul_precision == value
        return current_context().default_matmul_precision

    results = []
    threads = [threading.Thread(target=lambda v=v: results.append(work(v))) for v in ("high", "highest", "default") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [None] * 6


# --- Contexts ---


@pytest.mark.usefixtures("unchecked")
def test_equal_contexts_are_one_object():
    base = current_context()
    with options.enable_x64(True), options.debug_nans(True):
        inner = current_context()
    assert current_context() is base
    with options.debug_nans(True), options.enable_x64(True):
        assert current_context() is inner
    assert context_of(enable_x64=True, debug_nans=True) is inner
    with options.enable_x64(False):  # the value it has anyway
        assert current_context() is base


def test_only_options_that_change_tracing_change_the_trace_key():
    plain, nans, x64 = context_of(), context_of(debug_nans=True), context_of(enable_x64=True)
    assert nans is not plain and nans.trace_key is plain.trace_key
    assert x64.trace_key is not plain.trace_key
    assert context_of(enable_x64=True, debug_nans=True).trace_key is x64.trace_key


def test_contexts_are_immutable_and_print_what_is_not_default():
    context = context_of(enable_x64=True)
    with pytest.raises(AttributeError, match=r"Context is immutable; write `with addax.enable_x64\(...\):`"):
        context.enable_x64 = False
    assert repr(context) == "Context(enable_x64=True)" and repr(context_of()) == "Context()"
    assert repr(context.trace_key) == "TraceKey(enable_x64=True)"
    with pytest.raises(AttributeError):
        context.no_such_option


def test_unused_contexts_are_freed():
    for seed in range(12000, 12100):
        with options.random_seed_offset(seed):
            assert current_context().random_seed_offset == seed
    gc.collect()
    alive = [x for x in gc.get_objects() if type(x) is options.Context and x.random_seed_offset >= 12000]
    assert len(alive) <= 32


def test_user_contexts_are_part_of_the_trace_key():
    mine = options.make_user_context(default_value="a", name="mine")
    base = current_context()
    assert mine.value == "a"
    with mine("b"):
        assert mine.value == "b" and current_context().trace_key is not base.trace_key
        inner = current_context()
    with mine("b"):
        assert current_context() is inner
    with mine(1):
        one = current_context()
    with mine(True):  # equal to 1, yet another value
        assert current_context() is not one
    assert mine.value == "a" and current_context() is base
    with pytest.raises(TypeError, match="unhashable"):
        mine([])


def test_scopes_are_known():
    from addax.core.context import _options

    assert {option.scope for option in _options.values()} == {TRACE, DISPATCH, HOST}
    assert all(option.doc.endswith(".") and option.expects for option in _options.values())


# --- Environment ---


def in_new_process(code, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "ADDAX_"))} | environment
    code = "import sys; sys.path[:] = " + repr(sys.path) + "\n" + code
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


PRINT = "from addax.core.config import config; print(config.addax_enable_x64, config.addax_random_seed_offset)"


@pytest.mark.parametrize(
    "environment, printed",
    [
        ({}, "False 0"),
        ({"ADDAX_ENABLE_X64": "1"}, "True 0"),
        ({"JAX_ENABLE_X64": "true", "ADDAX_RANDOM_SEED_OFFSET": "-3"}, "True -3"),
        ({"JAX_ENABLE_X64": "1", "ADDAX_ENABLE_X64": "0"}, "False 0"),
    ],
)
def test_environment_variables(environment, printed):
    assert in_new_process(PRINT, **environment).stdout.strip() == printed


def test_a_bad_environment_variable_names_itself():
    message = in_new_process(PRINT, ADDAX_ENABLE_X64="perhaps").stderr
    assert "environment variable ADDAX_ENABLE_X64: expected a truth value" in message
    message = in_new_process(PRINT, JAX_RANDOM_SEED_OFFSET="x").stderr
    assert "environment variable JAX_RANDOM_SEED_OFFSET: expected an int, got 'x'" in message
