"""Gather what `spectail reproduce` wrote into a folder for publication: verdicts, curves, small pictures.

python docs/results/collect.py results/figures docs/results
"""

import json
import shutil
import sys
from pathlib import Path

from PIL import Image

from spectail.paper.record import read_records, save_verdicts, save_verdicts_as_markdown


def collect(source: Path, target: Path) -> None:
    records = read_records(source)
    for folder in ("figures", "curves"):
        shutil.rmtree(target / folder, ignore_errors=True)
        (target / folder).mkdir(parents=True)
    times = ["| artifact | runs | computing |", "|---|---|---|"]
    for record in records:
        name = record["name"]
        shutil.copy(source / f"{name}.csv", target / "curves")
        for picture in sorted(source.glob(f"{name}.png")) + sorted(source.glob(f"{name}-equations.png")):
            with Image.open(picture) as image:  # half the size, and as sharp
                image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target / "figures" / picture.name)
        runs = sum(len(keys) for keys in record["runs"].values())
        times.append(f"| {name}: {record['title']} | {runs} | {record['seconds'] / 60:.1f} min |")
    save_verdicts(records, target / "claims.csv")
    save_verdicts_as_markdown(records, target / "claims.md")
    (target / "times.md").write_text("\n".join(times) + "\n", encoding="utf-8")
    tally = {}
    for record in records:
        for verdict in record["verdicts"]:
            for protocol, outcome in verdict["outcomes"].items():
                counts = tally.setdefault(protocol, {})
                counts[outcome["verdict"]] = counts.get(outcome["verdict"], 0) + 1
    print(json.dumps(tally, indent=1))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
