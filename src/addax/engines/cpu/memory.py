"""Executable memory: linked kernel images copied to where they can run.

On Linux each chunk is one anonymous file mapped twice, writable here and executable there, so no page is ever both
and kernels can be added while others run. Elsewhere a chunk is a private mapping that may be both. Chunks live as
long as the process: addresses of kernels are never reused.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
import threading

import numpy as np

CHUNK = 1 << 20

_lock = threading.Lock()


def _address(mapping: mmap.mmap) -> int:
    return np.frombuffer(mapping, np.uint8).ctypes.data


class _Chunk:
    def __init__(self, size: int):
        self.size, self.used = size, 0
        if sys.platform == "linux":
            fd = os.memfd_create("addax-kernels", os.MFD_CLOEXEC)
            try:
                os.ftruncate(fd, size)
                self.writable = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
                self.runnable = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC)
            finally:
                os.close(fd)
        else:
            both = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            self.writable = self.runnable = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANON, both)
        self.base = _address(self.runnable)

    def place(self, code: bytes, align: int) -> int | None:
        start = -(-self.used // align) * align
        if start + len(code) > self.size:
            return None
        self.writable[start : start + len(code)] = code
        self.used = start + len(code)
        return self.base + start


_chunks: list[_Chunk] = []


def load(code: bytes, align: int) -> int:
    """Copy an image into executable memory; returns its address."""
    # On arm64 the instruction cache is not coherent: the kernel cleans it when a page is first mapped executable, so
    # each image gets a fresh chunk there (and starts at a page, which elf.py relies on).
    fresh = platform.machine() not in ("x86_64", "AMD64")
    with _lock:
        if not fresh:
            for chunk in _chunks[-1:]:
                at = chunk.place(code, align)
                if at is not None:
                    return at
        size = -(-len(code) // mmap.PAGESIZE) * mmap.PAGESIZE
        chunk = _Chunk(size if fresh else max(size, CHUNK))
        _chunks.append(chunk)
        at = chunk.place(code, align)
        assert at is not None
        return at
