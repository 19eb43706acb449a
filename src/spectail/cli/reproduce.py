"""`spectail reproduce`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectail.cli.options import Computing, image_count
from spectail.errors import SettingError


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce figures of the paper: run, draw, and test their claims under both protocols.

    Runs are kept in DIR/runs and found again, so an interrupted command goes on where it was.
    Example: spectail reproduce fig2 fig4 --scale small
    """

    names: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME", help="Artifacts, or all; see --list.")
    ] = ()
    list: Annotated[bool, tyro.conf.arg(help="Show what can be reproduced, and stop.")] = False
    scale: Annotated[str, tyro.conf.arg(metavar="paper|small", help="The paper's sizes, or a fifth of them.")] = "paper"
    repeats: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help="Seeds; each artifact's own number by default.")
    ] = None
    protocol: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="both|published|equations",
            help="Conventions to run under; both by default, one where a second would cost hours.",
        ),
    ] = None
    data: Annotated[
        Path | None,
        tyro.conf.arg(
            metavar="DIR",
            help="Images for figures 6 and 33-37: mnist.npz, cifar10.npz, svhn.npz, or torchvision's files.",
        ),
    ] = None
    images: Annotated[
        str | None, tyro.conf.arg(metavar="N|all", help="Training images of those figures; 512 by default.")
    ] = None
    where: tyro.conf.OmitArgPrefixes[Computing] = dataclasses.field(default_factory=Computing)

    def __call__(self) -> None:
        """Compute what is missing, draw, test, and keep the verdicts."""
        if self.names and not self.list:
            self.where.prepare()
        from spectail.report.terminal import study as terminal
        from spectail.report.terminal.tables import print_paths, print_table
        from spectail.study.catalogue import catalogue, find

        if self.list or not self.names:
            from spectail.store.store import Store
            from spectail.study import plan as paper

            plans = [_plan([artifact], self) for artifact in catalogue().values()]
            terminal.print_catalogue(paper.costs(plans, Store(self.where.out), self.where.workers or 1), self.scale)
            if not self.list:
                raise SettingError("reproduce needs the name of a figure or table, such as fig4; or all")
            return
        from spectail.study.plan import with_deep

        artifacts = with_deep(find(self.names), self.data, all_of_them="all" in self.names)
        from spectail.experiments.deep.training import TRAININGS
        from spectail.store.store import Store
        from spectail.study.making import make_all, train_all
        from spectail.study.records import read_records, save_verdicts, save_verdicts_as_markdown

        store, plan = Store(self.where.out), _plan(artifacts, self)
        experiments = plan.experiments()
        if experiments:
            self.where.compute(experiments, store)
        files = {experiment.key: store.path(experiment) for experiment in experiments}
        files |= train_all(plan.trainings(), store.root / TRAININGS, self.data, self.where.device)
        folder = store.root / ("figures" if self.scale == "paper" else f"figures-{self.scale}")
        tested, paths = [], []
        for made in make_all(plan, files, store, folder, self.where.workers or os.cpu_count() or 1):
            for protocol, rows in made.tables.items():
                print_table(f"{catalogue()[made.name].title} – {protocol}", rows)
            tested += made.tested
            paths += made.paths
        terminal.print_verdicts(tested, self.scale)
        records = read_records(folder)
        paths.append(save_verdicts(records, folder / "claims.csv"))
        paths.append(save_verdicts_as_markdown(records, folder / "claims.md"))
        print_paths(paths)


def _plan(artifacts: Any, options: Reproduce) -> Any:
    """What the options ask for, of some artifacts."""
    from spectail.errors import unknown_name
    from spectail.study.plan import Plan
    from spectail.study.runs import PROTOCOLS as BOTH
    from spectail.study.settings import SCALES

    if options.scale not in SCALES:
        raise SettingError(unknown_name("scale", options.scale, SCALES))
    if options.repeats is not None and options.repeats < 1:
        raise SettingError(f"repeats={options.repeats} is not valid; expected at least 1")
    if options.protocol not in (None, "both", *BOTH):
        raise SettingError(unknown_name("protocol", options.protocol, ("both", *BOTH)))
    named = [protocol for protocol in BOTH if options.protocol in ("both", protocol)]
    images: Any = None if options.images is None else image_count(options.images) or "all"
    return Plan(artifacts, SCALES[options.scale], options.repeats, named or None, images)
