"""Files of weights: one, several with an index, or a folder as Hugging Face lays it out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from spectail.errors import SourceError
from spectail.weights.formats.table import ENDINGS, _parameters
from spectail.weights.matrix import ConvMatrix, Skipped, Weights
from spectail.weights.parameter import Parameter, _order
from spectail.weights.state_dict import named_weights, title_of_keys
from spectail.weights.untrusted import open_file, parse_json, printable, size_of

USUAL = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""What a folder's weights are called, by precedence."""

LARGEST_INDEX = 100_000_000
"""Bytes."""


def file_weights(path: Path, conv: ConvMatrix) -> Weights:
    """The matrices of a file, of a sharded checkpoint by its index, or of a folder.

    Args:
        path: of any of these.
        conv: how kernels become matrices.

    Returns:
        its matrices, unread, and what was left out.

    Raises:
        ValueError: there is no such file, it is not what it should be, or it is not clear which is meant.
    """
    chosen = _weights_file(path) if os.path.isdir(path) else path
    title = chosen.name if chosen == path else f"{path.resolve().name}/{chosen.name}"
    if chosen.name.endswith(".json"):
        return named_weights(title, *_sharded(chosen, conv))
    found, keys, skipped = _parameters(chosen)
    return named_weights(title_of_keys(title, keys), found, conv, skipped)


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


def _sharded(index: Path, conv: ConvMatrix) -> tuple[list[Parameter], ConvMatrix, list[Skipped]]:
    """The tensors of a checkpoint in several files."""
    if size_of(index) > LARGEST_INDEX:
        raise SourceError(f"{index} is no index: it has more than {LARGEST_INDEX} bytes")
    with open_file(index) as file:
        content = parse_json(index, file.read(), "an index of shards")
    places = content.get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise SourceError(f"{index} has no weight_map from the names of weights to the names of files")
    found: list[Parameter] = []
    skipped: list[Skipped] = []
    for name in dict.fromkeys(places.values()):
        shard = _shard_path(index, name)
        parameters, _, beside = _parameters(shard)
        held = {parameter.name: parameter for parameter in parameters}
        named = [weight for weight, place in places.items() if place == name]
        missing = next((weight for weight in named if weight not in held), None)
        if missing is not None:
            raise SourceError(f"{shard} does not have {printable(missing):.200}, though {index} says so")
        for weight in named:
            one = held.pop(weight)
            # where two files were mapped may look the same: what is shared is shared within one
            found.append(replace(one, memory=(name, one.memory) if one.memory else None))
        reason = f"in {shard.name}, but not in the index"
        skipped += [Skipped(printable(weight), one.shape, reason) for weight, one in held.items()] + beside
    return sorted(found, key=_order), conv, skipped


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
