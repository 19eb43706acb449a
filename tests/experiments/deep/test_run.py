import contextlib
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from forked import execute, finish, output, start, wait_until
from spectail.analysis.row import measure_all
from spectail.cli import main
from spectail.experiments.deep.run import torch_optimizer
from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import is_whole
from spectail.experiments.run import simulate
from spectail.recording.reading import load_recording
from spectail.store.store import Store

HERE = Path(__file__).parent
FIRST_EDITION = HERE.parents[1] / "data" / "first_edition"
TINY = Experiment(
    model="trained_models:normed", dataset="digits", images=40, micro_batch=16, steps=5, record=(0, 2, 5),
    protocol="published",
)  # fmt: skip


@pytest.fixture(autouse=True)
def models_are_found(monkeypatch):
    monkeypatch.syspath_prepend(HERE)


class CutOffError(Exception):
    """The process ends here."""


def trained(experiment, folder, data=None, at_step=lambda step: None, state_seconds=0):
    """The run in a folder, its file, and whether it was found; its state is kept after each step."""
    store = Store(folder, state_seconds, data=data)

    def compute(e):
        return simulate(e, data=store.data, progress=lambda step, steps: at_step(step), resume=store.resume_state(e))

    _, found = store.get_or_run(experiment, compute)
    return store.path(experiment), found


def same(one, two):
    clocks = ["measuring_seconds", "training_seconds"]
    one, two = one.drop_vars(clocks), two.drop_vars(clocks)
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        if one[name].dtype.kind == "f":
            np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=name)
        else:
            assert one[name].values.tolist() == two[name].values.tolist(), name


def test_a_training_learns_and_is_found_again(tmp_path):
    path, found = trained(TINY, tmp_path)
    run = load_recording(path)
    assert not found
    assert run.step.values.tolist() == [0, 2, 5]
    assert run.matrix.values.tolist() == ["0.weight", "4.weight", "9.weight"]
    assert run.sizes["update"] == 6
    assert run.cross_entropy.values[-1] < run.cross_entropy.values[0]
    assert list((tmp_path / "trainings").iterdir()) == [path], "the state was not removed"
    assert trained(TINY, tmp_path) == (path, True)


@pytest.mark.parametrize("optimizer", ["adam", "gd", "sign", "RMSprop"])
@pytest.mark.parametrize("cut", [1, 3])
def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(tmp_path, optimizer, cut):
    training = TINY.replace(optimizer=optimizer)
    whole, _ = trained(training, tmp_path / "whole")
    steps = []

    def stop(step):
        if step == cut:
            raise CutOffError

    with pytest.raises(CutOffError):
        trained(training, tmp_path / "cut", at_step=stop)
    path, _ = trained(training, tmp_path / "cut", at_step=steps.append)
    assert steps == list(range(cut + 1, 6)), "it began anew, or did not go on"
    same(load_recording(whole), load_recording(path))


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_phase_is_judged_by_the_last_one_known_where_a_measurement_failed(tmp_path, monkeypatch, is_cut_off):
    """So does a monitor, of whose training this is to be the same recording."""
    before = []

    def no_memory(matrix, **options):
        raise MemoryError

    def measured(matrices, nulls, rows):
        before.append({row["name"]: row["phase"] for row in rows})
        return measure_all(matrices, nulls, rows, *[no_memory] * (len(before) == 2))

    def cut_off(step):
        if is_cut_off and step == 4 and len(before) == 2:
            raise CutOffError

    monkeypatch.setattr("spectail.experiments.deep.run.measure_all", measured)
    with contextlib.suppress(CutOffError):
        trained(TINY, tmp_path, at_step=cut_off)
    recording = load_recording(trained(TINY, tmp_path, at_step=cut_off)[0])
    phases = [dict(zip(recording.matrix.values.tolist(), row, strict=True)) for row in recording.phase.values.tolist()]
    assert set(phases[1].values()) == {"unknown"} != set(phases[0].values())
    assert before == [{}, phases[0], phases[0]]


def test_a_killed_process_loses_nothing(tmp_path):
    training = TINY.replace(steps=60, record=(0, 60))
    code = (
        f"import sys, json, torch; torch.set_num_threads({torch.get_num_threads()})\n"  # sums differ with it
        "from spectail import Experiment, Store, simulate\n"
        "say = lambda step, *_: print(step, flush=True)\n"
        "store = Store(sys.argv[2], 0)\n"
        "e = Experiment.from_stored(json.loads(sys.argv[1]))\n"
        "store.get_or_run(e, lambda e: simulate(e, progress=say, resume=store.resume_state(e)))"
    )
    process = start(tmp_path, execute, code, training.canonical_json, tmp_path)
    wait_until(lambda: "5\n" in output(process) or not process.is_alive())
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    steps = []
    path, found = trained(training, tmp_path, at_step=steps.append)
    assert not found
    assert steps[0] > 5
    whole, _ = trained(training, tmp_path / "whole")
    same(load_recording(whole), load_recording(path))


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"PK\x03\x04"])
def test_a_damaged_state_is_not_used(tmp_path, damage):
    Store(tmp_path).state_path(TINY).parent.mkdir()
    Store(tmp_path).state_path(TINY).write_bytes(damage)
    steps = []
    trained(TINY, tmp_path, at_step=steps.append)
    assert steps == [1, 2, 3, 4, 5]


def test_no_code_in_a_state_is_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('the file ran code')",))

    path = Store(tmp_path).state_path(TINY)
    path.parent.mkdir()
    torch.save({"training": TINY.canonical_json, "images": Bomb()}, path)
    trained(TINY, tmp_path)


def test_a_state_of_another_edition_is_begun_anew(tmp_path):
    path = Store(tmp_path).state_path(TINY)

    def stop(step):
        raise CutOffError

    with pytest.raises(CutOffError):
        trained(TINY, tmp_path, at_step=stop)
    content = path.read_bytes()
    assert is_whole(content)
    path.write_bytes(content.replace(b"checkpoint 1", b"checkpoint 9", 1))
    steps = []
    trained(TINY, tmp_path, at_step=steps.append)
    assert steps == [1, 2, 3, 4, 5]


def test_a_state_of_the_first_edition_goes_on(tmp_path, monkeypatch):
    """It has no hash; tests/data/first_edition/README.md says how it was made. For one release."""
    monkeypatch.syspath_prepend(str(FIRST_EDITION))
    folder = shutil.copytree(FIRST_EDITION / "training", tmp_path / "training")
    about = json.loads((FIRST_EDITION / "expected.json").read_text())["training"]["unfinished"]
    training, steps = Experiment.from_stored(about["training"]), []
    assert training.key == about["key"]
    content = (folder / "trainings" / f"{training.key}.state").read_bytes()
    assert not is_whole(content)
    path, found = trained(training, folder, data=folder / "bars.npz", at_step=steps.append)
    assert not found
    assert steps == [3, 4]
    np.testing.assert_allclose(
        load_recording(path).cross_entropy, about["cross_entropy"], rtol=1e-6
    )  # another processor


def test_other_images_under_one_name_are_trained_anew(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        pixels = rng.integers(0, 255, (50, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / folder / "mine.npz", images=pixels, labels=np.arange(50) % 10)
    training = TINY.replace(dataset="mine", steps=1, record="ends")
    first, _ = trained(training, tmp_path, data=tmp_path / "a" / "mine.npz")
    loss = load_recording(first).cross_entropy.values[0]
    with pytest.warns(UserWarning, match="other images than dataset='mine' has now; it was set aside"):
        second, found = trained(training, tmp_path, data=tmp_path / "b" / "mine.npz")
    assert not found
    assert load_recording(second).cross_entropy.values[0] != loss
    assert len(list((tmp_path / "trainings").glob("*.set-aside-1"))) == 1, "what was there is not lost"


@pytest.mark.parametrize("corrected", [True, False])
def test_the_first_step_of_adam_follows_the_convention(corrected):
    model = nn.Linear(3, 2, bias=False)
    before = model.weight.detach().clone()
    optimizer = torch_optimizer(TINY.replace(bias_correction=corrected, lr=0.01), model)
    model.weight.grad = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]])
    optimizer.step()
    # |M|/√V is 1 with the correction, (1 − 0.9)/√(1 − 0.999) without
    length = 0.01 * (1.0 if corrected else 0.1 / np.sqrt(0.001))
    assert (before - model.weight).abs().flatten().tolist() == pytest.approx([length] * 6, rel=1e-4)  # float32


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"batch_norm": "full"}, "micro_batch of all images"),
        ({"batch_norm": "chnk"}, "did you mean 'chunk'"),
        ({"lr": -1}, "lr=-1"),
        ({"images": 0}, "images=0"),
        ({"record": (7,)}, "the run ends at step 5"),
        ({"colour": 1}, "field='colour' is not known"),
        ({"steps": 1.5}, "steps=1.5 is not a whole number"),
        ({"record": ("two",)}, r"record=.*two.* is not understood; expected steps"),
        ({"dtype": "float46"}, "did you mean 'float64'"),
        ({"conv": "flaten"}, "did you mean 'flatten'"),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        TINY.replace(**fields)
    assert "\n" not in str(error.value)


def test_the_command_trains_tells_and_finds_again(tmp_path, capsys):
    command = ["run", "--model", "trained_models:dense", "--dataset", "digits", "--images", "30", "--steps", "2"]
    command += ["--out", str(tmp_path), "--format", "png"]
    main(command)
    first = capsys.readouterr().out
    assert "1.weight" in first
    assert "found, not computed again" not in first
    main(command)
    assert "found, not computed again" in capsys.readouterr().out
    (path,) = (tmp_path / "trainings").glob("*.nc")
    main(["report", str(path)])
    assert list((tmp_path / "trainings").glob("*.html"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--images", "none"], "images='none'"),
        (["--model", "vgg12"], "did you mean 'vgg11'"),
        (["--optimizer", "RMSporp"], "did you mean 'RMSprop'"),
        (["--dataset", "cifar100"], "did you mean 'cifar10'"),
        (["--data", "nothing.npz"], "does not exist"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(tmp_path, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as left:
        main(["run", "--model", "vgg11", "--dataset", "digits", "--steps", "1", "--out", str(tmp_path), *arguments])
    assert left.value.code == 2
    assert sentence in capsys.readouterr().err
