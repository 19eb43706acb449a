"""Where exact numbers are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def float64(values: Tensor) -> Tensor:
    """The values in float64, outside autograd: on their own device, or on the CPU if that has no float64."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).to(torch.float64)


def like(values: Tensor, other: Tensor) -> Tensor:
    """The values in another tensor's dtype, on its device; rounded before they move, so that it needs no float64."""
    return values.to(other.dtype).to(other.device)
