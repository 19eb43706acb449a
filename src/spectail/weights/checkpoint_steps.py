"""Of which step a checkpoint is: what its name says, and what is stored in it or beside it.

Not here: which files and folders are checkpoints (`checkpoint_places`), and which of several answers counts (`series`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from spectail.errors import SourceError
from spectail.weights.folders import Folder, is_beside, local_folder
from spectail.weights.formats.pickles import numbers_beside
from spectail.weights.remote import is_remote
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import parse_json

# in names

_STEP = re.compile(
    r"(?:global[-_.]?steps?|steps?|iter(?:ation)?s?|updates?|train[-_.]?steps?)[-_.=]?(?P<behind>\d+)(?P<unit>[km](?![a-z]))?"
    r"|(?P<before>\d+)(?P<unit2>[km])?[-_.]?(?:steps?|iter(?:ation)?s?|updates?)(?![a-z]|[-_.=]?\d)",
    re.IGNORECASE,
)
"""A number that a name calls a step."""

_NUMBER = re.compile(r"\d+")

_CALLED = re.compile(r"(?:checkpoint|ckpt|epoch)s?[-_.=]?\d+|^\d+(\.[a-z]\w*)*$", re.IGNORECASE)
"""A name that is of one checkpoint of several."""


def says_which(name: str) -> bool:
    """Whether a name is that of one checkpoint of several."""
    return step_in_name(name) is not None or _CALLED.search(name) is not None


def name_has_number(name: str) -> bool:
    """Whether a name has a number that may be a step."""
    return number_in_name(name) is not None


def step_in_name(name: str) -> int | None:
    """The step that a name says; the last where it says several."""
    match = next(reversed([*_STEP.finditer(name)]), None)
    if match is None:
        return None
    unit = (match["unit"] or match["unit2"] or "").lower()
    return int(match["behind"] or match["before"]) * {"": 1, "k": 1000, "m": 1_000_000}[unit]


def number_in_name(name: str) -> int | None:
    """The last number of a name without its ending, which may be a step or an epoch."""
    step = step_in_name(name)
    numbers = _NUMBER.findall(re.sub(r"(\.(?!\d+$)[a-z]\w*)+$", "", name, flags=re.IGNORECASE))
    return step if step is not None else int(numbers[-1]) if numbers else None


# in files

_COUNTS = ("global_step", "global_steps", "step", "steps", "iteration", "iter", "iter_num", "num_updates", "n_steps")
"""Under which names programs store how many updates they have made, by precedence."""

_NOTES = ("trainer_state.json", "training_state.json", "train_state.json", "state.json", "metadata.json")
"""Files of a folder that may say so."""


def stored_step_at(source: str) -> int | None:
    """The step that is stored in a checkpoint of this machine, or beside it."""
    path = Path(source)
    if is_remote(source) or not path.exists():
        return None
    return stored_step_in(local_folder(path)) if path.is_dir() else _stored_in_file(partial(local_file, path))


def stored_step_below(folder: Folder, name: str) -> int | None:
    """The step that is stored in a file or folder of a folder."""
    below = folder.below(name)
    return stored_step_in(below) if below.names else _stored_in_file(partial(folder.file, name))


def stored_step_in(folder: Folder) -> int | None:
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
            if file.size > _LARGEST_NOTE:
                return None
            numbers = parse_json(file.name, bytes(file.read(0, file.size)), "notes")
        else:
            numbers = numbers_beside(file) if file.ending in _PICKLES else {}
    except SourceError:  # who opens it says what is wrong
        return None
    counts = (numbers.get(name) for name in _COUNTS)
    return next((n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0), None)
