"""The printed form of jaxprs, held against JAX's own printer."""

import itertools
import re
from enum import Enum
from typing import NamedTuple

import numpy as np
import pytest
from jaxpr_samples import F32, aval, jit_results_all_read, lit, random_jaxpr, registered, to_jax

from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var
from addax.core.notation import Derived, Notation
from addax.core.primitive import Primitive


@pytest.fixture
def p():
    with registered() as primitives:
        yield primitives


def chain(p, n, names=1):
    """``sin`` applied n times."""
    variables = [Var(F32) for _ in range(n + 1)]
    eqns = [Eqn(p.sin, [a], [b], {}) for a, b in itertools.pairwise(variables)]
    return Jaxpr([], variables[:names], variables[-1:], eqns)


def applied(primitive, x=None, outs=1, **params):
    x = x or Var(F32)
    ys = [Var(F32) for _ in range(outs)]
    return Jaxpr([], [x], ys, [Eqn(primitive, [x], ys, params)])


def same_as_jax(jaxpr):
    assert str(jaxpr) == str(to_jax(jaxpr))


class Mode(Enum):
    CLIP = 0


class Numbers(NamedTuple):
    offset: tuple
    index: int


def test_small_programs_print_on_one_line(p):
    assert str(chain(p, 1)) == "{ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }"
    assert str(ClosedJaxpr(chain(p, 0), [])) == "{ lambda ; a:f32[]. let  in (a,) }"


def test_longer_programs_print_one_equation_a_line(p):
    x, y, z = (Var(aval((2, 3))) for _ in range(3))
    eqns = [Eqn(p.sin, [x], [y], {}), Eqn(p.power, [y], [z], {"y": 2})]
    assert str(Jaxpr([], [x], [z], eqns)) == (
        "{ lambda ; a:f32[2,3]. let\n    b:f32[2,3] = sin a\n    c:f32[2,3] = integer_pow[y=2] b\n  in (c,) }"
    )


def test_constants_stand_before_the_semicolon(p):
    c, x = Var(aval((3,), "int32")), Var(F32)
    assert str(Jaxpr([c], [x], [c, x], [])) == "{ lambda a:i32[3]; b:f32[]. let  in (a, b) }"


def test_names_count_in_base_26(p):
    text = str(chain(p, 702))
    assert re.findall(r"(\w+):f32\[\] = ", text)[24:28] == ["z", "ba", "bb", "bc"]
    assert re.findall(r"(\w+):f32\[\] = ", text)[674:677] == ["zz", "baa", "bab"]


@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_random_programs_print_as_in_jax(p, seed):
    programs = [random_jaxpr(p, s, depth=3, size=12) for s in range(seed, seed + 20)]
    programs = [jaxpr for jaxpr in programs if jit_results_all_read(jaxpr)]
    assert len(programs) > 3
    for jaxpr in programs:
        same_as_jax(jaxpr)


@pytest.mark.parametrize("n", [10, 11])
def test_jaxprs_of_more_than_ten_equations_are_written_apart(p, n):
    jaxpr = applied(p.jit, jaxpr=ClosedJaxpr(chain(p, n)), name="f")
    assert str(jaxpr).startswith("let f = {") == (n > 10)
    same_as_jax(jaxpr)


def test_shared_jaxprs_are_written_once(p):
    inner, other = ClosedJaxpr(chain(p, 1)), ClosedJaxpr(chain(p, 2))
    x = Var(F32)
    y, z, u = (Var(F32) for _ in range(3))
    eqns = [
        Eqn(p.jit, [x], [y], {"jaxpr": inner, "name": "f"}),
        Eqn(p.jit, [y], [z], {"jaxpr": inner, "name": "f"}),
        Eqn(p.fork, [z], [u], {"branches": (other, other), "index": 0}),
    ]
    jaxpr = Jaxpr([], [x], [u], eqns)
    assert str(jaxpr) == (
        "let f = { lambda ; a:f32[]. let b:f32[] = sin a in (b,) } in\n"
        "let jaxpr = { lambda ; c:f32[]. let d:f32[] = sin c; e:f32[] = sin d in (e,) } in\n"
        "{ lambda ; g:f32[]. let\n"
        "    h:f32[] = jit[name=f jaxpr=f] g\n"
        "    i:f32[] = jit[name=f jaxpr=f] h\n"
        "    j:f32[] = fork[branches=(jaxpr jaxpr) index=0] i\n"
        "  in (j,) }"
    )
    same_as_jax(jaxpr)


def test_calls_keep_the_outer_names_inside(p):
    jaxpr = applied(p.jit, jaxpr=ClosedJaxpr(chain(p, 1)), name="f")
    assert str(jaxpr) == (
        "{ lambda ; a:f32[]. let\n"
        "    b:f32[] = jit[\n"
        "      name=f\n"
        "      jaxpr={ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }\n"
        "    ] a\n"
        "  in (b,) }"
    )
    same_as_jax(jaxpr)


def test_a_call_result_that_nobody_reads_keeps_a_name_inside(p):
    x, y, inner = Var(F32), Var(F32), chain(p, 2)
    inner = inner.replace(outvars=[inner.eqns[0].outvars[0], inner.eqns[1].outvars[0]])
    eqn = Eqn(p.jit, [x], [DropVar(F32), y], {"jaxpr": ClosedJaxpr(inner), "name": "f"})
    assert "{ lambda ; a:f32[]. let c:f32[] = sin a; b:f32[] = sin c in (c, b) }" in str(Jaxpr([], [x], [y], [eqn]))


def test_results_nobody_reads_print_as_underscore(p):
    x, y = Var(F32), Var(F32)
    eqns = [Eqn(p.split, [x], [y, DropVar(F32)], {}), Eqn(p.sin, [x], [Var(F32)], {})]
    assert str(Jaxpr([], [x], [y], eqns)) == (
        "{ lambda ; a:f32[]. let\n    b:f32[] _:f32[] = two_halves a\n    _:f32[] = sin a\n  in (b,) }"
    )


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (2.0, "float32", "2.0:f32[]"),
        (0.1, "float32", "0.10000000149011612:f32[]"),
        (0.1, "float64", "0.1:f64[]"),
        (1e20, "float32", "1.0000000200408773e+20:f32[]"),
        (3, "int8", "3:i8[]"),
        (np.int32(-3), "int32", "-3:i32[]"),
        (True, "bool", "True:bool[]"),
        (1 + 2j, "complex64", "(1+2j):c64[]"),
        (1j, "complex64", "1j:c64[]"),
        (-0.0, "float32", "-0.0:f32[]"),
        (float("-inf"), "float32", "-inf:f32[]"),
        (float("nan"), "float32", "nan:f32[]"),
        (np.ones(3), "float32", "[...]:f32[]"),
    ],
)
def test_literals(p, value, dtype, text):
    assert str(Jaxpr([], [], [Literal(value, aval((), dtype))], [])) == f"{{ lambda ; . let  in ({text},) }}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (2.5, "2.5"),
        (None, "None"),
        (np.dtype("float32"), "float32"),
        ("word", "word"),
        ("two words", "'two words'"),
        ("1", "'1'"),
        ("None", "'None'"),
        ("float32", "'float32'"),
        ("", "''"),
        ("{}", "'{}'"),
        ((1,), "(1,)"),
        (("i",), "('i',)"),
        ({"z": 1}, "{'z': 1}"),
        (Mode.CLIP, "Mode.CLIP"),
        (Numbers((1,), 2), "Numbers(offset=(1,), index=2)"),
        (np.int64(3), "3"),
    ],
)
def test_parameters(p, value, text):
    assert f"foo[k={text}] a" in str(applied(Primitive("foo"), k=value))


def test_parameters_in_the_order_of_their_names(p):
    same_as_jax(applied(Primitive("foo"), b=1, a=2, c=(3,), B=4))


def test_parameters_too_long_for_the_line_stand_on_their_own_lines(p):
    same_as_jax(applied(Primitive("foo"), **{k: k * 12 for k in "abcdef"}))
    for n in range(60, 75):
        same_as_jax(applied(Primitive("foo"), a=tuple(range(5)), b="x" * n))


def test_long_lists_of_variables_fill_the_lines(p):
    xs = [Var(aval((100,))) for _ in range(30)]
    ys = [Var(aval((100,))) for _ in range(30)]
    e = Primitive("e", multiple_results=True)
    same_as_jax(Jaxpr(xs[:20], xs[20:], ys, [Eqn(e, xs, ys, {"k": 1})]))


def test_tuples_of_jaxprs(p):
    branches = tuple(ClosedJaxpr(chain(p, n)) for n in (1, 3))
    same_as_jax(applied(p.fork, branches=branches, index=1))
    same_as_jax(applied(p.fork, branches=branches[:1], index=0))
    same_as_jax(applied(Primitive("foo"), jaxprs=list(branches)))


def test_a_notation_leaves_out_what_goes_without_saying(p):
    primitive = Primitive("foo")
    primitive.notation = Notation(
        first=("z",), omit={"shape": Derived(lambda ins, outs: outs[0].shape), "m": None}, functions=("f",)
    )
    jaxpr = applied(primitive, shape=(), m=None, z=1, a=2, f=np.mean)
    assert "foo[z=1 a=2 f=mean] a" in str(jaxpr)
    assert "foo[z=1 a=2 f=mean m=3 shape=(2,)] a" in str(applied(primitive, shape=(2,), m=3, z=1, a=2, f=np.mean))
    assert "shape=()" in jaxpr.pretty_print(custom_pp_eqn_rules=False)


def test_false_is_not_the_usual_zero(p):
    primitive = Primitive("foo")
    primitive.notation = Notation(omit={"n": 0})
    assert "foo[n=False] a" in str(applied(primitive, n=False))


def located(p, depth=2):
    from addax.core.source_info import user_frame

    x, y, z = (Var(F32) for _ in range(3))
    return Jaxpr(
        [], [x], [z], [Eqn(p.sin, [x], [y], {}, source=user_frame()), Eqn(p.cos, [y], [z], {}, source=user_frame())]
    )


def test_source_info_stands_in_the_margin(p):
    first, second = located(p).pretty_print(source_info=True).split("\n")
    assert re.fullmatch(r"\{ .* in \(c,\) \} # .*test_printer\.py:\d+:\d+ \(located\)", first)
    assert re.fullmatch(r" +# .*test_printer\.py:\d+:\d+ \(located\)", second)
    assert first.index("#") == second.index("#")


def test_options_match_jax(p):
    jaxpr = random_jaxpr(p, 4, depth=2, size=12)
    jax_jaxpr = to_jax(jaxpr)
    for options in ({"print_shapes": False}, {"use_color": True}, {"print_effects": True}):
        assert jaxpr.pretty_print(**options) == jax_jaxpr.pretty_print(**options), options


def test_name_stack_margin_aligns_as_in_jax(p):
    for n in (1, 2, 3, 6):
        jaxpr = chain(p, n)
        assert jaxpr.pretty_print(name_stack=True) == to_jax(jaxpr).pretty_print(name_stack=True)


def test_width(p):
    assert chain(p, 1).pretty_print(width=20) == "{ lambda ; a:f32[]. let\n    b:f32[] = sin a\n  in (b,) }"
    assert "\n" not in chain(p, 100).pretty_print(width=10**6)


def test_equations_print_alone(p):
    assert repr(Eqn(p.add, [Var(F32), lit(1.0)], [Var(F32)], {})) == "a:f32[] = add b 1.0:f32[]"


def test_html_is_escaped(p):
    html = applied(p.jit, jaxpr=ClosedJaxpr(chain(p, 1)), name="<lambda>")._repr_html_()
    assert html.startswith("<pre>{ lambda") and "&lt;lambda&gt;" in html


def test_deep_nesting_needs_no_stack(p):
    jaxpr = chain(p, 1)
    for _ in range(1500):
        jaxpr = applied(p.jit, jaxpr=ClosedJaxpr(jaxpr), name="f")
    assert str(jaxpr).count("{ lambda") == 1501


def test_shared_structure_is_not_expanded(p):
    jaxpr = chain(p, 1)
    for _ in range(40):
        inner, (x, y, z) = ClosedJaxpr(jaxpr), (Var(F32) for _ in range(3))
        calls = [Eqn(p.jit, [a], [b], {"jaxpr": inner, "name": "f"}) for a, b in ((x, y), (y, z))]
        jaxpr = Jaxpr([], [x], [z], calls)
    assert str(jaxpr).count("{ lambda") == 41
