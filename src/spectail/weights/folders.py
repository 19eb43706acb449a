"""Which files of a folder hold its weights: one, the shards of one, or those of each part of a model.

Here: how files lie beside one another. Not here: what is in one file (`formats`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from spectail.errors import SourceError
from spectail.weights.distributed import METADATA, read_distributed
from spectail.weights.formats.foreign import what_else, what_folder
from spectail.weights.formats.table import ENDINGS, read_tensors
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, natural_order
from spectail.weights.per_rank_files import files_of_ranks, named_by_file, notes_of_latest, step_called, why_in_parts
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import parse_json, printable

USUAL = (
    *("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"),
    *("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin"),
    *("diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json", "pytorch_model_fsdp.bin"),
)
"""What a folder's weights are called, by precedence."""

_BESIDE = re.compile(
    r"(optimizer|optim|scheduler|scaler|rng_state|random_states|training_args|trainer_state|lr_scheduler|sampler|"
    r"custom_checkpoint|dl_state|tokenizer|spiece|sentencepiece|distrib_optim|zero_pp_rank|bf16_zero|fp16_zero|events)"
    r"(?![a-z]).*|.*(_optim_states|\.optim)\.(pt|bin)"
)
"""Files that training programs put beside the weights."""

_SHARD = re.compile(r"(?P<name>.*?)[-_.](?P<at>\d+)[-_]of[-_](?P<count>\d+)(?P<ending>\.\w+)")

_ADAPTER = "adapter_config.json"  # of PEFT, beside adapter_model.safetensors


def is_beside(name: str) -> bool:
    """Whether a file, or a folder, is one that training programs put beside the weights: optimizers, data, …

    Args:
        name: without the folders above it.
    """
    return _BESIDE.fullmatch(name) is not None


def pattern_of_shards(name: str) -> str:
    """The pattern that fits a shard and those that it belongs to; "" for what is no shard.

    >>> pattern_of_shards("model-step100-00001-of-00002.safetensors")
    'model-step100-*-of-00002.safetensors'
    """
    match = _SHARD.fullmatch(name)
    return f"{name[: match.start('at')]}*{name[match.end('at') :]}" if match else ""


def index_of_shards(name: str) -> str:
    """What the index that lists a shard is called, beside it; "" for what is no shard.

    >>> index_of_shards("model-step100-00001-of-00002.safetensors")
    'model-step100.safetensors.index.json'
    """
    match = _SHARD.fullmatch(name)
    return f"{match['name']}{match['ending']}.index.json" if match else ""


def shards_like(pattern: str, names: Iterable[str]) -> list[str]:
    """The shards that a pattern means, without those of other checkpoints beside them.

    Args:
        pattern: as `pattern_of_shards` gives it.
        names: of the files of the folder.
    """
    return sorted(name for name in names if "*" in pattern and pattern_of_shards(name) == pattern)


def files_meant(path: str) -> list[str]:
    """The files of this machine that are the shards of a pattern, or of an index, with it; none for another path."""
    above, name = os.path.split(path)
    if "*" not in name and not name.endswith(".index.json"):
        return []
    try:
        here = os.listdir(above or ".")
        names = shards_like(name, here) or ([name, *shards_of(_around(Path(path)), name)] if name in here else [])
    except (OSError, SourceError):  # who reads it says what is wrong
        return []
    return [os.path.join(above, one) for one in names]


LARGEST_INDEX = 100_000_000
"""Bytes of an index of shards, at most."""


@dataclass(frozen=True)
class Folder:
    """A folder of files, wherever it lies.

    Attributes:
        name: as a message shows it.
        title: its last step.
        names: of its files, with "/" where they lie in folders below it.
        file: opens one.
        empty: the folders below it that hold nothing, named likewise, where that is known.
    """

    name: str
    title: str
    names: Sequence[str] = field(repr=False)
    file: Callable[[str], StoredFile] = field(repr=False)
    empty: Sequence[str] = field(repr=False, default=())

    def below(self, prefix: str) -> Folder:
        """A folder in it."""
        names, empty = (
            [name.removeprefix(f"{prefix}/") for name in every if name.startswith(f"{prefix}/")]
            for every in (self.names, self.empty)
        )
        return Folder(f"{self.name}/{prefix}", prefix, names, lambda name: self.file(f"{prefix}/{name}"), empty)


def read_file(path: Path, key: str | None = None) -> Source:
    """The parameters of a file, of a sharded checkpoint by its index, or of a folder.

    Args:
        path: of any of these.
        key: of the state dict that is meant, in a file that holds several.

    Returns:
        what it holds, unread, under the names that are stored, with the configuration that lies beside it.

    Raises:
        SourceError: there is no such file, it is not what it should be, or it is not clear which is meant.
    """
    if os.path.isdir(path):
        return read_folder(local_folder(path), key)
    shards = [] if os.path.exists(path) else [os.path.basename(one) for one in files_meant(str(path))]
    if not shards:
        local_file(path)  # says what is wrong with it in words of its own
    return read_one(_around(path, shards), path.name, key)


def _around(path: Path, names: Sequence[str] = ()) -> Folder:
    """The folder of a file, of which no more is known than these files and configurations."""
    names = [*names, *(name for name in ("config.json", _ADAPTER) if (path.parent / name).is_file())]
    return Folder(str(path.parent), path.parent.name, names, partial(_file_of, path.parent))


def read_one(folder: Folder, name: str, key: str | None = None) -> Source:
    """The parameters of a file of a folder, or of the shards that it lists or fits, with the configuration beside."""
    if name.endswith(".json"):
        return _configured(folder, _sharded(folder, name, key))
    if shards := shards_like(name, _here(folder)):
        _check_count(folder, shards)
        return _configured(folder, _joined([(one, _read_piece(folder, one, key)) for one in shards]))
    return _configured(folder, _read_piece(folder, name, key))


def _check_count(folder: Folder, shards: Sequence[str]) -> None:
    """See that all shards are there. Raises SourceError where one is missing."""
    match = _SHARD.fullmatch(shards[0])
    if match and len(shards) != int(match["count"]):
        raise SourceError(f"{folder.name} has {len(shards)} of the {int(match['count'])} shards of {match['name']}")


def _read_piece(folder: Folder, name: str, key: str | None) -> Source:
    return named_by_file(name, read_tensors(folder.file(name), key))


def read_folder(folder: Folder, key: str | None = None) -> Source:
    """The parameters of a folder, as `read_file` gives them."""
    title = folder.title
    chosen = weights_of(folder)
    if not chosen:
        snapshot = _snapshot(folder)
        if snapshot:
            return read_folder(replace(folder.below(snapshot), title=title), key)
        step = _last_step(folder)
        if step:
            source = _configured(folder, read_folder(folder.below(step), key))
            return replace(source, title=f"{title}/{source.title}")
        parts = _parts_with_weights(folder)
        if not parts:
            raise SourceError(_nothing_in(folder))
        if reason := len(parts) > 1 and why_in_parts(folder.names):
            raise SourceError(f"{folder.name} is {reason}")
        if len(parts) > 1 and not _is_of_parts(folder):
            shown = ", ".join(map(printable, parts[:6]))
            more = ", …" if len(parts) > 6 else ""
            raise SourceError(f"{folder.name} has weights in several folders: {shown}{more}; name one")
        if len(parts) > 1:
            return _of_parts(folder, parts, key)
        source = read_folder(folder.below(parts[0]), key)
        return replace(source, title=f"{title}/{source.title}")
    if chosen == [METADATA]:
        return read_distributed(folder.file, title, key)
    if len(chosen) == 1:
        source = read_one(folder, chosen[0], key)
    else:
        source = _configured(folder, _joined([(name, _read_piece(folder, name, key)) for name in chosen]))
    return replace(source, title="/".join(filter(None, (title, source.title))))


def parts_to_choose(folder: Folder) -> list[str]:
    """The folders in a folder of which one must be named, as each has weights of its own; none where it is clear."""
    try:
        is_clear = weights_of(folder) or _snapshot(folder) or _last_step(folder) or _is_of_parts(folder)
        parts = [] if is_clear else _parts_with_weights(folder)
    except SourceError:  # who opens it says so
        return []
    return parts if len(parts) > 1 and not why_in_parts(folder.names) else []


def _parts_with_weights(folder: Folder) -> list[str]:
    return [part for part in _parts(folder) if not is_beside(part) and weights_of(folder.below(part))]


def _is_of_parts(folder: Folder) -> bool:
    """Whether a folder is a pipeline, all parts of which are one model."""
    return not {"model_index.json", "modules.json"}.isdisjoint(folder.names)


def _configured(folder: Folder, source: Source) -> Source:
    """What was read, with the configurations that lie beside it."""
    config = configuration_of(folder.file("config.json")) if "config.json" in folder.names else {}
    if _ADAPTER in folder.names:
        config["adapter_config"] = configuration_of(folder.file(_ADAPTER))
    return replace(source, config={**config, **source.config})


def configuration_of(file: StoredFile) -> dict[str, Any]:
    """A configuration that lies beside weights; empty where it is none."""
    if file.size > 2**24:
        return {}
    try:
        return parse_json(file.name, bytes(file.read(0, file.size)), "a configuration")
    except SourceError:
        return {}


def _here(folder: Folder) -> set[str]:
    return {name for name in folder.names if "/" not in name}


def _parts(folder: Folder) -> list[str]:
    """The folders in a folder, in the order of their names."""
    return sorted({name.partition("/")[0] for name in folder.names if "/" in name})


def local_folder(path: Path) -> Folder:
    """A folder of this machine, with the files up to five folders down."""
    entries: list[str] = []
    try:
        for entry in sorted(path.iterdir()):
            entries += [entry.name] if not entry.is_dir() else _names_below(entry, entry.name, 4)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    names, empty = ([name for name in entries if name.endswith("/") == is_empty] for is_empty in (False, True))
    title = path.resolve().name
    return Folder(str(path), title, names, partial(_file_of, path), [name.removesuffix("/") for name in empty])


def _names_below(path: Path, prefix: str, depth: int) -> list[str]:
    """The files in a folder and below it, and with "/" at the end the folders that hold nothing."""
    try:
        entries = sorted(path.iterdir())
    except OSError:
        return []
    names = [] if entries else [f"{prefix}/"]
    for entry in entries:
        if not entry.is_dir():
            names.append(f"{prefix}/{entry.name}")
        elif depth > 0 and not entry.is_symlink() and not entry.name.startswith("."):
            names += _names_below(entry, f"{prefix}/{entry.name}", depth - 1)
    return names


def weights_of(folder: Folder) -> list[str]:
    """The files of a folder that together hold its weights: an index, or one file, or all shards; none without.

    Raises:
        SourceError: it is not clear which are meant.
    """
    here = _here(folder)
    if METADATA in here:
        return [METADATA]
    names = sorted(name for name in here if not _BESIDE.fullmatch(name) and not name.startswith("."))
    variants = {re.sub(r"\.(fp16|bf16|fp32|ema|non_ema)(?=\.|-)", "", name): name for name in reversed(names)}
    for usual in USUAL:
        whole = usual.removesuffix(".index.json")
        if whole in names and f"{whole}.index.json" in names:
            raise SourceError(f"{folder.name} has both {whole} and {whole}.index.json: name the one that is meant")
        if usual in names:
            return [usual]
    for usual in USUAL:
        if usual in variants:
            return [variants[usual]]
    if of_ranks := files_of_ranks(folder.names):
        return of_ranks
    indices = [name for name in names if name.endswith(".index.json")]
    files = [name for name in names if name.lower().endswith(ENDINGS)]
    shards = [match for name in files if (match := _SHARD.fullmatch(name))]
    if not indices and shards and len(shards) == len(files):
        # what lies there in both forms is taken in this one, as whole files are
        shards = [match for match in shards if match["ending"] == ".safetensors"] or shards
        files = [match.string for match in shards]
        sets = {(match["name"], match["count"], match["ending"]) for match in shards}
        if len(sets) == 1:
            _check_count(folder, files)
            return files
    fitting = indices or files
    if reason := len(fitting) > 1 and why_in_parts(here):
        raise SourceError(f"{folder.name} is {reason}")
    if len(fitting) > 1:
        shown = ", ".join(map(printable, fitting[:6]))
        raise SourceError(
            f"{folder.name} has several files of weights: {shown}{', …' if len(fitting) > 6 else ''}; name one"
        )
    return fitting


def _nothing_in(folder: Folder) -> str:
    """Why a folder is no source, with what to do where it is known what it is."""
    if any(name.endswith(".distcp") for name in folder.names):
        return f"{folder.name} is of torch.distributed.checkpoint, but its {METADATA} is missing: copy that, too"
    if reason := why_in_parts(folder.names) or what_folder(folder.names):
        return f"{folder.name} is {reason}"
    below = sorted({name.rpartition("/")[0] for name in folder.names if "/" in name and name.lower().endswith(ENDINGS)})
    if below:
        shown = ", ".join(map(printable, below[:6])) + (", …" if len(below) > 6 else "")
        return f"{folder.name} has files of weights further down only, in {shown}; name one"
    expected = f"{', '.join(USUAL[:2])}, or one file that ends in {', '.join(ENDINGS)}"
    return f"{folder.name} has no file of weights; expected {expected}"


def _snapshot(folder: Folder) -> str:
    """Of a repository in a cache of Hugging Face: the folder of its revision."""
    snapshots = sorted({"/".join(name.split("/")[:2]) for name in folder.names if name.startswith("snapshots/")})
    if "refs/main" in folder.names:
        main = folder.file("refs/main")
        name = f"snapshots/{bytes(main.read(0, min(main.size, 100))).decode('ascii', 'replace').strip()}"
        return name if name in snapshots else ""
    return snapshots[0] if len(snapshots) == 1 else ""


def _last_step(folder: Folder) -> str:
    """Of a training of DeepSpeed or Megatron: the folder of its last step."""
    notes = map(folder.file, notes_of_latest(folder.names))
    texts = (bytes(note.read(0, min(note.size, 200))).decode("utf-8", "replace") for note in notes)
    return next((step for text in texts if (step := step_called(text, folder.names))), "")


def _of_parts(folder: Folder, parts: Sequence[str], key: str | None) -> Source:
    """A pipeline: the parameters of every part, the name of the part before theirs."""
    parameters: list[Parameter] = []
    skipped: list[Skipped] = []
    for part in parts:
        source = read_folder(folder.below(part), key)
        parameters += [replace(_shared_within(part, one), name=f"{part}.{one.name}") for one in source.parameters]
        skipped += [replace(one, name=f"{part}.{one.name}") for one in source.skipped]
    return Source(folder.title, parameters, skipped)


def _shared_within(part: str, parameter: Parameter) -> Parameter:
    """Mark a parameter's memory as that of its file: equal places in two files are not shared."""
    return replace(parameter, memory=(part, parameter.memory) if parameter.memory else None)


def _joined(sources: Sequence[tuple[str, Source]]) -> Source:
    """The parameters of several files that belong together."""
    parameters: dict[str, Parameter] = {}
    skipped: list[Skipped] = []
    places: dict[str, str] = {}
    for file, source in sources:
        for one in source.parameters:
            if (first := places.setdefault(one.name, file)) != file:
                both = " and in ".join(map(printable, (first, file)))
                raise SourceError(
                    f"{printable(one.name):.200} is in {both}; expected an index that says which is meant"
                )
            parameters[one.name] = _shared_within(file, one)
        skipped += source.skipped
    shard = _SHARD.fullmatch(sources[0][0])
    return Source(shard["name"] if shard else "", sorted(parameters.values(), key=natural_order), skipped)


def _sharded(folder: Folder, index_name: str, key: str | None) -> Source:
    """The tensors of a checkpoint in several files, by its index."""
    index = folder.file(index_name)
    names = _names_by_shard(index)
    parameters: list[Parameter] = []
    skipped: list[Skipped] = []
    for shard, names_there in names.items():
        file = folder.file(shard)
        _check_link(index, file)
        source = read_tensors(file, key)
        by_name = {parameter.name: parameter for parameter in source.parameters}
        for name in names_there:
            if name not in by_name:
                raise SourceError(f"{file.name} does not have {printable(name):.200}, though {index.name} says so")
            parameters.append(_shared_within(shard, by_name.pop(name)))
        reason = f"in {file.title}, but not in the index"
        skipped += [Skipped(printable(name), parameter.shape, reason) for name, parameter in by_name.items()]
        skipped += source.skipped
    return Source(index.title, sorted(parameters, key=natural_order), skipped)


def shards_of(folder: Folder, index_name: str) -> list[str]:
    """The names of the files that an index lists."""
    return list(_names_by_shard(folder.file(index_name)))


def _names_by_shard(index: StoredFile) -> dict[str, list[str]]:
    """Which weights lie in each file that an index lists."""
    if index.size > LARGEST_INDEX:
        raise SourceError(f"{index.name} is no index: it has more than {LARGEST_INDEX} bytes")
    if sentence := what_else(index):
        raise SourceError(f"{index.name} is {sentence}")
    content = parse_json(index.name, bytes(index.read(0, index.size)), "an index of shards")
    places = content.get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise SourceError(f"{index.name} has no weight_map from the names of weights to the names of files")
    names: dict[str, list[str]] = {}
    for name, shard in places.items():
        names.setdefault(shard, []).append(name)
    for shard in names:
        _check_shard(index.name, shard)
    return names


def _check_shard(index: str, name: str) -> None:
    """A shard lies beside its index or below it."""
    steps = PurePosixPath(name)
    if steps.is_absolute() or ".." in steps.parts or "\\" in name or "\0" in name or not name.strip():
        raise SourceError(f"{index} names the shard {printable(name)!r:.200}, outside its folder; it was not opened")


def _file_of(folder: Path, name: str) -> StoredFile:
    path, shown = folder / name, f"{folder} names {printable(name)!r:.200}"
    try:
        missing = not path.resolve().exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a link to itself, no name of a file
        raise SourceError(f"{shown}, which cannot be read: {getattr(error, 'strerror', None) or error!s:.80}") from None
    if missing:
        raise SourceError(f"{shown}, which is missing")
    return local_file(path)


def _check_link(index: StoredFile, shard: StoredFile) -> None:
    """Links of shards may lead out of their folder only in a cache of Hugging Face, to its blobs."""
    if index.path is None or shard.path is None:
        return
    home, real = index.path.parent.resolve(), shard.path.resolve()
    if home not in real.parents and real.parent not in _blobs(home):
        raise SourceError(f"{index.name} names the shard {shard.title!r}, a link out of its folder; it was not opened")


def _blobs(folder: Path) -> list[Path]:
    """Where the files of a repository in a cache of Hugging Face lie: beside the folder `snapshots` above."""
    return [parent.parent / "blobs" for parent in (folder, *folder.parents) if parent.name == "snapshots"]
