"""Figure 12: overlaps of the weights before and after one FB-Adam step with the update, mean-field."""

from __future__ import annotations

from spectail.paper.first_update import first_update

ARTIFACT = first_update(12, "14c", "App. D.1", "adam", 0.04, expected=True, initialization="mean_field")
