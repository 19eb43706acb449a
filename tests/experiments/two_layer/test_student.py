import numpy as np
import pytest
import torch

from references import naive
from spectail.experiments.activations import ACTIVATIONS
from spectail.experiments.two_layer.student import Student

N, D, H = 11, 5, 7


def parts(initialization, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    scale = 1.0 if initialization == "ntk" else D**-0.5
    return draw(H, D) * scale, draw(H), draw(N, D), draw(N)


def risk(weights, a, x, y, name, initialization):
    """R = Σ (y − f)²/(2n), written for autograd and independent of the class under test."""
    scale = D**-0.5 if initialization == "ntk" else 1.0
    functions = {
        "softplus": torch.nn.functional.softplus,
        "relu": torch.relu,
        "gelu": torch.nn.functional.gelu,
        "identity": lambda z: z,
        "sine": torch.sin,
        "he0": lambda z: z * 0 + 1,
        "he1": lambda z: z,
        "he2": lambda z: z**2 - 1,
        "he3": lambda z: z**3 - 3 * z,
        "he4": lambda z: z**4 - 6 * z**2 + 3,
    }
    sigma = functions.get(name) or getattr(torch, name)
    prediction = a @ sigma(scale * weights @ x.T) / H**0.5
    return ((y - prediction) ** 2).sum() / (2 * N)


@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_closed_form_gradient_is_autograds(name, initialization):
    w, a, x, y = parts(initialization)
    leaf = w.clone().requires_grad_()
    (expected,) = torch.autograd.grad(risk(leaf, a, x, y, name, initialization), leaf)
    student = Student(a, D, name, initialization)
    found = student.gradient(student.residual(w, x, y), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)  # float64 rounding of sums of n terms


@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
@pytest.mark.parametrize("name", ["tanh", "softplus", "gelu", "he3"])
def test_closed_form_gradient_is_the_slope_of_the_risk(name, initialization):
    w, a, x, y = parts(initialization)
    student = Student(a, D, name, initialization)
    gradient = student.gradient(student.residual(w, x, y), x)
    direction = torch.randn(H, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-5  # central differences: error of step², over rounding eps/step
    up, down = (risk(w + s * step * direction, a, x, y, name, initialization) for s in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx(float(up - down) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
def test_residual_is_label_minus_output(initialization):
    w, a, x, y = parts(initialization)
    expected = y.numpy() - naive.forward(w.numpy(), a.numpy(), x.numpy(), np.tanh, initialization)
    found = Student(a, D, "tanh", initialization).residual(w, x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_buffers_that_were_used_before_change_nothing(name):
    w, a, x, y = parts("ntk")
    fresh, used = Student(a, D, name), Student(a, D, name)
    used.hidden(w, torch.randn(40, D, dtype=torch.float64), 0.3)
    used.gradient(used.residual(-w, x, y), x)
    one, other = (s.gradient(s.residual(w, x, y), x) for s in (fresh, used))
    assert torch.equal(one, other)


def test_hidden_is_the_activation_of_the_scaled_preactivation():
    w, a, x, _ = parts("ntk")
    found = Student(a, D, "gelu").hidden(w, x, readout_scale=0.5)
    torch.testing.assert_close(found, ACTIVATIONS["gelu"](0.5 * w @ x.T / D**0.5))
