"""A penalty on the tail of a spectrum, to be added to a loss.

Not here: the exponent of a spectrum that is only measured (tails.py).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import NOT_FINITE, takes_matrix


@takes_matrix
def hill_penalty(weights: Float[Tensor, "h d"], target: float = 2.0) -> Float[Tensor, ""]:
    """(α_H − target)², differentiable in the weights; α_H as of `hill`.

    Its gradient is that of the singular values, of which the upper half counts. Multiply it by a strength of your own,
    constant or following a schedule.

    Args:
        weights: W; of 16 bits and less it is computed in float32.
        target: the exponent that is pulled towards; heavier tails have a smaller one.

    Returns:
        a scalar; 0, without a gradient, where the upper half of the eigenvalues are equal or zero.

    Raises:
        SpectailError: it is no matrix with at least two singular values, or holds NaN or inf.

    >>> w = torch.diag(torch.tensor([1.0, 2.0, 4.0, 8.0])).sqrt().requires_grad_()
    >>> penalty = hill_penalty(w, target=2.0)
    >>> penalty.backward()
    >>> w.grad.diagonal().sign().tolist()  # descent spreads the upper half
    [0.0, 0.0, 1.0, -1.0]
    """
    weights = weights.float() if weights.element_size() < 4 else weights
    if not bool(weights.isfinite().all()):
        raise SpectailError(NOT_FINITE)
    if min(weights.shape) < 2:
        raise SpectailError(f"a penalty needs a matrix with two singular values at least, not {tuple(weights.shape)}")
    logs = 2 * torch.linalg.svdvals(weights).flip(0).clamp_min(torch.finfo(weights.dtype).tiny).log()
    upper = logs[len(logs) // 2 :]
    excess = (upper - upper[0]).sum()
    if not float(excess.detach()) > len(upper) * torch.finfo(weights.dtype).eps:
        return weights.new_zeros(())
    alpha: Tensor = 1 + len(upper) / excess
    return (alpha - target).square()
