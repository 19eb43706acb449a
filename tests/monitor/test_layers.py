"""A layer that is replaced, pruned, tied, added, removed or computed from others is noticed at the next measurement."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from spectail import SettingError, SpectralMonitor, analyze, at, every, load_recording
from spectail.monitor.layers import WatchedMatrices, _outline
from spectail.recording.events import events as events_of
from spectail.recording.quantities import of_row


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 12), nn.Linear(12, 20))


def watched(model, change, path=None, when=None, **options):
    """The recording of steps 0 to 4 of a model that is changed between 2 and 3."""
    with SpectralMonitor(model, when=when or every(1), path=path, **{"nulls": False, **options}) as monitor:
        for step in range(1, 5):
            if step == 3:
                change(model)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.01)
            monitor.step()
    return monitor


def told(monitor):
    return [(one.step, one.matrix, one.kind, one.text) for one in monitor.events if one.kind != "phase"]


def replace_smaller(model):
    model[1] = nn.Linear(20, 16)


def replace_alike(model):
    model[1] = nn.Linear(20, 12)


def other_parameter(model):
    model[1].weight = nn.Parameter(torch.randn(12, 20))


def resized_in_place(model):
    model[1].weight.data = torch.randn(16, 20)


def pruned(model):
    prune.l1_unstructured(model[1], "weight", amount=0.3)


def weight_norm(model):
    parametrizations.weight_norm(model[1])


def spectral_norm(model):
    parametrizations.spectral_norm(model[1])


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight * 2.0


def of_a_users_own(model):
    parametrize.register_parametrization(model[1], "weight", Symmetric())


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def old_weight_norm(model):
    nn.utils.weight_norm(model[1])


def old_spectral_norm(model):
    nn.utils.spectral_norm(model[1])


def tied(model):
    model[1].weight = nn.Parameter(torch.randn(12, 20))
    model[2].weight = nn.Parameter(model[1].weight.data.T)  # 20 × 12, of the same values


def removed(model):
    del model[1]
    model.insert(1, nn.Identity())


def added(model):
    model.append(nn.Linear(20, 30))


def half(model):
    model[1].half()


NEW = "1.weight (from step 3)"


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("change", "events", "there"),
    [
        (replace_smaller, {(NEW, "replaced", "its shape was 12×20 and is 16×20")}, {NEW}),
        (resized_in_place, {(NEW, "replaced", "its shape was 12×20 and is 16×20")}, {NEW}),
        (replace_alike, {("1.weight", "replaced", "another parameter is in its place")}, {"1.weight"}),
        (other_parameter, {("1.weight", "replaced", "another parameter is in its place")}, {"1.weight"}),
        (pruned, {("1.weight", "replaced", "it is now pruned: the weight it acts with")}, {"1.weight"}),
        (weight_norm, {("1.weight", "replaced", "it is now weight_norm: the weight it acts with")}, {"1.weight"}),
        (spectral_norm, {("1.weight", "replaced", "it is now spectral_norm: the weight it acts with")}, {"1.weight"}),
        (old_weight_norm, {("1.weight", "replaced", "it is now weight_norm: the weight it acts with")}, {"1.weight"}),
        (
            old_spectral_norm,
            {("1.weight", "replaced", "it is now spectral_norm: the weight it acts with")},
            {"1.weight"},
        ),
        (of_a_users_own, {("1.weight", "replaced", "it is now Symmetric: the weight it acts with")}, {"1.weight"}),
        (half, {("1.weight", "replaced", "its dtype was float32 and is float16")}, {"1.weight"}),
        (removed, {("1.weight", "removed", "it is not in the model any more")}, set()),
        (added, {("3.weight", "added", "it is in the model, 30×20, and was not before")}, {"1.weight", "3.weight"}),
        (
            tied,
            {
                ("1.weight", "replaced", "it is now tied to 2.weight"),
                (
                    "2.weight",
                    "removed",
                    "it is not measured any more: tied: the same values as 1.weight, analysed there",
                ),
            },
            {"1.weight"},
        ),
    ],
)
def test_what_becomes_of_a_layer_is_an_event_and_its_numbers_are_those_of_the_model(change, events, there, tmp_path):
    model = small()
    model.register_forward_pre_hook(model.float)  # a method of an object, as users put there
    path = tmp_path / "run.nc" if change in (replace_smaller, removed, added) else None
    monitor = watched(model, change, path, when=at([2, 3]))
    assert {one[1:] for one in told(monitor)} == events
    assert {one[0] for one in told(monitor)} == {3}
    recording = monitor.recording
    if path is not None:
        assert load_recording(path).identical(recording)
    now = analyze(model, nulls=False).frame.set_index("name")
    last = recording.isel(step=-1)
    measured = {str(name) for name in last.matrix.values if last.sel(matrix=name).n_eigenvalues > 0}
    assert measured - {"0.weight", "2.weight"} == there
    for name in there:
        row, (plain, *_) = last.sel(matrix=name), name.split(" ")
        for q in of_row():
            if q.dtype is not str and q.of == "spectrum":
                np.testing.assert_equal(row[q.name].item(), float(now.loc[plain, q.name]), err_msg=q.name)
        assert (int(row["rows"]), int(row["cols"])) == (now.loc[plain, "rows"], now.loc[plain, "cols"])
        spectrum = row.eigenvalues.values[~np.isnan(row.eigenvalues.values)]
        assert len(spectrum) == min(now.loc[plain, "rows"], now.loc[plain, "cols"])
    for name in {"1.weight", NEW, "3.weight"} & {*recording.matrix.values.tolist()} - there:
        assert recording.sel(matrix=name).note.values.tolist()[2:] == ["not in the model at this step"] * 2
        assert recording.sel(matrix=name, step=[3, 4]).spectral_norm.isnull().all()
    if NEW in recording.matrix.values:
        assert recording.sel(matrix=NEW).note.values.tolist()[:2] == ["not in the model at this step"] * 2
        assert recording.sel(matrix="1.weight", step=[0, 2]).spectral_norm.notnull().all()
    phases = [one for one in events_of(recording) if one.kind == "phase"]
    assert not [one for one in phases if "unknown" in one.text]  # to come and to go is no change of phase


def test_a_matrix_of_another_shape_has_the_null_of_its_own():
    monitor = watched(small(), replace_smaller, nulls="gaussian")
    null = monitor.recording.null_alpha_hill
    expected = analyze({"a.weight": torch.randn(16, 20), "b.weight": torch.randn(12, 20)}).frame.null_alpha_hill
    assert null.sel(matrix=NEW).item() == expected[0]
    assert null.sel(matrix="1.weight").item() == expected[1]
    z = monitor.recording.z_hill
    assert z.sel(matrix=NEW).notnull().values.tolist() == [False, False, False, True, True]


def test_a_pruned_layer_that_is_made_plain_and_a_layer_that_comes_back_are_told():
    model = small()
    first = model[1]
    with SpectralMonitor(model, when=every(1), nulls=False) as monitor:
        for change in (
            lambda: prune.l1_unstructured(first, "weight", amount=0.3),
            lambda: prune.remove(first, "weight"),
            lambda: replace_smaller(model),
            lambda: model.__setitem__(1, first),
            lambda: None,
        ):
            change()
            monitor.step()
    texts = [one[1:2] + one[3:] for one in told(monitor)]
    assert texts == [
        ("1.weight", "it is now pruned: the weight it acts with"),
        ("1.weight", "it is no longer pruned: the weight it acts with"),
        ("1.weight (from step 3)", "its shape was 12×20 and is 16×20"),
        ("1.weight", "its shape was 16×20 and is 12×20"),
    ]
    assert monitor.recording.sel(matrix="1.weight").spectral_norm.notnull().values.tolist() == [1, 1, 1, 0, 1, 1]


def test_a_change_that_is_undone_between_two_measurements_is_none():
    def there_and_back(model):
        first = model[1]
        replace_smaller(model)
        model[1] = first

    assert told(watched(small(), there_and_back)) == []


def test_what_changes_between_measurements_is_noticed_at_the_next():
    assert [one[0] for one in told(watched(small(), replace_smaller, when=at([4])))] == [4]


def test_training_that_puts_other_values_into_its_parameters_is_no_change():
    def swapped(model):
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()

    assert told(watched(small(), swapped)) == []


def test_only_chosen_layers_are_told_of_and_none_need_be_left():
    assert told(watched(small(), replace_smaller, layers=["0.*", "2.*"])) == []
    monitor = watched(small(), removed, layers="1.*")
    assert [one[1:3] for one in told(monitor)] == [("1.weight", "removed")]
    assert math.isnan(monitor.recording.spectral_norm.values[-1, 0])
    assert [one[1:3] for one in told(watched(small(), added, layers=["0.*", "3.*"][:1]))] == []


def test_a_lazy_layer_is_there_from_its_first_batch_on():
    model = nn.Sequential(nn.Linear(30, 20), nn.LazyLinear(12))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monitor = SpectralMonitor(model, when=every(1), nulls=False)
        model(torch.ones(2, 30))
    monitor.step()
    assert [one[1:3] for one in told(monitor)] == [("1.weight", "added")]
    monitor.close()


def test_a_run_goes_on_with_layers_that_were_replaced(tmp_path):
    path, model = tmp_path / "run.nc", small()
    watched(model, replace_smaller, path)
    with SpectralMonitor(model, when=every(1), path=path, existing="resume", initial_step=4, nulls=False) as monitor:
        monitor.step()
    recording = load_recording(path)
    assert recording.step.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert recording.matrix.values.tolist() == ["0.weight", "1.weight", "2.weight", NEW]
    assert recording.sel(matrix=NEW).spectral_norm.notnull().values.tolist() == [False] * 3 + [True] * 3
    assert told(monitor) == [(3, NEW, "replaced", "its shape was 12×20 and is 16×20")]
    with pytest.raises(SettingError, match="has other matrices than this model"):
        SpectralMonitor(small(), path=path, existing="resume", initial_step=4, nulls=False)
    before = SpectralMonitor(small(), path=path, existing="resume", initial_step=2, nulls=False)
    assert before.recording.step.values.tolist() == [0, 1, 2]  # from before it was replaced
    before.detach()


def test_a_killed_monitor_leaves_the_matrices_that_came(tmp_path):
    path, model = tmp_path / "run.nc", small()
    monitor = SpectralMonitor(model, when=every(1), path=path, nulls=False)
    monitor.step()
    added(model)
    monitor.step()
    recording = load_recording(path)  # from the file and its journal, as after a kill
    assert recording.matrix.values.tolist() == ["0.weight", "1.weight", "2.weight", "3.weight"]
    assert recording.identical(monitor.recording)
    assert [str(one) for one in events_of(recording)][-1].endswith("was not before at step 2")
    monitor.close()


def test_training_with_layers_that_change_is_the_same_bit_for_bit():
    states = []
    for is_watched in (False, True):
        model = small()
        torch.manual_seed(1)
        monitor = SpectralMonitor(model, when=every(1), nulls=False) if is_watched else None
        for change in (weight_norm, spectral_norm, pruned):
            if change is pruned:
                model[1] = nn.Linear(20, 12)
            change(model)
            model(torch.randn(4, 30)).square().mean().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.sub_(0.1 * parameter.grad)
            if monitor is not None:
                monitor.step()
        states.append([*model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_a_model_that_is_as_it_was_is_not_opened_again(monkeypatch):
    from spectail.monitor import layers

    model = small()
    watched = WatchedMatrices(model)
    monkeypatch.setattr(layers, "open_module", lambda *_: pytest.fail("it was opened"))
    assert watched.changes_since([], 1) == ()
    model[0] = model[0]  # the same
    assert watched.changes_since([], 2) == ()
    assert _outline(model) != _outline(small())
