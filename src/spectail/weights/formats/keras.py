"""Keras models: `.keras` archives, and the HDF5 files of Keras and others. No layer is made, and no Lambda is run.

Here: all that is known of these files. Not here: which way their kernels go (`channels_last`).

Source: https://github.com/keras-team/keras/blob/master/keras/src/saving/saving_lib.py, legacy/saving beside it.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectail.errors import SourceError, naming_the_extra
from spectail.hdf5.reader import UnreadableError, data_sets, values_of
from spectail.weights.channels_last import as_in_torch
from spectail.weights.formats.checksum import Checksum
from spectail.weights.formats.format import Format
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, why_not_matrix, why_not_values
from spectail.weights.state_dict import source_of_tree
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import parse_json, printable

_MAGIC = b"\x89HDF\r\n\x1a\n"

_WEIGHTS = "model.weights.h5"

_DEEPEST = 60

_MOST_TIMES = 1_100
"""The largest factor by which deflating makes anything smaller."""

_LARGEST_CONFIGURATION = 2**28  # bytes

_VARIABLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Embedding",), ("embeddings",)),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), ("depthwise_kernel", "bias")),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), ("depthwise_kernel", "pointwise_kernel", "bias")),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "LayerNormalization": ("gamma", "beta"),
}
"""What a layer calls its variables, which `.keras` files only number; others begin with a kernel and a bias."""

_OF_CELL = ("kernel", "recurrent_kernel", "bias")

_HOW_TO_CONVERT = "in Keras, numpy.savez(path, **{w.path: w.numpy() for w in model.weights})"


def _recognises(file: StoredFile) -> bool:
    start = file.start(8)
    return start == _MAGIC or (start[:4] == b"PK\x03\x04" and file.ending == ".keras")


def _tensors(file: StoredFile, key: str | None) -> Source:
    """The arrays of a file, unread, under the names of its layers.

    Raises:
        SourceError: the file cannot be read, or holds no array.
        MissingPackageError: `h5py` is not installed.
    """
    with naming_the_extra(file.name):
        import h5py  # noqa: F401 (by the process that reads)
    archived = file.start(4) == b"PK\x03\x04"
    inner, layers, check = _unzipped(file) if archived else (file, {}, _nothing_to_check)
    skipped: list[Skipped] = []
    parameters: dict[str, Parameter] = {}
    for place, shape, kind, refusal in _listed(inner, skipped):
        name = _name(place, layers)
        name = name if name not in parameters else ".".join(place)
        parameters[name] = _parameter(inner, name, "/".join(place), shape, kind, refusal, check)
    source = source_of_tree(parameters, file.name, file.title, key)
    return replace(
        source, parameters=[as_in_torch(one) for one in source.parameters], skipped=[*source.skipped, *skipped]
    )


def _nothing_to_check() -> None:
    """A file of HDF5 has no checksum of its own."""


def _unzipped(file: StoredFile) -> tuple[StoredFile, dict[str, tuple[str, str]], Callable[[], None]]:
    """The file of weights in an archive, as a file of its own; its layers: by path, their names and classes; and what
    raises where the file is not what was written.
    """
    check = _nothing_to_check
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if _WEIGHTS not in entries:
                raise SourceError(f"{file.name} is no model of Keras 3: it has no {_WEIGHTS}; {_HOW_TO_CONVERT}")
            entry = entries[_WEIGHTS]
            header = bytes(file.read(entry.header_offset, 30)) if 0 <= entry.header_offset <= file.size - 30 else b""
            start = entry.header_offset + 30 + int.from_bytes(header[26:28], "little")
            start += int.from_bytes(header[28:30], "little")
            config = entries.get("config.json")
            text = b""
            if config is not None and config.file_size <= min(_LARGEST_CONFIGURATION, file.size * _MOST_TIMES):
                text = archive.read(config)
            if entry.compress_type == zipfile.ZIP_STORED:
                if header[:4] != b"PK\x03\x04" or start + entry.file_size > file.size:
                    raise SourceError(f"{file.name} is a damaged zip archive: it ends before its weights do")
                inner, check = file.part(start, entry.file_size), partial(Checksum(entry).check, file, start)
            else:
                if entry.file_size > file.size * _MOST_TIMES:
                    raise SourceError(f"{file.name} claims more bytes than there are")
                content = archive.read(entry)
                inner = replace(file, size=len(content), read=lambda at, count: bytearray(content[at : at + count]))
    except SourceError:
        raise
    except Exception as error:  # zipfile raises many, where an archive is damaged
        raise SourceError(f"{file.name} is a damaged zip archive: {error!s:.200}") from None
    layers = _layers(parse_json(file.name, text, "the configuration of a model")) if text else {}
    return inner, layers, check


def _layers(config: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Names and classes of layers, by their paths in the file of weights, which numbers the layers of each class."""
    layers: dict[str, tuple[str, str]] = {}
    todo: list[tuple[str, Any, int]] = [("", config, 0)]
    while todo:
        path, here, depth = todo.pop()
        inside = here.get("config") if isinstance(here, Mapping) else None
        members = inside.get("layers") if isinstance(inside, Mapping) else None
        counts: dict[str, int] = {}
        for member in members if isinstance(members, list) and depth < _DEEPEST else ():
            kind = member.get("class_name") if isinstance(member, Mapping) else None
            settings = member.get("config") if isinstance(member, Mapping) else None
            if not isinstance(kind, str) or not isinstance(settings, Mapping):
                continue
            snake = _snake(kind)
            count = counts[snake] = counts.get(snake, -1) + 1
            place = f"{path}layers/{snake}_{count}" if count else f"{path}layers/{snake}"
            layers[place] = (str(settings.get("name", place)), kind)
            todo.append((f"{place}/", member, depth + 1))
    return layers


def _snake(kind: str) -> str:
    """What Keras makes of a class's name in a path."""
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


_BY_SNAKE = {_snake(kind): kind for kind in _VARIABLES}


def _name(place: tuple[str, ...], layers: Mapping[str, tuple[str, str]]) -> str:
    """What a variable is called: by its layers' names where these are known, without what only groups them."""
    steps: list[str] = []
    kind = ""
    for index, step in enumerate(place):
        kind = _BY_SNAKE.get(re.sub(r"_\d+$", "", step), kind)  # files of weights alone say no more of a layer
        known = layers.get("/".join(place[: index + 1]))
        if known is not None:
            steps.append(known[0].replace("/", "."))
            kind = known[1]
        elif step in ("layers", "vars", "model_weights", "_layer_checkpoint_dependencies"):
            continue
        elif index == len(place) - 1 and place[index - 1 : index] == ("vars",) and step.isdigit():
            names = _OF_CELL if "cell" in place else _VARIABLES.get(kind, ("kernel", "bias"))
            steps.append(names[int(step)] if int(step) < len(names) else step)
        else:
            step = re.sub(r":\d+$", "", step)
            if not steps or steps[-1] != step:  # the older files say a layer's name twice
                steps.append(step)
    return ".".join(steps) or "array"


def _listed(file: StoredFile, skipped: list[Skipped]) -> Iterator[tuple[tuple[str, ...], tuple[int, ...], str, str]]:
    """Every data set that lies in the file itself: its place, shape, dtype, and why it cannot be read."""
    try:
        listed = data_sets(file.read, file.size, without=r"optimizer(_weights)?|_?optimizer\w*")
    except UnreadableError as error:
        raise SourceError(f"{file.name} is a damaged file of HDF5: {printable(str(error))}") from None
    for place, shape, kind, refusal in listed:
        if kind:
            yield tuple(place), tuple(shape), kind, refusal
        else:
            why = "a link to elsewhere, which was not followed" if refusal == "link" else "an optimizer's state"
            skipped.append(Skipped(".".join(map(printable, place)), (), why))


def _parameter(
    file: StoredFile,
    name: str,
    place: str,
    shape: tuple[int, ...],
    kind: str,
    refusal: str,
    check: Callable[[], None],
) -> Parameter:
    dtype = getattr(torch, kind, None)
    if refusal or not isinstance(dtype, torch.dtype):
        return Parameter(name, shape, lambda: torch.empty(0), refusal or f"values of the kind {kind}", resident=False)
    refusal = why_not_values(dtype) or why_not_matrix(shape)
    return Parameter(name, shape, partial(_values, file, place, check), refusal, resident=False, dtype=kind)


def _values(file: StoredFile, place: str, check: Callable[[], None]) -> Tensor:
    check()
    try:
        shape, kind, content = values_of(file.read, file.size, place)
    except UnreadableError as error:
        raise SourceError(
            f"{file.name} is damaged: {printable(place):.200} cannot be read: {printable(str(error))}"
        ) from None
    return torch.from_numpy(np.frombuffer(bytearray(content), kind).reshape(shape))


FORMAT = Format(
    describe="a model of Keras, or a file of HDF5",
    endings=(".keras", ".h5", ".hdf5"),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
)
