"""Verify a store, and remove what is provably incomplete; also in folders beside it that are handed over.

Not here: how a run is put or found (`store`), and locks (`locks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spectail.errors import StoreError
from spectail.experiments.experiment import experiment_of
from spectail.experiments.resume import from_bytes, is_whole
from spectail.files import PART
from spectail.recording.reading import load_recording
from spectail.store.locks import exclusive_lock
from spectail.store.manifest import Entry, key_of_run
from spectail.store.store import Store, hint_above


@dataclass(frozen=True)
class Defect:
    """One thing that is not as it should be.

    Attributes:
        path: of the file.
        what: one sentence.
        harmful: whether a result is lost or wrong; otherwise it only takes up room.
    """

    path: Path
    what: str
    harmful: bool


def check(store: Store, beside: Iterable[Path] = ()) -> list[Defect]:
    """Read every run of a store, compare it with its checksum, its name and the manifest.

    If the manifest was not right, it is then written anew from the runs that are in order.

    Args:
        store: of which no file is changed but the manifest.
        beside: other folders that are written to while the store's lock is held.

    Returns:
        what is wrong, the harmful first; empty for a store in order.

    Raises:
        FileNotFoundError: the folder holds no runs.
        OSError: the manifest cannot be written.
    """
    if not store.has_runs:
        raise FileNotFoundError(f"{store.root} is not a store: it has no folder runs{hint_above(store.root)}")
    defects, entries, known = [], [], store.manifest.read()
    outdated = 0
    for path in store.files():
        try:
            run = load_recording(path)
            key = key_of_run(run, path)
            if key != path.stem:
                raise StoreError(f"{path} holds the run of another experiment, {key}")
        except (StoreError, OSError) as error:
            defects.append(Defect(path, str(error), True))
            continue
        outdated += experiment_of(run).outdated
        entry = Entry.of(run, path)
        entries.append(entry)
        if path.stem not in known:
            defects.append(Defect(path, f"{path} was not in the manifest; it is now", False))
        elif not known[path.stem].same_as(entry):
            defects.append(Defect(path, f"{path} was not as the manifest said; it says so now", False))
    gone = sorted(known.keys() - {entry.key for entry in entries})
    there = {path.stem for path in store.files()}
    defects += [_gone(store, known[key]) for key in gone if key not in there]
    if gone or any(not defect.harmful for defect in defects):
        store.manifest.replace(entries)
    if outdated:
        sentence = f"{outdated} runs in {store.runs} are of an earlier spectail's numerics, and are not computed again"
        defects.append(Defect(store.runs, sentence, False))
    defects += [Defect(path, what, False) for path, what in leftovers(store, beside)]
    defects += [
        Defect(path, f"{path} was set aside, since it could not be read as a run, or is of other images", False)
        for folder in (store.runs, store.trainings)
        for path in sorted(folder.glob("*.set-aside-*"))
    ]
    return sorted(defects, key=lambda defect: not defect.harmful)


def leftovers(store: Store, beside: Iterable[Path] = ()) -> Iterator[tuple[Path, str]]:
    """Files that are provably of no use: cut off while written, the state of a finished run, or a damaged state."""
    for path in _parts(store, beside):
        yield path, f"{path} was cut off while it was written"
    states = [(path, store.runs) for path in sorted(store.states.glob("*.ckpt"))]
    states += [(path, store.trainings) for path in sorted(store.trainings.glob("*.state"))]
    for path, runs in states:
        if (runs / f"{path.stem}.nc").exists():
            yield path, f"{path} is the state of a run that is finished"
        elif path.is_file() and not is_whole(content := path.read_bytes()) and from_bytes(content) is None:
            yield path, f"{path} is a damaged state of an unfinished run"


def collect_garbage(store: Store, beside: Iterable[Path] = ()) -> list[Path]:
    """Remove what `leftovers` names, if nobody is writing to the store.

    Returns:
        the paths of the files that were removed.

    Raises:
        FileNotFoundError: the folder holds no runs.
        StoreError: a process is writing to the store.
    """
    if not store.has_runs:
        raise FileNotFoundError(f"{store.root} is not a store: it has no folder runs{hint_above(store.root)}")
    with exclusive_lock(store.write_lock) as granted:
        if not granted:
            raise StoreError(f"{store.root} is being written to; nothing was removed, try again afterwards")
        removed = [path for path, _ in leftovers(store, beside)]
        for path in removed:
            path.unlink(missing_ok=True)
    return removed


def remove_partial_files(store: Store, beside: Iterable[Path] = ()) -> None:
    """Remove files that were cut off while they were written, if nobody is writing."""
    with exclusive_lock(store.write_lock) as granted:
        for path in _parts(store, beside) if granted else ():
            path.unlink(missing_ok=True)


def _parts(store: Store, beside: Iterable[Path]) -> list[Path]:
    folders = (store.root, store.runs, store.trainings, store.states, *beside)
    return sorted(path for folder in folders for path in folder.glob(f".*{PART}"))


def _gone(store: Store, entry: Entry) -> Defect:
    path = (store.trainings if entry.matrices else store.runs) / f"{entry.key}.nc"
    return Defect(path, f"{path} is in the manifest, but the file is gone", True)
