"""Which file of a folder holds its weights, and the files of a checkpoint in several, by their index.

Here: how files lie beside one another. Not here: what is in one file (`formats`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from spectail.errors import SourceError
from spectail.weights.formats.table import ENDINGS, read_tensors
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, natural_order
from spectail.weights.untrusted import open_file, parse_json, printable, size_of

USUAL = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""What a folder's weights are called, by precedence."""

LARGEST_INDEX = 100_000_000
"""Bytes."""


def read_file(path: Path) -> Source:
    """The parameters of a file, of a sharded checkpoint by its index, or of a folder.

    Args:
        path: of any of these.

    Returns:
        what it holds, unread, under the names that are stored.

    Raises:
        SourceError: there is no such file, it is not what it should be, or it is not clear which is meant.
    """
    if not os.path.isdir(path):
        return _read(path)
    source = _read(_weights_file(path))
    return replace(source, title=f"{path.resolve().name}/{source.title}")


def _read(path: Path) -> Source:
    return _sharded(path) if path.name.endswith(".json") else read_tensors(path)


def _weights_file(folder: Path) -> Path:
    """The file of a folder that holds its weights."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from None
    for whole, index in (USUAL[:2], USUAL[2:]):
        if whole in names and index in names:
            raise SourceError(f"{folder} has both {whole} and {index}: name the one that is meant")
    usual = [name for name in USUAL if name in names]
    fitting = usual[:1] or [name for name in names if name.endswith(".index.json")]
    fitting = fitting or [name for name in names if name.endswith(ENDINGS)]
    if len(fitting) > 1:
        shown = ", ".join(map(printable, fitting[:6]))
        raise SourceError(
            f"{folder} has several files of weights: {shown}{', …' if len(fitting) > 6 else ''}; name one"
        )
    if not fitting:
        raise SourceError(f"{folder} has no file of weights; expected {', '.join(USUAL)}, or one {', '.join(ENDINGS)}")
    return folder / fitting[0]


def _sharded(index: Path) -> Source:
    """The tensors of a checkpoint in several files."""
    if size_of(index) > LARGEST_INDEX:
        raise SourceError(f"{index} is no index: it has more than {LARGEST_INDEX} bytes")
    with open_file(index) as file:
        content = parse_json(index, file.read(), "an index of shards")
    places = content.get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise SourceError(f"{index} has no weight_map from the names of weights to the names of files")
    names: dict[str, list[str]] = {}
    for name, shard in places.items():
        names.setdefault(shard, []).append(name)
    parameters: list[Parameter] = []
    skipped: list[Skipped] = []
    for shard, names_there in names.items():
        path = _shard_path(index, shard)
        source = read_tensors(path)
        stored = {parameter.name: parameter for parameter in source.parameters}
        for name in names_there:
            if name not in stored:
                raise SourceError(f"{path} does not have {printable(name):.200}, though {index} says so")
            parameter = stored.pop(name)
            # where two files were mapped may look the same: what is shared is shared within one
            memory = (shard, parameter.memory) if parameter.memory else None
            parameters.append(replace(parameter, memory=memory))
        reason = f"in {path.name}, but not in the index"
        skipped += [Skipped(printable(name), parameter.shape, reason) for name, parameter in stored.items()]
        skipped += source.skipped
    return Source(index.name, sorted(parameters, key=natural_order), skipped)


def _shard_path(index: Path, name: str) -> Path:
    """The path of a shard: beside the index or below it, as links may lead out only in a cache of Hugging Face."""
    folder, shard = index.parent, index.parent / name
    shown = f"{index} names the shard {printable(name)!r:.200}"
    if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name or "\0" in name or not name.strip():
        raise SourceError(f"{shown}, outside its folder; it was not opened")
    try:
        real, home = shard.resolve(), folder.resolve()
        missing = not real.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a link to itself, no name of a file
        raise SourceError(f"{shown}, which cannot be read: {getattr(error, 'strerror', None) or error!s:.80}") from None
    cache = home.parent.parent / "blobs" if home.parent.name == "snapshots" else None
    if home not in real.parents and (cache is None or real.parent != cache):
        raise SourceError(f"{shown}, a link out of its folder; it was not opened")
    if missing:
        raise SourceError(f"{shown}, which is missing")
    return shard
