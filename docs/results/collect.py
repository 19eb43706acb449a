"""Gather what `spectail reproduce` wrote into a folder for publication: verdicts, curves, small pictures.

python docs/results/collect.py results/figures docs/results

Artifacts that the folder does not have stay as they were published.
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
from spectail.study.records import ClaimRecord, read_records, save_verdicts, save_verdicts_as_markdown

CLAIM = ["artifact", "claim", "where", "statement", "criterion"]


def published(path: Path) -> dict:
    """The claims of claims.csv by artifact, as records have them."""
    table = pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame(columns=[*CLAIM, "protocol"])
    claims = {}
    for claim, rows in table.groupby(CLAIM, sort=False):
        outcomes = {row.protocol: {"verdict": row.verdict, "measured": row.measured} for row in rows.itertuples()}
        fields = dict(zip(CLAIM, claim, strict=True)) | {"outcomes": outcomes}
        claims.setdefault(claim[0], []).append(ClaimRecord.read(fields))
    return claims


def collect(source: Path, target: Path) -> None:
    records = read_records(source)
    times_path = target / "times.md"
    lines = times_path.read_text(encoding="utf-8").splitlines() if times_path.exists() else []
    times = {name[1]: line for line in lines if (name := re.match(r"\| ([\w-]+):", line))}
    claims = published(target / "claims.csv")
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
        claims[name] = record.claims
    ordered = [claim for name in catalogue() for claim in claims.get(name, ())]
    save_verdicts(ordered, target / "claims.csv")
    save_verdicts_as_markdown(ordered, target / "claims.md")
    rows = ["| artifact | runs | computing |", "|---|---|---|", *(times[name] for name in catalogue() if name in times)]
    times_path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    all_outcomes = [(protocol, outcome.verdict) for claim in ordered for protocol, outcome in claim.outcomes.items()]
    tally = {protocol: Counter(v for p, v in all_outcomes if p == protocol) for protocol, _ in all_outcomes}
    print(json.dumps(tally, indent=1))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
