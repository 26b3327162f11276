"""The stages of a jitted function ahead of time, for annotations: wrapped, traced, lowered, compiled."""

from addax import _native
from addax.transforms.stages import Compiled as Compiled, Lowered as Lowered, Traced as Traced

Wrapped = _native.Fn
"""What `addax.jit` returns: call it, or ``trace(*args)``, ``lower(*args)``, ``eval_shape(*args)``."""
