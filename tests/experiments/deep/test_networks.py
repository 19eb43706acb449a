"""Networks as experiments: their keys, their settings, their place in stores and sweeps."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments.deep.trained_models import dense
from spectail.cli import main
from spectail.experiments.batches import Batches
from spectail.experiments.deep.images import load_images
from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import ResumeState
from spectail.experiments.run import simulate
from spectail.recording.reading import load_recording
from spectail.store.results import lazy_results, load_results, results_frame
from spectail.store.store import Store
from spectail.store.upkeep import check
from spectail.sweeps.sweep import sweep

DENSE = "experiments.deep.trained_models:dense"
TINY = Experiment(model=DENSE, dataset="digits", images=30, steps=3, lr=0.05)
STUDENT = {"n": 20, "n_test": 5, "n_test_large": 5, "d": 8, "h": 12, "steps": 1}


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("0d1cc1b60349981b", {"model": "vgg11", "dataset": "digits"}),
        ("5c1b28490ff2f3c0", {"model": "vgg11", "dataset": "cifar10", "images": 512, "micro_batch": 128, "steps": 10}),
        (
            "9addb2383d7f99f5",
            {"model": "resnet18", "dataset": "svhn", "images": "all", "lr": 0.001, "steps": 3, "record": (0, 1, 3),
             "protocol": "equations"},
        ),
        (
            "0edcbaebfaf16b96",
            {"model": "net:make", "dataset": "bars", "optimizer": "RMSprop", "conv": "flatten", "seed": 7,
             "batch_norm": "frozen", "micro_batch": 16},
        ),
        (
            "524568d2e93b710a",
            {"model": "vgg11", "dataset": "mnist", "dtype": "float64", "optimizer": "mine:Descent", "images": 20,
             "steps": 0},
        ),
    ],
)  # fmt: skip
def test_trainings_of_the_last_release_keep_their_keys(key, fields):
    """The keys that the last release's Training(…) gave; files are found by them."""
    experiment = Experiment(**{"record": "ends", **fields})
    assert experiment.key == key
    stored = json.loads(experiment.canonical_json)
    assert Experiment.from_stored(stored) == experiment == eval(repr(experiment))
    assert experiment.replace(lr=0.5).replace(lr=experiment.lr).key == key


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model": "vgg11"}, r"^model='vgg11' takes images; give a dataset, or package.module:factory of your own$"),
        ({"dataset": "digits", "n": 9}, r"^n=9 is of students of a teacher; leave it out beside dataset='digits'$"),
        ({"dataset": "digits", "initialization": "mup"}, r"^initialization='mup' is of students of a teacher; leave"),
        ({"model": DENSE, "images": 9}, r"^images=9 is of a dataset; a teacher's points are n=2000$"),
        ({"model": DENSE, "n_test": 9}, r"^n_test=9 is of students of a teacher; leave it out beside model="),
        ({"model": DENSE, "n": 9, "batch": 10}, r"^batch=10 is more than all n=9 points$"),
        (
            {"dataset": "modular-addition"},
            r"^dataset='modular-addition' is not understood; expected modular-addition-P",
        ),
        ({"dataset": "modular-addition-999999"}, r"with P from 2 to 200$"),
        ({"dataset": "mine:"}, r"^dataset='mine:' is not understood; expected module:function"),
        (
            {"model": DENSE, "layers": [3, 4]},
            r"^layers=\(3, 4\) is of students of a teacher; leave it out beside model=",
        ),
        ({"layers": [0, 3]}, r"^h=0 is not valid"),
        ({"n": True}, r"^n=True is a yes or no; expected another kind of value$"),
        ({"images": 9}, r"^images=9 is of networks; give a model or a dataset too$"),
        ({"model": DENSE, "dataset": "digits", "h": 9}, r"^h=9 is of students of a teacher; leave it out beside"),
        ({"model": DENSE, "dataset": "digits", "kernels": ("ck",)}, r"^kernels=\('ck',\) is of students of a teacher"),
        ({"model": "mine:", "dataset": "digits"}, r"^model='mine:' is not understood; expected module:factory"),
    ],
)
def test_settings_of_another_kind_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Experiment(**fields)


def test_options_schedule_batches_and_rates_of_layers_are_torchs_own():
    """A plain loop of torch makes the same losses and learning rates."""
    e = TINY.replace(
        optimizer="AdamW", optimizer_options={"weight_decay": 0.1, "betas": [0.8, 0.99]}, schedule="StepLR",
        schedule_options={"step_size": 2, "gamma": 0.5}, batch=7, lr_factors=(0.5, 2.0), steps=6, dtype="float64",
        record=[0, 3, 6],
    )  # fmt: skip
    run = simulate(e)
    data = load_images("digits", None, 30, e.seed)
    x, y, batches = data.inputs.double(), data.targets, Batches(30, 7, e.seed)
    torch.manual_seed(e.seed)
    model = dense().double()
    layers = [{"params": [*model[1].parameters()], "lr": 0.025}, {"params": [*model[3].parameters()], "lr": 0.1}]
    optimizer = torch.optim.AdamW(layers, lr=0.05, weight_decay=0.1, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    losses = []
    for step in range(6):
        chosen = batches(step)
        optimizer.zero_grad()
        loss = cross_entropy(model(x[chosen]), y[chosen])
        # of all images where the step is recorded
        losses.append(cross_entropy(model(x), y).item() if step in (0, 3) else loss.item())
        loss.backward()
        optimizer.step()
        schedule.step()
    losses.append(cross_entropy(model(x), y).item())
    np.testing.assert_allclose(run.cross_entropy.values, losses, rtol=1e-9)  # float64, divided by small moments
    assert run.lr.values.tolist() == [[0.025, 0.1], [0.0125, 0.05], [0.003125, 0.0125]]
    weights = model[1].weight.detach().numpy()
    np.testing.assert_allclose(run.frobenius_norm.values[-1, 0], np.linalg.norm(weights), rtol=1e-7)


def test_a_network_with_a_schedule_and_batches_goes_on_to_the_same_bits():
    e = TINY.replace(schedule="CosineAnnealingLR", schedule_options={"T_max": 4}, batch=8, steps=5, optimizer="Adam")
    kept = []
    whole = simulate(e, resume=ResumeState(lambda: None, kept.append, seconds=0))
    for state in kept[:-1]:
        again = simulate(e, resume=ResumeState(lambda state=state: state, lambda content: None))
        assert again.checksum == whole.checksum


def test_too_many_rates_or_points_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"lr_factors has 3 values; expected 2, one for each layer of .*: 1, 3$"):
        simulate(TINY.replace(lr_factors=(1, 1, 1)))
    with pytest.raises(ValueError, match=r"^batch=31 is more than all 30 samples$"):
        simulate(TINY.replace(batch=31))
    with pytest.raises(ValueError, match=r"batch=31 is more than all 30 samples"):
        sweep({"fixed": {"model": DENSE, "dataset": "digits", "images": 30, "batch": 31}}, tmp_path)


def test_a_loss_that_is_no_number_is_a_run_that_diverged():
    run = simulate(TINY.replace(optimizer="gd", lr=1e37))
    assert 0 < run.attrs["diverged_at"] <= 3


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep over networks and learning rates in two processes, with a student's run beside it."""
    folder = tmp_path_factory.mktemp("swept")
    fixed = {"dataset": "digits", "images": 30, "steps": 2}
    models = [DENSE, "experiments.deep.trained_models:normed"]
    grid = {"fixed": fixed, "axes": {"model": models, "lr": [0.01, 0.1], "optimizer": ["gd", "sign"]}}
    return folder, grid, sweep(grid, folder, workers=2)


def test_a_sweep_over_networks_has_their_grid(swept):
    folder, grid, results = swept
    assert {name: results.sizes[name] for name in ("model", "lr", "optimizer", "step")} == {
        "model": 2, "lr": 2, "optimizer": 2, "step": 3,
    }  # fmt: skip
    one = results.sel(model=DENSE, lr=0.1, optimizer="sign")
    run = simulate(Experiment(**grid["fixed"], model=DENSE, lr=0.1, optimizer="sign"))
    assert str(one.key.item()) == run.attrs["key"]
    assert one.cross_entropy.values.tolist() == run.cross_entropy.values.tolist()
    np.testing.assert_array_equal(one.pl_alpha_hill.sel(matrix="3.weight"), run.pl_alpha_hill.sel(matrix="3.weight"))
    assert np.isnan(one.pl_alpha_hill.sel(matrix="0.weight")).all(), "of the other network alone"
    frame = results_frame(folder)
    assert len(frame) == 2 * 2 * 3 * (2 + 3)  # lr × optimizer × step × matrices
    assert {"model", "lr", "optimizer", "step", "matrix", "pl_alpha_hill", "cross_entropy", "key"} <= {*frame}
    assert frame.attrs["dataset"] == "digits"


def test_a_sweep_over_networks_is_found_again(swept, monkeypatch):
    folder, grid, results = swept
    monkeypatch.setattr("spectail.experiments.deep.run.train_network", lambda *_: pytest.fail("trained again"))
    assert sweep(grid, folder).identical(results)
    assert check(Store(folder)) == []
    (folder / "manifest.jsonl").rename(folder / "aside")
    assert load_results(folder).identical(results), "the manifest is made again"
    (folder / "aside").replace(folder / "manifest.jsonl")


def test_networks_and_students_are_not_mixed(tmp_path):
    store = Store(tmp_path)
    store.put(simulate(Experiment(**STUDENT)))
    store.put(simulate(TINY))
    for read in (lazy_results, results_frame):
        with pytest.raises(ValueError, match=r"of students and of networks, which are not mixed: give select="):
            read(tmp_path)
        assert read(tmp_path, {"model": None}).attrs["h"] == 12
        assert read(tmp_path, {"model": DENSE}).attrs["images"] == 30
    assert {path.parent.name for path in store.files()} == {"runs", "trainings"}


def test_the_commands_know_networks(swept, capsys, tmp_path):
    folder = swept[0]
    main(["list", str(folder)])
    told = capsys.readouterr().out
    assert "8 runs" in told
    assert "dataset=digits" in told
    key = next((folder / "trainings").glob("*.nc")).stem
    assert key in told
    main(["report", str(folder), "--out", str(tmp_path)])
    assert [page.name for page in tmp_path.glob("*.html")] == ["report.html"]  # of all, as of students
    lines = [f"[fixed]\nmodel = '{DENSE}'\ndataset = 'digits'\nimages = 30\nsteps = 2\n[axes]\nlr = [0.01, 0.1]\n"]
    (tmp_path / "grid.toml").write_text("".join(lines))
    capsys.readouterr()
    main(["sweep", str(tmp_path / "grid.toml"), "--dry-run", "--out", str(tmp_path), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["runs"], answer["found"], answer["takes"]["runs"]) == (2, 0, 2)


def test_a_damaged_network_run_is_set_aside_and_trained_again(tmp_path):
    store = Store(tmp_path)
    path = store.put(simulate(TINY))
    damaged = load_recording(path)
    damaged["frobenius_norm"][0, 0] += 1
    damaged.to_netcdf(path)
    with pytest.warns(UserWarning, match=r"does not have the checksum .* it was set aside"):
        _, found = store.get_or_run(TINY, simulate)
    assert not found


def test_the_last_releases_names_say_what_they_are_now(tmp_path):
    import spectail

    with pytest.warns(
        DeprecationWarning, match=r"^Training\(…\) is now Experiment\(model='experiments.*dataset='digits'"
    ):
        training = spectail.Training(model=DENSE, images=30, steps=1)
    assert training == Experiment(model=DENSE, dataset="digits", images=30, steps=1, record="ends")
    losses = []
    with pytest.warns(DeprecationWarning, match=r"^train\(…\) is now Store\(out"):
        run = spectail.train(training, tmp_path, progress=lambda step, steps, loss: losses.append(loss))
    assert losses == run.cross_entropy.values[:1].tolist()
    assert Store(tmp_path).get(training).identical(run)


def test_the_last_releases_command_says_what_it_is_now(tmp_path, capsys):
    main(["train", "--model", DENSE, "--images", "30", "--steps", "1", "--out", str(tmp_path), "--format", "png"])
    said = capsys.readouterr()
    assert f"spectail train is now spectail run --model {DENSE} --dataset digits; the old name" in said.err
    training = Experiment(model=DENSE, dataset="digits", images=30, steps=1, record="ends")
    assert training in Store(tmp_path)
