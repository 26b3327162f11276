"""How configuration works: one `config` object, context managers per option, and the interned `Context` hot code reads.

Start with `Context` (a frozen, interned set of option values), then `_Config.update` (process-wide) and
`OptionManager` (one thread, one `with` block). The options themselves are declared in `config.py`.

Three kinds of state, as in JAX:

* the *base* values: defaults, then environment variables (``ADDAX_ENABLE_X64`` or ``JAX_ENABLE_X64``), then
  `config.update`;
* per-thread *overrides*: what the context managers entered by this thread set;
* the current `Context`, the merge of both restricted to options that tracing and dispatch depend on. The native runtime
  holds it per thread, so `current_context()` is one C call, and caches compare contexts by identity.

An update made by one thread reaches another thread at once, except while that thread is inside an option's `with`
block: then it sees the new value when it next enters or leaves one.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from addax._native import current_context as current_context, set_base_context, swap_context
from addax.core.errors import near_miss, warn_user
from addax.core.options import DISPATCH, HOST, TRACE, Option

_PREFIXES = ("addax_", "jax_")


class TraceKey:
    """The options that decide what a function traces to, interned: two contexts with equal ones share the object."""

    __slots__ = ("__weakref__", "items")

    items: frozenset[tuple[str, type, Any]]

    def __repr__(self) -> str:
        return f"TraceKey({_show_items(self.items)})"


class Context:
    """The option values tracing and dispatch depend on: immutable, interned, compared by identity.

    Read options as attributes: ``current_context().enable_x64``. `trace_key` is the part that decides what a function
    traces to; contexts that differ only in, say, `debug_nans` share it.
    """

    # Defaults are class attributes, set by `declare`; an instance's __dict__ holds only what differs from them. So
    # reading is a plain attribute access, and an option declared later does not invalidate contexts that exist.
    trace_key: TraceKey

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"Context is immutable; write `with addax.{name}(...):` or `config.update('addax_{name}', ...)`"
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in sorted(self.__dict__.items()) if k != "trace_key")
        return f"Context({shown})"


def _show_items(items: frozenset[tuple[str, type, Any]]) -> str:
    return ", ".join(f"{name}={value!r}" for name, _, value in sorted(items, key=lambda item: item[0]))


# Weak: a context lives as long as a thread runs under it or a cache entry names it. The newest few are kept anyway, so
# that a `with` block in a loop does not build its context anew each time (15 us against 4).
_contexts: weakref.WeakValueDictionary[frozenset, Context] = weakref.WeakValueDictionary()
_trace_keys: weakref.WeakValueDictionary[frozenset, TraceKey] = weakref.WeakValueDictionary()
_newest_contexts: collections.deque[Context] = collections.deque(maxlen=32)
_intern_lock = threading.Lock()


class _Overrides(threading.local):
    """What this thread's context managers set, by option name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}


_options: dict[str, Option] = {}
_base: dict[str, Any] = {}
_base_in_context: dict[str, Any] = {}  # the part of _base that a Context holds: of trace or dispatch scope, not default
_overrides = _Overrides()
_hooks: dict[str, list[Callable[[Any], None]]] = {}
_update_lock = threading.RLock()


def _intern(values: Mapping[str, Any]) -> Context:
    """The context for these option values; those of host scope do not count."""
    items = frozenset(
        (name, type(value), value)
        for name, value in values.items()
        if _options[name].scope is not HOST and not _is_default(name, value)
    )
    context = _contexts.get(items)
    if context is not None:
        return context
    with _intern_lock:
        context = _contexts.get(items)
        if context is None:
            context = Context()
            traced = frozenset(item for item in items if _options[item[0]].scope is TRACE)
            key = _trace_keys.get(traced)
            if key is None:
                key = TraceKey()
                key.items = traced
                _trace_keys[traced] = key
            context.__dict__.update({name: value for name, _, value in items}, trace_key=key)
            _contexts[items] = context
            _newest_contexts.append(context)
    return context


def _is_default(name: str, value: Any) -> bool:
    default = _options[name].default
    return value is default or (type(value) is type(default) and value == default)


def _install_thread_context() -> None:
    """Make this thread's context match its overrides; without overrides it follows the base."""
    overrides = _overrides.values
    swap_context(_intern(_base_in_context | overrides) if overrides else None)


def install_base_context() -> None:
    """Make the process-wide option values the context of every thread without overrides."""
    global _base_in_context
    _base_in_context = {
        name: value
        for name, value in _base.items()
        if _options[name].scope is not HOST and not _is_default(name, value)
    }
    set_base_context(_intern(_base_in_context))
    _install_thread_context()


def context_of(**values: Any) -> Context:
    """The context with these values and every other option at its default: for tests and for keys built by hand."""
    return _intern({name: _checked(_options[name], value) for name, value in values.items()})


def _checked(option: Option, value: Any) -> Any:
    try:
        return option.check(value)
    except ValueError as error:
        raise ValueError(f"option addax_{option.name}: {error}") from None


def _from_environment(option: Option) -> Any:
    for variable in (f"ADDAX_{option.name.upper()}", f"JAX_{option.name.upper()}"):
        raw = os.environ.get(variable)
        if raw is None or not option.env:
            continue
        try:
            return option.check(option.parse(raw))
        except ValueError as error:
            raise ValueError(f"environment variable {variable}: {error}") from None
    return option.default


class OptionManager:
    """Sets one option for a `with` block (or, as a decorator, for a call) on this thread only.

    ``enable_x64(True)`` returns the context manager; ``enable_x64.value`` is the value this thread sees now.
    """

    def __init__(self, option: Option) -> None:
        self._option = option
        self.__name__ = option.name
        self.__doc__ = (
            f"{option.doc}\n\nContext manager for the addax_{option.name} option, which takes {option.expects}."
        )

    @property
    def name(self) -> str:
        return f"addax_{self._option.name}"

    @property
    def value(self) -> Any:
        return _read(self._option.name)

    def __call__(self, new_val: Any = ...) -> _OptionSetting:
        option = self._option
        if new_val is ...:
            if option.when_called_bare is None:
                raise TypeError(f"{option.name}() needs a value: {option.expects}")
            new_val = option.when_called_bare
        return _OptionSetting(option, _checked(option, new_val))

    def __repr__(self) -> str:
        return f"<option addax_{self._option.name} = {self.value!r}>"


_ABSENT: Any = object()


class _OptionSetting(contextlib.ContextDecorator):
    """One `with` block's worth of an option; may be entered again, also while it is active."""

    def __init__(self, option: Option, value: Any) -> None:
        self._option = option
        self._value = value
        self._previous: list[Any] = []

    def _recreate_cm(self) -> _OptionSetting:
        """One for each call of a decorated function, which several threads may call at once."""
        return _OptionSetting(self._option, self._value)

    def __enter__(self) -> None:
        overrides = _overrides.values
        self._previous.append(overrides.get(self._option.name, _ABSENT))
        overrides[self._option.name] = self._value
        self._install()

    def __exit__(self, *exc_info: object) -> None:
        overrides = _overrides.values
        value = self._previous.pop()
        if value is _ABSENT:
            overrides.pop(self._option.name, None)
        else:
            overrides[self._option.name] = value
        self._install()

    def _install(self) -> None:
        if self._option.scope is not HOST:
            _install_thread_context()


def _read(name: str) -> Any:
    values = _overrides.values
    return values[name] if name in values else _base[name]


_inert: dict[str, str] = {}


def declare_inert(reason: str, names: str) -> None:
    """Accept these names, in `config.update` and as context managers, with a warning of why they do nothing."""
    _inert.update(dict.fromkeys(names.split(), reason))


def _warn_inert(name: str, short: str) -> None:
    warn_user(f"the option {name} has no effect: {_inert[short]}")


def inert_manager(name: str) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """What stands for the context manager of an option that does nothing here.

    Raises:
      AttributeError: if there is no such option.
    """
    if name not in _inert:
        raise AttributeError(f"module 'addax.core.config' has no attribute {name!r}")

    def manager(new_val: Any = None) -> contextlib.AbstractContextManager[None]:
        _warn_inert(f"addax_{name}", name)
        return contextlib.nullcontext()

    manager.__name__ = name
    return manager


def declare(option: Option) -> OptionManager:
    """Add an option; returns its context manager. For options that live beside the code they steer."""
    if option.name in _options:
        raise ValueError(f"option addax_{option.name} is declared twice")
    if option.scope not in (TRACE, DISPATCH, HOST):
        raise ValueError(f"option addax_{option.name}: unknown scope {option.scope!r}")
    with _update_lock:
        _options[option.name] = option
        if option.scope is not HOST:
            setattr(Context, option.name, option.default)
        _base[option.name] = _from_environment(option)
    return OptionManager(option)


def make_user_context(default_value: Any = None, name: str = "user_context") -> OptionManager:
    """A context manager for a value of your own that is part of every trace cache key.

    Args:
      default_value: hashable; what `.value` is outside any `with` block.
      name: shown when contexts are printed.

    Returns: an `OptionManager`; ``with it(value):`` sets the value for this thread.
    """

    def check(value: Any) -> Any:
        hash(value)
        return value

    unique = f"{name}_{next(_user_context_ids)}"
    return declare(
        Option(unique, check(default_value), "A user context.", TRACE, "any hashable value", check, str, env=False)
    )


_user_context_ids = itertools.count()


class _Config:
    """The process-wide configuration.

    ``config.update("addax_enable_x64", True)`` sets an option for every thread; ``config.addax_enable_x64`` reads it.
    Every option has its addax_ name, and JAX's jax_ spelling of it works too.

    Example:
      >>> from addax.core.config import config
      >>> config.update("jax_enable_x64", False)
      >>> config.addax_enable_x64
      False
    """

    def update(self, name: str, value: Any) -> None:
        """Set option `name` for the whole process; `with` blocks that are active keep their own value."""
        short = _strip(name)
        option = _options.get(short)
        if option is None or short is name:
            if short not in _inert or short is name:
                raise AttributeError(_unknown(name))
            _warn_inert(name, short)
            return
        value = _checked(option, value)
        with _update_lock:
            for hook in _hooks.get(short, ()):
                hook(value)
            _base[short] = value
            if option.scope is not HOST:
                install_base_context()

    def read(self, name: str) -> Any:
        """The value of option `name` that this thread sees."""
        short = _strip(name)
        if short not in _options:
            raise AttributeError(_unknown(name))
        return _read(short)

    @property
    def x64_enabled(self) -> bool:
        """Whether 64-bit dtypes are kept, for this thread."""
        return _read("enable_x64")

    @property
    def values(self) -> dict[str, Any]:
        """The process-wide value of every option, by addax_ name."""
        return {f"addax_{name}": value for name, value in _base.items()}

    def on_update(self, name: str, hook: Callable[[Any], None]) -> None:
        """Call `hook(value)` before `config.update` sets option `name`; the hook may refuse by raising."""
        short = _strip(name)
        if short not in _options:
            raise AttributeError(_unknown(name))
        _hooks.setdefault(short, []).append(hook)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"config attributes are read-only; write config.update({name!r}, {value!r})")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(f"addax_{name}" for name in _options)]


def _strip(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _unknown(name: str) -> str:
    if name in _options:
        return f"Unrecognized config option: {name!r}. Options are spelled with a prefix: 'addax_{name}'."
    return f"Unrecognized config option: {name!r}.{near_miss(_strip(name), _options, prefix='addax_')}"


config = _Config()
