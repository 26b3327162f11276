"""Small builders for native programs: kernels by name or as C compiled by llvmlite, arrays from NumPy, one-step runs."""

from __future__ import annotations

import functools
from typing import ClassVar

import llvmlite.binding as llvm
import numpy as np

from addax import _native


class Aval:
    """The little of an aval that the runtime looks at; interned and immortal like the real ones."""

    __slots__ = ("__weakref__", "_desc", "dtype", "shape", "weak_type")
    interned: ClassVar[dict] = {}

    def __new__(cls, shape, dtype):
        key = tuple(shape), np.dtype(dtype)
        if key not in cls.interned:
            self = object.__new__(cls)
            self.shape, self.dtype, self.weak_type, self._desc = *key, False, None
            cls.interned[key] = self
        return cls.interned[key]

    def __repr__(self):
        return f"{self.dtype}{list(self.shape)}"


def aval_of(x: np.ndarray) -> Aval:
    return Aval(x.shape, x.dtype)


def array(x) -> _native.Array:
    x = np.asarray(x)
    return _native.array_from_numpy(x, aval_of(x))


def program(ins, outs, slots, arena_bytes, consts, steps, outputs, **kwargs) -> _native.Program:
    """A Program whose in and out avals are given as arrays or (shape, dtype) pairs."""
    avals = [[aval_of(x) if isinstance(x, np.ndarray) else Aval(*x) for x in xs] for xs in (ins, outs)]
    return _native.Program(*avals, slots, arena_bytes, [array(c) for c in consts], steps, outputs, **kwargs)


def table(*values) -> bytes:
    flat: list[int] = []
    for v in values:
        flat.extend(v) if isinstance(v, (list, tuple)) else flat.append(int(v))
    return np.array(flat, np.int64).tobytes()


@functools.cache
def symbols(isa: str | None = None) -> dict[str, int]:
    return _native.symbols(isa)


def isas() -> list[str]:
    """The instruction sets this machine can run, worst first."""
    names = ["baseline", "avx2", "avx512"]
    return names[: names.index(_native.isa()) + 1]


def call_kernel(
    kernel: str | int, ins, outs, tab: bytes, isa: str | None = None, ns: float = -1000.0
) -> list[np.ndarray]:
    """Run one kernel on arrays, of which one may come twice; `outs` are (shape, dtype) pairs, or arrays that the output memory
    starts from."""
    address = symbols(isa)[kernel] if isinstance(kernel, str) else kernel
    ins = [np.asarray(x) for x in ins]
    initial = [o if isinstance(o, np.ndarray) else None for o in outs]
    outs = [(o.shape, o.dtype) if isinstance(o, np.ndarray) else o for o in outs]
    sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in outs]
    consts = [o for o in initial if o is not None]
    n_in, n_out = len(ins), len(outs)
    slots = [("in", i, x.nbytes) for i, x in enumerate(ins)]
    slots += [("out", j, size) for j, size in enumerate(sizes)]
    slots += [("const", k, c.nbytes) for k, c in enumerate(consts)]
    steps: list[tuple] = []
    for j, o in enumerate(initial):
        if o is not None:
            steps.append(("copy", n_in + j, n_in + n_out + sum(x is not None for x in initial[:j]), sizes[j]))
    steps.append(("kernel", address, tuple(range(n_in + n_out)), tab, 1, ns))
    p = program(ins, outs, slots, 0, consts, steps, [("slot", n_in + j) for j in range(n_out)])
    arrays = {id(x): array(x) for x in ins}
    return [np.asarray(y) for y in p([arrays[id(x)] for x in ins])]


_engines: list = []


@functools.cache
def compile_ir(body: str, name: str = "k") -> int:
    """The address of a kernel given as LLVM IR."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(body), target)
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(name)


ADD_F32 = """
define void @k(ptr %args, ptr %table, i64 %lo, i64 %hi) {
entry:
  %a = load ptr, ptr %args
  %pb = getelementptr ptr, ptr %args, i64 1
  %b = load ptr, ptr %pb
  %pc = getelementptr ptr, ptr %args, i64 2
  %c = load ptr, ptr %pc
  %any = icmp slt i64 %lo, %hi
  br i1 %any, label %loop, label %done
loop:
  %i = phi i64 [%lo, %entry], [%i1, %loop]
  %ai = getelementptr float, ptr %a, i64 %i
  %bi = getelementptr float, ptr %b, i64 %i
  %ci = getelementptr float, ptr %c, i64 %i
  %x = load float, ptr %ai
  %y = load float, ptr %bi
  %z = fadd float %x, %y
  store float %z, ptr %ci
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %hi
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def binary_i32(op: str, result: str = "i32") -> int:
    """A kernel c = a `op` b on one int32 each, or a comparison storing a byte."""
    convert = "" if result == "i32" else "%w = zext i1 %z to i8\n"
    value = "i32 %z" if result == "i32" else "i8 %w"
    return compile_ir(f"""
define void @k(ptr %args, ptr %table, i64 %lo, i64 %hi) {{
  %a = load ptr, ptr %args
  %pb = getelementptr ptr, ptr %args, i64 1
  %b = load ptr, ptr %pb
  %pc = getelementptr ptr, ptr %args, i64 2
  %c = load ptr, ptr %pc
  %x = load i32, ptr %a
  %y = load i32, ptr %b
  %z = {op} i32 %x, %y
  {convert}
  store {value}, ptr %c
  ret void
}}""")


def add_f32() -> int:
    return compile_ir(ADD_F32)
