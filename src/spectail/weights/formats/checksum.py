"""Whether the values in an archive are those that were written: zip archives keep a CRC-32 of each entry.

Here: the comparison. Not here: where entries lie, and what is in them (`pickles`, `npz`, `keras`).

Source: APPNOTE.TXT, 4.4.7, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from zipfile import ZipInfo

from spectail.errors import SourceError
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

_AT_A_TIME = 2**24  # bytes


class Checksum:
    """What the bytes of an entry of an archive must add up to; compared once, when some of them are wanted.

    Args:
        entry: of a zip archive. A checksum of 0 is none: torch.save writes that where it was told to compute none
            (`torch.serialization.set_crc32_options`, `skip_data`).
    """

    def __init__(self, entry: ZipInfo) -> None:
        self._entry = entry
        self._fits: bool | None = True if entry.CRC == 0 else None

    def check(self, file: StoredFile, start: int, *values: bytes | bytearray) -> None:
        """Compare, where that costs little: what was read is not read again, and only a file of this machine is read.

        Args:
            file: that the entry is in.
            start: its first byte there.
            values: all of its bytes, in their order, where they were read.

        Raises:
            SourceError: they are not those that were written.
        """
        if self._fits is None and (values or file.path is not None):
            crc = 0
            for piece in values or self._pieces(file, start):
                crc = zlib.crc32(piece, crc)
            self._fits = crc == self._entry.CRC
        if self._fits is False:
            which = printable(self._entry.filename)
            raise SourceError(f"{file.name} is damaged: {which:.100} in it is not what was written (CRC-32)")

    def _pieces(self, file: StoredFile, start: int) -> Iterator[bytearray]:
        for at in range(0, self._entry.file_size, _AT_A_TIME):
            yield file.read(start + at, min(_AT_A_TIME, self._entry.file_size - at))
