"""GGUF files of llama.cpp: a checked header, and one tensor read at a time, as what its blocks mean.

What a block of a type means is computed by the `gguf` package of llama.cpp itself.

Here: all that is known of this format. Not here: what its names mean.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import struct
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectail.errors import SourceError, naming_the_extra
from spectail.weights.formats.format import Format
from spectail.weights.parameter import Parameter, Source, why_not_matrix
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

_LARGEST_HEADER = 2**30
"""Bytes of a header, which has the model's vocabulary in it."""

_SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of values in the metadata, as `struct` calls them; 8 is a string, 9 an array."""

_PLAIN = {"F32": torch.float32, "F16": torch.float16, "F64": torch.float64, "BF16": torch.bfloat16}

_CONFIGURATION = {
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "expert_count": "num_local_experts",
}

_HOW_TO_CONVERT = "llama-quantize --allow-requantize IN.gguf OUT.gguf F16 writes one of plain numbers"


def _recognises(file: StoredFile) -> bool:
    return file.start(4) == b"GGUF"


class _Header:
    """Reads a header step by step, never past the end of the file."""

    def __init__(self, file: StoredFile) -> None:
        self._file, self._stream, self.at = file, file.stream(), 0

    def bytes(self, count: int) -> bytes:
        if self.at + count > min(self._file.size, _LARGEST_HEADER):
            raise SourceError(f"{self._file.name} is damaged: its header says more than the file has")
        self.at += count
        return self._stream.read(count)

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.bytes(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        return self.bytes(self.number("Q")).decode("utf-8", "backslashreplace")

    def value(self, kind: int) -> Any:
        """A number or a text; of an array nothing is kept."""
        if kind == 8:
            return self.text()
        if kind == 9:
            return self._pass_array()
        if kind not in _SIZES:
            raise SourceError(f"{self._file.name} is damaged: its metadata has a value of the type {kind}")
        return self.number(_SIZES[kind])

    def _pass_array(self) -> None:
        kind, count = self.number("I"), self.number("Q")
        if kind == 8:
            for _ in range(min(count, self._file.size)):
                self.bytes(self.number("Q"))
        elif kind in _SIZES:
            self.bytes(count * struct.calcsize(f"<{_SIZES[kind]}"))
        else:
            raise SourceError(f"{self._file.name} is damaged: its metadata has an array of the type {kind}")


def _tensors(file: StoredFile, key: str | None) -> Source:
    """The tensors of a file by their names, in its order.

    Raises:
        SourceError: the file cannot be read, or its header is not what it must be.
        MissingPackageError: `gguf` is not installed.
    """
    package = _package(file)
    header = _Header(file)
    if header.bytes(4) != b"GGUF":
        raise SourceError(f"{file.name} is no GGUF file")
    version = header.number("I")
    if version not in (2, 3):
        raise SourceError(f"{file.name} is a GGUF file of version {version}, or big-endian; expected 2 or 3")
    count, entries = header.number("Q"), header.number("Q")
    metadata: dict[str, Any] = {}
    for _ in range(min(entries, file.size)):
        name = header.text()
        metadata[name] = header.value(header.number("I"))
    places: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for _ in range(min(count, file.size)):
        name, dimensions = header.text(), header.number("I")
        if dimensions > 8 or name in places:
            raise SourceError(
                f"{file.name} is damaged: {printable(name):.200} has {dimensions} dimensions, or is twice"
            )
        shape = tuple(reversed([header.number("Q") for _ in range(dimensions)]))
        places[name] = (shape, header.number("I"), header.number("Q"))
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= 2**20:
        raise SourceError(f"{file.name} is damaged: its alignment is {alignment!r:.40}")
    start = -(-header.at // alignment) * alignment
    parameters = [
        _parameter(file, package, name, shape, kind, start + offset) for name, (shape, kind, offset) in places.items()
    ]
    return Source(file.title, parameters, config=_configuration(metadata))


def _package(file: StoredFile) -> Any:
    with naming_the_extra(file.name):
        import gguf
        import gguf.quants
    return gguf


def _configuration(metadata: dict[str, Any]) -> dict[str, Any]:
    """What it says of the model, by the names of Hugging Face."""
    architecture = metadata.get("general.architecture")
    values = {new: metadata.get(f"{architecture}.{old}") for old, new in _CONFIGURATION.items()}
    return {name: value for name, value in values.items() if type(value) is int}


def _parameter(file: StoredFile, package: Any, name: str, shape: tuple[int, ...], kind: int, start: int) -> Parameter:
    shown = f"{file.name} is damaged: {printable(name):.200}"
    try:
        kind_ = package.GGMLQuantizationType(kind)
        values_of_block, bytes_of_block = package.GGML_QUANT_SIZES[kind_]
    except (ValueError, KeyError):
        reason = f"of type {kind}, which the installed gguf does not know: pip install -U gguf"
        return Parameter(name, shape, lambda: torch.empty(0), reason, resident=False)
    row = shape[-1] if shape else 1
    if row % values_of_block:
        raise SourceError(f"{shown} has rows of {row} values, no whole number of blocks of {kind_.name}")
    size = prod(shape) // values_of_block * bytes_of_block
    if start + size > file.size:
        raise SourceError(f"{shown} is said to end at byte {start + size}, the file has {file.size}")
    dtype = str(_PLAIN.get(kind_.name, kind_.name.lower())).removeprefix("torch.")
    refusal = why_not_matrix(shape)
    if kind_.name in ("I8", "I16", "I32", "I64"):
        refusal = f"integers ({kind_.name.lower()})"
    elif kind_.name not in _PLAIN and kind_ not in _computable(package):
        refusal = f"of type {kind_.name}, which gguf does not compute: {_HOW_TO_CONVERT}"

    def load_rows(first: int, last: int) -> Tensor:
        rows = (last - first, *shape[1:])
        step = size // shape[0]
        return _values(file, package, kind_, start + first * step, (last - first) * step, rows)

    load = partial(load_rows, 0, shape[0]) if shape else partial(_values, file, package, kind_, start, size, shape)
    rows = load_rows if len(shape) > 1 and not refusal else None
    return Parameter(name, shape, load, refusal, resident=False, load_rows=rows, dtype=dtype)


def _computable(package: Any) -> Any:
    return package.quants._type_traits


def _values(file: StoredFile, package: Any, kind: Any, start: int, count: int, shape: tuple[int, ...]) -> Tensor:
    content = file.read(start, count)
    if kind.name in _PLAIN:
        return torch.frombuffer(content, dtype=_PLAIN[kind.name]).reshape(shape)
    blocks = np.frombuffer(content, np.uint8).reshape(prod(shape[:-1]), -1)
    with np.errstate(all="ignore"):  # damaged scales are infinite
        values = package.quants.dequantize(blocks, kind)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).reshape(shape)


FORMAT = Format(
    describe="a GGUF file",
    endings=(".gguf",),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
    one="state dict",
)
