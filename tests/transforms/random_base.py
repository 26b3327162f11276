"""Random programs, the same for addax and for JAX.

A program is a number. `Body` turns it into a function that takes and returns lists of arrays: it draws step after step,
and what it draws depends on nothing but the number and the shapes and dtypes of the values so far, so every call, in
either library and under any transformation, builds the same program. The steps are registered by random_steps.py,
random_functions.py and random_inner.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LARGEST = 60  # elements of a value
STEPS: list[tuple[float, Callable]] = []  # weight, step


def step(weight: float = 1.0):
    def register(fun):
        STEPS.append((weight, fun))
        return fun

    return register


@dataclass
class Lib:
    """One of the two libraries."""

    m: Any
    np: Any
    lax: Any
    nn: Any
    mode: str = ""  # "forward" or "reverse": take all derivatives that way, for JAX refuses the other for some programs
    calls_back: bool = True  # or callbacks are traced: what they compute is all that is asked of JAX


class Draw:
    """Choices that depend on a number only."""

    def __init__(self, *seed: int):
        self.rng = np.random.default_rng(seed)

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def of(self, options):
        return options[self.below(len(options))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def seed(self) -> int:
        return int(self.rng.integers(2**31))

    def constant(self, shape, dtype="float32") -> np.ndarray:
        return np.asarray(self.rng.uniform(-1.5, 1.5, shape).astype(dtype))


class Skip(Exception):
    """What was drawn does not fit: the step is left out."""


@dataclass
class Rules:
    """What a program may contain."""

    reverse: bool = False  # reverse mode passes over it: fewer loops of unknown length, for JAX refuses them
    depth: int = 2  # of inner functions
    length: int = 5
    dropped: frozenset = field(default_factory=frozenset)  # steps left out, to make a failing program smaller

    def inner(self, length: int = 2, reverse: bool = False) -> Rules:
        return Rules(self.reverse or reverse, self.depth - 1, length, self.dropped)


def is_float(x) -> bool:
    return np.dtype(x.dtype).kind == "f" or str(x.dtype) == "bfloat16"


def is_inexact(x) -> bool:
    return is_float(x) or np.dtype(x.dtype).kind == "c"


def size(x) -> int:
    return int(np.prod(x.shape))


class Body:
    """The function of a number. ``one``: it returns a value of the type of its first argument (for loop carries)."""

    def __init__(self, seed: int, rules: Rules, keeps: int = 0):
        self.seed, self.rules, self.keeps = seed, rules, keeps
        self.trail: list[str] = []

    def __call__(self, lib: Lib, *args):
        draw = Draw(self.seed)
        values = [lib.np.asarray(x) for x in args]
        self.trail = []
        weights = np.cumsum([w for w, _ in STEPS])
        for i in range(self.rules.length):
            seed, at = draw.seed(), draw.rng.random() * weights[-1]
            fun = STEPS[int(np.searchsorted(weights, at))][1]
            if (self.seed, i) in self.rules.dropped:
                continue
            try:
                out = fun(lib, Draw(seed), values, self.rules)
            except Skip:
                continue
            outs = out if isinstance(out, (list, tuple)) else [out]
            outs = [lib.np.asarray(x) for x in outs]
            if any(size(x) > LARGEST for x in outs):
                continue
            values += outs
            self.trail.append(f"{fun.__name__}: {', '.join(f'{x.dtype}{list(x.shape)}' for x in outs)}")
        if self.keeps:
            return [as_type(lib, values[-1 - k], values[k], draw) for k in range(self.keeps)]
        wanted = [values[-1]]
        if len(values) > 1 and draw.chance(0.4):
            wanted.append(draw.of(values))
        return wanted


def as_type(lib, x, like, draw):
    """A value of the shape and dtype of ``like`` made from ``x``."""
    np_ = lib.np
    if is_inexact(x) and not is_inexact(like):
        x = np_.sign(np_.real(x))
    if np.dtype(x.dtype).kind == "c" and np.dtype(like.dtype).kind != "c":
        x = np_.real(x)
    if x.shape != like.shape:
        x = np_.sum(x) * 0.25 if is_inexact(x) else np_.max(x) if size(x) else np_.zeros((), x.dtype)
    x = x.astype(like.dtype)
    out = np_.tanh(x) * 0.5 if is_inexact(like) else x
    if is_inexact(like):
        out = out + like * 0.5
    elif like.dtype == bool:
        out = out ^ like
    else:
        out = out - like // 2
    return out.astype(like.dtype)


def floats(draw, values, least: int = 0, largest: int = LARGEST):
    fit = [x for x in values if is_float(x) and len(x.shape) >= least and size(x) <= largest]
    if not fit:
        raise Skip
    return fit[-1] if draw.chance(0.6) else draw.of(fit)


def anything(draw, values, least: int = 0):
    fit = [x for x in values if len(x.shape) >= least]
    if not fit:
        raise Skip
    return fit[-1] if draw.chance(0.5) else draw.of(fit)


def scalar_float(lib, draw, values):
    return lib.np.mean(floats(draw, values)).astype("float32")


def predicate(lib, draw, values):
    return scalar_float(lib, draw, values) > draw.of([-0.3, 0.1, 0.6])


def axis_of(draw, x) -> int:
    return draw.below(len(x.shape)) - (len(x.shape) if draw.chance(0.3) else 0)


def scalarise(L, outs):
    total = 0.0
    for k, y in enumerate(outs):
        if is_inexact(y):
            total = total + L.np.sum(L.np.real(y).astype("float32")) * (0.7 + 0.2 * k)
    return L.np.asarray(total, "float32")


def tree_leaves(L, out):
    return [L.np.asarray(x) for x in L.m.tree.leaves(out)]


# -- derivatives: with the mode of the library, what the other one would give is computed from whole Jacobians


def jacobian(L, name, f, x):
    """``name``: jacfwd, whose dtypes are those of the results, or jacrev, that of ``x``."""
    if L.mode == "forward" and name == "jacrev":
        return L.m.tree.map(lambda j: j.astype(L.np.asarray(x).dtype), L.m.jacfwd(f)(x))
    if L.mode == "reverse" and name == "jacfwd":
        return L.m.tree.map(lambda j, y: j.astype(L.np.asarray(y).dtype), L.m.jacrev(f)(x), f(x))
    return getattr(L.m, name)(f)(x)


def push_forward(L, name, f, x):
    """``(outs, tangents)`` of a function that returns a list, by ``name``: jvp or linearize."""
    t = L.np.cos(x)  # of the dtype and the weak type of x
    if L.mode == "reverse":
        outs = f(x)
        return outs, [L.np.tensordot(j, t, len(t.shape)).astype(y.dtype) for j, y in zip(L.m.jacrev(f)(x), outs)]
    if name == "linearize" and not L.mode:
        outs, apply = L.m.linearize(f, x)
        return outs, apply(t)
    return L.m.jvp(f, (x,), (t,))


def pull_back(L, f, x):
    """``(outs, (cotangent,))`` of a function that returns a list."""
    if L.mode == "forward":
        outs, total = f(x), 0.0
        for y, j in zip(outs, L.m.jacfwd(f)(x)):
            total = total + L.np.tensordot(L.np.cos(y), j, len(y.shape))
        return outs, (total.astype(L.np.asarray(x).dtype),)
    outs, pull = L.m.vjp(f, x)
    return outs, pull([L.np.cos(y) for y in outs])


def value_and_grad(L, f, argnums, args):
    if L.mode == "forward":
        slopes = L.m.jacfwd(f, argnums)(*args)
        wanted = tuple(args[i] for i in argnums) if isinstance(argnums, tuple) else args[argnums]
        return f(*args), L.m.tree.map(lambda j, x: j.astype(L.np.asarray(x).dtype), slopes, wanted)
    return L.m.value_and_grad(f, argnums)(*args)
