"""Compiled code on disk, for all engines.

In ``$ADDAX_CACHE_DIR``, else ``$XDG_CACHE_HOME/addax``, else ``~/.cache/addax``; ``ADDAX_CACHE_DIR=off`` turns it off. The
files hold code that will run, so a directory that belongs to somebody else, or that others may write to, is not used.
Entries are written to a temporary file and renamed; truncated or altered ones are ignored and written again; the least
recently used go when the total exceeds ``$ADDAX_CACHE_SIZE`` bytes (1 GB). A file ``sizes``, to which every write adds 8
bytes, spares a process the look at each of 100,000 entries to know the total. The options ``enable_compilation_cache``,
``compilation_cache_dir`` and ``compilation_cache_max_size`` say the same from within a program. Trouble with the disk is no
error, the cache does without, unless ``raise_persistent_cache_errors`` makes it one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import sys
import threading
import time
from collections.abc import Callable

from addax.core.config import (
    compilation_cache_dir,
    compilation_cache_max_size,
    enable_compilation_cache,
    raise_persistent_cache_errors,
)

MAGIC = b"ADDAXC1\n"
DEFAULT_SIZE = 1 << 30
TOUCH_AFTER = 3600.0  # seconds: how stale a use time may get before it is renewed
_START = len(MAGIC) + 16  # of the entry, after its checksum


class DiskCache:
    """Files named by hash, two levels deep. ``directory`` None means off."""

    def __init__(self, directory: str | None, max_bytes: int = DEFAULT_SIZE):
        self.directory, self.max_bytes = directory, max_bytes
        self._usable: bool | None = None
        self._size: int | None = None

    def usable(self) -> bool:
        """Whether the directory exists (or could be made), is ours, and closed to writers other than us."""
        if self._usable is None:
            self._usable = self.directory is not None and _private(self.directory)
        return self._usable

    def path(self, name: str) -> str:
        assert self.directory is not None
        return os.path.join(self.directory, name[:2], name[2:])

    def read(self, name: str) -> bytes | None:
        """What was written under this name; None if nothing was, or it is damaged."""
        if not self.usable():
            return None
        path = self.path(name)
        try:
            with open(path, "rb") as f:
                data = f.read()
                if time.time() - os.fstat(f.fileno()).st_mtime > TOUCH_AFTER:
                    os.utime(path)
        except OSError:
            return None
        if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : _START] != _checksum(data[_START:]):
            return None
        return data[_START:]

    def write(self, name: str, entry: bytes) -> None:
        """Keep an entry. Trouble with the disk is not an error."""
        if not self.usable():
            return
        data = MAGIC + _checksum(entry) + entry
        path = self.path(name)
        temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.dirname(path), 0o700)
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as f:
                f.write(data)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if raise_persistent_cache_errors.value:
                raise
            return
        self._grow(len(data))

    def _grow(self, size: int) -> None:
        known = self._recorded() if self._size is None else self._size
        if known is None:
            known = self._record_all(sum(s for _, s, _ in self._entries()))
        else:
            self._size = known = known + size
            with contextlib.suppress(OSError), open(self._sizes(), "ab", buffering=0) as f:  # others append too
                f.write(size.to_bytes(8, sys.byteorder))
        if known > self.max_bytes:
            self._evict()

    def _sizes(self) -> str:
        assert self.directory is not None
        return os.path.join(self.directory, "sizes")

    def _recorded(self) -> int | None:
        """The sum of what was written since the last look at the entries themselves; None if nobody wrote it down."""
        try:
            with open(self._sizes(), "rb") as f:
                data = f.read()
        except OSError:
            return None
        return sum(memoryview(data).cast("Q")) if data and len(data) % 8 == 0 else None

    def _record_all(self, total: int) -> int:
        self._size = total
        temporary = f"{self._sizes()}.{os.getpid()}.{threading.get_ident()}"
        with contextlib.suppress(OSError):
            with open(temporary, "wb") as f:
                f.write(total.to_bytes(8, sys.byteorder))
            os.replace(temporary, self._sizes())
        return total

    def _entries(self) -> list[tuple[float, int, str]]:
        """(last use, size, path) of every entry."""
        found = []
        try:
            for folder in os.scandir(self.directory):
                if folder.is_dir(follow_symlinks=False):
                    for entry in os.scandir(folder.path):
                        with contextlib.suppress(OSError):  # another process may remove it meanwhile
                            info = entry.stat(follow_symlinks=False)
                            found.append((info.st_mtime, info.st_size, entry.path))
        except OSError:
            pass
        return found

    def _evict(self) -> None:
        """Remove the least recently used entries until a tenth of the room is free."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.max_bytes * 0.9:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size
        self._record_all(total)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _private(directory: str) -> bool:
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        info = os.stat(directory)
    except OSError:
        return False
    if not hasattr(os, "getuid"):  # Windows: the profile directory is the user's own
        return True
    return info.st_uid == os.getuid() and not stat.S_IMODE(info.st_mode) & 0o022 and os.access(directory, os.W_OK)


def opened(kind: str) -> DiskCache:
    """The cache for entries of a kind that the options of now name; one without a directory if it is off."""
    if not enable_compilation_cache.value:
        return _cache(None, 0)
    chosen, size = compilation_cache_dir.value, compilation_cache_max_size.value
    directory = default_directory(kind) if chosen is None else os.path.join(chosen, kind)
    found = _cache(directory, default_size() if size < 0 else size)
    if raise_persistent_cache_errors.value and directory is not None and not found.usable():
        raise OSError(f"the compilation cache {directory} cannot be used: it must be ours, and closed to other writers")
    return found


@functools.cache
def _cache(directory: str | None, size: int) -> DiskCache:
    return DiskCache(directory, size)


def default_directory(kind: str, environ: Callable[[str], str | None] = os.environ.get) -> str | None:
    """Where entries of a kind are kept; None if the cache is off."""
    named = environ("ADDAX_CACHE_DIR")
    if named is not None:
        return None if named.lower() in ("", "off", "0", "none") else os.path.join(named, kind)
    base = environ("XDG_CACHE_HOME") or ""
    root = base if os.path.isabs(base) else os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(root, "addax", kind) if os.path.isabs(root) else None


def default_size() -> int:
    try:
        return int(os.environ.get("ADDAX_CACHE_SIZE", DEFAULT_SIZE))
    except ValueError:
        return DEFAULT_SIZE
