"""Where the checkpoints of a training may be: files, folders, revisions of a hub.

Not here: of which step each is (`checkpoint_steps`), and what is in one (`opening`).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from spectail.errors import SettingError, SourceError
from spectail.weights.checkpoint_steps import (
    name_has_number,
    says_which,
    stored_step_at,
    stored_step_below,
    stored_step_in,
    without_ending,
)
from spectail.weights.distributed import METADATA
from spectail.weights.folders import (
    Folder,
    files_meant,
    index_of_shards,
    is_beside,
    local_folder,
    parts_to_choose,
    pattern_of_shards,
    weights_of,
)
from spectail.weights.formats.foreign import what_folder
from spectail.weights.formats.table import ENDINGS
from spectail.weights.hub import hub_folder, is_hub, revisions_of
from spectail.weights.parameter import natural_key
from spectail.weights.per_rank_files import why_in_parts
from spectail.weights.remote import is_remote
from spectail.weights.untrusted import printable


@dataclass(frozen=True)
class CheckpointPlace:
    """Where a checkpoint may be: what `open_weights` takes, its name, and what says its step beside the name."""

    source: str
    name: str
    stored: Callable[[], int | None] = field(repr=False, default=lambda: None)

    @property
    def is_there(self) -> bool:
        """Whether there is such a file or folder; elsewhere nobody knows before it is read."""
        return is_remote(self.source) or os.path.lexists(self.source) or bool(files_meant(self.source))


def places_of_checkpoints(source: Any, revisions: str | None) -> tuple[str, list[CheckpointPlace]]:
    """What the series is called, and where its checkpoints may be, in the order of their names."""
    if isinstance(source, str) and is_remote(source) and is_hub(source):
        if revisions is None:
            folder, home = hub_folder(source)
            return folder.title, _in_folder(folder, lambda name: f"{home}/{name}", home)
        names = revisions_of(source, revisions)
        name = source.partition(":")[2].strip("/")
        return name, [CheckpointPlace(f"hub:{name}@{one}", one) for one in sorted(names, key=natural_key)]
    if revisions is not None:
        raise SettingError(f"revisions={revisions!r} is of a model of the hub; expected hub:owner/name beside it")
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return path.resolve().name, _in_folder(local_folder(path), lambda name: str(path / name), str(path))
        if path.exists():
            return path.name, [_place_of(str(path), path.name)]
        paths = sorted(glob.glob(str(path)), key=natural_key)
        if not paths:
            what = "fits no file" if glob.has_magic(str(path)) else "does not exist"
            raise SourceError(f"{path} {what}; expected a folder of checkpoints, or a pattern that some fit")
        return str(source), _listed(paths)
    if isinstance(source, Sequence) and not source:
        raise SourceError("an empty list is no series; expected the sources of checkpoints")
    if isinstance(source, Sequence):
        return f"{len(source)} checkpoints", _listed(sorted(map(str, source), key=natural_key))
    raise SourceError(f"a {type(source).__name__} is no series; expected a folder, a pattern, or a list of sources")


def _listed(sources: Sequence[str]) -> list[CheckpointPlace]:
    """Sources that are named one by one; of several, those that can be checkpoints."""
    sources = _checkpoints_among(sources)
    parents = [one.split("/")[:-1] for one in sources]
    shared = sum(1 for _ in takewhile(lambda steps: len({*steps}) == 1, zip(*parents, strict=False)))
    places = [_place_of(one, "/".join(one.split("/")[shared:])) for one in sources]
    if len(places) == 1:
        return places
    taken = {place.name for place in places if _can_be_checkpoint(place.source) or not place.is_there}
    taken |= _like(taken, [place.name for place in places if Path(place.source).is_dir()])
    return [place for place in places if place.name in taken]


def _checkpoints_among(names: Sequence[str]) -> list[str]:
    """Names of files, with one for all shards of a checkpoint: that of their index, or else their pattern."""
    known: dict[str, None] = {}
    for name in names:
        above, slash, last = name.rpartition("/")
        index, pattern = (
            above + slash + one if one else name for one in (index_of_shards(last), pattern_of_shards(last))
        )
        known[index if index in names else pattern] = None
    return [*known]


def _place_of(source: str, name: str) -> CheckpointPlace:
    return CheckpointPlace(source, printable(name), partial(stored_step_at, source))


def _can_be_checkpoint(source: str) -> bool:
    path = Path(source)
    if path.is_dir():
        return _holds_weights(local_folder(path))
    return is_remote(source) or (_is_weights(path.name) and not _UNFINISHED.search(path.name))


_UNFINISHED = re.compile(r"^tmp[-_.]|\.(tmp|part|incomplete|lock)$|^\.|-tmp$")
"""What programs call a checkpoint that they are writing."""

_CONTAINER = re.compile(r"(checkpoints?|ckpts?|weights|models?|snapshots|states?|saved_models?)", re.IGNORECASE)
"""What a folder of checkpoints is called."""

_RUN = re.compile(r"(version|run|trial|seed|fold|exp|experiment)s?[-_.]?\d+", re.IGNORECASE)
"""What the folder of one training of several is called."""

_DEEPEST = 4  # folders above the checkpoints


def _in_folder(
    folder: Folder, source_of: Callable[[str], str], home: str, depth: int = _DEEPEST
) -> list[CheckpointPlace]:
    """The places in a folder, or in the only folder below it that has a series; of one model the folder itself."""
    series = _without_links([*_series_below(folder, "", depth)], home)
    if len(series) > 1:
        shown = ", ".join(series[:6]) + (", …" if len(series) > 6 else "")
        raise SourceError(f"{folder.name} has several series, in {shown}; name one")
    prefix = f"{series[0]}/" if series and series[0] != "." else ""
    names = [f"{prefix}{name}" for name in _candidates(folder.below(series[0]) if prefix else folder)]
    if prefix:
        names += [name for name in _candidates(folder) if not name_has_number(name)]
    if not series and (len(names) < 2 or _is_model(folder)):
        if _holds_weights(folder):
            return [CheckpointPlace(home, folder.title, partial(stored_step_in, folder))]
        below = {name.partition("/")[0] for name in folder.names if "/" in name}
        every = [folder, *(folder.below(name) for name in sorted(below, key=natural_key))]
        if reason := why_in_parts(folder.names) or next(filter(None, (what_folder(one.names) for one in every)), ""):
            raise SourceError(f"{folder.name} is {reason}")
        return []
    if parts := parts_to_choose(folder.below(names[0])) if names else []:
        what = f"{folder.name}/{printable(names[0])} has weights in several folders"
        raise SourceError(_name_one_of(parts, what, home, names[0]))
    _check_one_file_each(folder, names, home)
    return [CheckpointPlace(source_of(one), printable(one), partial(stored_step_below, folder, one)) for one in names]


def _check_one_file_each(folder: Folder, names: Sequence[str], home: str) -> None:
    """See that it is clear which file of each checkpoint is meant. Raises SourceError where all have several."""
    files: set[str] = set()
    for name in names:
        below = folder.below(name)
        beside = {one for one in _candidates(below) if one in below.names}
        if len(beside) < 2 or _is_model(below) or why_in_parts(below.names):
            return
        files = files & beside or beside
    what = f"each checkpoint of {folder.name} has several files of weights"
    raise SourceError(_name_one_of(sorted(files, key=natural_key), what, home, names[0]))


def _name_one_of(parts: Sequence[str], what: str, home: str, name: str) -> str:
    """What to do where a checkpoint has several parts: name one of each; or the folder, where parts are checkpoints."""
    shown = ", ".join(map(printable, parts[:6])) + (", …" if len(parts) > 6 else "")
    if all(map(name_has_number, parts)) and len({*map(name_without_numbers, parts)}) == 1:
        do, example = "name the folder of one series", f"{home}/{name}"
    else:
        do, example = "name one of each", f"{home}/{pattern_of(name)}/{parts[0]}"
    return f"{what}: {shown}; {do}" + ("" if is_remote(home) else f", as '{printable(example)}'")


def pattern_of(name: str) -> str:
    """The pattern that fits the name of a checkpoint, and those beside it that differ in their numbers alone.

    >>> pattern_of("run1/checkpoint-100")
    'run1/checkpoint-*'
    """
    folder, slash, last = name.rpartition("/")
    return folder + slash + _DIGITS.sub("*", last)


def name_without_numbers(name: str) -> str:
    """What the checkpoints of one series have in common in their names.

    >>> name_without_numbers("run1/checkpoint-100.pt"), name_without_numbers("a/ckpt.pt")
    ('run*/checkpoint-*', 'ckpt')
    """
    without = _DIGITS.sub("*", without_ending(name))
    return without if "*" in without else without.rpartition("/")[2]


def _without_links(series: Sequence[str], home: str) -> list[str]:
    """The folders, without links to another of them, such as `latest`."""
    if is_remote(home):
        return [*series]
    real = {one: os.path.realpath(os.path.join(home, one)) for one in series}
    no_links = sorted(series, key=lambda one: real[one] != os.path.join(os.path.realpath(home), one))
    folders = {real[one]: one for one in reversed(no_links)}.values()
    return [one for one in series if one in folders]


def _series_below(folder: Folder, prefix: str, depth: int) -> Iterator[str]:
    """The folders that hold checkpoints with numbers: this one, or else those below it."""
    numbers = says_which if _is_model(folder) else name_has_number
    if any(map(numbers, _candidates(folder))):
        yield prefix or "."
        return
    for name in sorted({name.partition("/")[0] for name in folder.names if "/" in name}, key=natural_key):
        if depth and not _UNFINISHED.search(name):
            yield from _series_below(folder.below(name), f"{prefix}/{name}".strip("/"), depth - 1)


def _candidates(folder: Folder) -> list[str]:
    """The files and folders in a folder that can be a checkpoint each."""
    names: list[str] = []
    without: list[str] = []
    here = {name.partition("/")[0] for name in (*folder.names, *folder.empty)}
    for name in sorted(_checkpoints_among([*here]), key=natural_key):
        below = folder.below(name)
        if _UNFINISHED.search(name) or is_beside(name):
            continue
        is_folder = below.names or below.empty or name in folder.empty
        if _is_checkpoint(name, below) if is_folder else _is_weights(name):
            names.append(name)
        elif is_folder:
            without.append(name)
    return sorted({*names, *_like(names, without)}, key=natural_key)


def _like(checkpoints: Collection[str], folders: Iterable[str]) -> set[str]:
    """Folders without weights that are called as checkpoints are, but for the number: whoever wrote them was ended."""
    alike = {_DIGITS.sub("", name) for name in checkpoints if name_has_number(name)}
    return {name for name in folders if name_has_number(name) and _DIGITS.sub("", name) in alike}


_DIGITS = re.compile(r"\d+")


def _is_weights(name: str) -> bool:
    return name.lower().endswith((*ENDINGS, ".index.json")) and not is_beside(name)


_PIECE = ".distcp"
"""Ending of the pieces of torch.distributed.checkpoint; that their metadata is missing is told where they are read."""


def _holds_weights(folder: Folder) -> bool:
    """Whether some file in a folder, or below it, may hold weights."""
    names = [name.rpartition("/")[2] for name in folder.names]
    endings = (*ENDINGS, _PIECE)
    return any(name == METADATA or (name.lower().endswith(endings) and not is_beside(name)) for name in names)


def _is_checkpoint(name: str, folder: Folder) -> bool:
    """Whether a folder is one checkpoint, rather than the folder of several, or of a training."""
    if not _holds_weights(folder) or _RUN.fullmatch(name):
        return False
    inner = {inner.partition("/")[0] for inner in folder.names if "/" in inner}
    if any(_CONTAINER.fullmatch(one) and any(map(says_which, _candidates(folder.below(one)))) for one in inner):
        return False
    if not says_which(name) and not _is_model(folder) and any(map(says_which, _candidates(folder))):
        return False  # such as llama-7b/step-100.pt
    return name_has_number(name) or (_is_model(folder) and not any(map(says_which, _candidates(folder))))


def _is_model(folder: Folder) -> bool:
    """Whether a folder holds the weights of one model."""
    if {"model_index.json", "modules.json"} & {*folder.names}:
        return True
    try:
        return bool(weights_of(folder))
    except SourceError:
        return False
