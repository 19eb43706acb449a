"""Files of the safetensors format: a checked header, and one tensor read at a time.

The header is read here, and not by the library that writes such files, because that maps the whole file into memory:
what is read here is the bytes of one tensor, or of some rows of it, and nothing stays.

Here: all that is known of this format. Not here: what its names mean, and several files that belong together.

Source: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import re
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.channels_last import is_of_tensorflow, of_tensorflow
from spectail.weights.formats.format import Format
from spectail.weights.parameter import Parameter, Source, dtype_name, natural_order, why_not_matrix, why_not_values
from spectail.weights.state_dict import check_placeholders
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import parse_json, printable

LONGEST_HEADER = 100_000_000
"""Bytes: the format's own limit."""

MOST_DIMENSIONS = 64
"""As many as a tensor of PyTorch may have."""

DTYPES: dict[str, tuple[int, torch.dtype | None]] = {
    "F64": (64, torch.float64),
    "F32": (32, torch.float32),
    "F16": (16, torch.float16),
    "BF16": (16, torch.bfloat16),
    "F8_E4M3": (8, torch.float8_e4m3fn),
    "F8_E5M2": (8, torch.float8_e5m2),
    "F8_E4M3FNUZ": (8, torch.float8_e4m3fnuz),
    "F8_E5M2FNUZ": (8, torch.float8_e5m2fnuz),
    "F8_E8M0": (8, torch.float8_e8m0fnu),
    "F6_E2M3": (6, None),
    "F6_E3M2": (6, None),
    "F4": (4, torch.float4_e2m1fn_x2),
    "C64": (64, torch.complex64),
    "I64": (64, torch.int64),
    "I32": (32, torch.int32),
    "I16": (16, torch.int16),
    "I8": (8, torch.int8),
    "U64": (64, torch.uint64),
    "U32": (32, torch.uint32),
    "U16": (16, torch.uint16),
    "U8": (8, torch.uint8),
    "BOOL": (8, torch.bool),
}
"""Bits of a value, and its dtype where PyTorch has one."""

_NEWER = re.compile(r"(F|BF|I|U|C)(?P<bits>\d{1,3})(_\w{1,20})?", re.ASCII)
"""What dtypes are called that the format may come to have: letters for the kind, then the bits of a value."""

_HOW_TO_CONVERT = "save the model in a floating dtype, where you have it"


def _recognises(file: StoredFile) -> bool:
    """The length of the header comes first, then the header, which is a JSON object."""
    return file.start(9)[8:] == b"{"


def _tensors(file: StoredFile, key: str | None) -> Source:
    """The tensors of a file by their names, as it keeps no order of definition.

    Raises:
        SourceError: the file cannot be read, or its header is not what it must be.
    """
    path = file.name
    header, start = _header(file)
    size = file.size - start
    spans = sorted((_span(path, name, entry, size), name) for name, entry in header.items() if name != "__metadata__")
    end = 0
    for (first, last), name in spans:
        if first != end:
            wrong = "overlap others" if first < end else f"leave {first - end} bytes before them to nobody"
            raise SourceError(f"{path} is damaged: the values of {printable(name)} {wrong}")
        end = last
    if end != size:
        raise SourceError(f"{path} is damaged: its tensors end at byte {start + end}, the file at {start + size}")
    parameters = [_parameter(file, name, header[name], start + first) for (first, _), name in spans]
    if any(is_of_tensorflow(name) for name in header):
        parameters = [*map(of_tensorflow, parameters)]
    check_placeholders(parameters, path)
    return Source(file.title, sorted(parameters, key=natural_order))


def _header(file: StoredFile) -> tuple[dict[str, Any], int]:
    """The header of a file, and where the values start."""
    path = file.name
    count = file.start(8)
    if len(count) < 8:
        raise SourceError(f"{path} is no safetensors file: it has {file.size} bytes, fewer than the length of a header")
    length = int.from_bytes(count, "little")
    if length > min(file.size - 8, LONGEST_HEADER):
        what = f"the file has {file.size} bytes" if length > file.size - 8 else f"at most {LONGEST_HEADER} are allowed"
        raise SourceError(f"{path} is damaged, or no safetensors file: it claims a header of {length} bytes; {what}")
    header = parse_json(path, bytes(file.read(8, length)), "the header of a safetensors file")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise SourceError(f"{path} is damaged: its __metadata__ is no JSON object")
    return header, 8 + length


def _span(path: str, name: str, entry: object, size: int) -> tuple[int, int]:
    """Where a tensor's values lie, from the end of the header; checked against the file, its dtype and its shape."""
    where = f"{path} is damaged: {printable(name):.200}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise SourceError(f"{where} is described without its dtype, shape and data_offsets")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not _are_sizes(shape) or len(shape) > MOST_DIMENSIONS:
        raise SourceError(
            f"{where} has the shape {json.dumps(shape):.80}; expected a list of whole numbers, none negative"
        )
    if not _are_sizes(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise SourceError(
            f"{where} is said to lie at bytes {json.dumps(offsets):.80}; expected two ascending, of at most {size}"
        )
    newer = _NEWER.fullmatch(dtype) if isinstance(dtype, str) else None
    if not isinstance(dtype, str) or (dtype not in DTYPES and not newer):
        raise SourceError(f"{where} has the dtype {json.dumps(dtype):.40}; expected one of {', '.join(DTYPES)}")
    bits = prod(shape) * (DTYPES[dtype][0] if dtype in DTYPES or newer is None else int(newer["bits"]))
    if bits != 8 * (offsets[1] - offsets[0]):
        raise SourceError(
            f"{where} takes {offsets[1] - offsets[0]} bytes, but {dtype} of the shape {shape!s:.80} takes {bits / 8:g}"
        )
    return offsets[0], offsets[1]


def _are_sizes(value: object) -> bool:
    # a boolean is an integer to Python; no size of a file that exists has 63 bits
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _parameter(file: StoredFile, name: str, entry: dict[str, Any], start: int) -> Parameter:
    shape, (_, dtype) = tuple(entry["shape"]), DTYPES.get(entry["dtype"], (0, None))
    halves = entry["dtype"] == "F4"
    if dtype is None or (halves and (not shape or shape[-1] % 2)):
        what = "quantised and packed" if entry["dtype"] in DTYPES else "of a dtype that is not known"
        refusal = f"{what} ({entry['dtype']}): {_HOW_TO_CONVERT}"
        return Parameter(name, shape, _unreadable, refusal, resident=False)
    if halves:  # PyTorch counts bytes
        shape = (*shape[:-1], shape[-1] // 2)
    refusal = why_not_values(dtype) or why_not_matrix(shape)

    def load_rows(first: int, last: int) -> Tensor:
        row = prod(shape[1:]) * dtype.itemsize
        return _values(file, start + first * row, dtype, (last - first, *shape[1:]))

    load = partial(load_rows, 0, shape[0]) if shape else partial(_values, file, start, dtype, shape)
    name_of_dtype = dtype_name(dtype)
    return Parameter(
        name, shape, load, refusal, resident=False, load_rows=load_rows if shape else None, dtype=name_of_dtype
    )


def _unreadable() -> Tensor:
    raise SourceError("packed values cannot be read")


def _values(file: StoredFile, start: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Values that lie one after the other from a byte on: these bytes are read, and no others."""
    return torch.frombuffer(file.read(start, prod(shape) * dtype.itemsize), dtype=dtype).reshape(shape)


FORMAT = Format(
    describe="a file of safetensors",
    endings=(".safetensors",),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
    one="state dict",
)
