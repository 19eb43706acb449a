"""What theory says of a first step, on the terminal.

Not here: the theory itself (`experiments/theory.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import caveat, critical_lr, predict_one_step, untrained_law
from spectail.report.terminal.tables import console, print_table
from spectail.spectra.overlap_nulls import alignment_null, overlap_null

_AROUND = (0.5, 1.0, 1.5, 2.0, 5.0, 20.0)  # of the critical learning rate


def prediction_answer(experiment: Experiment, rates: Sequence[float]) -> dict[str, Any]:
    """What `print_prediction` says, for JSON: a row a learning rate, with what `predict_one_step` gives.

    Raises:
        ValueError: the optimizer has no prediction.
    """
    e, law, critical = experiment, untrained_law(experiment), critical_lr(experiment)
    predicted = [(lr, predict_one_step(e.replace(lr=lr))) for lr in _rates(rates, critical)]
    rows = [{"lr": lr, "has_spike": one.has_spike, **dataclasses.asdict(one)} for lr, one in predicted]
    nulls = {"left_overlap": overlap_null(e.h), "right_overlap": overlap_null(e.d), "alignment": alignment_null(e.d)}
    return {
        "experiment": {name: getattr(e, name) for name in ("optimizer", "initialization", "h", "d", "n", "protocol")},
        "critical_lr": critical,
        "caveat": caveat(e),
        "bulk_edges": law.edges,
        "rows": rows,
        "by_chance": {name: null.mean for name, null in nulls.items()},
    }


def _rates(rates: Sequence[float], critical: float) -> Sequence[float]:
    return rates or [factor * critical for factor in _AROUND if math.isfinite(critical)]


def print_prediction(experiment: Experiment, rates: Sequence[float]) -> None:
    """The critical learning rate of an experiment's first step, and what theory says of some learning rates.

    Raises:
        ValueError: the optimizer has no prediction.
    """
    e, law = experiment, untrained_law(experiment)
    critical = critical_lr(e)
    title = f"first step: {e.optimizer}, {e.initialization}, h={e.h}, d={e.d}, n={e.n}, protocol {e.protocol}"
    rows: list[tuple[str, ...]] = [("η", "η/η_c", "spike", "λ₁", "λ₁/λ₊", "left overlap", "right overlap", "sim")]
    for lr in _rates(rates, critical):
        p = predict_one_step(e.replace(lr=lr))
        top = p.top_eigenvalue
        figures = (p.left_overlap, p.right_overlap, p.alignment)
        rows.append(
            (
                f"{lr:.4g}",
                f"{lr / critical:.3g}",
                "yes" if p.has_spike else "no",
                f"{top:.4g}",
                f"{top / law.edges[1]:.3f}",
                *(f"{figure:.3f}" for figure in figures),
            )
        )
    out = console()
    if math.isinf(critical):
        out.print("Theory knows of no learning rate that makes a spike.")
    else:
        out.print(f"critical learning rate η_c = {critical:.4g}")
        out.print(
            f"critical strength (hd)^(1/4) = {(e.h * e.d) ** 0.25:.4g}; edges of the initial bulk "
            f"{law.edges[0]:.4g}, {law.edges[1]:.4g}"
        )
        if e.optimizer != "gd":
            out.print(f"‖update direction‖₂/√(hd) = {predict_one_step(e).norm_ratio:.4f} (1 for one of rank one)")
    if len(rows) > 1:
        print_table(title, rows)
    if warning := caveat(e):
        out.print(f"Caution: {warning}.", style="yellow")
    out.print("left, right: (u₁·p₁)² and (v₁·q₁)² of the top singular vectors of W₁ and of the update M₀", style="dim")
    left, right, sim = overlap_null(e.h).mean, overlap_null(e.d).mean, alignment_null(e.d).mean
    out.print(f"by chance: left {left:.2g}, right {right:.2g}, sim {sim:.2g}", style="dim")
