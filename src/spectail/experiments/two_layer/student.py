"""The two-layer student and its closed-form gradient.

Not here: what σ is (activations.py), and what the gradient is used for (loop.py).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.experiments.activations import Activation, find_activation
from spectail.spectra.precision import like


class Student:
    """f(x) = aᵀσ(s W x)/√h, with s = 1/√d (ntk, eq. 2) or 1 (mean_field, eq. 37).

    Holds the fixed second layer and the buffers that every step reuses. `residual` is the forward
    pass; `gradient` belongs to the last `residual`, and uses up what that left in the buffers.

    Args:
        a: second layer (h), fixed.
        d: dimension of the inputs.
        activation: name of σ, as for `find_activation`.
        initialization: "ntk" or "mean_field".
        precision: "full", or "bfloat16" to round the factors of `residual`'s and `gradient`'s large
            products, and the products, to that; all else stays in the dtype of `a`.
    """

    def __init__(
        self,
        a: Float[Tensor, " h"],
        d: int,
        activation: str,
        initialization: str = "ntk",
        precision: str = "full",
    ) -> None:
        self.a = a
        self.lowered = precision == "bfloat16"
        self.activation: Activation = find_activation(activation)
        self.input_scale = 1.0 / math.sqrt(d) if initialization == "ntk" else 1.0
        self.output_scale = 1.0 / math.sqrt(len(a))
        self._buffers: dict[str, Tensor] = {}
        self._low_x: tuple[Tensor, Tensor] | None = None
        self._values = a.new_empty(0)
        self._inputs = a.new_empty(0)

    def hidden(
        self, weights: Float[Tensor, "h d"], x: Float[Tensor, "n d"], readout_scale: float = 1.0
    ) -> Float[Tensor, "h n"]:
        """σ(s W Xᵀ), without the 1/√h, in a buffer that the next call overwrites.

        Args:
            weights: W.
            x: inputs, one a row.
            readout_scale: further factor on s, for the published program's features.
        """
        return self.activation.value_(self.preactivations(weights, x, readout_scale))

    def residual(
        self, weights: Float[Tensor, "h d"], x: Float[Tensor, "n d"], y: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """R = y − f(X), in the dtype of the weights."""
        if not self.lowered:
            return self.residual_at(self.preactivations(weights, x), y)
        low = (self.input_scale * weights).bfloat16()
        product = torch.mm(low, self._low(x).T, out=self._low_buffer(len(x)))
        return self.residual_at(self.workspace(len(x)).copy_(product), y)

    def residual_at(self, preactivations: Float[Tensor, "h n"], y: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """R = y − f(X) from s W Xᵀ, which is overwritten."""
        values = preactivations
        if self.activation.slope_from == "input":
            self._inputs = self._buffer("inputs", values.shape)
            self._inputs.copy_(values)
        self._values = self.activation.value_(values)
        prediction = self._values.T @ self.a
        return like(y, prediction) - self.output_scale * prediction

    def gradient(
        self, residual: Float[Tensor, " n"], x: Float[Tensor, "n d"], out: Float[Tensor, "h d"] | None = None
    ) -> Float[Tensor, "h d"]:
        """∇_W R for R = Σ r²/(2n): −s/(n√h) [(a rᵀ) ∘ σ'(s W Xᵀ)] X.

        Args:
            residual: what the last call of `residual` returned for these x.
            x: the inputs of that call.
            out: where to put the result.

        Source: eq. 8 with its sign corrected (as printed it is −∇R).
        """
        slopes = self.activation.slope_(self._values if self.activation.slope_from == "value" else self._inputs)
        slopes *= residual
        out = self.a.new_empty(len(self.a), x.shape[1]) if out is None else out
        scale = -self.input_scale * self.output_scale / len(residual)
        if self.lowered:
            out.copy_(self._low_buffer(len(x)).copy_(slopes) @ self._low(x)).mul_(scale)
        else:
            torch.addmm(out, slopes, x, beta=0, alpha=scale, out=out)
        # a stands in front of whole rows: on h × d it costs less than on h × n
        return out.mul_(self.a[:, None])

    def preactivations(
        self,
        weights: Float[Tensor, "h d"],
        x: Float[Tensor, "n d"],
        readout_scale: float = 1.0,
        out: Float[Tensor, "h n"] | None = None,
    ) -> Float[Tensor, "h n"]:
        """Pre-activations s W Xᵀ, in `out` or in the `workspace`; arguments as for `hidden`."""
        # W @ Xᵀ, not X @ Wᵀ: each unit's row then lies together for the products that follow
        out = self.workspace(len(x)) if out is None else out
        return torch.addmm(out, weights, x.T, beta=0, alpha=self.input_scale * readout_scale, out=out)

    def workspace(self, n: int) -> Float[Tensor, "h n"]:
        """A buffer for n points, which the next call of any method but `gradient` overwrites."""
        return self._buffer("values", torch.Size((len(self.a), n)))

    def _low(self, x: Tensor) -> Tensor:
        """The inputs in bfloat16, kept for the next call."""
        if self._low_x is None or self._low_x[0] is not x:
            self._low_x = x, x.bfloat16()
        return self._low_x[1]

    def _low_buffer(self, n: int) -> Tensor:
        shape = (len(self.a), n)
        buffer = self._buffers.get("low")
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers["low"] = self.a.new_empty(shape, dtype=torch.bfloat16)
        return buffer

    def _buffer(self, name: str, shape: torch.Size) -> Tensor:
        """The front of a buffer that grows to the largest shape asked for."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < shape.numel():
            buffer = self._buffers[name] = self.a.new_empty(shape.numel())
        return buffer[: shape.numel()].view(shape)
