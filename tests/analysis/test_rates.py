"""Learning rates of layers: the published rules, and what guards them."""

import numpy as np
import pytest
import torch

from spectail.analysis.model import analyze
from spectail.analysis.rates import layer_rates


@pytest.fixture(scope="module")
def analysis():
    noise = torch.Generator().manual_seed(0)
    names = {f"layer{at}.weight": torch.randn(80, 60, generator=noise) for at in range(4)}
    names["layer2.weight"] = names["layer2.weight"].exp()
    names["layer3.weight"] += 5 * torch.outer(torch.randn(80, generator=noise), torch.randn(60, generator=noise))
    heavy = (
        torch.randn(80, 60, generator=noise)
        @ torch.randn(60, 60, generator=noise)
        @ torch.randn(60, 60, generator=noise)
    )
    return analyze({**names, "layer4.weight": heavy})


@pytest.mark.parametrize(
    ("rule", "published"),
    [
        ("linear", lambda a: np.interp(a, [min(a), max(a)], [0.5, 1.5])),
        ("sqrt", lambda a: np.sqrt(a) / np.sum(np.sqrt(a)) * len(a)),
        ("log2", lambda a: np.log2(a) / np.sum(np.log2(a)) * len(a)),
    ],
)
def test_without_a_guard_they_are_those_of_the_published_rules(analysis, rule, published):
    rates = layer_rates(analysis, rule, null_guard=False)
    alphas = analysis.frame["pl_alpha_hill"].to_numpy(float)
    np.testing.assert_allclose([*rates.values()], published(alphas), rtol=1e-6)
    assert [*rates] == [*analysis.frame["name"]]


def test_layers_as_untrained_keep_the_learning_rate(analysis):
    z = analysis.frame["z_hill"].to_numpy(float)
    assert 0 < (np.abs(z) < 3).sum() < len(z)
    guarded, published = layer_rates(analysis), layer_rates(analysis, null_guard=False)
    for (name, rate), one in zip(guarded.items(), z, strict=True):
        assert rate == (1.0 if abs(one) < 3 else published[name])


def test_the_control_has_the_same_rates_elsewhere(analysis):
    rates = layer_rates(analysis, null_guard=False)
    controls = [layer_rates(analysis, null_guard=False, shuffled=seed) for seed in range(5)]
    assert all(sorted(one.values()) == sorted(rates.values()) for one in controls)
    assert all(one != rates for one in controls)


def test_a_rule_that_is_not_known_is_said(analysis):
    with pytest.raises(ValueError, match="did you mean 'sqrt'"):
        layer_rates(analysis, "sqr")
