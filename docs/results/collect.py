"""Gather what `spectail reproduce` wrote into a folder for publication: verdicts, curves, small pictures.

python docs/results/collect.py results/figures docs/results

Of artifacts that the folder does not have, claims are tested again from the runs of the store beside it and, if they
need no spectrum, from the published curves. Others stay as they were published.
"""

import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import xarray as xr
from PIL import Image

from spectail.recording.reading import load_recording
from spectail.store.store import Store
from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome
from spectail.study.kept_curves import runs_of_curves
from spectail.study.making import verify
from spectail.study.records import ClaimRecord, read_records, save_verdicts, save_verdicts_as_markdown
from spectail.study.runs import NotKeptError, Runs
from spectail.study.settings import PAPER


def published(path: Path) -> dict[str, dict]:
    """The outcomes of claims.csv by number and protocol, as records have them."""
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype={"claim": str}).astype(object)
    table = table.where(table.notna(), None)
    outcomes: dict[str, dict] = {}
    for row in table.to_dict("records"):
        numbers = {name: row[name] for name in NUMBERS if row.get("p_claimed") is not None}
        fields = {"verdict": row["verdict"], "measured": row["measured"], **numbers}
        outcomes.setdefault(row["claim"], {})[row["protocol"]] = Outcome.read(fields)
    return outcomes


NUMBERS = ("p_claimed", "p_contrary", "effect", "comparisons")


class Kept(dict):
    """Runs by key: whole where a store has them, else their curves; of others nothing is known."""

    def __init__(self, curves: dict, store: Store | None) -> None:
        super().__init__(curves)
        self.store, self.whole = store, {path.stem for path in store.runs.glob("*.nc")} if store else set()

    def __missing__(self, key: str) -> xr.Dataset:
        raise NotKeptError(f"nothing is kept of run {key}")

    def __getitem__(self, key: str) -> xr.Dataset:
        if key in self.whole:
            self.whole.discard(key)
            self[key] = load_recording(self.store.runs / f"{key}.nc")
        return super().__getitem__(key)


def judged(curves: Path, store: Store | None) -> dict[str, dict]:
    """What claims find of the runs in a store, and of the curves that are published, as far as these are enough."""
    artifacts = [artifact for artifact in catalogue().values() if not artifact.trainings and artifact.claims]
    kept, found = Kept(runs_of_curves(artifacts, curves), store), {}
    for artifact in artifacts:
        for repeats in dict.fromkeys((artifact.repeats, 3, 1)):
            if repeats > artifact.repeats:
                continue
            seeds = range(repeats)
            runs = {p: Runs(p, PAPER, seeds, kept, epsilon=artifact.epsilon) for p in artifact.protocols}
            for claim in verify(artifact, runs):
                found[claim.number] = dict(claim.outcomes) | found.get(claim.number, {})
    return found


def collect(source: Path, target: Path) -> None:
    records = read_records(source)
    times_path = target / "times.md"
    lines = times_path.read_text(encoding="utf-8").splitlines() if times_path.exists() else []
    times = {name[1]: line for line in lines if (name := re.match(r"\| ([\w-]+):", line))}
    old = published(target / "claims.csv")
    for folder in ("figures", "curves"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for record in records:
        name = record.name
        shutil.copy(source / f"{name}.csv", target / "curves")
        for picture in sorted(source.glob(f"{name}.png")) + sorted(source.glob(f"{name}-equations.png")):
            with Image.open(picture) as image:  # half the size, and as sharp
                image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target / "figures" / picture.name)
        runs = sum(len(keys) for keys in record.runs.values())
        times[name] = f"| {name}: {record.title} | {runs} | {record.seconds / 60:.1f} min |"
    # Of what was run now all claims are tested, of what is published those that its curves are enough for
    new = {c.number: dict(c.outcomes) for record in records for c in record.claims}
    again = judged(target / "curves", Store(source.parent) if (source.parent / "runs").is_dir() else None)
    ordered = []
    for artifact in catalogue().values():
        for c in artifact.claims if not artifact.trainings else ():
            outcomes = old.get(c.number, {}) | again.get(c.number, {}) | new.get(c.number, {})
            if outcomes:
                ordered.append(ClaimRecord(artifact.name, c.number, c.where, c.statement, c.criterion, outcomes))
    save_verdicts(ordered, target / "claims.csv")
    save_verdicts_as_markdown(ordered, target / "claims.md")
    rows = ["# How long the runs took", "", "| artifact | runs | computing |", "|---|---|---|"]
    rows += [times[name] for name in catalogue() if name in times]
    times_path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    all_outcomes = [(protocol, outcome.verdict) for claim in ordered for protocol, outcome in claim.outcomes.items()]
    tally = {protocol: Counter(v for p, v in all_outcomes if p == protocol) for protocol, _ in all_outcomes}
    print(json.dumps(tally, indent=1))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
