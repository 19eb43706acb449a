import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from spectail import Experiment, analyze, lazy_results, load_recording, plots, simulate
from spectail.experiments.theory import critical_lr
from spectail.experiments.two_layer.stack import largest_stable_lr, simulate_stack
from spectail.spectra.overlap_nulls import alignment_null
from spectail.store.results import experiment_at
from spectail.sweeps.sweep import sweep

GRID = {
    "fixed": {"n": 60, "d": 30, "n_test": 5, "n_test_large": 9, "steps": 1},
    "axes": {"h": [20, 40, 80], "seed": [0, 1, 2]},
    "cases": [
        {"optimizer": "gd", "lr": {"log": [1, 1000], "points": 4}},
        {"optimizer": "adam", "lr": {"log": [0.01, 10], "points": 4}},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    sweep(GRID, folder)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return lazy_results(folder)


def new_axes():
    return Figure().subplots()


def test_a_curve_is_the_mean_over_repeats_where_there_are_runs(results):
    ax = plots.curves(results, "test_loss_large", optimizer="adam", h=40)
    (line,) = ax.get_lines()
    expected = results.test_loss_large.sel(optimizer="adam", h=40, step=1, lr=[0.01, 0.1, 1, 10]).mean("seed")
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "test loss"


def test_a_curve_for_each_value_of_an_axis(results):
    ax = plots.curves(results, "kta", by="h", ax=new_axes(), optimizer="gd")
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == ["h = 20", "h = 40", "h = 80", "by chance, ± 2 sd"]


def bands(ax):
    """What is drawn by chance: the typical values."""
    return [np.asarray(line.get_ydata()) for line in ax.lines if line.get_linestyle() == ":"]


def test_kta_and_sim_have_what_they_are_by_chance_and_losses_have_not(results):
    where = {"optimizer": "adam", "h": 40}
    (typical,) = bands(plots.curves(results, "kta", ax=new_axes(), **where))
    of_runs = results.null_kta.sel(step=1, lr=[0.01, 0.1, 1, 10], **where)
    np.testing.assert_allclose(typical, of_runs.mean("seed"), rtol=1e-12)
    (typical,) = bands(plots.curves(results, "alignment", by="h", ax=new_axes(), optimizer="adam"))
    assert set(typical) == {alignment_null(30).mean}  # the same for every h: one band
    assert len(bands(plots.curves(results, "kta", by="h", ax=new_axes(), optimizer="adam"))) == 3
    assert bands(plots.curves(results, "test_loss_large", ax=new_axes(), **where)) == []
    older = results.drop_vars(["null_kta", "null_spread_kta"])
    assert bands(plots.curves(older, "kta", ax=new_axes(), **where)) == []


def test_a_phase_diagram_has_the_predicted_critical_learning_rates(results):
    ax = plots.phase_diagram(results, optimizer="adam")
    (line,) = ax.get_lines()
    etas, heights = line.get_data()
    assert list(heights) == [20, 40, 80]
    for eta, h in zip(etas, heights, strict=True):
        assert eta == critical_lr(experiment_at(results, optimizer="adam", h=int(h), lr=0.01, seed=0))
    low, high = ax.get_xlim()
    assert low < 0.01 < 10 < high < 100  # GD's learning rates have no column


def test_a_phase_diagram_has_the_measured_largest_stable_learning_rates(results):
    ax = plots.phase_diagram(results, optimizer="gd", critical=False, stable=True, ax=new_axes())
    (line,) = ax.get_lines()
    etas, heights = line.get_data()
    assert list(heights) == [20, 40, 80]
    for eta, h in zip(etas, heights, strict=True):
        runs = [experiment_at(results, optimizer="gd", h=int(h), lr=0.01, seed=seed) for seed in results.seed.values]
        assert eta == pytest.approx(np.mean([largest_stable_lr(run) for run in runs]))
        # in the closed form a step at that rate is as large as the sharpest direction of the loss bears
        [beyond] = simulate_stack([runs[0].replace(steps=1, record=(0,), lr=4 * eta)])
        assert beyond.stability[0][1] > 2


def test_a_cell_is_divided_between_the_phases_of_its_repeats(results):
    mixed = results.copy()
    mixed["phase"] = mixed.phase.copy(data=np.full(mixed.phase.shape, "random-like", object))
    mixed.phase.loc[{"seed": 2}] = "heavy-tailed"
    ax = plots.phase_diagram(mixed, optimizer="gd", critical=False, ax=new_axes())
    (mesh,) = ax.collections
    stripes = np.asarray(mesh.get_array()).reshape(9, -1)
    column = stripes[:, -1].reshape(3, 3)
    assert (column[:, :2] == column[0, 0]).all()
    assert (column[:, 2] != column[0, 0]).all()


def test_a_diagram_may_show_a_variable(results):
    ax = plots.phase_diagram(results, colour="pl_alpha_hill", optimizer="gd", step=0, ax=new_axes())
    assert ax.figure.axes[-1].get_ylabel() == r"α$_{\mathrm{H}}$"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda r: plots.curves(r, "kat", optimizer="gd", h=20), "variable='kat' is not known; did you mean 'kta'"),
        (lambda r: plots.curves(r, "kta"), "(h and optimizer|optimizer and h) need values, such as"),
        (
            lambda r: plots.curves(r, "phase", optimizer="gd", h=20),
            "variable='phase' is words; expected one of numbers",
        ),
        (lambda r: plots.phase_diagram(r.isel(lr=0, optimizer=0, h=0, step=0)), "is a single number here"),
        (lambda r: plots.phase_diagram(r.isel(lr=0, optimizer=0, h=0)), "has two axes; phase has only step here"),
        (lambda r: plots.spectrum(r), r"expected one of the results, such as .sel\("),
        (lambda r: plots.curves([1, 2]), "^list is neither a recording nor results; expected one, or its path"),
        (lambda r: plots.curves(r, "kta", optimiser="gd"), "axis='optimiser' is not known; did you mean 'optimizer'"),
        (lambda r: plots.phase_diagram(r, x="d", optimizer="gd"), "axis='d' is not known"),
        (lambda r: plots.curves(r, "kta", optimizer="sgd", h=20), "there is no run at optimizer='sgd'; there are"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(results, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(results)


def test_an_axis_of_words_has_a_cell_a_word(results):
    d_h = {name: results[name].values[0] for name in ("h",) if name in results.dims}
    ax = plots.phase_diagram(results, y="optimizer", ax=new_axes(), **d_h)
    words = results.optimizer.values.tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == words
    assert ax.get_ylim() == (-0.5, len(words) - 0.5)


def test_the_example_of_a_phase_diagram_draws_a_folder_and_writes_its_numbers(tmp_path):
    protocols = ["equations", "published"]
    sweep({**GRID, "axes": {"h": [20, 40], "protocol": protocols, "seed": [0, 1]}}, tmp_path / "runs")
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "phase_diagram.py"))
    example["main"](tmp_path / "runs", tmp_path)
    pictures = {f"phase-diagram-{protocol}.{kind}" for protocol in protocols for kind in ("png", "pdf")}
    assert {path.name for path in tmp_path.iterdir()} == {*pictures, "phase-diagram.csv", "runs"}
    _, *rows = (tmp_path / "phase-diagram.csv").read_text(encoding="utf-8").splitlines()
    assert len({tuple(row.split(",")[:6]) for row in rows}) == len(rows) == 2 * 8 * 2 * 2  # h, rates, protocols, seeds


TINY = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "steps": 2}


def test_one_run_is_drawn_over_its_steps_and_its_layers():
    run = simulate(Experiment(**TINY, h=30))
    ax = plots.curves(run, "kta")
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), run.kta)
    assert ax.get_xlabel() == "step $t$"
    assert len(bands(ax)) == 1
    deeper = simulate(Experiment(**TINY, layers=(30, 25)))
    ax = plots.curves(deeper)
    np.testing.assert_array_equal(ax.get_lines()[1].get_ydata(), deeper.pl_alpha_hill.sel(matrix="W2"))
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == ["W1", "W2"]
    diagram = plots.phase_diagram(deeper)
    assert [label.get_text() for label in diagram.get_yticklabels()] == ["W1", "W2"]


def test_an_analysis_is_drawn_over_its_matrices():
    analysis = analyze({"a": torch.randn(30, 20), "b": torch.randn(20, 10)}, nulls=False)
    ax = plots.curves(analysis, "stable_rank")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), analysis.recording.stable_rank.isel(step=-1))


def test_what_is_left_has_a_curve_for_each_value_and_steps_stand_in_for_a_second_axis(results):
    ax = plots.curves(results, "test_loss", optimizer="gd")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["h = 20", "h = 40", "h = 80"]
    assert plots.curves(results, "kta", "step", optimizer="gd", lr=10.0).get_xlabel() == "step $t$"
    words = plots.curves(results, "kta", "optimizer", h=20, lr=10.0)
    assert [label.get_text() for label in words.get_xticklabels()] == results.optimizer.values.tolist()
    only_rates = results.sel(optimizer="gd", h=20)
    ax = plots.phase_diagram(only_rates)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step $t$", r"learning rate $\eta$")


def test_a_folder_and_a_file_are_drawn_by_their_paths(results, folder):
    key = results.key.sel(optimizer="gd", lr=10, h=40, seed=0).item()
    run = load_recording(folder / "runs" / f"{key}.nc")
    np.testing.assert_array_equal(plots.curves(folder / "runs" / f"{key}.nc").lines[0].get_ydata(), run.pl_alpha_hill)
    assert len(plots.curves(str(folder), "kta", optimizer="gd").get_lines()) >= 3


@pytest.mark.parametrize("draw", [plots.spectrum, plots.evolution, plots.ccdf, plots.over_steps])
def test_a_run_that_is_chosen_of_results_is_drawn_as_the_run_itself(results, folder, draw):
    cell = results.sel(optimizer="gd", lr=10, h=40, seed=0)
    run = load_recording(folder / "runs" / f"{cell.key.item()}.nc")
    one, other = draw(cell), draw(run)
    assert one.get_title("left") == other.get_title("left")
    assert one.get_legend_handles_labels()[1] == other.get_legend_handles_labels()[1]
    for mine, its in zip(one.get_lines(), other.get_lines(), strict=True):
        np.testing.assert_array_equal(mine.get_xydata(), its.get_xydata())
