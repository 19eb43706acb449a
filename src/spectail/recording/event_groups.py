"""Events that are alike, in one: what happened to ten layers at one step is one sentence.

Not here: the events themselves (`events`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spectail.recording.events import Event


@dataclass(frozen=True)
class EventGroup:
    """What happened to several matrices at one step.

    Attributes:
        step: of the measurement that found it.
        kind: as of an `Event`.
        text: what happened.
        matrices: their names, in their order.
    """

    step: int
    kind: str
    text: str
    matrices: tuple[str, ...]

    def __str__(self) -> str:
        who = self.matrices[0] if len(self.matrices) == 1 else f"{len(self.matrices)} matrices"
        return f"step {self.step}: {who}: {self.text}"


def grouped_events(events: Iterable[Event]) -> list[EventGroup]:
    """Events of one step and one text in one.

    Args:
        events: in the order of their steps.

    Returns:
        the latest step first; within a step what was noticed before changes of phase, then what happened to most.

    >>> moved = [Event(10, name, "phase", "random-like → bulk+spike") for name in ("a", "b")]
    >>> print(grouped_events([*moved, Event(20, "a", "alert", "effective rank fell to 2")])[1])
    step 10: 2 matrices: random-like → bulk+spike
    """
    alike: dict[tuple[int, str, str], list[str]] = {}
    for event in events:
        alike.setdefault((event.step, event.kind, event.text), []).append(event.matrix)
    groups = [EventGroup(*key, tuple(dict.fromkeys(names))) for key, names in alike.items()]
    return sorted(groups, key=lambda one: (-one.step, one.kind == "phase", -len(one.matrices)))
