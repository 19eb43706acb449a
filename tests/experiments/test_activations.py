import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import eval_hermitenorm

from spectail.experiments.activations import ACTIVATIONS

REFERENCES = {
    "softplus": torch.nn.functional.softplus,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x * 1.0,
    "sine": torch.sin,
}
X = torch.linspace(-5, 5, 101, dtype=torch.float64) + 0.013  # off zero, where relu has no slope


def test_names_are_known_without_torch():
    code = "import sys; from spectail.experiments.activations import ACTIVATIONS; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", REFERENCES)
def test_value_and_slope_are_torchs(name):
    x = X.clone().requires_grad_()
    expected = REFERENCES[name](x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(ACTIVATIONS[name](X), expected.detach())
    torch.testing.assert_close(ACTIVATIONS[name].slope(X), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", range(5))
def test_hermite_polynomials_are_the_probabilists(k):
    np.testing.assert_allclose(ACTIVATIONS[f"he{k}"](X), eval_hermitenorm(k, X.numpy()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", range(5))
def test_the_slope_of_a_hermite_polynomial_is_k_times_the_one_before(k):
    before = eval_hermitenorm(k - 1, X.numpy()) if k else np.zeros(len(X))
    np.testing.assert_allclose(ACTIVATIONS[f"he{k}"].slope(X), k * before, rtol=1e-12, atol=1e-12)


def test_hermite_polynomials_are_orthogonal_under_the_gaussian():
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    values = np.stack([ACTIVATIONS[f"he{k}"](torch.from_numpy(nodes)).numpy() for k in range(5)])
    gram = values * weights @ values.T / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(gram, np.diag([math.factorial(k) for k in range(5)]), atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_calling_leaves_the_argument_alone(name):
    x = X.clone()
    ACTIVATIONS[name](x)
    ACTIVATIONS[name].slope(x)
    assert torch.equal(x, X)
