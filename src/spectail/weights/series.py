"""The checkpoints of a training, in the order of their steps.

Here: which files, folders and revisions they are, and of which step each is. Not here: what is in one (`opening`).
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from spectail.errors import SettingError, SourceError
from spectail.weights.distributed import METADATA
from spectail.weights.folders import Folder, is_beside, is_shard, local_folder, weights_of
from spectail.weights.formats.pickles import numbers_beside
from spectail.weights.formats.table import ENDINGS
from spectail.weights.hub import hub_folder, is_hub, revisions_of
from spectail.weights.parameter import natural_key
from spectail.weights.remote import is_remote
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import parse_json, printable


@dataclass(frozen=True)
class Checkpoint:
    """One state of a model that was kept while it trained.

    Attributes:
        step: how many updates were made before.
        source: where it is, as `open_weights` takes it.
        name: as a message shows it.
    """

    step: int
    source: str
    name: str


@dataclass(frozen=True)
class Series:
    """The checkpoints of one training.

    Attributes:
        title: what the training is called.
        checkpoints: in the order of their steps, one a step.
        remarks: what was left out and why, and where there are gaps; a sentence each.
    """

    title: str
    checkpoints: tuple[Checkpoint, ...]
    remarks: tuple[str, ...] = ()


def find_series(source: Any, *, revisions: str | None = None, steps: Sequence[int] | None = None) -> Series:
    """The checkpoints that a training has left.

    Args:
        source: a folder that they lie in, or one above it; a pattern such as "run/step-*.pt"; "hub:owner/name" of the
            hub; or a list of sources.
        revisions: of a model of the hub: a pattern that the branches and tags fit whose states are meant.
        steps: of each checkpoint, in the order of their names, where neither these nor the files say it.

    Returns:
        one checkpoint a step; what was left out is told in sentences.

    Raises:
        SourceError: there is no checkpoint, no such model, or there are several series.
        SettingError: there are other steps than checkpoints, or they are no steps.
    """
    title, places = _places(source, revisions)
    if not places:
        raise SourceError(
            f"{title} has no checkpoint; expected step-N.pt, checkpoint-N/, epoch=E-step=N.ckpt, global_stepN/, "
            "N.safetensors or the like"
        )
    numbered, remarks = _with_given(places, steps) if steps is not None else _with_steps(places)
    checkpoints: list[Checkpoint] = []
    for one in sorted(numbered, key=lambda one: (one.step, one.rank)):
        if checkpoints and checkpoints[-1].step == one.step:
            remarks.append(f"{one.name} is left out: {checkpoints[-1].name} is of step {one.step} too")
        else:
            checkpoints.append(Checkpoint(one.step, one.source, one.name))
    if not checkpoints:
        names = ", ".join(place.name for place in places[:4]) + (", …" if len(places) > 4 else "")
        raise SourceError(f"{title}: neither names nor files say the steps of {names}; expected steps (--steps)")
    return Series(title, tuple(checkpoints), (*remarks, *_gaps([one.step for one in checkpoints])))


@dataclass(frozen=True)
class _Place:
    """Where a checkpoint may be: what `open_weights` takes, its name, and what says its step beside the name."""

    source: str
    name: str
    stored: Callable[[], int | None] = field(repr=False, default=lambda: None)


@dataclass(frozen=True)
class _Numbered:
    """A place and its step; of two of one step that with the lower rank counts."""

    step: int
    rank: int
    source: str
    name: str


# where they are


def _places(source: Any, revisions: str | None) -> tuple[str, list[_Place]]:
    """What the series is called, and where its checkpoints may be, in the order of their names."""
    if isinstance(source, str) and is_remote(source) and is_hub(source):
        if revisions is None:
            folder, home = hub_folder(source)
            return folder.title, _in_folder(folder, lambda name: f"{home}/{name}", home)
        found = revisions_of(source, revisions)
        name = source.partition(":")[2].strip("/")
        return name, [_Place(f"hub:{name}@{one}", one) for one in sorted(found, key=natural_key)]
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
            raise SourceError(f"{path} fits no file; expected a folder of checkpoints, or a pattern that some fit")
        return str(source), _listed(paths)
    if isinstance(source, Sequence):
        return f"{len(source)} checkpoints", _listed(sorted(map(str, source), key=natural_key))
    raise SourceError(f"a {type(source).__name__} is no series; expected a folder, a pattern, or a list of sources")


def _listed(sources: Sequence[str]) -> list[_Place]:
    """Sources that are named one by one; of several, those that can be checkpoints."""
    parents = [one.split("/")[:-1] for one in sources]
    shared = sum(1 for _ in takewhile(lambda steps: len({*steps}) == 1, zip(*parents, strict=False)))
    places = [_place_of(one, "/".join(one.split("/")[shared:])) for one in sources]
    return places if len(places) == 1 else [place for place in places if _can_be_checkpoint(place.source)]


def _place_of(source: str, name: str) -> _Place:
    return _Place(source, printable(name), partial(_stored_at, source))


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


def _in_folder(folder: Folder, source_of: Callable[[str], str], home: str, depth: int = _DEEPEST) -> list[_Place]:
    """The places in a folder, or in the only folder below it that has a series; of one model the folder itself."""
    series = [*_series_below(folder, "", depth)]
    if len(series) > 1:
        shown = ", ".join(series[:6]) + (", …" if len(series) > 6 else "")
        raise SourceError(f"{folder.name} has several series, in {shown}; name one")
    prefix = f"{series[0]}/" if series and series[0] != "." else ""
    names = [f"{prefix}{name}" for name in _candidates(folder.below(series[0]) if prefix else folder)]
    if prefix:
        names += [name for name in _candidates(folder) if not _has_number(name)]
    if not series and (len(names) < 2 or _is_model(folder)):
        alone = _Place(home, folder.title, partial(_stored_in, folder))
        return [alone] if _holds_weights(folder) else []
    return [_Place(source_of(one), printable(one), partial(_stored_below, folder, one)) for one in names]


def _series_below(folder: Folder, prefix: str, depth: int) -> Iterator[str]:
    """The folders that hold checkpoints with numbers: this one, or else those below it."""
    numbers = _says_which if _is_model(folder) else _has_number
    if any(map(numbers, _candidates(folder))):
        yield prefix or "."
        return
    for name in sorted({name.partition("/")[0] for name in folder.names if "/" in name}, key=natural_key):
        if depth and not _UNFINISHED.search(name):
            yield from _series_below(folder.below(name), f"{prefix}/{name}".strip("/"), depth - 1)


def _candidates(folder: Folder) -> list[str]:
    """The files and folders in a folder that can be a checkpoint each."""
    names = []
    for name in sorted({name.partition("/")[0] for name in folder.names}, key=natural_key):
        below = folder.below(name)
        if _UNFINISHED.search(name) or is_beside(name):
            continue
        if (not below.names and _is_weights(name)) or (below.names and _is_checkpoint(name, below)):
            names.append(name)
    return names


def _is_weights(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not is_beside(name) and not is_shard(name)


def _holds_weights(folder: Folder) -> bool:
    """Whether some file in a folder, or below it, may hold weights."""
    names = [name.rpartition("/")[2] for name in folder.names]
    return any(name == METADATA or (name.lower().endswith(ENDINGS) and not is_beside(name)) for name in names)


def _is_checkpoint(name: str, folder: Folder) -> bool:
    """Whether a folder is one checkpoint, rather than the folder of several, or of a training."""
    if not _holds_weights(folder) or _RUN.fullmatch(name):
        return False
    inner = {inner.partition("/")[0] for inner in folder.names if "/" in inner}
    if any(_CONTAINER.fullmatch(one) and any(map(_says_which, _candidates(folder.below(one)))) for one in inner):
        return False
    return _has_number(name) or (_is_model(folder) and not any(map(_says_which, _candidates(folder))))


def _is_model(folder: Folder) -> bool:
    """Whether a folder holds the weights of one model."""
    if {"model_index.json", "modules.json"} & {*folder.names}:
        return True
    try:
        return bool(weights_of(folder))
    except SourceError:
        return False


# of which step they are

_STEP = re.compile(
    r"(?:global[-_.]?steps?|steps?|iter(?:ation)?s?|updates?|train[-_.]?steps?)[-_.=]?(?P<behind>\d+)(?P<unit>[km](?![a-z]))?"
    r"|(?P<before>\d+)(?P<unit2>[km])?[-_.]?(?:steps?|iter(?:ation)?s?|updates?)(?![a-z]|[-_.=]?\d)",
    re.IGNORECASE,
)
"""A number that a name calls a step."""

_NUMBER = re.compile(r"\d+")


_CALLED = re.compile(r"(?:checkpoint|ckpt|epoch)s?[-_.=]?\d+|^\d+(\.[a-z]\w*)*$", re.IGNORECASE)
"""A name that is of one checkpoint of several."""


def _says_which(name: str) -> bool:
    return _step_in(name) is not None or _CALLED.search(name) is not None


def _has_number(name: str) -> bool:
    return _number(name) is not None


def _step_in(name: str) -> int | None:
    """The step that a name says; the last where it says several."""
    match = next(reversed([*_STEP.finditer(name)]), None)
    if match is None:
        return None
    unit = (match["unit"] or match["unit2"] or "").lower()
    return int(match["behind"] or match["before"]) * {"": 1, "k": 1000, "m": 1_000_000}[unit]


def _number(name: str) -> int | None:
    """The last number of a name without its ending, which may be a step or an epoch."""
    step = _step_in(name)
    numbers = _NUMBER.findall(re.sub(r"(\.(?!\d+$)[a-z]\w*)+$", "", name, flags=re.IGNORECASE))
    return step if step is not None else int(numbers[-1]) if numbers else None


def _with_given(places: Sequence[_Place], steps: Sequence[int]) -> tuple[list[_Numbered], list[str]]:
    """The places with steps that were given for them in turn."""
    names = ", ".join(place.name for place in places[:6]) + (", …" if len(places) > 6 else "")
    if any(isinstance(step, bool) or not isinstance(step, int) or step < 0 for step in steps):
        raise SettingError(f"steps={list(steps)!r:.200} are no steps; expected whole numbers, none negative")
    if len(steps) != len(places):
        raise SettingError(f"steps has {len(steps)} numbers for {len(places)} checkpoints: {names}")
    back = [later for earlier, later in pairwise(steps) if later < earlier]
    remarks = [f"steps run back to {back[0]}; checkpoints are in the order of their steps"] if back else []
    return [
        _Numbered(step, at, one.source, one.name) for at, (step, one) in enumerate(zip(steps, places, strict=True))
    ], remarks


def _with_steps(places: Sequence[_Place]) -> tuple[list[_Numbered], list[str]]:
    """The places whose step is known: a name that says "step" counts most, then what is stored, then a number."""
    numbered, remarks = [], []
    several = len(places) > 1
    for at, place in enumerate(places):
        said, number = _step_in(place.name), _number(place.name)
        step = said if said is not None else place.stored()
        step = number if step is None else step
        rank = at + (len(places) if number is None else 0)
        if step is None and not several:
            step = 0
            remarks.append(f"{place.name} is the only checkpoint, and nothing says its step: it is taken for 0")
        if step is None:
            remarks.append(f"{place.name} is left out: neither its name nor what is stored in it says its step")
        else:
            numbered.append(_Numbered(step, rank, place.source, place.name))
    return numbered, remarks


def _gaps(steps: Sequence[int]) -> list[str]:
    """Where steps are missing that lie as far apart as most others do."""
    apart = Counter(later - earlier for earlier, later in pairwise(steps))
    usual, count = apart.most_common(1)[0] if apart else (0, 0)
    if 2 * count <= len(steps) - 1 or count < 2:
        return []
    return [
        f"between steps {earlier} and {later} there is none, though others are {usual} apart"
        for earlier, later in pairwise(steps)
        if later - earlier > usual and (later - earlier) % usual == 0
    ]


_COUNTS = ("global_step", "global_steps", "step", "steps", "iteration", "iter", "iter_num", "num_updates", "n_steps")
"""Under which names programs store how many updates they have made, by precedence."""

_NOTES = ("trainer_state.json", "training_state.json", "train_state.json", "state.json", "metadata.json")
"""Files of a folder that may say so."""


def _stored_at(source: str) -> int | None:
    """The step that is stored in a checkpoint of this machine, or beside it."""
    path = Path(source)
    if is_remote(source) or not path.exists():
        return None
    return _stored_in(local_folder(path)) if path.is_dir() else _stored_in_file(partial(local_file, path))


def _stored_below(folder: Folder, name: str) -> int | None:
    below = folder.below(name)
    return _stored_in(below) if below.names else _stored_in_file(partial(folder.file, name))


def _stored_in(folder: Folder) -> int | None:
    """The step that a folder says in a file of notes, or in a file of weights."""
    for note in _NOTES:
        if note in folder.names and (step := _stored_in_file(partial(folder.file, note))) is not None:
            return step
    names = [name for name in folder.names if name.endswith(_PICKLES) and not is_beside(name.rpartition("/")[2])]
    return _stored_in_file(partial(folder.file, names[0])) if len(names) == 1 else None


_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".tar")

_LARGEST_NOTE = 2**26  # bytes: trainer_state.json holds the log of the training


def _stored_in_file(opened: Callable[[], StoredFile]) -> int | None:
    """The step that a file of notes or of weights says; None where it does not, or is no such file."""
    try:
        file = opened()
        if file.ending == ".json":
            numbers = (
                parse_json(file.name, bytes(file.read(0, file.size)), "notes") if file.size <= _LARGEST_NOTE else {}
            )
        else:
            numbers = numbers_beside(file) if file.ending in _PICKLES else {}
    except SourceError:  # who opens it says what is wrong
        return None
    counts = (numbers.get(name) for name in _COUNTS)
    return next((n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0), None)
