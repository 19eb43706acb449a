"""A student with any number of hidden layers, and its gradients in closed form.

Not here: the student with one hidden layer, which alone is trained; its runs share more (student.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.experiments.activations import find_activation
from spectail.experiments.experiment import Experiment
from spectail.spectra.precision import like


class MultilayerStudent:
    """f(x) = aᵀσ(s_L W_L … σ(s₁ W₁ x + b₁) … + b_L)/√h_L; s_l = 1/√(fan-in) in NTK parametrisation, 1 in the others.

    `residual` is the forward pass; `gradients` belong to the last `residual`, and use up what it left.

    Args:
        experiment: whose widths, activation and parametrisation count.
        biases: b₁ … b_L, which may change between calls; none without it.
    """

    def __init__(self, experiment: Experiment, biases: Sequence[Tensor] = ()) -> None:
        self.biases = biases
        self.activation = find_activation(experiment.activation)
        fan_ins = [experiment.d, *experiment.widths[:-1]]
        ntk = experiment.initialization == "ntk"
        self.scales = [1 / math.sqrt(fan_in) if ntk else 1.0 for fan_in in fan_ins]
        self.output_scale = 1 / math.sqrt(experiment.widths[-1])
        self._buffers: dict[tuple[str, int], Tensor] = {}
        self._values: list[Tensor] = []
        self._inputs: list[Tensor] = []

    def hidden(
        self, weights: Sequence[Tensor], x: Float[Tensor, "n d"], readout_scale: float = 1.0
    ) -> Float[Tensor, "h n"]:
        """The last hidden layer, without the 1/√h_L, in a buffer that the next call overwrites.

        Args:
            weights: W₁ … W_L.
            x: inputs, one a row.
            readout_scale: further factor on s₁ and b₁, for the published program's features.
        """
        self._values, self._inputs = [], []
        below = x.T
        for layer, (w, scale) in enumerate(zip(weights, self.scales, strict=True)):
            out = self._buffer("values", layer, w, len(x))
            factor = readout_scale if layer == 0 else 1.0
            start, beta = (self.biases[layer][:, None], factor) if self.biases else (out, 0)
            torch.addmm(start, w, below, beta=beta, alpha=scale * factor, out=out)
            if self.activation.slope_from == "input":
                self._inputs.append(self._buffer("inputs", layer, w, len(x)).copy_(out))
            below = self.activation.value_(out)
            self._values.append(below)
        return below

    def residual(
        self, weights: Sequence[Tensor], a: Float[Tensor, " h"], x: Float[Tensor, "n d"], y: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """R = y − f(X), in the dtype of the weights."""
        prediction = self.hidden(weights, x).T @ a
        return like(y, prediction) - self.output_scale * prediction

    def gradients(
        self,
        weights: Sequence[Tensor],
        a: Float[Tensor, " h"],
        residual: Float[Tensor, " n"],
        x: Float[Tensor, "n d"],
        out: Sequence[Tensor | None],
    ) -> None:
        """The gradients of R = Σ r²/(2n) by W₁ … W_L, a, and b₁ … b_L, into the tensors of `out` that are not None.

        Args:
            weights: of the last call of `residual`.
            a: likewise.
            residual: what that call returned.
            x: the inputs of that call.
            out: where the gradients go.
        """
        scale = -self.output_scale / len(residual)
        count = len(weights)
        of_weights, of_a, of_biases = out[:count], out[count], out[count + 1 :]
        if of_a is not None:
            torch.mv(self._values[-1], residual, out=of_a).mul_(scale)
        last, from_above = count - 1, residual
        for layer in range(last, -1, -1):
            below = x if layer == 0 else self._values[layer - 1].T
            of_values = self.activation.slope_from == "value"
            slopes = self.activation.slope_((self._values if of_values else self._inputs)[layer])
            slopes *= from_above
            if layer == last:
                slopes *= a[:, None]
            gradient = of_weights[layer]
            if gradient is not None:
                torch.addmm(gradient, slopes, below, beta=0, alpha=scale * self.scales[layer], out=gradient)
            if of_biases and (of_bias := of_biases[layer]) is not None:
                torch.sum(slopes, 1, out=of_bias).mul_(scale)
            if layer > 0:
                w = weights[layer]
                from_above = self._buffer("above", layer, w.T, len(x))
                torch.addmm(from_above, w.T, slopes, beta=0, alpha=self.scales[layer], out=from_above)

    def _buffer(self, role: str, layer: int, weights: Tensor, n: int) -> Tensor:
        """Room for a layer at n points: the front of a buffer that grows to the most points asked for."""
        size = len(weights) * n
        buffer = self._buffers.get((role, layer))
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[role, layer] = weights.new_empty(size)
        return buffer[:size].view(len(weights), n)
