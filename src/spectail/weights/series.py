"""The checkpoints of a training, in the order of their steps.

Here: of several places and several answers, which count. Not here: where checkpoints may be (`checkpoint_places`), what
says of which step one is (`checkpoint_steps`), which are of one network (`checkpoint_networks`), and what is in one
(`opening`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from spectail.errors import SettingError, SourceError
from spectail.weights.checkpoint_networks import NumberedPlace, of_one_network
from spectail.weights.checkpoint_places import CheckpointPlace, name_without_numbers, places_of_checkpoints
from spectail.weights.checkpoint_steps import as_step, epoch_in_name, number_in_name, step_in_name, varying_number


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


def find_series(
    source: Any,
    *,
    revisions: str | None = None,
    steps: Sequence[int] | None = None,
    key: str | None = None,
    measured: Collection[str] = (),
) -> Series:
    """The checkpoints that a training has left.

    Args:
        source: a folder that they lie in, or one above it; a pattern such as "run/step-*.pt"; "hub:owner/name" of the
            hub; or a list of sources.
        revisions: of a model of the hub: a pattern; the branches and tags that fit it are the checkpoints.
        steps: of each checkpoint, in the order of their names, where neither these nor the files say it.
        key: of the state dict that is meant, in checkpoints that hold several.
        measured: sources of checkpoints that were measured before, of the series that is gone on with.

    Returns:
        one checkpoint a step; what was left out is told in sentences.

    Raises:
        SourceError: there is no checkpoint, no such model, or there are several series.
        SettingError: there are other steps than checkpoints, or they are no steps.
    """
    title, places = places_of_checkpoints(source, revisions)
    if not places:
        raise SourceError(
            f"{title} has no checkpoint; expected step-N.pt, checkpoint-N/, epoch=E-step=N.ckpt, global_stepN/, "
            "N.safetensors or the like"
        )
    numbered, remarks = _with_given(places, steps) if steps is not None else _with_steps(places)
    if steps is None:
        numbered, others = of_one_network(numbered, source, title, key, measured)
        remarks += others
    checkpoints: list[Checkpoint] = []
    for one in sorted(numbered, key=lambda one: (one.step, one.rank)):
        if checkpoints and checkpoints[-1].step == one.step:
            remarks.append(f"{one.name} is left out: {checkpoints[-1].name} is of step {one.step} too")
        else:
            checkpoints.append(Checkpoint(one.step, one.source, one.name))
    if not checkpoints and (missing := [place.name for place in places if not place.is_there]):
        raise SourceError(f"{missing[0]} does not exist; expected checkpoints, or a folder that they lie in")
    if not checkpoints:
        names = ", ".join(place.name for place in places[:4]) + (", …" if len(places) > 4 else "")
        raise SourceError(f"{title}: neither names nor files say the steps of {names}; expected steps (--steps)")
    return Series(title, tuple(checkpoints), (*remarks, *_gaps([one.step for one in checkpoints])))


def _with_given(places: Sequence[CheckpointPlace], steps: Sequence[int]) -> tuple[list[NumberedPlace], list[str]]:
    """The places, each with its step of those that the user gave, in turn."""
    names = ", ".join(place.name for place in places[:6]) + (", …" if len(places) > 6 else "")
    if isinstance(steps, str) or not isinstance(steps, Collection):
        raise SettingError(f"steps={steps!r:.200} are no steps; expected a whole number for each checkpoint")
    known = [step for step in map(as_step, steps) if step is not None]
    if len(known) < len(steps):
        raise SettingError(f"steps={[*steps]!r:.200} are no steps; expected whole numbers, none negative, below 2^53")
    counts = ((len(known), "number"), (len(places), "checkpoint"))
    if len(known) != len(places):
        numbers, checkpoints = (f"{n} {what}{'s' * (n != 1)}" for n, what in counts)
        raise SettingError(f"steps has {numbers} for {checkpoints}: {names}")
    back = [later for earlier, later in pairwise(known) if later < earlier]
    remarks = [f"steps run back to {back[0]}; checkpoints are in the order of their steps"] if back else []
    return [
        NumberedPlace(step, at, one.source, one.name) for at, (step, one) in enumerate(zip(known, places, strict=True))
    ], remarks


def _with_steps(places: Sequence[CheckpointPlace]) -> tuple[list[NumberedPlace], list[str]]:
    """The places whose step is known: a name that says "step" counts most, then what is stored, then a number."""
    numbered, remarks = [], []
    several = len(places) > 1
    some_say_steps = any(step_in_name(place.name) is not None for place in places)
    alike: dict[str, list[str]] = {}
    for place in places:
        alike.setdefault(name_without_numbers(place.name), []).append(place.name)
    for at, place in enumerate(places):
        said, number = step_in_name(place.name), number_in_name(place.name)
        if said is None and number is not None and epoch_in_name(place.name) is None:
            number = varying_number(place.name, alike[name_without_numbers(place.name)])
        step = said if said is not None else place.stored()
        is_of_epoch = step is None and some_say_steps and epoch_in_name(place.name) is not None
        step = number if step is None and not is_of_epoch else step
        rank = at + (len(places) if number is None else 0)
        if step is None and not several:
            step = 0
            remarks.append(f"{place.name} is the only checkpoint, and nothing says its step: it is taken for 0")
        if step is None:
            why = "neither its name nor what is stored in it says its step" if place.is_there else "it does not exist"
            why = "it says its epoch, and others their step" if is_of_epoch else why
            remarks.append(f"{place.name} is left out: {why}")
        else:
            numbered.append(NumberedPlace(step, rank, place.source, place.name))
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
