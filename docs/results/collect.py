"""Gather what `spectail reproduce` wrote into a folder for publication: verdicts, curves, small pictures.

python docs/results/collect.py results/figures docs/results

Of artifacts that the folder does not have, claims that need no spectrum are tested again from their published curves.
Others stay as they were published.
"""

import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
from PIL import Image

from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome
from spectail.study.kept_curves import as_runs, runs_of_curves
from spectail.study.making import verify
from spectail.study.records import ClaimRecord, read_records, save_verdicts, save_verdicts_as_markdown


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


def judged(curves: Path) -> dict[str, dict]:
    """What claims find of the curves that are published, those of them that need no spectrum."""
    artifacts = [artifact for artifact in catalogue().values() if not artifact.trainings]
    runs = runs_of_curves(artifacts, curves)
    claims = [claim for artifact in artifacts for claim in verify(artifact, as_runs(artifact, runs))]
    return {claim.number: dict(claim.outcomes) for claim in claims}


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
    again = judged(target / "curves")
    ordered = []
    for artifact in catalogue().values():
        for c in artifact.claims if not artifact.trainings else ():
            outcomes = old.get(c.number, {}) | again.get(c.number, {}) | new.get(c.number, {})
            if outcomes:
                ordered.append(ClaimRecord(artifact.name, c.number, c.where, c.statement, c.criterion, outcomes))
    save_verdicts(ordered, target / "claims.csv")
    save_verdicts_as_markdown(ordered, target / "claims.md")
    rows = ["| artifact | runs | computing |", "|---|---|---|", *(times[name] for name in catalogue() if name in times)]
    times_path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    all_outcomes = [(protocol, outcome.verdict) for claim in ordered for protocol, outcome in claim.outcomes.items()]
    tally = {protocol: Counter(v for p, v in all_outcomes if p == protocol) for protocol, _ in all_outcomes}
    print(json.dumps(tally, indent=1))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
