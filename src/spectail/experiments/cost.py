"""What a run costs, before it is run.

Not here: how fast a machine is (sweeps/estimate.py). torch is imported for networks only: a sweep whose runs are all
stored does not wait for it.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.util import find_spec

from spectail.experiments.experiment import Experiment
from spectail.experiments.fields import modulus_of

_FILE_BYTES = 30_000  # of a run's file besides eigenvalues and overlaps: its 22 scalars and their descriptions

_LIKE_A_SMALL_ONE = (1e8, 10_000)  # operations of an image and eigenvalues of a small convolutional network
_IMAGES = 10_000

COUNTED: dict[tuple[str, tuple[int, ...], int], tuple[float, int]] = {
    ("vgg11", (3, 32, 32), 10): (913_078_272.0, 20_197),
    ("resnet18", (3, 32, 32), 10): (3_328_997_376.0, 31_013),
}
"""What `counted` finds for the paper's networks, kept since torchvision and what it imports of torch take seconds."""


def operations(experiment: Experiment) -> float:
    """Floating-point operations of a run, near enough: matrix products and decompositions of steps and measurements.

    Of a network, its steps alone; NaN where it cannot be counted: torchvision may be missing, and a user's own network
    may do anything.
    """
    e = experiment
    if not e.has_closed_form:
        known, samples = _of_a_sample(e), _samples(e)
        return math.nan if known is None or samples is None else float(e.steps * (e.batch or samples) * known[0])
    shapes = list(zip(e.widths, (e.d, *e.widths[:-1]), strict=True))
    entries, last = float(sum(h * d for h, d in shapes)), e.widths[-1]
    step = (4.0 * entries + 2.0 * (entries - e.h * e.d)) * (e.batch or e.n)
    measurement = 2.0 * (e.n + e.n_test + e.n_test_large) * entries + 2.0 * e.n * last**2
    measurement += 10.0 * sum(min(shape) ** 3 for shape in shapes)
    measurement += 10.0 * (min(e.n, last) ** 3 * ("ck" in e.kernels) + e.n**3 * ("ntk" in e.kernels))
    return e.steps * step + sum(t > 0 for t in e.recorded_steps) * measurement


def weight(experiment: Experiment) -> float:
    """A run's cost for dividing work: its operations; a network that cannot be counted counts as a small one."""
    e, known = experiment, operations(experiment)
    return e.steps * (e.batch or _samples(e) or _IMAGES) * _LIKE_A_SMALL_ONE[0] if math.isnan(known) else known


def disk_bytes(experiment: Experiment) -> int:
    """Size of a run's file, near enough."""
    e = experiment
    if not e.has_closed_form:
        eigenvalues = (_of_a_sample(e) or _LIKE_A_SMALL_ONE)[1]
        return _FILE_BYTES + 4 * eigenvalues * len(e.recorded_steps)
    each = [min(shape) for shape in zip(e.widths, (e.d, *e.widths[:-1]), strict=True)]
    each += [e.n] * len(e.kernels)
    return _FILE_BYTES + 8 * sum(each) * len(e.recorded_steps) + 8 * each[0] ** 2 * len(e.overlaps)


def _samples(e: Experiment) -> int | None:
    """How many samples are trained on; None for all of a data set that is not known by name."""
    from spectail.experiments.deep.images import DATASETS

    if e.dataset is None:
        return e.n
    modulus = modulus_of(e.dataset)
    if e.images != "all":
        return e.images
    if modulus is not None:
        return modulus**2
    return DATASETS[e.dataset].count if e.dataset in DATASETS else None


def _of_a_sample(e: Experiment) -> tuple[float, int] | None:
    """Operations of one sample, and eigenvalues of all matrices of a network; None where that is not known."""
    if e.dataset is None:
        return counted(e.model, e.widths, (e.d,), 1)
    if ":" in e.dataset:
        return None
    modulus = modulus_of(e.dataset)
    shape, outputs = ((3, 32, 32), 10) if modulus is None else ((2 * modulus,), modulus)
    if (e.model, shape, outputs) in COUNTED and find_spec("torchvision"):
        return COUNTED[str(e.model), shape, outputs]
    return counted(e.model, e.widths, shape, outputs)


@cache
def counted(
    model: str | None, widths: tuple[int, ...], shape: tuple[int, ...], outputs: int
) -> tuple[float, int] | None:  # fmt: skip
    """Operations of one sample, and eigenvalues of all matrices of a network; None where it cannot be counted.

    Counted on tensors without numbers in them, and on two samples, since batch norm needs that many.

    Args:
        model: as `Experiment.model`; None for a student.
        widths: of a student.
        shape: of a sample.
        outputs: of the network.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from spectail.experiments.deep.models import make_model, make_student

    try:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            if model is None:  # any activation: none has products
                network = make_student(widths, "tanh", shape, outputs, seed=0)
            else:
                network = make_model(model, outputs, seed=0)
            network(torch.empty(2, *shape)).sum().backward()
    except Exception:  # a user's own may raise anything; what is wrong is said where it is to be trained
        return None
    matrices = [p for p in network.parameters() if p.ndim > 1]
    return float(counter.get_total_flops()) / 2, sum(min(p.shape[:2]) * p[0, 0].numel() for p in matrices)
