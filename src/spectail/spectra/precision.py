"""Where exact numbers are computed."""

from __future__ import annotations

import torch
from torch import Tensor

from spectail.errors import SpectailError


def float64(values: Tensor) -> Tensor:
    """The values in float64, outside autograd: on their own device, or on the CPU if that has no float64."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).to(torch.float64)


def like(values: Tensor, other: Tensor) -> Tensor:
    """The values in another tensor's dtype, on its device; rounded before they move, so that it needs no float64."""
    return values.to(other.dtype).to(other.device)


# Eigenvalues at or below this share of the largest are rounding, not spectrum: they count as zero.
ZERO_SHARE = 1e-14


def check_device(device: str | torch.device) -> torch.device:
    """A device that exists here.

    Raises:
        ValueError: torch does not know it, or cannot use it on this machine.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError):
        raise SpectailError(
            f"device={str(device)!r} is not available here; expected cpu, cuda or mps, as the machine has them"
        ) from None
    return found
