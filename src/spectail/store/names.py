"""Names of a user's own for runs, beside the keys that their files have.

Not here: the runs themselves (store.py).
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from spectail.errors import StoreError
from spectail.experiments.experiment import Experiment
from spectail.recording.reading import load_recording
from spectail.store.store import Store


def check_name(store: Store, experiment: Experiment, name: str) -> Path:
    """Where a run would be found by a name.

    Raises:
        StoreError: it is no name of a file, or another run's.
    """
    if not re.fullmatch(r"\w[\w.+=-]*", name):
        raise StoreError(f"name={name!r} is not understood; expected letters, digits and any of . + = - _")
    path = store.root / f"{name}.nc"
    if path.exists() and (other := key_of_named(path)) != experiment.key:
        raise StoreError(f"{path} is the run {other}, with other settings; choose another name")
    return path


def give_name(store: Store, experiment: Experiment, name: str) -> Path:
    """Let a run be found by a name too, as ROOT/NAME.nc: a link to its file, or a copy where there are no links.

    Args:
        store: that has the run.
        experiment: whose run it is.
        name: what it is to be called.

    Returns:
        the path of the link.

    Raises:
        StoreError: as `check_name`.
        OSError: the folder cannot be written to.
    """
    path = check_name(store, experiment, name)
    if not path.exists():
        path.unlink(missing_ok=True)  # a link whose run was removed, and is there again
        try:
            path.symlink_to(os.path.relpath(store.path(experiment), path.parent))
        except (OSError, NotImplementedError):
            shutil.copyfile(store.path(experiment), path)
    return path


def run_names(store: Store) -> dict[str, str]:
    """The names that runs have, by key."""
    return {key_of_named(path): path.stem for path in sorted(store.root.glob("*.nc")) if path.exists()}


def key_of_named(path: Path) -> str:
    """The key of the run behind a name."""
    if path.is_symlink():
        return path.resolve().stem
    try:
        return str(load_recording(path).attrs.get("key", ""))
    except ValueError:
        return ""
