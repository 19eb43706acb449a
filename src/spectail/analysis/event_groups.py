"""Events of many matrices in few lines: what happened over all steps, or at each.

Not here: what an event is (`recording/events.py`), and which alerts there are (`alerts`).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from spectail.analysis.name_lists import listed
from spectail.recording.events import Event
from spectail.spectra.phases import Phase

_KINDS = ("alert", "removed", "added", "replaced", "phase")  # what matters most first

_NUMBER = re.compile(r"\d[\d.]*(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class EventGroup:
    """Events whose texts differ in numbers only.

    Attributes:
        events: in the order of their steps; a matrix may have several.

    >>> moved = (Event(10, "h.0.fc.weight", "phase", "a → b"), Event(20, "h.1.fc.weight", "phase", "a → b"))
    >>> group = EventGroup(moved)
    >>> print(group)
    2 layers: a → b at steps 10 to 20: h.{0-1}.fc.weight
    """

    events: tuple[Event, ...]

    @property
    def kind(self) -> str:
        """Kind of the group's events."""
        return self.events[0].kind

    @property
    def step(self) -> int:
        """Step of the first event."""
        return self.events[0].step

    @property
    def text(self) -> str:
        """Text of the first event."""
        return self.events[0].text

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the group's matrices."""
        return tuple(dict.fromkeys(event.matrix for event in self.events))

    def line(self, width: int = 1000) -> str:
        """What happened, to how many and when; and to which, as far as there is room."""
        first, last = self.events[0], self.events[-1]
        if len(self.events) == 1:
            return str(first)
        when = f"at step {first.step}" if first.step == last.step else f"at steps {first.step} to {last.step}"
        text = first.text if all(one.text == first.text for one in self.events) else f"{first.text}, and the like,"
        if len(self.names) == 1:
            return f"{first.matrix}: {text} {len(self.events)} times {when}"
        start = f"{len(self.names)} layers: {text} {when}: "
        return start + listed(self.names, width - len(start))

    def __str__(self) -> str:
        return self.line()


def group_events(events: Iterable[Event]) -> list[EventGroup]:
    """Events of all steps in groups whose texts differ in numbers only.

    Args:
        events: in the order of their steps.

    Returns:
        alerts first, then matrices that came, went or were replaced, then changes of phase: a collapse before others,
        and what happened to many before what happened to few.

    >>> events = [Event(10, f"h.{i}", "phase", "random-like → bulk+spike") for i in range(10)]
    >>> for group in group_events([*events, Event(70, "h.3", "alert", "effective rank fell from 99 to 2")]):
    ...     print(group)
    h.3: effective rank fell from 99 to 2 at step 70
    10 layers: random-like → bulk+spike at step 10: h.0, h.1, h.2, h.3, h.4, h.5, h.6, h.7, h.8, h.9
    """
    return sorted(_alike(events, lambda event: (event.kind, _NUMBER.sub("", event.text))), key=_rank)


def events_by_step(events: Iterable[Event]) -> list[EventGroup]:
    """Events in groups of one step and one text.

    Args:
        events: in the order of their steps.

    Returns:
        the latest step first; within a step what was noticed before changes of phase, then what happened to most.

    >>> moved = [Event(10, name, "phase", "random-like → bulk+spike") for name in ("a", "b")]
    >>> [group.names for group in events_by_step([*moved, Event(20, "a", "alert", "effective rank fell to 2")])]
    [('a',), ('a', 'b')]
    """
    groups = _alike(events, lambda event: (event.step, event.kind, event.text))
    return sorted(groups, key=lambda one: (-one.step, one.kind == "phase", -len(one.names)))


def _alike(events: Iterable[Event], what: Callable[[Event], object]) -> list[EventGroup]:
    """Groups of events whose texts are alike, in the order of their first events."""
    groups: dict[object, list[Event]] = {}
    for event in events:
        groups.setdefault(what(event), []).append(event)
    return [EventGroup(tuple(alike)) for alike in groups.values()]


def event_lines(events: Iterable[Event], width: int = 80, most: int = 12) -> list[str]:
    """What happened, a line a group; lines that are longer are continued.

    Args:
        events: in the order of their steps.
        width: of a line.
        most: groups; of the rest it is said how many they are.
    """
    groups = group_events(events)
    lines = [
        line
        for group in groups[:most]
        for line in textwrap.wrap(group.line(width), width, subsequent_indent="  ", break_long_words=False)
    ]
    rest = sum(len(group.events) for group in groups[most:])
    return [*lines, f"and {rest} more event{'s' * (rest > 1)}"] if rest else lines


def _rank(group: EventGroup) -> tuple[int, bool, int, int]:
    is_collapse = group.events[0].after == Phase.RANK_COLLAPSE
    return _KINDS.index(group.kind), not is_collapse, -len(group.names), group.step
