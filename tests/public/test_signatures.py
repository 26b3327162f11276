"""JAX's public names are here, and functions take their arguments by the same names, in the same order and kinds, with
the same defaults.
"""

import importlib
import inspect

import jax
import numpy as np
import pytest

import addax

MODULES = [
    "numpy", "numpy.linalg", "numpy.fft", "lax", "lax.linalg", "random", "nn", "nn.initializers", "image", "ops", "dlpack",
    "flatten_util", "tree", "tree_util", "scipy.special", "scipy.linalg", "scipy.stats", "scipy.signal", "scipy.fft",
    "scipy.ndimage", "scipy.optimize", "scipy.integrate", "scipy.interpolate", "scipy.cluster.vq", "scipy.sparse.linalg",
    "scipy.spatial.transform",
]  # fmt: skip

# What is not here: tokens, a hidden state and the like, and primitives without a counterpart.
ABSENT = {
    "lax": "RandomAlgorithm after_all create_token dce_sink precv psend rng_bit_generator rng_uniform stage".split(),
    "tree_util": ["default_registry"],
}

# What differs on purpose, and why.
EXCEPT = {
    "numpy.array": "JAX's positional `copy` is on its way out; here it is where it was",
    "lax.random_gamma_grad": "(*args) in JAX",
    "numpy.result_type": "`return_weak_type_flag` is that of jax.dtypes.result_type",
    "lax.while_loop": "`checkpoints` says how much memory the derivative may take",
    "lax.fori_loop": "`checkpoints` likewise",
}


def parameters(fun) -> list[tuple]:
    """``(name, kind, default)`` of each. Defaults that are only there to be recognised are alike, and so are names by
    which nothing can be given.
    """

    def default(value):
        value = value.item() if isinstance(value, np.generic) else value
        return repr(value) if isinstance(value, (bool, int, float, str, tuple, None.__class__)) else "unspecified"

    return [
        (
            "" if p.kind is p.POSITIONAL_ONLY else p.name,
            p.kind,
            default(p.default) if p.default is not p.empty else p.empty,
        )
        for p in inspect.signature(fun).parameters.values()
        if p.name[0] != "_"
    ]


def functions(ours, theirs) -> dict:
    """Name -> (our function, JAX's), for all that JAX has in a module or class and that both can show the parameters of."""
    pairs = {}
    for name in dir(theirs):
        f, g = getattr(ours, name, None), getattr(theirs, name)
        if name.startswith("_") or not callable(f) or inspect.isclass(g) or inspect.ismodule(g):
            continue
        try:
            inspect.signature(f), inspect.signature(g)
        except (TypeError, ValueError):  # built in
            continue
        pairs[name] = f, g
    return pairs


@pytest.mark.parametrize("name", MODULES)
def test_names_and_parameters_are_those_of_jax(name):
    ours, theirs = (importlib.import_module(f"{library}.{name}") for library in ("addax", "jax"))
    missing = {n for n in dir(theirs) if n[0] != "_" and not n.endswith("_p") and not hasattr(ours, n)}
    assert missing == set(ABSENT.get(name, ()))
    different = {}
    for short, (f, g) in functions(ours, theirs).items():
        if isinstance(g, jax.numpy.ufunc):
            got, want = len(parameters(f)), g.nin
        else:
            got, want = parameters(f), parameters(g)
        if got != want and f"{name}.{short}" not in EXCEPT:
            different[short] = (got, want)
    assert not different


def test_parameters_of_methods():
    """An array's methods; what they are called on is never given by name. Some take more keywords."""
    methods = functions(type(addax.numpy.ones(1)), type(jax.numpy.ones(1)))
    assert len(methods) > 40
    different = {}
    for short, (f, g) in methods.items():
        got, want = ({p[0]: p for p in parameters(x)[1:]} for x in (f, g))
        if {n: p for n, p in got.items() if n in want} != want:
            different[short] = (got, want)
    assert not different
