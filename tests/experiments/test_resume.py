"""A run that was cut off goes on to the same bits."""

import pickle

import pytest
import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.optimizers import OPTIMIZERS
from spectail.experiments.resume import ResumeState, Suspended, from_bytes, to_bytes
from spectail.experiments.run import simulate
from spectail.experiments.schedules import SCHEDULES as KNOWN_SCHEDULES

RUN = Experiment(n=30, n_test=5, n_test_large=5, d=10, h=15, steps=7, lr=0.1, overlaps=((1, 0), (6, 5)))
SCHEDULES = {
    "StepLR": {"step_size": 2}, "MultiStepLR": {"milestones": [2, 5]}, "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 6}, "CosineAnnealingWarmRestarts": {"T_0": 3}, "PolynomialLR": {"total_iters": 5},
    "OneCycleLR": {"max_lr": 0.2, "total_steps": 8}, "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2},
    "ReduceLROnPlateau": {"patience": 0}, "ConstantLR": {"total_iters": 3}, "LinearLR": {"total_iters": 3},
}  # fmt: skip


class CutOffError(Exception):
    """The process ends here."""


class Memory:
    """Keeps the state before every step, up to one after which the run is cut off."""

    def __init__(self, cut=None):
        self.content, self.cut = None, cut

    def resume_state(self):
        return ResumeState(lambda: self.content, self.write, seconds=0)

    def write(self, content):
        self.content = content
        if self.cut is not None and from_bytes(content)["step"] == self.cut:
            raise CutOffError


def resumed(experiment, cut):
    memory = Memory(cut)
    with pytest.raises(CutOffError):
        simulate(experiment, resume=memory.resume_state())
    memory.cut = None
    steps = []
    run = simulate(experiment, resume=memory.resume_state(), progress=lambda step, _: steps.append(step))
    assert steps[0] == cut, "it began anew"
    return run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cut", [1, 5])
def test_every_optimizer_goes_on_to_the_same_bits(optimizer, cut):
    options = {"momentum": 0.9} if optimizer == "gd" else {}
    dtype = "float64" if optimizer == "adam" else "float32"
    experiment = RUN.replace(optimizer=optimizer, optimizer_options=options, dtype=dtype)
    assert resumed(experiment, cut).checksum == simulate(experiment).checksum


@pytest.mark.parametrize("protocol", ["published", "equations"])
def test_weight_normalization_goes_on_to_the_same_bits(protocol):
    experiment = RUN.replace(weight_normalization=True, protocol=protocol)
    assert resumed(experiment, 3).checksum == simulate(experiment).checksum


@pytest.mark.parametrize("schedule", [name for name in KNOWN_SCHEDULES if name in SCHEDULES])
@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_every_schedule_goes_on_to_the_same_bits(schedule, optimizer):
    options = SCHEDULES[schedule] | ({"cycle_momentum": False} if schedule in ("CyclicLR", "OneCycleLR") else {})
    experiment = RUN.replace(optimizer=optimizer, schedule=schedule, schedule_options=options)
    assert resumed(experiment, 4).checksum == simulate(experiment).checksum


def test_a_long_run_is_left_where_it_is_and_goes_on_to_the_same_bits():
    memory, asked = Memory(), []

    def stopping():
        asked.append(True)
        return len(asked) == 3

    with pytest.raises(Suspended):
        simulate(RUN, resume=ResumeState(lambda: memory.content, memory.write, seconds=0, stopping=stopping))
    assert from_bytes(memory.content)["step"] == 2
    assert simulate(RUN, resume=memory.resume_state()).checksum == simulate(RUN).checksum


def test_a_short_run_goes_on_to_its_end():
    memory = Memory()
    stop = ResumeState(lambda: memory.content, memory.write, seconds=60, stopping=lambda: True)
    assert simulate(RUN, resume=stop).checksum == simulate(RUN).checksum
    assert memory.content is None


def test_a_run_that_diverges_does_so_after_a_resume_too():
    experiment = RUN.replace(optimizer="gd", activation="he4", lr=1e3, overlaps=())
    whole = simulate(experiment)
    assert whole.diverged_at > 1
    assert resumed(experiment, 1).checksum == whole.checksum


def test_the_state_of_another_experiment_is_not_used():
    memory = Memory(3)
    with pytest.raises(CutOffError):
        simulate(RUN, resume=memory.resume_state())
    memory.cut = None
    other = RUN.replace(lr=0.2)
    assert simulate(other, resume=memory.resume_state()).checksum == simulate(other).checksum


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "pickle", "torch's pickle"])
def test_damage_is_found_and_no_code_of_a_file_is_run(damage):
    content = to_bytes({"step": 3, "weights": torch.ones(50)})
    assert from_bytes(content)["step"] == 3

    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('the file ran code')",))

    bad = {
        "truncated": content[:-10],
        "flipped": content[:200] + bytes([content[200] ^ 1]) + content[201:],
        "empty": b"",
        "pickle": pickle.dumps(Bomb()),
        "torch's pickle": to_bytes({"step": Bomb()}),  # with the right hash: someone made it on purpose
    }[damage]
    assert from_bytes(bad) is None


def test_states_are_kept_by_time_and_short_runs_keep_none():
    memory = Memory()
    simulate(RUN, resume=ResumeState(lambda: None, memory.write, seconds=1000))
    assert memory.content is None


def test_the_old_name_of_resume_still_works():
    memory = Memory(3)
    with pytest.warns(DeprecationWarning, match="resume"), pytest.raises(CutOffError):
        simulate(RUN, checkpoint=memory.resume_state())
