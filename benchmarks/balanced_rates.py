"""Does it help to set the learning rates of layers by their tails? TempBalance's rule beside the control that it needs.

python -m benchmarks.balanced_rates

A student of three hidden layers learns a teacher of three directions by mini-batch descent, five seeds. Every 100 steps
the learning rate of each layer is multiplied as the rule says: not at all; as published; with 1 for layers that are as
untrained; and as published, but given to layers at random. What the last does is not due to tails.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from spectail.analysis.model import analyze
from spectail.analysis.rates import layer_rates
from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.problem import Problem
from spectail.study.verdicts import chance_above

SETUP = Experiment(n=2000, n_test=10, n_test_large=4000, d=80, h=10, directions=3, teacher="he2", label_noise=0.3)

STEPS, EVERY, BATCH, LR = 1500, 100, 100, 0.05

RULES: dict[str, dict[str, Any] | None] = {
    "uniform": None,
    "as published": {"null_guard": False},
    "guarded by the null": {},
    "as published, shuffled": {"null_guard": False, "shuffled": 0},
}


def test_loss(rule: dict[str, Any] | None, seed: int) -> float:
    """Mean squared error on 4,000 points after training."""
    problem = Problem.draw(SETUP.replace(seed=seed))
    torch.manual_seed(seed)
    width = 160
    network = nn.Sequential(
        nn.Linear(SETUP.d, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 1),
    )  # fmt: skip
    hidden = {name: p for name, p in network.named_parameters() if p.ndim == 2 and len(p) > 1}
    others = [p for name, p in network.named_parameters() if name not in hidden]
    groups = [{"params": [p], "name": name} for name, p in hidden.items()] + [{"params": others, "name": ""}]
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=0.9)
    x, y = problem.train.x, problem.train.y.float()
    order = torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        if rule is not None and step % EVERY == 0:
            options = {**rule, "shuffled": seed + step} if "shuffled" in rule else rule
            analysis = analyze({name: p.detach() for name, p in hidden.items()}, progress=lambda *_: None)
            rates = layer_rates(analysis, **options)
            for group in optimizer.param_groups:
                group["lr"] = LR * rates.get(group["name"], 1.0)
        chosen = torch.randint(len(y), (BATCH,), generator=order)
        loss = (network(x[chosen])[:, 0] - y[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        errors = network(problem.test_large.x)[:, 0] - problem.test_large.y
    return float(errors.square().mean())


def main() -> None:
    by_rule = {name: np.array([test_loss(rule, seed) for seed in range(5)]) for name, rule in RULES.items()}
    print("| learning rates | test loss | less than uniform by | p, one side |\n|---|---|---|---|")
    for name, losses in by_rule.items():
        gain = by_rule["uniform"] - losses
        p = "–" if name == "uniform" else f"{chance_above(gain):.2g}"
        print(f"| {name} | {losses.mean():.4f} ± {losses.std(ddof=1):.4f} | {gain.mean():+.4f} | {p} |")


if __name__ == "__main__":
    main()
