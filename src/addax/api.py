"""Devices, transfers and callbacks: the parts of the top-level API that are not transformations."""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from collections.abc import Callable
from typing import Any

from addax import _native
from addax.core import tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.dtypes import canonicalize_dtype, dtype_name
from addax.core.primitive import registry
from addax.core.sharding import SingleDeviceSharding, is_local
from addax.core.shared_programs import forget_programs
from addax.core.source_info import current_source, naming
from addax.engines import platforms as _platforms
from addax.ops import callback as _callback
from addax.transforms.flat import function_name
from addax.transforms.stages import aval_of_spec


def devices(backend: str | None = None) -> list:
    """The devices programs can run on, of all processes. One CPU with all its cores, unless options ask for more
    (``addax_num_cpu_devices``, ``addax_platforms``) or there is a GPU and its plugin.
    """
    return _platforms.devices(backend)


def local_devices(process_index: int | None = None, backend: str | None = None, host_id=None) -> list:
    """The devices of this process, or of another one. ``host_id`` is an older name for ``process_index``.

    Raises:
      ValueError: if there is no such process.
    """
    wanted = process_index if host_id is None else host_id
    if wanted is None:
        return [d for d in devices(backend) if is_local(d)]
    if wanted not in process_indices(backend):
        raise ValueError(f"Unknown process_index {wanted}: the processes are {process_indices(backend)}")
    return [d for d in devices(backend) if d.process_index == wanted]


def device_count(backend: str | None = None) -> int:
    """How many devices there are in all processes."""
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    """How many devices this process has."""
    return len(local_devices(backend=backend))


def process_index(backend: str | None = None) -> int:
    """The number of this process: 0 unless several processes were set up to work together."""
    client = getattr(devices(backend)[0], "client", None)
    return 0 if client is None else client.process_index()


def process_count(backend: str | None = None) -> int:
    """How many processes work together."""
    return len(process_indices(backend))


def process_indices(backend: str | None = None) -> list[int]:
    """The numbers of all processes."""
    return sorted({d.process_index for d in devices(backend)})


def default_backend() -> str:
    """The platform that programs run on by default: "cpu", "gpu" or "tpu"."""
    platform = _platforms.default_platform()
    return "gpu" if platform == "cuda" else platform


def block_until_ready(x):
    """Wait until all arrays of a pytree have been computed; returns it."""
    for leaf in tree.leaves(x):
        if hasattr(leaf, "block_until_ready"):
            leaf.block_until_ready()
    return x


def effects_barrier() -> None:
    """Wait until the effects of all programs started so far have happened.

    They have: a program that calls back into Python, prints or does IO is waited for by the call that runs it.
    """
    sys.stdout.flush()


def copy_to_host_async(x):
    """Begin to copy the arrays of a pytree to the host, so that reading them later need not wait; returns it."""
    for leaf in tree.leaves(x):
        if hasattr(leaf, "copy_to_host_async"):
            leaf.copy_to_host_async()
    return x


def live_arrays(platform: str | None = None) -> list:
    """The arrays that some object or variable of this process holds, on a platform or anywhere.

    They are looked for where the garbage collector looks: in containers, attributes, and the variables of functions that
    are running.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()

    def look(holder: Any) -> None:
        for x in gc.get_referents(holder):
            if type(x) is _native.Array:
                if not x.is_deleted():
                    found[id(x)] = x
            elif isinstance(x, (tuple, dict)) and not gc.is_tracked(x) and id(x) not in seen:
                seen.add(id(x))  # the collector leaves out containers of what cannot refer to them
                look(x)

    for holder in gc.get_objects():
        look(holder)
    for frame in sys._current_frames().values():
        while frame is not None:
            look(frame.f_locals)
            frame = frame.f_back
    return [x for x in found.values() if platform is None or any(d.platform == platform for d in x.devices())]


def clear_caches() -> None:
    """Forget all traced and compiled programs, also those of jitted functions; what is on disk stays.

    >>> import addax
    >>> f = addax.jit(lambda x: x + 1)
    >>> y, before = f(1.0), f.cache_size()
    >>> addax.clear_caches()
    >>> before, f.cache_size()
    (1, 0)
    """
    for primitive in registry.values():
        primitive.eager_cache.clear()
    for x in gc.get_objects():
        if type(x) is _native.Fn:
            x.clear_cache()
    forget_programs()


def get_num_threads() -> int:
    """How many threads compiled programs may use."""
    return _native.get_num_threads()


class set_num_threads:
    """Let compiled programs use ``n`` threads: from now on, or for a ``with`` block. It holds for the whole process.

    Without it they use the usable cores, or as many as ``ADDAX_NUM_THREADS`` says.

    Raises:
      ValueError: if ``n`` is less than 1.

    >>> import addax
    >>> with addax.set_num_threads(1):
    ...     addax.get_num_threads()
    1
    """

    def __init__(self, n: int):
        if n < 1:
            raise ValueError(f"set_num_threads: expected at least one thread, got {n}")
        self._before = _native.get_num_threads()
        _native.set_num_threads(n)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_) -> None:
        _native.set_num_threads(self._before)


def _result_avals(result_shape_dtypes) -> tuple[tuple[ShapedArray, ...], Any]:
    leaves, treedef = tree.flatten(result_shape_dtypes)
    for x in leaves:
        dtype = getattr(x, "dtype", None)
        if dtype is not None and canonicalize_dtype(dtype) != dtype:
            raise ValueError(
                f"result_shape_dtypes cannot specify 64-bit types ({dtype_name(dtype)}) when `addax_enable_x64` is disabled."
            )
    return tuple(aval_of_spec(x).strip_weak_type() for x in leaves), treedef


def _host_function(fun: Callable, in_tree, avals, out_tree) -> _callback.HostFunction:
    name = function_name(fun)

    def host(*arrays):
        args, kwargs = in_tree.unflatten(arrays)
        out, got = tree.flatten(fun(*args, **kwargs))
        if got != out_tree:
            raise RuntimeError(f"callback {name} promised results {out_tree} but returned {got}")
        for i, (x, aval) in enumerate(zip(out, avals, strict=True)):
            dtype = canonicalize_dtype(get_aval(x).dtype)
            if dtype != aval.dtype:
                raise RuntimeError(
                    f"callback {name} promised result {i} of dtype {dtype_name(aval.dtype)} but returned {dtype_name(dtype)}: "
                    f"convert it (numpy.asarray(x, {dtype_name(aval.dtype)!r}))."
                )
        return out

    return _callback.HostFunction(host, name, current_source())


def _call_back(
    primitive, callback: Callable, result_shape_dtypes, args: tuple, kwargs: dict, sharding: Any, **params
) -> Any:
    if not callable(callback):
        raise TypeError(f"{primitive}: expected a function to call, got {callback!r:.100}")
    if sharding is not None and not isinstance(sharding, SingleDeviceSharding):
        raise NotImplementedError(
            f"callbacks are called from one device: expected a SingleDeviceSharding, got {type(sharding).__name__}"
        )
    avals, out_tree = _result_avals(result_shape_dtypes)
    leaves, in_tree = tree.flatten((args, kwargs))
    function = _host_function(callback, in_tree, avals, out_tree)
    outs = primitive.bind(*_callback.host_arguments(leaves), callback=function, result_avals=avals, **params)
    return out_tree.unflatten(outs)


def pure_callback(
    callback: Callable, result_shape_dtypes, *args, sharding=None, vmap_method: str | None = None, **kwargs
):
    """Call a pure Python function of NumPy arrays from a traced program.

    Args:
      callback: returns arrays of the promised shapes and dtypes; must have no side effects.
      result_shape_dtypes: a pytree of `ShapeDtypeStruct` (or arrays) describing the result.
      args, kwargs: its arguments. It sees NumPy arrays; of PRNG keys, their uint32 words.
      sharding: a `SingleDeviceSharding`, accepted for JAX programs: it is the host that calls, wherever the program runs.
      vmap_method: how to batch: "sequential", "expand_dims" or "broadcast_all".

    >>> import addax, numpy as np
    >>> f = addax.jit(lambda x: addax.pure_callback(np.sin, addax.ShapeDtypeStruct((), np.float32), x))
    >>> float(f(0.0))
    0.0
    """
    if vmap_method not in (None, *_callback.VMAP_METHODS):
        raise ValueError(
            f"pure_callback: vmap_method must be one of {', '.join(_callback.VMAP_METHODS)} or None, got {vmap_method!r}"
        )
    return _call_back(
        _callback.pure_callback, callback, result_shape_dtypes, args, kwargs, sharding, vmap_method=vmap_method
    )


def io_callback(callback: Callable, result_shape_dtypes, *args, sharding=None, ordered: bool = False, **kwargs):
    """Call an impure Python function of NumPy arrays, exactly once per execution. Arguments as in `pure_callback`.

    Args:
      ordered: calls happen in program order, across jitted functions and loops.

    >>> import addax, numpy as np
    >>> calls = []
    >>> f = addax.jit(lambda x: addax.experimental.io_callback(calls.append, None, x))
    >>> f(1.0), f(2.0), [float(x) for x in calls]
    (None, None, [1.0, 2.0])
    """
    return _call_back(_callback.io_callback, callback, result_shape_dtypes, args, kwargs, sharding, ordered=ordered)


class named_scope(contextlib.ContextDecorator):
    """A name for a part of a program, for people who read it; it changes nothing else.

    Equations traced inside carry it: in printed jaxprs (``jaxpr.pretty_print(name_stack=True)``), as
    ``eqn.source_info.name_stack``, in the locations of StableHLO, and in messages that name a line. Scopes nest
    (``layer/attention``), and derivatives and batched forms keep them, wrapped in the name of the transformation:
    ``transpose(jvp(layer))/attention``. A decorator, too.

    >>> import addax, addax.numpy as jnp
    >>> def f(x):
    ...     with addax.named_scope("layer"):
    ...         return jnp.sin(x)
    >>> [eqn.source_info.name_stack for eqn in addax.make_jaxpr(addax.vmap(f))(jnp.ones(2)).eqns]
    ['vmap(layer)']
    """

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise TypeError(f"named_scope name argument must be a string, got {type(name).__name__}.")
        self.name = name
        self._scopes: list[naming] = []

    def _recreate_cm(self) -> named_scope:  # per call of a decorated function, which several threads may call at once
        return named_scope(self.name)

    def __enter__(self) -> None:
        self._scopes.append(naming(self.name))
        self._scopes[-1].__enter__()

    def __exit__(self, *_) -> None:
        self._scopes.pop().__exit__()


def named_call(fun: Callable, *, name: str | None = None) -> Callable:
    """``fun`` under `named_scope`; by default the scope has the function's own name."""
    return functools.wraps(fun)(named_scope(function_name(fun) if name is None else name)(fun))
