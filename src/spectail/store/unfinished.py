"""Runs of a store that are being computed, or were cut off: what they have measured so far.

Here: the states that long runs keep, read and never written. Not here: when one is kept (`experiments/resume.py`).
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from spectail.errors import StoreError
from spectail.files import check_strangers
from spectail.store.store import Store


def unfinished_runs(root: Path) -> dict[Path, float]:
    """The files that unfinished runs of a store will have, and when the state of each was kept.

    Args:
        root: of the store.

    Returns:
        by file, as `os.path.getmtime` tells it; the latest is the last.
    """
    store = Store(root)
    files = dict.fromkeys(store.states.glob("*.ckpt"), store.runs)
    files |= dict.fromkeys(store.trainings.glob("*.state"), store.trainings)
    times = {folder / f"{state.stem}.nc": changed_at(state) for state, folder in files.items()}
    return dict(sorted(times.items(), key=lambda one: one[1]))


def state_beside(run: Path) -> Path:
    """Where the state of an unfinished run is, or would be.

    >>> state_beside(Path("results/runs/a.nc")).as_posix(), state_beside(Path("results/trainings/a.nc")).as_posix()
    ('results/checkpoints/a.ckpt', 'results/trainings/a.state')
    """
    store = Store(run.parent.parent)
    return store.states / f"{run.stem}.ckpt" if run.parent == store.runs else run.with_suffix(".state")


def load_unfinished(run: Path) -> xr.Dataset:
    """What an unfinished run has measured, as of the last time that its state was kept.

    Args:
        run: the file that it will have.

    Raises:
        FileNotFoundError: no state of it is kept.
        StoreError: the state is damaged, of another kind or of an earlier release.
    """
    from spectail.experiments.resume import from_bytes
    from spectail.experiments.run import recording_so_far

    path = state_beside(run)
    if path.exists():
        check_strangers(path)
    state = from_bytes(path.read_bytes())
    recording = None if state is None else recording_so_far(state)
    if recording is None:
        raise StoreError(f"{path} does not say what its run has measured so far")
    return recording


def changed_at(path: Path) -> float:
    """When a file was written to; 0 where it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
