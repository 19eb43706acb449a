"""Gradients, updates and momentum are what the optimizer applied, in every kind of loop, and it applies the same."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from monitor.small_training import small
from spectail import SettingError, SpectralMonitor, analyze_series, budget, every, load_recording
from spectail.monitor.applied import MOMENTUM
from spectail.monitor.when import at

ALL = ["weights", "gradients", "updates", "momentum"]


def double():
    """In float64, so that the rounding of weights leaves updates to twelve digits."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 20), nn.Tanh(), nn.Linear(20, 12)).double()


def loss_of(model):
    return model(torch.randn(40, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).square().mean()


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()


def watch(model, optimizer, **options):
    options = {"when": every(1), "tensors": ALL, "nulls": False, "alerts": None, "summary": False} | options
    return SpectralMonitor(model, optimizer, **options)


def norms(recording, step, name="0.weight"):
    """Frobenius norms of a matrix and of what belongs to it, by what stands in brackets."""
    rows = recording.sel(step=step)["frobenius_norm"]
    return {str(one).partition(" (")[2][:-1]: float(rows.sel(matrix=one)) for one in rows.matrix.values if name in one}


def test_an_update_of_sgd_is_the_gradient_times_the_learning_rate():
    model = double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    with watch(model, optimizer) as monitor:
        train(model, optimizer, 2)
    update = monitor.recording.sel(step=2, matrix="0.weight (update)")
    gradient = monitor.recording.sel(step=2, matrix="0.weight (gradient)")
    assert float(update.spectral_norm) == pytest.approx(0.3 * float(gradient.spectral_norm), rel=1e-12)
    np.testing.assert_allclose(update.eigenvalues, 0.09 * gradient.eigenvalues, rtol=1e-6)  # kept in float32
    assert float(gradient.frobenius_norm) == pytest.approx(float(model[0].weight.grad.norm()), rel=1e-12)
    momentum = monitor.recording.sel(step=2, matrix="0.weight (momentum)")
    assert momentum.note.item() == "not measured: the optimizer keeps no momentum of it"
    assert math.isnan(momentum.frobenius_norm)
    assert [str(one) for one in monitor.recording.tensor.values[::2]] == ALL


def test_the_first_update_of_adam_has_one_size_and_its_momentum_is_a_tenth_of_the_gradient():
    model = double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=0)
    with watch(model, optimizer) as monitor:
        train(model, optimizer, 1)
    of = norms(monitor.recording, 1)
    assert of["update"] == pytest.approx(0.01 * math.sqrt(600), rel=1e-12)  # lr times the sign of each entry
    assert of["momentum"] == pytest.approx(0.1 * of["gradient"], rel=1e-12)


def test_overlaps_are_those_of_the_weights_before_with_what_was_added():
    model = double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with watch(model, optimizer, tensors="updates") as monitor:
        train(model, optimizer, 1)
        before = model[0].weight.detach().clone()
        train(model, optimizer, 1)
    change = model[0].weight.detach() - before
    (u, _, v), (du, _, dv) = (torch.linalg.svd(one) for one in (before, change))
    row = monitor.recording.sel(step=2, matrix="0.weight (update)")
    for got, old, new in ((row.update_overlap_left, u, du), (row.update_overlap_right, v.T, dv.T)):
        assert float(got) == pytest.approx(float((old[:, :10].T @ new[:, :10]).square().sum() / 10), rel=1e-9)
    assert float(row.null_update_overlap_left) == 10 / 20
    assert "0.weight (gradient)" not in monitor.recording.matrix


def test_a_monitor_and_a_series_of_the_same_steps_have_the_same_updates(tmp_path):
    """Layers that are split, pooled and computed; each number to the last bit, and each note."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"conv": nn.Conv2d(3, 12, 3), "attention": nn.MultiheadAttention(24, 2)})
    model["normed"] = nn.utils.parametrizations.weight_norm(nn.Linear(24, 30))
    torch.save(model.state_dict(), tmp_path / "step-0.pt")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    monitor = watch(model, optimizer, tensors="updates", nulls="gaussian")
    x = torch.linspace(-1, 1, 20 * 24).sin().reshape(1, 20, 24)
    for step in (1, 2):
        optimizer.zero_grad()
        loss = model["normed"](model["attention"](x, x, x)[0]).square().mean()
        (loss + model["conv"](torch.ones(1, 3, 5, 5)).square().mean()).backward()
        optimizer.step()
        torch.save(model.state_dict(), tmp_path / f"step-{step}.pt")
    monitor.close()
    ours, theirs = monitor.recording, analyze_series(tmp_path, between=True)
    assert {*ours.matrix.values} == {*theirs.matrix.values}
    theirs = theirs.sel(matrix=ours.matrix.values).isel(step=slice(1, None))
    ours = ours.isel(step=slice(1, None))
    for name in (name for name in ours.data_vars if ours[name].dims[:2] == ("step", "matrix")):
        a, b = ours[name].values, theirs[name].values
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), name


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", ["Adam", "LBFGS", "Muon"])
def test_training_is_the_same_bit_for_bit(kind):
    outcomes = []
    for watched in (False, True):
        model = double()
        weights = [model[0].weight, model[2].weight] if kind == "Muon" else model.parameters()
        optimizer = getattr(torch.optim, kind)(weights, lr=0.05)
        monitor = watch(model, optimizer) if watched else None
        for _ in range(3):

            def closure(model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = loss_of(model)
                loss.backward()
                return loss

            optimizer.step(closure)
        state = [value for of in optimizer.state.values() for value in of.values() if isinstance(value, torch.Tensor)]
        outcomes.append(copy.deepcopy([*model.parameters(), *(p.grad for p in model.parameters()), *state]))
        if monitor is not None:
            monitor.close()
            assert monitor.recording.frobenius_norm.sel(matrix="0.weight (update)").notnull().sum() == 3
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))


ONE_STEP = [name for name in torch.optim.__all__ if name not in ("LBFGS", "Optimizer", "lr_scheduler", "swa_utils")]


@pytest.mark.parametrize("name", [name for name in ONE_STEP if name[0].isupper()])
def test_every_optimizer_of_torch_is_followed(name):
    torch.manual_seed(0)
    sparse = name == "SparseAdam"
    model = nn.Embedding(40, 12, sparse=sparse) if sparse else nn.Linear(12, 40, bias=False)
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01, **options)
    with watch(model, optimizer, when=at([2])) as monitor:
        for _ in range(2):
            before = model.weight.detach().clone()
            optimizer.zero_grad()
            model(torch.arange(30) if sparse else torch.eye(12)).square().sum().backward()
            optimizer.step()
    of = norms(monitor.recording, 2, "weight")
    gradient = model.weight.grad.to_dense() if sparse else model.weight.grad
    assert of["update"] == pytest.approx(float((model.weight.detach().double() - before).norm()), rel=1e-9)
    assert of["gradient"] == pytest.approx(float(gradient.double().norm()), rel=1e-9)
    state = optimizer.state[model.weight]
    momentum = next((state[one] for one in MOMENTUM if one in state), None)
    assert (momentum is None) == (name in ("ASGD", "Adadelta", "Adafactor", "Adagrad", "Rprop"))
    assert momentum is None or of["momentum"] == pytest.approx(float(momentum.double().norm()), rel=1e-9)


def test_steps_that_a_scaler_skips_are_none_and_gradients_are_unscaled_and_clipped():
    model = double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    with watch(model, optimizer) as monitor:
        for skipped in (False, True, False):
            before = model[0].weight.detach().clone()
            optimizer.zero_grad()
            scaler.scale(loss_of(model) * (math.inf if skipped else 1)).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            scaler.step(optimizer)
            scaler.update()
    assert monitor.recording.step.values.tolist() == [0, 1, 2]
    of = norms(monitor.recording, 2)
    assert of["update"] == pytest.approx(float((model[0].weight.detach() - before).norm()), rel=1e-9)
    assert of["update"] == pytest.approx(0.5 * of["gradient"], rel=1e-9)
    assert of["gradient"] < 1e-3


class Sam(torch.optim.SGD):
    """In two phases, as loops call them; the gradient is let go of inside."""

    @torch.no_grad()
    def first_step(self):
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["old"] = parameter.clone()
            parameter += parameter.grad
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.copy_(self.state[parameter]["old"])
        self.step()
        self.zero_grad()


def test_an_update_in_two_phases_is_that_from_step_to_step():
    model = double()
    optimizer = Sam(model.parameters(), lr=0.2)
    with watch(model, optimizer) as monitor:
        for _ in range(2):
            before = model[0].weight.detach().clone()
            loss_of(model).backward()
            optimizer.first_step()
            loss_of(model).backward()
            optimizer.second_step()
    of = norms(monitor.recording, 2)
    assert of["update"] == pytest.approx(float((model[0].weight.detach() - before).norm()), rel=1e-9)
    assert of["update"] == pytest.approx(0.2 * of["gradient"], rel=1e-9)


def test_of_several_optimizers_all_updates_of_a_round_are_measured():
    model = double()
    first, last = torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.3)
    with watch(model, [first, last]) as monitor:
        for optimizer in (first, first, last):
            train(model, optimizer, 1)
    for name in ("0.weight", "2.weight"):
        of = norms(monitor.recording, 1, name)
        assert of["update"] > 0
        assert of["gradient"] > 0


def test_a_loop_of_ones_own_has_updates_and_gradients_and_no_momentum():
    model = double()
    with watch(model, None, tensors=["updates", "gradients"]) as monitor:
        loss_of(model).backward()
        with torch.no_grad():
            model[0].weight -= 0.1 * model[0].weight.grad
        monitor.step()
    of = norms(monitor.recording, 1)
    assert of["update"] == pytest.approx(0.1 * of["gradient"], rel=1e-9)
    with pytest.raises(SettingError, match="needs the optimizer"):
        watch(model, None)
    with pytest.raises(SettingError, match="did you mean 'updates'"):
        watch(model, None, tensors=["update"])


def test_what_is_kept_for_a_step_is_let_go_of_and_other_steps_keep_nothing():
    model = double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, when=at([2])) as monitor:
        kept = []
        for _ in range(4):
            kept.append(len(monitor._applied._before))
            train(model, optimizer, 1)
        assert kept == [0, 2, 0, 0]
    assert monitor.recording.step.values.tolist() == [0, 2, 4]
    notes = monitor.recording.note.sel(matrix="0.weight (update)").values
    assert [one.partition("; ")[0] for one in notes[[0, 2]]] == [
        "not measured: no step was made yet",
        "not measured: it was not known before the step that it would be measured",
    ]


def test_copies_count_in_the_budget_and_no_memory_for_them_is_a_note(monkeypatch):
    monkeypatch.setattr("spectail.monitor.agreed._FARTHEST_ALONE", 1)  # the clock is asked after each step
    model = double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, when=budget(1.0)) as monitor:
        before = monitor._measuring_seconds
        monitor._attached_at -= 1000.0  # as if it had trained for so long
        train(model, optimizer, 1)
        assert monitor._applied.is_foreseen
        assert monitor._measuring_seconds > before
        monkeypatch.setattr("spectail.monitor.applied._copy", lambda matrix: 1 / 0)
        train(model, optimizer, 2)
    assert norms(monitor.recording, 2)["update"] > 0
    note = monitor.recording.note.sel(step=3, matrix="0.weight (update)").item()
    assert note.startswith("not measured: the weights before the step were not kept: ZeroDivisionError")


def test_a_file_is_gone_on_with_and_layers_come_and_go(tmp_path):
    model = double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"tensors": ["updates"], "path": tmp_path / "run.nc"}
    with watch(model, optimizer, **options):
        train(model, optimizer, 1)
    monitor = watch(model, optimizer, existing="resume", initial_step=1, **options)
    train(model, optimizer, 1)
    model[2] = nn.Linear(20, 15).double()
    optimizer.add_param_group({"params": list(model[2].parameters())})
    train(model, optimizer, 1)
    model.append(nn.Linear(15, 12).double())  # the model is looked at again
    train(model, optimizer, 1)
    monitor.close()
    recording = load_recording(tmp_path / "run.nc")
    assert recording.step.values.tolist() == [0, 1, 2, 3, 4]
    weights = ["0.weight", "2.weight", "2.weight (from step 3)", "3.weight"]
    assert sorted(recording.matrix.values) == sorted(name + end for name in weights for end in ("", " (update)"))
    new = recording.sel(matrix="2.weight (from step 3) (update)")
    assert new.frobenius_norm.notnull().values.tolist() == [False, False, False, False, True]
    assert "not there before" in new.note.values[3] or "was in its place" in new.note.values[3]
    assert recording.frobenius_norm.sel(matrix="0.weight (update)").notnull().values.tolist() == [False] + [True] * 4


def test_tables_of_the_terminal_tell_what_was_applied(capsys):
    from spectail.report.terminal.recording import print_recording

    model, optimizer = small()
    with watch(model, optimizer, when=at([1])) as monitor:
        optimizer.zero_grad()
        model(torch.ones(4, 30)).square().mean().backward()
        optimizer.step()
    print_recording(monitor.recording)
    printed = capsys.readouterr().out
    assert 0 < printed.index("updates at step 1") < printed.index("gradients at step 1") < printed.index("no momentum")
    assert repr(monitor).startswith("<SpectralMonitor of Sequential: 2 matrices")
