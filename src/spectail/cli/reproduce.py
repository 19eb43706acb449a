"""`spectail reproduce`."""

from __future__ import annotations

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.options import Computing, Drawing, options_of
from spectail.cli.printing import Answering, Printing
from spectail.cli.run import METAVARS, experiment_fields
from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.fields import image_count
from spectail.study.settable import SETTABLE

if TYPE_CHECKING:
    Settings = Any
else:
    Settings = dataclasses.make_dataclass("Settings", options_of(Experiment, SETTABLE, METAVARS), frozen=True)
    Settings.__doc__ = "Settings of your own in place of the paper's, in figures that have one value of them."


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce figures of the paper: run, draw, and test their claims under both protocols.

    Runs are kept in DIR/runs and found again, so an interrupted command goes on where it was.
    Settings of your own may take the place of the paper's; such figures get a folder of their own.
    Example: spectail reproduce fig4 --teacher relu --d 500 --scale small
    """

    names: Annotated[
        tuple[str, ...], tyro.conf.Positional, option(metavar="NAME...", help="Artifacts, or all; see --list.")
    ] = ()
    list: Annotated[bool, option(help="Show what can be reproduced, and stop.")] = False
    scale: Annotated[
        str,
        option(
            metavar="paper|quarter|small",
            help="The paper's sizes; a quarter of them, with all steps; or a fifth, with long runs cut short.",
        ),
    ] = "paper"
    repeats: Annotated[
        int | None, option(metavar="INT", help="Seeds, up to 1,000; each artifact's own number by default.")
    ] = None
    protocol: Annotated[
        str | None,
        option(
            metavar="both|published|equations",
            help="Conventions to run under; both by default, one where a second would cost hours.",
        ),
    ] = None
    data: Annotated[
        Path | None,
        option(
            metavar="DIR",
            help="Images for figures 6 and 33-37: mnist.npz, cifar10.npz, svhn.npz, or torchvision's files.",
        ),
    ] = None
    images: Annotated[str | None, option(metavar="N|all", help="Training images of those figures; 512 by default.")] = (
        None
    )
    drawing: tyro.conf.OmitArgPrefixes[Drawing] = dataclasses.field(default_factory=Drawing)
    where: tyro.conf.OmitArgPrefixes[Computing] = dataclasses.field(default_factory=Computing)
    settings: tyro.conf.OmitArgPrefixes[Settings] = dataclasses.field(default_factory=Settings)
    printing: Answering = dataclasses.field(default_factory=Printing)

    def __call__(self) -> None:
        """Compute what is missing, draw, test, and keep the verdicts."""
        if self.names and not self.list:
            self.where.prepare()
        with quick_imports():
            from spectail.report.terminal import study as terminal
            from spectail.study.catalogue import catalogue

            catalogue()
        from spectail.report.terminal.tables import print_paths, print_table
        from spectail.study.plan import plan_of

        images = image_count(self.images)
        if self.list or not self.names:
            from spectail.store.store import Store
            from spectail.study.plan import costs

            options = (self.scale, self.repeats, self.protocol, images)
            plans = [plan_of([artifact], *options) for artifact in catalogue().values()]
            known = costs(plans, Store(self.where.out), self.where.workers or 1)
            self.printing.tell(
                "reproduce",
                lambda: {"artifacts": [cost.json() for cost in known]},
                lambda: terminal.print_catalogue(known, self.scale),
            )
            if not self.list:
                raise SettingError("reproduce needs the name of a figure or table, such as fig4; or all")
            return
        with quick_imports():
            from spectail.study.making import reproduce

        pictures, fields = self.drawing.pictures(), experiment_fields(self.settings)

        def print_tables(record: Any) -> None:
            for protocol, lines in record.tables.items():
                self.printing.say(partial(print_table, f"{record.title} – {protocol}", lines))

        def compute(experiments: Any, store: Any) -> None:
            self.where.compute(
                experiments, store, lambda progress, end: self.printing.say(lambda: progress.print_summary(end))
            )

        records = reproduce(
            *self.names, scale=self.scale, out=self.where.out, repeats=self.repeats, protocol=self.protocol,
            data=self.data, images=images, formats=pictures.formats, width=pictures.width, font=pictures.font,
            usetex=pictures.usetex, device=self.where.device, workers=self.where.workers,
            compute=compute, on_record=print_tables, on_note=lambda note: print(note, file=sys.stderr),
            **fields,
        )  # fmt: skip
        folder = records[0].paths[0].parent
        paths = [path for record in records for path in record.paths]
        paths += [folder / "claims.csv", folder / "claims.md"]

        def print_words() -> None:
            terminal.print_verdicts([claim for record in records for claim in record.claims], self.scale)
            of_scale = "" if self.scale == "paper" else f" --scale {self.scale}"
            print_paths(paths, see="" if fields else f"{self.where.out}{of_scale}")  # it shows the paper's settings

        self.printing.tell(
            "reproduce", lambda: {"records": [record.json() for record in records], "written": paths}, print_words
        )
