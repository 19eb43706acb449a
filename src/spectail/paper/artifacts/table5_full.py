"""Table 5 at the paper's own size: a million steps, half a day on two cores."""

from __future__ import annotations

from spectail.paper.artifacts.table5 import FULL, artifact

ARTIFACT = artifact("table5-full", FULL, "", in_all=False)
