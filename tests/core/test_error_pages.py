"""The programs on the errors' documentation pages: those that should fail do, with that error, and the others run."""

import doctest
import functools
import inspect
import re
import textwrap

import pytest

import addax
import addax.errors
import addax.numpy as jnp
from addax import random

PAGES = [
    cls
    for cls in (getattr(addax.errors, name) for name in addax.errors.__all__)
    if ">>>" in (inspect.getdoc(cls) or "")
]
CALLS = {
    "scale": "scale(jnp.ones(2))",
    "count_from": "count_from(10, 3)",
    "relu": "relu(1.0)",
    "f": "f(1.0)",
    "pick": "pick(1)",
    "positive": "positive(jnp.ones(2))",
}


def failing_programs(cls):
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", inspect.getdoc(cls) + "\n")
    return [textwrap.dedent(block) for block in blocks if ">>>" not in block]


@pytest.mark.parametrize("cls", PAGES, ids=lambda cls: cls.__name__)
def test_programs_that_run(cls):
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(cls), {}, cls.__name__, None, None)
    output = []
    result = doctest.DocTestRunner().run(test, out=output.append)
    assert result.attempted and not result.failed, "".join(output)


FAILING = [(cls, program) for cls in PAGES for program in failing_programs(cls)]


@pytest.mark.parametrize("cls, program", FAILING, ids=[cls.__name__ for cls, _ in FAILING])
def test_programs_that_fail(cls, program):
    names = re.findall(r"def (\w+)", program)
    if names and f"\n{names[0]}(" not in program:
        program += "\n" + CALLS[names[0]]
    scope = {"addax": addax, "jnp": jnp, "functools": functools, "random": random}
    with pytest.raises(cls) as caught:
        exec(program, scope)
    assert type(caught.value) is cls


def test_every_tracer_error_shows_a_failing_program():
    assert {cls.__name__ for cls, _ in FAILING} == {cls.__name__ for cls in PAGES} - {
        "TypePromotionError",
        "KeyReuseError",
    }
