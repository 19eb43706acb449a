"""The density of a spectrum, by the population, is the one that matrices have."""

import math

import numpy as np
import pytest
import torch

from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.tail_laws import FAMILIES, STEP, spectrum_law

BY_NAME = {family.name: family for family in FAMILIES}


def test_one_variance_gives_the_law_of_marchenko_and_pastur():
    law, reference = spectrum_law(BY_NAME["one variance"], (), 300, 200), MarchenkoPastur(300, 200, 1 / 300)
    points = np.log(np.quantile(np.linspace(*reference.edges, 99), np.linspace(0.1, 0.9, 9)))
    exact = reference.cdf(torch.from_numpy(np.exp(points))).numpy()
    assert law.share_below(points) == pytest.approx(exact, abs=0.02)  # smoothed over a twentieth of λ, on steps of 0.1


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "cols", "matrices"), [(360, 240, 6), (64, 3, 1000), (12, 24, 250)])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("power law", (1.5,)),
        ("lognormal", (1.0,)),
        ("exponential", ()),
        ("truncated power law", (1.0, 0.03)),
        ("uniform scales", (0.5,)),
        ("exponential above a bulk", (10.0, 0.3)),
        ("noise of a lower rank", (0.2, 4.0)),
    ],
)
def test_a_law_is_the_spectrum_of_matrices_with_its_population(name, parameters, rows, cols, matrices, transposed):
    """The limit of many columns is not that of three: of 64 × 3 it lost half of what tells laws from each other."""
    law = spectrum_law(BY_NAME[name], parameters, rows, cols, transposed)
    stream = np.random.default_rng(0)
    noise = stream.standard_normal((matrices, rows, cols))
    side, other = (rows, cols) if transposed else (cols, rows)
    scales = np.sqrt(law.law.draw(matrices * side, stream)).reshape(matrices, side)
    weights = (noise * (scales[:, :, None] if transposed else scales[:, None])) / math.sqrt(other)
    shares = np.sort(law.share_below(np.log(np.linalg.svd(weights, compute_uv=False) ** 2)).ravel())
    evenly = (np.arange(len(shares)) + 0.5) / len(shares)
    # Kolmogorov's distance of as many independent values is below 1.63/√n in 99 %; 0.012 is the grid's
    assert np.abs(shares - evenly).max() < 1.63 / math.sqrt(len(shares)) + 0.012


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_law_has_mass_one(family):
    middle = tuple(values[len(values) // 2] for values in family.grid)
    law = spectrum_law(family, middle, 200, 100)
    assert np.exp(law.log_density).sum() * STEP == pytest.approx(1, abs=0.01)
    assert law.law.weights.sum() == pytest.approx(1)
    assert law.share_below(np.array([law.median]))[0] == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(law.log_density).all()
