"""Table 4: the spectrum along ten thousand FB-Adam steps, five learning rates."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import repeated, spectra_table
from spectail.paper.long import rows
from spectail.paper.runs import Runs
from spectail.paper.setups import S2
from spectail.paper.spikes import SPIKE, spikes_only

STEPS = (1, 10, 100, 10_000)
ALL = [S2.replace(optimizer="adam", lr=lr, steps=STEPS[-1], record=(0, *STEPS)) for lr in (0.01, 0.1, 1.0, 10.0, 100.0)]


def table(runs: Runs) -> list[tuple[str, ...]]:
    return rows(runs, ALL, STEPS)


ARTIFACT = Artifact(
    name="table4",
    title="Spectrum at t = 1, 10, 100, 10,000 under FB-Adam, η=0.01 to 100 (phase, Hill, λ₁/λ₊)",
    repeats=1,
    experiments=repeated(ALL),
    draw=spectra_table("Table 4 – FB-Adam", ALL, STEPS),
    table=table,
    protocols=("published",),
    claims=(
        Claim(
            "5b",
            "App. E, Table 4",
            "After one FB-Adam step there is a spike for η ≥ 0.1, and none for η=0.01.",
            f"{SPIKE}, for η=0.1, 1, 10, 100; in no repeat for 0.01",
            lambda runs: spikes_only(runs, ALL[1:], ALL[:1]),
        ),
    ),
)
