"""Every option does what it says: NaN checks, leaks, logs, dumps, refusals."""

import logging
import warnings

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax.core import config as options
from addax.errors import UnexpectedTracerError

HERE = __file__


# --- debug_nans, debug_infs ---


def nans(fun, *args, infs=False):
    option = addax.debug_infs if infs else addax.debug_nans
    with option(True), pytest.raises(FloatingPointError) as caught:
        fun(*args)
    return str(caught.value)


def test_a_nan_of_an_eager_operation_is_reported_at_its_line():
    text = nans(lambda: jnp.log(jnp.float32(-1)))
    assert text.startswith(f"invalid value (nan) encountered in log at {HERE}:")
    assert text.endswith("The option addax_debug_nans is set; the value is the first such one in program order.")
    first = nans(lambda: jnp.log(jnp.float32(-2)))  # the same compiled program, from another line
    assert first.split(":")[1] != text.split(":")[1]


@addax.jit
def two_steps(x):
    y = jnp.sqrt(x)  # the line that is named
    return y + 1


def test_a_nan_in_a_compiled_program_is_found_at_the_line_that_makes_it():
    line = two_steps.__wrapped__.__code__.co_firstlineno + 2
    assert f"encountered in sqrt at {HERE}:{line}:" in nans(two_steps, -1.0)
    assert float(two_steps(4.0)) == 3.0


def test_nans_are_found_inside_loops_branches_and_gradients():
    body = addax.jit(lambda x: addax.lax.scan(lambda c, _: (jnp.log(c), None), x, None, length=3)[0])
    assert "encountered in log at" in nans(body, 0.5)
    branch = addax.jit(lambda x: addax.lax.cond(x > 0, jnp.sin, jnp.sqrt, x))
    assert "encountered in sqrt at" in nans(branch, -1.0)
    gradient = addax.jit(addax.grad(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0)))
    assert "invalid value (nan) encountered in" in nans(gradient, -1.0)
    assert "encountered in log" in nans(addax.vmap(jnp.log), jnp.array([1.0, -1.0]))


def test_a_nan_that_comes_in_is_blamed_on_the_argument():
    assert "encountered in the argument y of" in nans(addax.jit(lambda x, y: x + y), 1.0, np.array([np.nan]))


def test_infinities():
    assert "invalid value (inf) encountered in log at" in nans(lambda: jnp.log(jnp.float32(0)), infs=True)
    with addax.debug_nans(True):
        assert float(jnp.log(jnp.float32(0))) == -np.inf


def test_checked_programs_donate_still_and_leave_nothing_behind():
    f = addax.jit(lambda x: x * 2, donate_argnums=0)
    x = jnp.ones(3)
    with addax.debug_nans(True):
        f(x)
    assert x.is_deleted()
    assert np.isnan(jnp.log(jnp.float32(-1)))


# --- leaks ---

kept = []


def leaks(x):
    kept.append(jnp.sin(x))
    return x * 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: addax.jit(leaks)(1.0),
        lambda: addax.vmap(leaks)(jnp.ones(3)),
        lambda: addax.grad(leaks)(1.0),
        lambda: addax.jvp(leaks, (1.0,), (1.0,)),
        lambda: addax.lax.scan(lambda c, x: (leaks(c), x), 1.0, jnp.ones(3)),
        lambda: addax.make_jaxpr(leaks)(1.0),
    ],
)
def test_a_leak_is_reported_when_the_function_returns(call):
    try:
        with addax.checking_leaks(), pytest.raises(UnexpectedTracerError) as caught:
            call()
        text = str(caught.value)
        assert "outlive the" in text and "held by element 0 of a list, which is kept of module" in text
        assert "Return the value from the function instead of storing it" in text
    finally:
        kept.clear()


def test_programs_that_leak_nothing_pass():
    with addax.checking_leaks():
        f = addax.jit(lambda x: addax.grad(lambda x: addax.lax.scan(lambda c, y: (c * y, c), x, jnp.ones(3))[0])(x))
        assert float(f(2.0)) == 1.0


# --- disable_jit ---


def test_without_jit_functions_run_as_python():
    seen = []

    @addax.jit
    def f(x):
        seen.append(float(x))
        return x * 2 if x > 0 else -x

    with addax.disable_jit():
        assert float(f(3.0)) == 6.0 and float(f(-3.0)) == 3.0 and float(f(3.0)) == 6.0
        assert seen == [3.0, -3.0, 3.0]
        turns = []
        carry, ys = addax.lax.scan(
            lambda c, x: (c + (x if x > 0 else 0.0), turns.append(float(c)) or c), 0.0, jnp.arange(3.0)
        )
        assert turns == [0.0, 0.0, 1.0] and float(carry) == 3.0 and ys.tolist() == [0.0, 0.0, 1.0]
        assert float(addax.lax.while_loop(lambda x: x < 5, lambda x: turns.append(float(x)) or x + 2, 0.0)) == 6.0
        assert turns[3:] == [0.0, 2.0, 4.0]
        assert addax.lax.cond(True, lambda: "text", lambda: 1) == "text"
        assert float(addax.grad(addax.jit(lambda x: x**2))(3.0)) == 6.0
    with pytest.raises(addax.errors.ConcretizationTypeError):
        f(3.0)


# --- logs ---


def test_log_compiles(caplog):
    def logged(x):
        return x + 1

    with addax.log_compiles(True), caplog.at_level(logging.WARNING, "addax"):
        addax.jit(logged)(np.ones(3, "f4"))
    tracing, compiling = caplog.messages
    assert tracing.startswith(f"Finished tracing logged at {HERE}:") and "for jit in" in tracing
    assert compiling.startswith(f"Finished compilation of logged at {HERE}:") and "for types (f32[3])" in compiling


def test_explain_cache_misses(caplog):
    f = addax.jit(lambda x, n=1: x * n, static_argnames="n")
    with addax.explain_cache_misses(True), caplog.at_level(logging.WARNING, "addax"):
        f(1.0)
        f(np.float32(1))
        f(np.ones(3, "f4"))
        f(np.ones(3, "f4"), n=4)
        with addax.enable_x64(True):
            f(np.float32(1))
        f(1.0)  # no miss
    first, weak, shape, static, option = caplog.messages
    assert "is traced for the first time" in first and first.startswith(f"TRACING CACHE MISS at {HERE}:")
    assert "x is float32[], before float32[] of weak type (a Python number in one call, an array in the other" in weak
    assert "x is float32[3], before float32[] (each new shape is traced once" in shape
    assert "the static arguments are n=4, before none" in static
    assert "options differ: addax_enable_x64" in option


def test_no_tracing_and_no_execution():
    f = addax.jit(lambda x: x + 1)
    assert float(f(1.0)) == 2.0
    with addax.no_tracing(True):
        assert float(f(2.0)) == 3.0
        with pytest.raises(
            RuntimeError, match=r"re-tracing function <lambda> at .* for `jit`, but 'no_tracing' is set"
        ):
            f(np.ones(2))
    with addax.no_execution(True):
        with pytest.raises(RuntimeError, match=r"tried to execute <lambda> at .*, but the option addax_no_execution"):
            f(1.0)
        with pytest.raises(RuntimeError, match="addax tried to execute"):
            jnp.sin(1.0)
    assert float(f(1.0)) == 2.0


def test_captured_constants_are_mentioned():
    big = jnp.ones(1000)
    with options.captured_constants_warn_bytes(4000), pytest.warns(UserWarning, match="captured 4,000 bytes of arrays"):
        addax.jit(lambda x: x + big)(1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        addax.jit(lambda x: x + big)(1.0)


def test_dump_ir(tmp_path):
    def dumped(x):
        return jnp.sin(x) + 1

    with options.dump_ir_to(str(tmp_path)):
        addax.jit(dumped)(1.0)
    names = {path.name.split("_", 1)[1] for path in tmp_path.iterdir()}
    assert {
        "dumped.jaxpr.txt",
        "dumped.simplified.txt",
        "dumped.loops.txt",
        "dumped.llvm.txt",
        "dumped.asm.txt",
    } <= names
    jaxpr = next(path for path in tmp_path.iterdir() if path.name.endswith("dumped.jaxpr.txt"))
    assert "sin" in jaxpr.read_text()


# --- random numbers ---


def test_options_of_random_keys():
    with addax.enable_custom_prng(True):
        assert str(addax.random.PRNGKey(0).dtype) == "key<fry>"
    with (
        addax.legacy_prng_key("error"),
        pytest.raises(ValueError, match="Legacy uint32 key array passed as key to random"),
    ):
        addax.random.uniform(addax.random.PRNGKey(0))
    with addax.legacy_prng_key("warn"), pytest.warns(UserWarning, match="Legacy uint32 key array"):
        addax.random.uniform(addax.random.PRNGKey(0))
    with options.random_seed_offset(5):
        assert addax.random.key_data(addax.random.key(1)).tolist() == [0, 6]
    plain = addax.random.gumbel(addax.random.key(0), (3,))
    with options.high_dynamic_range_gumbel(True):
        assert addax.random.gumbel(addax.random.key(0), (3,)).tolist() == addax.random.gumbel(
            addax.random.key(0), (3,), mode="high"
        ).tolist()  # fmt: skip
        assert addax.random.gumbel(addax.random.key(0), (3,)).tolist() != plain.tolist()


# --- tracebacks ---


def breaks(x):
    return jnp.sin(x) + jnp.ones(3) @ jnp.ones(4)


def files_of(call):
    with pytest.raises(TypeError) as caught:
        call()
    return [entry.path for entry in caught.traceback]


def test_errors_show_the_lines_of_the_user_only():
    for call in (
        lambda: addax.jit(breaks)(1.0),
        lambda: addax.jit(lambda x: addax.grad(lambda y: addax.vmap(breaks)(y).sum())(x))(jnp.ones(2)),
        lambda: jnp.ones(3) + jnp.ones(4),
        lambda: jnp.sin("a"),
    ):
        assert {str(path) for path in files_of(call)} == {HERE}


def test_all_frames_can_be_shown():
    def shows_all():
        return any("addax" in str(path) and str(path) != HERE for path in files_of(lambda: addax.jit(breaks)(1.0)))

    with options.traceback_filtering("off"):
        assert shows_all()
        with options.traceback_filtering("remove_frames"):
            assert not shows_all()
    assert not shows_all()
    try:
        options.config.update("addax_traceback_filtering", "off")
        assert shows_all()
    finally:
        options.config.update("addax_traceback_filtering", "auto")
