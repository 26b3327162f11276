"""Link one ELF relocatable object into a flat, position-independent image: our own linker, 100 lines.

Kernels are leaf code: they call nothing outside their module and address constants relative to the program counter.
So the loadable sections can be laid side by side once, relocations between them resolved, and the result runs
wherever it is copied. That image is what the object cache stores: loading a kernel is one copy into executable
memory, with no linker, and without importing LLVM.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SHF_ALLOC = 2
SHT_NOBITS, SHT_SYMTAB, SHT_RELA = 8, 2, 4
R_X86_64_PC32, R_X86_64_PLT32 = 2, 4
R_AARCH64_PREL32, R_AARCH64_CALL26, R_AARCH64_JUMP26 = 261, 283, 282
R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_ADD_ABS_LO12_NC = 275, 277
R_AARCH64_LDST = {278: 0, 284: 1, 285: 2, 286: 3, 299: 4}  # LDST8/16/32/64/128_ABS_LO12_NC: log2 of the access size


class LinkError(RuntimeError):
    """An object that needs more than we link: an outside symbol or an unknown relocation."""


class Image(NamedTuple):
    """``code`` to be copied to memory aligned to ``align``; ``symbols`` are offsets of the global functions in it."""

    code: bytes
    align: int
    symbols: dict[str, int]


def link(obj: bytes) -> Image:
    """Lay out and relocate the loadable sections of a 64-bit little-endian ELF object.

    Raises:
      LinkError: undefined symbols or relocations that are not relative.
    """
    if obj[:6] != b"\x7fELF\x02\x01":
        raise LinkError("not a 64-bit little-endian ELF object")
    shoff = struct.unpack_from("<Q", obj, 40)[0]
    shentsize, shnum = struct.unpack_from("<HH", obj, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", obj, shoff + i * shentsize) for i in range(shnum)]
    names = sections[struct.unpack_from("<H", obj, 62)[0]]
    image, place, align_all = bytearray(), {}, 64
    for i, (name, kind, flags, _, offset, size, _, _, align, _) in enumerate(sections):
        label = _text(obj, names[4] + name)
        if not flags & SHF_ALLOC or not size or label.startswith((".eh_frame", ".note")):
            continue
        align = max(align, 16)
        align_all = max(align_all, align)
        image += b"\0" * (-len(image) % align)
        place[i] = len(image)
        image += b"\0" * size if kind == SHT_NOBITS else obj[offset : offset + size]
    symbols, globals_ = [], {}
    for _, kind, _, _, offset, size, link_, _, _, entry in sections:
        if kind != SHT_SYMTAB:
            continue
        strings = sections[link_][4]
        for at in range(offset, offset + size, entry):
            st_name, info, _, shndx, value, _ = struct.unpack_from("<IBBHQQ", obj, at)
            where = place[shndx] + value if shndx in place else None
            symbols.append((where, _text(obj, strings + st_name)))
            if info >> 4 == 1 and where is not None and info & 15 == 2:
                globals_[symbols[-1][1]] = where
    for _, kind, _, _, offset, size, _, target, _, entry in sections:
        if kind != SHT_RELA or target not in place:
            continue
        for at in range(offset, offset + size, entry):
            r_offset, r_info, addend = struct.unpack_from("<QQq", obj, at)
            where, name = symbols[r_info >> 32]
            if where is None:
                raise LinkError(f"the kernel needs {name!r}, which its module does not define")
            _apply(image, r_info & 0xFFFFFFFF, place[target] + r_offset, where + addend, name)
    return Image(bytes(image), align_all, globals_)


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
