"""`spectail predict`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import tyro

from spectail.experiments.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict what the first step does to the spectrum: critical learning rate, spike, overlaps, alignment.

    Nothing is trained; closed forms of random matrix theory, as h, d, n → ∞ at fixed ratios.
    Example: spectail predict --h 1500 --d 1000 --n 2000 --optimizer adam
    """

    h: Annotated[int, tyro.conf.arg(metavar="INT", help="Hidden units.")] = 1500
    d: Annotated[int, tyro.conf.arg(metavar="INT", help="Dimension of the inputs.")] = 1000
    n: Annotated[int, tyro.conf.arg(metavar="INT", help="Training points.")] = 2000
    optimizer: Annotated[str, tyro.conf.arg(metavar="gd|adam|sign", help="The update.")] = "adam"
    lr: Annotated[
        tuple[float, ...], tyro.conf.arg(metavar="FLOAT...", help="Learning rates; by default around the critical one.")
    ] = ()
    initialization: Annotated[str, tyro.conf.arg(metavar="ntk|mean_field", help="Scale of the network.")] = "ntk"
    teacher: Annotated[str, tyro.conf.arg(metavar="NAME", help="Link of the teacher.")] = "softplus"
    activation: Annotated[str, tyro.conf.arg(metavar="NAME", help="Activation of the student.")] = "tanh"
    label_noise: Annotated[float, tyro.conf.arg(metavar="FLOAT", help="Standard deviation of the label noise.")] = 0.3
    protocol: Annotated[
        str, tyro.conf.arg(metavar="equations|published", help="The paper's equations, or its published program.")
    ] = "equations"

    def __call__(self) -> None:
        """Predict, and print."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "lr"}
        experiment = Experiment(**fields, steps=1, record=(0, 1))
        rates = [experiment.replace(lr=lr).lr for lr in self.lr]
        from spectail.report.terminal.prediction import print_prediction

        print_prediction(experiment, rates)
