"""Every step of every optimizer is seen, once."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from spectail import SettingError, SpectralMonitor, every
from spectail.monitor.steps import StepWatch, optimizers_in


def parameters():
    return [nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(2))]


def with_gradients(some):
    for parameter in some:
        parameter.grad = torch.ones_like(parameter)
    return some


class Sub(torch.optim.SGD):
    """Calls its parent's step, which has hooks of its own once an SGD was made."""

    def step(self, closure=None):
        return super().step(closure)


class SubOfSub(Sub):
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.mul_(0.9)
        return loss


class Sam(torch.optim.Optimizer):
    """As in the programs of Foret et al. (2021): it shares the groups of the optimizer that it wraps."""

    def __init__(self, params, base, **options):
        super().__init__(params, options)
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["old"] = parameter.data.clone()
                parameter.add_(parameter.grad, alpha=0.05)

    @torch.no_grad()
    def second_step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data = self.state[parameter]["old"]
        self.base_optimizer.step()

    def step(self, closure=None):
        self.first_step()
        if closure is not None:
            torch.enable_grad()(closure)()
        self.second_step()


class TwoPhase(torch.optim.SGD):
    """Its second phase calls no step at all."""

    def second_step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(0.1 * parameter.grad)


class Holder:
    """No optimizer of torch, but it holds one, and finishes the weights after that one's step."""

    def __init__(self, base):
        self.base, self.param_groups = base, base.param_groups

    def step(self):
        self.base.step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.fill_(7.0)


class Accumulating:
    """Steps what it holds every second time only, as wrappers that accumulate gradients do."""

    def __init__(self, optimizer):
        self.optimizer, self.calls = optimizer, 0

    def step(self):
        self.calls += 1
        if self.calls % 2 == 0:
            self.optimizer.step()


class WithScheduler(torch.optim.SGD):
    """Holds a scheduler, which holds it."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self, 1)

    def step(self, closure=None):
        super().step(closure)
        self.scheduler.step()


class Several:
    """A step is one of each."""

    def __init__(self, *optimizers):
        self.optimizers = list(optimizers)

    def step(self):
        for one in self.optimizers:
            one.step()


class OfMyOwn:
    """Of no class of torch."""

    def __init__(self, params):
        self.params = params

    def zero_grad(self):
        for parameter in self.params:
            parameter.grad = None

    def step(self):
        for parameter in self.params:
            parameter.data.sub_(parameter.grad)


def sam_in_two_calls(optimizer):
    optimizer.first_step()
    optimizer.second_step()


@pytest.mark.parametrize(
    ("make", "step", "steps"),
    [
        (lambda p: Sub(p, lr=0.1), None, 4),
        (lambda p: SubOfSub(p, lr=0.1), None, 4),
        (lambda p: Sam(p, torch.optim.SGD, lr=0.1), None, 4),
        (lambda p: Sam(p, torch.optim.SGD, lr=0.1), sam_in_two_calls, 4),
        (lambda p: Sam(p, Sub, lr=0.1), sam_in_two_calls, 4),
        (lambda p: TwoPhase(p, lr=0.1), TwoPhase.second_step, 0),  # on the class: nobody can see that
        (lambda p: TwoPhase(p, lr=0.1), lambda one: one.second_step(), 4),
        (lambda p: WithScheduler(p, lr=0.1), None, 4),
        (lambda p: Holder(torch.optim.Adam(p)), None, 4),
        (lambda p: Holder(Holder(Sub(p, lr=0.1))), None, 4),
        (OfMyOwn, None, 4),
        (lambda p: Accumulating(torch.optim.Adam(p)), None, 2),
        (lambda p: Several(torch.optim.SGD(p[:1], lr=0.1), torch.optim.Adam(p[1:])), None, 4),
        (lambda p: torch.optim.LBFGS(p, max_iter=3), lambda one: one.step(lambda: torch.tensor(1.0)), 4),
    ],
)
@pytest.mark.parametrize("is_another_there", [False, True])
def test_a_step_is_counted_once_whatever_it_calls(make, step, steps, is_another_there, monkeypatch):
    hooked = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", hooked.__wrapped__ if getattr(hooked, "hooked", False) else hooked)
    if is_another_there:  # the first of a class puts torch's hooks into its step, which classes of a user's call
        torch.optim.SGD(parameters(), lr=0.1)
    optimizer, seen = make(with_gradients(parameters())), []
    watch = StepWatch(optimizer, lambda ended_at: seen.append(1))
    for _ in range(4):
        step(optimizer) if step else optimizer.step()
    assert len(seen) == steps
    watch.remove()
    step(optimizer) if step else optimizer.step()
    assert len(seen) == steps
    assert "second_step" not in vars(optimizer)


def test_a_step_is_over_when_what_wraps_it_is():
    (weights, _) = some = with_gradients(parameters())
    optimizer, seen = Holder(torch.optim.SGD(some, lr=0.1)), []
    StepWatch(optimizer, lambda ended_at: seen.append(float(weights.detach()[0, 0])))
    optimizer.step()
    assert seen == [7.0]  # not the weights in the middle of the step


def test_a_step_that_raises_does_not_count_and_the_next_ones_do():
    class Failing(Sub):
        fails = 0

        def step(self, closure=None):
            super().step(closure)
            if self.fails > 0:
                self.fails -= 1
                raise RuntimeError("CUDA out of memory")

    optimizer, seen = Failing(with_gradients(parameters()), lr=0.1), []
    StepWatch(optimizer, lambda ended_at: seen.append(1))
    optimizer.step()
    optimizer.fails = 2
    for _ in range(2):
        with pytest.raises(RuntimeError):
            optimizer.step()
    assert len(seen) == 1
    optimizer.step()
    optimizer.step()
    assert len(seen) == 3


def test_a_scheduler_and_a_second_watch_put_their_own_around_the_step():
    optimizer, seen = TwoPhase(with_gradients(parameters()), lr=0.1), []
    before = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    first = StepWatch(optimizer, lambda ended_at: seen.append("first"))
    second = StepWatch(optimizer, lambda ended_at: seen.append("second"))
    after = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    optimizer.second_step()
    assert sorted(seen) == ["first"] * 2 + ["second"] * 2
    first.remove()  # not the last that was put there
    second.remove()
    optimizer.step(), optimizer.second_step(), before.step(), after.step()
    assert len(seen) == 4


def test_a_compiled_step_counts_once():
    optimizer, seen = torch.optim.Adam(with_gradients(parameters())), []
    StepWatch(optimizer, lambda ended_at: seen.append(1))
    step = torch.compile(optimizer.step, backend="eager")
    for _ in range(3):
        step()
    assert len(seen) == 3


def test_a_gradient_scaler_that_skips_a_step_is_no_step():
    some = with_gradients(parameters())
    optimizer, seen = torch.optim.SGD(some, lr=0.1), []
    StepWatch(optimizer, lambda ended_at: seen.append(1))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for value in (1.0, float("inf"), 1.0):
        for parameter in some:
            parameter.grad = torch.full_like(parameter, value)
        scaler.scale(torch.tensor(1.0))
        scaler.step(optimizer)
        scaler.update()
    assert len(seen) == 2


def test_an_optimizer_that_is_watched_is_copied_and_let_go_as_any_other():
    optimizer = Sam(with_gradients(parameters()), torch.optim.SGD, lr=0.1)
    watch = StepWatch(optimizer, lambda ended_at: None)
    optimizer.step()
    copy.deepcopy(optimizer.state_dict())
    gone = weakref.ref(optimizer)
    watch.remove()
    del optimizer, watch
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("what", [[], 3, nn.Linear(2, 2), object()])
def test_what_holds_no_optimizer_is_refused(what):
    with pytest.raises(SettingError, match="is not an optimizer of torch"):
        optimizers_in(what)


def test_of_several_optimizers_the_last_ends_a_step_and_all_have_learning_rates():
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 12))
    generator = torch.optim.SGD(model[0].parameters(), lr=0.1)
    critic = torch.optim.SGD(model[1].parameters(), lr=0.2)
    with SpectralMonitor(model, [critic, generator], when=every(1), nulls=False, alerts=None) as monitor:
        for _ in range(2):
            for one in (critic, critic, generator):
                model(torch.ones(4, 30)).sum().backward()
                one.step()
    assert monitor.recording.step.values.tolist() == [0, 1, 2]
    assert monitor.recording.lr.values.tolist() == [[0.2, 0.1]] * 3


def test_groups_that_are_added_have_their_learning_rates_from_then_on():
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 12))
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.5)
    with SpectralMonitor(model, optimizer, when=every(1), nulls=False, alerts=None) as monitor:
        for _ in range(2):
            model(torch.ones(4, 30)).sum().backward()
            optimizer.step()
            if len(optimizer.param_groups) == 1:
                optimizer.add_param_group({"params": model[1].parameters(), "lr": 0.25})
    rates = monitor.recording.lr
    assert rates.isnull().values.tolist() == [[False, True], [False, True], [False, False]]
    assert rates.values[2].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("optimizer", [None, "unused", "two phases"])
def test_who_saw_no_step_says_so(optimizer):
    model = nn.Linear(30, 20)
    if optimizer is not None:
        optimizer = torch.optim.Adam(model.parameters())
    with pytest.warns(UserWarning, match=r"no step.*step\(\) after each step"):
        SpectralMonitor(model, optimizer, when=every(1), nulls=False).close()


@pytest.mark.parametrize("make", [lambda p: Sam(p, torch.optim.SGD, lr=0.1), lambda p: Holder(SubOfSub(p, lr=0.1))])
def test_training_with_what_wraps_an_optimizer_is_the_same_bit_for_bit(make):
    states = []
    for is_watched in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(30, 20), nn.Dropout(0.5), nn.Linear(20, 12))
        optimizer = make(list(model.parameters()))
        monitor = SpectralMonitor(model, optimizer, when=every(1), nulls=False, alerts=None) if is_watched else None
        for _ in range(3):
            model.zero_grad()
            model(torch.randn(8, 30)).square().mean().backward()
            optimizer.step()
        states.append([*model.state_dict().values(), torch.get_rng_state()])
        if monitor is not None:
            monitor.close()
            assert monitor.steps == 3
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
