"""The table beside WeightWatcher's own, and beside the formulas where that is not installed."""

import contextlib
import io
import json
import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from references.weightwatcher import columns
from spectail.analysis.model import analyze, compare
from spectail.analysis.weightwatcher import weightwatcher_summary
from spectail.errors import SettingError, SourceError
from spectail.weights.opening import open_weights


def mlp():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(90, 60), nn.Tanh(), nn.Linear(60, 40))
    with torch.no_grad():
        model[0].weight += torch.randn(60, 2) @ torch.randn(2, 90) / 60
    return model


def convolutions():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3), nn.Conv2d(32, 24, 1), nn.Conv2d(24, 24, 2))


def transformer():
    torch.manual_seed(2)
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 2, 64, batch_first=True), 1)


MODELS = {"mlp": mlp, "convolutions": convolutions, "transformer": transformer}

ROUNDING = 1e-6  # what is asked for; spectra are kept in float32


def weightwatchers(model, **options):
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        weightwatcher = pytest.importorskip("weightwatcher")
        watcher = weightwatcher.WeightWatcher(model=model, log_level="ERROR")
        return watcher.analyze(min_evals=0, **options), watcher.get_summary()


def beside(model, theirs, ours):
    """Both tables over the same layers."""
    ours = ours.set_index("longname").loc[theirs["longname"]].reset_index()
    names = [name for name in theirs.columns if name in ours and name not in ("name", "longname")]
    return theirs[names], ours[names]


def assert_alike(theirs, ours, but=()):
    for name in theirs.columns:
        if name not in but and theirs[name].dtype.kind in "fi":
            assert ours[name].tolist() == pytest.approx(theirs[name].tolist(), rel=ROUNDING), name
        elif name not in but:
            assert ours[name].tolist() == theirs[name].tolist(), name


@pytest.mark.parametrize("name", MODELS)
def test_every_column_is_weightwatchers(name):
    model = MODELS[name]()
    theirs, summary = weightwatchers(model, detX=True)
    table = analyze(model, nulls=False).to_weightwatcher(detX=True)
    theirs, ours = beside(model, theirs, table)
    asked = (
        "D M N Q alpha alpha_weighted entropy lambda_max log_alpha_norm log_norm log_spectral_norm matrix_rank norm "
        "num_evals num_pl_spikes rank_loss rf sigma spectral_norm stable_rank sv_max sv_min warning weak_rank_loss "
        "xmax xmin detX_num detX_val ERG_gap num_ERG_spikes"
    )
    assert set(asked.split()) <= set(theirs.columns)
    assert_alike(theirs, ours, but={"sv_min"} if name == "convolutions" else ())  # theirs is of the strongest slice
    if len(theirs) == len(table):
        assert weightwatcher_summary(table) == pytest.approx(summary, rel=ROUNDING)


def test_the_bulk_is_weightwatchers():
    model = nn.Sequential(mlp()[0])
    theirs, summary = weightwatchers(model, mp_fit=True)
    table = analyze(model, nulls=False).to_weightwatcher(mp_fit=True)
    assert {"sigma_mp", "mp_softrank", "num_spikes"} <= set(theirs.columns)
    assert_alike(*beside(model, theirs, table))
    assert weightwatcher_summary(table) == pytest.approx(summary, rel=ROUNDING)


@pytest.mark.parametrize("make", [lambda: mlp()[0], lambda: convolutions()[1]], ids=["linear", "conv2d"])
def test_shuffled_spectra_are_weightwatchers_of_the_same_random_numbers(make):
    model = nn.Sequential(make())
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed([5, zlib.crc32(b"0.weight")])  # noqa: NPY002  # the numbers that it draws
    theirs, _ = weightwatchers(model, randomize=True)
    np.random.set_state(before)  # noqa: NPY002
    ours = analyze(model, nulls=False).to_weightwatcher(model, randomize=True, seed=5)
    asked = {"ww_softrank", "rand_distance", "rand_num_spikes", "num_traps", "max_rand_eval", "ww_maxdist"}
    assert asked <= set(theirs.columns)
    assert_alike(*beside(model, theirs, ours), but={"sv_min"})


def test_clipped_fits_are_weightwatchers_which_calls_n_plus_one_fingers_n():
    torch.manual_seed(6)  # six fingers, by chance
    model = nn.Sequential(nn.Conv2d(16, 32, 3))
    theirs, _ = weightwatchers(model, fix_fingers="clip_xmax")
    ours = analyze(model, nulls=False).to_weightwatcher(fix_fingers="clip_xmax")
    assert ours["num_fingers"][0] == theirs["num_fingers"][0] + 1 > 1
    assert_alike(*beside(model, theirs, ours), but={"sv_min", "num_fingers"})


def test_vectors_are_measured_as_by_weightwatcher():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        util = pytest.importorskip("weightwatcher.RMT_Util")
    model = mlp()
    table = analyze(model, nulls=False).to_weightwatcher(model, vectors=True)
    w = model[0].weight.detach().double().numpy()
    vectors = np.linalg.eigh(w @ w.T)[1]
    tail = vectors[:, -int(table["num_pl_spikes"][0]) :]
    for name, function in {
        "part_ratio": util.participation_ratio,
        "loc_ratio": util.localization_ratio,
        "vec_entropy": util.discrete_entropy,
    }.items():
        values = [function(vector) for vector in tail.T]
        assert table[f"tail_mean_{name}"][0] == pytest.approx(np.mean(values), rel=ROUNDING)
        assert table[f"tail_var_{name}"][0] == pytest.approx(np.var(values), rel=1e-5)
        assert f"bulk_mean_{name}" in table
        assert f"bulk_var_{name}" in table


@pytest.mark.parametrize("name", MODELS)
def test_every_column_is_its_formula(name):
    """Without WeightWatcher: by loops over the weights."""
    model = MODELS[name]()
    table = analyze(model, nulls=False).to_weightwatcher(detX=True).set_index("name")
    for matrix in open_weights(model).matrices:
        weights = matrix.load().detach().double().numpy() * (0.5**0.5 if matrix.kind == "conv2d" else 1.0)
        expected = columns(list(weights))
        row = table.loc[matrix.name]
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rank_is_numpys_where_columns_are_copies_or_zero(dtype):
    w = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    w[:, 50:100], w[:, 190:] = w[:, :50], 0
    row = analyze({"w": w.to(dtype)}, nulls=False).to_weightwatcher().iloc[0]
    values = np.linalg.svd(w.to(dtype).double().numpy(), compute_uv=False) ** 2
    shares = values[:140] / values.sum()
    assert (row["matrix_rank"], row["rank_loss"]) == (140, 60)
    assert row["entropy"] == pytest.approx(-(shares * np.log(shares)).sum() / np.log(140), rel=ROUNDING)


def test_vectors_beyond_the_tail_are_the_rest():
    model = mlp()
    row = analyze(model, nulls=False).to_weightwatcher(model, vectors=True).iloc[0]
    w = model[0].weight.detach().double().numpy()
    v = np.abs(np.linalg.eigh(w @ w.T)[1])
    ratios = 1 / (v**4).sum(0) ** 0.25
    tail = int(row["num_pl_spikes"])
    assert row["tail_mean_part_ratio"] == pytest.approx(ratios[-tail:].mean(), rel=1e-9)
    assert row["bulk_mean_part_ratio"] == pytest.approx(ratios[:-tail].mean(), rel=1e-9)


def test_shuffles_have_a_seed_and_touch_no_global_random_state():
    model = mlp()
    analysis = analyze(model, nulls=False)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    tables = [analysis.to_weightwatcher(model, randomize=True, seed=seed) for seed in (1, 1, 2)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert (tables[0]["rand_distance"] != tables[2]["rand_distance"]).all()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_an_exponent_has_no_scale_though_weightwatcher_leaves_out_eigenvalues_below_1e_5():
    model = mlp()
    small = {name: 1e-4 * weight for name, weight in model.state_dict().items()}
    one, other = (analyze(source, nulls=False).to_weightwatcher() for source in (model, small))
    assert other["alpha"].tolist() == pytest.approx(one["alpha"].tolist(), rel=1e-6)
    assert (other["weak_rank_loss"] > one["weak_rank_loss"]).all()  # which is a count below 1e-6 by definition


@pytest.mark.parametrize("fit", ["TPL", "E_TPL"])
def test_truncated_power_laws_have_a_rate_and_leave_the_rest_as_it_is(fit):
    analysis = analyze(mlp(), nulls=False)
    plain, truncated = analysis.to_weightwatcher(), analysis.to_weightwatcher(fit=fit)
    assert (truncated["Lambda"] >= 0).all()
    assert (truncated["alpha"] >= 1).all()
    assert "Lambda" not in plain
    same = ["N", "M", "norm", "entropy", "stable_rank"]
    pd.testing.assert_frame_equal(plain[same], truncated[same])


def test_a_tail_about_the_peak_begins_there():
    analysis = analyze(mlp(), nulls=False)
    for fit in ("PL", "TPL"):
        table = analysis.to_weightwatcher(fit=fit, fix_fingers="xmin_peak")
        for row, spectrum in zip(table.itertuples(), analysis.spectra.values(), strict=True):
            counts, edges = np.histogram(np.log10(spectrum.astype(float)), bins=100)
            peak = 10 ** edges[counts.argmax()]
            assert 0.95 * peak <= row.xmin <= 1.5 * peak
    early = analysis.to_weightwatcher(fix_fingers="xmin_peak", xmin_max=1e-9)
    assert early["status"].tolist() == ["failed", "failed"]
    assert early["alpha"].isna().all()


def test_an_analysis_from_a_folder_has_the_same_table(tmp_path):
    model = mlp()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    first = analyze(tmp_path / "model.pt", nulls=False, out=tmp_path / "out").to_weightwatcher(detX=True)
    again = analyze(tmp_path / "model.pt", nulls=False, out=tmp_path / "out").to_weightwatcher(detX=True)
    pd.testing.assert_frame_equal(first, again)


def test_matrices_without_a_spectrum_are_rows_that_failed():
    state = {"zero": torch.zeros(30, 20), "nan": torch.full((30, 20), torch.nan), "good": torch.randn(30, 20)}
    table = analyze(state, nulls=False).to_weightwatcher(state, vectors=True, randomize=True, mp_fit=True, detX=True)
    assert table["status"].tolist() == ["failed", "failed", "success"]
    assert table["alpha"].isna().tolist() == [True, True, False]
    assert json.loads(table.to_json())["N"] == {"0": 30, "1": 30, "2": 30}


def rank_one():
    return torch.outer(torch.linspace(1, 2, 30), torch.linspace(2, 3, 20))


DEGENERATE = {
    "identity": torch.eye(40),
    "orthogonal": torch.linalg.qr(torch.randn(30, 30, generator=torch.Generator().manual_seed(0)))[0],
    "constant": torch.ones(20, 30),
    "rank one": rank_one(),
    "few": torch.randn(2, 3, generator=torch.Generator().manual_seed(0)),
    "sparse": torch.diag(torch.arange(40.0).clamp_min(34) - 34),
    "one huge spike": torch.randn(30, 20, generator=torch.Generator().manual_seed(0)) + 1e5 * rank_one(),
}


@pytest.mark.parametrize("options", [{}, {"fix_fingers": "clip_xmax"}, {"fit": "TPL"}, {"fit": "E_TPL"}], ids=str)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_matrices_have_a_row(name, options):
    """Warnings are errors here. WeightWatcher's entropy of rank one is 436."""
    state = {"w": DEGENERATE[name]}
    everything = {"vectors": True, "randomize": True, "mp_fit": True, "detX": True} | options
    row = analyze(state, nulls=False).to_weightwatcher(state, **everything).iloc[0]
    assert row["status"] in ("success", "failed")
    assert (row["status"] == "failed") == np.isnan(row["alpha"])
    assert 0 <= row["entropy"] <= 1 + 1e-9
    assert row["norm"] == pytest.approx(float(DEGENERATE[name].double().square().sum()), rel=ROUNDING)


def test_what_cannot_be_done_is_said():
    model = mlp()
    analysis = analyze(model, nulls=False)
    with pytest.raises(SettingError, match="fit"):
        analysis.to_weightwatcher(fit="lognormal")
    with pytest.raises(SettingError, match="fix_fingers"):
        analysis.to_weightwatcher(fix_fingers="peak")
    with pytest.raises(SettingError, match="clip_xmax"):
        analysis.to_weightwatcher(fit="TPL", fix_fingers="clip_xmax")
    with pytest.raises(SettingError, match="model that was analysed"):
        analysis.to_weightwatcher(vectors=True)
    with pytest.raises(SourceError, match=r"no 0\.weight of the shape"):
        analysis.to_weightwatcher(nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 7)), vectors=True)
    with pytest.raises(SourceError, match="not those that were analysed"):
        compare(model, perturbed(model), nulls=False).to_weightwatcher(model, vectors=True)


def perturbed(model):
    return {name: weight + 0.1 * torch.randn_like(weight) for name, weight in model.state_dict().items()}
