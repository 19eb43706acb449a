"""One row per matrix, in a module, in a file, and between two of them."""

import math
import re
import sys
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import nn

from forked import execute, finish, start
from spectail import SettingError, SourceError, SpectailError, analyze, compare, load_recording
from spectail.analysis import null_cache as cache
from spectail.analysis import pieces
from spectail.analysis.pooling import SLICE_FACTOR
from spectail.analysis.row import measure_matrix
from spectail.cli import main
from spectail.recording.layout import eigenvalues_at
from spectail.recording.quantities import Quantity, of_row
from spectail.weights import state_dict
from spectail.weights.matrix import WeightMatrix
from spectail.weights.opening import open_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from weightwatcher.WW_powerlaw import WWFit

COLUMNS = ["name", *(q.name for q in of_row())]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "cache_folder", lambda: folder)
        yield


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(60, 40), nn.Conv2d(12, 16, 3), nn.LayerNorm(8), nn.Linear(40, 50, bias=False))


def matrix_of(weights, name="w", kind="linear", note=""):
    slices = weights if weights.ndim == 3 else weights[None]
    return WeightMatrix(name, kind, slices.shape[1], slices.shape[2], slices.shape[0], lambda: slices, note)


def row_of(weights, **options):
    return measure_matrix(matrix_of(weights), **options)[0]


def test_the_columns_are_the_table_of_quantities_in_order():
    analysis = analyze(model())
    assert list(analysis.frame.columns) == COLUMNS
    assert analysis.frame["name"].tolist() == ["0.weight", "1.weight", "3.weight"]
    assert analysis.frame["n_eigenvalues"].tolist() == [40, 12 * 9, 40]
    assert {one.name for one in analysis.skipped} == {"0.bias", "1.bias", "2.weight", "2.bias"}
    assert all(one.reason for one in analysis.skipped)
    assert set(analysis.frame["dtype"]) == {"float32"}


def test_an_analysis_leads_with_the_answer():
    analysis = analyze(model())
    text = repr(analysis)
    assert text.startswith("Analysis of Sequential: 3 matrices measured, 4 parameters skipped\n")
    assert "  as if never trained: " in text
    assert "{0,3}.weight\n" in text
    assert "Not told: how good the model is" in text
    assert "<table" in analysis._repr_html_()


def test_what_was_done_with_the_first_editions_frame_still_works_and_says_what_to_do():
    analysis = analyze(model())
    with pytest.warns(DeprecationWarning, match="frame"):
        assert analysis["xmin"].tolist() == analysis.frame["ks_xmin"].tolist()
    with pytest.warns(DeprecationWarning, match="frame"):
        assert len(analysis) == 3
    with pytest.warns(DeprecationWarning, match="skipped"):
        assert analysis.attrs["skipped"][0]["name"] == "0.bias"
    with pytest.warns(DeprecationWarning, match="frame"):
        assert list(analysis.columns) == COLUMNS
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = analysis.nothing_like_it


def test_a_quantity_of_ones_own_is_a_column_a_variable_and_in_the_file(tmp_path):
    own = Quantity("decades", "decades", "log10 of the largest over the median eigenvalue")
    analysis = analyze(
        model(), measure={own: lambda values, rows, cols: math.log10(values[-1] / values[len(values) // 2])}
    )
    assert (analysis.frame["decades"] > 0).all()
    assert analysis.recording["decades"].attrs["long_name"] == own.text


def test_a_quantity_of_ones_own_that_fails_is_nan_with_a_note():
    analysis = analyze(model(), measure={Quantity("bad", text="bad"): lambda values, rows, cols: 1 / 0})
    assert analysis.frame["bad"].isna().all()
    assert analysis.frame["note"].str.contains("bad: ZeroDivisionError").all()


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        ({Quantity("n_spikes"): max}, "'n_spikes' is a name that recordings have already"),
        ({Quantity("step"): max}, "'step' is a name that recordings have already"),
        ({Quantity("own", "a"): max, Quantity("own", "b"): max}, "'own' is a name that recordings have already"),
        ({Quantity("a/b"): max}, "'a/b' is no name of a variable"),
        ({"own": max}, r"the key 'own'; expected spectail.Quantity\(name\)"),
        ({Quantity("own", dtype=str): max}, "own is of 'spectrum', a str"),
        ({Quantity("own", of="row"): max}, "own is of 'row'"),
        ({Quantity("own"): 3.0}, "by 3.0; expected .* a function of the eigenvalues"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_quantity_of_ones_own_takes_the_place_of_none(measure, sentence):
    with pytest.raises(SettingError, match=sentence):
        analyze(model(), nulls=False, measure=measure)


@pytest.mark.parametrize("seed", ["q", 1.5, None])
@pytest.mark.usefixtures("unchecked")
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(SettingError, match="expected a whole number"):
        analyze(model(), nulls=False, seed=seed)
    assert len(analyze(model(), nulls=False, seed=np.int64(3)).frame) == 3


def test_exponents_are_those_of_weightwatchers_fit_of_the_same_eigenvalues():
    for matrix in open_weights(model()).matrices:
        row, spectrum = measure_matrix(matrix)
        alpha, xmin = row["pl_alpha_ks"], row["ks_xmin"]
        reference = WWFit(spectrum.numpy())
        assert alpha == pytest.approx(reference.alpha, rel=1e-6)
        assert xmin == pytest.approx(reference.xmin, rel=1e-6)


def test_a_whole_model_has_the_exponents_that_weightwatcher_gives_it():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(120, 90), nn.Linear(90, 70))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import weightwatcher

        details = weightwatcher.WeightWatcher(model=net, log_level="ERROR").analyze(min_evals=0, detX=False)
    assert analyze(net).frame["pl_alpha_ks"].tolist() == pytest.approx(
        details["alpha"].tolist(), rel=1e-5
    )  # its SVD is float32


def test_norms_and_ranks_are_numpys():
    weights = torch.randn(5, 30, 20, generator=torch.Generator().manual_seed(0))
    row = row_of(weights)
    singular = torch.linalg.svdvals(weights.double())
    shares = singular.flatten() / singular.sum()
    assert row["spectral_norm"] == pytest.approx(float(singular.max()), rel=1e-12)
    assert row["frobenius_norm"] == pytest.approx(float(weights.double().norm()), rel=1e-12)
    assert row["stable_rank"] == pytest.approx(float(weights.double().norm() ** 2 / singular.max() ** 2), rel=1e-12)
    assert row["effective_rank"] == pytest.approx(float((-(shares * shares.log()).sum()).exp()), rel=1e-10)


def test_slices_are_pooled_with_the_factor_of_the_convention():
    weights = torch.randn(4, 20, 15, generator=torch.Generator().manual_seed(0))
    _, spectrum = measure_matrix(matrix_of(weights))
    by_hand = torch.linalg.svdvals(weights.double()).square().flatten().sort().values * SLICE_FACTOR
    torch.testing.assert_close(spectrum, by_hand, rtol=1e-9, atol=0)  # Gram matrices of condition 1e4


WITHOUT_NORMS = {
    q.name
    for q in of_row()
    if q.name.startswith(("z_homo", "effect_homo", "z_bulk", "share_")) or "norm_spread" in q.name
}
WITHOUT_NORMS |= {"kurtosis", "visible_edge"}


@pytest.mark.parametrize("factor", [1e-4, 1000.0, 1e-25])
def test_only_what_has_units_changes_with_the_scale_of_the_weights(factor):
    weights = torch.randn(60, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights[0] += 3
    plain, scaled = row_of(weights), row_of(weights * factor)
    units = {"ks_xmin": 2, "bulk_edge": 2, "bulk_variance": 2, "visible_edge": 2, "spectral_norm": 1}
    units["frobenius_norm"] = 1
    for name in COLUMNS:
        if isinstance(plain[name], str):
            assert scaled[name] == plain[name]
        else:
            expected = plain[name] * factor ** units.get(name, 0)
            # a Gram matrix of condition 1e4; without their norms weights are held in 16 bits
            rel, error = (1e-3, 0.02) if name in WITHOUT_NORMS else (1e-9, 0.0)
            assert scaled[name] == pytest.approx(expected, rel=rel, abs=error, nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_is_read_as_the_numbers_it_holds(dtype):
    weights = torch.randn(50, 30, generator=torch.Generator().manual_seed(3)).to(dtype)
    assert row_of(weights)["pl_alpha_hill"] == pytest.approx(row_of(weights.double())["pl_alpha_hill"], rel=1e-12)


def broken(value):
    weights = torch.randn(20, 12, generator=torch.Generator().manual_seed(4))
    weights[3, 4] = value
    return weights


UNMEASURABLE = {
    "NaN": (broken(math.nan), "NaN or inf", "unknown"),
    "inf": (broken(math.inf), "NaN or inf", "unknown"),
    "zeros": (torch.zeros(15, 12), "all weights are zero", "unknown"),
    "one row": (torch.ones(1, 40), "only 1 eigenvalue", "unknown"),
    "one column": (torch.ones(40, 1), "only 1 eigenvalue", "unknown"),
    "three rows": (torch.randn(3, 40, generator=torch.Generator().manual_seed(5)), "only 3 eigenvalues", "unknown"),
    "low rank": (torch.ones(30, 3) @ torch.ones(3, 20), "19 of 20 eigenvalues are zero", "rank-collapse"),
    "all equal": (torch.eye(30), "all equal", None),
}


@pytest.mark.parametrize("name", UNMEASURABLE)
@pytest.mark.parametrize("tail", [False, True])
def test_what_cannot_be_measured_is_nan_with_a_note_and_never_minus_one(name, tail):
    weights, reason, phase = UNMEASURABLE[name]
    row = row_of(weights, tail=tail)
    assert reason in row["note"]
    assert phase in (row["phase"], None)
    assert name == "three rows" or math.isnan(row["pl_alpha_ks"])
    assert -1 not in [row[column] for column in COLUMNS]
    assert list(row) == COLUMNS


@pytest.mark.parametrize("options", [{}, {"nulls": False}, {"nulls": "full"}, {"tail": True}])
def test_slices_that_are_vectors_have_a_reason_and_no_phase(options):
    """Each has one eigenvalue, and all are equal once slices are scaled to one norm."""
    model = nn.Sequential(nn.Conv2d(64, 32, 3, groups=32))
    row = analyze(model, **options).frame.iloc[0]
    assert (row["rows"], row["cols"], row["slices"]) == (1, 2, 288)
    assert "each slice is a vector" in row["note"]
    assert row["phase"] == "unknown"
    assert math.isnan(row["null_alpha_hill"])


def test_a_short_tail_is_noted_and_so_is_what_the_matrix_itself_says():
    row, _ = measure_matrix(
        matrix_of(torch.randn(40, 30, generator=torch.Generator().manual_seed(6)), note="tied to x")
    )
    assert row["tail_size"] < 50
    assert row["note"].startswith("tied to x; ")
    assert f"KS tail of {row['tail_size']} eigenvalues only" in row["note"]


def test_a_row_without_nulls_has_none_and_a_kind_of_tail_only_where_it_is_asked_for():
    stream = torch.Generator().manual_seed(7)
    weights = torch.randn(200, 100, generator=stream) * torch.randn(100, generator=stream).exp()
    row = row_of(weights, nulls=False)
    assert math.isnan(row["z_hill"])
    assert row["tail_kind"] == ""
    assert math.isnan(row["tail_p"])
    asked = row_of(weights, tail=True, seed=1)
    assert asked["tail_kind"] == "lognormal"
    assert 0 < asked["tail_p"] <= 1
    assert asked["tail_ratio_exponential"] != 0
    assert asked["alpha_stderr"] > 0  # over matrices with that tail
    assert asked == row_of(weights, tail=True, seed=1)


def test_an_untrained_matrix_has_a_standard_error_and_a_heavy_one_none_unless_its_tail_is_asked_for():
    stream = torch.Generator().manual_seed(8)
    untrained = [torch.randn(60, 40, generator=stream) for _ in range(60)]
    rows = [row_of(weights) for weights in untrained]
    spread = np.std([math.log(row["pl_alpha_ks"] - 1) for row in rows], ddof=1)
    relative = [row["alpha_stderr"] / (row["pl_alpha_ks"] - 1) for row in rows if row["alpha_stderr"] > 0]
    assert len(relative) > 55  # z is beyond three once in 370
    # the spread of 60 is known to 9 %, and 0.53 stands for 0.48 to 0.61
    assert math.sqrt(math.expm1(spread**2)) == pytest.approx(relative[0], rel=0.4)
    assert math.isnan(row_of(untrained[0] * torch.randn(40, generator=stream).exp())["alpha_stderr"])


def test_the_first_editions_p_value_asks_for_the_kind_of_tail():
    with pytest.deprecated_call(match="p_value has become tail"):
        frame = analyze({"w": torch.randn(30, 20)}, p_value=True).frame
    assert frame["tail_kind"].tolist() == ["undecided"]
    assert "needs 50 positive eigenvalues, got 20" in frame["note"][0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_orthogonal_weights_have_a_reason_and_no_exponent_in_any_dtype(dtype):
    torch.manual_seed(0)
    row = analyze({"w": torch.nn.init.orthogonal_(torch.empty(120, 80)).to(dtype)}).frame.iloc[0]
    assert math.isnan(row["pl_alpha_hill"])
    assert math.isnan(row["pl_alpha_ks"])
    assert math.isnan(row["z_hill"])
    assert "all eigenvalues are alike" in row["note"]
    assert "KS tail" not in row["note"]


def test_a_model_keeps_its_weights_its_mode_and_its_hooks():
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    analyze(net)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_a_model_without_a_matrix_is_an_error_that_says_what_was_skipped_and_why():
    with pytest.raises(SourceError, match="LayerNorm has no matrix to analyse; 2 parameters skipped: weight: a vector"):
        analyze(nn.LayerNorm(8))


def test_two_models_with_nothing_in_common_are_an_error_with_names_of_both():
    with pytest.raises(SourceError, match=r"no matrix in common .*before: a\.w, b\.w; after: net\.a\.w$"):
        compare({"a.w": torch.eye(20), "b.w": torch.eye(20)}, {"net.a.w": torch.eye(20), "v": torch.ones(3)})
    with pytest.raises(SourceError, match=r"before: none; after: none; of another shape: a\.w$"):  # it is in both
        compare({"a.w": torch.eye(20)}, {"a.w": torch.eye(30)})


def test_layers_are_chosen_by_names_and_patterns_and_what_was_skipped_goes_with_them():
    assert analyze(model(), layers="1.weight").frame["name"].tolist() == ["1.weight"]
    analysis = analyze(model(), layers=["3.*", "0.*"])
    assert analysis.frame["name"].tolist() == ["0.weight", "3.weight"]  # in the order of the model
    assert [one.name for one in analysis.skipped] == ["0.bias"]
    rnn = analyze(nn.LSTM(12, 11), layers="weight_ih_l0").frame["name"]  # all parts of a parameter
    assert rnn.str.startswith("weight_ih_l0[").all()
    assert len(rnn) == 4
    with pytest.raises(SettingError, match=r"layers='4\.\*' fits no matrix of Sequential; it has 0\.weight, 1\.weight"):
        analyze(model(), layers=["0.*", "4.*"])


def test_sources_say_what_they_hold_before_anything_is_read():
    weights = open_weights(model())
    assert repr(weights) == "Weights of Sequential: 3 matrices, 4 parameters skipped"
    assert weights.frame()[["name", "rows", "cols", "slices"]].values.tolist()[1] == ["1.weight", 16, 12, 9]


def test_a_comparison_says_how_far_spectra_moved():
    before = {
        name: torch.randn(40, 30, generator=torch.Generator().manual_seed(0)) for name in ("same", "grown", "nan")
    }
    after = {"same": before["same"], "grown": 4 * before["grown"], "nan": before["nan"] * torch.nan}
    frame = compare(before, after, nulls=False).frame.set_index("name")
    assert frame.loc["same", ["wasserstein", "jensen_shannon"]].tolist() == [0, 0]
    assert frame.loc["grown", "wasserstein"] == pytest.approx(math.log(16), rel=1e-9)  # of squared weights
    assert frame.loc["grown", "wasserstein_shape"] == pytest.approx(0, abs=1e-9)
    assert frame.loc["nan", ["wasserstein", "jensen_shannon_shape"]].isna().all()


def test_a_tensor_is_read_once_in_an_analysis_and_once_of_each_side_in_a_comparison():
    reads = []

    for function, sides in ((analyze, 1), (compare, 2)):
        reads.clear()
        states = [{"a.in_proj_weight": torch.randn(60, 20), "b.weight": torch.randn(30, 20)} for _ in range(sides)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state_dict, "from_tensor", _counting_reads(state_dict.from_tensor, reads))
            assert len(function(*states, nulls=False).frame) == 4  # q, k and v are one tensor
        assert Counter(reads) == {(60, 20): sides, (30, 20): sides}


def _counting_reads(from_tensor, reads):
    def counting(name, tensor, load, **options):
        return from_tensor(name, tensor, lambda: reads.append(tuple(tensor.shape)) or load(), **options)

    return counting


@pytest.mark.parametrize("size", [1e-160, 1e-200, 1e-300])
def test_weights_whose_squares_vanish_are_not_zero_and_have_the_exponents_of_a_multiple(size):
    weights = torch.randn(60, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plain, tiny = row_of(weights), row_of(weights * size)
    assert "all weights are zero" not in tiny["note"]
    assert "below what float64 holds" in tiny["note"]
    for name in ("pl_alpha_hill", "pl_alpha_ks", "z_hill", "stable_rank", "n_spikes"):
        assert tiny[name] == pytest.approx(plain[name], rel=1e-9)  # rounding of the product
    assert tiny["spectral_norm"] == pytest.approx(plain["spectral_norm"] * size, rel=1e-9)
    assert math.isnan(tiny["bulk_edge"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), r"not measured: no memory: it needs about \S+ GiB; fewer workers at once, or more memory"),
        (RuntimeError("CUDA out of memory"), "not measured: no memory on the device: .* device cpu"),
        (OSError(5, "the connection was cut"), "not measured: .*the connection was cut"),
        (SourceError("m.safetensors has changed since it was opened"), "not measured: m.safetensors has changed"),
        (torch.linalg.LinAlgError("no convergence\nat all"), "not measured: .*LinAlgError: no convergence"),
        (KeyError("w"), "not measured: KeyError: 'w'"),
        (
            ValueError("too many values to unpack"),
            "not measured: ValueError: too many values",
        ),  # not the user's mistake
    ],
)
def test_a_matrix_that_cannot_be_measured_for_any_reason_is_a_row_with_a_note(monkeypatch, error, sentence):
    def broken():
        raise error

    def with_one_broken(*arguments, **options):
        weights = open_weights(*arguments, **options)
        first, *others = weights.matrices
        return replace(weights, matrices=(replace(first, read=broken), *others))

    monkeypatch.setattr(pieces, "open_weights", with_one_broken)
    analysis = analyze(model())
    assert re.fullmatch(sentence + ".*", analysis.frame["note"][0])
    assert math.isnan(analysis.frame["pl_alpha_hill"][0])
    assert analysis.frame["pl_alpha_hill"][1:].notna().all()


@pytest.mark.parametrize("device", ["nowhere", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_refused_in_a_sentence(device):
    with pytest.raises(SpectailError, match=f"device='{device}' is not available here"):
        analyze(model(), device=device)


def test_weights_go_to_a_device_matrix_by_matrix():
    moved = []
    with pytest.MonkeyPatch.context() as patch:
        on_device = pieces._on_device
        patch.setattr(
            pieces, "_on_device", lambda one, device: moved.append((one.name, device)) or on_device(one, device)
        )
        on_cpu = analyze(model(), device="cpu")
    assert moved == [(name, "cpu") for name in ("0.weight", "1.weight", "3.weight")]
    xr.testing.assert_identical(on_cpu.recording, analyze(model()).recording)


def test_the_change_of_a_model_is_that_of_its_matrices():
    before, after = model(), model()
    with torch.no_grad():
        after[0].weight += 5 * torch.outer(torch.ones(40), torch.ones(60)) / math.sqrt(2400)
        after[3] = nn.Linear(41, 50)
        after.append(nn.Linear(30, 30))
    comparison = compare(before, after)
    frame = comparison.frame
    assert frame["name"].tolist() == ["0.weight", "1.weight"]
    assert frame["spectral_norm"][0] == pytest.approx(5, rel=1e-5)  # float32 weights
    assert frame["stable_rank"][0] == pytest.approx(1, rel=1e-5)
    assert frame["note"][1] == "unchanged"
    assert frame["top_overlap_left"][1] == pytest.approx(1)  # the same direction before and after
    _, _, old = torch.linalg.svd(before[0].weight.detach().double())
    _, _, new = torch.linalg.svd(after[0].weight.detach().double())
    assert frame["top_overlap_right"][0] == pytest.approx(float(old[0] @ new[0]) ** 2, abs=1e-9)
    reasons = {one.name: one.reason for one in comparison.skipped}
    assert "shape" in reasons["3.weight"]
    assert reasons["4.weight"] == "only in the model after"
    with pytest.warns(DeprecationWarning, match="compare"):
        first_edition = analyze(before, after=after)
    pd.testing.assert_frame_equal(first_edition.frame, frame)
    with pytest.warns(DeprecationWarning, match="frame"):
        table = first_edition[["name", "overlap_left"]]
    assert table["overlap_left"].tolist() == pytest.approx(frame["top_overlap_left"].tolist(), nan_ok=True)


def test_the_command_writes_a_table_and_files(tmp_path, capsys):
    save_file(model().state_dict(), tmp_path / "m.safetensors")
    main(["analyze", str(tmp_path / "m.safetensors"), "--out", str(tmp_path / "out"), "--conv", "flatten"])
    told = capsys.readouterr().out
    assert "0.weight" in told
    assert "skipped 4 parameters" in told
    for name in ("summary.txt", "analysis.csv", "skipped.csv", "spectra.nc", "analysis.html"):
        assert (tmp_path / "out" / name).is_file()
        assert name in told
    table = pd.read_csv(tmp_path / "out" / "analysis.csv")
    assert list(table.columns) == COLUMNS
    assert table.set_index("name")["cols"]["1.weight"] == 108
    assert len(pd.read_csv(tmp_path / "out" / "skipped.csv")) == 4


def test_no_cell_of_a_table_begins_a_formula(tmp_path):
    state = {name: torch.randn(30, 20) for name in ('=HYPERLINK("x")', "+1", "-2", "@SUM(A1)", "plain")}
    save_file(state | {"=vector": torch.ones(3)}, tmp_path / "m.safetensors")
    main(["analyze", str(tmp_path / "m.safetensors"), "--out", str(tmp_path)])
    with (tmp_path / "analysis.csv").open() as file:
        names = [line.strip('"')[:2] for line in file][1:]
    assert sorted(names) == ["'+", "'-", "'=", "'@", "pl"]
    assert pd.read_csv(tmp_path / "skipped.csv")["name"].tolist() == ["'=vector"]
    assert pd.read_csv(tmp_path / "analysis.csv")["z_hill"].dtype == float  # numbers stay numbers, negative ones too


def test_the_list_names_matrices_and_costs_and_reads_no_weight(tmp_path, capsys, monkeypatch):
    save_file(model().state_dict(), tmp_path / "m.safetensors")
    monkeypatch.setattr(WeightMatrix, "load", None)
    monkeypatch.setattr("spectail.report.terminal.listing._seconds_of_work", lambda: 1e-6)
    main(["analyze", str(tmp_path / "m.safetensors"), "--list", "--layers", "0.*", "1.*"])
    text = capsys.readouterr().out
    assert "0.weight" in text
    assert "9×16×12" in text
    assert "3.weight" not in text
    assert "a vector: a bias" in text
    assert re.search(r"about .* of one thread, .* GB to read, at most .* GiB of memory", text)


def test_spectra_are_kept_by_the_name_of_their_matrix(tmp_path):
    save_file(model().state_dict(), tmp_path / "m.safetensors")
    main(["analyze", str(tmp_path / "m.safetensors"), "--out", str(tmp_path)])
    recording = load_recording(tmp_path / "spectra.nc")
    assert recording.attrs["of"] == "analysis"
    expected = torch.linalg.svdvals(model()[0].weight.double()).flip(0).square()
    values = eigenvalues_at(recording.sel(matrix="0.weight"))
    assert values == pytest.approx(expected.detach().numpy(), rel=1e-6)  # kept in float32


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.safetensors"], "missing.safetensors"),
        (["vector.safetensors"], "no matrix"),
        (["m.safetensors", "--conv", "fold"], "kernel-slices or flatten"),
        (["m.safetensors", "--seed", "-1"], "seed=-1"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    save_file({"b": torch.ones(3)}, "vector.safetensors")
    save_file(model().state_dict(), "m.safetensors")
    with pytest.raises(SystemExit) as stopped:
        main(["analyze", *arguments])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
# against its size in float32: weights of 16 bits are solved in that
@pytest.mark.parametrize(("dtype", "side"), [(torch.float32, 1280), (torch.float32, 2048), (torch.bfloat16, 2048)])
def test_peak_memory_is_below_six_times_the_largest_matrix(tmp_path, dtype, side):
    generator = torch.Generator().manual_seed(0)
    many = {f"w{i}": torch.randn(side, side, generator=generator).to(dtype) for i in range(3)}
    save_file(many, tmp_path / "m.safetensors")
    del many
    peak = (
        # what is freed goes back at once: else glibc keeps half a matrix more or less, by chance (5.5 to 6.1 in all)
        "import ctypes; libc = ctypes.CDLL(None); hasattr(libc, 'mallopt') and libc.mallopt(-3, 2**20)\n"
        "import torch; torch.set_num_threads(1)\n"
        "from spectail.analysis import row\nrow._against_nulls = lambda *_: {}\n"
        "from spectail.analysis.model import analyze\n"
        "def peak():\n    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))\n"
        "from torch import nn; analyze(nn.Linear(800, 700)); analyze(nn.Linear(1100, 1050).bfloat16())\n"
        "before = peak()\n"
        f"assert len(analyze({str(tmp_path / 'm.safetensors')!r}).frame) == 3; print(peak() - before)"
    )
    code, printed = finish(start(tmp_path, execute, peak))
    assert code == 0, printed
    # what a small matrix took first is the interpreter: libraries, and the buffers of linear algebra
    assert int(printed) * 1024 < 6 * 4 * side * side


def test_the_rank_of_a_matrix_is_not_that_of_its_rounding():
    low = torch.randn(80, 5, dtype=torch.float64) @ torch.randn(5, 120, dtype=torch.float64)
    constant = torch.full((30, 30), 0.5)
    ranks = analyze({"low": low.float(), "constant": constant}).frame.set_index("name")["effective_rank"]
    assert ranks["constant"] == pytest.approx(1.0, abs=1e-12)
    singular = torch.linalg.svdvals(low)[:5]  # of what was rounded to float32, to seven digits
    shares = singular / singular.sum()
    assert ranks["low"] == pytest.approx(float(torch.exp(-(shares * shares.log()).sum())), rel=1e-6)
