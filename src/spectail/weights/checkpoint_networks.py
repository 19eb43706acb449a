"""Which of the checkpoints in a folder are states of one network; others, averages and optimizers may lie there too.

Not here: which files and folders are checkpoints (`checkpoint_places`), and of which step each is (`checkpoint_steps`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

from spectail.errors import SourceError, SpectailError
from spectail.weights.checkpoint_places import name_without_numbers, pattern_of
from spectail.weights.checkpoint_steps import number_in_name, numbers_in_name
from spectail.weights.opening import open_weights


@dataclass(frozen=True)
class NumberedPlace:
    """A place and its step; of two places with the same step, the one with the lower rank counts."""

    step: int
    rank: int
    source: str
    name: str


def of_one_network(
    numbered: Sequence[NumberedPlace], source: Any, title: str, key: str | None, measured: Collection[str] = ()
) -> tuple[list[NumberedPlace], list[str]]:
    """The places of one network; of several series, the one whose pattern the source is, or that is measured already.

    What is called alike, but for numbers, is of one network. What is not, is where the matrices have the same names and
    shapes, and the steps are others: one step twice is a last or a best checkpoint that is called otherwise, and one
    name with two endings is one state.

    Args:
        numbered: places with their steps.
        source: that they were found in.
        title: what the series is called.
        key: of the state dict that is meant, in checkpoints that hold several.
        measured: sources of checkpoints that were measured before, of the series that is gone on with.

    Returns:
        the places, and what was left out or taken together, a sentence each.

    Raises:
        SourceError: there are several series, such as G_100.pt, D_100.pt, G_200.pt, D_200.pt, and none is named.
    """
    called: dict[str, list[NumberedPlace]] = {}
    for one in numbered:
        called.setdefault(name_without_numbers(one.name), []).append(one)
    if len(called) < 2:
        return [*numbered], []
    steps = {
        name: {one.step for one in of if one.step in (number_in_name(one.name), *numbers_in_name(one.name))}
        for name, of in called.items()
    }
    series = [name for name, known in steps.items() if len(known) > 1]
    is_place = isinstance(source, str | os.PathLike)
    named = name_without_numbers(os.path.basename(source)) if is_place else ""
    if named in series:
        return called[named], []
    matrices = {name: _matrices_of(places, key) for name, places in called.items()}
    pairs = [pair for pair in combinations(series, 2) if len(steps[pair[0]] & steps[pair[1]]) > 1]
    empty = {name for name in called if not matrices[name] and (name in chain(*pairs) or matrices[name] is not None)}
    if empty and len(empty) < len(called):
        rest = [one for name, places in called.items() if name not in empty for one in places]
        ours, sentences = of_one_network(rest, source, title, key, measured)
        left_out = [f"{_shown(called[name])} is left out: no matrix of a model can be read in it" for name in empty]
        return ours, [*sorted(left_out), *sentences]
    home = str(source) if is_place and os.path.isdir(source) else ""
    patterns = {name: f"'{os.path.join(home, pattern_of(places[0].name))}'" for name, places in called.items()}
    networks = _networks(called, matrices)
    paths = {*map(os.path.abspath, measured)}
    known = [name for name, places in called.items() if any(os.path.abspath(one.source) in paths for one in places)]
    if known and (pairs or len(networks) > 1):
        of_known = [name for names in networks if {*names} & {*known} for name in names]
        together = {name for pair in pairs for name in pair if {*pair} & {*known}} - {*known}
        return _without_others(called, [name for name in of_known if name not in together], matrices)
    if pairs:
        of_pair = " and ".join(patterns[name] for name in pairs[0])
        raise SourceError(f"{title} has several series with the same steps, {of_pair}; {_NAME_ONE}")
    if len(networks) == 1:
        of_series = " and ".join(patterns[name] for name in series)
        same = f"{of_series} are taken for one series: their matrices have the same names and shapes"
        return [*numbered], [same] if len(series) > 1 else []
    several = [names for names in networks if sum(len(called[name]) for name in names) > 1]
    if len(several) != 1:
        of_networks = " and ".join(patterns[names[0]] for names in (several or networks)[:2])
        raise SourceError(f"{title} has series of several networks, {of_networks}; {_NAME_ONE}")
    return _without_others(called, several[0], matrices)


def _without_others(
    called: Mapping[str, Sequence[NumberedPlace]], names: Sequence[str], matrices: Mapping[str, _Matrices | None]
) -> tuple[list[NumberedPlace], list[str]]:
    """The places of some names, and why those of the others are left out."""
    first = called[names[0]][0]
    left_out = []
    for other in sorted(called.keys() - {*names}):
        why = f"its matrices have other names or shapes than those of {first.name}"
        if matrices[other] == matrices[names[0]]:
            why = f"it has the steps of {first.name} and others too"
        elif _is_average(called[other][0]) != _is_average(first):
            why = f"of it and {first.name} one is called an average of weights"
        left_out.append(f"{_shown(called[other])} is left out: {why}")
    return [one for name in names for one in called[name]], left_out


def _shown(places: Sequence[NumberedPlace]) -> str:
    return places[0].name if len(places) == 1 else pattern_of(places[0].name)


_NAME_ONE = "name one, as a pattern in quotes"

_Matrices = frozenset[tuple[str, int, int, int]]
"""Names of matrices with their rows, columns and slices."""


def _networks(
    called: Mapping[str, Sequence[NumberedPlace]], matrices: Mapping[str, _Matrices | None]
) -> list[list[str]]:
    """The names of places whose matrices are the same; what cannot be read is told where it is measured."""
    networks: dict[_Matrices | None, list[str]] = {}
    for name in sorted(called, key=lambda name: (matrices[name] is None, -len(called[name]))):
        known = next(iter(networks), None) if matrices[name] is None else matrices[name]
        networks.setdefault(known, []).append(name)
    return [*networks.values()]


def _matrices_of(places: Sequence[NumberedPlace], key: str | None) -> _Matrices | None:
    """The matrices of the first checkpoint that can be read; None where none can.

    What an optimizer keeps are no matrices of a model. An average of weights is another network than they are.
    """
    for place in places[:_TRIED]:
        try:
            weights = open_weights(place.source, key=key)
        except (SpectailError, OSError):
            continue
        if any(one.name == "param_groups" for one in weights.skipped) and '["state"]' in weights.title:
            return frozenset()
        kind = "average of " if _is_average(place) else ""
        return frozenset((kind + one.name, one.rows, one.cols, one.slices) for one in weights.matrices)
    return None


_TRIED = 3  # of checkpoints that are called alike, one of which says which matrices they have

_AVERAGE = re.compile(r"(?<![a-z])(ema|swa|averaged?|avg)(?![a-z])", re.IGNORECASE)


def _is_average(place: NumberedPlace) -> bool:
    return _AVERAGE.search(place.name) is not None
