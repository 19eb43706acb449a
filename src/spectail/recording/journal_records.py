"""The records of a journal: how rows become bytes, and what of the bytes of a file is whole.

Here: heads, sums, and JSON. Not here: what a record says, and the file that it stands in (`journal_file`).

A record is a head of 20 bytes, JSON, and the values of a spectrum::

    mark f5 4a · kind · bytes a value · bytes of JSON · values · CRC-32 of the rest, going on from
    the record before · CRC-32 of this head               (2 + 1 + 1 bytes, four uint32; all little-endian)

JSON is strict: NaN and None are null, and come back as NaN; infinity is 1e999. Nothing of it is run.

**Torn ends.** A record is one `write`, so a process that is killed leaves a beginning of one at most, and a
machine that loses its power a hole at the end: a last record that is not whole counts as never written. A bad
record with records behind it is damage, and refused. Each sum goes on from the one before, so a record that was
lost, doubled or written by somebody else is refused too.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from spectail.errors import StoreError

MOST_BYTES = 1 << 24
"""Of one record: a spectrum of two million values, or the stamps of 10⁵ files."""

MOST_RECORD_ENTRIES = 1_000_000
"""Commas and brackets in one record: more than any that is meant, and few enough for 100 MB as objects."""

_HEAD = struct.Struct("<2sccIIII")
_MARK = b"\xf5J"  # f5 is in no UTF-8, so JSON cannot hold it

Spectrum = NDArray[np.float32] | NDArray[np.float64]


class Tail(NamedTuple):
    """Where the next record goes, and the sum that it goes on from."""

    end: int = 0
    checksum: int = 0


class JournalRecord(NamedTuple):
    """One record of a journal.

    Attributes:
        kind: a letter.
        json: its text; `from_json` reads it.
        spectrum: None where there is none.
        tail: behind it.
    """

    kind: bytes
    json: bytes
    spectrum: Spectrum | None
    tail: Tail


def to_record(
    kind: bytes, json_object: Mapping[str, Any], spectrum: Spectrum | None, before: Tail
) -> tuple[bytes, Tail]:
    """The bytes of a record.

    Args:
        kind: a letter.
        json_object: NaN and infinity may be in it, and numpy's numbers.
        spectrum: float32 or float64, as it is to be kept.
        before: where it goes.

    Returns:
        the bytes, and the tail behind them.

    Raises:
        StoreError: it is larger than a reader takes.
    """
    text, width, values = to_json(json_object).encode(), 0, b""
    if spectrum is not None:
        if spectrum.dtype.kind != "f" or spectrum.dtype.itemsize not in (4, 8):
            raise TypeError(f"a spectrum is float32 or float64, not {spectrum.dtype}")
        width = spectrum.dtype.itemsize
        values = spectrum.astype(f"<f{width}", copy=False).tobytes()
    if len(text) + len(values) > MOST_BYTES:
        raise StoreError(f"{len(text) + len(values)} bytes are more than a journal takes at once ({MOST_BYTES})")
    checksum = zlib.crc32(values, zlib.crc32(text, before.checksum))
    numbers = len(text), len(values) // (width or 1), checksum
    head = _HEAD.pack(_MARK, kind, bytes([width]), *numbers, 0)[:-4]
    record = head + zlib.crc32(head).to_bytes(4, "little") + text + values
    return record, Tail(before.end + len(record), checksum)


def each_record(file: BinaryIO, journal: Path) -> Iterator[JournalRecord]:
    """The records of a journal in their order, without a torn end.

    Raises:
        StoreError: it is damaged, or no journal.
    """
    length = os.fstat(file.fileno()).st_size
    tail = Tail()
    while tail.end < length:
        head = file.read(_HEAD.size)
        if not tail.end and not _MARK.startswith(head[:2]):
            raise StoreError(f"{journal} is not a journal of spectail")
        if len(head) < _HEAD.size:
            return
        _, kind, width_byte, n_text, n_values, checksum, _ = _HEAD.unpack(head)
        width = width_byte[0]
        is_whole = _is_head(head)
        if is_whole:
            size = n_text + n_values * width
            if size > MOST_BYTES or width not in (0, 4, 8) or kind not in b"HRCF" or (kind == b"H") != (not tail.end):
                raise StoreError(f"{journal} is not a journal of spectail: what it holds at byte {tail.end} is none")
            body = file.read(size)
            if len(body) < size:
                return
            is_whole = zlib.crc32(body, tail.checksum) == checksum
        if not is_whole:
            if not tail.end or _has_head(file, tail.end + 1):
                raise StoreError(
                    f"{journal} is damaged at byte {tail.end} of {length}; "
                    + (
                        f"to go on with what stands before: truncate -s {tail.end} {journal}"
                        if tail.end
                        else "remove it"
                    )
                )
            return
        tail = Tail(tail.end + _HEAD.size + size, checksum)
        spectrum = np.frombuffer(body, f"<f{width}", n_values, n_text) if width else None
        yield JournalRecord(kind, body[:n_text], spectrum, tail)


def _is_head(head: bytes) -> bool:
    return head[:2] == _MARK and zlib.crc32(head[:-4]) == int.from_bytes(head[-4:], "little")


def _has_head(file: BinaryIO, start: int) -> bool:
    """Whether a record begins at `start` or behind it, as far as the next one can be."""
    file.seek(start)
    rest = file.read(MOST_BYTES + 2 * _HEAD.size)
    at = rest.find(_MARK)
    while at >= 0 and not _is_head(rest[at : at + _HEAD.size]):
        at = rest.find(_MARK, at + 1)
    return at >= 0


def to_json(value: Any) -> str:
    """A value as strict JSON; NaN is null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{to_json(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(to_json, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else f"{math.copysign(1, value):.0f}e999"
    return json.dumps(value)


def from_json(text: bytes) -> dict[str, Any]:
    """The object of a record; null is None.

    Raises:
        ValueError: it is no strict JSON, no object, or larger than any that is meant.
    """
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MOST_RECORD_ENTRIES:
        raise ValueError("more entries than any that is meant")
    value = json.loads(text.decode(), parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def with_nan(value: Any) -> Any:
    """A value that was read, with NaN for null."""
    if isinstance(value, dict):
        return {key: with_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_nan(entry) for entry in value]
    return math.nan if value is None else value
