"""Arrays of numpy: `.npz` archives and `.npy` files, never the pickles that may be in them.

Here: all that is known of these files. Not here: which way their kernels go (`channels_last`).

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import ast
import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.channels_last import as_in_torch
from spectail.weights.formats.checksum import Checksum
from spectail.weights.formats.format import Format
from spectail.weights.parameter import Parameter, Source, why_not_matrix, why_not_values
from spectail.weights.state_dict import Tree, source_of_tree
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

_MAGIC = b"\x93NUMPY"

_LONGEST_HEADER = 10_000
"""Bytes: numpy's own limit."""

_MOST_TIMES = 1_100
"""The largest factor by which deflating makes anything smaller."""

_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)")

_OF_TENSORFLOW = re.compile(r":\d+$|/(w|weights)$")
"""What no name of Flax ends with."""

_HOW_TO_CONVERT = "save plain arrays of numbers: np.savez(path, **{name: np.asarray(array, 'float32')})"


@dataclass(frozen=True)
class _Place:
    """Where the bytes of an array lie in a file, and how many they are once inflated."""

    start: int
    stored: int
    size: int
    checksum: Checksum | None = None
    deflated: bool = False


def _recognises(file: StoredFile) -> bool:
    start = file.start(6)
    if start[:4] == b"PK\x03\x04":
        return file.ending == ".npz"
    return start == _MAGIC


def _tensors(file: StoredFile, key: str | None) -> Source:
    """The arrays of a file, unread.

    Raises:
        SourceError: the file cannot be read, or holds no array.
    """
    if file.start(6) == _MAGIC:
        array = _parameter(file, "array", _Place(0, file.size, file.size))
        return source_of_tree({"array": array}, file.name, file.title, key)
    places = _places(file)
    arrays = {name: _parameter(file, name, place) for name, place in places.items()}
    source = source_of_tree(_nested(arrays), file.name, file.title, key)
    return replace(source, parameters=[as_in_torch(one) for one in source.parameters])


def _nested(arrays: dict[str, Parameter]) -> Tree:
    """Names of JAX have their steps between slashes; those of TensorFlow's graphs stay as they are."""
    if any(_OF_TENSORFLOW.search(name) for name in arrays):
        return arrays
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *steps, last = name.split("/")
        here: Any = tree
        for step in steps:
            here = here.setdefault(step, {}) if isinstance(here, dict) else None
        if not isinstance(here, dict) or last in here or len(steps) > 50:
            return {name.replace("/", "."): array for name, array in arrays.items()}
        here[last] = array
    return tree


def _places(file: StoredFile) -> dict[str, _Place]:
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            entries = archive.infolist()
    except SourceError:
        raise
    except Exception as error:  # zipfile raises many, where an archive is damaged
        raise SourceError(f"{file.name} is a damaged zip archive: {error!s:.200}") from None
    places: dict[str, _Place] = {}
    for entry in entries:
        shown = f"{file.name} is damaged: {printable(entry.filename):.200}"
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise SourceError(f"{shown} is compressed or encrypted in a way that numpy never does")
        if not 0 <= entry.header_offset <= file.size - 30:
            raise SourceError(f"{shown} is said to lie outside of the file")
        header = bytes(file.read(entry.header_offset, 30))
        start = entry.header_offset + 30 + int.from_bytes(header[26:28], "little")
        start += int.from_bytes(header[28:30], "little")
        deflated = entry.compress_type == zipfile.ZIP_DEFLATED
        most = entry.compress_size * _MOST_TIMES + 64 if deflated else entry.compress_size
        if header[:4] != b"PK\x03\x04" or start + entry.compress_size > file.size or entry.file_size > most:
            raise SourceError(f"{shown} claims more bytes than there are")
        name = entry.filename.removesuffix(".npy")
        if name in places:
            raise SourceError(f"{shown} is there twice")
        places[name] = _Place(start, entry.compress_size, entry.file_size, Checksum(entry), deflated)
    return places


def _bytes(file: StoredFile, place: _Place, start: int, count: int) -> bytearray:
    """Some bytes of an array; of a deflated one all before them are inflated, too."""
    if not place.deflated:
        return file.read(place.start + start, count)
    little = min(place.stored, count + 1024) if start == 0 and count < _LONGEST_HEADER * 2 else place.stored
    try:
        content = zlib.decompressobj(-15).decompress(bytes(file.read(place.start, little)), start + count)
    except zlib.error as error:
        raise SourceError(f"{file.name} is damaged: {error!s:.100}") from None
    if len(content) < start + count:
        raise SourceError(f"{file.name} is damaged: an array of it ends too early")
    return bytearray(memoryview(content)[start:])


def _parameter(file: StoredFile, name: str, place: _Place) -> Parameter:
    shown = f"{file.name} is damaged: {printable(name):.200}"
    start = bytes(_bytes(file, place, 0, min(place.size, 12)))
    wide = 4 if start[6:7] in (b"\x02", b"\x03") else 2
    length = int.from_bytes(start[8 : 8 + wide], "little")
    if start[:6] != _MAGIC or len(start) < 12 or length > min(_LONGEST_HEADER, place.size - 8 - wide):
        raise SourceError(f"{shown} is no array of numpy")
    text = bytes(_bytes(file, place, 0, 8 + wide + length))[8 + wide :].decode("latin1")
    try:
        header = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        header = None
    if not isinstance(header, dict) or not {"descr", "fortran_order", "shape"} <= header.keys():
        raise SourceError(f"{shown} has no header of numpy")
    shape, descr = header["shape"], header["descr"]
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise SourceError(f"{shown} has no proper shape")
    if not isinstance(descr, str) or not _NUMBERS.fullmatch(descr):
        objects = isinstance(descr, str) and "O" in descr
        reason = "Python objects in a pickle, not numbers" if objects else f"values of the kind {descr!s:.40}"
        return Parameter(name, shape, lambda: torch.empty(0), f"{reason}: {_HOW_TO_CONVERT}", resident=False)
    kind = np.dtype(descr)
    first = 8 + wide + length
    if prod(shape) * kind.itemsize != place.size - first:
        raise SourceError(f"{shown} has {place.size - first} bytes for {kind} of the shape {shape!s:.80}")
    dtype: torch.dtype = getattr(torch, kind.name)
    by_columns = header["fortran_order"] is True

    def load() -> Tensor:
        header, values = _bytes(file, place, 0, first), _bytes(file, place, first, place.size - first)
        if place.checksum:
            place.checksum.check(file, place.start, header, values)
        return _member(values, kind, shape, by_columns)

    load_rows = None
    if shape and not by_columns and not place.deflated:
        row = prod(shape[1:]) * kind.itemsize

        def load_rows(begin: int, end: int) -> Tensor:
            if place.checksum:
                place.checksum.check(file, place.start)
            values = _bytes(file, place, first + begin * row, (end - begin) * row)
            return _member(values, kind, (end - begin, *shape[1:]), False)

    refusal = why_not_values(dtype) or why_not_matrix(shape)
    return Parameter(name, shape, load, refusal, resident=False, load_rows=load_rows, dtype=kind.name)


def _member(values: bytearray, kind: np.dtype[Any], shape: tuple[int, ...], by_columns: bool) -> Tensor:
    native = np.frombuffer(values, kind).astype(kind.newbyteorder("="), copy=False)
    return torch.from_numpy(native.reshape(shape, order="F" if by_columns else "C"))


FORMAT = Format(
    describe="an archive of numpy arrays",
    endings=(".npz", ".npy"),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
)
