import shutil

import numpy as np
import pytest
import torch

import spectail
from spectail.errors import StoreError
from spectail.store.results import experiment_at, lazy_results, load_results, results_frame
from spectail.store.store import Store
from spectail.sweeps.sweep import sweep

TINY = {"n_test": 5, "n_test_large": 5, "steps": 2}
GRID = {
    "fixed": {**TINY, "n": {"times": 2, "of": "d"}},
    "zip": [{"d": [10, 14], "h": [12, 20]}],
    "axes": {"optimizer": ["gd", "adam"], "lr": [0.1, 1.0, 10.0], "seed": [0, 1]},
    "only_if": [{"optimizer": "gd", "lr": {"min": 1}}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    sweep(GRID, folder)
    return folder


def test_what_varies_is_a_dimension_and_what_goes_with_it_a_coordinate(folder):
    results = lazy_results(folder)
    assert dict(results.train_loss.sizes) == {"optimizer": 2, "h": 2, "lr": 3, "seed": 2, "step": 3}
    assert results.d.dims == results.n.dims == ("h",)
    assert results.n.values.tolist() == [20, 28]
    assert results.attrs["activation"] == "tanh"
    assert results.attrs["runs"] == 20


def test_every_cell_holds_what_its_run_measured(folder):
    results, store = lazy_results(folder), Store(folder)
    for experiment in (experiment_at(results, h=20, optimizer="adam", lr=0.1, seed=1),
                       experiment_at(results, h=12, optimizer="gd", lr=10.0, seed=0)):  # fmt: skip
        run = store.get(experiment)
        cell = results.sel(h=experiment.h, optimizer=experiment.optimizer, lr=experiment.lr, seed=experiment.seed)
        b = min(experiment.h, experiment.d)
        np.testing.assert_array_equal(cell.eigenvalues.values[:, :b], run.eigenvalues.values)
        assert np.isnan(cell.eigenvalues.values[:, b:]).all()
        for name in ("train_loss", "pl_alpha_hill", "phase", "tail_size", "update_lr"):
            np.testing.assert_array_equal(cell[name].values, run[name].values)
        assert cell.key.item() == experiment.key


def test_a_combination_that_was_dropped_is_empty(folder):
    cell = lazy_results(folder).sel(optimizer="gd", lr=0.1)
    assert np.isnan(cell.train_loss.values).all()
    assert set(cell.phase.values.ravel()) == {""}
    assert np.isnan(cell.eigenvalues.values).all()


@pytest.mark.parametrize(
    "key",
    [
        {"h": 0}, {"h": [1, 0], "lr": 2}, {"step": -1, "index": slice(3)}, {"seed": slice(1, None), "step": [2, 0]},
        {"lr": np.array([2, 0]), "optimizer": 0, "h": 1, "seed": 0, "step": 1, "index": -1}, {},
    ],
)  # fmt: skip
def test_eigenvalues_are_read_lazily_by_any_index(folder, key):
    whole = lazy_results(folder).eigenvalues.load()
    np.testing.assert_array_equal(lazy_results(folder).eigenvalues.isel(key).values, whole.isel(key).values)


def test_only_the_files_that_are_asked_for_are_read(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    results = lazy_results(copy)
    asked = experiment_at(results, h=12, optimizer="adam", lr=1.0, seed=0)
    for path in (copy / "runs").glob("*.nc"):
        if path.stem != asked.key:
            path.unlink()
    cell = results.eigenvalues.sel(h=12, optimizer="adam", lr=1.0, seed=0)
    assert np.isfinite(cell.values[:, :10]).all()


def test_the_table_has_a_row_for_each_run_and_step(folder):
    frame = results_frame(folder)
    assert len(frame) == 20 * 3
    assert {"optimizer", "lr", "seed", "d", "h", "n", "step", "kta", "phase", "key"} <= set(frame.columns)
    assert frame.attrs["steps"] == 2
    assert frame.groupby(["optimizer", "lr"]).size().to_dict()["gd", 1.0] == 2 * 2 * 3


def test_a_selection_is_by_field_or_by_experiments(folder):
    adam = lazy_results(folder, {"optimizer": "adam", "seed": [1]})
    assert adam.attrs["optimizer"] == "adam"
    assert adam.attrs["runs"] == 6
    one = experiment_at(lazy_results(folder), h=12, optimizer="adam", lr=0.1, seed=0)
    assert lazy_results(folder, [one]).attrs["runs"] == 1
    with pytest.raises(ValueError, match="select='optimiser' is not known; did you mean 'optimizer'"):
        lazy_results(folder, {"optimiser": "adam"})
    with pytest.raises(FileNotFoundError, match="holds 20 runs, none of them among those asked for"):
        lazy_results(folder, {"lr": 7})


def test_loaded_results_need_the_folder_no_more(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    loaded, lazy = spectail.load_results(copy, {"optimizer": "adam"}), spectail.lazy_results(copy)
    shutil.rmtree(copy)
    assert loaded.identical(lazy_results(folder, {"optimizer": "adam"}))
    with pytest.raises(FileNotFoundError):
        lazy.load()


def test_the_first_editions_name_of_lazy_results_works_and_names_it(folder):
    with pytest.warns(DeprecationWarning, match="is now lazy_results"):
        results = spectail.open_results(folder, {"seed": 1})
    assert results.identical(lazy_results(folder, {"seed": 1}))


def test_without_a_manifest_the_files_are_read_and_it_is_made_again(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "manifest.jsonl").unlink()
    assert lazy_results(copy).identical(lazy_results(folder))
    assert len(Store(copy).manifest.read()) == 20


def test_lines_that_were_torn_are_passed_over(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    lines = (copy / "manifest.jsonl").read_bytes().splitlines()
    torn = [line[: len(line) // 2] if i % 3 == 0 else line for i, line in enumerate(lines)]
    (copy / "manifest.jsonl").write_bytes(b"\n".join([*torn, b"{}", b"[]", b'{"key": 1}', b"\xff"]))
    assert lazy_results(copy).identical(lazy_results(folder))


def test_a_folder_without_runs_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no results"):
        lazy_results(tmp_path)


def test_runs_of_different_steps_and_records_have_one_step_axis(tmp_path):
    grid = {
        "fixed": {"n_test": 5, "n_test_large": 5, "n": 20, "d": 10, "h": 12},
        "zip": [{"steps": [1, 3], "record": ["log", [0, 3]]}],
    }
    results = sweep({**grid, "axes": {"lr": [0.1, 1]}}, tmp_path)
    assert results.step.values.tolist() == [0, 1, 3]
    assert results.steps.values.tolist() == [1, 3]
    assert np.isfinite(results.kta.sel(steps=3, step=3)).all()
    assert np.isnan(results.kta.sel(steps=1, step=3)).all()
    assert spectail.lazy_results(tmp_path, {"steps": 3}).attrs["steps"] == 3


def test_recordings_of_models_are_one_along_the_names_of_their_files(tmp_path):
    for step in (0, 10):
        torch.save({"w": torch.eye(20) * (1 + step), "only.here": torch.eye(30)}, tmp_path / f"step-{step}.pt")
    spectail.analyze_series(tmp_path, nulls=False, out=tmp_path / "all" / "series.nc")
    spectail.analyze({"w": torch.eye(20)}, nulls=False, out=tmp_path / "all" / "last")
    (tmp_path / "all" / "other.nc").write_bytes(b"something else")
    with pytest.warns(UserWarning, match=r"other\.nc is not a readable netCDF file.*; it is left out$"):
        results = load_results(tmp_path / "all")
    assert results.recording.values.tolist() == ["last/spectra", "series"]
    assert results.spectral_norm.sel(recording="series", matrix="w").values.tolist() == [1, 11]
    assert results.spectral_norm.sel(recording="last/spectra", matrix="w", step=0).item() == 1
    assert np.isnan(results.spectral_norm.sel(recording="last/spectra", matrix="only.here")).all()
    assert results.phase.sel(recording="last/spectra", matrix="only.here").values.tolist() == ["", ""]


def test_labels_of_matrices_that_only_some_recordings_have_or_that_differ_are_kept(tmp_path):
    for name, state in {
        "a": {"w": torch.randn(30, 20, generator=torch.Generator().manual_seed(0))},
        "b": {"w": torch.eye(24), "only.here": torch.eye(25)},
        "c": {"only.here": torch.eye(25)},
        "d": {"w": torch.eye(6)},  # too small for a null
    }.items():
        spectail.analyze(state, out=tmp_path / name)
    results = load_results(tmp_path)
    assert results.recording.values.tolist() == [f"{name}/spectra" for name in "abcd"]
    each = {name: one for name in "abcd" for one in [spectail.load_recording(tmp_path / name / "spectra.nc")]}
    for name, one in each.items():
        here = results.sel(recording=f"{name}/spectra", matrix=one.matrix)
        for label in ("kind", "rows", "cols", "slices", "null_alpha_hill"):
            np.testing.assert_array_equal(here[label].values, one[label].values, err_msg=f"{name} {label}")
    assert results.rows.dims == ("recording", "matrix"), "as w has two shapes"
    assert results.kind.dims == ("matrix",)
    assert results.kind.values.tolist() == ["weight", "weight"]


def test_a_two_layer_run_outside_a_store_is_no_recording_of_a_model(folder, tmp_path):
    shutil.copy(next((folder / "runs").glob("*.nc")), tmp_path / "run.nc")
    with pytest.raises(StoreError, match=r"holds two-layer runs, such as run\.nc, outside a folder runs"):
        load_results(tmp_path)


def damage(path):
    """Zeros in the middle of a file, which stays as long as it was."""
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(512) + content[half + 512 :])


def test_damaged_runs_are_named_in_one_sentence_and_the_others_are_there(folder, tmp_path):
    copy, whole = shutil.copytree(folder, tmp_path / "copy"), load_results(folder)
    first, second, third = sorted((copy / "runs").glob("*.nc"))[:3]
    for path in (first, second, third):
        damage(path)
    with pytest.warns(UserWarning, match=f"{first} is damaged.*; it is left out, and so are 2 more: ") as record:
        results = load_results(copy)
    assert len(record) == 1
    empty = {key for key in results.key.values.ravel() if np.isnan(results.eigenvalues.where(results.key == key)).all()}
    assert empty - {""} == {first.stem, second.stem, third.stem}
    assert results.drop_vars("eigenvalues").identical(whole.drop_vars("eigenvalues")), "the manifest has the rest"
    (copy / "manifest.jsonl").unlink()
    with pytest.warns(UserWarning, match="it is left out, and so are 2 more"):
        assert load_results(copy).attrs["runs"] == 17


def test_damaged_recordings_of_models_are_named_and_the_others_are_there(tmp_path):
    for name in ("one", "two"):
        spectail.analyze({"w": torch.eye(20)}, nulls=False, out=tmp_path / name)
    damage(tmp_path / "one" / "spectra.nc")
    with pytest.warns(UserWarning, match=r"one/spectra\.nc is damaged: .*; it is left out$"):
        assert load_results(tmp_path).recording.values.tolist() == ["two/spectra"]
