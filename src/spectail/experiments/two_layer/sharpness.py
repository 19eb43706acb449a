"""How near a step is to instability: the largest curvature of the objective, as it is and as the update sees it.

Not here: when it is measured (stack.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

_ITERATIONS = 20
"""Of Lanczos; the largest eigenvalue of a Gauss–Newton kernel stands apart, and is right to a percent then."""


def largest_eigenvalues(
    kernel: Callable[[Tensor], Tensor], start: Float[Tensor, "k n"], iterations: int = _ITERATIONS
) -> Float[Tensor, " k"]:
    """The largest eigenvalues of k symmetric matrices of which only products with vectors are known, by Lanczos.

    Each vector is orthogonalised against all before, twice.

    Args:
        kernel: (k × n) ↦ (k × n), the products.
        start: where to start, not orthogonal to what is looked for.
        iterations: how many products.

    Returns:
        (k) in float64, from below; right to a percent where the largest eigenvalue stands apart.

    >>> matrix = torch.diag(torch.tensor([1.0, 3.0, 9.0]))
    >>> round(largest_eigenvalues(lambda v: v @ matrix, torch.ones(1, 3)).item(), 6)
    9.0
    """
    count, size = start.shape
    basis = start.double() / start.double().norm(dim=1, keepdim=True)
    vectors = basis[:, None, :]
    iterations = min(iterations, size)
    tridiagonal = vectors.new_zeros(count, iterations, iterations)
    for i in range(iterations):
        product = kernel(vectors[:, -1].to(start.dtype)).double()
        tridiagonal[:, i, i] = (product * vectors[:, -1]).sum(1)
        for _ in range(2):
            product = product - torch.einsum("kin,ki->kn", vectors, torch.einsum("kin,kn->ki", vectors, product))
        norm = product.norm(dim=1)
        if i + 1 == iterations:
            break
        tridiagonal[:, i, i + 1] = tridiagonal[:, i + 1, i] = norm
        vectors = torch.cat([vectors, (product / norm.clamp_min(1e-300)[:, None])[:, None]], 1)
    tridiagonal = tridiagonal.cpu()
    finite = tridiagonal.isfinite().all(2).all(1)
    top = torch.linalg.eigvalsh(torch.where(finite[:, None, None], tridiagonal, 0.0))[:, -1]
    return torch.where(finite, top, torch.nan)


def preconditioner(optimizer: Optimizer) -> Tensor | None:
    """P, what the latest update of Adam divided by, √V + ε, with its bias correction; None for plain descent."""
    (group,) = optimizer.param_groups
    (parameter,) = group["params"]
    state = optimizer.state[parameter]
    if "exp_avg_sq" not in state:
        return None
    _, beta2 = group["betas"]
    corrected = 1.0 - beta2 ** float(state["step"])
    root: Tensor = (state["exp_avg_sq"] / corrected).sqrt_()
    return root.add_(group["eps"])


def growth(step: float, beta2: float = 0.999, *, corrected: bool) -> float:
    """How η·λ_max(P⁻¹H) of Adam grows with the step while the labels are fitted, up to a factor.

    There is next to no gradient then, so that V decays by β₂ a step, and P with √V, until P comes down to ε.

    Args:
        step: t.
        beta2: β₂.
        corrected: whether Adam corrects the bias, V/(1 − β₂^t): √(β₂^−t − 1), else β₂^(−t/2).

    >>> [round(growth(t, corrected=True), 2) for t in (100, 1000, 2000)]
    [0.32, 1.31, 2.53]
    """
    decayed = beta2**-step
    return math.sqrt(decayed - 1 if corrected else decayed)


def step_of_instability(stability: float, step: float, beta2: float = 0.999, *, corrected: bool) -> float:
    """The step t* at which Adam becomes unstable after it fitted the labels, by `growth`.

    Args:
        stability: η·λ_max(P⁻¹H) over what the optimizer bears, at a step where the labels are fitted.
        step: that step.
        beta2: β₂.
        corrected: as for `growth`.

    >>> round(step_of_instability(0.118, 100, corrected=True))
    2146
    """
    decayed = (growth(step, beta2, corrected=corrected) / stability) ** 2
    return math.log(decayed + 1 if corrected else decayed) / -math.log(beta2)


def bearable(optimizer: Optimizer) -> float:
    """What η·λ_max(P⁻¹H) a quadratic bears before its steps grow.

    2 for descent, 2 + 2β with momentum β, and (2 + 2β₁)/(1 − β₁) for Adam.

    Source: Cohen et al. (2022), Adaptive gradient methods at the edge of stability, eq. 2.
    """
    group: dict[str, Any] = optimizer.param_groups[0]
    beta1 = group["betas"][0] if "betas" in group else group.get("momentum", 0.0)
    if "betas" in group:
        return float((2 + 2 * beta1) / (1 - beta1))
    return float(2 * (1 + beta1))
