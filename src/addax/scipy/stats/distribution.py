"""What a distribution is made of: standard formulas, from which all methods with location and scale follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.numpy.base import inexact_dtype, is_weak, operands
from addax.numpy.creation import asarray

Formula = Callable[..., Any]


class Family:
    """Named parameters, given by position or by name."""

    def __init__(self, name: str, doc: str, shapes: tuple[str, ...], defaults: dict[str, float]):
        self.name, self.shapes, self.defaults = name, shapes, defaults
        self.__doc__ = doc

    def __repr__(self) -> str:
        return f"<distribution {self.name}({', '.join((*self.shapes, *self.defaults))})>"

    def arguments(self, method: str, first: str, args: tuple, kwargs: dict) -> list[Any]:
        """The variable and all parameters, in floating point, of shapes that broadcast."""
        name = f"{self.name}.{method}"
        names = (first, *self.shapes, *self.defaults)
        if len(args) > len(names):
            raise TypeError(f"{name} takes {', '.join(names)}; got {len(args)} arguments.")
        given = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key not in names or key in given:
                problem = "twice" if key in given else "as a keyword, which it does not take"
                raise TypeError(f"{name} takes {', '.join(names)}; got {key!r} {problem}.")
            given[key] = value
        missing = [n for n in names if n not in given and n not in self.defaults]
        if missing:
            raise TypeError(f"{name} takes {', '.join(names)}; {', '.join(missing)} missing.")
        values = [given.get(n, self.defaults.get(n)) for n in names]
        # Strongly typed as soon as one is: an int32 array and the scale 2.0 promote to a weakly typed float32.
        weak = is_weak(*values)
        return [asarray(x, None if weak else x.dtype) for x in map(asarray, operands(name, inexact_dtype, *values))]


class Continuous(Family):
    """A continuous distribution with the density ``exp(logpdf((x - loc) / scale, *shapes)) / scale``.

    Args:
      logpdf, cdf, sf, logcdf, logsf, ppf, isf: formulas of the standard variable z (or a probability q) and the shape
        parameters, valid where ``lower <= z <= upper``. What is not given is derived from the others, or is missing.
      support: ``(lower, upper)``: numbers, or functions of the shape parameters.
      within: a number in the interior of the support, put in for points outside of it so that derivatives stay finite;
        or a function of the shape parameters.
    """

    def __init__(
        self, name: str, doc: str, *shapes: str, logpdf: Formula, cdf: Formula | None = None, sf: Formula | None = None,
        logcdf: Formula | None = None, logsf: Formula | None = None, ppf: Formula | None = None,
        isf: Formula | None = None, support: tuple[Any, Any] | None = None, within: Any = 0.5,
    ):  # fmt: skip
        super().__init__(name, doc, shapes, {"loc": 0, "scale": 1})
        self._support, self._within = support, within
        self._logpdf = logpdf
        formulas: dict[str, Any] = {"cdf": (cdf, 0.0, 1.0), "sf": (sf, 1.0, 0.0)}
        if cdf is None and logcdf is not None:
            formulas["cdf"] = (lambda *a: jnp.exp(logcdf(*a)), 0.0, 1.0)
        if sf is None:
            formulas["sf"] = (self._complement(logsf, formulas["cdf"][0]), 1.0, 0.0)
        formulas["logcdf"] = (logcdf or _log(formulas["cdf"][0]), -np.inf, 0.0)
        formulas["logsf"] = (logsf or _log(formulas["sf"][0]), 0.0, -np.inf)
        for method, (formula, below, above) in formulas.items():
            if formula is not None:
                setattr(self, method, self._accumulated(method, formula, below, above))
        if ppf is not None:
            self.ppf = self._quantile("ppf", ppf)
        if isf is not None:
            self.isf = self._quantile("isf", isf)

    cdf: Callable[..., Any]
    sf: Callable[..., Any]
    logcdf: Callable[..., Any]
    logsf: Callable[..., Any]
    ppf: Callable[..., Any]
    isf: Callable[..., Any]

    @staticmethod
    def _complement(logsf, cdf):
        if logsf is not None:
            return lambda *a: jnp.exp(logsf(*a))
        return None if cdf is None else lambda *a: 1 - cdf(*a)

    def _standard(self, method: str, args, kwargs):
        """``(z, shapes, scale, below, above)``: z moved inside where it lies below or above the support."""
        x, *shapes, loc, scale = self.arguments(method, "x", args, kwargs)
        z = (x - loc) / scale
        if self._support is None:
            return z, shapes, scale, None, None
        lower, upper = (b(*shapes) if callable(b) else b for b in self._support)
        within = self._within(*shapes) if callable(self._within) else self._within
        below, above = z < lower, z > upper
        return jnp.where(below | above, within, z), shapes, scale, below, above

    def logpdf(self, *args, **kwargs):
        """The logarithm of the density at x; -inf outside the support."""
        z, shapes, scale, below, above = self._standard("logpdf", args, kwargs)
        out = self._logpdf(z, *shapes) - jnp.log(scale)
        return out if below is None else jnp.where(below | above, -np.inf, out)

    def pdf(self, *args, **kwargs):
        """The density at x; 0 outside the support."""
        return jnp.exp(self.logpdf(*args, **kwargs))

    def _accumulated(self, method: str, formula: Formula, at_lower: float, at_upper: float):
        def function(*args, **kwargs):
            z, shapes, _, below, above = self._standard(method, args, kwargs)
            out = formula(z, *shapes)
            return out if below is None else jnp.where(below, at_lower, jnp.where(above, at_upper, out))

        function.__name__ = method
        return function

    def _quantile(self, method: str, formula: Formula):
        def function(*args, **kwargs):
            q, *shapes, loc, scale = self.arguments(method, "q", args, kwargs)
            valid = (q >= 0) & (q <= 1)
            out = formula(jnp.where(valid, q, 0.5), *shapes) * scale + loc
            return jnp.where(valid, out, np.nan)

        function.__name__ = method
        return function


def _log(f: Formula | None) -> Formula | None:
    return None if f is None else lambda *a: jnp.log(f(*a))


class Discrete(Family):
    """A distribution over whole numbers k.

    Args:
      logpmf: a formula of k - loc and the shape parameters, valid where ``lower <= k - loc <= upper`` and k is whole.
      support: ``(lower, upper)``: numbers, or functions of the shape parameters.
    """

    def __init__(self, name: str, doc: str, *shapes: str, logpmf: Formula, support: tuple[Any, Any]):
        super().__init__(name, doc, shapes, {"loc": 0})
        self._logpmf, self._support = logpmf, support

    def logpmf(self, *args, **kwargs):
        """The logarithm of the probability of k; -inf outside the support, and for numbers that are not whole."""
        k, *shapes, loc = self.arguments("logpmf", "k", args, kwargs)
        k = k - loc
        lower, upper = (b(*shapes) if callable(b) else b for b in self._support)
        outside = (k < lower) | (k > upper) | (k != jnp.floor(k))
        out = self._logpmf(jnp.where(outside & ~jnp.isnan(k), lower, k), *shapes)
        return jnp.where(outside & ~jnp.isnan(k), -np.inf, out)

    def pmf(self, *args, **kwargs):
        """The probability of k."""
        return jnp.exp(self.logpmf(*args, **kwargs))
