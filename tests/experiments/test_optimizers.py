import math

import pytest
import torch

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.optimizer_check import check_optimizer
from spectail.experiments.optimizers import OPTIMIZERS, make_optimizer
from spectail.experiments.protocols import NO_EPSILON
from spectail.experiments.schedules import make_schedule
from spectail.experiments.two_layer.loop import normalize_

SHAPE = (4, 3)


def gradients(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(count)]


def optimizer_of(e, weights):
    return make_optimizer(e.optimizer, [weights], e.lr, bias_correction=e.bias_correction, options=e.update_options)


def run(experiment, count=6):
    weights = torch.ones(SHAPE, dtype=torch.float64)
    optimizer = optimizer_of(experiment, weights)
    for gradient in gradients(count):
        weights.grad = gradient.clone()
        optimizer.step()
    return weights


def adam_by_hand(lr, beta1, beta2, eps, corrected, count=6):
    """Eqs. (4)-(5), written out; with bias correction where asked for."""
    w, m, v = torch.ones(SHAPE, dtype=torch.float64), 0.0, 0.0
    for t, g in enumerate(gradients(count), 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t) if corrected else m
        v_hat = v / (1 - beta2**t) if corrected else v
        w = w - lr * m_hat / (v_hat.sqrt() + eps)
    return w


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.5, 0.999999)])
def test_full_batch_adam_is_the_papers_equations_with_and_without_bias_correction(corrected, betas):
    e = Experiment(lr=0.1, bias_correction=corrected, optimizer_options={"betas": betas, "eps": 1e-6})
    torch.testing.assert_close(run(e), adam_by_hand(0.1, *betas, 1e-6, corrected), rtol=1e-10, atol=1e-12)


def test_the_first_uncorrected_step_is_c_beta_times_the_sign():
    e = Experiment(lr=1.0, optimizer_options={"eps": 0.0})
    expected = 1.0 - 0.1 / math.sqrt(0.001) * gradients(1)[0].sign()  # eq. 9: c_β = 3.162
    torch.testing.assert_close(run(e, 1), expected, rtol=1e-9, atol=1e-9)


def test_epsilon_of_an_experiment_is_adams_and_its_limit_divides_nothing_by_zero():
    told = Experiment(lr=0.1, epsilon=1e-3)
    torch.testing.assert_close(run(told), adam_by_hand(0.1, 0.9, 0.999, 1e-3, False), rtol=1e-10, atol=1e-12)
    weights = torch.ones(2, 1, requires_grad=True)
    weights.grad = torch.tensor([[1e-12], [0.0]])  # squares at the edge of float32, and a unit that is dead
    optimizer_of(Experiment(lr=1.0, epsilon=NO_EPSILON), weights).step()
    torch.testing.assert_close(weights.detach(), torch.tensor([[1 - 0.1 / math.sqrt(0.001)], [1.0]]))


def test_gradient_descent_and_sign_descent():
    total = sum(gradients(6))
    torch.testing.assert_close(run(Experiment(optimizer="gd", lr=0.5)), 1 - 0.5 * total)
    signs = sum(g.sign() for g in gradients(6))
    torch.testing.assert_close(run(Experiment(optimizer="sign", lr=0.5)), 1 - 0.5 * signs)


def test_momentum_is_torchs_sgd_with_options():
    weights = torch.ones(SHAPE, dtype=torch.float64)
    reference = torch.optim.SGD([weights], lr=0.1, momentum=0.9, nesterov=True)
    for gradient in gradients(6):
        weights.grad = gradient.clone()
        reference.step()
    e = Experiment(optimizer="SGD", lr=0.1, optimizer_options={"momentum": 0.9, "nesterov": True})
    torch.testing.assert_close(run(e), weights)


@pytest.mark.parametrize("name", ["AdamW", "RMSprop", "Adagrad", "NAdam", "Rprop", "Adafactor", "Muon"])
def test_optimizers_of_torch_work_by_name(name):
    if not hasattr(torch.optim, name):
        pytest.skip(f"this torch has no {name}")
    moved = run(Experiment(optimizer=name, lr=0.01)) - 1
    assert moved.isfinite().all()
    assert moved.abs().max() > 0


def learning_rates(schedule, options, lr=1.0, steps=5):
    e = Experiment(optimizer="gd", lr=lr, schedule=schedule, schedule_options=options)
    weights = torch.ones(SHAPE)
    optimizer = optimizer_of(e, weights)
    advance = make_schedule(e.schedule, optimizer, e.schedule_options)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        weights.grad = torch.zeros(SHAPE)
        optimizer.step()
        advance(1.0)
    return used


def test_step_lr_decays_after_each_update_so_step_t_uses_gamma_to_the_t_minus_1():
    assert learning_rates("StepLR", {"step_size": 1, "gamma": 0.4}) == pytest.approx([0.4**t for t in range(5)])


def test_schedules_of_torch_work_by_name_and_plateau_sees_the_objective():
    assert learning_rates("ExponentialLR", {"gamma": 0.5})[-1] == pytest.approx(0.5**4)
    constant_objective = learning_rates("ReduceLROnPlateau", {"patience": 1, "factor": 0.1})
    assert constant_objective[-1] < constant_objective[0]


def test_without_a_schedule_the_learning_rate_stays():
    assert learning_rates(None, {}) == [1.0] * 5


@pytest.mark.parametrize(("initialization", "norm"), [("ntk", math.sqrt(12)), ("mean_field", math.sqrt(12 / 3))])
def test_weight_normalization_gives_the_norm_that_initial_weights_have_on_average(initialization, norm):
    weights = 5 * gradients(1)[0]
    normalize_(weights, Experiment(h=4, d=3, initialization=initialization))
    assert float(weights.norm()) == pytest.approx(norm, rel=1e-6)


def test_a_name_in_any_case_is_one_optimizer_with_one_key():
    assert Experiment(optimizer="muon").key == Experiment(optimizer="MUON").key == Experiment(optimizer="Muon").key
    assert Experiment(optimizer="Adam").key != Experiment(optimizer="adam").key  # torch's, and eqs. 4-5


def test_lion_is_the_published_rule():
    w = torch.tensor([[1.0, -2.0], [3.0, 0.5]], dtype=torch.float64)
    expected, momentum = w.clone(), torch.zeros_like(w)
    optimizer = make_optimizer("lion", [w], 0.1, options={"betas": (0.9, 0.99), "weight_decay": 0.5})
    for gradient in gradients(3):
        w.grad = gradient[:2, :2].double()
        expected -= 0.1 * ((0.9 * momentum + 0.1 * w.grad).sign() + 0.5 * expected)
        momentum = 0.99 * momentum + 0.01 * w.grad
        optimizer.step()
    torch.testing.assert_close(w, expected)


def test_shampoo_begins_with_all_directions_alike():
    """L and R of one gradient turn it into UVᵀ, the update of Muon; of a second, into what the formula says."""
    first, second = (g.double() for g in gradients(2))
    w = torch.zeros_like(first)
    optimizer = make_optimizer("shampoo", [w], 1.0, options={"eps": 1e-12})
    w.grad = first
    optimizer.step()
    u, _, vt = torch.linalg.svd(first, full_matrices=False)
    torch.testing.assert_close(w, -u @ vt, rtol=1e-5, atol=1e-5)
    w.zero_().grad = second
    optimizer.step()

    def root(matrix):
        values, vectors = torch.linalg.eigh(matrix + 1e-12 * torch.eye(len(matrix), dtype=torch.float64))
        return vectors @ torch.diag(values.clamp(min=1e-300) ** -0.25) @ vectors.T

    left, right = root(first @ first.T + second @ second.T), root(first.T @ first + second.T @ second)
    torch.testing.assert_close(w, -left @ second @ right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "reason"), [("SparseAdam", "sparse gradients")])
def test_optimizers_that_cannot_train_here_say_why(name, reason):
    with pytest.raises(ValueError, match=reason):
        Experiment(optimizer=name)


@pytest.mark.parametrize(
    "options",
    [{}, {"betas": (0.9, 1.5)}, {"eps": -1.0}, {"momentum": 2.0}, {"weight_decay": -1},
     {"fused": True, "foreach": True},
     {"no_such": 1}, {"nesterov": True}, {"max_iter": 3}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_check_accepts_and_refuses_what_an_optimizer_does(name, options):
    # a check goes round what would import torch's compiler, and must miss nothing by that
    def said(build):
        try:
            build()
        except SettingError as error:
            return str(error)
        return "accepted"

    made = said(lambda: make_optimizer(name, [torch.zeros(2, 2)], 0.1, options=options))
    assert said(lambda: check_optimizer(name, 0.1, options=options)) == made
