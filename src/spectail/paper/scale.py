"""The paper's sizes, and the same experiments made small as theory says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spectail.teacher_student.experiment import Experiment


@dataclass(frozen=True)
class Scale:
    """How an experiment of the paper is run: at its own size, or with n, d and h divided.

    Learning rates follow the critical one (`theory.critical_lr`), whose dependence on d at fixed h/d
    and n/d is a power: GD's is ∝ d (ntk) or √d (mean_field); of FB-Adam and sign descent ∝ d^(-1/2)
    or d^(-1). Both keep the spike where it is relative to the bulk's edge.

    Attributes:
        name: "paper" or "small".
        divisor: what n, d and h are divided by.
    """

    name: str
    divisor: int

    def __call__(self, experiment: Experiment) -> Experiment:
        """The experiment to run for one that is written down at the paper's size."""
        if self.divisor == 1:
            return experiment
        e, k = experiment, self.divisor
        ntk = e.initialization == "ntk"
        gd, adaptive = (1 / k, math.sqrt(k)) if ntk else (1 / math.sqrt(k), float(k))
        factor = gd if e.optimizer == "gd" else adaptive
        return e.replace(n=e.n // k, d=e.d // k, h=e.h // k, lr=e.lr * factor)


PAPER = Scale("paper", 1)
SMALL = Scale("small", 5)
SCALES = {scale.name: scale for scale in (PAPER, SMALL)}
