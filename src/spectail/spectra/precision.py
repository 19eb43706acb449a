"""Where exact numbers are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def float64(values: Tensor) -> Tensor:
    """The values in float64, outside autograd: on their own device, or on the CPU if that has no float64."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).to(torch.float64)
