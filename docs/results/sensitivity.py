"""Which verdicts move where a cut moves: every criterion's number varied, on what is kept of the runs.

python docs/results/sensitivity.py docs/results [results] > docs/results/sensitivity.md

Claims that need no spectrum are tested from the published curves, others from the store RESULTS where it has their
runs.
"""

import importlib
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

from spectail.spectra.density import count_modes
from spectail.store.store import Store
from spectail.study.catalogue import catalogue
from spectail.study.kept_curves import as_runs, runs_of_curves
from spectail.study.making import verify
from spectail.study.plan import Plan, by_protocol
from spectail.study.runs import StoredRuns
from spectail.study.settings import PAPER

FIGURES = "spectail.study.figures."
CRITERIA, VERDICTS = "spectail.study.criteria", "spectail.study.verdicts"

# What it is; the constants that hold it; its values, the one in use first.
CUTS = [
    ("spread of log λ that is broadened, over that of an untrained matrix", [f"{CRITERIA}.HEAVY_TAIL_SPREAD"],
     (1.16, 1.08, 1.12, 1.20, 1.24)),
    ("gap above which an eigenvalue is a spike, λ₁/λ₂", [f"{CRITERIA}.DETACHED_RATIO"], (1.1, 1.05, 1.2)),
    ("prominence of a mode of log λ", [f"{CRITERIA}.count_modes"], (0.1, 0.05, 0.2)),
    ("an outlier of overlaps, over the largest by chance", [f"{CRITERIA}._OUTLIER_FACTOR"], (3.0, 2.0, 5.0)),
    ("an order of magnitude, from to", [f"{FIGURES}{m}.ORDER" for m in ("fig21_to_26", "fig27_28")],
     ((10**0.5, 10**1.5), (5.0, 20.0), (2.0, 50.0))),
    ("share of the change at a threshold (6)", [f"{FIGURES}fig03.MOST_OF_IT"], (0.5, 0.25, 0.4, 0.75)),
    ("share of the largest gain that is none (42, 7)", [f"{FIGURES}fig03.NOTHING"], (0.1, 0.03, 0.3)),
    ("difference of similar Hill exponents (19)", [f"{FIGURES}fig05.SIMILAR"], (0.15, 0.1, 0.2)),
    ("difference of Hill exponents that look the same (26c)", [f"{FIGURES}fig21_to_26.ALIKE"], (0.05, 0.02, 0.1)),
    ("distance of a distorted bulk (52)", [f"{FIGURES}fig21_to_26.DISTORTED"], (0.1, 0.05, 0.15)),
    ("how much lower than untrained Hill is heavier (54, 57)", [f"{FIGURES}fig29_to_32.HEAVIER"], (0.05, 0.02, 0.1)),
    ("objective of fitted labels (E2)", [f"{FIGURES}ours_epsilon.INTERPOLATED"], (1e-6, 1e-8, 1e-4)),
    ("share of what Adam bears (E3)", [f"{FIGURES}ours_epsilon.AT_THE_EDGE"], (0.95, 0.9, 0.99)),
    ("a low objective, over that at the start (68)", [f"{FIGURES}tables_1_3_4_5.LOW"], (0.5, 0.1, 1.0)),
    ("level of the tests, both sides", [f"{VERDICTS}.LEVEL"], (0.05, 0.01, 0.1)),
]  # fmt: skip


def verdicts(curves: Path, store: Store | None) -> dict[tuple[str, str], str]:
    """Each claim's verdict under each protocol, as far as its runs are kept."""
    artifacts = [a for a in catalogue().values() if not a.trainings and a.claims and a.name != "fig8"]
    kept, found = runs_of_curves(artifacts, curves), {}
    known = store.manifest.read() if store else {}
    for artifact in artifacts:
        plan = Plan([artifact], PAPER)
        whole = store is not None and all(e.key in known for e in plan.experiments())
        if whole:
            files = {e.key: store.path(e) for e in plan.experiments()}
            runs = by_protocol(plan, artifact, STORED.setdefault(artifact.name, StoredRuns(files)))
        else:
            runs = as_runs(artifact, kept)
        for claim in verify(artifact, runs):
            found |= {(claim.number, protocol): str(o.verdict) for protocol, o in claim.outcomes.items()}
    return found


STORED: dict[str, StoredRuns] = {}


def varied(names: list[str], value: object, curves: Path, store: Store | None) -> dict[tuple[str, str], str]:
    with ExitStack() as stack:
        for name in names:
            module, _, constant = name.rpartition(".")
            new = partial(count_modes, prominence=value) if constant == "count_modes" else value
            stack.enter_context(patch.object(importlib.import_module(module), constant, new))
        return verdicts(curves, store)


def in_words(value: object) -> str:
    return " to ".join(f"{v:.3g}" for v in value) if isinstance(value, tuple) else f"{value:.3g}"


def main(target: Path, store: Store | None) -> None:
    base = verdicts(target / "curves", store)
    print("# Which verdicts move where a cut moves?\n")
    print(f"Of {len({number for number, _ in base})} claims whose runs or curves are kept, each cut alone is varied.\n")
    print("| cut | in use | instead | verdicts that move |\n|---|---|---|---|")
    for name, constants, (used, *others) in CUTS:
        for value in others:
            new = varied(constants, value, target / "curves", store)
            moved = [f"{n} ({p}): {base[n, p]} → {new[n, p]}" for n, p in base if new[n, p] != base[n, p]]
            print(f"| {name} | {in_words(used)} | {in_words(value)} | {'; '.join(moved) or '–'} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Store(sys.argv[2]) if len(sys.argv) > 2 else None)
