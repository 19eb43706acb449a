import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from references import naive
from spectail.experiments.two_layer import readout as readout_module
from spectail.experiments.two_layer.readout import fit_readout, readout_loss


def problem(h=13, n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(h, n, generator=generator, dtype=torch.float64) / h**0.5
    return features, torch.randn(n, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("h", "n"), [(13, 40), (40, 13), (20, 20)])
@pytest.mark.parametrize("ridge", [1e-4, 0.01, 1.0])
def test_readout_is_scikit_learns_ridge(h, n, ridge):
    features, y = problem(h, n)
    found = fit_readout(features, y, ridge)
    reference = Ridge(alpha=ridge * n / h, fit_intercept=False, solver="svd").fit(features.T.numpy(), y.numpy())
    np.testing.assert_allclose(found.a_hat, reference.coef_, rtol=1e-8, atol=1e-10)
    expected = np.mean((y.numpy() - reference.predict(features.T.numpy())) ** 2)
    assert found.train_loss == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("h", "n"), [(13, 40), (40, 13)])
def test_kta_is_that_of_the_full_kernel_matrix(h, n):
    features, y = problem(h, n)
    expected = naive.kernel_target_alignment(features.numpy(), y.numpy())
    assert fit_readout(features, y, 0.01).kta == pytest.approx(expected, rel=1e-12)


def test_kta_of_a_kernel_that_is_the_target_is_one_and_does_not_depend_on_scale():
    _, y = problem()
    assert fit_readout(y[None, :], y, 0.01).kta == pytest.approx(1.0)
    features, y = problem()
    assert fit_readout(1e-3 * features, y, 0.01).kta == pytest.approx(fit_readout(features, y, 0.01).kta)


def test_the_null_of_kta_is_that_of_shuffled_labels():
    """Features with a mean and labels with a mean, as of a softplus teacher, so that chance is far from zero."""
    features, y = problem(13, 60)
    features, y = features + 0.1, y + 0.8
    readout, stream = fit_readout(features, y, 0.01), np.random.default_rng(0)
    kernel = (features.T @ features).numpy()
    scale = np.linalg.norm(kernel) * float(y.square().sum())
    orders = np.array([stream.permutation(y.numpy()) for _ in range(4000)])
    draws = np.einsum("ki,ij,kj->k", orders, kernel, orders, optimize=True) / scale
    assert draws.mean() == pytest.approx(readout.null_kta, rel=0.01)
    assert draws.std() == pytest.approx(readout.null_spread_kta, rel=0.05)  # 60 labels are nearly Gaussian sums


def test_slices_change_nothing_but_rounding(monkeypatch):
    features, y = problem()
    whole = fit_readout(features, y, 0.01)
    monkeypatch.setattr(readout_module, "SLICE", 7)
    sliced = fit_readout(features, y, 0.01)
    torch.testing.assert_close(sliced.a_hat, whole.a_hat)
    assert (sliced.train_loss, sliced.kta) == pytest.approx((whole.train_loss, whole.kta))


def test_a_gram_matrix_that_rounding_makes_indefinite_is_solved_by_least_squares():
    features, y = problem(30, 10)  # rank 10 of 30
    found = fit_readout(1e9 * features, y, 1e-12)
    assert np.isfinite(found.train_loss)
    assert found.train_loss < 1e-6  # 30 features interpolate 10 labels


def test_features_that_overflowed_give_nan_and_no_error():
    features, y = problem()
    features[0, 0] = float("inf")
    found = fit_readout(features, y, 0.01)
    assert np.isnan([found.train_loss, found.kta]).all()


def test_loss_on_further_points_is_the_mean_squared_error(monkeypatch):
    features, y = problem(13, 40)
    found = fit_readout(features, y, 0.01)
    monkeypatch.setattr(readout_module, "SLICE", 9)
    assert readout_loss(found, lambda part: features[:, part], y) == pytest.approx(found.train_loss)
