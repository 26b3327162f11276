"""Along which mesh axes a value varies: the part of types that `shard_map` needs to differentiate correctly.

Inside ``shard_map(..., check_vma=True)`` an aval's ``vma`` ("varying manual axes") names the manual axes along which
devices may hold different values. A value that is the same everywhere must become varying, by ``pvary``, before it meets
one that varies: the transpose of ``pvary`` is a ``psum``, which is how the cotangents of a shared value are added up over
the devices, and the transpose of a ``psum`` is a ``pvary``.

Users need not write ``pvary``. Every trace that looks at operands calls `align` first. What it does:

* by default all operands vary along the union of their axes, and so do the results;
* a primitive with a rule of its own (collectives, and primitives that contain programs) says so in ``Primitive.varying``:
  ``rule(vmas, params) -> (wanted per operand, params, vma per result)``.

The rule costs one attribute look-up per equation in processes that never use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Primitive, registry
from addax.core.trace import Tracer

INVARIANT: frozenset = frozenset()


def vma_of(x) -> frozenset:
    """The axes along which a value varies; values from outside of any `shard_map` vary along none."""
    return getattr(x.aval, "vma", INVARIANT) if isinstance(x, Tracer) else INVARIANT


def join(vmas: Sequence[frozenset]) -> frozenset:
    return INVARIANT.union(*vmas)


_program_rule: Callable[..., Any] | None = None


def set_program_rule(rule: Callable[..., Any]) -> None:
    """The rule of primitives that contain programs and have none of their own. It needs tracing, which stands above."""
    global _program_rule
    _program_rule = rule


def align(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> tuple[Sequence[Any], dict, Any]:
    """Make operands vary alike, under the current trace.

    Returns:
      operands, parameters, and along which axes the results vary: one set for all, one per result, or None if nothing
      varies and the type rule has the last word.
    """
    vmas = [vma_of(x) for x in args]
    rule = primitive.varying
    if rule is None and params and any(isinstance(p, ClosedJaxpr) for p in params.values()):
        rule = _program_rule
    if rule is None:
        union = join(vmas)
        if not union:
            return args, params, None
        wanted: Sequence[frozenset] = [union] * len(vmas)
        result: Any = union
    else:
        found = rule(vmas, params)
        if found is None:
            return args, params, None
        wanted, params, result = found
    if all(map(frozenset.__ge__, vmas, wanted)):
        return args, params, result
    return tuple([vary(x, w) for x, w in zip(args, wanted, strict=True)]), params, result


def vary(x, axes: frozenset):
    """``x``, varying along all of ``axes``. Constants stay as they are: nothing is ever differentiated towards them."""
    if not isinstance(x, Tracer) or not hasattr(x.aval, "vma"):
        return x
    missing = axes - x.aval.vma
    return registry["pvary"].bind(x, axes=tuple(sorted(missing, key=str))) if missing else x


def typed(avals: Sequence[Any], result: Any) -> list:
    """The types of results, with the axes along which they vary."""
    results = [result] * len(avals) if isinstance(result, frozenset) else result
    return [a.update(vma=v) if hasattr(a, "vma") and a.vma != v else a for a, v in zip(avals, results, strict=True)]


def plain(avals: Sequence[Any]) -> tuple:
    """Types without the axes along which values vary, as type rules want them."""
    return tuple([a.update(vma=INVARIANT) if getattr(a, "vma", None) else a for a in avals])
