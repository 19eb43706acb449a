"""Judge every claim of two-layer networks by what is kept of its runs: claims.csv and claims.md.

python docs/results/collect.py docs/results [results ...]

Kept are curves/, which are all numbers of each step, and runs.txz, which has the spectra and overlaps of the runs whose
claims need them. Of folders of `spectail reproduce` it keeps the same first, and small pictures and times.
Of claims whose runs nobody keeps the verdicts stay as they were published, and their numbers are printed.
"""

import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from spectail.recording.layout import without_labels
from spectail.recording.netcdf import checksum, write_netcdf
from spectail.recording.reading import load_recording
from spectail.store.store import Store
from spectail.study.artifact import Artifact
from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome
from spectail.study.kept_curves import runs_of_curves
from spectail.study.making import in_a_family
from spectail.study.records import ENDS, ClaimRecord, Record, read_records, save_verdicts, save_verdicts_as_markdown
from spectail.study.runs import NotKeptError, Runs
from spectail.study.settings import PAPER

ARCHIVES = ("runs.txz", "long-runs.tgz")

Outcomes = dict[str, dict[str, Outcome]]

FORMER = "by the former rule"
"""So begins what was measured for a verdict that is older than the rule of `verdicts.py`."""

SMALL = 0.9
"""Overlaps below this share of the largest are kept as zero, but for the diagonal: claims are about the largest."""

MOST_BYTES = 2_000_000
"""Larger runs, of all overlaps of small matrices, are not kept."""


class Kept(dict):
    """Runs by key: their curves, or whole where `whole` is set; of others nothing is known.

    Attributes:
        whole: whether runs are to have their spectra, as far as they are kept.
        asked: the keys of the runs whose files were needed.
    """

    def __init__(self, curves: dict[str, xr.Dataset], files: dict[str, Path]) -> None:
        super().__init__(curves)
        self.whole, self.asked, self._files, self._open = False, set[str](), files, dict[str, xr.Dataset]()

    def __getitem__(self, key: str) -> xr.Dataset:
        # A run of which there are no curves is read from its file in any case
        if key in self._files and (self.whole or not super().__contains__(key)):
            self.asked.add(key)
            if key not in self._open:
                self._open[key] = load_recording(self._files[key])
            return self._open[key]
        if not super().__contains__(key):
            raise NotKeptError(f"nothing is kept of run {key}")
        return super().__getitem__(key)


def unpacked(target: Path, folder: Path) -> dict[str, Path]:
    """The files of the runs in the archives, by key."""
    for name in ARCHIVES:
        if (target / name).is_file():
            with tarfile.open(target / name) as archive:
                archive.extractall(folder, filter="data")
    return {path.stem: path for path in (folder / "runs").glob("*.nc")}


def judged(artifact: Artifact, kept: Kept, old: Mapping[str, Container[str]] | None = None) -> Outcomes:
    """What its claims find, by number and protocol, one family each.

    Args:
        artifact: whose claims.
        kept: what is known of its runs.
        old: the protocols under which a claim has a verdict by today's rule, by number: it is judged again only where
            all of its repeats are kept, and others with as many as are.
    """
    found: Outcomes = {}
    for protocol in artifact.protocols:
        outcomes = {}
        for claim in artifact.claims:
            has_verdict = protocol in (old or {}).get(claim.number, ())
            fewer = [] if has_verdict else [r for r in (3, 2, 1) if r < artifact.repeats]
            for kept.whole, repeats in [(w, r) for r in (artifact.repeats, *fewer) for w in (False, True)]:
                try:
                    runs = Runs(protocol, PAPER, range(repeats), kept, epsilon=artifact.epsilon)
                    outcomes[claim.number] = claim.test(runs)
                except NotKeptError:
                    continue
                break
        for number, outcome in in_a_family(outcomes).items():
            found.setdefault(number, {})[protocol] = outcome
    return found


def published(path: Path) -> Outcomes:
    """The outcomes of a table by number and protocol."""
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype={"claim": str}).astype(object)
    table = table.where(table.notna(), None)
    outcomes: Outcomes = {}
    for row in table.to_dict("records"):
        fields = {"verdict": row["verdict"], "measured": row["measured"]}
        if row["p_claimed"] is not None:
            fields |= {name: row[name] for name in ("p_claimed", "p_contrary", "effect", "comparisons")}
            ends = [row.get(name) for name in ENDS]
            fields["margin"] = None if None in ends else ends
        outcomes.setdefault(row["claim"], {})[row["protocol"]] = Outcome.read(fields)
    return outcomes


def keep_figures(source: Path, target: Path) -> None:
    """Curves, small pictures and times of what `spectail reproduce` made in a folder."""
    records = read_records(source / "figures")
    for record in records:
        shutil.copy(source / "figures" / f"{record.name}.csv", target / "curves")
        for picture in pictures_of(source, record):
            with Image.open(picture) as image:  # half the size, and as sharp
                image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target / "figures" / picture.name)
    write_times(records, target / "times.md")


def pictures_of(source: Path, record: Record) -> Iterator[Path]:
    for stem in (record.name, f"{record.name}-equations"):
        yield from (source / "figures").glob(f"{stem}.png")


def write_times(records: list[Record], path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    times = {name[1]: line for line in lines if (name := re.match(r"\| ([\w-]+):", line))}
    for record in records:
        runs = sum(len(keys) for keys in record.runs.values())
        times[record.name] = f"| {record.name}: {record.title} | {runs} | {record.seconds / 60:.1f} min |"
    rows = ["# How long the runs took", "", "| artifact | runs | computing |", "|---|---|---|"]
    rows += [times[name] for name in catalogue() if name in times]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def compact(run: xr.Dataset) -> xr.Dataset:
    """A run with float32 spectra, and of its overlaps the diagonal and the large ones."""
    run = run.assign(eigenvalues=run.eigenvalues.astype(np.float32))
    run = run.drop_vars([name for name in run.data_vars if str(name).endswith(("_diagonal", "_spread"))])
    for name in [name for name in ("overlap_left", "overlap_right") if name in run]:
        entries = run[name].values.copy()
        largest = np.nanmax(entries, axis=(-2, -1), keepdims=True, initial=0.0)
        entries[(entries < SMALL * largest) & ~np.eye(entries.shape[-1], dtype=bool)] = 0.0
        run[name] = (run[name].dims, entries)
    return without_labels(run).assign_attrs(checksum=checksum(run))


def pack(kept: Kept, files: dict[str, Path], path: Path) -> None:
    """The runs that claims ask for whole, as an archive of small files."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(path, "w:xz", preset=9) as archive:
        for key in sorted(kept.asked & files.keys()):
            run = load_recording(files[key])
            if run.nbytes < MOST_BYTES or max(run.sizes.get("i", 0), run.sizes.get("j", 0)) >= 500:
                small = write_netcdf(compact(run), Path(name) / f"{key}.nc")
                archive.add(small, f"runs/{key}.nc")


def collect(target: Path, sources: list[Path]) -> None:
    for folder in ("figures", "curves"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for source in sources:
        keep_figures(source, target)
    artifacts = [a for a in catalogue().values() if not a.trainings and a.claims]
    old, rows = published(target / "claims.csv"), []
    by_this_rule = {n: {p for p, o in of.items() if not o.measured.startswith(FORMER)} for n, of in old.items()}
    with tempfile.TemporaryDirectory() as name:
        packed = unpacked(target, Path(name))
        fresh = {path.stem: path for source in sources for path in Store(source).runs.glob("*.nc")}
        kept = Kept(runs_of_curves(artifacts, target / "curves"), {**packed, **fresh})
        for artifact in artifacts:
            found = judged(artifact, kept, by_this_rule)
            for c in artifact.claims:
                outcomes = old.get(c.number, {}) | found.get(c.number, {})
                rows.append(ClaimRecord(artifact.name, c.number, c.where, c.statement, c.criterion, outcomes))
                left = [p for p in outcomes if p not in found.get(c.number, {})]
                if left:
                    print(f"{c.number}: as it was published under {' and '.join(left)}, since its runs are not kept")
        if sources:
            pack(kept, {**packed, **fresh}, target / ARCHIVES[0])
    save_verdicts(rows, target / "claims.csv")
    save_verdicts_as_markdown(rows, target / "claims.md")
    all_outcomes = [(protocol, str(outcome.verdict)) for row in rows for protocol, outcome in row.outcomes.items()]
    tally = {protocol: Counter(v for p, v in all_outcomes if p == protocol) for protocol, _ in all_outcomes}
    print(json.dumps(tally, indent=1))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), [Path(source) for source in sys.argv[2:]])
