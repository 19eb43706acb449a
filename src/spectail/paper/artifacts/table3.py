"""Table 3: the spectrum along ten thousand GD steps, five learning rates."""

from __future__ import annotations

from spectail.paper.artifacts.table4 import STEPS
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import repeated, spectra_table
from spectail.paper.long import HEAVY, heavy_at, rows
from spectail.paper.runs import Runs
from spectail.paper.setups import S2
from spectail.paper.spikes import SPIKE, spikes_only

ALL = [S2.replace(optimizer="gd", lr=lr, steps=STEPS[-1], record=(0, *STEPS)) for lr in (0.1, 1.0, 10.0, 100.0, 2000.0)]


def table(runs: Runs) -> list[tuple[str, ...]]:
    return rows(runs, ALL, STEPS)


ARTIFACT = Artifact(
    name="table3",
    title="Spectrum at t = 1, 10, 100, 10,000 under GD, η=0.1 to 2000 (phase, Hill, λ₁/λ₊)",
    repeats=1,
    experiments=repeated(ALL),
    draw=spectra_table("Table 3 – GD", ALL, STEPS),
    table=table,
    protocols=("published",),
    claims=(
        Claim(
            "5c",
            "App. E, Table 3",
            "After one GD step there is a spike only for η=2000.",
            f"{SPIKE}, for η=2000; in no repeat for the others",
            lambda runs: spikes_only(runs, ALL[4:], ALL[:4]),
        ),
        Claim(
            "37d",
            "App. E, Table 3",
            "Small GD learning rates do not lead to heavy tails within 10,000 steps.",
            f"not heavy-tailed at t=10,000 for η=0.1 and 1; {HEAVY}",
            lambda runs: heavy_at(runs, {(e, STEPS[-1]): False for e in ALL[:2]}),
        ),
    ),
)
