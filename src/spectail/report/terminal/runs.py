"""What a folder of runs holds, in the terminal: a line a run.

Not here: a single run (`recording.py`), and how far a sweep is (`sweep.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from spectail.experiments.protocols import CONVENTIONS
from spectail.report.terminal.tables import print_table
from spectail.store.manifest import Entry

_ALWAYS = ("optimizer", "lr", "n", "d", "h", "steps", "seed")


def print_runs(title: str, entries: Sequence[Entry]) -> None:
    """A line a run: its key, its settings, and what became of it.

    Args:
        title: where they lie.
        entries: of the runs. What differs between them has a column each; the common sizes stand above.
    """
    fields = [entry.fields for entry in entries]
    left_out = () if any(one["protocol"] == "custom" for one in fields) else CONVENTIONS  # the protocol says them
    varying = [n for n in fields[0] if n not in left_out and len({str(one[n]) for one in fields}) > 1]
    same = ", ".join(f"{name}={_text(fields[0][name])}" for name in _ALWAYS if name not in varying)
    rows = [("key", *varying, "last phase", "kB")]
    for entry in sorted(entries, key=lambda entry: [_order(entry.fields[name]) for name in varying]):
        phase = entry.scalars["phase"][-1] if entry.steps else ""
        phase = " · ".join(dict.fromkeys(phase)) if isinstance(phase, list) else phase  # of several layers
        end = phase if entry.diverged_at is None else f"diverged at {entry.diverged_at}"
        rows.append((entry.key, *(_text(entry.fields[name]) for name in varying), end, f"{entry.size / 1000:.0f}"))
    runs = f"{len(entries)} runs" if len(entries) > 1 else "1 run"
    print_table(f"{title}: {runs}; {same}", rows)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _order(value: object) -> tuple[float, str]:
    """Numbers by size, before words."""
    return (float(value), "") if isinstance(value, int | float) else (float("inf"), str(value))
