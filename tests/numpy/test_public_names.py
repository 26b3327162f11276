"""The public names of addax.numpy: those of jax.numpy, each listed once, also where it is loaded when first used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import addax.numpy as jnp


@pytest.mark.parametrize("module", sorted(jnp._LAZY_NAMES))
def test_lazy_names_are_those_of_their_module(module):
    names = importlib.import_module(f"addax.numpy.{module}").__all__
    assert sorted(jnp._LAZY_NAMES[module]) == sorted(names)
    assert set(names) <= set(dir(jnp))
    assert module not in names  # else importing the module would hide the function


def test_lazy_modules_are_not_loaded_by_import():
    code = "import sys, addax.numpy as n; print([m for m in n._LAZY_NAMES if f'addax.numpy.{m}' in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'no_such_function'"):
        jnp.no_such_function


def test_star_import_brings_all_of_them():
    ours, theirs = {}, {}
    exec("from addax.numpy import *", ours)
    exec("from jax.numpy import *", theirs)
    assert not {n for n in theirs if not n.startswith("_")} - set(ours)
