"""What a folder of runs holds, in the terminal: a line a run.

Not here: a single run (`recording.py`), and how far a sweep is (`sweep.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import xarray as xr

from spectail.analysis.name_lists import how_many
from spectail.experiments.protocols import CONVENTIONS
from spectail.recording.reading import load_recording
from spectail.report.terminal.tables import print_table
from spectail.store.manifest import Entry
from spectail.store.names import run_names
from spectail.store.results import runs_of
from spectail.store.store import Store, hint_above

_ALWAYS = ("model", "dataset", "images", "optimizer", "lr", "n", "d", "h", "steps", "seed")


def print_folder(folder: Path) -> None:
    """What is in a folder: its runs, and other recordings in it and below it.

    Raises:
        FileNotFoundError: it is not there, or holds nothing of ours.
    """
    store = Store(folder)
    if store.has_runs:
        entries, names = runs_of(folder), run_names(store)
        for of_kind in ([e for e in entries if not e.matrices], [e for e in entries if e.matrices]):
            if of_kind:
                print_runs(str(folder), of_kind, names)
    recordings = dict(_others_in(store))
    if not recordings and not store.has_runs:
        sentence = f"{folder} holds no results: it has no folder runs, and no recordings of models"
        raise FileNotFoundError(sentence + hint_above(folder))
    if recordings:
        rows = [("file", "what", "matrices", "steps", "kB")]
        for path, one in recordings.items():
            steps, size = one["step"].values, f"{path.stat().st_size / 1000:.0f}"
            title = str(one.attrs.get("title", ""))
            extent = f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0]) if len(steps) else "none"
            what = f"{one.attrs['of']}{title and f' of {title}'}"
            rows.append((str(path.relative_to(folder)), what, str(one.sizes.get("matrix", 1)), extent, size))
        print_table(f"{folder}: {len(recordings)} recording{'s' if len(recordings) > 1 else ''} of models", rows)


def _others_in(store: Store) -> Iterator[tuple[Path, xr.Dataset]]:
    """The recordings in a folder and below it that are not runs of its store, nor links that name a run."""
    for path in sorted(store.root.rglob("*.nc")):
        if not path.is_symlink() and path.parent not in (store.runs, store.trainings):
            with suppress(ValueError, OSError):
                recording = load_recording(path)
                if "experiment" not in recording.attrs:
                    yield path, recording


def print_runs(title: str, entries: Sequence[Entry], names: Mapping[str, str] = MappingProxyType({})) -> None:
    """A line a run: its key, its settings, and what became of it.

    Args:
        title: where they lie.
        entries: of the runs. What differs between them has a column each; the common sizes stand above.
        names: of runs, by key.
    """
    fields = [entry.fields for entry in entries]
    left_out = () if any(one["protocol"] == "custom" for one in fields) else CONVENTIONS  # the protocol says them
    varying = [n for n in fields[0] if n not in left_out and len({str(one[n]) for one in fields}) > 1]
    same = ", ".join(
        f"{name}={_text(fields[0][name])}" for name in _ALWAYS if name in fields[0] and name not in varying
    )
    rows = [("key", *(("name",) if names else ()), *varying, "last phase", "kB")]
    for entry in sorted(entries, key=lambda entry: [_order(entry.fields[name]) for name in varying]):
        phase = entry.scalars["phase"][-1] if entry.steps else ""
        phase = " · ".join(dict.fromkeys(phase)) if isinstance(phase, list) else phase  # of several layers
        end = phase if entry.diverged_at is None else f"diverged at {entry.diverged_at}"
        named = (names.get(entry.key, ""),) if names else ()
        rows.append(
            (entry.key, *named, *(_text(entry.fields[name]) for name in varying), end, f"{entry.size / 1000:.0f}")
        )
    print_table(f"{title}: {how_many(len(entries), 'run')}; {same}", rows)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _order(value: object) -> tuple[float, str]:
    """Numbers by size, before words."""
    return (float(value), "") if isinstance(value, int | float) else (float("inf"), str(value))
