"""What a full-batch training costs, before it is run."""

from __future__ import annotations

from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from spectail.networks.training import Training
from spectail.networks.zoo import make_model

_ALL_IMAGES = {"mnist": 60_000, "cifar10": 50_000, "svhn": 73_257}


def training_operations(training: Training) -> float:
    """Floating-point operations of a training of a network for 3 × 32 × 32 images: of its forward and backward passes.

    Raises:
        ValueError: the model or the number of its images is not known.
    """
    images = training.images or _ALL_IMAGES.get(training.dataset)
    if images is None:
        raise ValueError(f"how many images {training.dataset} has is not known; name a number of images")
    return float(training.steps * images * _operations_of_an_image(training.model))


@cache
def _operations_of_an_image(model: str) -> float:
    """Counted on tensors without numbers in them, and on two images, since batch norm needs that many."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        make_model(model, 10, seed=0)(torch.empty(2, 3, 32, 32)).sum().backward()
    return float(counter.get_total_flops()) / 2
