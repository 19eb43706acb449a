"""Runs, artifacts and verdicts on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from rich.table import Table
from rich.text import Text

from spectail.paper.claims import Verdict
from spectail.paper.reproduce import Cost, Tested
from spectail.paper.runs import PROTOCOLS
from spectail.report.progress import console, duration, print_paths, print_table
from spectail.spectra.bulk import MarchenkoPastur
from spectail.teacher_student.dataset import experiment_of
from spectail.teacher_student.experiment import Experiment
from spectail.teacher_student.theory import critical_lr, predict_one_step

_AROUND = (0.5, 1.0, 1.5, 2.0, 5.0, 20.0)  # of the critical learning rate
_VERDICT_STYLE = {Verdict.HOLDS: "green", Verdict.DOES_NOT_HOLD: "red", Verdict.UNDECIDED: "yellow"}


def print_run(run: xr.Dataset, paths: Sequence[Path], *, found: bool) -> None:
    """A run's measurements step by step, and where its files are."""
    e = experiment_of(run)
    untrained = MarchenkoPastur(e.h, e.d).hill()
    title = f"{e.optimizer}, η={e.lr:g}, n={e.n}, d={e.d}, h={e.h}, {e.protocol}, seed {e.seed}"
    learned = ("objective", "train", "test", "KTA", "sim")
    rows: list[tuple[str, ...]] = [
        ("step", "phase", *learned, f"Hill ({untrained:.3f})", "KS (tail)", "λ₁/λ₊", "past λ₊"),
    ]
    for step in run.step.values:
        at = {
            name: value.item()
            for name, value in run.drop_dims("index").sel(step=step).data_vars.items()
            if not value.dims
        }
        figures = (at["objective"], at["train_loss"], at["test_loss_large"], at["kta"], at["alignment"])
        rows.append(
            (
                str(step),
                at["phase"],
                *(f"{figure:.4g}" for figure in figures),
                f"{at['pl_alpha_hill']:.3f}",
                f"{at['pl_alpha_ks']:.2f} ({at['tail_size']})",
                f"{at['spectral_gap']:.2f}",
                str(at["n_spikes"]),
            )
        )
    print_table(title, rows)
    out = console()
    out.print(
        f"test: on {e.n_test_large} points. Hill: in brackets, what an untrained matrix of this shape has.", style="dim"
    )
    for step, note in zip(run.step.values, run.note.values, strict=True):
        if str(note):
            out.print(f"step {step}: {note}", style="yellow")
    if "diverged_at" in run.attrs:
        out.print(f"The run diverged at step {run.attrs['diverged_at']}; what came before is kept.", style="yellow")
    if found:
        out.print(f"found, not computed again (it took {run.attrs['wall_time']:.1f} s)", style="dim")
    print_paths(paths)


def print_prediction(experiment: Experiment, rates: Sequence[float]) -> None:
    """The critical learning rate of an experiment's first step, and what theory says of some learning rates.

    Raises:
        ValueError: the optimizer has no prediction.
    """
    e, law = experiment, MarchenkoPastur(experiment.h, experiment.d, experiment.entry_scale**2)
    critical = critical_lr(e)
    title = f"first step: {e.optimizer}, {e.initialization}, h={e.h}, d={e.d}, n={e.n}, protocol {e.protocol}"
    rows: list[tuple[str, ...]] = [("η", "η/η_c", "spike", "λ₁", "λ₁/λ₊", "left overlap", "right overlap", "sim")]
    for lr in rates or [factor * critical for factor in _AROUND if math.isfinite(critical)]:
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
        out.print("No learning rate makes a spike: the activation has no linear part.")
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
    out.print("left, right: (u₁·p₁)² and (v₁·q₁)² of the top singular vectors of W₁ and of the update M₀", style="dim")


def print_catalogue(costs: Sequence[Cost], scale: str) -> None:
    """What can be reproduced, and how long each takes here by itself."""
    rows = [("name", "what it shows", "claims", "repeats", "runs", "missing", "takes")]
    for cost in costs:
        a = cost.artifact
        takes = duration(cost.missing.seconds) if cost.missing.runs else "–"
        takes = "needs torchvision" if math.isnan(cost.missing.seconds) else takes
        figures = (str(len(a.claims)), str(a.repeats), str(cost.runs), str(cost.missing.runs), takes)
        rows.append((a.name, a.title, *figures))
    print_table(f"spectail reproduce NAME... --scale {scale}", rows)
    basis = "as the runs in this folder went" if costs[0].missing.measured else "from a quick matrix product"
    console().print(f"takes: what is missing, on this machine, {basis}; within a factor of 2 or so", style="dim")


def print_verdicts(tested: Sequence[Tested], scale: str) -> None:
    """For each claim: what was expected, what was measured under each protocol, and whether it holds."""
    if not tested:
        return
    small = "" if scale == "paper" else f" – at the {scale} scale, where sampling noise is larger: not evidence"
    table = Table(title=Text(f"Claims of the paper{small}"), title_justify="left", title_style="bold", show_lines=True)
    table.add_column("claim", no_wrap=True)
    table.add_column("what the paper says / what must be measured for it", ratio=5)
    for protocol in PROTOCOLS:
        table.add_column(protocol, ratio=6)
    for item in tested:
        claim = item.claim
        said = Text(claim.statement)
        said.append(f"\n{claim.criterion}", style="dim")
        cells = []
        for protocol in PROTOCOLS:
            outcome = item.outcomes.get(protocol)
            if outcome is None:
                cells.append(Text("not run", style="dim"))
                continue
            cell = Text(str(outcome.verdict), style=f"bold {_VERDICT_STYLE[outcome.verdict]}")
            cell.append(f"\n{outcome.measured}", style="not bold default")
            cells.append(cell)
        table.add_row(Text(f"{claim.number}\n{claim.where}"), said, *cells)
    console().print(table)
