"""Files of the first edition open, verify and go on; tests/data/first_edition/README.md says how they were made."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import spectail
from spectail.study.catalogue import find
from spectail.study.plan import plan_of
from spectail.study.records import Record
from spectail.study.verdicts import Verdict

if not hasattr(spectail, "load_recording"):
    pytest.skip("the reader of all recordings, spectail.load_recording, is not built yet", allow_module_level=True)

FILES = Path(__file__).parents[1] / "data" / "first_edition"
EXPECTED = json.loads((FILES / "expected.json").read_text())
RUNS, STORE, MONITOR, TRAINING = (EXPECTED[name] for name in ("runs", "store", "monitor", "training"))
UNFINISHED = STORE["unfinished"]["key"]

# Another processor sums in another order. In float64 what that changes grows from 1e-16 by a few digits over twelve
# steps; in float32, from 6e-8.
SAME = {"rtol": 1e-6, "atol": 1e-9}
SAME_IN_FLOAT32 = {"rtol": 1e-3, "atol": 1e-4}


def needs(*names):
    missing = [name for name in names if not hasattr(spectail, name)]
    return pytest.mark.skipif(bool(missing), reason=f"not built yet: {', '.join(missing)}")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(EXPECTED["threads"])
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def store(tmp_path):
    return shutil.copytree(FILES / "store", tmp_path / "store")


@pytest.fixture
def training(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FILES))  # where the network is, by the name that the training knows
    return shutil.copytree(FILES / "training", tmp_path / "training")


def checksum_of_format_2(run):
    """What a run's checksum is, said once more: of each variable its name, dimensions, shape, type and bytes."""
    digest = hashlib.sha256(json.dumps((run.attrs["experiment"], int(run.attrs.get("diverged_at", -1)))).encode())
    for name in sorted(map(str, run.variables)):
        values = np.ascontiguousarray(run.variables[name].values)
        words = values.dtype.kind in "OSUT"
        kind = "text" if words else values.dtype.newbyteorder("<").str
        digest.update(json.dumps([name, list(run.variables[name].dims), values.shape, kind]).encode())
        digest.update(json.dumps(values.astype(str).tolist()).encode() if words else values.astype(kind).tobytes())
    return digest.hexdigest()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_spectra(recording, expected):
    """One spectrum a matrix, in float32, ascending to the last index, with NaN before the first."""
    assert recording.eigenvalues.dims == ("step", "matrix", "index")
    assert recording.eigenvalues.dtype == np.float32
    assert recording.matrix.values.tolist() == expected["matrices"]
    for name, told in zip(expected["matrices"], expected["last_eigenvalues"], strict=True):
        spectra = recording.eigenvalues.sel(matrix=name).values
        missing = spectra.shape[1] - len(told)
        assert np.isnan(spectra[:, :missing]).all()
        assert (np.diff(spectra[:, missing:]) >= 0).all()
        np.testing.assert_allclose(spectra[-1, missing:], np.float32(told), **SAME)


def check_selection(recording):
    """One matrix of several has the shape of a run: its name and facts are scalars."""
    one = recording.isel(matrix=0)
    assert one.eigenvalues.dims == ("step", "index")
    assert one.matrix.item() == recording.matrix.values[0]
    for fact in ("kind", "rows", "cols", "slices"):
        assert one[fact].dims == ()


# --- runs


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_the_first_edition_opens(name):
    run, expected = spectail.load_recording(FILES / "runs" / name), RUNS[name]
    assert run.attrs["of"] == "two-layer"
    assert run.attrs["key"] == expected["key"]
    assert json.loads(run.attrs["experiment"]) == expected["experiment"]
    assert run.attrs.get("diverged_at") == expected["diverged_at"]
    assert run.step.values.tolist() == expected["steps"]
    assert run.phase.values.tolist() == expected["phases"]
    assert run.note.values.tolist() == expected["notes"]
    assert run.eigenvalues.dims == ("step", "index")
    assert run.eigenvalues.dtype == np.float64
    assert run.eigenvalues[-1].values.tolist() == expected["last_eigenvalues"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_its_one_matrix_as_scalar_coordinates(name):
    run, experiment = spectail.load_recording(FILES / "runs" / name), RUNS[name]["experiment"]
    told = {fact: run.coords[fact].item() for fact in ("matrix", "rows", "cols", "slices")}
    assert told == {"matrix": "W", "rows": experiment["h"], "cols": experiment["d"], "slices": 1}
    assert run.coords["kind"].dims == ()


def test_the_overlaps_of_a_run_are_labelled_by_their_steps():
    run = spectail.load_recording(FILES / "runs" / "gd.nc")
    pairs = RUNS["gd.nc"]["experiment"]["overlaps"]
    assert run.overlap_left.dims == ("pair", "i", "j")
    assert np.transpose([run.w_step, run.m_step]).tolist() == pairs


def test_what_a_run_could_not_measure_stays_nan_with_its_note():
    run = spectail.load_recording(FILES / "runs" / "adam_with_notes.nc")
    assert run.pl_alpha_hill.isnull().all()
    assert "equal" in run.note.values[0]


@pytest.mark.parametrize("name", RUNS)
def test_the_checksum_of_a_run_is_that_of_its_file_as_it_lies(name):
    with xr.open_dataset(FILES / "runs" / name) as stored:
        assert checksum_of_format_2(stored) == stored.attrs["checksum"] == RUNS[name]["checksum"]
    assert spectail.load_recording(FILES / "runs" / name).attrs["checksum"] == RUNS[name]["checksum"]


@pytest.mark.parametrize("described", [*RUNS.values(), *STORE["runs"].values()], ids=lambda run: run["key"])
def test_an_experiment_has_the_key_that_it_had(described):
    assert spectail.Experiment(**described["experiment"]).key == described["key"]


def test_a_run_whose_file_was_changed_is_refused(tmp_path):
    run = xr.load_dataset(FILES / "runs" / "gd.nc")
    run["train_loss"] = run.train_loss + 1e-6
    run.to_netcdf(tmp_path / "changed.nc")
    with pytest.raises(ValueError, match="damaged"):
        spectail.load_recording(tmp_path / "changed.nc")


def test_a_run_computed_anew_has_the_spectra_of_the_stored_one():
    expected = RUNS["gd.nc"]
    run = spectail.simulate(spectail.Experiment(**expected["experiment"]))
    assert run.attrs["key"] == expected["key"]
    np.testing.assert_allclose(run.eigenvalues[-1], expected["last_eigenvalues"], **SAME_IN_FLOAT32)


# --- a store


def test_every_run_of_a_store_is_found_by_its_experiment(store):
    before, found = contents(store / "runs"), spectail.Store(store)
    for key, described in STORE["runs"].items():
        run = found.get(spectail.Experiment(**described["experiment"]))
        assert (run is None) == (key == UNFINISHED)
        if run is not None:
            assert run.attrs["checksum"] == described["checksum"]
    assert contents(store / "runs") == before


def test_a_store_of_the_first_edition_lacks_only_the_run_that_was_cut_off(store):
    manifest = (store / "manifest.jsonl").read_bytes()
    wanted = [spectail.Experiment(**described["experiment"]) for described in STORE["runs"].values()]
    assert [experiment.key for experiment in spectail.Store(store).check_and_list_missing(wanted)] == [UNFINISHED]
    assert (store / "manifest.jsonl").read_bytes() == manifest


def test_the_table_of_a_store_has_a_row_a_run_and_step(store):
    frame = spectail.results_frame(store)
    told = {key: list(rows.phase) for key, rows in frame.groupby("key")}
    assert told == {key: run["phases"] for key, run in STORE["runs"].items() if key != UNFINISHED}


def test_a_run_that_the_first_edition_left_goes_on_to_its_end(store):
    expected = STORE["runs"][UNFINISHED]
    before, manifest = contents(store / "runs"), (store / "manifest.jsonl").read_bytes()
    spectail.sweep(STORE["grid"], store)
    run = spectail.load_recording(store / "runs" / f"{UNFINISHED}.nc")
    assert run.attrs["wall_time"] >= STORE["unfinished"]["seconds"], "it began anew: the whole takes far less"
    assert run.attrs["key"] == expected["key"]
    assert run.step.values.tolist() == expected["steps"]
    assert run.phase.values.tolist() == expected["phases"]
    np.testing.assert_allclose(run.eigenvalues[-1], expected["last_eigenvalues"], **SAME)
    undisturbed = spectail.simulate(spectail.Experiment(**expected["experiment"]))
    if undisturbed.attrs["checksum"] == expected["checksum"]:  # this processor computes as the one that made the files
        assert run.attrs["checksum"] == expected["checksum"]

    after = contents(store / "runs")
    assert after.keys() == {f"{key}.nc" for key in STORE["runs"]}
    assert {name: after[name] for name in before} == before
    lines = (store / "manifest.jsonl").read_bytes()
    assert lines.startswith(manifest)
    assert json.loads(lines.split()[-1])["key"] == UNFINISHED
    assert not (store / "checkpoints" / f"{UNFINISHED}.ckpt").exists()


# --- a monitor


def test_what_a_monitor_of_the_first_edition_measured_opens():
    recording = spectail.load_recording(FILES / "monitor.nc")
    assert recording.attrs["of"] == "monitor"
    assert recording.step.values.tolist() == MONITOR["steps"]
    assert recording.phase.dims == ("step", "matrix")
    assert recording.phase.values.tolist() == MONITOR["phases"]
    assert recording.lr.dims == ("step", "group")
    assert recording.lr.values.tolist() == MONITOR["lr"]
    assert recording.training_seconds.dims == recording.measuring_seconds.dims == ("step",)
    check_spectra(recording, MONITOR)
    check_selection(recording)


@pytest.mark.parametrize("name", ["eigenvalues", "spectral_norm", "frobenius_norm"])
def test_a_flipped_bit_in_eigenvalues_or_norms_of_a_monitor_file_is_noticed(name, tmp_path):
    """These files have no checksum."""
    damaged = xr.load_dataset(FILES / "monitor.nc")
    place = (1, 0, -1) if name == "eigenvalues" else (1, 0)
    damaged[name].values[place] *= 2.0  # a bit of its exponent
    damaged.to_netcdf(tmp_path / "damaged.nc")
    with pytest.raises(spectail.StoreError, match="_norm is not that of its eigenvalues"):
        spectail.load_recording(tmp_path / "damaged.nc")


def test_a_monitor_file_has_the_names_of_today():
    recording = spectail.load_recording(FILES / "monitor.nc")
    assert not {"layer", "xmin", "event_layer", "event_before", "event_after"} & {*recording.variables, *recording.dims}
    assert recording.ks_xmin.dims == ("step", "matrix")
    np.testing.assert_array_equal(recording.ks_xmin, np.array(MONITOR["ks_xmin"], dtype=float))
    assert np.isfinite(recording.null_alpha_hill[:2]).all()


@needs("events")
def test_the_events_of_a_monitor_file_are_those_that_it_told():
    events = spectail.events(spectail.load_recording(FILES / "monitor.nc"))
    assert [str(event) for event in events] == MONITOR["events"]
    assert [event.step for event in events] == MONITOR["event_steps"]


@needs("every")
def test_a_monitor_goes_on_with_the_file_of_the_first_edition(tmp_path):
    path = shutil.copy(FILES / "monitor.nc", tmp_path / "monitor.nc")
    before = spectail.load_recording(path).sel(step=slice(0, 9))
    model = nn.Sequential(nn.Linear(40, 60), nn.Tanh(), nn.Linear(60, 24), nn.Tanh(), nn.Linear(24, 1))
    rest = [*model[2].parameters(), *model[4].parameters()]
    optimizer = torch.optim.SGD([{"params": model[0].parameters()}, {"params": rest, "lr": 0.02}], lr=0.01)
    options = {"when": spectail.every(3), "path": path, "existing": "resume", "initial_step": 9}
    with spectail.SpectralMonitor(model, optimizer, **options):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(5, 40)).square().mean().backward()
            optimizer.step()
    after = spectail.load_recording(path)
    assert after.step.values.tolist() == [0, 3, 6, 9, 12]
    for name in ("eigenvalues", "phase", "note", "pl_alpha_hill", "ks_xmin", "lr", "measuring_seconds"):
        np.testing.assert_array_equal(after[name].sel(step=slice(0, 9)), before[name], err_msg=name)


# --- trainings


def test_a_training_of_the_first_edition_opens():
    expected = TRAINING["whole"]
    recording = spectail.load_recording(FILES / "training" / "trainings" / f"{expected['key']}.nc")
    assert recording.attrs["of"] == "training"
    assert json.loads(recording.attrs["training"]) == expected["training"]
    assert recording.attrs["images_sha256"] == expected["images_sha256"]
    assert recording.step.values.tolist() == expected["steps"]
    assert recording.phase.values.tolist() == expected["phases"]
    check_spectra(recording, expected)
    check_selection(recording)


def test_the_losses_of_a_training_have_names_of_their_own():
    expected = TRAINING["whole"]
    recording = spectail.load_recording(FILES / "training" / "trainings" / f"{expected['key']}.nc")
    assert not {"train_loss", "train_accuracy"} & {*recording.variables}
    for name in ("cross_entropy", "accuracy"):
        assert recording[name].dims == ("update",)
        assert recording[name].values.tolist() == expected[name]


def opened(folder, fields):
    store = spectail.Store(folder, data=folder / "bars.npz")

    def compute(experiment):
        return spectail.simulate(experiment, data=store.data, resume=store.resume_state(experiment))

    return store.get_or_run(spectail.Experiment.from_stored(fields), compute)[0]


@pytest.mark.parametrize("which", TRAINING)
def test_a_training_has_the_key_that_it_had(which):
    assert spectail.Experiment.from_stored(TRAINING[which]["training"]).key == TRAINING[which]["key"]


def test_a_training_that_is_there_is_not_trained_again(training):
    expected = TRAINING["whole"]
    path = training / "trainings" / f"{expected['key']}.nc"
    before = path.read_bytes()
    found = opened(training, expected["training"])
    assert found.attrs["of"] == "training"
    assert path.read_bytes() == before


def test_a_training_that_the_first_edition_left_goes_on_to_its_end(training):
    expected = TRAINING["unfinished"]
    recording = opened(training, expected["training"])
    kept = expected["measuring_seconds"]
    assert recording.measuring_seconds.values[: len(kept)].tolist() == kept, "it began anew"
    assert recording.step.values.tolist() == expected["steps"]
    for name in ("cross_entropy", "accuracy"):
        np.testing.assert_allclose(recording[name], expected[name], **SAME)
    check_spectra(recording, expected)
    stored = spectail.load_recording(training / "trainings" / f"{expected['key']}.nc")
    np.testing.assert_array_equal(stored.eigenvalues, recording.eigenvalues)
    assert not (training / "trainings" / f"{expected['key']}.state").exists()


# --- an analysis


def test_the_spectra_of_an_analysis_of_the_first_edition_open():
    with xr.open_dataset(FILES / "analysis" / "spectra.nc") as stored:
        spectra = {str(name): part.values for name, part in stored.eigenvalues.groupby("layer")}
        in_order = list(dict.fromkeys(stored.layer.values.tolist()))
    recording = spectail.load_recording(FILES / "analysis" / "spectra.nc")
    assert recording.attrs["of"] == "analysis"
    assert recording.step.values.tolist() == [0]
    told = {"matrices": in_order, "last_eigenvalues": [spectra[name] for name in in_order]}
    check_spectra(recording, told)


def test_the_record_of_a_figure_of_the_first_edition_opens_and_is_written_as_it_was():
    path = FILES / "study" / "fig4.json"
    record = Record.read(path)
    assert json.loads(json.dumps(record.json())) == json.loads(path.read_text(encoding="utf-8"))
    assert [claim.number for claim in record.claims] == ["28a", "28b", "28c"]
    assert record.claims[0].outcomes["published"].verdict is Verdict.DOES_NOT_HOLD
    assert len(record.runs["published"]) == len(record.runs["equations"]) == 1
    assert record.tables["published"][0][:3] == ("step", "phase", "paper")


def test_a_figure_has_the_runs_that_it_had():
    """Their keys: a store of the first edition has the runs of a figure, and they are not computed again."""
    record = Record.read(FILES / "study" / "fig4.json")
    assert [e.key for e in plan_of(find(["fig4"]), "small", 1, None, None).experiments()] == [
        key for keys in record.runs.values() for key in keys
    ]
