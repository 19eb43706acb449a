"""Bars that show how far something is, on the standard error of a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

StepProgress = Callable[[int, int], None]
"""Called with the step that a run has reached, and how many there are."""

TrainingProgress = Callable[[int, int, float], None]
"""Called with the step that a training has reached, how many there are, and the loss."""

MatrixProgress = Callable[[float, str], None]
"""Called before each matrix with the share of the work that is done, and the name of the matrix."""


@contextmanager
def step_progress(steps: int) -> Iterator[StepProgress]:
    """A bar over the steps of one run."""
    with bar() as progress:
        task = progress.add_task("steps", total=max(steps, 1), text="step 0")
        yield lambda step, steps: progress.update(task, completed=step, text=f"step {step} of {steps}")


def bar() -> Progress:
    """A bar with what is done, and how long the rest takes; on the standard error of a terminal."""
    columns = (
        TextColumn("{task.fields[text]}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    out = Console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


@contextmanager
def matrix_progress() -> Iterator[MatrixProgress]:
    """A bar over the matrices of a model, weighed by their work."""
    with bar() as progress:
        task = progress.add_task("matrices", total=1.0, text="opening")
        yield lambda share, name: progress.update(task, completed=share, text=name)


@contextmanager
def training_progress(steps: int, title: str = "") -> Iterator[TrainingProgress]:
    """A bar over the steps of a training; none on any but the first of many processes."""
    progress = bar()
    progress.disable = progress.disable or os.environ.get("RANK", "0") != "0"
    with progress:
        task = progress.add_task("steps", total=max(steps, 1), text=f"{title}step 0")

        def move(step: int, steps: int, loss: float) -> None:
            progress.update(task, completed=step, text=f"{title}step {step} of {steps}, loss {loss:.4g}")

        yield move
