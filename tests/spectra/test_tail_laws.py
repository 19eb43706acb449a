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
def test_a_law_is_the_spectrum_of_matrices_with_its_population(name, parameters, transposed):
    rows, cols = 360, 240
    law = spectrum_law(BY_NAME[name], parameters, rows, cols, transposed)
    stream = np.random.default_rng(0)
    side = rows if transposed else cols
    shares = []
    for _ in range(6):
        noise = stream.standard_normal((rows, cols))
        scales = np.sqrt(law.law.draw(side, stream))
        weights = (scales[:, None] * noise if transposed else noise * scales) / math.sqrt(cols if transposed else rows)
        shares.append(law.share_below(np.log(np.linalg.svd(weights, compute_uv=False) ** 2)))
    evenly = (np.arange(6 * cols) + 0.5) / (6 * cols)
    # Kolmogorov's distance of as many independent population values is below 1.63/√n in 99 %; 0.012 is the grid's
    assert np.abs(np.sort(np.concatenate(shares)) - evenly).max() < 1.63 / math.sqrt(6 * side) + 0.012


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_law_has_mass_one(family):
    middle = tuple(values[len(values) // 2] for values in family.grid)
    law = spectrum_law(family, middle, 200, 100)
    assert np.exp(law.log_density).sum() * STEP == pytest.approx(1, abs=0.01)
    assert law.law.weights.sum() == pytest.approx(1)
    assert law.share_below(np.array([law.median]))[0] == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(law.log_density).all()
