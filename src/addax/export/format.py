"""The file: a prefix with the version and a checksum, then a zip archive. docs/export.md describes it."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from typing import Any

import numpy as np

MAGIC = b"\x89ADXEXP\n"
# (major, minor). Readers take every major version from OLDEST to this one, and every minor version.
VERSION = (1, 0)
OLDEST = 1

_PREFIX = struct.Struct("<8sHHIQ32s")  # magic, major, minor, zero, length of the archive, its SHA-256


def pack(document: dict[str, Any], constants: list[np.ndarray]) -> bytes:
    """A file with one JSON document and the constants of its programs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        _write(archive, "exported.json", json.dumps(document, separators=(",", ":"), allow_nan=False).encode())
        for i, value in enumerate(constants):
            npy = io.BytesIO()
            np.lib.format.write_array(npy, value, allow_pickle=False)
            _write(archive, f"constants/{i}.npy", npy.getvalue())
    payload = out.getvalue()
    return _PREFIX.pack(MAGIC, *VERSION, 0, len(payload), hashlib.sha256(payload).digest()) + payload


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # of 1980: equal programs give equal files
    archive.writestr(entry, data, zipfile.ZIP_STORED)


class Package:
    """What a file holds.

    Raises:
      ValueError: if it is none, is damaged, or is of a version that this release does not read.
    """

    def __init__(self, blob: Any):
        data = bytes(blob)
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError(
                f"not an exported function: the data starts with {data[:8]!r}, expected {MAGIC!r}. Pass what "
                "Exported.serialize() returned."
            )
        if len(data) < _PREFIX.size:
            raise ValueError(f"the data is cut off: {len(data)} bytes, and the prefix alone has {_PREFIX.size}")
        _, major, minor, _, length, digest = _PREFIX.unpack_from(data)
        if not OLDEST <= major <= VERSION[0]:
            hint = "Update addax." if major > VERSION[0] else "Export the function again."
            raise ValueError(
                f"the data is in version {major}.{minor} of the format; this release of addax reads versions {OLDEST} to "
                f"{VERSION[0]}. {hint}"
            )
        payload = data[_PREFIX.size :]
        if len(payload) != length:
            what = "cut off" if len(payload) < length else "followed by something else"
            raise ValueError(f"the data is {what}: {len(payload)} bytes after the prefix, expected {length}")
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("the data is damaged: its checksum is not the one in the prefix")
        self.version = major, minor
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(payload))
            self.document = json.loads(self._archive.read("exported.json"))
        except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
            raise ValueError(f"the data is no exported function: {error}") from None

    def constant(self, number: int) -> bytes:
        """The bytes of a constant."""
        name = f"constants/{int(number)}.npy"
        try:
            with self._archive.open(name) as file:
                value = np.lib.format.read_array(file, allow_pickle=False)
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"the data has no constant {number}: {error}") from None
        if value.dtype != np.uint8 or value.ndim != 1:
            raise ValueError(
                f"constant {number} is stored as {value.dtype}{list(value.shape)}, expected a row of uint8"
            )
        return value.tobytes()
