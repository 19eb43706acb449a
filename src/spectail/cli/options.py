"""What `spectail sweep` and `spectail reproduce` compute, and where."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectail.errors import SettingError


@dataclasses.dataclass(frozen=True)
class Computing:
    """Where runs are kept, and who computes them."""

    out: Out = Path("results")
    device: Device = "cpu"
    workers: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help="Processes beside each other, for small problems; default: one run."),
    ] = None
    ray: Annotated[
        str | None,
        tyro.conf.arg(metavar="[ADDRESS]", help="Run on a Ray cluster: the one that is running, or else a local one."),
    ] = None
    cpus: Annotated[float, tyro.conf.arg(metavar="FLOAT", help="Cores of the Ray cluster that each run takes.")] = 1.0
    gpus: Annotated[float, tyro.conf.arg(metavar="FLOAT", help="GPUs of the Ray cluster that each run takes.")] = 0.0

    def prepare(self) -> None:
        """Let worker processes begin to import what they need, beside what this one imports."""
        if self.workers is not None and self.workers > 0 and self.ray is None:
            from spectail.running.forkserver import start_early, threads_each

            start_early(threads_each(self.workers))

    def compute(self, experiments: Any, store: Any) -> None:
        """Compute what a store lacks, with a progress bar; exits where runs failed or it was to stop."""
        from spectail.report.terminal.sweep import RunProgress
        from spectail.running.ray import Resources
        from spectail.running.scheduler import Compute
        from spectail.sweeps.sweep import run_missing

        where = Compute(self.device, self.workers, self.ray, Resources(self.cpus, self.gpus))
        with RunProgress() as progress:
            summary = run_missing(experiments, store, where, progress)
        progress.print_summary(summary)
        if summary.stopped:
            raise KeyboardInterrupt
        if summary.failures:
            sys.exit(1)


Device = Annotated[str, tyro.conf.arg(metavar="NAME", help="Where to compute: cpu, cuda, cuda:1, mps.")]

Out = Annotated[Path, tyro.conf.arg(metavar="DIR", help="Folder for runs and figures.")]


def image_count(text: str) -> int | None:
    """How many images an option asks for; None for all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"images={text!r} is not understood; expected a whole number from 1, or all")
    return int(text)
