"""Calls back into Python from traced programs: ``debug_callback``, ``pure_callback``, ``io_callback``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.primitive import Refusal
from addax.core.source_info import SourceInfo
from addax.interpreters.values import Zero, move_axis, to_front
from addax.ops.random_bits import random_unwrap
from addax.ops.rules import program_primitive


class Effect:
    """A side effect that keeps an equation alive, and in order if ``ordered``."""

    def __init__(self, name: str, ordered: bool = False):
        self.name, self.ordered = name, ordered

    def __repr__(self) -> str:
        return self.name


debug_effect = Effect("Debug")
ordered_debug_effect = Effect("OrderedDebug", ordered=True)
io_effect = Effect("IO")
ordered_io_effect = Effect("OrderedIO", ordered=True)


def host_arguments(values: list) -> list:
    """What a host function is given: arrays that NumPy has a dtype for, of PRNG keys their uint32 words."""
    return [random_unwrap.bind(x) if dtypes.is_extended(get_aval(x).dtype) else x for x in values]


class HostFunction:
    """A Python function called with NumPy arrays. Compared by identity, printed by name.

    Args:
      source: the line of the user that asked for the call; errors of the function name it.
    """

    __slots__ = ("fun", "name", "source")

    def __init__(self, fun: Callable[..., Any], name: str, source: Any = None):
        self.fun, self.name, self.source = fun, name, source

    def __call__(self, *args):
        try:
            return self.fun(*args)
        except Exception as e:
            if self.source is not None:
                e.add_note(
                    f"This was raised by the callback {self.name}, which the program calls at {SourceInfo(self.source)}."
                )
            raise

    def __repr__(self) -> str:
        return self.name


# ---------------------------------------------------------------------------------------------------------------------
# debug_callback: no results; it sees primal values, and each example of a batch on its own.


def _debug_jvp(primals, tangents, **params):
    return debug_callback.bind(*primals, **params), []


def _debug_batch(axis, args, dims, *, callback, **params):
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    batched = [d is not None for d in dims]

    def each(*arrays):
        for i in range(axis.size):
            callback(*(a[i] if b else a for a, b in zip(arrays, batched, strict=True)))
        return ()

    outs = debug_callback.bind(*moved, callback=HostFunction(each, f"vmap({callback})"), **params)
    return outs, []


def _debug_reference(*arrays, callback, **_):
    callback(*arrays)
    return []


debug_callback = program_primitive(
    "debug_callback", lambda *_, **__: [], jvp=_debug_jvp,
    transpose=Refusal("debug_callback sees values, and a linear program has none yet"), batch=_debug_batch,
    reference=_debug_reference,
    effects=lambda *_, ordered, **__: frozenset({ordered_debug_effect if ordered else debug_effect}),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------------
# pure_callback: results of declared types; may be called any number of times, or never.


def _call_host(callback, arrays, result_avals):
    outs = callback(*arrays)
    for i, (out, aval) in enumerate(zip(outs, result_avals, strict=True)):
        out = np.asarray(out)
        if out.shape != aval.shape:
            raise RuntimeError(
                f"callback {callback} promised result {i} of shape {aval.shape} but returned shape {out.shape}"
            )
    return [np.asarray(o, a.dtype) for o, a in zip(outs, result_avals, strict=True)]


def _declared_types(*_, result_avals, **__):
    return list(result_avals)


def _callback_reference(*arrays, callback, result_avals, **_):
    return _call_host(callback, arrays, result_avals)


def _for_each(callback: HostFunction, batched: Sequence[bool], size: int, n_results: int) -> HostFunction:
    """Called with batches, the function calls back for each example and stacks the results."""

    def host(*arrays):
        rows = [callback(*(a[i] if b else a for a, b in zip(arrays, batched, strict=True))) for i in range(size)]
        return [np.stack([np.asarray(r[k]) for r in rows]) for k in range(n_results)]

    return HostFunction(host, f"vmap({callback})")


VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


def _pure_batch(axis, args, dims, *, callback, result_avals, vmap_method):
    batched = [d is not None for d in dims]
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    avals = tuple(a.update(shape=(axis.size, *a.shape)) for a in result_avals)
    if vmap_method is None:
        raise NotImplementedError(
            "vmap is only supported for pure_callback when vmap_method is given: 'sequential' calls once per example, "
            "'expand_dims' and 'broadcast_all' call once with the whole batch."
        )
    if vmap_method in ("sequential", "sequential_unrolled"):
        function = _for_each(callback, batched, axis.size, len(result_avals))
    else:
        if vmap_method == "broadcast_all":
            moved = [x if b else to_front(x, None, axis.size) for x, b in zip(moved, batched, strict=True)]
        elif vmap_method == "expand_dims":
            moved = [x if b else to_front(x, None, 1) for x, b in zip(moved, batched, strict=True)]
        function = callback
    outs = pure_callback.bind(*moved, callback=function, result_avals=avals, vmap_method=vmap_method)
    return outs, [0] * len(outs)


pure_callback = program_primitive(
    "pure_callback", _declared_types,
    jvp=Refusal(
        "Pure callbacks do not support JVP. Please use `addax.custom_jvp` to use callbacks while taking gradients.",
        ValueError,
    ),
    batch=_pure_batch, reference=_callback_reference,
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------------
# io_callback: like pure_callback, but called exactly once per execution.


def _io_jvp(primals, tangents, **params):
    if all(type(t) is Zero for t in tangents):
        outs = io_callback.bind(*primals, **params)
        return outs, [Zero.of(x) for x in outs]
    raise ValueError("IO callbacks do not support JVP.")


def _io_batch(axis, args, dims, *, callback, result_avals, ordered):
    if ordered:
        raise ValueError("Cannot `vmap` ordered IO callbacks: the examples of a batch have no order.")
    batched = [d is not None for d in dims]
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    avals = tuple(a.update(shape=(axis.size, *a.shape)) for a in result_avals)

    function = _for_each(callback, batched, axis.size, len(result_avals))
    outs = io_callback.bind(*moved, callback=function, result_avals=avals, ordered=ordered)
    return outs, [0] * len(outs)


io_callback = program_primitive(
    "io_callback", _declared_types, jvp=_io_jvp, batch=_io_batch, reference=_callback_reference,
    effects=lambda *_, ordered, **__: frozenset({ordered_io_effect if ordered else io_effect}),
)  # fmt: skip
