"""Of which step a checkpoint is: what its name says, and what is stored in it or beside it.

Not here: which files and folders are checkpoints (`checkpoint_places`), and which of several answers counts (`series`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from spectail.errors import SourceError
from spectail.weights.folders import Folder, is_beside, local_folder
from spectail.weights.formats.pickles import numbers_beside
from spectail.weights.remote import is_remote
from spectail.weights.stored import StoredFile, local_file
from spectail.weights.untrusted import parse_json

# in names

_POWER = r"\d+(?:\.\d+)?e\d{1,2}(?![a-z\d])"
_NUMERAL = rf"\d{{1,3}}(?:,\d{{3}})+(?!\d)|{_POWER}|\d+\.\d+(?=[km](?![a-z]))|\d+"  # 1,000, 1e3 and 1.5M too

_STEP = re.compile(
    rf"(?:global[-_.]?steps?|steps?|iter(?:ation)?s?|updates?|train[-_.]?steps?)[-_.=]?(?P<behind>{_NUMERAL})"
    r"(?P<unit>[km](?![a-z]))?"
    r"|(?P<before>\d+)(?P<unit2>[km])?[-_.]?(?:steps?|iter(?:ation)?s?|updates?)(?![a-z]|[-_.=]?\d)",
    re.IGNORECASE,
)
"""A number that a name calls a step."""

_EPOCH = re.compile(r"epochs?[-_.=]?(\d+)(?!\d|\.\d)", re.IGNORECASE)

_NUMBER = re.compile(
    rf"(?<![a-z\d.])(?P<power>{_POWER})|(?<![-_.=]-)(?<!\d)\d+(?:\.\d+)*(?P<unit>[km](?![a-z\d]))?", re.IGNORECASE
)
"""A number; with a sign before it, as in step_-1 and step=-1, it is none."""

_UNITS = {"": 1, "k": 1000, "m": 1_000_000}

_HASH = re.compile(rf"(?<![a-z\d])(?!{_POWER})(?=[a-f]*\d+[a-f]+\d)[a-f\d]{{6,}}(?![a-z\d])", re.IGNORECASE)
"""Hexadecimal digits with letters among them: no number."""

_OF_OTHERS = re.compile(r"(?<![a-z])(rank|seed|fold)[-_.=]?\d+", re.IGNORECASE)
"""What numbers are said to be of, and is no step."""

_TIME = r"([01]\d|2[0-3])[-_.:h]?[0-5]\d[-_.:m]?[0-5]\d"
_DATE = re.compile(
    rf"(?<!\d)(19|20)\d\d([-_.](0[1-9]|1[0-2])[-_.](0[1-9]|[12]\d|3[01])([-_T .]+{_TIME})?|"
    rf"(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])[-_T ]+{_TIME})(?!\d)"
)
# When something was made is no step. Eight digits alone may be one.

LARGEST_STEP = 2**53
"""What is larger is an identifier, or damaged: such a number is not kept to the last digit everywhere."""

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
    numeral = Decimal((match["behind"] or match["before"]).replace(",", ""))
    return as_step(float(numeral * _UNITS[unit]))


def epoch_in_name(name: str) -> int | None:
    """The epoch that a name says."""
    match = next(reversed([*_EPOCH.finditer(name)]), None)
    return None if match is None else as_step(int(match[1]))


def number_in_name(name: str) -> int | None:
    """What may be a step, of a name without its ending: what it calls a step or an epoch, or its last whole number."""
    said = step_in_name(name)
    said = epoch_in_name(name) if said is None else said
    return said if said is not None else next(iter(numbers_in_name(name)[::-1]), None)


def numbers_in_name(name: str) -> list[int | None]:
    """The whole numbers of a name without its ending, whatever they are of; None where one can be no step.

    >>> [*map(numbers_in_name, ["ep0-ba100-rank0.pt", "ckpt_10k-loss0.25.pt", "ckpt-3f2a1b.pt"])]
    [[0, 100], [10000], []]
    """
    numbers = _NUMBER.finditer(_OF_OTHERS.sub(" ", _HASH.sub(" ", _DATE.sub(" ", without_ending(name)))))
    whole = [number for number in numbers if number["power"] or "." not in number[0]]  # 0.25 is a loss
    units = [(number["unit"] or "").lower() for number in whole]
    numerals = (Decimal(number[0].rstrip("kKmM")) for number in whole)
    return [as_step(float(numeral * _UNITS[unit])) for numeral, unit in zip(numerals, units, strict=True)]


def varying_number(name: str, names: Iterable[str]) -> int | None:
    """The last number of a name that is not the same in all names: the others say the model, or the like.

    >>> varying_number("1-llama-7b.pt", ["1-llama-7b.pt", "2-llama-7b.pt"])
    1
    """
    rows = [numbers_in_name(one) for one in names]
    if len({len(row) for row in rows}) != 1:
        return number_in_name(name)
    numbers = numbers_in_name(name)
    varying = [number for at, number in enumerate(numbers) if len({row[at] for row in rows}) > 1]
    return varying[-1] if varying else number_in_name(name)


def without_ending(name: str) -> str:
    """A name without its ending, or endings, and without what says which of several shards it is.

    >>> without_ending("model-100-*-of-00002.safetensors"), without_ending("model-100.safetensors.index.json")
    ('model-100', 'model-100')
    """
    without = re.sub(r"(\.(?!\d+$)[a-z]\w*)+$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[-_.]\*[-_]of[-_]\d+$", "", without)


def as_step(number: Any) -> int | None:
    """A number as a step, where it can be one: whole, not negative, below `LARGEST_STEP`; also as a float."""
    is_number = isinstance(number, Real) and not isinstance(number, bool)
    is_step = is_number and 0 <= number < LARGEST_STEP and float(number).is_integer()
    return int(number) if is_step else None


# in files

_COUNTS = (
    "global_step",
    "global_steps",
    "step",
    "steps",
    "iteration",
    "iter",
    "iter_num",
    "num_updates",
    "n_steps",
    "steps_run",
)
"""Under which names programs store how many updates they have made, by precedence."""

_WITHIN = ("meta", "train_state", "trainer_state", "training_state", "trainer", "state")
"""What holds such names, where the checkpoint itself does not."""

_PATHS: tuple[tuple[str | int, ...], ...] = (
    *((count,) for count in _COUNTS),
    *((within, count) for within in _WITHIN for count in _COUNTS),
    ("optimizer_history", -1, "num_updates"),  # fairseq
)
"""The keys that lead to a step, by precedence."""

_NOTES = ("trainer_state.json", "training_state.json", "train_state.json", "state.json", "metadata.json")
"""Files of a folder that may say its step."""


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
            notes = parse_json(file.name, bytes(file.read(0, file.size)), "notes")
            number_at: Callable[[Sequence[str | int]], object] = partial(_note_at, notes)
        elif file.ending in _PICKLES:
            number_at = numbers_beside(file)
        else:
            return None
        steps = (as_step(_counted(number_at(path))) for path in _PATHS)
        return next((step for step in steps if step is not None), None)
    except SourceError:  # who opens it says what is wrong
        return None


def _note_at(notes: Any, path: Sequence[str | int]) -> object:
    for key in path:
        notes = notes.get(key) if isinstance(notes, dict) else None
    return notes


def _counted(value: object) -> object:
    """A number that was stored as text is one too."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d{1,16}(\.0*)?", value.strip()) else value
