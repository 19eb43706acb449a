"""A checksum behind the end of a file of HDF5, which is compared before anything else looks at the file.

libhdf5 knows where its own content ends, passes over what comes after, and drops it when it changes the file: whoever
opens a sealed file elsewhere sees no difference, and one that was changed elsewhere has no seal.

**Layout.** The last 1,152 bytes are 24 times the same 48: the mark `SPECTAIL`, the size of what comes before the seal
(8 bytes, little-endian), and its SHA-256 (32 bytes). It is repeated so that no damaged block of a disk can hide that
there was one: a file with no mark at all was never sealed.

Not here: how a file without a seal is read (`reader`), and the checksum of a run (`recording/netcdf.py`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from spectail.errors import StoreError

_MARK = b"SPECTAIL"
_COPY = 48  # bytes
_SEAL = 24 * _COPY


def seal(path: Path) -> None:
    """Append the checksum of a file to it. Raises OSError where the disk is full."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.write(24 * (_MARK + file.tell().to_bytes(8, "little") + digest))


def is_sealed(path: Path) -> bool:
    """Whether a file has a seal, which then fits.

    Args:
        path: of any file.

    Returns:
        False where it has none.

    Raises:
        StoreError: its content is not what was sealed.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _SEAL, 0))
        end = file.read()
        copies = {end[at : at + _COPY] for at in range(len(end)) if end.startswith(_MARK, at)}
        if not copies:
            return False
        for copy in copies:
            length = int.from_bytes(copy[8:16], "little")
            if length <= size and _digest(path, length) == copy[16:]:
                return True
    raise StoreError(f"{path} is damaged: its content does not have the checksum that it was written with")


def _digest(path: Path, length: int) -> bytes:
    """SHA-256 of the first bytes of a file."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while length and (piece := file.read(min(length, 2**20))):
            digest.update(piece)
            length -= len(piece)
    return digest.digest()
