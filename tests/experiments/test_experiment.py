import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import PROTOCOLS


def test_defaults_are_the_papers():
    e = Experiment()
    assert (e.n, e.d, e.h, e.n_test) == (2000, 1000, 1500, 200)
    assert (e.teacher, e.activation, e.label_noise, e.ridge) == ("softplus", "tanh", 0.3, 0.01)


def test_equal_experiments_have_equal_keys_however_they_are_written():
    one = Experiment(protocol="published", lr=1, record=[3, 0, 3], steps=3, optimizer_options={"betas": (0.9, 0.99)})
    other = Experiment(
        **PROTOCOLS["published"], lr=1.0, record=(0, 3), steps=3, optimizer_options={"betas": [0.9, 0.99]}
    )
    assert one.key == other.key
    assert other.protocol == "published"
    assert Experiment(**one.model_dump()).key == one.key


@pytest.mark.parametrize(
    "change",
    [{"lr": 2.0}, {"seed": 1}, {"protocol": "published"}, {"n": 1999}, {"record": (0, 10)}, {"dtype": "float64"}],
)
def test_any_change_changes_the_key(change):
    assert Experiment(**change).key != Experiment().key


def test_a_key_does_not_change_between_versions_of_the_code():
    # a stored run is found by it: if this fails, every store out there is lost
    assert Experiment().key == "339ac6866294d835"


def test_the_papers_program_is_shown_first_and_its_equations_are_the_default():
    assert list(PROTOCOLS) == ["published", "equations"]
    assert Experiment().protocol == "equations"


def test_protocol_is_a_preset_over_explicit_fields_that_can_be_set_one_by_one():
    assert Experiment(protocol="published").loss_factor == 1.0
    mixed = Experiment(protocol="published", feature_scale="model")
    assert (mixed.protocol, mixed.bias_correction, mixed.feature_scale) == ("custom", True, "model")
    assert mixed.replace(protocol="equations") == Experiment()
    assert mixed.replace(lr=3).feature_scale == "model"


def test_log_record_has_one_two_five_and_the_last():
    assert Experiment(steps=64).recorded_steps == (0, 1, 2, 5, 10, 20, 50, 64)
    assert Experiment(steps=0).recorded_steps == (0,)
    assert Experiment(steps=100, record=(7,)).recorded_steps == (7,)


def test_experiments_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Experiment().lr = 3


BAD = [
    ({"n": 0}, "n=0"),
    ({"d": -1}, "d=-1"),
    ({"h": 2.5}, "h=2.5 is not a whole number"),
    ({"lr": 0}, "lr=0"),
    ({"lr": math.nan}, "lr=nan"),
    ({"lr": math.inf}, "lr=inf"),
    ({"lr": -1}, "lr=-1"),
    ({"label_noise": -0.1}, "label_noise=-0.1"),
    ({"ridge": 0}, "ridge=0"),
    ({"steps": "many"}, "steps='many' is not a whole number"),
    ({"steps": 1.5}, "steps=1.5 is not a whole number"),
    ({"teacher": "sofplus"}, "did you mean 'softplus'"),
    ({"activation": "Tanh"}, "did you mean 'tanh'"),
    ({"optimizer": "adamm"}, "did you mean 'adam'"),
    ({"learning_rate": 1.0}, "did you mean 'lr'"),
    ({"optimizer": "SparseAdam"}, "sparse gradients"),
    ({"optimizer_options": {"betas": [1.0, 0.9]}}, "Invalid beta"),
    ({"optimizer_options": {"betas": [-0.1, 0.9]}}, "Invalid beta"),
    ({"optimizer_options": {"momentum": 0.9}}, "do not suit optimizer='adam'"),
    ({"schedule": "StepLr", "schedule_options": {"gamma": 0.5}}, "did you mean 'StepLR'"),
    ({"schedule": "StepLR"}, "do not suit schedule='StepLR'"),
    ({"schedule_options": {"gamma": 0.5}}, "no schedule"),
    ({"record": [0, 11]}, "step 11, but the run ends at step 10"),
    ({"record": []}, "names no step"),
    ({"record": [0.5]}, "whole numbers"),
    ({"record": [True]}, r"record=[True] has a yes or no in it"),  # not step 1
    ({"overlaps": [(True, 0)]}, "overlaps=[(True, 0)] has a yes or no in it"),
    ({"lr_factors": [True]}, "lr_factors=[True] has a yes or no in it"),
    ({"overlaps": [(0, 10)]}, "M_0 to M_9"),
    ({"overlaps": [(0, 0)], "steps": 0}, "no update"),
    ({"initialization": "mean-field"}, "did you mean 'mean_field'"),
    ({"protocol": "publish"}, "did you mean 'published'"),
    ({"sede": 1}, "did you mean 'seed'"),
    ({"seed": -1}, "seed=-1"),
    ({"lr": 1e-320}, "lr=1e-320 is not valid; less than 1e-37 is 0 in float32"),
    ({"covariance_power": 1e3}, "covariance_power=1000.0 is not valid"),
    ({"kernels": ["ck", "ck"]}, "kernels names 'ck' twice"),
    ({"overlaps": [(1, 0), (1, 0)]}, "overlaps names (1, 0) twice"),
    ({"schedule": "ExponentialLR", "schedule_options": {"gamma": -1}}, "gamma=-1 does not suit"),
    ({"schedule": "ExponentialLR", "schedule_options": {"gamma": math.inf}}, "gamma=inf does not suit"),
    ({"schedule": "MultiStepLR", "schedule_options": {"milestones": [-1]}}, "milestones=[-1] does not suit"),
    ({"schedule": "StepLR", "schedule_options": {"step_size": 0}}, "schedule='StepLR' failed after an update"),
    ({"schedule": "StepLR", "schedule_options": {"step_size": "a"}}, "schedule='StepLR' failed after an update"),
]


@pytest.mark.parametrize(("fields", "message"), BAD, ids=[str(fields) for fields, _ in BAD])
def test_bad_input_is_one_sentence_that_names_the_value(fields, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Experiment(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(steps=st.integers(0, 10**6))
def test_log_record_is_ascending_and_within_the_run(steps):
    recorded = Experiment(steps=steps).recorded_steps
    assert list(recorded) == sorted(set(recorded))
    assert recorded[0] == 0
    assert recorded[-1] == steps
