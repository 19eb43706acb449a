import pytest
import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.problem import Problem

BASE = Experiment(n=20, n_test=7, n_test_large=9, d=6, h=8)
ROLES = {
    "teacher": lambda p: p.beta,
    "X": lambda p: p.train.x,
    "labels": lambda p: p.train.y,
    "hold-out X": lambda p: p.holdout.x,
    "hold-out labels": lambda p: p.holdout.y,
    "test X": lambda p: p.test.x,
    "test labels": lambda p: p.test.y,
    "large test X": lambda p: p.test_large.x,
    "large test labels": lambda p: p.test_large.y,
    "W0": lambda p: p.w0,
    "a": lambda p: p.a,
}


@pytest.mark.parametrize("size", ["n", "n_test", "n_test_large", "h"])
def test_a_larger_size_extends_its_own_roles_and_leaves_the_others_as_they_were(size):
    before, after = Problem.draw(BASE), Problem.draw(BASE.replace(**{size: getattr(BASE, size) + 5}))
    for name, role in ROLES.items():
        old, new = role(before), role(after)
        assert torch.equal(new[: len(old)], old), name
    grown = {name for name, role in ROLES.items() if len(role(after)) > len(role(before))}
    expected = {
        "n": {"X", "labels", "hold-out X", "hold-out labels"},
        "n_test": {"test X", "test labels"},
        "n_test_large": {"large test X", "large test labels"},
        "h": {"W0", "a"},
    }
    assert grown == expected[size]


def test_a_change_of_dimension_leaves_the_second_layer_and_the_label_noise_as_they_were():
    before, after = Problem.draw(BASE), Problem.draw(BASE.replace(d=9))
    assert torch.equal(before.a, after.a)
    noise = [p.train.y - torch.nn.functional.softplus(p.train.x.double() @ p.beta) for p in (before, after)]
    torch.testing.assert_close(*noise, atol=1e-6, rtol=0)  # x is float32 there


def test_label_noise_scales_the_same_numbers():
    clean, quiet, loud = (Problem.draw(BASE.replace(label_noise=s)).train.y for s in (0.0, 0.3, 0.6))
    torch.testing.assert_close(loud - clean, 2 * (quiet - clean))


def test_every_role_has_numbers_of_its_own():
    p = Problem.draw(BASE.replace(n=8, n_test=8, n_test_large=8, h=8))
    inputs = [p.train.x, p.holdout.x, p.test.x, p.test_large.x, p.w0]
    for i, one in enumerate(inputs):
        for other in inputs[i + 1 :]:
            assert not torch.equal(one, other)


def test_seeds_give_different_problems_and_the_same_seed_the_same():
    one, same, other = Problem.draw(BASE), Problem.draw(BASE), Problem.draw(BASE.replace(seed=1))
    assert all(torch.equal(role(one), role(same)) for role in ROLES.values())
    assert not any(torch.equal(role(one), role(other)) for role in ROLES.values())


def test_float32_sees_the_numbers_of_float64_rounded():
    single, double = Problem.draw(BASE), Problem.draw(BASE.replace(dtype="float64"))
    assert torch.equal(single.train.x, double.train.x.float())
    assert torch.equal(single.w0, double.w0.float())


def test_moments_are_those_of_the_paper():
    p = Problem.draw(Experiment(n=3000, n_test_large=10, d=50, h=400, initialization="mean_field"))
    assert float(p.beta.norm()) == pytest.approx(1.0)
    assert float(p.train.x.var()) == pytest.approx(1.0, rel=0.02)  # 150,000 numbers: 4 standard errors are 0.015
    assert float(p.w0.var()) == pytest.approx(1 / 50, rel=0.05)
    assert float(p.a.var()) == pytest.approx(1 / 400, rel=0.3)
    assert float(p.train.y.square().mean()) == pytest.approx(1.0112, abs=0.12)  # E y² of softplus and noise 0.3


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_sees_the_numbers_of_the_cpu():
    here, there = Problem.draw(BASE), Problem.draw(BASE, "cuda")
    assert all(torch.equal(role(here), role(there).cpu()) for role in ROLES.values())
