"""What a store holds, in one file that is quick to read and can always be made again from the runs.

Not here: the runs themselves (`store`), and labelled results (`results`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import xarray as xr
from pydantic import Field, TypeAdapter

from spectail.errors import StoreError
from spectail.experiments.description import NUMERICS, key_of_json
from spectail.experiments.experiment import Experiment, described_in
from spectail.files import read_strangers, write_content
from spectail.recording.layout import BESIDE_STEPS, beside
from spectail.recording.quantities import stored_in_runs, stored_in_some_runs


def key_of_run(run: xr.Dataset, path: Path) -> str:
    """The key of the experiment that a file's run is of.

    Raises:
        StoreError: it is of none.
    """
    try:
        return key_of_json(described_in(run))
    except KeyError:
        raise StoreError(f"{path} is not the run of an experiment") from None


@dataclass(frozen=True)
class Entry:
    """One run: its file, its experiment, and every scalar that it measured.

    Attributes:
        key: of the experiment; the file is KEY.nc.
        size: of the file, bytes. sha256: of the file.
        checksum: of the result (`spectail.recording.netcdf.checksum`).
        experiment: its fields, as they are stored.
        steps: that were measured. eigenvalues: how many each has.
        scalars: by name, a value for each step, or a list with one for each layer; older runs lack the nulls of KTA.
        wall_time: of the run, seconds.
        diverged_at: the step at which it stopped being finite, or None.
        matrices: names of a network's matrices; none for a student. Of a network, `scalars` has phases alone.
        images_sha256: of its images.
    """

    key: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    size: int
    sha256: str
    checksum: str
    experiment: dict[str, Any]
    steps: list[int]
    eigenvalues: int
    scalars: dict[str, list[Any]]
    wall_time: float
    diverged_at: int | None
    matrices: list[str] = field(default_factory=list)
    images_sha256: str = ""

    @classmethod
    def of(cls, run: xr.Dataset, path: Path) -> Entry:
        """Describe a run and the file that holds it."""
        diverged_at = run.attrs.get("diverged_at")
        of_network = run.attrs.get("of") == "training"
        of_student = [q.name for q in (*stored_in_runs(), *stored_in_some_runs()) if q.name in run]
        names = ["phase"] if of_network else of_student
        scalars = {name: run[name].values.tolist() for name in sorted(names)}
        nulls = {name: beside(run, name) for name in BESIDE_STEPS}
        return cls(
            key=key_of_run(run, path),
            size=path.stat().st_size,
            sha256=file_hash(path),
            checksum=str(run.attrs.get("checksum", "")),  # networks of the first edition have none
            experiment=json.loads(described_in(run)),
            steps=[int(step) for step in run.step.values],
            eigenvalues=run.sizes["index"],
            scalars=scalars | {name: values.tolist() for name, values in nulls.items() if values is not None},
            wall_time=float(run.attrs.get("wall_time", 0.0)),
            diverged_at=None if diverged_at is None else int(diverged_at),
            matrices=[str(name) for name in run["matrix"].values] if of_network else [],
            images_sha256=str(run.attrs.get("images_sha256", "")),
        )

    @property
    def layers(self) -> int:
        """How many matrices were measured."""
        if self.matrices:
            return len(self.matrices)
        return len(self.experiment.get("layers", ())) or 1

    @property
    def numerics(self) -> int:
        """The version of what was computed."""
        return int(self.experiment.get("numerics", 1))

    @cached_property
    def fields(self) -> dict[str, Any]:
        """All fields of the experiment, by name; one that its file leaves out has the only value that it then had."""
        if not self.matrices or self.numerics > NUMERICS:
            return dict(sorted({**Experiment.added_later, **self.experiment}.items()))
        experiment = Experiment.from_stored(self.experiment)
        return experiment.model_dump(mode="json", include={*experiment.field_names})

    def same_as(self, other: Entry) -> bool:
        """Whether two entries say the same; NaN is like NaN, and a scalar that only one has does not count."""
        both = self.scalars.keys() & other.scalars.keys()
        mine, theirs = (replace(one, scalars={n: one.scalars[n] for n in sorted(both)}) for one in (self, other))
        return repr(mine) == repr(theirs)

    def describes(self, path: Path) -> bool:
        """Whether a file has, byte for byte, what this entry was made from."""
        try:
            return path.stat().st_size == self.size and file_hash(path) == self.sha256
        except OSError:
            return False


_MOST_BYTES = 2**32  # of a million runs


class Manifest:
    """The entries of a store, one JSON object a line.

    Lines are only ever added, each in one piece, so that several processes may write at once; the
    last line of a key counts. A line that was cut off or torn, or that no run can have, is passed over: its run is read
    anew.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Entry]:
        """Every entry by key. Raises OSError where the file is no plain file, lies elsewhere, or cannot be read."""
        if not self.path.exists():
            return {}
        lines = read_strangers(self.path, _MOST_BYTES).splitlines()
        entries = {}
        for line in lines:
            with suppress(ValueError):
                entry = _checked(line)
                entries[entry.key] = entry
        return entries

    def add(self, entry: Entry) -> None:
        """Add a line. Raises OSError where the disk is full or the folder cannot be written to."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, b"\n" + _line(entry))  # a line that was cut off before this one ends here
        finally:
            os.close(handle)

    def replace(self, entries: Iterable[Entry]) -> None:
        """Write the whole file anew."""
        write_content(self.path, b"".join(map(_line, entries)))


_ENTRY = TypeAdapter(Entry)


def _checked(line: bytes) -> Entry:
    """The entry of a line. Raises ValueError where it is none: somebody else may have written it."""
    entry = _ENTRY.validate_json(line)
    if any(len(values) != len(entry.steps) for values in entry.scalars.values()):
        raise ValueError("a scalar does not have a value a step")
    if not isinstance(entry.experiment.get("numerics", 1), int):
        raise ValueError("its numerics are no number")
    if entry.numerics <= NUMERICS:  # the fields of a later spectail are not known
        Experiment.from_stored(entry.experiment)
    return entry


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(entry: Entry) -> bytes:
    return json.dumps(dataclasses.asdict(entry), separators=(",", ":")).encode() + b"\n"
