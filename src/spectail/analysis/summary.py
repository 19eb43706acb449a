"""The answer of an analysis in words and numbers; the terminal, pages, files and `repr` say the same.

Not here: how it is printed or drawn, and how names become short (`name_lists`).
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from spectail.analysis.name_lists import how_many, listed, shortened, without_numbers
from spectail.errors import SettingError, StoreError, unknown_name
from spectail.recording.argument import as_recording
from spectail.recording.layout import frame, of_tensor
from spectail.recording.quantities import QUANTITIES
from spectail.spectra.nulls import Z_UNLIKELY
from spectail.spectra.phases import Phase
from spectail.weights.matrix import layer_of

if TYPE_CHECKING:
    import pandas as pd

_MOST = 5  # of the largest effects of a kind, and of the smallest

_LINES = 24  # of a screen

ANSWERS = {
    "untrained": ("as if never trained", "like noise"),
    "norms": ("random but for unequal norms", "like noise of unequal norms"),
    "entries": ("random but for heavy or light entries", "like noise of heavy or light entries"),
    "spiked": ("spiked: a few strong directions", "along a few directions, beside noise"),
    "broadened": ("broadened by correlated entries", "along many directions"),
    "heavy": ("heavy-tailed", "along many directions, heavy-tailed"),
    "collapsed": ("collapsed: of low rank", "of low rank"),
    "vanished": ("vanished: all weights are zero", "unchanged"),
    "narrow": ("narrower than untrained", "with singular values that are alike"),
    "unchanged": ("", "unchanged"),
    "unknown": ("without an answer", "without an answer"),
}
"""What is said of a matrix, and of a change. Each matrix has one of them."""

_AMISS = ("untrained", "collapsed")

_OF_PHASE = {
    Phase.RANDOM: "untrained",
    Phase.BLEEDING_OUT: "spiked",
    Phase.BULK_SPIKE: "spiked",
    Phase.BULK_DECAY: "broadened",
    Phase.BIMODAL: "broadened",
    Phase.HEAVY_TAILED: "heavy",
    Phase.RANK_COLLAPSE: "collapsed",
}

_OF_CAUSE = {"": "untrained", "norms": "norms", "entries": "entries"}
"""Of a random-like matrix; with any other cause a row contradicts itself, and there is no answer."""

EFFECT = "effect: spread of log λ over that of untrained matrices, norms and entries out"

LIGHTER = (
    "eigenvalues more alike than by chance, as orthogonal initialisation, normalised weights or Muon make them",
    "entries bounded more tightly than Gaussian ones, as uniform initialisation makes them; nothing else departs",
)

_NO_NULLS = "made without nulls: thresholds know no shape, and norms and entries were not looked at"

QUALITY = (
    "Not told: how good the model is. Heavier tails go with accuracy within one architecture (Martin et al. 2021), "
    "not across depths (arXiv:2106.00734), and can be too heavy (docs/alpha.md)."
)
QUALITY_OF_CHANGE = "Not told: whether the change is for the better."


@dataclass(frozen=True)
class Group:
    """Matrices that have the same answer.

    Attributes:
        answer: a key of `ANSWERS`.
        words: what is said.
        names: of the matrices, in their order.
    """

    answer: str
    words: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """The matrices of one kind that are least like untrained ones, and most; none is in both.

    Attributes:
        kind: of the layer: linear, conv2d, embedding, …
        count: how many there are of it.
        most: names and effects, the largest first.
        least: the smallest first.
    """

    kind: str
    count: int
    most: tuple[tuple[str, float], ...]
    least: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Summary:
    """What a recording says, first; `str` of it is a screen of text.

    Attributes:
        title: what was measured, and how many matrices.
        groups: what is said of how many of them.
        rankings: by effect, one a kind.
        lighter: a line for each reading of a spectrum that is lighter than the null.
        caveats: what to know before trusting the rest.
        names: of all matrices.
    """

    title: str
    groups: tuple[Group, ...]
    rankings: tuple[Ranking, ...]
    lighter: tuple[str, ...]
    caveats: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def absent(self) -> str:
        """The faults that no matrix of a model has, in a line; "" where there is nothing to say."""
        missing = [group for group in self.groups if not group.names and group.words == ANSWERS[group.answer][0]]
        words = [group.words.partition(":")[0] for group in missing if group.answer in _AMISS]
        return f"none: {', '.join(words)}" if words else ""

    def lines(self, width: int = 80, height: int = _LINES) -> list[str]:
        """The text.

        Args:
            width: of a line; a name that is longer and cannot be cut makes it wider.
            height: lines that there is room for; the rankings are as long as fits, but have a line at least.
        """
        above = [self.title, *(line for group in self.groups if group.names for line in _group_lines(group, width))]
        above += _wrapped(self.absent, width, 7) if self.absent else []
        below = [line for text in (*self.lighter, *self.caveats) for line in _wrapped(text, width, 2)]
        several = sum(bool(ranking.least) for ranking in self.rankings)
        room = height - len(above) - len(below) - 1 - len(self.rankings)
        each = max(1, min(_MOST, room // max(several, 1)))
        ranks = [line for ranking in self.rankings for line in _ranking_lines(ranking, self.names, width, each)]
        return [*above, *(_wrapped(EFFECT, width, 2) if ranks else []), *ranks, *below]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def summarize(recording: Any, step: int = -1) -> Summary:
    """What a recording says of its matrices at one step, in words and numbers.

    Args:
        recording: of any kind, or an analysis.
        step: index of the step, the last by default.

    Returns:
        what can be printed, or looked into.

    Raises:
        StoreError: the Dataset is not a recording.

    >>> import torch
    >>> from spectail import analyze
    >>> analysis = analyze({"fc.weight": torch.randn(60, 40, generator=torch.Generator().manual_seed(0))})
    >>> print(*str(summarize(analysis.recording)).splitlines()[:2], sep="; ")
    state dict: 1 matrix measured, 0 parameters skipped;     1  as if never trained: fc.weight
    """
    recording = as_recording(recording)
    if "step" not in recording.coords or "phase" not in recording:
        raise StoreError("the data set has no step or no phase, so it is no recording of spectail")
    recording = of_tensor(recording, "weights")
    table = frame(recording, step)
    of_change, names = recording.attrs.get("of") == "comparison", table["name"].tolist()
    judged = table[~table["phase"].isin([Phase.RANK_COLLAPSE, Phase.UNKNOWN])]  # of the others nulls say nothing
    with_nulls = judged.empty or ("z_hill" in table and bool(np.isfinite(judged["z_hill"].astype(float)).any()))
    by_answer: dict[str, list[str]] = {answer: [] for answer in ANSWERS}
    for row in table.to_dict("records"):
        by_answer[_answer(row)].append(str(row["name"]))
    groups = [Group(answer, ANSWERS[answer][of_change], tuple(of)) for answer, of in by_answer.items()]
    caveats = (*([] if with_nulls else [_NO_NULLS]), QUALITY_OF_CHANGE if of_change else QUALITY)
    return Summary(
        _title(recording, step, len(names)),
        tuple(group for group in groups if group.words),
        tuple(_rankings(table)),
        tuple(_lighter(table)),
        caveats,
        tuple(names),
    )


def _title(recording: xr.Dataset, step: int, count: int) -> str:
    title = str(recording.attrs.get("title") or "recording")
    measured = f"{how_many(count, 'matrix')} measured"
    at = f" at step {int(recording['step'].values[step])}" if recording.sizes.get("step", 1) > 1 else ""
    skipped = recording.attrs.get("skipped")
    left_out = 0 if skipped is None else len(json.loads(skipped))
    return f"{title}: {measured}{at}" + f", {how_many(left_out, 'parameter')} skipped" * (skipped is not None)


def _answer(row: dict[Any, Any]) -> str:
    """What is said of a row, as a key of `ANSWERS`."""
    if row.get("note") == "unchanged":
        return "unchanged"
    if row.get("frobenius_norm") == 0:
        return "vanished"
    answer = _OF_PHASE.get(row["phase"], "unknown")
    if answer == "untrained":
        return _OF_CAUSE.get(row.get("cause") or "", "unknown")
    return "narrow" if answer == "unknown" and np.isfinite(row.get("effect_homogeneous", np.nan)) else answer


def _rankings(table: pd.DataFrame) -> list[Ranking]:
    """The largest and smallest effects of each kind, the most frequent kind first."""
    name = next((one for one in ("effect_homogeneous", "effect") if one in table and table[one].notna().any()), "")
    if not name or "kind" not in table:
        return []
    known = table[np.isfinite(table[name].astype(float)) & ~table["phase"].isin([Phase.RANK_COLLAPSE, Phase.UNKNOWN])]
    rankings = []
    for kind, group in known.groupby("kind", sort=False):
        ordered = [(str(n), float(e)) for n, e in group.sort_values(name)[["name", name]].itertuples(index=False)]
        least = ordered[: min(_MOST, len(ordered) // 2)]
        most = ordered[max(len(ordered) - _MOST, len(least)) :][::-1]
        rankings.append(Ranking(str(kind), len(ordered), tuple(most), tuple(least)))
    return sorted(rankings, key=lambda one: -one.count)


def _lighter(table: pd.DataFrame) -> list[str]:
    """Of matrices with a spectrum lighter than the null: which, and what that may mean."""
    if "z_hill" not in table:
        return []
    light = table[table["z_hill"].astype(float) > Z_UNLIKELY]
    of_entries = light["cause"] == "entries" if "cause" in light else light["z_hill"] > np.inf
    lines = []
    for reading, group in ((LIGHTER[0], light[~of_entries]), (LIGHTER[1], light[of_entries])):
        if len(group):
            furthest = group.sort_values("z_hill", ascending=False)
            named = ", ".join(
                f"{name} z +{z:.3g}" for name, z in zip(furthest["name"], furthest["z_hill"], strict=True)
            )
            shown = (
                named
                if len(group) <= 2
                else listed(furthest["name"].tolist(), 60) + f", z up to +{furthest['z_hill'].max():.3g}"
            )
            lines.append(f"lighter than untrained: {shown}: {reading}")
    return lines


def _group_lines(group: Group, width: int) -> list[str]:
    start = f"{len(group.names):>5}  {group.words}: "
    return _wrapped(start + listed(group.names, width - len(start)), width, 7)


def _ranking_lines(ranking: Ranking, names: Sequence[str], width: int, each: int) -> list[str]:
    """The largest effects on the left, the smallest on the right."""
    if not ranking.least:
        return [f"  {ranking.kind}: {ranking.most[0][0]} {ranking.most[0][1]:.2f}"]
    half = (width - 4) // 2
    room = half - 7
    if any(len(shortened(name, names, room)) > room for name, _ in (*ranking.most[:each], *ranking.least[:each])):
        room = width - 11  # below each other, so that names that are told apart by many letters fit

    def cells(ranked: Sequence[tuple[str, float]]) -> list[str]:
        return [f"{value:>6.2f} {shortened(name, names, room)}" for name, value in ranked[:each]]

    head, most, least = f"{ranking.kind} ({ranking.count}), largest effect:", cells(ranking.most), cells(ranking.least)
    if room > half:
        return [f"  {head}", *(f"  {one}" for one in most), "  smallest effect:", *(f"  {one}" for one in least)]
    pairs = zip_longest([head, *most], ["smallest effect:", *least], fillvalue="")
    return [f"  {left:<{half}}  {right}".rstrip() for left, right in pairs]


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )


def roll_up(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """The matrices of each layer, or of each kind, in one row.

    Args:
        frame: one row a matrix, as `spectail.analyze` gives it.
        by: "layer" for the blocks of the model, such as "model.layers.7"; "kind" for what matrices are in them, by
            their names without numbers.

    Returns:
        one row a layer or kind, in the order of the first of its matrices: how many matrices and weights, medians of
        the exponents and ranks, the smallest z, which is that of the heaviest tail, the sum of the spikes, and the
        phases.

    Raises:
        SettingError: by is neither.

    >>> from spectail import analyze
    >>> import torch
    >>> state = {f"blocks.{i}.{name}.weight": torch.randn(20, 30) for i in range(2) for name in ("fc1", "fc2")}
    >>> roll_up(analyze(state, nulls=False).frame, "layer")[["layer", "matrices", "weights"]].values.tolist()
    [['blocks.0', 2, 1200], ['blocks.1', 2, 1200]]
    """
    if by not in ("layer", "kind"):
        raise SettingError(unknown_name("by", by, ("layer", "kind")))
    names = frame["name"].map(layer_of if by == "layer" else without_numbers)
    rows = []
    for name, group in frame.groupby(names, sort=False):
        phases = group["phase"].value_counts()
        rows.append(
            {
                by: name or "(in no layer)",
                "matrices": len(group),
                "weights": int((group["rows"] * group["cols"] * group["slices"]).sum()),
                "pl_alpha_hill": group["pl_alpha_hill"].median(),
                "z_hill": group["z_hill"].min(),
                "n_spikes": int(group["n_spikes"].sum()),
                "stable_rank": group["stable_rank"].median(),
                "null_stable_rank": group["null_stable_rank"].median(),
                "phases": ", ".join(f"{phase} {count}" for phase, count in phases.items()),
            }
        )
    import pandas as pd

    return pd.DataFrame(rows)


def summary_html(text: str, frame: pd.DataFrame) -> str:
    """A text for a notebook, with a table of what the terminal shows of each matrix, the phase first."""
    import pandas as pd

    heads = {q.name: q.head for q in QUANTITIES} | {"name": ""}
    said = (frame.notna() & (frame != "")).any()
    known = [name for name in frame if heads.get(_quantity_in(name), "a user's own") and said[name]]
    columns = ["name", *sorted(known, key=lambda name: _quantity_in(name) != "phase")]
    with pd.option_context("display.max_colwidth", None):  # names that begin alike are told apart at their ends
        table = frame[columns].to_html(max_rows=20, notebook=True, float_format="{:.4g}".format)
    rest = len(frame.columns) - len(columns)
    more = f"<p>and {rest} more columns in .frame</p>" if rest else ""
    return f'<pre style="white-space: pre-wrap">{escape(text)}</pre>{table}{more}'


def _quantity_in(column: str) -> str:
    """The quantity in a column of one model, or of several: "phase" of "phase: first model"."""
    return column.partition(": ")[0]
