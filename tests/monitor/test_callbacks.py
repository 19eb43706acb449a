"""The callbacks, each in a real training by its library where that is installed."""

import doctest
import gc
import importlib

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from forked import execute, finish, start
from spectail import every
from spectail.recording.reading import load_recording


def data():
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(48, 30, generator=generator), torch.randn(48, 12, generator=generator))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 20), nn.Dropout(0.5), nn.Linear(20, 12))


def arguments(folder, **options):
    """Of a Trainer of transformers that does nothing but train, on the CPU."""
    from transformers import TrainingArguments

    quiet = {"report_to": [], "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True}
    return TrainingArguments(output_dir=str(folder / "out"), **{**quiet, **options})


def trainer_of_lightning(folder, epochs, callbacks):
    """One that does nothing but train, on the CPU."""
    from lightning.pytorch import Trainer

    nothing = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    return Trainer(max_epochs=epochs, accelerator="cpu", callbacks=callbacks, default_root_dir=folder, **nothing)


def check_is_watched_as_without(fit, callback, path):
    """A training with a callback ends with the same weights, and its file has the steps and layers."""
    bare, watched = fit([]), fit([callback])
    assert all(torch.equal(bare[name], watched[name]) for name in bare)
    recording = load_recording(path)
    assert recording.step.values.tolist() == [0, 3, 6, 8]
    assert recording.matrix.values.tolist() == ["net.0.weight", "net.2.weight"]
    return recording


CALLBACKS = pytest.mark.parametrize(
    ("name", "library"), [("SpectralCallback", "lightning"), ("SpectralTrainerCallback", "transformers")]
)


@CALLBACKS
def test_a_missing_library_is_named_with_its_extra(name, library, tmp_path):
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        f"try:\n    from spectail import {name}\n"
        "except ImportError as error: print(error)"
    )
    assert f"pip install 'spectail[{library}]'" in finish(start(tmp_path, execute, code))[1]


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
@CALLBACKS
def test_the_example_of_a_callback_runs_with_its_library(name, library):
    pytest.importorskip({"lightning": "lightning.pytorch", "transformers": "accelerate"}[library])
    pytest.importorskip(library)
    module = importlib.import_module(f"spectail.monitor.{library}")
    (docstring,) = doctest.DocTestFinder(recurse=False).find(getattr(module, name), globs=vars(module).copy())
    failed, examples = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(docstring)
    assert examples
    assert not failed


def test_a_name_that_is_no_callback_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Nothing"):
        importlib.import_module("spectail").Nothing  # noqa: B018


@pytest.mark.filterwarnings("ignore")  # of lightning itself
def test_lightning_trains_as_without_and_leaves_a_file(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from spectail import SpectralCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net()

        def training_step(self, batch, _):
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

    def fit(callbacks):
        module = Module()
        torch.manual_seed(1)
        trainer = trainer_of_lightning(tmp_path, 2, callbacks)
        trainer.fit(module, DataLoader(data(), batch_size=12, shuffle=True))
        return module.state_dict()

    callback = SpectralCallback(when=every(3), path=tmp_path / "run.nc", nulls=False)
    recording = check_is_watched_as_without(fit, callback, tmp_path / "run.nc")
    assert recording.lr.values[1:, 0].tolist() == [0.01] * 3


@pytest.mark.filterwarnings("ignore")  # of transformers itself
def test_the_hugging_face_trainer_trains_as_without_and_leaves_a_file(tmp_path):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from spectail import SpectralTrainerCallback

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x, y):
            out = self.net(x)
            return {"loss": nn.functional.mse_loss(out, y), "logits": out}

    rows = [{"x": x, "y": y} for x, y in data()]

    def fit(callbacks):
        model = Model()
        options = {"num_train_epochs": 2, "per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}
        args = arguments(tmp_path, seed=1, remove_unused_columns=False, **options)
        transformers.Trainer(model=model, args=args, train_dataset=rows, callbacks=callbacks).train()
        return model.state_dict()

    callback = SpectralTrainerCallback(when=every(3), path=tmp_path / "run.nc", nulls=False)
    check_is_watched_as_without(fit, callback, tmp_path / "run.nc")
    assert callback.monitor.steps == 8


@pytest.mark.filterwarnings("ignore")  # of transformers itself
def test_a_batch_that_is_too_large_is_tried_again_and_a_second_training_goes_on(tmp_path):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from spectail import SpectralTrainerCallback

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(30, 20)

        def forward(self, x):
            if len(x) > 4:
                raise RuntimeError("CUDA out of memory.")
            return {"loss": self.net(x).square().mean()}

    args = arguments(tmp_path, num_train_epochs=1, per_device_train_batch_size=5, auto_find_batch_size=True)
    rows = [{"x": x} for x, _ in data()][:16]
    callback = SpectralTrainerCallback(when=every(1), path=tmp_path / "run.nc", nulls=False, existing="resume")
    trainer = transformers.Trainer(model=Model(), args=args, train_dataset=rows, callbacks=[callback])
    gc.freeze()  # accelerate collects garbage after each try, which takes long where much is imported
    try:
        for _ in range(2):
            trainer.train()
    finally:
        gc.unfreeze()
    assert load_recording(tmp_path / "run.nc").step.values.tolist() == list(range(9))


@pytest.mark.filterwarnings("ignore")  # of lightning itself
@pytest.mark.parametrize("again", ["resumed from a checkpoint", "fitted twice"])
def test_two_optimizers_of_lightning_are_gone_on_with_at_the_right_step(again, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from spectail import SpectralCallback

    class Gan(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization, self.g, self.d = False, nn.Linear(30, 20), nn.Linear(20, 12)

        def training_step(self, batch, _):
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.d(self.g(batch[0])).square().mean())
                optimizer.step()

        def configure_optimizers(self):
            return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.g, self.d)]

    def trainer(epochs):
        callback = SpectralCallback(when=every(1), path=tmp_path / "run.nc", nulls=False, existing="resume")
        return trainer_of_lightning(tmp_path, epochs, [callback])

    batches, module, first = DataLoader(data(), batch_size=12), Gan(), trainer(2)
    first.fit(module, batches)
    if again == "fitted twice":
        first.fit_loop.max_epochs = 4
        first.fit(module, batches)
    else:
        first.save_checkpoint(tmp_path / "gan.ckpt")
        trainer(4).fit(Gan(), batches, ckpt_path=tmp_path / "gan.ckpt")
    assert load_recording(tmp_path / "run.nc").step.values.tolist() == list(range(17))


@pytest.mark.filterwarnings("ignore")  # of transformers itself
def test_whom_the_hugging_face_trainer_reports_to_has_the_measurements_at_its_steps(tmp_path, capfd):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from spectail import SpectralTrainerCallback

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(30, 20)

        def forward(self, x):
            return {"loss": self.net(x).square().mean()}

    class Report(transformers.TrainerCallback):
        """As those of `report_to`: the end of the training is the end of the report."""

        def __init__(self):
            self.steps, self.is_over = {}, False

        def on_log(self, args, state, control, logs, model, **_):
            assert not self.is_over
            self.steps[state.global_step] = {*self.steps.get(state.global_step, ()), *logs}

        def on_train_end(self, *_, **__):
            self.is_over = True

    class Failing(transformers.TrainerCallback):
        def on_log(self, args, state, control, logs, **_):
            assert "loss" in logs or "train_loss" in logs

    report = Report()
    callback = SpectralTrainerCallback(when=every(3), path=tmp_path / "run.nc", nulls=False)
    rows = [{"x": x} for x, _ in data()][:16]
    trainer = transformers.Trainer(
        model=Model(), args=arguments(tmp_path, num_train_epochs=1, per_device_train_batch_size=4),
        train_dataset=rows, callbacks=[report, Failing(), callback],
    )  # fmt: skip
    with pytest.warns(UserWarning, match="Failing did not take a measurement, training goes on: AssertionError"):
        trainer.train()
    measured = {step for step, names in report.steps.items() if "spectail/net.weight/stable_rank" in names}
    assert measured == set(load_recording(tmp_path / "run.nc").step.values.tolist()) == {0, 3, 4}
    assert "spectail/" not in capfd.readouterr().out, "what prints logs does not print these"


@pytest.mark.filterwarnings("ignore")  # of transformers itself
@pytest.mark.parametrize("event", ["on_evaluate", "on_epoch_end", "on_step_end"])
def test_where_a_later_callback_stops_the_training_the_last_step_is_reported_and_not_the_best(event, tmp_path):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from spectail import SpectralTrainerCallback

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Linear(30, 20)

        def forward(self, x, labels):
            return {"loss": (self.net(x) - labels).square().mean(), "logits": x}

    class Report(transformers.TrainerCallback):
        def __init__(self):
            self.ranks, self.is_over = {}, False

        def on_log(self, args, state, control, logs, **_):
            assert not self.is_over
            if "spectail/net.weight/stable_rank" in logs:
                self.ranks[state.global_step] = logs["spectail/net.weight/stable_rank"]

        def on_train_end(self, *_, **__):
            self.is_over = True

    class Stop(transformers.TrainerCallback):
        rank = None

    def stop(self, args, state, control, model, **_):
        if state.global_step == 4:
            control.should_training_stop = True
            eigenvalues = torch.linalg.svdvals(model.net.weight.detach().double()).square()
            self.rank = (eigenvalues.sum() / eigenvalues.max()).item()
        return control

    setattr(Stop, event, stop)
    report, stopping = Report(), Stop()
    path = tmp_path / "run.nc"
    callback = SpectralTrainerCallback(when=every(3), path=path, nulls=False, layers="net.weight")
    best = {
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": False,
    }  # the steps are too wide
    times = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    rows = [{"x": x, "labels": x[:20]} for x, _ in data()][:16]
    args = arguments(
        tmp_path, num_train_epochs=3, per_device_train_batch_size=4, learning_rate=0.1, **times, **best
    )  # four steps an epoch
    trainer = transformers.Trainer(
        model=Model(), args=args, train_dataset=rows, eval_dataset=rows[:4], callbacks=[report, callback, stopping]
    )
    trainer.train()
    recording = load_recording(path)
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-2"), "these weights are put back"
    assert recording.step.values.tolist() == [*report.ranks] == [0, 3, 4]
    assert recording.stable_rank.values[-1, 0] == report.ranks[4] == pytest.approx(stopping.rank, rel=1e-6)


@pytest.mark.filterwarnings("ignore")  # of lightning itself
def test_the_loggers_of_lightning_have_the_measurements(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.loggers import CSVLogger

    from spectail import SpectralCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net()

        def training_step(self, batch, _):
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    callback = SpectralCallback(when=every(3), nulls=False)
    trainer = trainer_of_lightning(tmp_path, 1, [callback])
    trainer.loggers = [CSVLogger(tmp_path, "csv", version=0)]
    trainer.fit(Module(), DataLoader(data(), batch_size=12))
    table = pd.read_csv(tmp_path / "csv" / "version_0" / "metrics.csv")
    assert table.dropna(subset="spectail/net.0.weight/stable_rank").step.tolist() == [0, 3, 4]
