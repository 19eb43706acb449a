"""Folders of torch.distributed.checkpoint: `.metadata`, and tensors in pieces in `.distcp` files beside it.

Here: which pieces make a tensor. Not here: what one piece is (`formats`).

Source: https://github.com/pytorch/pytorch/blob/main/torch/distributed/checkpoint/metadata.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.formats.pickle_machine import StandIn, read_pickle
from spectail.weights.formats.table import read_tensors
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, dtype_name, why_not_matrix, why_not_values
from spectail.weights.state_dict import DEEPEST, WRAPPINGS, Tree, source_of_tree
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

METADATA = ".metadata"

_LARGEST_METADATA = 2**30  # bytes

_Piece = tuple[tuple[int, ...], tuple[int, ...], StoredFile]
"""Where it begins in its tensor, its shape, and its bytes."""


def read_distributed(file: Callable[[str], StoredFile], title: str, key: str | None = None) -> Source:
    """The tensors of a folder of torch.distributed.checkpoint, unread.

    Args:
        file: opens a file of the folder.
        title: what the folder is called.
        key: of the state dict that is meant, where there are several.

    Returns:
        its parameters; optimizers and what is no tensor are skipped.

    Raises:
        SourceError: the metadata is not what it must be, or names bytes that no file has.
    """
    metadata = file(METADATA)
    if metadata.size > _LARGEST_METADATA:
        raise SourceError(f"{metadata.name} has more bytes than the metadata of any model")
    try:
        content = read_pickle(metadata.stream())
    except SourceError as error:
        raise SourceError(f"{metadata.name} cannot be read: {error}") from None
    tensors, storage = _field(content, "state_dict_metadata"), _field(content, "storage_data")
    if not isinstance(tensors, dict) or not isinstance(storage, dict):
        raise SourceError(f"{metadata.name} is no metadata of torch.distributed.checkpoint")
    places = {(_field(key, "fqn"), _sizes(_field(key, "offset"))): value for key, value in storage.items()}
    files: dict[str, StoredFile] = {}
    paths = _field(content, "planner_data")
    tree: Tree = {}
    skipped: list[Skipped] = []
    for name, value in tensors.items():
        shape, chunks = _sizes(_field(value, "size")), _field(value, "chunks")
        if not isinstance(name, str) or shape is None or not isinstance(chunks, list):
            skipped.append(Skipped(printable(str(name))[:200], (), "not a tensor"))
        elif name.startswith(("optim.", "optimizer.", "optim_state.")) or ".optim." in name:
            skipped.append(Skipped(printable(name), shape, "an optimizer's state"))
        else:
            pieces = [_piece(file, files, metadata, name, shape, chunk, places) for chunk in chunks]
            parameter = _parameter(
                metadata, name, shape, _dtype(value), pieces, sum(one.size for one in files.values())
            )
            _put(tree, _path_of(name, paths), parameter)
    source = source_of_tree(tree, metadata.name, title, key)
    return replace(source, skipped=[*source.skipped, *skipped])


def _path_of(name: str, paths: object) -> tuple[str, ...]:
    """The keys that lead to a tensor, which its name joins with points, as do names of layers."""
    path = paths.get(name) if isinstance(paths, dict) else None
    if isinstance(path, tuple) and 0 < len(path) <= DEEPEST and ".".join(map(str, path)) == name:
        return tuple(map(str, path))
    first, _, rest = name.partition(".")
    return (first, rest) if rest and first in WRAPPINGS else (name,)


def _put(tree: Tree, path: tuple[str, ...], parameter: Parameter) -> None:
    inner = tree.setdefault(path[0], {}) if len(path) > 1 else None
    if isinstance(inner, dict):
        _put(inner, path[1:], parameter)
    else:
        tree[".".join(path)] = parameter


def _field(value: object, name: str) -> Any:
    return value.state.get(name) if isinstance(value, StandIn) and isinstance(value.state, dict) else None


def _sizes(value: object) -> tuple[int, ...] | None:
    if isinstance(value, StandIn) and value.name == "torch.Size" and value.arguments:
        value = value.arguments[0]
    good = (
        isinstance(value, tuple | list) and len(value) <= 32 and all(type(n) is int and 0 <= n < 2**63 for n in value)
    )
    return tuple(value) if good else None  # type: ignore[arg-type]


def _dtype(value: object) -> torch.dtype | None:
    properties = getattr(_field(value, "properties"), "state", None)
    if isinstance(properties, dict):
        properties = (properties.get("dtype"),)
    name = (
        properties[0].name
        if isinstance(properties, tuple) and properties and isinstance(properties[0], StandIn)
        else ""
    )
    dtype = getattr(torch, name.removeprefix("torch."), None)
    return dtype if isinstance(dtype, torch.dtype) else None


def _piece(
    file: Callable[[str], StoredFile],
    files: dict[str, StoredFile],
    metadata: StoredFile,
    name: str,
    shape: tuple[int, ...],
    chunk: object,
    places: Mapping[Any, object],
) -> _Piece:
    shown = f"{metadata.name} is damaged: {printable(name):.200}"
    offsets, sizes = _sizes(_field(chunk, "offsets")), _sizes(_field(chunk, "sizes"))
    if offsets is None or sizes is None or not len(offsets) == len(sizes) == len(shape):
        raise SourceError(f"{shown} has a piece without a proper place")
    if any(first + size > whole for first, size, whole in zip(offsets, sizes, shape, strict=True)):
        raise SourceError(f"{shown} has a piece that is not in it")
    place = places.get((name, offsets))
    where, start, length = (_field(place, field) for field in ("relative_path", "offset", "length"))
    if not isinstance(where, str) or type(start) is not int or type(length) is not int or min(start, length) < 0:
        raise SourceError(f"{shown} has a piece that lies nowhere")
    steps = PurePosixPath(where)
    if steps.is_absolute() or ".." in steps.parts or "\\" in where or "\0" in where or not where.strip():
        raise SourceError(f"{metadata.name} names the file {printable(where)!r:.200}, outside its folder")
    whole = files[where] = files.get(where) or file(where)
    if start + length > whole.size:
        raise SourceError(f"{shown} is said to end at byte {start + length} of {whole.title}, which has {whole.size}")
    return offsets, sizes, whole.part(start, length)


def _parameter(
    metadata: StoredFile, name: str, shape: tuple[int, ...], dtype: torch.dtype | None, pieces: list[_Piece], most: int
) -> Parameter:
    if dtype is None:
        return Parameter(name, shape, lambda: torch.empty(0), "values of an unknown dtype", resident=False)
    refusal = why_not_values(dtype) or why_not_matrix(shape)
    covered, n_bytes = sum(prod(sizes) for _, sizes, _ in pieces), sum(piece.size for *_, piece in pieces)
    if not refusal and (covered != prod(shape) or not covered * dtype.itemsize <= n_bytes <= most):
        raise SourceError(f"{metadata.name} is damaged: the pieces of {printable(name):.200} do not make its shape")
    load = partial(_joined, name, shape, dtype, pieces)
    return Parameter(name, shape, load, refusal, resident=False, dtype=dtype_name(dtype))


def _joined(name: str, shape: tuple[int, ...], dtype: torch.dtype, pieces: list[_Piece]) -> Tensor:
    values = torch.zeros(shape, dtype=dtype)
    for offsets, sizes, file in pieces:
        parameters = read_tensors(file).parameters
        if len(parameters) != 1 or parameters[0].shape != sizes:
            raise SourceError(f"{file.name} is damaged: a piece of {printable(name):.200} is not what it should be")
        index = tuple(slice(first, first + size) for first, size in zip(offsets, sizes, strict=True))
        values[index] = parameters[0].load()
    return values
