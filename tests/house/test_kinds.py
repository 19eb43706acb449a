"""Recordings of every kind go through the same reader, plots, page and print."""

import html
import json
import re
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

import spectail
from report.unpacking import data_of_page
from spectail import plots
from spectail.cli import main
from spectail.errors import SettingError, StoreError
from spectail.plots.colours import palette
from spectail.plots.recording_plot import draw_recording
from spectail.recording.layout import each_matrix, eigenvalues_at
from spectail.recording.netcdf import save_recording
from spectail.recording.quantities import Quantity, quantity, select

TRAINING = Path(__file__).parent.parent / "data" / "first_edition" / "training" / "trainings"


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(60, 40), nn.Tanh(), nn.Linear(40, 30))


def monitored():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    x = torch.randn(64, 60)
    with spectail.SpectralMonitor(model, optimizer, when=spectail.every(2)) as monitor:
        for _ in range(6):
            optimizer.zero_grad()
            (model(x).sum(1) - x[:, 0]).square().mean().backward()
            optimizer.step()
    return monitor.recording


def analysed():
    model = network()
    with tempfile.TemporaryDirectory() as folder:
        for step in (0, 10, 20):
            torch.save(model.state_dict(), Path(folder) / f"step-{step}.pt")
            model[0].weight.data.mul_(1 + torch.rand(60))
        return spectail.analyze_series(folder)


MAKE = {
    "two-layer": lambda: spectail.simulate(
        spectail.Experiment(n=200, d=30, h=40, steps=3, n_test=20, n_test_large=20, overlaps=((1, 0),))
    ),
    "monitor": monitored,
    "series": analysed,
    "training": lambda: spectail.load_recording(min(TRAINING.glob("*.nc"))),
    "analysis": lambda: spectail.analyze(network()).recording,
    "comparison": lambda: spectail.compare(network(), nn.Sequential(*[nn.Linear(60, 40), nn.Tanh()])).recording,
}


@pytest.fixture(scope="module", params=MAKE)
def recording(request, tmp_path_factory):
    """One of each kind, as it is read from its file."""
    made = MAKE[request.param]()
    assert made.attrs["of"] == request.param
    path = tmp_path_factory.mktemp("kinds") / "recording.nc"
    save_recording(made, path)
    return spectail.load_recording(path)


@pytest.fixture
def file(recording, tmp_path):
    return save_recording(recording, tmp_path / "recording.nc")


def several(recording):
    return "matrix" in recording.dims


def first_name(recording):
    return str(np.atleast_1d(recording["matrix"].values)[0])


def test_one_matrix_of_any_kind_has_the_shape_of_a_run(recording):
    one = recording.sel(matrix=first_name(recording)) if several(recording) else recording
    assert one["eigenvalues"].dims == ("step", "index")
    assert one["pl_alpha_hill"].dims == ("step",)
    assert one["rows"].dims == one["matrix"].dims == ()


def test_each_matrix_of_any_kind_has_its_whole_spectrum_and_shape(recording):
    for one in each_matrix(recording):
        values = eigenvalues_at(one)
        assert len(values) == int(one["slices"]) * min(int(one["rows"]), int(one["cols"]))
        assert (np.diff(values) >= 0).all()
        if several(recording):
            xr.testing.assert_identical(one, recording.sel(matrix=one["matrix"].item()))


def test_any_kind_is_completed_and_then_has_every_quantity_of_a_spectrum(recording):
    whole = spectail.complete(recording)
    assert {q.name for q in select("null", "spectrum")} <= set(whole.variables)
    for name in recording.variables:
        xr.testing.assert_identical(whole[name].variable, recording[name].variable)
    assert np.isfinite(whole["z_hill"].isel(step=-1).values).any()


def test_events_of_any_kind_are_the_changes_of_its_phases(recording):
    phases = recording["phase"].values.reshape(recording.sizes["step"], -1)
    assert len(spectail.events(recording)) == (phases[1:] != phases[:-1]).sum()


def test_one_spectrum_is_drawn_with_as_many_spikes_as_its_row_counts(recording):
    name = first_name(recording)
    ax = plots.spectrum(recording, matrix=name, ax=Figure().subplots())
    one = recording.sel(matrix=name) if several(recording) else recording
    marks = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "|")
    assert marks == int(one["n_spikes"].isel(step=-1))
    assert str(one["phase"].isel(step=-1).item()) in ax.get_title("left")


def test_a_quantity_is_drawn_over_depth_with_its_symbol(recording):
    ax = plots.over_depth(recording, "stable_rank", ax=Figure().subplots())
    points = np.concatenate([line.get_ydata() for line in ax.lines if line.get_marker() not in ("None", "")])
    assert sorted(points) == sorted(np.atleast_1d(recording["stable_rank"].isel(step=-1).values))
    assert ax.get_ylabel() == quantity("stable_rank").symbol
    assert ax.get_yscale() == quantity("stable_rank").drawn


def test_a_quantity_is_drawn_over_steps(recording):
    ax = plots.over_steps(recording, "pl_alpha_hill", matrix=first_name(recording), ax=Figure().subplots())
    values = recording["pl_alpha_hill"].values.reshape(recording.sizes["step"], -1)[:, 0]
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), values)
    plots.evolution(recording, matrix=first_name(recording), ax=Figure().subplots())


def pictures(recording):
    of_one = {"esd", "evolution"} | ({"overlaps"} if "pair" in recording.sizes else set())
    of_many = {"depth", "spectra"} | ({"steps"} if recording.sizes["step"] > 1 else set())
    return of_many if several(recording) else of_one


def test_every_picture_that_it_can_fill_is_drawn(recording):
    before = plt.get_fignums()
    assert set(draw_recording(recording)) == pictures(recording)
    assert plt.get_fignums() == before, "nothing is left open"


def test_what_is_not_there_is_told_in_a_sentence():
    analysis = spectail.analyze(network())
    for draw, sentence in {
        lambda: plots.spectrum(analysis): "matrix needs a value, such as matrix='0.weight'",
        lambda: plots.spectrum(analysis, matrix="0.weigth"): "did you mean '0.weight'",
        lambda: plots.spectrum(analysis, matrix="0.weight", step=7): "step=7 was not recorded",
        lambda: plots.over_depth(analysis, "stable_rnk"): "did you mean 'stable_rank'",
        lambda: plots.over_depth(analysis, "note"): "is not a number of each matrix",
        lambda: plots.over_steps(analysis, "phase"): "is not a number at each step",
        lambda: plots.overlaps(analysis): "has no overlaps",
    }.items():
        with pytest.raises(SettingError, match=sentence):
            draw()
    with pytest.raises(StoreError, match=r"^list is neither a recording nor results"):
        plots.spectrum([1.0, 2.0])


def heads(recording):
    """Of the numbers of spectra that it holds, and of what is measured of the training."""
    shown = [q for q in map(quantity, map(str, recording.data_vars)) if q.head and q.of in ("spectrum", "training")]
    known = {q.name: recording[q.name] != "" if q.dtype is str else np.isfinite(recording[q.name]) for q in shown}
    return {q.head for q in shown if known[q.name].any()}


def test_the_command_prints_it_under_the_heads_of_its_quantities(recording, file, capsys):
    main(["show", str(file), "--format", "png"])
    printed = capsys.readouterr().out
    words = {word for line in printed.splitlines() for word in re.split(r"\s{2,}", line.strip())}
    assert heads(recording) <= words
    if several(recording):
        assert printed.splitlines()[0].startswith(f"{recording.attrs['title']}: {recording.sizes['matrix']} matri")
        assert {str(one["matrix"].item()) for one in each_matrix(recording)} <= words
    assert {path.stem for path in file.parent.glob("*.png")} == {f"recording-{name}" for name in pictures(recording)}


def test_the_command_writes_its_page(recording, file, capsys):
    main(["report", str(file)])
    page = file.with_suffix(".html")
    assert str(page) in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    data, colours, array = data_of_page(text)
    assert colours == json.loads(json.dumps(palette()))
    assert data["steps"] == recording["step"].values.tolist()
    assert [one["name"] for one in data["matrices"]] == [str(one["matrix"].item()) for one in each_matrix(recording)]
    spikes = recording["n_spikes"].values.reshape(len(data["steps"]), -1).T.ravel()
    np.testing.assert_array_equal(array(data["series"]["n_spikes"]), spikes)
    of_last = array(data["spectra"]["of"]).reshape(len(data["matrices"]), -1)[:, -1]
    assert (array(data["spectra"]["sizes"])[of_last] > 0).all()
    hill = quantity("pl_alpha_hill")
    assert data["quantities"]["pl_alpha_hill"]["symbol"] == hill.symbol
    assert html.escape(hill.text) in text


def test_a_quantity_of_ones_own_is_on_every_axis_table_and_page(tmp_path, capsys):
    own = Quantity("ratio", "λ₁/λ₂", "first over second eigenvalue", drawn="log", head="first/second")
    measured = spectail.analyze(network(), measure={own: lambda values, rows, cols: values[-1] / values[-2]})
    file = save_recording(measured.recording, tmp_path / "own.nc")
    assert plots.over_depth(measured, "ratio", ax=Figure().subplots()).get_ylabel() == "λ₁/λ₂"
    main(["show", str(file), "--format", "png"])
    assert "first/second" in capsys.readouterr().out
    text = spectail.write_page(spectail.load_recording(file), tmp_path / "own.html").read_text(encoding="utf-8")
    assert "first over second eigenvalue" in text
    assert "first/second" in text


def test_a_page_of_something_else_is_refused_in_a_sentence(tmp_path):
    for something in (spectail.analyze(network()).frame, 3, spectail.analyze(network()).recording.drop_vars("matrix")):
        with pytest.raises(SettingError, match=r"^there is no page of a \w+; expected a recording"):
            spectail.write_page(something, tmp_path / "page.html")
    for name in ("one.nc", "other.nc"):
        save_recording(spectail.analyze(network()).recording, tmp_path / name)
    with pytest.raises(SettingError, match="many recordings in one Dataset"):
        spectail.write_page(spectail.load_results(tmp_path), tmp_path / "page.html")
