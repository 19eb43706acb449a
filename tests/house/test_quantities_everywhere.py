"""A quantity is added by its entry in the table and the line that computes it; everything else follows from these."""

import runpy
from pathlib import Path

import pytest
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

import spectail
from spectail.analysis import row
from spectail.plots import over_depth, over_steps
from spectail.recording import quantities
from spectail.recording.netcdf import save_recording
from spectail.report.terminal.recording import print_recording

MADE_UP = spectail.Quantity(
    "made_up", "µ", "something made up of the eigenvalues", unit="w²", head="made", drawn="log", formula="2.5 λ₁"
)


def model():
    return nn.Sequential(nn.Linear(30, 20, bias=False), nn.Linear(20, 15, bias=False))


@pytest.fixture
def analysis(monkeypatch):
    """Of a package that has one more quantity: its entry, and a line in the function that makes rows."""
    monkeypatch.setattr(quantities, "QUANTITIES", (*quantities.QUANTITIES, MADE_UP))
    before = row._sizes
    monkeypatch.setattr(
        row, "_sizes", lambda spectrum, matrix: before(spectrum, matrix) | {"made_up": 2.5 * float(spectrum[-1])}
    )
    return spectail.analyze(model(), nulls=False)


def expected(analysis):
    return [2.5 * spectrum[-1] for spectrum in analysis.spectra.values()]


ROUNDING = 1e-6  # of a spectrum that is kept in float32


def test_it_is_in_the_table_that_users_see(analysis):
    assert spectail.quantities().loc["made_up", "text"] == MADE_UP.text


def test_it_is_a_column_and_a_labelled_variable(analysis):
    assert analysis.frame["made_up"].tolist() == pytest.approx(expected(analysis), rel=ROUNDING)
    variable = analysis.recording["made_up"]
    assert variable.dims == ("step", "matrix")
    assert variable.attrs == MADE_UP.attributes
    assert variable.attrs["long_name"] == MADE_UP.text


def test_it_is_in_the_file_and_is_read_back(analysis, tmp_path):
    path = save_recording(analysis.recording, tmp_path / "analysis.nc")
    xr.testing.assert_identical(spectail.load_recording(path)["made_up"], analysis.recording["made_up"])


def test_a_monitor_hands_it_on_and_keeps_it_in_its_file_and_journal(analysis, tmp_path):
    steps = []
    monitor = spectail.SpectralMonitor(
        model(), path=tmp_path / "run.nc", nulls=False, when=spectail.every(1), on_measurement=steps.append
    )
    monitor.step()
    assert all("made_up" in one for one in steps[-1].rows)
    with_journal = spectail.load_recording(tmp_path / "run.nc")["made_up"]
    assert with_journal.sizes["step"] == 2
    monitor.close()
    xr.testing.assert_identical(spectail.load_recording(tmp_path / "run.nc")["made_up"], with_journal)


def test_a_recording_that_lacks_it_is_completed(analysis):
    older = analysis.recording.drop_vars("made_up")
    values = spectail.complete(older)["made_up"].values[0].tolist()
    assert values == pytest.approx(expected(analysis), rel=ROUNDING)


@pytest.mark.usefixtures("analysis")
def test_a_run_of_the_laboratory_has_it_where_it_is_asked_for():
    run = spectail.simulate(spectail.Experiment(n=40, n_test=9, n_test_large=9, d=20, h=30, steps=1))
    assert spectail.complete(run)["made_up"].values == pytest.approx(2.5 * run.eigenvalues.values[:, -1], rel=ROUNDING)
    assert spectail.complete(run)["made_up"].attrs == MADE_UP.attributes


@pytest.mark.usefixtures("analysis")
def test_the_reference_lists_it_and_has_a_page_of_it():
    reference = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "generated_reference.py"))
    page = reference["_quantity_page"](MADE_UP)
    assert all(part in page for part in ("made_up", MADE_UP.symbol, MADE_UP.head, MADE_UP.formula))
    assert "(quantity-made_up.md)" in reference["_quantities_page"]()


def heads(out):
    """Of the table's columns: the line above its rule."""
    lines = out.splitlines()
    return lines[next(i for i, line in enumerate(lines) if "──" in line) - 1].split()


def test_it_is_a_column_on_the_terminal(analysis, capsys):
    print_recording(analysis.recording)
    assert "made" in heads(capsys.readouterr().out)


def test_a_page_shows_it_and_explains_it(analysis, tmp_path):
    text = spectail.write_page(analysis, tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(part in text for part in ("made_up", MADE_UP.symbol, MADE_UP.head, MADE_UP.text))


@pytest.mark.parametrize("draw", [over_depth, over_steps])
def test_it_labels_an_axis_and_chooses_its_scale(analysis, draw):
    ax = draw(analysis.recording, "made_up", ax=Figure().subplots())
    assert ax.get_ylabel() == "µ (squared units of the weights)"
    assert ax.get_yscale() == "log"


def test_a_users_own_quantity_goes_everywhere_as_well(tmp_path, capsys):
    own = spectail.Quantity("own", "ω", "a quantity of one's own", head="mine", drawn="log")
    analysis = spectail.analyze(model(), nulls=False, measure={own: lambda values, rows, cols: rows + cols / 100})
    path = save_recording(analysis.recording, tmp_path / "analysis.nc")
    recording = spectail.load_recording(path)
    assert analysis.frame["own"].tolist() == recording["own"].values[0].tolist() == [20.3, 15.2]
    assert quantities.quantity("own", recording["own"].attrs).text == own.text
    print_recording(recording)
    assert "mine" in heads(capsys.readouterr().out)
    assert over_depth(recording, "own").get_ylabel() == "ω"
