"""`spectail sweep`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.options import Computing
from spectail.cli.printing import Answering, Printing

if TYPE_CHECKING:
    from spectail.report.terminal.sweep import RunProgress
    from spectail.sweeps.sweep import SweepSummary


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Run a grid of experiments, or what is missing of it.

    Runs are kept in DIR/runs as soon as they are there; interrupted, killed or out of disk, the same
    command goes on where it was. Ctrl-C finishes the current runs, or keeps where they are if they are long;
    a second one stops now.
    Example: spectail sweep grid.toml --workers 2
    """

    grid: Annotated[Path, tyro.conf.Positional, option(metavar="GRID", help="The grid, in TOML.")]
    data: Annotated[
        Path | None,
        option(metavar="DIR|FILE.npz", help="Images of networks: a folder with DATASET.npz, or torchvision's files."),
    ] = None
    dry_run: Annotated[bool, option(help="Say how many runs, time and disk it takes, and stop.")] = False
    where: tyro.conf.OmitArgPrefixes[Computing] = dataclasses.field(default_factory=Computing)
    printing: Answering = dataclasses.field(default_factory=Printing)

    def __call__(self) -> None:
        """Compute what is missing, or estimate it."""
        from spectail.sweeps.grid import Grid

        experiments = Grid.read(self.grid).experiments()
        if not self.dry_run:
            self.where.prepare()
        with quick_imports():
            from spectail.store.store import Store

        store = Store(self.where.out, data=self.data)
        if self.dry_run:
            from spectail.experiments.memory import check_memory
            from spectail.report.terminal.sweep import print_estimate
            from spectail.sweeps.estimate import estimate

            entries = store.manifest.read()
            missing = [experiment for experiment in experiments if experiment not in store]
            if self.where.ray is None:
                check_memory(missing)
            known = [entries[e.key] for e in experiments if e.key in entries]
            takes, runs = estimate(missing, known, self.where.workers or 1), len(experiments)
            self.printing.tell(
                "sweep",
                lambda: {"runs": runs, "found": runs - takes.runs, "takes": vars(takes)},
                lambda: print_estimate(takes, runs, store),
            )
            return

        def tell(progress: RunProgress, summary: SweepSummary) -> None:
            failures = [failure.sentence for failure in summary.failures]
            self.printing.tell(
                "sweep",
                lambda: {**vars(summary), "failures": failures, "written": [store.runs]},
                lambda: progress.print_summary(summary, [store.runs]),
            )

        self.where.compute(experiments, store, tell)
