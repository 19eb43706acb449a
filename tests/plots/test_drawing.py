import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from spectail import plots
from spectail.analysis.completion import complete
from spectail.analysis.null_bands import null_band
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.plots.bands import draw_band, draw_untrained_hill
from spectail.plots.evolution_plot import draw_evolution_and_phases, step_edges
from spectail.plots.look import new_figure
from spectail.plots.overlaps_plot import draw_overlaps
from spectail.plots.picture_files import save_figure
from spectail.plots.recording_plot import draw_recording
from spectail.plots.spectrum_plot import draw_spectrum
from spectail.recording.quantities import quantity
from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.overlap_nulls import largest_overlap_null
from spectail.spectra.spikes import count_spikes

LAW = MarchenkoPastur(150, 100)
BULK = eigenvalues(torch.randn(150, 100, generator=torch.Generator().manual_seed(0))).numpy()


def spikes_of(values):
    """What a row says of a spectrum, for its picture."""
    spectrum = torch.from_numpy(np.sort(values))
    bulk = fit_marchenko_pastur(spectrum, LAW.rows, LAW.cols)
    return {"bulk": bulk, "n_spikes": count_spikes(spectrum, bulk)}


def axes():
    return Figure().subplots()


@pytest.mark.parametrize("spike", [1.5, 2.9, 50.0])
@pytest.mark.parametrize("axis", ["linear", "log10"])
def test_every_spike_is_marked_or_named_at_the_margin(axis, spike):
    values = BULK.copy()
    values[-1] = spike * LAW.edges[1]
    ax = draw_spectrum(axes(), values, initial=BULK, law=LAW, axis=axis, **spikes_of(values))
    triangles = [line for line in ax.lines if line.get_marker() == "v"]
    named = [text for text in ax.texts if "lambda_1" in text.get_text()]
    assert len(triangles) + len(named) == 1
    if triangles:
        x = values[-1] if axis == "linear" else np.log10(values[-1])
        assert triangles[0].get_xdata() == pytest.approx([x])


@pytest.mark.parametrize("axis", ["linear", "log10"])
def test_bars_and_law_have_the_same_area(axis):
    ax = draw_spectrum(axes(), BULK, law=LAW, axis=axis)
    (patch,) = ax.patches
    heights, edges, _ = patch.get_data()
    bars = float((heights * np.diff(edges)).sum())
    (curve,) = [line for line in ax.lines if "Pastur" in line.get_label()]
    x, y = (np.asarray(v) for v in curve.get_data())
    law = np.trapezoid(np.nan_to_num(y), x)
    assert bars == pytest.approx(1.0, abs=0.03)  # 100 eigenvalues; the last bin ends at the edge
    assert law == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("sizes", [{"d": 1, "h": 1}, {"d": 1, "h": 5}, {"d": 2, "h": 1}, {"d": 3, "h": 2}])
@pytest.mark.parametrize("steps", [0, 1])
def test_the_smallest_runs_are_drawn(sizes, steps, tmp_path):
    run = simulate(Experiment(n=3, n_test=1, n_test_large=1, steps=steps, **sizes))
    for name, figure in draw_recording(run).items():
        save_figure(figure, tmp_path / name)


def test_square_matrices_whose_law_has_a_pole_are_drawn():
    square = eigenvalues(torch.randn(80, 80, generator=torch.Generator().manual_seed(1))).numpy()
    ax = draw_spectrum(axes(), square, law=MarchenkoPastur(80, 80), axis="linear")
    assert np.isfinite(ax.get_ylim()).all()


def test_a_band_is_the_mean_and_the_population_deviation_and_skips_missing_runs():
    ax = draw_band(axes(), [1, 2, 3], [[1.0, 2.0, np.nan], [3.0, 2.0, np.nan]], color="k")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2.0, 2.0, np.nan])
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(3.0)  # 2 + std(ddof=0) = 1


def test_the_untrained_exponent_is_a_line_at_its_value():
    ax = draw_untrained_hill(axes(), LAW.hill())
    assert ax.lines[0].get_ydata()[0] == LAW.hill()


def test_columns_of_the_evolution_touch_and_hold_their_step():
    edges = step_edges(np.array([0, 1, 5, 50]))
    assert (np.diff(edges) > 0).all()
    for k, step in enumerate([0, 1, 5, 50]):
        assert edges[k] < np.log1p(step) < edges[k + 1]


def test_a_bulk_that_has_left_its_place_is_not_marked_as_detached():
    """Its upper end lies past the edge of its own fit, without a gap; only the eigenvalue far above is detached."""
    values = np.append(np.geomspace(3.0, 300.0, 200), 3000.0) * LAW.edges[1]
    ax = draw_spectrum(axes(), values, law=LAW, **spikes_of(values))
    (triangles,) = (line for line in ax.lines if line.get_marker() == "v")
    assert triangles.get_xdata() == pytest.approx([np.log10(values[-1])])


def test_the_largest_overlap_is_marked():
    overlaps = np.full((60, 60), 1e-3)
    overlaps[2, 4] = 0.9
    ax = axes()
    draw_overlaps(ax, overlaps)
    assert (ax.lines[0].get_xdata()[0], ax.lines[0].get_ydata()[0]) == (5, 3)


def test_all_overlaps_are_shown_each_cell_the_mean_of_what_is_known_of_it():
    overlaps = np.full((1000, 1000), 2e-3)
    overlaps[0, 0], overlaps[:, 700:] = 0.9, np.nan
    ax = axes()
    image = draw_overlaps(ax, overlaps, size=None)
    cells = image.get_array()
    assert cells[0, 0] == pytest.approx(0.9), "the leading directions have cells of their own"
    assert cells[-1, 0] == pytest.approx(2e-3)
    assert np.ma.getmaskarray(cells)[:, -1].all()
    assert ax.get_xlim()[1] > 999
    assert ax.get_xscale() == "log"


def test_a_spike_far_from_the_bulk_has_a_part_of_a_linear_axis_of_its_own():
    values = np.append(BULK, 20 * LAW.edges[1])
    ax = draw_spectrum(axes(), values, law=LAW, axis="linear", **spikes_of(values))
    (triangles,) = (line for line in ax.lines if line.get_marker() == "v")
    at = {x: ax.transAxes.inverted().transform(ax.transData.transform((x, 0)))[0] for x in (LAW.edges[1], values[-1])}
    assert triangles.get_xdata() == pytest.approx([values[-1]])
    assert at[LAW.edges[1]] > 0.7, "the bulk keeps its place"
    assert 0.8 < at[values[-1]] < 1.0
    assert not ax.texts
    many = np.append(np.tile(BULK, 10), np.geomspace(10, 20, 9) * LAW.edges[1])
    (further,) = draw_spectrum(axes(), many, law=LAW, axis="linear", **spikes_of(many)).texts
    assert further.get_text().startswith("9 further")


def test_the_part_past_a_rank_is_empty_and_says_so():
    overlaps = np.full((60, 60), 1e-3)
    overlaps[2, 4] = 0.9
    overlaps[:, 12:] = np.nan
    ax = axes()
    image = draw_overlaps(ax, overlaps)
    assert np.ma.getmaskarray(image.get_array()).sum() == 50 * 38
    assert (ax.lines[0].get_xdata()[0], ax.lines[0].get_ydata()[0]) == (5, 3)
    assert [text.get_text() for text in ax.texts] == ["past the rank of $M$, 12"]
    overlaps[20:] = np.nan
    ax = axes()
    draw_overlaps(ax, overlaps)
    assert [text.get_text() for text in ax.texts] == ["past the rank of $M$, 12", "past the rank of $W$, 20"]
    nothing = axes()
    draw_overlaps(nothing, np.full((5, 5), np.nan))
    assert not nothing.lines
    assert nothing.texts


def test_the_colour_bar_of_overlaps_marks_what_independent_directions_have():
    e = Experiment(n=60, n_test=5, n_test_large=5, d=20, h=30, steps=1, overlaps=((1, 0),))
    run = simulate(e)
    ax = plots.overlaps(run, side="right")
    levels = {line.get_ydata()[0] for line in ax.figure.axes[-1].lines}
    assert levels == {1 / 20, largest_overlap_null(20, 400).mean}
    short = plots.overlaps(run.assign_attrs(overlap_ranks="[[20, 7]]"))
    assert [text.get_text() for text in short.texts] == ["past the rank of $M$, 7"]
    assert {line.get_ydata()[0] for line in short.figure.axes[-1].lines} == {
        1 / 30,
        largest_overlap_null(30, 20 * 7).mean,
    }


@pytest.mark.parametrize("name", ["kta", "alignment", "pl_alpha_hill", "stable_rank"])
def test_a_curve_over_steps_has_the_band_of_its_null(name):
    run = simulate(Experiment(n=60, n_test=5, n_test_large=5, d=20, h=30, steps=3))
    ax = plots.over_steps(run, name, ax=axes())
    low, _, high = null_band(complete(run), quantity(name))
    (band,) = [patch for patch in (*ax.collections, *ax.patches) if "± 2 sd" in patch.get_label()]
    extent = band.get_paths()[0].vertices[:, 1] if band in ax.collections else band.get_corners()[:, 1]
    assert (extent.min(), extent.max()) == pytest.approx((np.min(low), np.max(high)))


def test_the_evolution_of_a_run_has_bands_for_sim_and_kta():
    run = simulate(Experiment(n=60, n_test=5, n_test_large=5, d=20, h=30, steps=3))
    labels = draw_recording(run)["evolution"].axes[3].get_legend_handles_labels()[1]
    assert {"KTA by chance, ± 2 sd", "sim(W, β*) by chance, ± 2 sd"} <= set(labels)
    older = run.copy()
    del older.attrs["null_kta"]
    labels = draw_recording(older)["evolution"].axes[3].get_legend_handles_labels()[1]
    assert "KTA by chance, ± 2 sd" not in labels


def test_a_run_has_its_figures_even_if_it_diverged_at_once():
    e = Experiment(n=30, n_test=5, n_test_large=5, d=10, h=15, steps=3, overlaps=((1, 0),))
    run = simulate(e)
    assert set(draw_recording(run)) == {"esd", "evolution", "overlaps"}
    assert draw_recording(run.isel(step=slice(0, 0))) == {}
    assert set(draw_recording(run.isel(step=[0]).drop_dims("pair"))) == {"esd"}


def test_a_figure_that_cannot_be_saved_leaves_no_part(tmp_path, monkeypatch):
    figure, _ = new_figure(1, 1, 2.0)
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **k: path.write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_figure(figure, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_its_own_has_the_look_of_a_page_in_all_its_parts_and_shows_itself_in_a_notebook():
    run = simulate(Experiment(n=40, n_test=10, n_test_large=20, d=20, h=30, steps=2))
    ax = plots.evolution(run)
    (bar,) = [each for each in ax.figure.axes if each is not ax]
    (legend,) = ax.figure.legends
    with plots.style("page"):
        assert bar.yaxis.label.get_size() == matplotlib.rcParams["axes.labelsize"] == ax.xaxis.label.get_size()
        assert legend.get_texts()[0].get_size() == matplotlib.rcParams["legend.fontsize"]
    assert ax._repr_png_().startswith(b"\x89PNG")
    others = Figure().subplots()
    assert plots.evolution(run, ax=others) is others


def test_a_phase_that_is_too_short_for_its_name_stands_in_the_legend():
    run = simulate(Experiment(n=60, n_test=9, n_test_large=9, d=30, h=40, steps=40, record=range(41)))
    words = ["random-like"] * 20 + ["bulk-decay"] + ["heavy-tailed"] * 20
    _, (strip, density) = new_figure(2, 1, 4.0)
    draw_evolution_and_phases(strip, density, run.assign(phase=("step", words)), None)
    named = {text.get_text() for text in strip.texts}
    entries = {text.get_text() for text in density.get_legend().get_texts()}
    assert named == {"random-like", "heavy-tailed"}
    assert "bulk-decay" in entries
    assert not named & entries
