"""Figure 18: overlaps of the weights before and after one GD step with the update."""

from __future__ import annotations

from spectail.paper.first_update import first_update

ARTIFACT = first_update(18, "14f", "App. F.1", "gd", 2000, expected=True)
