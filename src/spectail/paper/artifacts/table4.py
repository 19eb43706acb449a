"""Table 4: the spectrum along ten thousand FB-Adam steps, five learning rates."""

from __future__ import annotations

from spectail.paper.claims import Claim
from spectail.paper.long import trajectories, trajectories_table
from spectail.paper.spikes import SPIKE, spikes_only

ALL = trajectories("adam", (0.01, 0.1, 1.0, 10.0, 100.0))
ARTIFACT = trajectories_table(
    4,
    ALL,
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
