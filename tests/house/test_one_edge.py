"""What is marked as a spike is what the row counts as one, in whatever picture and for matrices of any size."""

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure

from report.unpacking import data_of_page
from spectail import analyze, write_page
from spectail.analysis.row import measure_spectrum
from spectail.plots.evolution_plot import draw_evolution
from spectail.plots.spectrum_plot import AXIS_SCALES, draw_spectrum, spectrum
from spectail.spectra import phases
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.spikes import visible_edge
from spectail.weights.matrix import WeightMatrix

SHAPES = [(60, 40), (300, 200), (1500, 1000)]
PLANTED = [0, 1, 3]


def planted(rows, cols, spikes):
    """A Marchenko–Pastur spectrum with some spikes, and two eigenvalues past λ₊ that are no spikes yet."""
    law, count = MarchenkoPastur(rows, cols, 1 / rows), min(rows, cols)
    values = law.quantile((torch.arange(count) + 0.5) / count)
    high, visible = law.edges[1], visible_edge(law)
    values[count - spikes - 2 : count - spikes] = high + torch.tensor([0.2, 0.8]) * (visible - high)
    values[count - spikes :] = torch.tensor([1.4, 1.9, 2.6][:spikes]) * high
    row = measure_spectrum(values, WeightMatrix("W", "linear", rows, cols, 1, read=lambda: None), nulls=False)
    assert row["n_spikes"] == spikes
    return values.numpy(), row


def bulk_of(row):
    unit = MarchenkoPastur(row["rows"], row["cols"]).edges[1]
    return MarchenkoPastur(row["rows"], row["cols"], row["bulk_edge"] / unit)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spikes", PLANTED)
@pytest.mark.parametrize("axis", AXIS_SCALES)
def test_the_picture_of_a_spectrum_marks_its_spikes(shape, spikes, axis):
    values, row = planted(*shape, spikes)
    ax = draw_spectrum(Figure().subplots(), values, bulk=bulk_of(row), n_spikes=row["n_spikes"], axis=axis)
    marks = [x for line in ax.lines if line.get_marker() == "|" for x in line.get_xdata()]
    shown = values[len(values) - spikes :]
    assert marks == pytest.approx(np.log10(shown) if axis == "log10" else shown)
    (edge,) = (line.get_xdata()[0] for line in ax.lines if "visible edge" in line.get_label())
    at = np.log10(values) if axis == "log10" else values
    assert (at > edge).sum() == spikes  # the marks begin where the line stands


@pytest.mark.parametrize("shape", SHAPES)
def test_the_picture_of_the_evolution_marks_the_spikes_of_each_step(shape):
    spectra, rows = zip(*(planted(*shape, spikes) for spikes in PLANTED), strict=True)
    run = xr.Dataset(
        {name: ("step", [row[name] for row in rows]) for name in ("n_spikes", "bulk_edge")}
        | {"eigenvalues": (("step", "index"), np.array(spectra))},
        {"step": [0, 1, 2]},
    )
    ax = Figure().subplots()
    draw_evolution(ax, run, bulk_of(rows[0]))
    (x,) = (line.get_xdata() for line in ax.lines if "spikes" in line.get_label())
    counts = [int(np.isclose(x, np.log1p(step)).sum()) for step in range(3)]
    assert counts == PLANTED


def noise_and_spikes(rows, cols):
    generator = torch.Generator().manual_seed(0)
    critical = (rows * cols) ** 0.25
    left, right = (torch.linalg.qr(torch.randn(size, 2, generator=generator)).Q for size in (rows, cols))
    return (
        torch.randn(rows, cols, generator=generator) + left @ torch.diag(critical * torch.tensor([2.5, 3.0])) @ right.T
    )


@pytest.mark.parametrize("shape", [(64, 48), (300, 200)])
def test_the_edge_of_a_network_is_that_which_its_spikes_were_counted_by(shape):
    analysis = analyze({"w": noise_and_spikes(*shape)})
    row = analysis.frame.iloc[0]
    assert row["n_spikes"] == (analysis.spectra["w"] > row["visible_edge"]).sum() == 2
    (label,) = (line.get_label() for line in spectrum(analysis).lines if "visible edge" in line.get_label())
    assert label == "visible edge of the fitted bulk"


def test_the_edge_of_spikes_is_said_once_with_nulls_too(monkeypatch):
    spectrum = analyze({"w": noise_and_spikes(64, 48)}).spectra["w"]
    matrix = WeightMatrix("w", "linear", 64, 48, 1, read=lambda: None)
    counts = {}
    for share in (0.002, 1e-30):  # an edge that no untrained matrix passes lies past both spikes, or one
        monkeypatch.setattr(phases, "FALSE_SPIKES", share)
        row = measure_spectrum(torch.from_numpy(spectrum), matrix)
        counts[share] = row["n_spikes"]
        assert row["n_spikes"] == (spectrum > row["visible_edge"]).sum()
    assert counts[0.002] == 2 > counts[1e-30]


def test_an_edge_that_was_counted_by_without_the_norms_says_so(tmp_path):
    scales = torch.linspace(0.4, 2.0, 300)[:, None]
    analysis = analyze({"w": scales * noise_and_spikes(300, 200)})
    row = analysis.frame.iloc[0]
    assert (row["n_spikes"], row["taken_out"]) == (2, "norms")
    ax = spectrum(analysis)
    (line,) = (line for line in ax.lines if "visible edge" in line.get_label())
    assert line.get_label() == "visible edge once norms are taken out"
    assert line.get_xdata()[0] == pytest.approx(np.log10(row["visible_edge"]))
    text = write_page(analysis, tmp_path / "page.html").read_text(encoding="utf-8")
    assert data_of_page(text)[0]["taken_out"]["texts"] == ["norms"]
