"""The law of a fixed matrix plus noise against draws, laws of its parts, and the formulas of a spike."""

import numpy as np
import pytest

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.spikes import spike_eigenvalue, spike_overlap_left, spike_overlap_right
from spectail.spectra.sums import sum_law

SIGNALS = {
    "equal": np.full(200, 6.0),
    "a ramp": np.linspace(20.0, 0.0, 200),
    "a spike on a bulk": np.sort(np.append(np.abs(np.random.default_rng(1).standard_normal(199)) * 3, 60.0))[::-1],
}


def drawn(singular_values, rows, cols, seed=0):
    """Singular values of M + X, and the overlaps with M, left and right, strongest first."""
    rng = np.random.default_rng(seed)
    b = min(rows, cols)
    u, v = (np.linalg.qr(rng.standard_normal((n, b)))[0] for n in (rows, cols))
    left, values, right = np.linalg.svd(
        (u * singular_values) @ v.T + rng.standard_normal((rows, cols)), full_matrices=False
    )
    return values**2, np.square(left.T @ u), np.square(right @ v)


def block_means(overlaps, bounds):
    return np.add.reduceat(np.add.reduceat(overlaps, bounds[:-1], 0), bounds[:-1], 1) / np.outer(*2 * [np.diff(bounds)])


@pytest.mark.parametrize("shape", [(300, 200), (200, 200), (200, 300)])
@pytest.mark.parametrize("name", SIGNALS)
def test_spectrum_and_overlaps_of_draws_are_those_of_the_law(name, shape):
    law, bounds = sum_law(SIGNALS[name], *shape), np.array([0, 1, 40, 80, 120, 160, 200])
    spectrum, left, right = drawn(SIGNALS[name], *shape)
    # eigenvalues repel each other: steps of 1/b, and a few of them of fluctuation
    assert law.distance(spectrum) < 4 / 200
    numbers = np.outer(np.diff(bounds), np.diff(bounds))
    for side, overlaps in (("left", left), ("right", right)):
        expected = law.overlaps(side, bounds, bounds)
        # a squared overlap is its mean times a χ² of one degree of freedom, but for that of the spike with itself
        errors = (block_means(overlaps, bounds) - expected) / (expected * np.sqrt(2 / numbers))
        if name == "a spike on a bulk":
            assert abs(left[0, 0] / expected[0, 0] - 1 if side == "left" else 0) < 0.05, "fluctuates as 1/√h"
            errors[0, 0] = 0.0
        # of 600 blocks in all these tests one is past 4 by chance in 26 draws
        assert (np.abs(errors)[numbers > 1] < 4).all()


def test_noise_alone_has_the_law_of_marchenko_and_pastur_and_overlaps_of_chance():
    law, values = sum_law([], 750, 500, 0.5), np.linspace(30, 1200, 9)
    np.testing.assert_allclose(law.cdf(values), MarchenkoPastur(750, 500, 0.5).cdf(values), atol=1e-4)
    np.testing.assert_allclose(law.overlaps("right", [0, 50, 500], [0, 100, 500]), 1 / 500, rtol=2e-3)
    assert law.overlaps("left", [0, 500], [0, 500])[0, 0] == pytest.approx(1 / 750, rel=2e-3)


def test_a_single_strong_direction_is_the_spike_of_the_formulas():
    law = sum_law([60.0], 750, 500)
    # the law of one direction among 500 has a width of its own, of a few percent of what it says
    assert law.overlaps("left", [0, 1], [0, 1])[0, 0] == pytest.approx(spike_overlap_left(60, 750, 500), rel=5e-3)
    assert law.overlaps("right", [0, 1], [0, 1])[0, 0] == pytest.approx(spike_overlap_right(60, 750, 500), rel=5e-3)
    assert np.interp(1 - 0.5 / 500, law.cumulative, law.points) == pytest.approx(
        spike_eigenvalue(60, 750, 500), rel=5e-3
    )


def test_units_are_those_of_the_weights():
    once, scaled = sum_law([8.0] * 30, 60, 40), sum_law([0.8] * 30, 60, 40, 0.01)
    np.testing.assert_allclose(scaled.cdf([0.5, 1.0, 1.5]), once.cdf([50, 100, 150]), atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([1.0], 0, 5), "^a sum needs positive sizes and a positive variance, not 0 × 5, 1.0$"),
        (([1.0], 4, 5, -1.0), "^a sum needs positive sizes"),
        (([1.0] * 5, 4, 5), r"^M \(4 × 5\) has 4 singular values, finite and none below 0; got 5$"),
        (([np.nan], 4, 5), "^M "),
    ],
)
def test_bad_input_is_said_in_a_sentence(arguments, sentence):
    with pytest.raises(SpectailError, match=sentence):
        sum_law(*arguments)
    with pytest.raises(SpectailError, match=r"^ranks \[0, 9\] do not ascend from 0 to at most 4$"):
        sum_law([1.0], 4, 5).overlaps("left", [0, 9], [0, 1])
