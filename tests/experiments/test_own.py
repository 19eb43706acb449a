"""Optimizers, teachers and activations of a user's own, by module:name."""

import json
import sys

import numpy as np
import pytest
import torch

from spectail.errors import MissingPackageError
from spectail.experiments.activations import ACTIVATIONS, find_activation
from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import ResumeState, Suspended
from spectail.experiments.run import simulate
from spectail.experiments.theory import gaussian_moments, predict_one_step, predicted_spike
from spectail.experiments.two_layer.problem import Problem
from spectail.spectra.eigen import eigenvalues

SMALL = Experiment(n=30, n_test=5, n_test_large=5, d=10, h=15, steps=3, lr=0.1, dtype="float64")
MINE = """
import torch
from torch.optim import SGD, Optimizer

class Descent(Optimizer):
    def __init__(self, params, lr, decay=0.0):
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["decay"]).sub_(p.grad, alpha=group["lr"])

class Momentum(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr, momentum=0.9)

class Failing(SGD):
    def step(self, closure=None):
        raise KeyError("no state")

class Ending(SGD):
    def step(self, closure=None):
        raise SystemExit(3)

class Growing(SGD):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.data = torch.zeros(2, 2)

class Noisy(SGD):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad.add_(torch.randn_like(p))
        super().step()

class Seeded(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.noise = torch.Generator().manual_seed(0)

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad.add_(torch.randn(p.shape, generator=self.noise))
        super().step()

def detached(x):
    return x.detach().tanh()

def in_float32(x):
    return x.float().tanh()

def undefined(x):
    return (x + 4.1).log()

def enormous(x):
    return (100 * x).exp()

def ends(x):
    raise SystemExit

def turned(x):
    return x.to(torch.complex64)

def halved(step, by=2.0):
    return by ** -step

def ascending(step):
    return -1.0

def endless(step):
    return float("inf")

def no_optimizer(params, lr):
    return params

def softly(x):
    return torch.log1p(torch.exp(x))

def in_place(x):
    return x.tanh_()

def jump(x):
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype)

def fails(x):
    raise RuntimeError("no idea\\nat all")

def mean(x):
    return x.mean()

def infinite(x):
    return torch.log(x.abs() - 4)

def standardised(x):
    return (x - x.mean()) / (1 + x.std())

def centred(x):
    return x - x.mean()

def of_the_largest(x):
    return x / x.abs().max()

calls = []
def counting(x):
    calls.append(1)
    return x * len(calls)
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """A module in the current folder."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("mine", None)  # that of a document, perhaps
    yield
    sys.modules.pop("mine", None)


def test_an_optimizer_of_ones_own_runs_as_ours_does():
    own = simulate(SMALL.replace(optimizer="mine:Descent"))
    ours = simulate(SMALL.replace(optimizer="gd"))
    np.testing.assert_allclose(own.eigenvalues, ours.eigenvalues, rtol=1e-12)  # rounding of a fused product
    decayed = simulate(SMALL.replace(optimizer="mine:Descent", optimizer_options={"decay": 0.5}))
    assert decayed.eigenvalues[-1, -1] < 0.1 * own.eigenvalues[-1, -1]  # 0.5⁶ of what it would be


def test_its_name_is_part_of_the_experiment():
    experiment = SMALL.replace(optimizer="mine:Descent", teacher="mine:softly", activation="mine:softly")
    assert {"mine:Descent", "mine:softly"} <= set(map(str, json.loads(experiment.canonical_json).values()))
    assert simulate(experiment).attrs["key"] == experiment.key != SMALL.key


def test_it_goes_on_to_the_same_bits_with_a_schedule():
    experiment = SMALL.replace(optimizer="mine:Momentum", schedule="ExponentialLR", schedule_options={"gamma": 0.5})
    kept = []
    stop = ResumeState(lambda: None, kept.append, seconds=0, stopping=lambda: len(kept) == 1)
    with pytest.raises(Suspended):
        simulate(experiment, resume=stop)
    go_on = ResumeState(lambda: kept[-1], lambda content: None, seconds=0)
    assert simulate(experiment, resume=go_on).checksum == simulate(experiment).checksum


@pytest.mark.parametrize(
    ("name", "package"),
    [("pytorch_optimizer:SOAP", "pytorch_optimizer"), ("schedulefree:AdamWScheduleFree", "schedulefree")],
)
def test_an_optimizer_of_another_package_goes_on_to_the_same_bits(name, package):
    pytest.importorskip(package)
    experiment = SMALL.replace(optimizer=name, steps=4)
    kept = []
    with pytest.raises(Suspended):
        simulate(experiment, resume=ResumeState(lambda: None, kept.append, 0, stopping=lambda: len(kept) == 2))
    go_on = ResumeState(lambda: kept[-1], lambda content: None, seconds=0)
    whole = simulate(experiment)
    assert simulate(experiment, resume=go_on).checksum == whole.checksum
    assert whole.update_norm_fro.values[-1] > 0, "it was in the mode in which it updates"  # SOAP's first step is none


def test_a_schedule_free_optimizer_is_measured_at_its_averages():
    """z_t = z_{t−1} − ηG(y_t), and x_t the mean of z_1, …, z_t where η is constant (Defazio et al. 2024)."""
    schedulefree = pytest.importorskip("schedulefree")
    experiment = SMALL.replace(optimizer="schedulefree:SGDScheduleFree", steps=3)
    problem = Problem.draw(experiment)
    weights = torch.nn.Parameter(problem.w0.clone())
    optimizer = schedulefree.SGDScheduleFree([weights], lr=experiment.lr)
    optimizer.train()
    for _ in range(experiment.steps):
        optimizer.zero_grad()
        outputs = torch.tanh(problem.train.x @ weights.T / experiment.d**0.5) @ problem.a / experiment.h**0.5
        (experiment.loss_factor * (problem.train.y - outputs).square().mean()).backward()
        optimizer.step()
    optimizer.eval()
    averaged = weights.detach().clone()
    np.testing.assert_allclose(simulate(experiment).eigenvalues[-1], eigenvalues(averaged), rtol=1e-10)
    optimizer.train()
    assert not torch.equal(weights, averaged), "its two modes have weights of their own"


def test_our_lion_is_that_of_another_package():
    pytest.importorskip("pytorch_optimizer")
    theirs = SMALL.replace(optimizer="pytorch_optimizer:Lion", optimizer_options={"weight_decay": 0.1})
    ours = SMALL.replace(optimizer="lion", optimizer_options={"weight_decay": 0.1})
    np.testing.assert_allclose(simulate(theirs).eigenvalues, simulate(ours).eigenvalues, rtol=1e-12)


def test_a_package_of_an_extra_is_named_by_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "schedulefree", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'spectail\[optimizers\]'"):
        simulate(SMALL.replace(optimizer="schedulefree:AdamWScheduleFree"))


def test_a_schedule_of_ones_own_is_a_function_of_the_step():
    experiment = SMALL.replace(optimizer="gd", schedule="mine:halved", schedule_options={"by": 4.0}, record=(1, 2, 3))
    ours = SMALL.replace(optimizer="gd", schedule="ExponentialLR", schedule_options={"gamma": 0.25}, record=(1, 2, 3))
    own = simulate(experiment)
    assert own.update_lr.values.tolist() == [0.1, 0.025, 0.00625]
    np.testing.assert_allclose(own.eigenvalues, simulate(ours).eigenvalues, rtol=1e-12)


def test_an_optimizer_that_evaluates_the_loss_itself_goes_on_to_the_same_bits():
    """LBFGS calls its closure up to twenty times a step, and keeps the gradients before."""
    experiment = SMALL.replace(optimizer="lbfgs", lr=1.0)
    kept = []
    with pytest.raises(Suspended):
        simulate(experiment, resume=ResumeState(lambda: None, kept.append, 0, stopping=lambda: len(kept) == 1))
    whole = simulate(experiment)
    assert whole.objective[-1] < 0.1 * whole.objective[0]
    go_on = ResumeState(lambda: kept[-1], lambda content: None, seconds=0)
    assert simulate(experiment, resume=go_on).checksum == whole.checksum


def test_it_trains_deep_networks_too(tmp_path):
    (tmp_path / "network.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    )
    rng = np.random.default_rng(0)
    np.savez("bars.npz", images=rng.integers(0, 255, (20, 8, 8)).astype(np.uint8), labels=np.arange(20) % 4)
    training = Experiment(model="network:make", dataset="bars", images=20, steps=2, optimizer="mine:Descent", lr=0.01)
    losses = []
    for optimizer in ("mine:Descent", "gd"):
        run = simulate(training.replace(optimizer=optimizer), data=tmp_path / "bars.npz")
        losses.append(run.cross_entropy.values)
    np.testing.assert_allclose(*losses, rtol=1e-4)  # float32


@pytest.mark.parametrize(("own", "ours"), [("mine:softly", "softplus"), ("mine:in_place", "tanh")])
def test_value_and_slope_of_a_function_are_those_of_ours(own, ours):
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    mine = find_activation(own)
    torch.testing.assert_close(mine(x), ACTIVATIONS[ours](x))
    torch.testing.assert_close(mine.slope(x), ACTIVATIONS[ours].slope(x))
    torch.testing.assert_close(x, torch.linspace(-3, 3, 50, dtype=torch.float64))


def test_a_student_and_a_teacher_of_ones_own_learn_as_ours_do():
    own = simulate(SMALL.replace(teacher="mine:softly", activation="mine:in_place", optimizer="gd"))
    ours = simulate(SMALL.replace(teacher="softplus", activation="tanh", optimizer="gd"))
    np.testing.assert_allclose(own.eigenvalues, ours.eigenvalues, rtol=1e-10)


def test_a_function_that_jumps_has_no_slope_but_can_teach():
    assert find_activation("mine:jump").slope(torch.tensor([-1.0, 2.0])).tolist() == [0, 0]
    assert simulate(SMALL.replace(teacher="mine:jump")).train_loss.notnull().all()


def test_the_theory_knows_a_function_of_ones_own_but_not_for_who_only_looks_at_a_file():
    ours, own = gaussian_moments("softplus"), gaussian_moments("mine:softly")
    assert own.linear == pytest.approx(ours.linear, rel=1e-9)
    e = Experiment(optimizer="gd", lr=5000)
    assert predicted_spike(e) == predict_one_step(e).top_eigenvalue
    assert predicted_spike(Experiment(optimizer="gd", lr=5000, teacher="mine:softly")) is None


def test_a_function_or_class_itself_is_known_by_its_name(tmp_path):
    assert Experiment(teacher=torch.atan).teacher == "torch:atan"
    assert Experiment(optimizer=torch.optim.AdamW).key == Experiment(optimizer="AdamW").key
    schedule = torch.optim.lr_scheduler.StepLR
    assert Experiment(schedule=schedule, schedule_options={"step_size": 1}).schedule == "StepLR"
    with pytest.raises(ValueError, match=r"^teacher=<lambda> cannot be stored.* say teacher='mine:function'$"):
        Experiment(teacher=lambda x: x)
    with pytest.raises(ValueError, match=r"^optimizer_options\['betas'\]=tensor.* cannot be stored; expected numbers"):
        Experiment(optimizer_options={"betas": torch.ones(2)})


def test_a_description_imports_nothing(monkeypatch):
    """A stranger's file, whose experiment names a module, runs none of it by being opened."""
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    Experiment(optimizer="nowhere:Class", teacher="nowhere:f", activation="nowhere.deep:f", schedule="StepLR",
               schedule_options={"step_size": 1})  # fmt: skip


def test_what_draws_from_a_seed_of_its_own_or_computes_in_float32_is_taken():
    for fields in ({"optimizer": "mine:Seeded"}, {"activation": "mine:in_float32"}, {"teacher": "mine:detached"}):
        runs = [simulate(SMALL.replace(**fields)) for _ in range(2)]
        assert runs[0].checksum == runs[1].checksum
        assert runs[0].objective[0] != runs[0].objective[3]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"optimizer": "mine:"}, r"^optimizer='mine:' is not understood; expected module:Class"),
        ({"teacher": "mi ne:f"}, r"^teacher='mi ne:f' is not understood; expected module:function"),
        ({"optimizer": "nowhere:Class"}, "nowhere cannot be imported"),
        ({"optimizer": "mine:Klass"}, "mine has no Klass"),
        ({"optimizer": "mine:no_optimizer"}, "made a list; expected a torch.optim.Optimizer"),
        ({"optimizer": "mine:Failing"}, "^optimizer='mine:Failing' failed at an update: KeyError"),
        ({"optimizer": "mine:Ending"}, "^optimizer='mine:Ending' failed at an update: SystemExit"),
        ({"optimizer": "mine:Growing"}, r"^optimizer='mine:Growing' made \(2, 2\) of a parameter \(15, 10\)"),
        ({"activation": "mine:ends"}, "^mine:ends failed: SystemExit"),
        ({"activation": "mine:turned"}, "^mine:turned made complex numbers"),
        ({"schedule": "mine:endless"}, "schedule='mine:endless' with {} failed: ValueError: it is not a finite factor"),
        ({"schedule": "mine:ascending"}, "schedule='mine:ascending' gives a learning rate of -0.1; expected"),
        ({"schedule": "mine:softly"}, "schedule='mine:softly' with {} failed: TypeError"),
        ({"optimizer": "mine:Descent", "optimizer_options": {"speed": 2}}, r"do not suit optimizer='mine:Descent'"),
        ({"teacher": "mine:fails"}, "mine:fails failed: RuntimeError: no idea$"),
        ({"activation": "mine:mean"}, r"mine:mean made \(\) of a tensor \(65,\); expected one of the same shape"),
        ({"activation": "mine:infinite"}, "mine:infinite is not finite at -4; expected numbers everywhere"),
        ({"teacher": "mine:standardised"}, "mine:standardised gives a number other values beside other numbers"),
        ({"teacher": "mine:centred"}, "mine:centred gives a number other values beside other numbers"),
        ({"teacher": "mine:of_the_largest"}, "mine:of_the_largest gives a number other values beside other numbers"),
        ({"teacher": "mine:counting"}, "mine:counting gives other values when it is called again"),
        ({"activation": "math:pi"}, "math:pi failed: TypeError"),
        ({"activation": "mine:detached"}, "^mine:detached has no slope that autograd finds, but changes by .* detach$"),
        ({"optimizer": "mine:Noisy"}, "^optimizer='mine:Noisy' makes other updates of the same gradients when it is"),
        ({"teacher": "mine:undefined", "n": 60_000, "d": 1}, "^teacher='mine:undefined' gives nan at -4"),
        (
            {"teacher": "mine:enormous"},
            r"^teacher='mine:enormous' gives \d[\d.]*e\+\d+ at \d.*; expected numbers within 1e37",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        simulate(SMALL.replace(**fields))
    assert "\n" not in str(caught.value)
