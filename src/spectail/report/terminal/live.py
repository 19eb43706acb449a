"""A recording on the terminal while it grows. Not here: its tables (`recording`)."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from spectail.analysis.completion import complete
from spectail.analysis.event_groups import EventGroup, events_by_step
from spectail.analysis.summary import summarize
from spectail.recording.events import events
from spectail.recording.layout import of_tensor
from spectail.report.terminal.tables import console
from spectail.report.watching import WatchedRecording
from spectail.weights.untrusted import printable

_EVENTS = 8  # that are shown, the latest


def show_live(watched: WatchedRecording) -> None:
    """Show, until Ctrl-C, what a recording says: its answer, the latest events, how the last look went.

    Where it is no terminal, as in a pipe or a log, each state comes below the one before.

    Args:
        watched: the recording.
    """
    out = console()
    if not out.is_terminal:
        for _ in watched.states():
            out.print(screen(watched, out.width), end="\n\n")
        return
    with Live(_shown(watched.sentence), console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for _ in watched.states():
            live.update(screen(watched, out.width), refresh=True)


def screen(watched: WatchedRecording, width: int) -> RenderableType:
    """What is shown at one moment.

    Args:
        watched: the recording.
        width: of the terminal.
    """
    if watched.recording is None:
        return _shown(watched.sentence, style="yellow")
    weights = of_tensor(complete(watched.recording), "weights")
    first, *further = summarize(weights).lines(width)
    happened = [_line(group) for group in events_by_step(events(watched.recording))[:_EVENTS]]
    return Group(
        _shown(first, style="bold"),
        *(_shown(line) for line in further),
        Text("events, the latest first" if happened else "no matrix changed its phase", style="bold"),
        *(_shown(f"  {line}", overflow="ellipsis", no_wrap=True) for line in happened),
        _shown(f"{watched.sentence}; Ctrl-C ends this", style="dim"),
    )


def _shown(text: str, **options: Any) -> Text:
    """Text in which what a terminal would obey is shown instead: names may be a stranger's."""
    return Text(printable(text), **options)


def _line(group: EventGroup) -> str:
    who = group.names[0] if len(group.names) == 1 else f"{len(group.names)} matrices"
    return f"step {group.step}: {who}: {group.text}"
