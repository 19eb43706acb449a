"""Table 5: the spectrum after a million FB-Adam steps with a small learning rate, at a quarter of the size.

A quarter of n, d and h costs a 64th; η is doubled, since the critical one is ∝ (hd)^(-1/4). The paper's
own size is `table5-full`.
"""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import repeated, spectra_table
from spectail.paper.long import HEAVY, heavy_at, rows
from spectail.paper.runs import Runs
from spectail.paper.scale import QUARTER
from spectail.paper.setups import S2
from spectail.paper.spikes import SPIKE, both, spikes_only
from spectail.teacher_student.experiment import Experiment

STEPS = (1, 1_000_000)
RECORD = (0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
FULL = S2.replace(optimizer="adam", lr=0.01, steps=STEPS[-1], record=RECORD)


def artifact(name: str, run: Experiment, note: str, *, in_all: bool) -> Artifact:
    """Table 5 of one size."""

    def table(runs: Runs) -> list[tuple[str, ...]]:
        return rows(runs, [run], RECORD)

    return Artifact(
        name=name,
        title=f"Spectrum at t = 1 and 1,000,000 under FB-Adam, η={run.lr:g}{note}",
        repeats=1,
        experiments=repeated([run]),
        draw=spectra_table(f"Table 5{note} – FB-Adam", [run], STEPS),
        table=table,
        protocols=("published",),
        in_all=in_all,
        claims=(
            Claim(
                "37e" if in_all else "37f",
                "§5.1, Table 5",
                f"A learning rate too small for a spike leads to heavy tails after a million steps{note}.",
                f"no spike at t=1 ({SPIKE}), and heavy-tailed at t=1,000,000; {HEAVY}",
                lambda runs: both(spikes_only(runs, [], [run]), heavy_at(runs, {(run, STEPS[-1]): True})),
            ),
        ),
    )


ARTIFACT = artifact("table5", QUARTER(FULL), " (scaled: sizes a quarter, η twice)", in_all=True)
