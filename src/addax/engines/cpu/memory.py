"""Executable memory: linked kernel images copied to where they can run.

On Linux each chunk is one anonymous file mapped twice, writable here and executable there, so no page is ever both and
kernels can be added while others run. macOS and Windows give out memory that is writable and executable (on Apple
silicon by turns, thread by thread). Chunks live as long as the process: addresses of kernels are never reused.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
import threading

import numpy as np

CHUNK = 1 << 20
MAP_JIT = 0x0800  # macOS

_lock = threading.Lock()


def _address(mapping: mmap.mmap) -> int:
    return np.frombuffer(mapping, np.uint8).ctypes.data


class _Chunk:
    """``size`` bytes that run at ``base``; ``writable`` is where to write them (the same place but on Linux)."""

    def __init__(self, size: int):
        self.size, self.used = size, 0
        if sys.platform == "win32":
            reserve_and_commit, read_write_run = 0x3000, 0x40
            allocate = ctypes.windll.kernel32.VirtualAlloc
            allocate.restype = ctypes.c_void_p
            self.base = self.writable = allocate(None, ctypes.c_size_t(size), reserve_and_commit, read_write_run)
            if not self.base:
                raise MemoryError(f"no {size} bytes of executable memory")
        elif sys.platform == "linux":
            fd = os.memfd_create("addax-kernels", os.MFD_CLOEXEC)
            try:
                os.ftruncate(fd, size)
                write = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
                run = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC)
            finally:
                os.close(fd)
            self.mappings = write, run
            self.base, self.writable = _address(run), _address(write)
        else:
            both = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            mapping = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANON | MAP_JIT, both)
            self.mappings = (mapping,)
            self.base = self.writable = _address(mapping)

    def place(self, code: bytes, align: int) -> int | None:
        start = -(-self.used // align) * align
        if start + len(code) > self.size:
            return None
        if sys.platform == "darwin" and platform.machine() == "arm64":
            system = ctypes.CDLL(None)
            system.pthread_jit_write_protect_np(0)
            ctypes.memmove(self.writable + start, code, len(code))
            system.pthread_jit_write_protect_np(1)
            system.sys_icache_invalidate(ctypes.c_void_p(self.base + start), ctypes.c_size_t(len(code)))
        else:
            ctypes.memmove(self.writable + start, code, len(code))
        self.used = start + len(code)
        return self.base + start


_chunks: list[_Chunk] = []
_inherited: list[_Chunk] = []


def _after_fork() -> None:
    """A forked child shares the chunks' pages with its parent: it runs what is there and writes elsewhere."""
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_chunks)
    _chunks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def load(code: bytes, align: int) -> int:
    """Copy an image into executable memory; returns its address."""
    # On arm64 Linux the instruction cache is not coherent: the kernel cleans it when a page is first mapped
    # executable, so each image gets a fresh chunk there (and starts at a page, which elf.py relies on).
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
