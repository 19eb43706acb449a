"""Does it help to set the learning rates of layers by their tails? TempBalance's rule beside the control that it needs.

    python -m benchmarks.balanced_rates

A student of three hidden layers learns a teacher of three directions by mini-batch descent, five seeds. Every 100 steps
the learning rate of each layer is multiplied as the rule says: not at all; as published; with 1 for layers that are as
untrained; and as published, but given to layers at random. What the last does is not due to tails.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.analysis.model import analyze
from spectail.analysis.rates import UNREMARKABLE, layer_rates
from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.problem import Problem
from spectail.plots.bands import draw_band
from spectail.plots.colours import BAND, LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.study.claims import Outcome
from spectail.study.verdicts import clear, mean_std

SETUP = Experiment(n=2000, n_test=10, n_test_large=4000, d=80, h=10, directions=3, teacher="he2", label_noise=0.3)

STEPS, EVERY, BATCH, LR, WIDTH, SEEDS = 1500, 100, 100, 0.05, 160, range(5)

RULES: dict[str, dict[str, Any] | None] = {
    "uniform": None,
    "as published": {"null_guard": False},
    "guarded by the null": {},
    "as published, shuffled": {"null_guard": False, "shuffled": 0},
}

LAYERS = ("0.weight", "2.weight", "4.weight")


def train(rule: str, seed: int) -> Iterator[Row]:
    """The multiplier of each layer and its z, every `EVERY` steps, with the test loss on 4,000 points there."""
    problem, options = Problem.draw(SETUP.replace(seed=seed)), RULES[rule]
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(SETUP.d, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(),
        nn.Linear(WIDTH, 1),
    )  # fmt: skip
    hidden = {name: p for name, p in network.named_parameters() if p.ndim == 2 and len(p) > 1}
    others = [p for name, p in network.named_parameters() if name not in hidden]
    groups = [{"params": [p], "name": name} for name, p in hidden.items()] + [{"params": others, "name": ""}]
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=0.9)
    x, y = problem.train.x, problem.train.y.float()
    order = torch.Generator().manual_seed(seed)
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            analysis = analyze({name: p.detach() for name, p in hidden.items()}, progress=lambda *_: None)
            rates = dict.fromkeys(LAYERS, 1.0)
            if options is not None:
                rates = layer_rates(analysis, **options | ({"shuffled": seed + step} if "shuffled" in options else {}))
            for group in optimizer.param_groups:
                group["lr"] = LR * rates.get(group["name"], 1.0)
            with torch.no_grad():
                errors = network(problem.test_large.x)[:, 0] - problem.test_large.y
            measured = analysis.recording.isel(step=-1)
            for layer in LAYERS:
                yield {
                    "step": step, "layer": layer, "multiplier": rates[layer],
                    "hill": float(measured.pl_alpha_hill.sel(matrix=layer)),
                    "z": float(measured.z_hill.sel(matrix=layer)), "test_loss": float(errors.square().mean()),
                }  # fmt: skip
        chosen = torch.randint(len(y), (BATCH,), generator=order)
        loss = (network(x[chosen])[:, 0] - y[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def along(table: pd.DataFrame, rule: str, name: str, layer: str = LAYERS[0]) -> NDArray[np.float64]:
    """A quantity of all repeats: (seeds × steps)."""
    return np.asarray(table[(table.rule == rule) & (table.layer == layer)].pivot_table(name, "seed", "step"))


def picture(table: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 3, 2.9, abreast=1)
    steps = np.arange(0, STEPS + 1, EVERY)
    ax = panel_title(axes[0], 0, "gain over uniform rates")
    ends = {rule: along(table, rule, "test_loss")[:, -1] for rule in RULES}
    for place, rule in enumerate(list(RULES)[1:]):
        gain = ends["uniform"] - ends[rule]
        low, mean, high = np.array(clear(gain).margin)[[1, 0, 2]]
        ax.errorbar([place], [mean], [[mean - low], [high - mean]], fmt="_", color=LAW, capsize=3,
                    label="mean and its 95 % interval" if not place else "_")  # fmt: skip
        ax.plot(
            np.full(len(gain), place + 0.18), gain, "o", ms=3, color=SERIES[0][0], label="seeds" if not place else "_"
        )
    ax.axhline(0, color=LAW, lw=0.6, ls=":")
    ax.set_xticks(range(3), ["published", "guarded", "shuffled"])
    ax.set(xlim=(-0.5, 2.6), ylabel="test loss, lower by")
    for index, (name, title, label) in enumerate((
        ("multiplier", "as published: multipliers", "multiplier"), ("z", "as published: z of the exponent", "$z$"),
    ), 1):  # fmt: skip
        ax = panel_title(axes[index], index, title)
        for layer, (colour, marker) in zip(LAYERS, SERIES[1:], strict=False):
            draw_band(ax, steps, along(table, "as published", name, layer), color=colour, marker=marker, label=layer)
        ax.set(xlabel="step $t$", ylabel=label)
    axes[2].axhspan(-UNREMARKABLE, UNREMARKABLE, color=BAND, lw=0, label="as untrained, |z| < 3")
    shared_legend(figure, axes)
    figure_title(
        figure,
        f"Learning rates of layers by their tails: ReLU network, three hidden layers of {WIDTH}, {len(SEEDS)} repeats",
    )
    return figure


def main() -> None:
    """Measure what is not kept, draw, and print tables and verdicts."""
    pieces: list[Row] = [{"rule": rule, "seed": seed} for seed, rule in product(SEEDS, RULES)]
    table = kept_table("rates", pieces, train)
    draw("rates", partial(picture, table))
    ends = {rule: along(table, rule, "test_loss")[:, -1] for rule in RULES}
    print("| learning rates | test loss |\n|---|---|")
    for rule, losses in ends.items():
        print(f"| {rule} | {mean_std(losses)} |")
    print()
    claims = {
        "the published rule lowers the test loss": ends["uniform"] - ends["as published"],
        "so does the guarded one": ends["uniform"] - ends["guarded by the null"],
        "the published rule is better than the same rates, shuffled": (
            ends["as published, shuffled"] - ends["as published"]
        ),
        "the shuffled rates lower the test loss": ends["uniform"] - ends["as published, shuffled"],
    }
    print_verdicts({claim: Outcome(clear(gain), f"lower by {mean_std(gain, 2)}") for claim, gain in claims.items()})


if __name__ == "__main__":
    main()
