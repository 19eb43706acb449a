"""A monitor sees every step that it should, and the training does not see the monitor."""

import copy
import linecache
import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from forked import execute, finish, start
from monitor.small_training import go_on, small
from spectail import SettingError, SpectralMonitor, load_recording
from spectail.analysis.alerts import AlertThresholds
from spectail.analysis.row import measure_matrix
from spectail.monitor.loggers import Measurement, to_csv
from spectail.monitor.when import Clocks, at, budget, every, log_spaced
from spectail.recording.events import Event
from spectail.recording.events import events as events_of
from spectail.recording.quantities import of_row


class Net(nn.Module):
    """Dropout and batch norm, so that random states and modes matter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 12, 3)
        self.norm = nn.BatchNorm2d(12)
        self.drop = nn.Dropout(0.3)
        self.first = nn.utils.parametrizations.spectral_norm(nn.Linear(12 * 16, 30))
        self.head = nn.Linear(30, 10)

    def forward(self, x):
        x = self.drop(self.norm(self.conv(x)).relu().flatten(1))
        return self.head(self.first(x).relu())


def loss_of(model):
    x = torch.randn(16, 1, 6, 6)
    return nn.functional.cross_entropy(model(x), torch.arange(16) % 10)


def train(model, optimizer, steps=6, scheduler=None):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", ["sgd", "adam", "groups", "lbfgs"])
def test_training_is_the_same_bit_for_bit(kind, tmp_path):
    outcomes = []
    for watched in (False, True):
        model = Net()
        torch.manual_seed(1), np.random.seed(1), random.seed(1)  # noqa: NPY002
        parameters = list(model.parameters())
        if kind == "groups":
            optimizer = torch.optim.AdamW([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.1}], lr=0.01)
        elif kind == "lbfgs":
            optimizer = torch.optim.LBFGS(parameters, lr=0.1, max_iter=2)
        else:
            optimizer = (torch.optim.SGD if kind == "sgd" else torch.optim.Adam)(parameters, lr=0.05)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

        def noisy(measurement):  # a logger that draws random numbers
            torch.randn(3), np.random.rand(3), random.random()  # noqa: NPY002

        monitor = None
        if watched:
            monitor = SpectralMonitor(
                model, optimizer, when=every(1), path=tmp_path / "a.nc", on_measurement=noisy, nulls=False
            )
        if kind == "lbfgs":
            for _ in range(3):

                def closure(model=model, optimizer=optimizer):
                    optimizer.zero_grad()
                    loss = loss_of(model)
                    loss.backward()
                    return loss

                optimizer.step(closure)
        else:
            train(model, optimizer, scheduler=scheduler)
        if monitor is not None:
            assert model.training
            monitor.close()
            assert monitor.recording.sizes["step"] == (4 if kind == "lbfgs" else 7)
        grads = {f"grad {name}": p.grad for name, p in model.named_parameters()}
        states = {"torch": torch.get_rng_state(), "numpy": torch.tensor(np.random.get_state()[1].astype(np.int64))}  # noqa: NPY002
        states["python"] = torch.tensor(random.getstate()[1])
        outcomes.append(copy.deepcopy(model.state_dict() | grads | states))
    assert outcomes[0].keys() == outcomes[1].keys()
    for name, value in outcomes[0].items():
        assert torch.equal(value, outcomes[1][name]), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.cuda
def test_training_on_a_gpu_is_the_same_bit_for_bit():
    outcomes = []
    for watched in (False, True):
        model = Net().cuda()
        torch.manual_seed(1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
        with SpectralMonitor(model, optimizer, when=at([2, 4] if watched else [0]), nulls=False):
            for _ in range(5):
                optimizer.zero_grad()
                loss = model(torch.randn(16, 1, 6, 6, device="cuda")).square().mean()
                loss.backward()
                optimizer.step()
        outcomes.append([*model.state_dict().values(), torch.cuda.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))


def test_the_model_and_the_optimizer_are_let_go():
    model, optimizer = small()
    hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    before = [len(one) for one in hooks]
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
        assert sum(len(one) for one in hooks) > sum(before)
        go_on(model, optimizer, 2)
    assert [len(one) for one in hooks] == before
    go_on(model, optimizer, 2)
    assert monitor.recording.step.values.tolist() == [0, 1, 2]
    monitor.close()  # a second time does nothing
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_every_dtype_are_left_as_they_are(dtype):
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 40), nn.Conv1d(40, 20, 3)).to(dtype)
    model[2].weight.data = model[2].weight.data.transpose(0, 1).contiguous().transpose(0, 1)  # another memory layout
    before = copy.deepcopy(model.state_dict())
    threads = torch.get_num_threads()
    with SpectralMonitor(model, when=every(1), nulls=False) as monitor:
        monitor.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert {value.dtype for value in model.state_dict().values()} == {dtype}
    assert torch.get_num_threads() == threads
    assert monitor.recording.pl_alpha_hill.notnull().all()


def test_a_measurement_is_the_row_of_analyze():
    from spectail.weights.opening import open_weights

    model, optimizer = small()
    given = []
    with SpectralMonitor(model, optimizer, when=at([3]), on_measurement=given.append):
        go_on(model, optimizer, 3)
    assert [type(one) for one in given] == [Measurement] * 2
    assert [one.step for one in given] == [0, 3]
    last = given[-1]
    assert list(last.frame.columns) == ["name", *(q.name for q in of_row())]
    row, spectrum = measure_matrix(open_weights(model).matrices[0])
    for name, value in row.items():
        found = last.frame[name][0]
        assert found == value or (math.isnan(found) and math.isnan(value)), name
    assert torch.equal(last.spectra["0.weight"], spectrum)
    assert last.lr == (0.1,)
    assert last.seconds > 0


@pytest.mark.parametrize(
    ("options", "measured"),
    [
        ({"when": every(4)}, [0, 4, 8, 11]),
        ({"when": log_spaced()}, [0, 1, 2, 3, 5, 10, 11]),
        ({"when": at([2, 7])}, [0, 2, 7, 11]),
        ({"when": lambda step, clocks: step % 5 == 0}, [0, 5, 10, 11]),
    ],
)
def test_the_schedule_is_kept_and_the_last_step_is_measured(options, measured):
    model, optimizer = small()
    with SpectralMonitor(model, optimizer, nulls=False, **options) as monitor:
        go_on(model, optimizer, 11)
    assert monitor.recording.step.values.tolist() == measured


@pytest.mark.parametrize(
    ("old", "new", "measured"),
    [
        ({"every": 3}, "every(k)", [0, 3, 5]),
        ({"steps": "log"}, "log_spaced", [0, 1, 2, 3, 5]),
        ({"steps": [4]}, "at(steps)", [0, 4, 5]),
        ({"every": 5, "spectra": False, "save_seconds": 1.0}, "keep_spectra", [0, 5]),
        ({"every": 5, "nulls": True}, "gaussian", [0, 5]),
    ],
)
def test_options_of_the_first_edition_work_and_name_todays(old, new, measured):
    model, optimizer = small()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        monitor = SpectralMonitor(model, optimizer, **{"nulls": False, **old})
    with monitor:
        go_on(model, optimizer, 5)
    assert len(warned) == len(old)
    assert new in " ".join(str(one.message) for one in warned)
    with pytest.warns(DeprecationWarning, match="recording"):
        assert monitor.dataset().step.values.tolist() == measured
    assert ("eigenvalues" in monitor.recording) is old.get("spectra", True)


def test_an_option_that_there_never_was_is_a_type_error():
    with pytest.raises(TypeError, match="often"):
        SpectralMonitor(small()[0], often=True)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: every(0), "every=0 is not a number of steps"),
        (lambda: every(True), "every=True"),
        (lambda: every(2.5), "every=2.5"),
        (lambda: at("often"), "steps='often' is not known"),
        (lambda: at([1, -2]), "none negative"),
        (lambda: budget(0.0), "budget=0.0 is not a share"),
        (lambda: budget(2), "budget=2 is not a share"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_moment_to_measure_is_told_in_one_sentence(ask, sentence):
    with pytest.raises(SettingError, match=re.escape(sentence)):
        ask()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": "encoder.*"}, "fits no matrix of Sequential; it has 0.weight, 1.weight"),
        ({"layers": []}, "layers is empty"),
        ({"conv": "slices"}, "conv='slices' is not known"),
        ({"initial_step": -1}, "initial_step=-1"),
        ({"existing": "resume"}, "existing='resume' needs the path"),
        ({"existing": "resume", "path": "a.nc"}, "existing='resume' needs initial_step"),
        ({"existing": "keep"}, "existing='keep' is not known"),
        ({"nulls": "law"}, "nulls='law' is not known"),
        ({"when": 3}, "when=3 says no steps; expected every(k)"),
        ({"when": "log"}, "when='log' says no steps"),
        ({"path": 3}, "path=3 is no path of a file"),
        ({"path": ""}, "path='' is no path of a file"),
        ({"on_measurement": [print, 3]}, "on_measurement=3 cannot be called"),
        ({"on_measurement": None}, "on_measurement=None cannot be called"),
        ({"alerts": 3}, "alerts=3 are no thresholds"),
        ({"on_alert": "print"}, "on_alert='print' cannot be called"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_wrong_option_is_told_in_one_sentence(options, sentence):
    model, optimizer = small()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SpectralMonitor(model, optimizer, **options)
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.usefixtures("unchecked")
def test_a_model_without_a_matrix_and_what_is_no_model_or_optimizer_are_told_so(tmp_path):
    with pytest.raises(SettingError, match=r"^a dict is no model; expected a torch\.nn\.Module"):
        SpectralMonitor({})
    with pytest.raises(IsADirectoryError, match="is a folder; expected the path of a file"):
        SpectralMonitor(nn.Linear(30, 20), path=tmp_path)
    with pytest.raises(SettingError, match=r"run\.csv would hold a recording, which is netCDF; .*run\.nc "):
        SpectralMonitor(nn.Linear(30, 20), path="run.csv")
    with pytest.raises(ValueError, match="BatchNorm1d has no weight matrix"):
        SpectralMonitor(nn.BatchNorm1d(20))
    with pytest.raises(ValueError, match=r"no weight matrix, .*\(0\.weight is not initialised yet: a lazy module gets"):
        SpectralMonitor(nn.Sequential(nn.LazyLinear(20)))
    with pytest.raises(ValueError, match="a list is not an optimizer of torch"):
        SpectralMonitor(nn.Linear(20, 20), [])


def test_a_budget_spends_no_more_than_its_share():
    when, spent, clock = budget(0.02), 0.0, 0.0
    for step in range(1, 20_000):  # steps of 10 ms, measurements of 0.1 to 0.3 s
        clock += 0.01
        cost = 0.1 + 0.2 * (step % 7) / 6
        if when(step, Clocks(clock, spent, 0.3)):
            spent += cost
    assert spent <= 0.02 * clock
    assert spent > 0.018 * clock  # and uses it: one measurement is 0.15 % of it


def test_steps_that_a_scaler_skips_do_not_count():
    model, optimizer = small()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
        for step in range(4):
            optimizer.zero_grad()
            x = torch.full((4, 30), float("inf") if step == 1 else 1.0)
            scaler.scale(model(x).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
    assert monitor.recording.step.values.tolist() == [0, 1, 2, 3]


def test_a_fused_optimizer_that_skips_a_step_does_not_count_it():
    model, _ = small()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
        for step in range(3):
            optimizer.zero_grad()
            x = torch.full((4, 30), float("inf") if step == 1 else 1.0)
            scaler.scale(model(x).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
    assert monitor.steps == 2


def test_learning_rates_are_those_of_the_step():
    model, _ = small()
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=torch.tensor(1.0))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
        for _ in range(3):
            go_on(model, optimizer, 1)
            scheduler.step()
    assert monitor.recording.lr.values.tolist() == [[1.0, 0.5], [1.0, 0.5], [0.5, 0.25], [0.25, 0.125]]


def test_what_a_receiver_raises_is_a_warning_and_the_others_are_called():
    model, optimizer = small()
    given = []

    def broken(measurement):
        raise RuntimeError("no such server")

    with pytest.warns(UserWarning, match=r"broken failed at step 0, training goes on: RuntimeError: no such server"):
        monitor = SpectralMonitor(model, optimizer, when=every(2), on_measurement=[broken, given.append], nulls=False)
    go_on(model, optimizer, 4)  # warnings are errors: it is told once
    assert [one.step for one in given] == [0, 2, 4]
    monitor.detach()


def test_what_fails_of_the_users_own_is_told_at_its_line():
    model, optimizer = small()

    def broken(measurement):
        torch.zeros(2).reshape(3)  # this line

    def unsure(step, clocks):
        return clocks["training"] > 1  # and this one

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        monitor = SpectralMonitor(model, optimizer, when=unsure, on_measurement=broken, nulls=False)
        go_on(model, optimizer, 3)
    assert [linecache.getline(__file__, one.lineno).partition("# ")[2].strip() for one in warned] == [
        "this line",
        "and this one",
    ]
    assert all(f"({os.path.basename(__file__)}, line {one.lineno})" in str(one.message) for one in warned)
    assert monitor.recording.step.values.tolist() == [0]
    monitor.detach()


def test_a_copy_of_a_monitor_has_what_was_measured_and_watches_nothing(tmp_path):
    model, optimizer = small()
    model.monitor = SpectralMonitor(model, optimizer, when=every(1), path=tmp_path / "run.nc", nulls=False)
    go_on(model, optimizer, 2)
    torch.save(model, tmp_path / "model.pt")
    copies = [
        copy.deepcopy(model).monitor,
        torch.optim.swa_utils.AveragedModel(model).module.monitor,
        torch.load(tmp_path / "model.pt", weights_only=False).monitor,
        pickle.loads(pickle.dumps(model.monitor)),
    ]
    go_on(model, optimizer, 1)
    for one in copies:
        assert one.recording.step.values.tolist() == [0, 1, 2]
        assert one.steps == one.latest.step == 2
        one.close()
        assert copy.copy(one).recording.equals(one.recording)
    model.monitor.close()
    assert load_recording(tmp_path / "run.nc").step.values.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("when", [every(3), at([1, 2]), log_spaced(), budget(0.5)])
def test_when_to_measure_is_copied_with_the_options_of_a_callback(when):
    clocks = Clocks(10.0, 1.0, 0.5)
    copied = pickle.loads(pickle.dumps(when))
    assert [copied(step, clocks) for step in range(9)] == [when(step, clocks) for step in range(9)]
    assert repr(copied) == repr(when)


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_taken_wherever_those_of_python_are():
    model, optimizer = small()
    yes, no = np.bool_(True), np.bool_(False)
    given = [
        {"when": every(np.int64(2))},
        {"when": at(np.array([2, 4]))},
        {"when": at(np.arange(2, 5, 2, dtype=np.uint8)), "layers": np.array(["0.weight", "1.weight"])},
        {"when": every(2), "nulls": no, "keep_spectra": yes, "initial_step": np.int32(0)},
        {"when": lambda step, clocks: np.bool_(step % 2 == 0)},
    ]
    for options in given:
        with SpectralMonitor(model, optimizer, **{"nulls": False, **options}) as monitor:
            go_on(model, optimizer, 5)
        assert monitor.recording.step.values.tolist() == [0, 2, 4, 5]
    assert budget(np.float32(0.5))(1, Clocks(10.0, 1.0, 1.0))
    old = [{"steps": np.array([2, 4])}, {"every": np.int64(2)}, {"steps": np.str_("log")}, {"budget": np.float64(0.5)}]
    for options in old:
        with pytest.warns(DeprecationWarning, match="of a monitor is now"):
            SpectralMonitor(model, optimizer, nulls=no, spectra=yes, resume=no, overwrite=no, **options).detach()
    for wrong in (np.int64(-1), np.bool_(True), np.float64(1.5), np.array(2), "2"):
        with pytest.raises(SettingError, match="is not a number of steps"):
            SpectralMonitor(model, optimizer, nulls=False, initial_step=wrong)


def test_weights_that_are_nan_give_a_noted_row():
    model, optimizer = small()
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
        go_on(model, optimizer, 1)
        with torch.no_grad():
            model[0].weight[3, 3] = float("nan")
        with pytest.warns(
            UserWarning, match="2 layers: weights are NaN or infinite at step 2"
        ):  # the next one's gradient is
            go_on(model, optimizer, 1)
    found = monitor.recording.sel(step=2, matrix="0.weight")
    assert "NaN" in found.note.item()
    assert found.phase.item() == "unknown"
    assert math.isnan(found.pl_alpha_hill.item())
    assert found.eigenvalues.isnull().all()


def test_a_row_that_cannot_be_measured_is_noted_and_the_others_are_there(monkeypatch):
    from spectail.analysis import updates as measuring

    def broken(matrix, **options):
        if matrix.name == "0.weight":
            raise RuntimeError("CUDA out of memory\nand more")
        return measure_matrix(matrix, **options)

    monkeypatch.setattr(measuring, "measure_matrix", broken)
    model, optimizer = small()
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
        go_on(model, optimizer, 1)
    notes = monitor.recording.note.values[:, 0].tolist()
    assert all(note.startswith("not measured: no memory on the device: it needs about ") for note in notes)
    assert len(notes) == 2
    assert monitor.recording.pl_alpha_hill.values[:, 1].min() > 1


def test_a_matrix_that_could_not_be_measured_at_a_step_has_changed_no_phase_and_is_not_trained_by_that(
    monkeypatch, tmp_path
):
    from spectail.analysis import updates as measuring

    def broken(matrix, **options):
        if monitor is not None and monitor.recording.sizes["step"] in (1, 2, 4):
            raise MemoryError
        return measure_matrix(matrix, **options)

    monkeypatch.setattr(measuring, "measure_matrix", broken)
    model, optimizer = small()
    optimizer.param_groups[0]["lr"] = 0.0
    monitor, path = None, tmp_path / "run.nc"
    alerts, on = [], AlertThresholds(effective_rank=None, spectral_norm=None, untrained_steps=3)
    monitor = SpectralMonitor(model, optimizer, when=every(1), path=path, alerts=on, on_alert=alerts.append)
    go_on(model, optimizer, 2)
    with torch.no_grad():  # the layer changes while it is not measured
        model[0].weight += 9 * torch.outer(torch.randn(20), torch.randn(30))
    go_on(model, optimizer, 2)
    monitor.close()
    phases = monitor.recording.phase.sel(matrix="0.weight").values.tolist()
    assert phases == ["random-like", "unknown", "unknown", "rank-collapse", "unknown"]
    told = [str(event) for event in monitor.events]
    assert told == [
        "0.weight: random-like → rank-collapse at step 3",
        "1.weight: still as if never trained at step 3",
    ]
    assert [str(event) for event in events_of(load_recording(path))] == sorted(told)
    again = SpectralMonitor(model, optimizer, path=path, alerts=on, existing="resume", initial_step=4)
    assert sorted(map(str, again.events)) == sorted(told)
    again.detach()


def test_events_tell_which_layer_changed_its_phase_and_when(tmp_path):
    model, optimizer = small(200, 150)
    events = []
    path = tmp_path / "run.nc"
    with SpectralMonitor(
        model,
        optimizer,
        when=every(1),
        path=path,
        nulls=False,
        alerts=None,
        on_measurement=lambda one: events.extend(one.events),
    ) as monitor:
        model[0].weight.grad = torch.zeros_like(model[0].weight)
        optimizer.step()
        with torch.no_grad():
            model[0].weight += 40 * torch.outer(torch.ones(150) / 150**0.5, torch.ones(200) / 200**0.5)
        optimizer.step()
    change = Event(2, "0.weight", "phase", "random-like → bulk+spike")
    assert change in events
    assert monitor.events == events
    assert str(change) == "0.weight: random-like → bulk+spike at step 2"
    assert change in events_of(load_recording(path))


def wandering():
    """Yields a model, its spike first just past the visible edge and then wandering about it; and a monitor of it."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(120, 80, generator=generator)
    left, right = (nn.functional.normalize(torch.randn(size, generator=generator), dim=0) for size in (120, 80))
    model = nn.Linear(80, 120, bias=False)
    about = [1.6, 1.35, 1.55, 1.4, 1.6, 1.35, 1.5, 1.4, 1.55, 1.35]  # of the critical strength
    weights = [noise + one * (120 * 80) ** 0.25 * torch.outer(left, right) for one in about]
    for step, one in enumerate(weights):
        with torch.no_grad():
            model.weight.copy_(one)
        yield step, model


def test_a_phase_is_left_more_slowly_than_it_is_entered_so_that_events_do_not_flicker(tmp_path):
    from spectail.weights.opening import open_weights

    alone, monitor = [], None
    for _, model in wandering():
        alone.append(measure_matrix(open_weights(model).matrices[0])[0]["phase"])
        if monitor is None:
            monitor = SpectralMonitor(model, when=every(1), path=tmp_path / "whole.nc")
        else:
            monitor.step()
    monitor.close()
    assert sum(a != b for a, b in pairwise(alone)) >= 4  # each by itself flickers
    phases = monitor.recording["phase"].values[:, 0].tolist()
    assert phases[0] == "bulk+spike"
    assert monitor.events == []
    # one that was stopped in between goes on from the phase that its file ends with
    for step, model in wandering():
        if step == 0:
            monitor = SpectralMonitor(model, when=every(1), path=tmp_path / "parts.nc")
        elif step == 5:
            monitor.close()
            monitor = SpectralMonitor(
                model, when=every(1), path=tmp_path / "parts.nc", existing="resume", initial_step=step
            )
        else:
            monitor.step()
    monitor.close()
    assert load_recording(tmp_path / "parts.nc")["phase"].values[:, 0].tolist() == phases


def test_the_file_holds_what_was_measured(tmp_path):
    model, optimizer = small()
    with SpectralMonitor(model, optimizer, when=every(2), path=tmp_path / "new" / "run.nc") as monitor:
        go_on(model, optimizer, 4)
    found = load_recording(tmp_path / "new" / "run.nc")
    xr.testing.assert_equal(found, monitor.recording)
    assert dict(found.sizes) == {"step": 3, "matrix": 2, "group": 1, "index": 20}
    assert found.attrs["title"] == "Sequential"
    assert found.eigenvalues.sel(matrix="1.weight").notnull().sum("index").values.tolist() == [12] * 3
    assert (found.null_alpha_hill > 1).all()
    assert os.listdir(tmp_path / "new") == ["run.nc"]


def test_a_file_that_is_there_is_neither_lost_nor_mistaken(tmp_path):
    path = tmp_path / "run.nc"
    model, optimizer = small()
    SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False).detach()
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"existing=.replace"):
        SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False)
    with pytest.raises(ValueError, match=r"has other matrices than this model: 0\.weight there, weight here"):
        SpectralMonitor(nn.Linear(30, 20), when=every(1), path=path, existing="resume", initial_step=1, nulls=False)
    with pytest.raises(ValueError, match=r"other matrices than this model: 30 there, 40 here"):
        SpectralMonitor(small(40)[0], when=every(1), path=path, existing="resume", initial_step=1, nulls=False)
    with pytest.raises(ValueError, match="keep_spectra=True"):
        SpectralMonitor(model, path=path, existing="resume", initial_step=1, nulls=False, keep_spectra=False)
    assert path.read_bytes() == before
    (tmp_path / "foreign.nc").write_bytes(b"something else")
    with pytest.raises(ValueError, match="not a readable netCDF file"):
        SpectralMonitor(model, path=tmp_path / "foreign.nc", existing="resume", initial_step=1, nulls=False)
    SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False, existing="replace").detach()
    with pytest.raises(OSError, match="nowhere"):
        SpectralMonitor(model, optimizer, when=every(1), path="/proc/nowhere/run.nc", nulls=False)


def test_a_resumed_run_has_the_measurements_of_one_that_was_not_interrupted(tmp_path):
    def run(path, stops):
        model, optimizer = small()
        start = 0
        for stop in stops:
            monitor = SpectralMonitor(
                model, optimizer, when=every(2), path=path, existing="resume", initial_step=start, nulls=False
            )
            state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
            go_on(model, optimizer, stop - start)
            monitor.close()
            if stop == 7:  # the checkpoint of step 4 is what is left: step 6 and 7 were in vain
                start = 4
                model.load_state_dict(state[0])
                go_on(model, optimizer, 0)
            else:
                start = stop
        return load_recording(path)

    whole, parts = run(tmp_path / "a.nc", [10]), run(tmp_path / "b.nc", [4, 7, 10])
    clocks = ["measuring_seconds", "training_seconds"]
    xr.testing.assert_equal(whole.drop_vars(clocks), parts.drop_vars(clocks))
    assert parts.step.values.tolist() == [0, 2, 4, 6, 8, 10]


def test_a_file_from_elsewhere_is_told_apart(tmp_path):
    model, optimizer = small()
    path = tmp_path / "run.nc"
    SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False).detach()
    found = load_recording(path)
    found.drop_vars("phase").to_netcdf(tmp_path / "part.nc")
    with pytest.raises(ValueError, match="phase missing"):
        load_recording(tmp_path / "part.nc")
    found.assign_attrs(spectail_recording_format=99).to_netcdf(tmp_path / "newer.nc")
    with pytest.raises(ValueError, match="please upgrade"):
        load_recording(tmp_path / "newer.nc")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ValueError, match="is not a recording"):
        load_recording(tmp_path / "other.nc")
    with pytest.raises(FileNotFoundError):
        load_recording(tmp_path / "none.nc")


PROGRAM = """
import os, signal, sys, torch
from torch import nn
from spectail import SpectralMonitor, every
model = nn.Linear(30, 20)
monitor = SpectralMonitor(model, when=every(1), path=sys.argv[1], nulls=False)
for step in range(1, 1000):
    model.weight.data += 0.1
    monitor.step()
    if step == 5:
        os.kill(os.getpid(), signal.{end})
"""


@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_a_program_that_is_ended_leaves_a_whole_file(end, tmp_path):
    path = tmp_path / "run.nc"
    code = PROGRAM.format(end=end)
    if end == "SIGINT":  # how Python itself ends is no business of a fork
        code = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False).returncode
    else:
        code, _ = finish(start(tmp_path, execute, code, path))
    assert code == -getattr(signal, end)
    assert load_recording(path).step.values.tolist() == list(range(6))  # nothing is lost, whatever ended it


def test_layers_are_chosen_by_name_and_pattern():
    model = Net()
    monitor = SpectralMonitor(model, layers=["head.weight", "co*"], nulls=False, when=every(1))
    assert monitor.recording.matrix.values.tolist() == ["conv.weight", "head.weight"]
    monitor.detach()
    attention = nn.MultiheadAttention(24, 2)
    monitor = SpectralMonitor(attention, layers="in_proj_weight[[]q]", nulls=False, when=every(1))
    other = SpectralMonitor(attention, layers=monitor.recording.matrix.values.tolist(), nulls=False, when=every(1))
    assert other.recording.sizes["matrix"] == 1
    monitor.detach(), other.detach()


def test_wrapped_models_have_the_names_of_what_they_wrap():
    model, _ = small()
    for wrapped in (nn.DataParallel(model), torch.compile(model, backend="eager")):
        monitor = SpectralMonitor(wrapped, when=every(1), nulls=False)
        assert monitor.recording.matrix.values.tolist() == ["0.weight", "1.weight"]
        monitor.detach()


@pytest.mark.filterwarnings("ignore:.*barrier.*:UserWarning")  # gloo's own, of devices
def test_a_model_of_several_processes_is_seen_through(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(small()[0])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with SpectralMonitor(model, optimizer, when=every(1), nulls=False) as monitor:
            go_on(model, optimizer, 2)
    finally:
        torch.distributed.destroy_process_group()
    assert monitor.recording.matrix.values.tolist() == ["0.weight", "1.weight"]
    assert monitor.recording.step.values.tolist() == [0, 1, 2]
    norms = monitor.recording.frobenius_norm.values
    assert (norms[0] != norms[2]).all()  # the weights that are trained are those that are measured


def test_parameters_that_are_flattened_together_are_refused():
    class FlatParameter(nn.Parameter):
        pass

    model = nn.Linear(20, 20)
    model.weight = FlatParameter(torch.zeros(20, 20))
    with pytest.raises(ValueError, match=r"weight holds several parameters, flattened .* use fully_shard"):
        SpectralMonitor(model)


class Clock:
    """Stands for `time` where only what is asked for takes any."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_the_budget_counts_receivers_as_measuring_and_all_else_as_training(monkeypatch):
    from spectail.monitor import monitor as module

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with SpectralMonitor(
        nn.Linear(20, 20), when=budget(0.1), nulls=False, on_measurement=lambda _: clock.sleep(1.0)
    ) as monitor:
        for _ in range(45):
            clock.sleep(1.0)
            monitor.step()
    # two measurements of a second fit into a tenth of 20 s; a third at 30 s, a fourth at 40 s, none at the end
    assert monitor.recording.step.values.tolist() == [0, 20, 30, 40]
    assert monitor.recording.training_seconds.values.tolist() == [0.0, 20.0, 30.0, 40.0]


def test_the_budget_counts_what_is_spent_on_steps_that_are_not_measured(monkeypatch):
    # in a training of short steps that is half a per cent of it, which the loop's own clock sees
    from spectail.monitor import monitor, steps

    clock, seen = Clock(), []
    for module in (monitor, steps):
        monkeypatch.setattr(module, "time", clock)

    def rule(step, clocks):
        seen.append((clocks.training, clocks.measuring))
        clock.sleep(0.5)
        return False

    model = nn.Linear(20, 20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    SpectralMonitor(model, optimizer, when=rule, nulls=False, summary=False)
    for _ in range(3):
        clock.sleep(1.0)
        optimizer.step()
    assert seen == [(1.0, 0.0), (2.0, 0.5), (3.0, 1.0)]


def test_a_loop_without_an_optimizer_counts_its_steps_itself():
    model = nn.Linear(30, 20)
    with SpectralMonitor(model, when=every(2), initial_step=10, nulls=False) as monitor:
        for _ in range(4):
            with torch.no_grad():
                model.weight *= 1.5
            monitor.step()
    found = monitor.recording
    assert found.step.values.tolist() == [10, 12, 14]
    assert found.spectral_norm.values[2, 0] == pytest.approx(
        1.5**4 * found.spectral_norm.values[0, 0], rel=1e-5
    )  # float32
    assert found.pl_alpha_hill.values[2, 0] == pytest.approx(found.pl_alpha_hill.values[0, 0], rel=1e-4)


def test_a_default_device_and_autocast_are_no_hindrance():
    model, _ = small()
    plain = SpectralMonitor(model, when=every(1), nulls=False)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
            monitor = SpectralMonitor(model, when=every(1), nulls=False)
    finally:
        torch.set_default_device(None)
    xr.testing.assert_equal(
        *(one.recording.drop_vars(["measuring_seconds", "training_seconds"]) for one in (plain, monitor))
    )
    plain.detach(), monitor.detach()


def test_lines_of_csv_have_step_and_layer(tmp_path):
    import pandas as pd

    model, optimizer = small()
    logger = to_csv(tmp_path / "a" / "run.csv")
    with SpectralMonitor(model, optimizer, when=every(1), on_measurement=logger, nulls=False):
        go_on(model, optimizer, 2)
    frame = pd.read_csv(tmp_path / "a" / "run.csv")
    assert frame.step.tolist() == [0, 0, 1, 1, 2, 2]
    assert frame.name.tolist() == ["0.weight", "1.weight"] * 3
    assert list(frame.columns) == ["step", "name", *(q.name for q in of_row())]


def test_a_forgotten_monitor_writes_its_file(tmp_path):
    model, optimizer = small()
    monitor = SpectralMonitor(model, optimizer, when=every(1), path=tmp_path / "run.nc", nulls=False)
    go_on(model, optimizer, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor._hook.remove()
        del monitor, optimizer
        import gc

        gc.collect()
    assert load_recording(tmp_path / "run.nc").sizes["step"] == 3
