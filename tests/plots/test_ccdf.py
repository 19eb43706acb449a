"""The share of eigenvalues that are at least so large."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.plots.ccdf_plot import ccdf
from spectail.plots.results_plot import phase_diagram
from spectail.plots.selection import initial_law
from spectail.recording.layout import each_matrix

RUN = Experiment(n=40, d=20, h=30, n_test=5, n_test_large=5, steps=1)


def test_it_has_both_steps_and_the_lines_of_the_fits():
    run = simulate(RUN)
    _, mine = plt.subplots()
    ax = ccdf(run, ax=mine)
    assert ax is mine
    first, last, ks, hill = ax.get_lines()
    assert (first.get_label(), last.get_label()) == ("step 0", "step 1")
    values = run.eigenvalues.sel(step=1).values
    np.testing.assert_allclose(last.get_xdata(), values)
    np.testing.assert_allclose(last.get_ydata(), np.arange(20, 0, -1) / 20)
    (x0, x1), (y0, y1) = ks.get_data()
    assert np.log(y1 / y0) / np.log(x1 / x0) == pytest.approx(1 - float(run.pl_alpha_ks.sel(step=1)))
    assert f"{float(run.pl_alpha_hill.sel(step=1)):.2f}" in hill.get_label()


def test_each_layer_has_the_law_that_it_was_drawn_from():
    run = simulate(RUN.replace(layers=(300, 200), initialization="mup", steps=0))
    for one in each_matrix(run):
        assert initial_law(one).edges[1] == pytest.approx(float(one.eigenvalues.sel(step=0).max()), rel=0.15)


def test_a_layer_of_several_is_chosen_by_name():
    run = simulate(RUN.replace(layers=(30, 20)))
    assert ccdf(run, matrix="W2").get_title("left").startswith("W2: ")
    with pytest.raises(ValueError, match="step=5 was not recorded"):
        ccdf(run, matrix="W1", step=5)


def test_a_step_is_a_whole_number_and_a_map_is_of_a_sweep():
    run = simulate(RUN.replace(steps=1))
    for no_step in ("last", 1.5, -1.0, True):
        with pytest.raises(ValueError, match=rf"^step={no_step!r} was not recorded; there are 0, 1$"):
            ccdf(run, step=no_step)
    with pytest.raises(
        ValueError, match=r"^a phase diagram has two axes; phase has only step here, expected results of a sweep$"
    ):
        phase_diagram(run)
