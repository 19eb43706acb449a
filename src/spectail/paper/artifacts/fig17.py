"""Figure 17: overlaps of the weights before and after one FB-Adam step with the update."""

from __future__ import annotations

from spectail.paper.first_update import first_update

ARTIFACT = first_update(17, "14e", "App. F.1", "adam", 0.1, expected=True)
