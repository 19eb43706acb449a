"""What a monitor says of itself: on a line, on a screen, in a notebook.

Not here: what is said of matrices (`analysis/summary.py`) and of events (`analysis/event_groups.py`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape

from spectail.analysis.event_groups import event_lines
from spectail.analysis.name_lists import how_many
from spectail.analysis.summary import summarize, summary_html
from spectail.recording.events import Event
from spectail.recording.growing import GrowingRecording
from spectail.recording.layout import to_dataset
from spectail.recording.tensors import tensor_of

_HEIGHT = 24  # lines of a screen


def line_of(growing: GrowingRecording) -> str:
    """How many matrices were measured, when, and how long that took.

    Args:
        growing: what was measured so far.
    """
    measured = growing.measurements
    title = growing.attributes.get("title", "nothing")
    if not measured:
        return f"{title}, not measured by this process"
    count = sum(tensor_of(str(one["name"])) == "weights" for one in growing.matrices)
    last = measured[-1]
    seconds = sum(one.clocks.get("measuring_seconds", 0.0) for one in measured)
    times = f"{len(measured)} times, from step {measured[0].step} to {last.step}"
    times = times if len(measured) > 1 else f"at step {last.step}"
    where = f", kept in {growing.elsewhere or growing.path.name}" if growing.path else ""
    return f"{title}: {how_many(count, 'matrix')} measured {times}, in {seconds:.2g} s{where}"


def screen_of(growing: GrowingRecording, width: int = 80) -> str:
    """The line of `line_of`, what happened so far, and what the last spectra say; at most one screen.

    Args:
        growing: what was measured so far.
        width: of a line.
    """
    if not growing.measurements:
        return line_of(growing)
    happened = event_lines(growing.events, width - 2, most=4)
    lines = [
        *textwrap.wrap(line_of(growing), width, subsequent_indent="  "),
        *(f"  {line}" for line in happened[: _HEIGHT // 3]),
    ]
    latest = [growing.measurements[-1].to_keep(spectra=False)]
    recording = to_dataset(growing.of, growing.matrices, latest, growing.attributes)
    _, *further = summarize(recording).lines(width, _HEIGHT - len(lines) + 1)
    return "\n".join([*lines, *further][:_HEIGHT])


def html_of(growing: GrowingRecording) -> str:
    """The screen for a notebook, with the rows of the last measurement below."""
    if not growing.measurements:
        return escape(line_of(growing))
    return summary_html(screen_of(growing, 100), growing.measurements[-1].frame)


def alert_sentence(alerts: Sequence[Event]) -> str:
    """The alerts of a measurement in a sentence; those of one kind together."""
    return "; ".join(event_lines(alerts, 1000, most=3))
