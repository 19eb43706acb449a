"""`spectail reproduce`."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectail.cli.computing import Computing
from spectail.cli.options import image_count


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
        from spectail.paper.catalogue import catalogue, find
        from spectail.report import progress, terminal

        if self.list or not self.names:
            from spectail.paper import reproduce as paper
            from spectail.sweeps.store import Store

            plans = [_plan([artifact], self) for artifact in catalogue().values()]
            terminal.print_catalogue(paper.costs(plans, Store(self.where.out), self.where.workers or 1), self.scale)
            if not self.list:
                raise ValueError("reproduce needs the name of a figure or table, such as fig4; or all")
            return
        artifacts = _with_deep(find(self.names), self)
        from spectail.paper.making import make_all
        from spectail.paper.record import read_records, save_verdicts, save_verdicts_as_markdown
        from spectail.paper.runs import TRAININGS
        from spectail.sweeps.store import Store

        store, plan = Store(self.where.out), _plan(artifacts, self)
        experiments = plan.experiments()
        if experiments:
            self.where.compute(experiments, store)
        files = {experiment.key: store.path(experiment) for experiment in experiments}
        files |= _train_all(plan.trainings(), store.root / TRAININGS, self)
        folder = store.root / ("figures" if self.scale == "paper" else f"figures-{self.scale}")
        tested, paths = [], []
        for made in make_all(plan, files, store, folder, self.where.workers or os.cpu_count() or 1):
            for protocol, rows in made.tables.items():
                progress.print_table(f"{catalogue()[made.name].title} – {protocol}", rows)
            tested += made.tested
            paths += made.paths
        terminal.print_verdicts(tested, self.scale)
        records = read_records(folder)
        paths.append(save_verdicts(records, folder / "claims.csv"))
        paths.append(save_verdicts_as_markdown(records, folder / "claims.md"))
        progress.print_paths(paths)


def _with_deep(artifacts: Any, options: Reproduce) -> list[Any]:
    """The artifacts to make; "all" has those of deep networks too, as far as their images are there."""
    from spectail.networks.images import has_images
    from spectail.paper.catalogue import find_deep

    def lacking(artifact: Any) -> list[str]:
        wanted = dict.fromkeys(training.dataset for training in artifact.trainings(0))
        return [d for d in wanted if options.data is None or not has_images(d, options.data)]

    for artifact in artifacts:
        if artifact.trainings and options.data is None:
            raise ValueError(
                f"{artifact.name} needs images of {', '.join(lacking(artifact))}: say --data DIR, a folder with "
                f"{lacking(artifact)[0]}.npz, or one that torchvision may download to"
            )
    if "all" not in options.names:
        return list(artifacts)
    named = {artifact.name for artifact in artifacts}
    left_out: list[Any] = []
    chosen = list(artifacts)
    for artifact in find_deep():
        if artifact.name not in named:
            (left_out if lacking(artifact) else chosen).append(artifact)
    if left_out:
        missing = ", ".join(dict.fromkeys(name for artifact in left_out for name in lacking(artifact)))
        names = ", ".join(artifact.name for artifact in left_out)
        print(f"left out: {names}, which need images of {missing} in --data DIR", file=sys.stderr)
    return chosen


def _train_all(trainings: Any, folder: Path, options: Reproduce) -> dict[str, Path]:
    """The files of full-batch trainings by key, after those that were missing were done."""
    if not trainings:
        return {}
    from spectail.networks.train import train as train_network
    from spectail.report.training import training_progress
    from spectail.teacher_student.simulate import check_device

    paths = {}
    for number, training in enumerate(trainings, 1):
        title = f"training {number} of {len(trainings)}: {training.model} on {training.dataset}, "
        with training_progress(training, title) as progress:
            device = str(check_device(options.where.device))
            paths[training.key], _ = train_network(
                training, folder, data=options.data, device=device, progress=progress
            )
    return paths


def _plan(artifacts: Any, options: Reproduce) -> Any:
    """What the options ask for, of some artifacts."""
    from spectail.paper.reproduce import Plan
    from spectail.paper.runs import PROTOCOLS as BOTH
    from spectail.paper.scale import SCALES
    from spectail.teacher_student.names import unknown_name

    if options.scale not in SCALES:
        raise ValueError(unknown_name("scale", options.scale, SCALES))
    if options.repeats is not None and options.repeats < 1:
        raise ValueError(f"repeats={options.repeats} is not valid; expected at least 1")
    if options.protocol not in (None, "both", *BOTH):
        raise ValueError(unknown_name("protocol", options.protocol, ("both", *BOTH)))
    named = [protocol for protocol in BOTH if options.protocol in ("both", protocol)]
    images: Any = None if options.images is None else image_count(options.images) or "all"
    return Plan(artifacts, SCALES[options.scale], options.repeats, named or None, images)
