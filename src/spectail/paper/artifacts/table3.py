"""Table 3: the spectrum along ten thousand GD steps, five learning rates."""

from __future__ import annotations

from spectail.paper.claims import Claim
from spectail.paper.long import HEAVY, STEPS, heavy_at, trajectories, trajectories_table
from spectail.paper.spikes import SPIKE, spikes_only

ALL = trajectories("gd", (0.1, 1.0, 10.0, 100.0, 2000.0))
ARTIFACT = trajectories_table(
    3,
    ALL,
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
