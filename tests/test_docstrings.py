"""The examples in the docstrings of the whole package do what they say."""

import doctest
import importlib
import pkgutil
import warnings

import pytest

import addax
from addax import _native

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(addax.__path__, "addax.") if "._native" not in m.name and ".xla" not in m.name
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FINDER = doctest.DocTestFinder(exclude_empty=True)
PARSER = doctest.DocTestParser()


def examples(module):
    """The doctests of a module, also those of functions that are objects of the native runtime."""
    yield from FINDER.find(module, module.__name__)
    for name, value in vars(module).items():
        if isinstance(value, _native.Fn) and getattr(value, "__module__", None) == module.__name__:
            test = PARSER.get_doctest(
                value.__doc__ or "", vars(module), f"{module.__name__}.{name}", module.__file__, 0
            )
            if test.examples:
                yield test


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in examples(module):
        test.globs = {"__name__": "__main__"} | dict(test.globs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)
