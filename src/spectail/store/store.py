"""Runs on disk: one netCDF file each, named by the key of its experiment, whole or not at all.

Not here: what is done to a whole store (`upkeep`), and many runs at once (`results`).
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from spectail.errors import NewerVersionError, StoreError
from spectail.experiments.experiment import Experiment, experiment_of
from spectail.experiments.resume import SECONDS, ResumeState
from spectail.files import check_strangers, write_content
from spectail.recording.netcdf import need_netcdf, save_recording, with_checksum
from spectail.recording.reading import load_recording
from spectail.store.locks import shared_lock
from spectail.store.manifest import Entry, Manifest, key_of_run

_RENAMED = {
    "checkpoint": "resume_state",
    "checkpoints": "states",
    "checkpoint_path": "state_path",
    "checkpoint_seconds": "state_seconds",
    "read_checkpoint": "read_state",
    "write_checkpoint": "write_state",
    "claims": "run_locks",
    "writing": "write_lock",
    "missing": "check_and_list_missing",
}


class Store:
    """A folder of runs, each found again by its experiment.

    Runs of students lie in `root/runs`, runs of networks in `root/trainings`. States of unfinished long runs lie in
    `root/checkpoints`, those of networks beside their runs. `root/manifest.jsonl` sums up the runs; it can be removed,
    and is made again from them.

    Args:
        root: the folder.
        state_seconds: between two times that the state of a run is kept.
        data: where the images of networks are, as for `simulate`.
        checkpoint_seconds: the old name of `state_seconds`, for one release.

    >>> from spectail import simulate
    >>> experiment = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder)
    ...     (first, found), (again, found_again) = (store.get_or_run(experiment, simulate) for _ in range(2))
    >>> found, found_again, first.identical(again)
    (False, True, True)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        state_seconds: float = SECONDS,
        *,
        data: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float | None = None,
    ) -> None:
        if checkpoint_seconds is not None:
            warnings.warn("Store(checkpoint_seconds=…) is now Store(state_seconds=…)", DeprecationWarning, stacklevel=2)
            state_seconds = checkpoint_seconds
        self.root = Path(root)
        self.state_seconds = state_seconds
        self.data = None if data is None else Path(data)
        self.manifest = Manifest(self.root / "manifest.jsonl")
        self.runs = self.root / "runs"
        self.trainings = self.root / "trainings"
        self.states = self.root / "checkpoints"
        self.run_locks = self.root / ".claims"
        self.write_lock = self.root / ".writing"
        self._digests: dict[tuple[object, ...], str] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The first edition's names, for one release."""
            if name not in _RENAMED:
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            warnings.warn(f"Store.{name} is now Store.{_RENAMED[name]}", DeprecationWarning, stacklevel=2)
            return getattr(self, _RENAMED[name])

    def path(self, experiment: Experiment) -> Path:
        """Where the run of an experiment is, or would be."""
        return self._folder(experiment) / f"{experiment.key}.nc"

    def _folder(self, experiment: Experiment) -> Path:
        return self.runs if experiment.has_closed_form else self.trainings

    @property
    def has_runs(self) -> bool:
        """Whether there is a folder of runs, be it empty."""
        return self.runs.is_dir() or self.trainings.is_dir()

    def files(self) -> list[Path]:
        """The files of all runs, by key within each folder."""
        return [path for folder in (self.runs, self.trainings) for path in sorted(folder.glob("[!.]*.nc"))]

    def __contains__(self, experiment: Experiment) -> bool:
        return self.path(experiment).exists()

    def check_writable(self, experiments: Iterable[Experiment] = ()) -> None:
        """See that runs can be written, before hours are spent on computing one.

        Args:
            experiments: whose runs they are; students' by default.

        Raises:
            OSError: they cannot; one sentence says where and why.
        """
        for folder in {self._folder(experiment) for experiment in experiments} or {self.runs}:
            try:
                need_netcdf(folder)
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(bytes(4096))
            except OSError as error:
                raise _cannot_write(folder, error) from None

    def get(self, experiment: Experiment) -> xr.Dataset | None:
        """The stored run of an experiment, or None.

        A file under its name that cannot be read, or that holds something else, is set aside under
        another name with a warning, never deleted, and counts as missing.

        Raises:
            NewerVersionError: the file is of a newer spectail; it stays where it is.
        """
        path = self.path(experiment)
        if not path.exists():
            return None
        need_netcdf(path)
        try:
            run = load_recording(path)
            if key_of_run(run, path) == experiment.key:
                return run
            reason = f"{path} holds the run of another experiment"
        except NewerVersionError:
            raise
        except ValueError as error:
            reason = str(error)
        self._set_aside(path, reason)
        return None

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = _free_name(path)
        path.replace(aside)
        warnings.warn(f"{reason}; it was set aside as {aside.name} and is computed again", stacklevel=3)

    def has_images_of(self, experiment: Experiment, digest: str) -> bool:
        """Whether a stored run of a network saw the images that are there now under their name.

        Args:
            experiment: of the run.
            digest: of its images.

        Raises:
            SourceError: the images are not there.
        """
        if experiment.dataset is None:
            return True
        from spectail.experiments.deep.tasks import load_samples

        e = experiment
        known = (e.dataset, e.images, None if e.images == "all" else e.seed)
        if known not in self._digests:
            self._digests[known] = load_samples(e, self.data).sha256
        return self._digests[known] == digest

    def _get_of_these_images(self, experiment: Experiment) -> xr.Dataset | None:
        run = self.get(experiment)
        if run is None or self.has_images_of(experiment, str(run.attrs.get("images_sha256", ""))):
            return run
        path = self.path(experiment)
        self._set_aside(path, f"{path} is of other images than dataset={experiment.dataset!r} has now")
        return None

    def put(self, run: xr.Dataset) -> Path:
        """Keep a run under its experiment's key, and sum it up in the manifest.

        Raises:
            OSError: as `write_netcdf`; the store is then as it was.
        """
        experiment, run = experiment_of(run), with_checksum(run)
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with shared_lock(self.write_lock):
                path = save_recording(run, self.path(experiment))
                self.manifest.add(Entry.of(run, path))
        except OSError as error:
            raise _cannot_write(self._folder(experiment), error) from None
        self.state_path(experiment).unlink(missing_ok=True)
        return path

    def check_and_list_missing(self, experiments: Iterable[Experiment]) -> list[Experiment]:
        """The experiments whose runs are not here whole; each stored file is compared with its checksum.

        Damaged files are set aside, as `get` does. Runs that the manifest does not know are added.

        Raises:
            StoreError: some are missing, and runs of another version's numerics are here.
        """
        entries, lacking = self.manifest.read(), []
        for experiment in experiments:
            entry, path = entries.get(experiment.key), self.path(experiment)
            if entry is not None and entry.describes(path) and self.has_images_of(experiment, entry.images_sha256):
                continue
            run = self._get_of_these_images(experiment)
            if run is None:
                lacking.append(experiment)
            else:
                self.manifest.add(Entry.of(run, path))
        self._check_numerics(lacking)
        return lacking

    def _check_numerics(self, lacking: Iterable[Experiment]) -> None:
        """See that runs to be computed would not lie beside those of another version's numerics."""
        ours = {experiment.numerics for experiment in lacking}
        others = {entry.numerics for entry in self.manifest.read().values()} - ours if ours else ()
        if others:
            raise StoreError(
                f"{self.root} holds runs of numerics {min(others)}, and numerics {max(ours)} is to be computed; "
                "runs of two versions are not mixed: name another folder to compute them anew"
            )

    def state_path(self, experiment: Experiment) -> Path:
        """Where the state of an unfinished run is, or would be; of a network where the first edition had it."""
        if experiment.has_closed_form:
            return self.states / f"{experiment.key}.ckpt"
        return self.trainings / f"{experiment.key}.state"

    def read_state(self, experiment: Experiment) -> bytes | None:
        """The state of an unfinished run, as bytes, or None."""
        path = self.state_path(experiment)
        if not path.exists():
            return None
        check_strangers(path)
        return path.read_bytes()

    def write_state(self, experiment: Experiment, content: bytes) -> None:
        """Keep the state of an unfinished run, whole or not at all. Raises OSError as `save_recording` does."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with shared_lock(self.write_lock):
                write_content(self.state_path(experiment), content)
        except OSError as error:
            raise _cannot_write(self.state_path(experiment).parent, error) from None

    def resume_state(self, experiment: Experiment, stopping: Callable[[], bool] = lambda: False) -> ResumeState:
        """Keeps the state of a long run here while `simulate` computes it; `stopping` as for `ResumeState`."""
        return ResumeState(
            lambda: self.read_state(experiment),
            lambda content: self.write_state(experiment, content),
            self.state_seconds,
            stopping,
        )

    def get_or_run(
        self, experiment: Experiment, simulate: Callable[[Experiment], xr.Dataset]
    ) -> tuple[xr.Dataset, bool]:
        """The run of an experiment, computed only if it is not there yet.

        Args:
            experiment: which.
            simulate: computes it; its result is stored.

        Returns:
            the run, and whether it was found.

        Raises:
            StoreError: runs of another version's numerics are here.
            SourceError: the images of a network are not there.
        """
        run = self._get_of_these_images(experiment)
        if run is not None:
            return run, True
        self._check_numerics([experiment])
        run = simulate(experiment)
        self.put(run)
        return run, False


def _cannot_write(folder: Path, error: OSError) -> OSError:
    """The same error as one sentence, unless it is one already."""
    if error.errno is None:
        return error
    reason = error.strerror or str(error)
    sentence = type(error)(f"cannot write to {folder}: {reason[0].lower()}{reason[1:]}")
    sentence.__cause__ = error
    return sentence


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    return aside


def hint_above(folder: Path) -> str:
    """The end of a sentence for who named the folder `runs` or `trainings` itself, rather than the one it lies in.

    >>> with tempfile.TemporaryDirectory() as root:
    ...     Store(root).runs.mkdir()
    ...     (Store(root).runs / "a-run.nc").touch()
    ...     hint_above(Store(root).runs) == f"; did you mean {root}?", hint_above(Path(root))
    (True, '')
    """
    whole = folder if folder.name else folder.resolve()  # "." has no name
    store = Store(whole.parent)
    is_of_store = whole.name in (store.runs.name, store.trainings.name) and any(whole.glob("*.nc"))
    return f"; did you mean {whole.parent}?" if is_of_store else ""
