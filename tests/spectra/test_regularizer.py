"""A penalty on the Hill exponent: against finite differences, the exponent that is measured, and what descent does."""

import pytest
import torch

from spectail.spectra.regularizer import hill_penalty
from spectail.spectra.tails import hill


@pytest.fixture
def weights():
    return torch.randn(12, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (6, 6)])
def test_its_gradient_is_that_of_finite_differences(shape):
    w = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(hill_penalty(w, 1.8), w)
    differences = torch.zeros_like(gradient)
    for at in range(w.numel()):
        step = torch.zeros(w.numel(), dtype=torch.float64)
        step[at] = 1e-5
        step = step.view(shape)
        with torch.no_grad():
            differences.view(-1)[at] = (hill_penalty(w + step, 1.8) - hill_penalty(w - step, 1.8)) / 2e-5
    torch.testing.assert_close(gradient, differences, rtol=1e-6, atol=1e-6 * float(gradient.abs().max()))


def test_it_is_the_squared_distance_of_the_exponent_that_is_measured(weights):
    assert float(hill_penalty(weights, 2.5)) == pytest.approx((hill(weights) - 2.5) ** 2, rel=1e-9)


def test_descent_on_it_makes_the_tail_heavier(weights):
    """With a strength that follows a schedule, as with any term of a loss."""
    w = weights.clone().requires_grad_()
    optimizer = torch.optim.SGD([w], lr=0.5)
    for step in range(200):
        optimizer.zero_grad()
        (min(1.0, step / 20) * hill_penalty(w, 1.5)).backward()
        optimizer.step()
    assert hill(weights) > 1.7
    assert hill(w.detach()) == pytest.approx(1.5, abs=0.01)


def test_what_has_no_exponent_is_left_alone():
    w = torch.eye(4).requires_grad_()
    assert hill_penalty(w) == 0
    with pytest.raises(ValueError, match=r"two singular values at least, not \(1, 4\)"):
        hill_penalty(torch.ones(1, 4))
