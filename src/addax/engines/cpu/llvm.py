"""From LLVM IR text to object code: the host's target machine, and llvmlite loaded on first use.

Importing llvmlite takes some 50 ms, so nothing here touches it until something has to be compiled: ``fingerprint``
(what the disk cache is keyed by) reads the CPU's description from the system, and ``host_target`` its features from
the same place. Objects are ELF on every system: ``elf.py`` links them, not the system's linker.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import re
import threading
from typing import NamedTuple

OPT_LEVEL = 1
"""Code generation effort. 0 runs 1.3-3.5 times slower; 2 and 3 give the same code as 1."""


class Target(NamedTuple):
    """What the emitter needs to know of the machine.

    ``vector_bytes`` is the width of a register; ``masked`` says that loads and stores of any element type take lane
    masks (AVX-512BW/VL, SVE). ``cpu`` and ``features`` are LLVM's names; empty strings mean "ask the host when
    compiling".
    """

    arch: str
    vector_bytes: int
    masked: bool
    cpu: str = ""
    features: str = ""

    @property
    def avx512(self) -> bool:
        return self.arch == "x86_64" and self.masked

    def __str__(self) -> str:
        return f"{self.arch}/{self.vector_bytes}{'m' if self.masked else ''}/{self.cpu}/{self.features}"


AVX512 = Target("x86_64", 64, True)
AVX2 = Target("x86_64", 32, False, "haswell", "")
NEON = Target("aarch64", 16, False, "generic", "+neon")


def _cpu_description() -> str:
    """A stable text that changes with the CPU's model and features (not with its clock or load)."""
    try:
        with open("/proc/cpuinfo") as f:
            head = f.read(16384).split("\n\n", 1)[0]
        skip = ("cpu MHz", "bogomips", "processor", "core id", "apicid", "initial apicid", "physical id")
        return "\n".join(line for line in head.splitlines() if not line.startswith(skip))
    except OSError:
        pass
    return f"{platform.machine()} {platform.processor()} {_llvm_host()}"


def _llvm_host() -> tuple[str, str]:
    binding = _binding()
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


@functools.cache
def host_target() -> Target:
    """The machine this process runs on."""
    arch = platform.machine().lower()
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(arch, arch)
    if arch == "aarch64":
        return Target("aarch64", 16, False)
    if arch != "x86_64":
        raise RuntimeError(f"addax compiles for x86-64 and arm64 CPUs; this machine is {arch!r}")
    words = set(_cpu_description().replace("+", " ").replace(",", " ").split())
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= words:
        return Target("x86_64", 64, True)
    if {"avx2", "fma", "f16c"} <= words:
        return Target("x86_64", 32, False)
    raise RuntimeError("addax compiles for x86-64 CPUs with AVX2, FMA and F16C (2013 and later); this one lacks them")


@functools.cache
def fingerprint() -> str:
    """Identifies this CPU and this LLVM, without loading LLVM."""
    spec = importlib.util.find_spec("llvmlite")
    parts = [platform.machine(), platform.system(), _cpu_description(), str(OPT_LEVEL)]
    if spec is not None and spec.submodule_search_locations:
        folder = os.path.join(spec.submodule_search_locations[0], "binding")
        for name in sorted(os.listdir(folder)):
            if "llvmlite." in name:  # the library itself: libllvmlite.so, .dylib, llvmlite.dll
                parts.append(f"{name} {os.path.getsize(os.path.join(folder, name))}")
        with open(os.path.join(folder, "..", "_version.py")) as f:
            parts.append(f.read())
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


@functools.cache
def _binding():
    import llvmlite.binding as binding  # 50 ms: only when something is compiled

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding


class CompileError(RuntimeError):
    """LLVM refused our IR: a bug of the emitter. The message holds LLVM's and the text's neighbourhood."""


_PROTOTYPES = {
    "ContextCreate": (ctypes.c_void_p, []),
    "ContextDispose": (None, [ctypes.c_void_p]),
    "ParseAssembly": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]),
    "VerifyModule": (ctypes.c_bool, [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]),
    "DisposeModule": (None, [ctypes.c_void_p]),
    "DisposeString": (None, [ctypes.c_void_p]),
    "TargetMachineEmitToMemory": (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)],
    ),
    "GetBufferStart": (ctypes.c_void_p, [ctypes.c_void_p]),
    "GetBufferSize": (ctypes.c_size_t, [ctypes.c_void_p]),
    "DisposeMemoryBuffer": (None, [ctypes.c_void_p]),
}


class _Library:
    """The functions of llvmlite's C library that compiling takes, without llvmlite's lock around them.

    llvmlite lets one thread at a time into LLVM. LLVM itself asks only that threads don't share a context or a target
    machine, and ours don't; so these are separate ctypes handles of the same functions, and modules compile in
    parallel.
    """

    def __init__(self):
        self.dll = ctypes.CDLL(_binding().ffi.lib._name)
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(self.dll, f"LLVMPY_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)


_library = functools.cache(_Library)
_local = threading.local()
_creating = threading.Lock()


def _machine(target: Target):
    """This thread's target machine."""
    machines = _local.__dict__.setdefault("machines", {})
    if target not in machines:
        with _creating:
            binding = _binding()
            cpu, features = (target.cpu, target.features) if target.cpu else _llvm_host()
            triple = f"{target.arch}-unknown-linux-gnu"
            if platform.system() == "Windows":  # the object format stays ELF, the calling convention is Windows'
                triple = f"{target.arch}-pc-windows-msvc-elf"
            machines[target] = binding.Target.from_triple(triple).create_target_machine(
                cpu=cpu, features=features, opt=OPT_LEVEL, reloc="pic", codemodel="small"
            )
    return machines[target]


def _compile(text: str, target: Target | None, as_object: bool) -> bytes:
    machine = _machine(target or host_target())
    lib, error = _library(), ctypes.c_void_p()

    def message() -> str:
        found = ctypes.string_at(error.value).decode(errors="replace") if error.value else "no reason given"
        if error.value:
            lib.DisposeString(error)
        return f"{found}\n{_excerpt(text, found)}"

    context = lib.ContextCreate()
    module = None
    try:
        module = lib.ParseAssembly(context, text.encode(), ctypes.byref(error))
        if error.value or not module:
            raise CompileError(message())
        # Code generation aborts the process on what the verifier reports.
        if lib.VerifyModule(module, ctypes.byref(error)):  # true: broken
            raise CompileError(message())
        if error.value:  # an empty report
            lib.DisposeString(error)
            error.value = None
        pointer = ctypes.cast(machine._ptr, ctypes.c_void_p)
        buffer = lib.TargetMachineEmitToMemory(pointer, module, int(as_object), ctypes.byref(error))
        if not buffer:
            raise CompileError(message())
        try:
            return ctypes.string_at(lib.GetBufferStart(buffer), lib.GetBufferSize(buffer))
        finally:
            lib.DisposeMemoryBuffer(buffer)
    finally:
        if module:
            lib.DisposeModule(module)
        lib.ContextDispose(context)


def _excerpt(text: str, message: str) -> str:
    found = re.search(r":(\d+):", message)
    lines = text.splitlines()
    line = int(found.group(1)) - 1 if found else 0
    return "\n".join(lines[max(0, line - 5) : line + 3])


def emit_object(text: str, target: Target | None = None) -> bytes:
    """Compile IR text to a relocatable ELF object. Threads may call this at the same time.

    Raises:
      CompileError: the text does not parse or is not well-formed.
    """
    return _compile(text, target, True)


def emit_assembly(text: str, target: Target | None = None) -> str:
    """Compile IR text to assembly."""
    return _compile(text, target, False).decode()
