"""A full-batch training on the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from spectail.networks.training import Training
from spectail.report.progress import bar, console, duration, print_paths, print_table


@contextmanager
def training_progress(training: Training, title: str = "") -> Iterator[Callable[[int, int, float], None]]:
    """A bar over the steps of a training; none on any but the first of many processes."""
    progress = bar()
    progress.disable = progress.disable or os.environ.get("RANK", "0") != "0"
    with progress:
        task = progress.add_task("steps", total=max(training.steps, 1), text=f"{title}step 0")

        def move(step: int, steps: int, loss: float) -> None:
            progress.update(task, completed=step, text=f"{title}step {step} of {steps}, loss {loss:.4g}")

        yield move


def print_training(run: xr.Dataset, path: Path, *, found: bool) -> None:
    """Loss and accuracy after each update, and each layer's exponents before and after."""
    rows: list[tuple[str, ...]] = [("updates", "loss", "accuracy")]
    for update, loss, accuracy in zip(
        run["update"].values, run.train_loss.values, run.train_accuracy.values, strict=True
    ):
        rows.append((str(update), f"{loss:.4g}", f"{accuracy:.3f}"))
    print_table(run.attrs["title"], rows)
    first, last = run.isel(step=0), run.isel(step=-1)
    rows = [("layer", "phase", "Hill", "at first", "untrained", "z", "KS", "at first", "λ₁/λ₊")]
    for i, name in enumerate(run.layer.values):
        figures = [
            f"{source[variable].values[i]:.3g}"
            for source, variable in (
                (last, "pl_alpha_hill"), (first, "pl_alpha_hill"), (run, "null_alpha_hill"), (last, "z_hill"),
                (last, "pl_alpha_ks"), (first, "pl_alpha_ks"), (last, "spectral_gap"),
            )
        ]  # fmt: skip
        rows.append((str(name), str(last.phase.values[i]), *figures))
    print_table(f"spectra after {int(last.step)} updates", rows)
    told = f"training took {duration(run.attrs['wall_time'])}"
    console().print(f"found, not computed again; {told}" if found else told, style="dim")
    print_paths([path])
    console().print(f"see it: spectail report {path}", style="dim", soft_wrap=True)
