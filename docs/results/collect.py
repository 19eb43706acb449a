"""Judge every claim of two-layer networks by what is kept of its runs: claims.csv and claims.md.

python docs/results/collect.py docs/results [results ...]

python docs/results/collect.py --pictures docs/results [NAME ...]

The second draws the pictures anew, all or those of some figures, but for overlap matrices, of which only the largest
entries are kept. Kept are curves/, which are all numbers of each step, and runs.txz, which has the spectra and overlaps
of the runs whose claims need them. Of folders of `spectail reproduce` it keeps the same first, and small pictures and
times. Of claims whose runs nobody keeps the verdicts stay as they were
published, and their numbers are printed.
"""

import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from spectail.experiments.experiment import Experiment
from spectail.plots.picture_files import Pictures
from spectail.recording.netcdf import write_netcdf
from spectail.recording.reading import load_recording
from spectail.store.store import Store
from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome
from spectail.study.figures.ours_overlaps import AT_ONE
from spectail.study.kept_curves import repeats_of, runs_of_curves
from spectail.study.kept_runs import KeptRuns, compact_run, judge_kept
from spectail.study.making import draw
from spectail.study.records import (
    ClaimRecord,
    Record,
    read_records,
    read_verdicts,
    save_verdicts,
    save_verdicts_as_markdown,
)
from spectail.study.runs import NotKeptError, Runs, Side, Values
from spectail.study.settings import PAPER
from spectail.study.verdicts import Verdict

ARCHIVES = ("runs.txz", "long-runs.tgz")

FORMER = "by the former rule"
"""So begins what was measured for a verdict that is older than the rule of `verdicts.py`."""

MOST_BYTES = 2_000_000
"""Of larger runs of small matrices, which are about all of their overlaps, those of the first update are kept."""


def unpacked(target: Path, folder: Path) -> dict[str, Path]:
    """The files of the runs in the archives, by key."""
    for name in ARCHIVES:
        if (target / name).is_file():
            with tarfile.open(target / name) as archive:
                archive.extractall(folder, filter="data")
    return {path.stem: path for path in (folder / "runs").glob("*.nc")}


def keep_figures(source: Path, target: Path) -> None:
    """Curves, small pictures and times of what `spectail reproduce` made in a folder."""
    records = read_records(source / "figures")
    for record in records:
        shutil.copy(source / "figures" / f"{record.name}.csv", target / "curves")
        for picture in pictures_of(source, record):
            keep_picture(picture, target)
    write_times(records, target / "times.md")


def keep_picture(picture: Path, target: Path) -> None:
    with Image.open(picture) as image:  # half the size, and as sharp
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target / "figures" / picture.name)


class SpectraAlone(Runs):
    """Runs whose overlaps are not to be drawn: of the matrices only the largest entries are kept."""

    def overlaps(self, experiment: Experiment, pair: tuple[int, int], side: Side) -> Values:
        """None are known."""
        raise NotKeptError("of the overlaps only the largest are kept")


def draw_again(target: Path, names: list[str]) -> None:
    """The pictures of figures, or of all, as far as what is published is enough for them."""
    artifacts = [a for a in catalogue().values() if not a.trainings and a.experiments]
    curves = {a.name: runs_of_curves([a], target / "curves") for a in artifacts}
    with tempfile.TemporaryDirectory() as name:
        published = KeptRuns(curves, unpacked(target, Path(name)))
        for artifact, protocol in ((a, p) for a in artifacts for p in a.protocols if not names or a.name in names):
            runs = published.runs_of(artifact.name, whole=True)
            if not (repeats := range(repeats_of(artifact, protocol, {*runs}))):
                continue
            of_protocol = SpectraAlone(protocol, PAPER, repeats, runs, epsilon=artifact.epsilon)
            try:
                pictures = draw(artifact, {protocol: of_protocol}, Path(name), Pictures(("png",)))
            except (NotKeptError, AttributeError) as error:  # the latter where a picture takes the whole recording
                print(f"{artifact.name} stays as it was under {protocol}: {error}")
                continue
            for picture in pictures:
                keep_picture(picture, target)


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


def pack(published: KeptRuns, files: dict[str, Path], path: Path) -> None:
    """The runs that claims ask for whole, as an archive of small files."""
    with tempfile.TemporaryDirectory() as name, tarfile.open(path, "w:xz", preset=9) as archive:
        for key in sorted(published.asked & files.keys()):
            run = load_recording(files[key])
            of_small = run.nbytes >= MOST_BYTES and max(run.sizes.get("i", 0), run.sizes.get("j", 0)) < 500
            small = write_netcdf(compact_run(run, [AT_ONE] if of_small else ()), Path(name) / f"{key}.nc")
            archive.add(small, f"runs/{key}.nc")


def is_by_this_rule(outcome: Outcome) -> bool:
    """Whether a verdict that is published is by today's rule, and says more than fewer repeats would."""
    too_few = outcome.verdict is Verdict.UNDECIDED and not outcome.finding.tested
    return not (outcome.measured.startswith(FORMER) or too_few)


def collect(target: Path, sources: list[Path]) -> None:
    for folder in ("figures", "curves"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for source in sources:
        keep_figures(source, target)
    artifacts = [a for a in catalogue().values() if not a.trainings and a.claims]
    old = read_verdicts(target / "claims.csv")
    by_this_rule = {n: {p for p, o in of.items() if is_by_this_rule(o)} for n, of in old.items()}
    curves = {a.name: runs_of_curves([a], target / "curves") for a in artifacts}
    if sources:
        with tempfile.TemporaryDirectory() as name:
            fresh = {path.stem: path for source in sources for path in Store(source).runs.glob("*.nc")}
            files = {**unpacked(target, Path(name)), **fresh}
            published = KeptRuns(curves, files)
            for artifact in artifacts:
                judge_kept(artifact, published, by_this_rule)
            pack(published, files, target / ARCHIVES[0])
    # By what is published alone, so that anybody comes to the same numbers
    rows = []
    with tempfile.TemporaryDirectory() as name:
        published = KeptRuns(curves, unpacked(target, Path(name)))
        for artifact in artifacts:
            new = judge_kept(artifact, published, by_this_rule)
            for c in artifact.claims:
                outcomes = old.get(c.number, {}) | new.get(c.number, {})
                rows.append(ClaimRecord(artifact.name, c.number, c.where, c.statement, c.criterion, outcomes))
                left = [p for p in outcomes if p not in new.get(c.number, {})]
                if left:
                    print(f"{c.number}: as it was published under {' and '.join(left)}, since its runs are not kept")
    save_verdicts(rows, target / "claims.csv")
    save_verdicts_as_markdown(rows, target / "claims.md")
    all_outcomes = [(protocol, str(outcome.verdict)) for row in rows for protocol, outcome in row.outcomes.items()]
    tally = {protocol: Counter(v for p, v in all_outcomes if p == protocol) for protocol, _ in all_outcomes}
    print(json.dumps(tally, indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "--pictures":
        draw_again(Path(sys.argv[2]), sys.argv[3:])
    else:
        collect(Path(sys.argv[1]), [Path(source) for source in sys.argv[2:]])
