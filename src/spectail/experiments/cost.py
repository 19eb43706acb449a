"""What a run or a full-batch training costs, before it is run.

Not here: how fast a machine is (sweeps/estimate.py). torch is imported for trainings only: a sweep whose runs are all
there does not wait for it.
"""

from __future__ import annotations

from functools import cache

from spectail.errors import SettingError
from spectail.experiments.deep.training import Training
from spectail.experiments.experiment import Experiment


def training_operations(training: Training) -> float:
    """Floating-point operations of a training of a network for 3 × 32 × 32 images: of its forward and backward passes.

    Raises:
        ValueError: the model or the number of its images is not known.
    """
    from spectail.experiments.deep.images import DATASETS

    if training.images is None and training.dataset not in DATASETS:
        raise SettingError(f"how many images {training.dataset} has is not known; name a number of images")
    images = training.images or DATASETS[training.dataset].count
    return float(training.steps * images * _operations_of_an_image(training.model))


@cache
def _operations_of_an_image(model: str) -> float:
    """Counted on tensors without numbers in them, and on two images, since batch norm needs that many."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from spectail.experiments.deep.models import make_model

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        make_model(model, 10, seed=0)(torch.empty(2, 3, 32, 32)).sum().backward()
    return float(counter.get_total_flops()) / 2


_FILE_BYTES = 30_000  # of a run's file besides eigenvalues and overlaps: its 22 scalars and their descriptions


def operations(experiment: Experiment) -> float:
    """Floating-point operations of a run, near enough to weigh it: products of steps and measurements."""
    e = experiment
    shapes = list(zip(e.widths, (e.d, *e.widths[:-1]), strict=True))
    entries, last = float(sum(h * d for h, d in shapes)), e.widths[-1]
    step = (4.0 * entries + 2.0 * (entries - e.h * e.d)) * (e.batch or e.n)
    measurement = 2.0 * (e.n + e.n_test + e.n_test_large) * entries + 2.0 * e.n * last**2
    measurement += 10.0 * sum(min(shape) ** 3 for shape in shapes)
    measurement += 10.0 * (min(e.n, last) ** 3 * ("ck" in e.kernels) + e.n**3 * ("ntk" in e.kernels))
    return e.steps * step + sum(t > 0 for t in e.recorded_steps) * measurement


def disk_bytes(experiment: Experiment) -> int:
    """Size of a run's file, near enough."""
    e = experiment
    each = [min(shape) for shape in zip(e.widths, (e.d, *e.widths[:-1]), strict=True)]
    each += [e.n] * len(e.kernels)
    return _FILE_BYTES + 8 * sum(each) * len(e.recorded_steps) + 8 * each[0] ** 2 * len(e.overlaps)
