"""Link one ELF relocatable object into a flat, position-independent image: our own linker, 100 lines.

Kernels call nothing outside their module but our own helper functions, and address constants relative to the program
counter.
So the loadable sections can be laid side by side once, relocations between them resolved, and the result runs
wherever it is copied. That image is what the object cache stores: loading a kernel is one copy into executable
memory, with no linker, and without importing LLVM.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SHF_ALLOC = 2
SHT_NOBITS, SHT_SYMTAB, SHT_RELA = 8, 2, 4
STB_GLOBAL, STT_FUNC = 1, 2
R_X86_64_PC32, R_X86_64_PLT32 = 2, 4
R_AARCH64_PREL32, R_AARCH64_CALL26, R_AARCH64_JUMP26 = 261, 283, 282
R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_ADD_ABS_LO12_NC = 275, 277
R_AARCH64_LDST = {278: 0, 284: 1, 285: 2, 286: 3, 299: 4}  # LDST8/16/32/64/128_ABS_LO12_NC: log2 of the access size


# Jump to the address in the 8 bytes that follow, by ELF machine: x86-64 `jmp *2(%rip)` padded to 8, arm64 `ldr x16,
# #8; br x16`.
STUBS = {62: bytes.fromhex("ff2502000000cccc"), 183: struct.pack("<II", 0x58000050, 0xD61F0200)}


class LinkError(RuntimeError):
    """An object that needs more than we link: an outside symbol or an unknown relocation."""


class Image(NamedTuple):
    """One kernel: ``code`` to be copied to memory aligned to ``align``; execution starts at offset ``entry``.

    ``imports`` are (offset, name) of 8-byte slots that want the address of a helper function before the code runs.
    """

    code: bytes
    align: int
    entry: int
    imports: tuple[tuple[int, str], ...] = ()


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


def link(obj: bytes) -> dict[str, Image]:
    """An image for each global function of a 64-bit little-endian ELF object.

    An image holds the function's section and the sections it refers to, so kernels that were compiled together part
    again (the emitter gives each function its own section).

    Raises:
      LinkError: undefined symbols or relocations that are not relative.
    """
    if obj[:6] != b"\x7fELF\x02\x01":
        raise LinkError("not a 64-bit little-endian ELF object")
    sections = _sections(obj)
    symbols, functions = _symbols(obj, sections)
    relocations: dict[int, list[tuple[int, int, int, int]]] = {}  # section -> (offset, type, symbol, addend)
    for s in sections:
        if s.kind == SHT_RELA and sections[s.info].flags & SHF_ALLOC:
            rows = relocations.setdefault(s.info, [])
            for at in range(s.offset, s.offset + s.size, s.entry_size):
                r_offset, r_info, addend = struct.unpack_from("<QQq", obj, at)
                rows.append((r_offset, r_info & 0xFFFFFFFF, r_info >> 32, addend))
    return {name: _image(obj, sections, symbols, relocations, s, value) for name, (s, value) in functions.items()}


def _sections(obj: bytes) -> list[_Section]:
    start = struct.unpack_from("<Q", obj, 40)[0]
    size, count, names = struct.unpack_from("<HHH", obj, 58)
    rows = [struct.unpack_from("<IIQQQQIIQQ", obj, start + i * size) for i in range(count)]
    strings = rows[names][4]
    return [_Section(_text(obj, strings + r[0]), r[1], r[2], r[4], r[5], r[6], r[7], r[8], r[9]) for r in rows]


def _symbols(obj: bytes, sections: list[_Section]):
    """Every symbol as (section, value, name), and the global functions by name."""
    symbols, functions = [], {}
    for s in sections:
        if s.kind != SHT_SYMTAB:
            continue
        strings = sections[s.link].offset
        for at in range(s.offset, s.offset + s.size, s.entry_size):
            st_name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", obj, at)
            symbols.append((section, value, _text(obj, strings + st_name)))
            if info == (STB_GLOBAL << 4 | STT_FUNC) and section:
                functions[symbols[-1][2]] = (section, value)
    return symbols, functions


def _image(obj: bytes, sections, symbols, relocations, root: int, entry: int) -> Image:
    """Lay out the sections reachable from ``root``, in the order of the object, the root first; then relocate.

    Calls of helpers go to stubs behind the sections: a jump through a slot that the loader fills.
    """
    wanted, stack, outside = {root}, [root], []
    while stack:
        for _, _, symbol, _ in relocations.get(stack.pop(), ()):
            section, _, name = symbols[symbol]
            if not 0 < section < len(sections):
                if not name.startswith("addax."):
                    raise LinkError(f"the kernel needs {name!r}, which its module does not define")
                if name not in outside:
                    outside.append(name)
            elif section not in wanted:
                wanted.add(section)
                stack.append(section)
    image, place, align_all = bytearray(), {}, 64
    for i in [root, *sorted(wanted - {root})]:
        s = sections[i]
        align = max(s.align, 16)
        align_all = max(align_all, align)
        image += b"\0" * (-len(image) % align)
        place[i] = len(image)
        image += b"\0" * s.size if s.kind == SHT_NOBITS else obj[s.offset : s.offset + s.size]
    image += b"\0" * (-len(image) % 16)
    stub = STUBS[struct.unpack_from("<H", obj, 18)[0]]
    stubs = {}
    for name in outside:
        stubs[name] = len(image)
        image += stub + b"\0" * 8
    for i in wanted:
        for offset, kind, symbol, addend in relocations.get(i, ()):
            section, value, name = symbols[symbol]
            base = stubs[name] if name in stubs else place[section] + value
            _apply(image, kind, place[i] + offset, base + addend, name)
    imports = tuple((at + len(stub), name) for name, at in stubs.items())
    return Image(bytes(image), align_all, place[root] + entry, imports)


def _apply(image: bytearray, kind: int, at: int, value: int, name: str) -> None:
    if kind in (R_X86_64_PC32, R_X86_64_PLT32, R_AARCH64_PREL32):
        struct.pack_into("<i", image, at, value - at)
    elif kind in (R_AARCH64_CALL26, R_AARCH64_JUMP26):
        word = struct.unpack_from("<I", image, at)[0]
        struct.pack_into("<I", image, at, (word & 0xFC000000) | ((value - at) >> 2 & 0x03FFFFFF))
    elif kind == R_AARCH64_ADR_PREL_PG_HI21:
        # Images are loaded at page-aligned addresses on arm64, so pages are known relative to the image.
        pages = (value >> 12) - (at >> 12)
        word = struct.unpack_from("<I", image, at)[0] & 0x9F00001F
        struct.pack_into("<I", image, at, word | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5)
    elif kind == R_AARCH64_ADD_ABS_LO12_NC or kind in R_AARCH64_LDST:
        low = (value & 0xFFF) >> R_AARCH64_LDST.get(kind, 0)
        word = struct.unpack_from("<I", image, at)[0] & 0xFFC003FF
        struct.pack_into("<I", image, at, word | low << 10)
    else:
        raise LinkError(f"relocation type {kind} (of {name!r}) is not position-independent")


def _text(obj: bytes, at: int) -> str:
    return obj[at : obj.index(b"\0", at)].decode()
