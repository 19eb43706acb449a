"""How far a sweep is, where a person looks: on a terminal, in a notebook, a line a minute in a file.

Not here: what is said at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from spectail.experiments.cost import weight
from spectail.experiments.experiment import Experiment
from spectail.progress import bar, in_notebook


class SweepProgress:
    """Methods that a sweep calls as it goes on; these do nothing."""

    def begin(self, missing: Sequence[Experiment], n_kept: int) -> None:
        """Before the first run: what is to be computed, and how many runs were there."""

    def step(self, experiment: Experiment, step: int) -> None:
        """A run of this process has done a step."""

    def kept(self, experiment: Experiment) -> None:
        """A run is kept."""

    def stopping(self) -> None:
        """The sweep was asked to stop; runs that are not long are finished first."""


class BarOverRuns(SweepProgress):
    """One bar over many runs, weighed by their floating-point operations; runs found cost nothing."""

    def __init__(self) -> None:
        self._bar = bar()
        self._total, self._computed, self._n_kept, self._part = 0, 0, 0, 0.0

    def __enter__(self) -> Any:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def begin(self, missing: Sequence[Experiment], n_kept: int) -> None:
        """Show how much there is to do."""
        self._total, self._n_kept = len(missing), n_kept
        self._task = self._bar.add_task("runs", total=max(sum(map(weight, missing)), 1.0), text=self._text())

    def step(self, experiment: Experiment, step: int) -> None:
        """Move on by a step of a run in this process."""
        part = weight(experiment) * step / max(experiment.steps, 1)
        self._bar.advance(self._task, part - self._part)
        self._part = part

    def kept(self, experiment: Experiment) -> None:
        """Move on by a run."""
        self._computed += 1
        self._bar.update(self._task, advance=weight(experiment) - self._part, text=self._text())
        self._part = 0.0

    def stopping(self) -> None:
        """Say what happens now."""
        self._bar.console.print(
            "finishing the current runs, or keeping where long ones are; Ctrl-C again stops now",
            style="yellow",
            soft_wrap=True,
        )

    def _text(self) -> str:
        return f"{self._computed} of {self._total} runs" + (f" ({self._n_kept} found)" if self._n_kept else "")


def bar_if_asked(progress: bool | None) -> AbstractContextManager[SweepProgress | None]:
    """A bar, or none; by default a bar in a notebook only."""
    return BarOverRuns() if progress or (progress is None and in_notebook()) else nullcontext()
