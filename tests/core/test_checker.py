"""The type checker of jaxprs: what it accepts, what it finds, and what it says."""

import itertools
import re

import numpy as np
import pytest
from jaxpr_samples import F32, aval, lit, random_jaxpr, registered

from addax.core.avals import ShapedArray
from addax.core.checker import check_if_enabled, check_jaxpr
from addax.core.config import enable_checks
from addax.core.errors import JaxprTypeError
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var
from addax.core.parser import parse
from addax.core.source_info import user_frame


@pytest.fixture
def p():
    with registered() as primitives:
        yield primitives


def fails(jaxpr, message):
    with pytest.raises(JaxprTypeError, match=message) as caught:
        check_jaxpr(jaxpr)
    return str(caught.value)


@pytest.mark.parametrize("seed", range(30))
def test_well_typed_programs_pass(p, seed):
    check_jaxpr(random_jaxpr(p, seed, depth=3))


def test_weak_types_need_not_agree(p):
    x, y = Var(F32), Var(ShapedArray((), np.dtype("float32"), weak_type=True))
    check_jaxpr(Jaxpr([], [x], [y], [Eqn(p.sin, [x], [y], {})]))


def test_unbound_operand(p):
    x, y, stray = Var(F32), Var(F32), Var(F32)
    jaxpr = Jaxpr([], [x], [y], [Eqn(p.add, [x, stray], [y], {})])
    text = fails(jaxpr, "operand 1 of add is a variable that is not bound before this place")
    assert "  --> b:f32[] = add a c" in text and "The variable is c:f32[]." in text


def test_use_before_binding(p):
    x, y, z = Var(F32), Var(F32), Var(F32)
    fails(Jaxpr([], [x], [z], [Eqn(p.sin, [y], [z], {}), Eqn(p.sin, [x], [y], {})]), "equation 0: operand 0 of sin")


def test_unbound_result(p):
    assert "  --> in (a)" in fails(Jaxpr([], [], [Var(F32)], []), "in its results: result 0 of the jaxpr")


def test_variables_are_bound_once(p):
    x, y = Var(F32), Var(F32)
    fails(Jaxpr([], [x], [y], [Eqn(p.sin, [x], [y], {}), Eqn(p.sin, [x], [y], {})]), "in equation 1: result 0 of sin")
    fails(Jaxpr([], [x, x], [], []), "argument 1 is a variable that is bound already")
    fails(Jaxpr([x], [x], [], []), "argument 0 is a variable that is bound already")


def test_dropped_results_are_not_read(p):
    x, y = Var(F32), DropVar(F32)
    fails(Jaxpr([], [x], [y], [Eqn(p.sin, [x], [y], {})]), "result 0 of the jaxpr is a DropVar")


def test_wrong_result_type(p):
    x, y = Var(F32), Var(aval((3,), "int32"))
    jaxpr = Jaxpr([], [x], [y], [Eqn(p.sin, [x], [y], {}, source=user_frame())])
    text = fails(jaxpr, re.escape("result 0 of sin has the wrong type: expected f32[], found i32[3]"))
    assert re.search(r"The equation comes from .*test_checker\.py:\d+:\d+ \(test_wrong_result_type\)", text)


def test_number_of_results(p):
    x = Var(F32)
    fails(Jaxpr([], [x], [], [Eqn(p.split, [x], [Var(F32)], {})]), "two_halves has 2 results, this equation binds 1")


def test_operands_the_primitive_refuses(p):
    x, n = Var(F32), Var(aval((), "int32"))
    jaxpr = Jaxpr([], [x, n], [], [Eqn(p.add, [x, n], [Var(F32)], {})])
    fails(jaxpr, re.escape("add does not apply to f32[], i32[]: TypeError: add: dtypes differ"))


def test_unknown_parameters(p):
    x = Var(F32)
    fails(Jaxpr([], [x], [], [Eqn(p.add, [x, x], [Var(F32)], {"z": 1})]), "add does not apply to .* 'z'")


def test_literals_have_the_type_they_state(p):
    check_jaxpr(Jaxpr([], [], [lit(1.0), Literal(2, F32)], []))
    fails(
        Jaxpr([], [], [Literal(np.float32(1), aval((), "int32"))], []), r"expected a value of type i32\[\], found f32"
    )
    fails(
        Jaxpr([], [], [Literal(np.zeros(3, np.float32), F32)], []), r"expected a value of type f32\[\], found f32\[3\]"
    )


def test_jaxprs_inside_are_checked(p):
    x, y, z = Var(F32), Var(F32), Var(F32)
    inner = Jaxpr([], [z], [z], [Eqn(p.sin, [Var(F32)], [Var(F32)], {})])
    jaxpr = Jaxpr([], [x], [y], [Eqn(p.fork, [x], [y], {"branches": (ClosedJaxpr(inner),), "index": 0})])
    fails(jaxpr, r"is wrong, in a jaxpr of equation 0 \(fork\), in equation 0: operand 0 of sin")


def test_calls_match_what_they_call(p):
    inner = ClosedJaxpr(parse("{ lambda ; a:f32[3]. let  in (a,) }"))
    x, y = Var(F32), Var(aval((3,)))
    jaxpr = Jaxpr([], [x], [y], [Eqn(p.jit, [x], [y], {"jaxpr": inner, "name": "f"})])
    fails(jaxpr, re.escape("operand 0 of jit does not match the jaxpr it calls: expected f32[3], found f32[]"))
    jaxpr = Jaxpr([], [x], [y], [Eqn(p.jit, [], [y], {"jaxpr": inner, "name": "f"})])
    fails(jaxpr, "jit has 0 operands, the jaxpr it calls has 1")


def test_effects_are_listed(p):
    x = Var(F32)
    eqn = Eqn(p.store, [x], [], {"tag": "t"})
    fails(Jaxpr([], [x], [], [eqn]), "store has effects that the equation does not list: store-t")
    eqn = eqn.replace(effects=frozenset({"store-t"}))
    check_jaxpr(Jaxpr([], [x], [], [eqn]))
    fails(Jaxpr([], [x], [], [eqn], effects=frozenset()), "store has effects that the jaxpr does not list: store-t")


def test_constants_have_the_types_of_their_variables(p):
    jaxpr = Jaxpr([Var(F32)], [], [], [])
    check_jaxpr(ClosedJaxpr(jaxpr, [np.float32(1)]))
    fails(ClosedJaxpr(jaxpr, [np.int32(1)]), re.escape("constant 0 of this ClosedJaxpr: expected f32[], found a i32[]"))


def test_the_neighbourhood_is_shown(p):
    xs = [Var(F32) for _ in range(101)]
    eqns = [Eqn(p.sin, [a], [b], {}) for a, b in itertools.pairwise(xs)]
    eqns[50] = eqns[50].replace(outvars=[Var(aval((2,)))])
    lines = fails(Jaxpr([], xs[:1], [xs[50]], eqns), "in equation 50").split("\n")
    assert lines[1:3] == ["      lambda a:f32[]", "      ... 40 equations"]
    assert lines[-1] == "      ... 39 equations"
    marked = [i for i, line in enumerate(lines) if line.startswith("  --> ")]
    assert len(lines) == 25 and marked == [13] and lines[13] == "  --> bz:f32[2] = sin by"


def test_hook_follows_the_option(p):
    wrong = Jaxpr([], [], [Var(F32)], [])
    with enable_checks(False):
        check_if_enabled(wrong)
    with enable_checks(True), pytest.raises(JaxprTypeError):
        check_if_enabled(wrong)


def test_shared_jaxprs_are_checked_once(p):
    jaxpr = parse("{ lambda ; a:f32[]. let b:f32[] = sin a in (b,) }")
    for _ in range(60):  # 2**60 calls in all
        inner, (x, y, z) = ClosedJaxpr(jaxpr), (Var(F32) for _ in range(3))
        calls = [Eqn(p.jit, [a], [b], {"jaxpr": inner, "name": "f"}) for a, b in ((x, y), (y, z))]
        jaxpr = Jaxpr([], [x], [z], calls)
    check_jaxpr(jaxpr)
