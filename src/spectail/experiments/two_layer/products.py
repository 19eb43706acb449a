"""Products of many rows with one matrix that stays, by what a device is fast at.

Not here: what is multiplied (stack.py).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# The 13 bits of a float32 that a tensor core does not read of a TF32.
_UNREAD = 0x1FFF


class Product:
    """A ↦ A B for one B that stays, in the dtype of both.

    On a GPU with TF32 float32 goes in three parts, A ≈ A₁ + A₂ and B ≈ B₁ + B₂ with 11 bits each: A₁B₁ + A₂B₁ + A₁B₂,
    summed in float32 in one product three times as long. What is left out is 2⁻²¹ of each term, about what the sum of a
    thousand of them is rounded by, and it takes half the time.

    Args:
        right: B (k × m).
        split: whether to go that way; by default where the device has TF32.
    """

    def __init__(self, right: Float[Tensor, "k m"], split: bool | None = None) -> None:
        if split is None:
            split = right.dtype == torch.float32 and has_tf32(right.device)
        self.split = split
        if split:
            high, low = in_two_parts(right)
            right = torch.cat([high, high, low])
        self._right = right
        self._parts = right.new_empty(0, len(right))

    def __call__(self, left: Float[Tensor, "r k"], out: Float[Tensor, "r m"]) -> Float[Tensor, "r m"]:
        """A B, in `out`."""
        if not self.split:
            return torch.mm(left, self._right, out=out)
        parts, before = self._in_parts(left), torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True
        try:
            return torch.mm(parts, self._right, out=out)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    def _in_parts(self, left: Tensor) -> Tensor:
        rows, k = left.shape
        if len(self._parts) < rows:
            self._parts = left.new_empty(rows, 3 * k)
        parts = self._parts[:rows]
        high, low = parts[:, :k], parts[:, k : 2 * k]
        torch.bitwise_and(left.view(torch.int32), ~_UNREAD, out=high.view(torch.int32))
        torch.sub(left, high, out=low)
        parts[:, 2 * k :].copy_(high)
        return parts


def has_tf32(device: torch.device) -> bool:
    """Whether a device has tensor cores that take TF32."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def in_two_parts(values: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 as a TF32, rounded to the nearest, and the rest.

    >>> high, low = in_two_parts(torch.tensor([1 + 2.0**-12]))
    >>> high.item(), low.item() == 2.0**-12
    (1.0, True)
    """
    bits = values.contiguous().view(torch.int32)
    high = ((bits + (_UNREAD + 1) // 2) & ~_UNREAD).view(torch.float32)
    return high, values - high
