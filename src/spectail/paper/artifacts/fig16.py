"""Figure 16: overlaps of the weights before and after one GD step with the update."""

from __future__ import annotations

from spectail.paper.first_update import first_update

ARTIFACT = first_update(16, "14d", "App. F.1", "gd", 0.1, expected=False)
