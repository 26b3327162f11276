"""From LLVM IR text to object code: the host's target machine, and LLVM loaded on first use.

Loading LLVM takes 10 ms or more, so nothing here touches it until something has to be compiled: ``fingerprint``
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

from addax.engines.devices import cpu_description

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


def _cpu() -> str:
    """A stable text that changes with the CPU's model and features."""
    return cpu_description() or f"{platform.machine()} {platform.processor()} {_library().host()}"


def _machine_arch() -> str:
    arch = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(arch, arch)


@functools.cache
def host_target() -> Target:
    """The machine this process runs on."""
    arch = _machine_arch()
    if arch == "aarch64":
        return Target("aarch64", 16, False)
    if arch != "x86_64":
        raise RuntimeError(f"addax compiles for x86-64 and arm64 CPUs; this machine is {arch!r}")
    words = set(_cpu().replace("+", " ").replace(",", " ").split())
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= words:
        return Target("x86_64", 64, True)
    if {"avx2", "fma", "f16c"} <= words:
        return Target("x86_64", 32, False)
    raise RuntimeError("addax compiles for x86-64 CPUs with AVX2, FMA and F16C (2013 and later); this one lacks them")


@functools.cache
def fingerprint() -> str:
    """Identifies this CPU and this LLVM, without loading LLVM."""
    parts = [platform.machine(), platform.system(), _cpu(), str(OPT_LEVEL)]
    folder = _llvmlite_folder()
    for name in sorted(os.listdir(os.path.join(folder, "binding"))):
        if "llvmlite." in name:  # the library itself: libllvmlite.so, .dylib, llvmlite.dll
            parts.append(f"{name} {os.path.getsize(os.path.join(folder, 'binding', name))}")
    with open(os.path.join(folder, "_version.py")) as f:
        parts.append(f.read())
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


class CompileError(RuntimeError):
    """LLVM refused our IR: a bug of the emitter. The message holds LLVM's and the text's neighbourhood."""


_P, _S, _I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_OUT = ctypes.POINTER(ctypes.c_void_p)  # receives a string that LLVM allocates
_PROTOTYPES = {
    "GetVersionInfo": (ctypes.c_uint, []),
    "InitializeNativeTarget": (None, []),
    "InitializeNativeAsmPrinter": (None, []),
    "InitializeAllTargetInfos": (None, []),
    "InitializeAllTargets": (None, []),
    "InitializeAllTargetMCs": (None, []),
    "InitializeAllAsmPrinters": (None, []),
    "GetHostCPUName": (None, [_OUT]),
    "GetHostCPUFeatures": (_I, [_OUT]),
    "GetTargetFromTriple": (_P, [_S, _OUT]),
    # target, triple, cpu, features, optimisation, relocation model, code model, print, for a JIT, ABI
    "CreateTargetMachine": (_P, [_P, _S, _S, _S, _I, _S, _S, _I, _I, _S]),
    "ContextCreate": (_P, []),
    "ContextDispose": (None, [_P]),
    "ParseAssembly": (_P, [_P, _S, _OUT]),
    "VerifyModule": (ctypes.c_bool, [_P, _OUT]),
    "DisposeModule": (None, [_P]),
    "DisposeString": (None, [_P]),
    "TargetMachineEmitToMemory": (_P, [_P, _P, _I, _OUT]),
    "GetBufferStart": (_P, [_P]),
    "GetBufferSize": (ctypes.c_size_t, [_P]),
    "DisposeMemoryBuffer": (None, [_P]),
}
LLVM_MAJOR = 22
"""The IR we write is that of LLVM 22 (masked loads carry their alignment as an attribute, for one)."""


class _Library:
    """The C library inside llvmlite, called directly.

    Its Python layer takes longer to import than the library to load, and lets one thread at a time into LLVM. LLVM
    asks only that threads don't share a context or a target machine, and ours don't: modules compile in parallel.
    """

    def __init__(self):
        name = {"Darwin": "libllvmlite.dylib", "Windows": "llvmlite.dll"}.get(platform.system(), "libllvmlite.so")
        self.dll = ctypes.CDLL(os.path.join(_llvmlite_folder(), "binding", name))
        for function_name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(self.dll, f"LLVMPY_{function_name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, function_name, function)
        major = self.GetVersionInfo() >> 16
        if major != LLVM_MAJOR:
            raise RuntimeError(
                f"addax needs the LLVM {LLVM_MAJOR} of llvmlite 0.50; the llvmlite installed has {major}"
            )
        self.InitializeNativeTarget()
        self.InitializeNativeAsmPrinter()

    def all_targets(self) -> None:
        self.InitializeAllTargetInfos()
        self.InitializeAllTargets()
        self.InitializeAllTargetMCs()
        self.InitializeAllAsmPrinters()

    def take(self, text: ctypes.c_void_p) -> str:
        """The text of a string that LLVM allocated, which is freed."""
        if not text.value:
            return ""
        found = ctypes.string_at(text.value).decode(errors="replace")
        self.DisposeString(text)
        text.value = None
        return found

    def host(self) -> tuple[str, str]:
        out = ctypes.c_void_p()
        self.GetHostCPUName(ctypes.byref(out))
        name = self.take(out)
        self.GetHostCPUFeatures(ctypes.byref(out))
        return name, self.take(out)


def _llvmlite_folder() -> str:
    spec = importlib.util.find_spec("llvmlite")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("addax compiles with LLVM, which comes with llvmlite: pip install 'llvmlite==0.50.*'")
    return spec.submodule_search_locations[0]


_creating = threading.Lock()
_local = threading.local()


@functools.cache
def _load_library() -> _Library:
    return _Library()


def _library() -> _Library:
    with _creating:
        return _load_library()


def _machine(target: Target) -> int:
    """This thread's target machine."""
    machines = _local.__dict__.setdefault("machines", {})
    if target not in machines:
        lib, error = _library(), ctypes.c_void_p()
        with _creating:
            cpu, features = (target.cpu, target.features) if target.cpu else lib.host()
            if target.arch != _machine_arch():
                lib.all_targets()
            triple = f"{target.arch}-unknown-linux-gnu"
            if target.arch == "aarch64" and platform.system() != "Linux":
                features += ",+reserve-x18"  # belongs to the system on macOS and Windows
            if platform.system() == "Windows":  # the object format stays ELF, the calling convention is Windows'
                triple = f"{target.arch}-pc-windows-msvc-elf"
            found = lib.GetTargetFromTriple(triple.encode(), ctypes.byref(error))
            if not found:
                raise CompileError(f"LLVM has no target {triple}: {lib.take(error)}")
            machine = lib.CreateTargetMachine(
                found, triple.encode(), cpu.encode(), features.encode(), OPT_LEVEL, b"pic", b"small", 0, 0, b""
            )
            if not machine:
                raise CompileError(f"LLVM can't make code for {cpu} ({features})")
            machines[target] = machine
    return machines[target]


def _compile(text: str, target: Target | None, as_object: bool) -> bytes:
    machine = _machine(target or host_target())
    lib, error = _library(), ctypes.c_void_p()

    def refuse():
        found = lib.take(error) or "no reason given"
        raise CompileError(f"{found}\n{_excerpt(text, found)}")

    context, module = lib.ContextCreate(), None
    try:
        module = lib.ParseAssembly(context, text.encode(), ctypes.byref(error))
        if error.value or not module:
            refuse()
        # Code generation aborts the process on what the verifier reports.
        if lib.VerifyModule(module, ctypes.byref(error)):  # true: broken
            refuse()
        lib.take(error)  # an empty report
        buffer = lib.TargetMachineEmitToMemory(machine, module, int(as_object), ctypes.byref(error))
        if not buffer:
            refuse()
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
