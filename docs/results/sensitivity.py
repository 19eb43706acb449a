"""Which verdicts move where a cut moves: the numbers of criteria varied, one at a time, on what is kept of the runs.

python docs/results/sensitivity.py docs/results > cuts.md

Claims are tested from what `collect.py` keeps: curves, and some runs.
"""

import importlib
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

from collect import unpacked

from spectail.spectra.density import count_modes
from spectail.study.catalogue import catalogue
from spectail.study.kept_curves import runs_of_curves
from spectail.study.kept_runs import KeptRuns, judge_kept
from spectail.study.records import read_verdicts

FIGURES = "spectail.study.figures."
CRITERIA, VERDICTS = "spectail.study.criteria", "spectail.study.verdicts"
ALL = (
    "fig1",
    "fig2",
    "fig3",
    "fig4",
    "fig5",
    "fig7",
    "fig9",
    "fig26",
    "fig27",
    "fig28",
    "fig30",
    "fig32",
    "table1",
    "late-tails",
)

# What it is; the constants that hold it; its values, the one in use first; whose claims it decides.
CUTS = [
    ("spread of log λ that is broadened, over an untrained matrix's", [f"{CRITERIA}.HEAVY_TAIL_SPREAD"],
     (1.16, 1.08, 1.12, 1.20, 1.24), ("fig1", "table1")),
    ("gap above a spike, λ₁/λ₂", [f"{CRITERIA}.DETACHED_RATIO", f"{FIGURES}fig04.DETACHED_RATIO"], (1.1, 1.05, 1.3),
     ("fig2", "fig4")),
    ("prominence of a mode of log λ", [f"{CRITERIA}.count_modes"], (0.1, 0.05, 0.2), ("fig2",)),
    ("an outlier of overlaps, over the largest by chance", [f"{CRITERIA}._OUTLIER_FACTOR"], (3.0, 2.0, 5.0),
     ("fig17", "fig18")),
    ("an order of magnitude, from", [f"{FIGURES}fig27_28.ORDER"], ((10**0.5, 10**1.5), (2.0, 50.0), (5.0, 20.0)),
     ("fig27",)),
    ("share of the change at a threshold", [f"{FIGURES}fig03.MOST_OF_IT"], (0.5, 0.25, 0.4, 0.75), ("fig3",)),
    ("share of the largest gain that is none", [f"{FIGURES}fig03.NOTHING"], (0.1, 0.03, 0.3), ("fig3",)),
    ("difference of similar Hill exponents", [f"{FIGURES}fig05.SIMILAR"], (0.15, 0.1, 0.2), ("fig5",)),
    ("difference of Hill exponents that look the same", [f"{FIGURES}fig21_to_26.ALIKE"], (0.05, 0.02, 0.1), ("fig26",)),
    ("how much lower than untrained Hill is heavier", [f"{FIGURES}fig29_to_32.HEAVIER"], (0.05, 0.02, 0.1),
     ("fig30", "fig32")),
    ("objective of fitted labels", [f"{FIGURES}ours_epsilon.INTERPOLATED"], (1e-6, 1e-8, 1e-4), ("late-tails",)),
    ("share of what Adam bears", [f"{FIGURES}ours_epsilon.AT_THE_EDGE"], (0.95, 0.9, 0.99), ("late-tails",)),
    ("a low objective, over that at the start", [f"{FIGURES}tables_1_3_4_5.LOW"], (0.5, 0.1, 1.0), ("table1",)),
    ("level of the tests, both sides", [f"{VERDICTS}.LEVEL"], (0.05, 0.01, 0.1), ALL),
]  # fmt: skip


def verdicts(names: tuple[str, ...], published: KeptRuns) -> dict[tuple[str, str], str]:
    """Each claim's verdict where all of its repeats are kept: with the cuts in use it is the published one."""
    outcomes = [judge_kept(catalogue()[name], published, PUBLISHED) for name in names]
    by_number = [of.items() for of in outcomes]
    return {(n, p): str(outcome.verdict) for of in by_number for n, by in of for p, outcome in by.items()}


def varied(
    constants: list[str], value: object, names: tuple[str, ...], published: KeptRuns
) -> dict[tuple[str, str], str]:
    with ExitStack() as stack:
        for name in constants:
            module, _, constant = name.rpartition(".")
            new = partial(count_modes, prominence=value) if constant == "count_modes" else value
            stack.enter_context(patch.object(importlib.import_module(module), constant, new))
        return verdicts(names, published)


def in_words(value: object) -> str:
    return f"{value[0] if isinstance(value, tuple) else value:.3g}"


PUBLISHED: dict[str, set[str]] = {}
"""The protocols under which each claim has a published verdict."""


def main(target: Path) -> None:
    PUBLISHED.update({number: set(of) for number, of in read_verdicts(target / "claims.csv").items()})
    artifacts = [catalogue()[name] for name in sorted({name for cut in CUTS for name in cut[3]})]
    curves = {a.name: runs_of_curves([a], target / "curves") for a in artifacts}
    with tempfile.TemporaryDirectory() as name:
        vary_all(KeptRuns(curves, unpacked(target, Path(name))))


def vary_all(published: KeptRuns) -> None:
    print("# Which verdicts move where a cut moves?\n")
    print("Each cut of a criterion varied alone, on the runs and curves that are kept.\n", flush=True)
    print("| cut | in use | instead | verdicts that move |\n|---|---|---|---|", flush=True)
    for what, constants, (used, *others), names in CUTS:
        base = verdicts(names, published)
        for value in others:
            new = varied(constants, value, names, published)
            moved = [f"{n} ({p}): {base[n, p]} → {new[n, p]}" for n, p in base if new[n, p] != base[n, p]]
            print(f"| {what} | {in_words(used)} | {in_words(value)} | {'; '.join(moved) or '–'} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
