"""ONNX models: the tensors that their graphs begin with, each turned as the node that uses it acts with it.

Here: all that is known of this format. Not here: what its names mean.

Source: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md, and onnx.proto beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

from spectail.errors import SourceError, naming_the_extra
from spectail.weights.formats.format import Format
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, dtype_name, from_array, why_not_matrix, why_not_values
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import printable

_LARGEST = 2**31
"""Bytes of a model without its external data: the limit of protocol buffers."""

_DTYPES: dict[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    4: torch.uint16,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    12: torch.uint32,
    13: torch.uint64,
    16: torch.bfloat16,
    17: torch.float8_e4m3fn,
    19: torch.float8_e5m2,
}

_SHAPES = {"Reshape", "Expand", "Slice", "Pad", "Tile", "Gather", "Resize", "Split", "Squeeze", "Unsqueeze"}
"""Nodes whose second and further inputs say where, not what."""

_HOW_TO_CONVERT = "onnx.save(onnx.load(path), path) writes external data into the folder anew"


def _recognises(file: StoredFile) -> bool:
    """A protocol buffer does not say what it holds; a file that begins as text is none."""
    return file.ending == ".onnx" and not file.start(16).decode("latin1").isprintable()


def _tensors(file: StoredFile, key: str | None) -> Source:
    """The initialisers of a model and its constants, in their order.

    Raises:
        SourceError: the file cannot be read, or is no model.
        MissingPackageError: `onnx` is not installed.
    """
    with naming_the_extra(file.name):
        import onnx
    if file.size > _LARGEST:
        raise SourceError(f"{file.name} is no ONNX model: it has more than {_LARGEST} bytes")
    try:
        model = onnx.ModelProto.FromString(bytes(file.read(0, file.size)))
    except SourceError:
        raise
    except Exception as error:  # protobuf's own kinds, by how it was built
        raise SourceError(f"{file.name} is damaged, or no ONNX model: {type(error).__name__}") from None
    if not model.graph.node and not model.graph.initializer:
        raise SourceError(f"{file.name} is damaged, or no ONNX model: its graph is empty")
    if not all(isinstance(word, str) for word in _words(model.graph)):  # bytes, where they are no UTF-8
        raise SourceError(f"{file.name} is damaged: a name in its graph is no text")
    uses = _uses(model.graph)
    parameters: list[Parameter] = []
    skipped: list[Skipped] = []
    for name, tensor in _named(model.graph):
        if len(tensor.dims) > 32 or any(not 0 <= size < 2**63 for size in tensor.dims):
            raise SourceError(f"{file.name} is damaged: {printable(name):.200} has no proper shape")
        kind, where, transposed = uses.get(name, ("", 0, False))
        if kind in _SHAPES and where > 0:
            skipped.append(Skipped(printable(name), tuple(tensor.dims), f"an argument of {kind}, not a weight"))
            continue
        parameter = _parameter(file, onnx, name, tensor)
        parameters.append(_turned(parameter) if transposed and not parameter.refusal else parameter)
    return Source(file.title, parameters, skipped)


def _words(graph: Any) -> Iterator[Any]:
    for tensor in graph.initializer:
        yield tensor.name
    for node in graph.node:
        yield node.op_type
        yield from node.input
        yield from node.output


def _named(graph: Any) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], attribute.t


def _uses(graph: Any) -> dict[str, tuple[str, int, bool]]:
    """Of each tensor: the kind of the first node that uses it, as which input, and whether it lies there in × out."""
    uses: dict[str, tuple[str, int, bool]] = {}
    for node in graph.node:
        settings = {attribute.name: attribute.i for attribute in node.attribute}
        for where, name in enumerate(node.input):
            in_by_out = where == 1 and (
                node.op_type == "MatMul" or (node.op_type == "Gemm" and not settings.get("transB", 0))
            )
            uses.setdefault(name, (node.op_type, where, in_by_out))
    return uses


def _turned(parameter: Parameter) -> Parameter:
    """… × in × out as … × out × in."""
    if len(parameter.shape) < 2:
        return parameter
    load = parameter.load
    shape = (*parameter.shape[:-2], parameter.shape[-1], parameter.shape[-2])
    return Parameter(parameter.name, shape, lambda: load().transpose(-1, -2), resident=False, dtype=parameter.dtype)


def _parameter(file: StoredFile, onnx: Any, name: str, tensor: Any) -> Parameter:
    shown, shape = f"{file.name} is damaged: {printable(name):.200}", tuple(tensor.dims)
    dtype = _DTYPES.get(tensor.data_type)
    if dtype is None:
        reason = f"values of ONNX's type {tensor.data_type}, which are not read"
        return Parameter(name, shape, lambda: torch.empty(0), reason, resident=False)
    size = prod(shape) * dtype.itemsize
    refusal = why_not_values(dtype) or why_not_matrix(shape)
    name_of_dtype = dtype_name(dtype)
    if tensor.data_location == 1:
        return _external(file, name, tensor, dtype, refusal)
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != size:
            raise SourceError(f"{shown} has {len(tensor.raw_data)} bytes for the shape {shape!s:.80}")
        raw = tensor.raw_data

        def load() -> Tensor:
            return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)

        return Parameter(name, shape, load if size else lambda: torch.empty(shape), refusal, dtype=name_of_dtype)
    if refusal:
        return Parameter(name, shape, lambda: torch.empty(0), refusal, dtype=name_of_dtype)
    if prod(shape) > 2 * tensor.ByteSize():
        raise SourceError(f"{shown} has fewer values than its shape {shape!s:.80}")
    try:
        return from_array(onnx.numpy_helper.to_array(tensor), name)
    except (ValueError, TypeError) as error:
        raise SourceError(f"{shown} cannot be read: {error!s:.100}") from None


def _external(file: StoredFile, name: str, tensor: Any, dtype: torch.dtype, refusal: str) -> Parameter:
    """A tensor whose bytes lie in a file beside the model, or below."""
    shown, shape = f"{file.name} is damaged: {printable(name):.200}", tuple(tensor.dims)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, size = str(entries.get("location", "")), prod(shape) * dtype.itemsize
    steps = PurePosixPath(location)
    if steps.is_absolute() or ".." in steps.parts or "\\" in location or "\0" in location or not location.strip():
        raise SourceError(
            f"{file.name} names the file {printable(location)!r:.200}, outside its folder; it was not opened"
        )
    if file.path is None:
        reason = "its values lie in a file beside the model: download both, and open the copy"
        return Parameter(name, shape, lambda: torch.empty(0), reason, resident=False)
    home = file.path.parent.resolve()
    try:
        path = (home / location).resolve()
    except (OSError, RuntimeError, ValueError):
        raise SourceError(f"{shown} lies in {printable(location)!r:.200}, which cannot be read") from None
    if home not in path.parents:
        raise SourceError(f"{file.name} names the file {printable(location)!r:.200}, a link out of its folder")
    values = local_file(path)
    digits = [str(entries.get("offset", "0")), str(entries.get("length", size))]
    if not all(one.isascii() and one.isdigit() and len(one) < 20 for one in digits):
        raise SourceError(f"{shown} is said to lie at {digits!s:.80}; expected two whole numbers")
    start, length = map(int, digits)
    if length != size or start + size > values.size:
        raise SourceError(
            f"{shown} takes {size} bytes from {start} on; {values.title} has {values.size}, and {length} are named"
        )

    def load_rows(first: int, last: int) -> Tensor:
        row = prod(shape[1:]) * dtype.itemsize
        content = values.read(start + first * row, (last - first) * row)
        return torch.frombuffer(content, dtype=dtype).reshape(last - first, *shape[1:])

    if not shape or not size:
        return Parameter(name, shape, lambda: torch.empty(shape, dtype=dtype), refusal, resident=False)
    name_of_dtype = dtype_name(dtype)
    return Parameter(
        name, shape, partial(load_rows, 0, shape[0]), refusal, resident=False, load_rows=load_rows, dtype=name_of_dtype
    )


FORMAT = Format(
    describe="an ONNX model",
    endings=(".onnx",),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
    one="graph",
)
