"""A row beside shuffles of its matrix, on request: what it says, and that it is the same whenever it is asked."""

import math
from functools import lru_cache

import pandas as pd
import pytest
import torch
from torch import nn

from spectail import SettingError, StoreError, analyze, compare
from spectail.analysis import row
from spectail.analysis.row import measure_matrix
from spectail.cli import main
from spectail.recording.quantities import select
from spectail.spectra import simulate_nulls
from spectail.weights.matrix import WeightMatrix


@pytest.fixture(autouse=True)
def of_few_draws(monkeypatch):
    """Nulls of shapes that are there at once; their spread is known to 4 %."""
    monkeypatch.setattr(row, "nulls_of_shape", few_draws)


@lru_cache
def few_draws(rows, cols, slices=1, normalised=False, balanced=False):
    return simulate_nulls(rows, cols, slices, normalised=normalised, balanced=balanced, draws=300)


COLUMNS = [q.name for q in select("shuffles")]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def row_of(weights, **options):
    slices = weights if weights.ndim == 3 else weights[None]
    matrix = WeightMatrix("w", "linear", slices.shape[1], slices.shape[2], slices.shape[0], lambda: slices)
    return measure_matrix(matrix, nulls="full", **options)[0]


def scales(*shape):
    return torch.linspace(0.5, 2.0, math.prod(shape)).reshape(shape)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(60, 40), nn.Conv2d(12, 16, 3), nn.Linear(40, 50, bias=False))


FAMILIES = {
    "noise": (noise(300, 200), "", ""),
    "t(3)": (noise(300, 200) / noise(3, 300, 200, seed=1).square().mean(0).sqrt(), "entries", "entries"),
    "rows": (noise(300, 200) * scales(300, 1), "norms", "rows"),
    "columns": (noise(200, 300) * scales(300), "norms", "columns"),
    "slices": (noise(9, 64, 64) * scales(9, 1, 1), "norms", "slices"),
    "rows and columns": (noise(300, 200) * scales(300, 1) ** 2 * scales(200) ** 2, "norms", "norms"),
    "a product": (noise(300, 200) @ noise(200, 200, seed=1), "correlation", "dependence"),
    "a strong spike": (
        noise(300, 200) + 60 * noise(300, 30, seed=1) @ noise(30, 200, seed=2) / 300,
        "spikes",
        "dependence",
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_shuffles_and_what_is_taken_out_of_a_matrix_say_the_same(name):
    weights, cause, explained_by = FAMILIES[name]
    measured = row_of(weights)
    assert (measured["cause"], measured["explained_by"]) == (cause, explained_by)
    assert measured["n_shuffles"] == 6
    assert math.isnan(measured["z_within_slices"]) == (weights.ndim == 2)


def test_an_effect_falls_by_what_the_shuffle_keeps():
    measured = row_of(noise(300, 200) * scales(300, 1))
    assert measured["effect_shuffled"] == pytest.approx(measured["effect"], rel=0.05)  # entries are a little heavy
    assert measured["effect_within_rows"] == pytest.approx(1.0, abs=0.05)
    assert measured["effect"] > 1.2


def test_shares_of_norms_and_of_entries_are_told_apart_where_both_are_taken_out():
    entries, rows = noise(300, 200) / noise(3, 300, 200, seed=1).square().mean(0).sqrt(), scales(300, 1)
    measured = {name: row_of(weights) for name, weights in {"t(3)": entries, "both": entries * rows}.items()}
    assert measured["both"]["taken_out"] == "norms and entries"
    for one in measured.values():
        whole = one["share_norms_and_entries"]
        assert one["share_norms"] + one["share_entries"] == pytest.approx(whole, abs=1e-12)
        assert whole + one["share_spikes"] + one["share_correlation"] == pytest.approx(1.0, abs=1e-12)
    # the logarithm of effect is known to the spread of the null, 1.7 % at this shape, and to that of six shuffles
    error = 4 * 0.017 / math.log(measured["t(3)"]["effect"])
    assert measured["t(3)"]["share_norms"] == pytest.approx(0.0, abs=error)
    assert measured["both"]["share_norms"] > measured["both"]["share_entries"] > 0
    left, right = (torch.linalg.qr(noise(size, 10, seed=1)).Q for size in (300, 200))
    of_spikes = row_of(noise(300, 200) + 50 * left @ right.T)
    assert of_spikes["taken_out"] == ""
    assert (of_spikes["share_norms"], of_spikes["share_entries"]) == (0.0, 0.0)
    assert math.isnan(row_of(noise(300, 200))["share_norms"])


def test_columns_are_there_only_where_they_are_asked_for():
    assert not set(COLUMNS) & set(analyze(model()).frame.columns)
    recording = analyze(model(), nulls="full").recording
    assert all(recording[name].attrs.get("long_name") for name in COLUMNS)
    frame = analyze(model(), nulls="full").frame
    assert set(COLUMNS) < set(frame.columns)
    assert str(frame["n_shuffles"].dtype) == "Int64"


def test_everything_else_is_as_without_shuffles():
    usual, full = analyze(model()).frame, analyze(model(), nulls="full").frame
    pd.testing.assert_frame_equal(full[usual.columns], usual[:], check_exact=True)


def test_a_row_is_the_same_alone_and_resumed(tmp_path):
    torch.save(model().state_dict(), tmp_path / "m.pt")
    options = {"nulls": "full", "seed": 5}
    whole = analyze(tmp_path / "m.pt", **options, out=tmp_path / "out").frame
    again = analyze(tmp_path / "m.pt", **options, out=tmp_path / "out").frame
    pd.testing.assert_frame_equal(again[COLUMNS], whole[COLUMNS], check_exact=True)
    alone = analyze(tmp_path / "m.pt", **options, layers="2.weight").frame
    pd.testing.assert_frame_equal(alone[COLUMNS], whole[COLUMNS][2:].reset_index(drop=True), check_exact=True)
    with pytest.raises(StoreError, match="nulls was 'full' and is 'gaussian'"):
        analyze(tmp_path / "m.pt", out=tmp_path / "out")
    with pytest.raises(StoreError, match="seed was 5 and is 6"):
        analyze(tmp_path / "m.pt", nulls="full", seed=6, out=tmp_path / "out")


def test_a_change_is_shuffled_as_well():
    later = model()
    with torch.no_grad():
        later[0].weight += noise(40, 60) * scales(40, 1) ** 3
    frame = compare(model(), later, nulls="full").frame
    assert frame["explained_by"][0] == "rows"
    assert frame[COLUMNS[1:]].isna().all(axis=None) != frame[COLUMNS[1:]].notna().any(axis=None)
    assert frame["z_shuffled"].isna().tolist() == [False, True, True]
    assert frame["note"].tolist()[1:] == ["unchanged"] * 2


BAD = {
    "constant": torch.ones(30, 20),
    "one row": noise(1, 50),
    "NaN": torch.full((30, 20), math.nan),
    "zero": torch.zeros(30, 20),
    "orthogonal": torch.linalg.qr(noise(30, 30)).Q,
    "next to nothing but zeros": torch.eye(30)[:, :20] * (torch.arange(20) < 3),
}


@pytest.mark.parametrize("name", BAD)
def test_where_there_is_no_exponent_there_is_a_reason(name):
    measured = row_of(BAD[name])
    assert measured["note"]
    assert not measured.get("explained_by")
    assert all(math.isnan(measured.get(column, math.nan)) for column in COLUMNS if column != "explained_by")


def test_weights_of_next_to_nothing_are_shuffled_as_their_multiple():
    weights = noise(60, 40).double()
    small, usual = row_of(2.0**-600 * weights), row_of(weights)
    assert small["z_shuffled"] == pytest.approx(usual["z_shuffled"], abs=1e-3)


def test_what_is_no_matrix_of_entries_is_not_shuffled():
    adapter = {"q.lora_A.weight": noise(12, 36), "q.lora_B.weight": noise(48, 12)}
    frame = analyze(adapter, nulls="full").frame
    assert frame["z_shuffled"].isna().all()
    assert frame["explained_by"].tolist() == [""]


def test_another_word_is_refused_in_python_and_on_the_command_line(capsys):
    with pytest.raises(SettingError, match=r"nulls='fulll' is not known; did you mean 'full'"):
        analyze(model(), nulls="fulll")
    with pytest.raises(SystemExit):
        main(["analyze", "m.safetensors", "--nulls", "fulll"])
    assert "did you mean 'full'?" in capsys.readouterr().err


def test_the_command_prints_the_word_and_writes_the_numbers(tmp_path, capsys):
    torch.save({"w": noise(100, 80) * scales(100, 1) ** 2}, tmp_path / "m.pt")
    main(["analyze", str(tmp_path / "m.pt"), "--nulls", "full", "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "due to" in out
    assert "rows" in out
    frame = pd.read_csv(tmp_path / "out" / "analysis.csv")
    assert frame["z_within_rows"].abs()[0] < 3 < frame["z_hill"].abs()[0]
    assert "--nulls full" in (tmp_path / "out" / "analysis.html").read_text()
    main(["analyze", str(tmp_path / "m.pt"), "--nulls", "none"])
    assert "due to" not in capsys.readouterr().out
