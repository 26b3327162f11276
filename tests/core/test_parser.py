"""Reading jaxprs back: ``parse`` is the inverse of printing, and its errors point at the place."""

import math
import pickle
from enum import Enum, IntEnum
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest
from jaxpr_samples import F32, aval, evaluate, random_jaxpr, registered

from addax.core.checker import check_jaxpr
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var
from addax.core.notation import Notation, param_types, register_param_type
from addax.core.parser import JaxprSyntaxError, parse
from addax.core.primitive import Primitive


@pytest.fixture
def p():
    known = dict(param_types)
    with registered() as primitives:
        yield primitives
    param_types.clear()
    param_types.update(known)


def roundtrip(jaxpr, **options):
    parsed = parse(jaxpr.pretty_print(**options))
    assert str(parsed) == str(jaxpr)
    return parsed


def with_param(value, primitive=None):
    x, y = Var(F32), Var(F32)
    return Jaxpr([], [x], [y], [Eqn(primitive or Primitive("foo"), [x], [y], {"value": value})])


SIN = "{ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }"


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("seed", range(60))
def test_random_programs_come_back(p, seed):
    jaxpr = random_jaxpr(p, seed, depth=3, size=12)
    args = np.float32(0.3), np.float32(-0.7)
    expected = evaluate(jaxpr, *args)
    for width in (80, 20, 10**6):
        parsed = roundtrip(jaxpr, width=width)
        check_jaxpr(parsed)
        for got, want in zip(evaluate(parsed, *args), expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_margin_notes_and_effects_are_skipped(p):
    jaxpr = random_jaxpr(p, 3)
    roundtrip(jaxpr, source_info=True, name_stack=True, print_effects=True)


def test_hand_written_text(p):
    jaxpr = parse("""
        { lambda c:f32[3] ; a:f32[] b:i32[2,3].
          let
            x:f32[] _:f32[] = two_halves a  # both halves are the same
            y:f32[3] =
              mul x
                c
          in (y, 2.0:f32[], b) }
        """)
    assert [v.aval for v in jaxpr.constvars] == [aval((3,))]
    assert [v.aval for v in jaxpr.invars] == [F32, aval((2, 3), "int32")]
    assert type(jaxpr.eqns[0].outvars[1]) is DropVar
    assert jaxpr.eqns[1].invars == [jaxpr.eqns[0].outvars[0], jaxpr.constvars[0]]
    assert jaxpr.outvars[0] is jaxpr.eqns[1].outvars[0] and jaxpr.outvars[2] is jaxpr.invars[1]


@pytest.mark.parametrize(
    "value",
    [
        1, -3, 10**20, 2.5, -1e-10, math.inf, -math.inf, 1j, 1 + 2j, None, True, False, ...,
        "word", "<lambda>", "f.g", "two words", "1", "-1.5", "None", "inf", "float32", "f32", "sum",
        "", "{}", "it's", "a\nb",
        "(x)", "[", "x=1", "#", "np.int64", "3d", "jaxpr",
        np.dtype("float32"), np.dtype(ml_dtypes.bfloat16), np.dtype("bool"),
        (), (1,), (1, "i", None), [], [1, [2]], {}, {"a": 1, 2: (3,)}, {1}, frozenset({1}), slice(1, None), range(3),
        (np.int64(2), np.float32(1.5)), (np.dtype("int8"),), ((0, 1), ([0], [1])), (math.inf, -math.inf, 1.0), b"raw",
    ],
    ids=repr,
)  # fmt: skip
def test_parameter_values(p, value):
    parsed = roundtrip(with_param(value)).eqns[0].params["value"]
    assert type(parsed) is type(value) and parsed == value


def test_nan_parameter(p):
    assert math.isnan(roundtrip(with_param(math.nan)).eqns[0].params["value"])


def test_extended_dtypes(p):
    from addax.core import dtypes

    key = dtypes.dtype_from_short_name("key<fry>")
    assert roundtrip(with_param(key)).eqns[0].params["value"] == key
    assert parse("{ lambda ; a:key<fry>[2]. let  in (a,) }").invars[0].aval.dtype == key


class Numbers(NamedTuple):
    offset: tuple
    index: int


class Mode(Enum):
    CLIP = 0


class Level(IntEnum):
    HIGH = 2


def test_registered_parameter_types(p):
    for cls in (Numbers, Mode):
        register_param_type(cls)
    for value in (Numbers((1, 2), 3), Mode.CLIP, (Mode.CLIP, Mode.CLIP), {"a": Numbers((), 0)}):
        assert roundtrip(with_param(value)).eqns[0].params["value"] == value
    # A string that looks like a member is told apart.
    assert roundtrip(with_param("Mode.CLIP")).eqns[0].params["value"] == "Mode.CLIP"


def test_unregistered_parameter_types_are_named(p):
    with pytest.raises(JaxprSyntaxError, match=r"type Numbers cannot be read.*register_param_type\(Numbers\)"):
        parse(str(with_param(Numbers((1, 2), 3))))


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("2.0:f32[]", np.float32(2.0)),
        ("0.10000000149011612:f32[]", np.float32(0.1)),
        ("0.10009765625:bf16[]", ml_dtypes.bfloat16(0.1)),
        ("-3:i8[]", np.int8(-3)),
        ("18446744073709551615:u64[]", np.uint64(2**64 - 1)),
        ("True:bool[]", np.True_),
        ("(1+2j):c64[]", np.complex64(1 + 2j)),
        ("-1j:c64[]", np.complex64(-1j)),
        ("-inf:f32[]", np.float32(-np.inf)),
    ],
)
def test_literals(p, literal, value):
    text = f"{{ lambda ; . let  in ({literal},) }}"
    parsed = parse(text)
    assert str(parsed) == text
    assert type(parsed.outvars[0]) is Literal
    assert parsed.outvars[0].val == value and parsed.outvars[0].val.dtype == value.dtype


def test_words_that_are_also_names_of_variables(p):
    xs = [Var(F32) for _ in range(9000)]
    e = Primitive("e", multiple_results=True)
    picked = [xs[221], xs[5751], xs[8801]]  # in, inf, nan
    jaxpr = Jaxpr([], xs, picked, [Eqn(e, picked, [], {}), Eqn(e, [xs[221]], [], {})])
    text = str(jaxpr)
    assert "e in inf nan" in text and text.endswith("in (in, inf, nan) }")
    roundtrip(jaxpr)
    roundtrip(jaxpr, width=10**6)


def test_jaxprs_inside_are_closed_unless_the_notation_says_open(p):
    text = f"{{ lambda ; a:f32[]. let b:f32[] = jit[name=f jaxpr={SIN}] a in (b,) }}"
    assert type(parse(text).eqns[0].params["jaxpr"]) is ClosedJaxpr
    p.jit.notation = Notation(first=("name",), call="jaxpr", open=("jaxpr",))
    assert type(parse(text).eqns[0].params["jaxpr"]) is Jaxpr


def test_jaxprs_written_apart_are_shared_again(p):
    text = f"let f = {SIN} in\n{{ lambda ; a:f32[]. let b:f32[] = fork[branches=(f f) index=0] a in (b,) }}"
    branches = parse(text).eqns[0].params["branches"]
    assert branches[0].jaxpr is branches[1].jaxpr


def test_jaxprs_written_apart_may_refer_to_later_ones(p):
    text = (
        "let g = { lambda ; a:f32[]. let b:f32[] = jit[name=f jaxpr=f] a in (b,) } in\n"
        f"let f = {SIN} in\n"
        "{ lambda ; a:f32[]. let b:f32[] = jit[name=g jaxpr=g] a in (b,) }"
    )
    np.testing.assert_array_equal(evaluate(parse(text), np.float32(1.0)), [np.sin(np.float32(1.0))])


def test_a_string_that_names_a_jaxpr(p):
    inner = ClosedJaxpr(parse(SIN), [])
    x, y, z = Var(F32), Var(F32), Var(F32)
    eqns = [Eqn(p.jit, [a], [b], {"jaxpr": inner, "name": "f", "note": "f"}) for a, b in ((x, y), (y, z))]
    parsed = roundtrip(Jaxpr([], [x], [z], eqns))
    assert parsed.eqns[0].params["note"] == parsed.eqns[0].params["name"] == "f"


def test_effects_are_worked_out(p):
    jaxpr = parse("{ lambda ; a:f32[]. let store[tag=x] a in () }")
    assert jaxpr.effects == jaxpr.eqns[0].effects == {"store-x"}
    assert roundtrip(jaxpr, print_effects=True).effects == {"store-x"}


# --- Errors ---


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, r"expected '\{' and a jaxpr, found the end"),
        ("{ lambda a", 1, 10, "expected ';' between the constants and the arguments, found 'a'"),
        ("{ lambda ; a:f32[]", 1, 19, r"expected '\.' after the arguments"),
        ("{ lambda ; a:f33[]. let  in () }", 1, 14, "unknown dtype name 'f33'. Did you mean 'f32'"),
        ("{ lambda ; a:f32(). let  in () }", 1, 14, r"expected a type such as f32\[2,3\]"),
        ("{ lambda ; a:f32[] a:f32[]. let  in () }", 1, 20, "the variable 'a' is bound twice"),
        ("{ lambda ; . let\n    b:f32[] = sin c\n  in (b,) }", 2, 19, "the variable 'c' is not bound here"),
        (
            "{ lambda ; a:f32[]. let\n b:f32[] = sine a\n in () }",
            2,
            12,
            "there is no primitive 'sine'. Did you mean 'sin'",
        ),
        ("{ lambda ; a. let b = sin a in (b,) }", 1, 12, r"expected '\.' after the arguments"),
        ("{ lambda ; a:f32[]. let b = sin a in (b,) }", 1, 26, "expected ':' and the type of the variable 'b'"),
        ("{ lambda ; a:f32[]. let b:f32[] = sin[x] a in () }", 1, 39, "expected a parameter 'name=value' of sin"),
        ("{ lambda ; a:f32[]. let b:f32[] = sin[x=1 x=2] a in () }", 1, 43, "the parameter 'x' of sin is given twice"),
        ("{ lambda ; a:f32[]. let b:f32[] = sin[x=(1, 2] a in () }", 1, 46, r"expected ',' or '\)'"),
        ("{ lambda ; a:f32[]. let b:f32[] = sin[x=<function f at 0x7f>] a in () }", 1, 41, "is a Python object"),
        ("{ lambda ; a:f32[]. let b:f32[] = sin a", 1, 40, r"expected an equation or 'in \(results\)'"),
        ("{ lambda ; a:f32[]. let  in (a) } x", 1, 35, "expected the end of the text, found 'x'"),
        ("{ lambda ; . let  in (1.5:i32[],) }", 1, 23, r"1\.5 is not a value of type i32"),
        ("{ lambda ; . let  in (1:bool[],) }", 1, 23, r"1 is not a value of type bool"),
        ("{ lambda ; . let  in (300:i8[],) }", 1, 23, r"300 is not a value of type i8\[\]"),
        ("{ lambda ; . let  in (one:f32[],) }", 1, 23, "'one' is not a number"),
        ("{ lambda ; . let  in ([...]:f32[3],) }", 1, 23, "the value of this constant array is not in the text"),
        ("let f = { lambda ; . let  in () in { }", 1, 9, "this '{' is never closed"),
    ],
)
def test_errors_say_where_and_what(p, text, line, column, message):
    with pytest.raises(JaxprSyntaxError, match=message) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_errors_show_the_place(p):
    with pytest.raises(JaxprSyntaxError) as caught:
        parse("{ lambda ; a:f32[]. let\n    b:f32[] = sin ?\n  in (b,) }")
    assert str(caught.value).split("\n")[1:] == ["      b:f32[] = sin ?", "                    ^"]


def test_nesting_too_deep_for_the_stack_is_said(p):
    text = "{ lambda ; . let jit[name=f jaxpr=" * 1000 + "{ lambda ; . let  in () }" + "]  in () }" * 1000
    with pytest.raises(JaxprSyntaxError, match="nested too deeply") as caught:
        parse(text)
    assert caught.value.__suppress_context__


def test_errors_can_be_pickled(p):
    with pytest.raises(JaxprSyntaxError) as caught:
        parse("{ lambda")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.line, again.column) == (str(caught.value), 1, 9)


def test_functions_cannot_be_read(p):
    p.sin.notation = Notation(functions=("jvp",))
    with pytest.raises(JaxprSyntaxError, match="the parameter 'jvp' of sin is a Python function"):
        parse("{ lambda ; a:f32[]. let b:f32[] = sin[jvp=f] a in (b,) }")


def test_constants_of_inner_jaxprs_cannot_be_read(p):
    inner = "{ lambda c:f32[]; a:f32[]. let  in (a,) }"
    with pytest.raises(JaxprSyntaxError, match="the values of the constants of this jaxpr are not in the text"):
        parse(f"{{ lambda ; a:f32[]. let b:f32[] = jit[name=f jaxpr={inner}] a in (b,) }}")


def test_a_jaxpr_cannot_contain_itself(p):
    text = "let f = { lambda ; . let jit[name=f jaxpr=f]  in () } in\n{ lambda ; . let jit[name=f jaxpr=f]  in () }"
    with pytest.raises(JaxprSyntaxError, match="the jaxpr 'f' contains itself"):
        parse(text)
