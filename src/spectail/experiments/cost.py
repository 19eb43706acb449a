"""What a run costs, before it is run.

Not here: how fast a machine is (sweeps/estimate.py). torch is imported for networks only: a sweep whose runs are all
there does not wait for it.
"""

from __future__ import annotations

from functools import cache

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment


def training_operations(experiment: Experiment) -> float:
    """Floating-point operations of training a network on images of 3 × 32 × 32: of its forward and backward passes.

    Raises:
        ValueError: the model or the number of its images is not known.
    """
    from spectail.experiments.deep.images import DATASETS

    e = experiment
    dataset, model = e.dataset or "", e.model or ""
    if e.images == "all" and dataset not in DATASETS:
        raise SettingError(f"how many images {dataset} has is not known; name a number of images")
    images = DATASETS[dataset].count if e.images == "all" else e.images or 0
    return float(e.steps * (e.batch or images) * _of_an_image(model)[0])


@cache
def _of_an_image(model: str) -> tuple[float, int]:
    """Operations of an image, and eigenvalues of all matrices of a network.

    Counted on tensors without numbers in them, and on two images, since batch norm needs that many.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from spectail.experiments.deep.models import make_model

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        made = make_model(model, 10, seed=0)
        made(torch.empty(2, 3, 32, 32)).sum().backward()
    matrices = [p for p in made.parameters() if p.ndim > 1]
    return float(counter.get_total_flops()) / 2, sum(min(p.shape[:2]) * p[0, 0].numel() for p in matrices)


_OF_AN_IMAGE = (1e8, 10_000)  # where a network cannot be counted so: about a small convolutional one
_IMAGES = 10_000


_FILE_BYTES = 30_000  # of a run's file besides eigenvalues and overlaps: its 22 scalars and their descriptions


def operations(experiment: Experiment) -> float:
    """Floating-point operations of a run, near enough to weigh it: products of steps and measurements."""
    e = experiment
    if not e.has_closed_form:
        try:
            return training_operations(e)
        except (
            Exception
        ):  # a network of a user's own may do anything, and where torchvision is missing it is said later
            images = _IMAGES if e.images == "all" else e.images or 0
            return float(e.steps * (e.batch or images) * _OF_AN_IMAGE[0])
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
    if not e.has_closed_form:
        try:
            eigenvalues = _of_an_image(e.model or "")[1]
        except Exception:  # as above
            eigenvalues = _OF_AN_IMAGE[1]
        return _FILE_BYTES + 4 * eigenvalues * len(e.recorded_steps)
    each = [min(shape) for shape in zip(e.widths, (e.d, *e.widths[:-1]), strict=True)]
    each += [e.n] * len(e.kernels)
    return _FILE_BYTES + 8 * sum(each) * len(e.recorded_steps) + 8 * each[0] ** 2 * len(e.overlaps)
