"""Does a penalty on the Hill exponent reach its target, what becomes of the test loss, and what does it cost?

    python -m benchmarks.penalised_tails

A student of two layers learns a teacher by 600 steps of descent on W, full batch: by itself, and with a penalty
`strength · (α_H − target)²` whose strength grows from 0 over the first 150 steps. One target is below the exponent of
untrained weights, 2.4, which is also what the student has by itself, one above. Of a seed, all students have
the same data and the same first weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.problem import Problem
from spectail.plots.bands import draw_band
from spectail.plots.colours import LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.spectra.regularizer import hill_penalty
from spectail.spectra.tails import hill
from spectail.study.claims import Outcome
from spectail.study.verdicts import mean_inside, mean_std

SETUP = Experiment(n=1000, n_test=10, n_test_large=4000, d=100, h=150, teacher="tanh", label_noise=0.3)

STEPS, EVERY, WARM, LR = 600, 30, 150, 30.0

NONE = 0.0
"""The target of a student without a penalty."""

ARMS = ((NONE, 0.0), (1.8, 0.1), (3.0, 0.1), (3.0, 1.0))
"""Targets and strengths."""

SEEDS = range(3)

REACHED, SAME = 0.05, 0.01
"""How near to its target an exponent has reached it, and the relative change of a loss that is none."""

HEIGHTS = (150, 375, 750, 1500)


def output(w: Tensor, a: Tensor, x: Tensor) -> Tensor:
    """aᵀ tanh(Wx/√d)/√h."""
    values: Tensor = (x @ w.T / w.shape[1] ** 0.5).tanh() @ a / len(a) ** 0.5
    return values


def train(target: float, strength: float, seed: int) -> Iterator[Row]:
    """The exponent and both losses, every `EVERY` steps."""
    problem = Problem.draw(SETUP.replace(seed=seed))
    w, a = problem.w0.clone().requires_grad_(), problem.a
    for step in range(STEPS + 1):
        loss = (output(w, a, problem.train.x) - problem.train.y.to(w.dtype)).square().mean()
        if step % EVERY == 0:
            with torch.no_grad():
                errors = output(w, a, problem.test_large.x) - problem.test_large.y
                exponent = hill(torch.linalg.svdvals(w.double()).square())
            yield {
                "step": step, "hill": float(exponent), "loss": float(loss.detach()),
                "test_loss": float(errors.square().mean()),
            }  # fmt: skip
        if target != NONE:
            loss = loss + strength * min(1.0, step / WARM) * hill_penalty(w, target)
        (gradient,) = torch.autograd.grad(loss, w)
        w.data -= LR * gradient


def cost(h: int) -> Iterator[Row]:
    """Seconds of the gradient of the loss, on 2d points, and of the penalty: the median of several."""
    d = 2 * h // 3
    x, y, a = torch.randn(2 * d, d), torch.randn(2 * d), torch.ones(h)
    w = torch.randn(h, d, requires_grad=True)

    def seconds(term: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            torch.autograd.grad(term(), w)
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    yield {
        "d": d, "of_loss": seconds(lambda: (output(w, a, x) - y).square().mean()),
        "of_penalty": seconds(lambda: hill_penalty(w, 2.0)),
    }  # fmt: skip


def along(table: pd.DataFrame, arm: tuple[float, float], name: str) -> NDArray[np.float64]:
    """A quantity of all repeats: (seeds × steps)."""
    chosen = table[(table.target == arm[0]) & (table.strength == arm[1])]
    return np.asarray(chosen.pivot_table(name, "seed", "step"))


def name_of(arm: tuple[float, float]) -> str:
    return "no penalty" if arm[0] == NONE else f"target {arm[0]:g}, strength {arm[1]:g}"


def picture(table: pd.DataFrame, costs: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 3, 2.9, abreast=1)
    steps = np.arange(0, STEPS + 1, EVERY)
    for index, (name, title, label) in enumerate((
        ("hill", "exponent of W", "PL_Alpha_Hill"), ("test_loss", "test loss", "test loss"),
    )):  # fmt: skip
        ax = panel_title(axes[index], index, title)
        for arm, (colour, _) in zip(ARMS, SERIES, strict=False):
            line = "--" if arm[1] == 1 else "-"
            draw_band(ax, steps, along(table, arm, name), color=colour, marker="", linestyle=line, label=name_of(arm))
        ax.set(xlabel="step $t$", ylabel=label)
    axes[0].set_ylim(1.6, 4)  # a strong penalty goes far beyond before it settles
    axes[1].set_yscale("log")
    ax = panel_title(axes[2], 2, "seconds of a gradient, one core")
    for name, style, label in (("of_loss", "-", "of the loss, $n = 2d$"), ("of_penalty", "--", "of the penalty")):
        ax.plot(costs.d, costs[name], style, marker="o", color=LAW, label=label)
    ax.set(xscale="log", yscale="log", xlabel="$d$, $h = 1.5d$", ylabel="seconds")
    ax.set_xticks(costs.d, [str(d) for d in costs.d])
    ax.minorticks_off()
    shared_legend(figure, axes)
    e = SETUP
    figure_title(
        figure,
        f"A penalty on the Hill exponent: n = {e.n}, d = {e.d}, h = {e.h}, η = {LR:g}, full strength from step {WARM} "
        f"on, {len(SEEDS)} repeats",
    )
    return figure


def main() -> None:
    """Measure what is not kept, draw, and print tables and verdicts."""
    torch.set_num_threads(1)
    pieces: list[Row] = [
        {"target": target, "strength": strength, "seed": seed} for (target, strength), seed in product(ARMS, SEEDS)
    ]
    table = kept_table("penalty", pieces, train)
    costs = kept_table("penalty-cost", [{"h": h} for h in HEIGHTS], cost)
    draw("penalty", partial(picture, table, costs))
    end = {arm: {name: along(table, arm, name)[:, -1] for name in ("hill", "loss", "test_loss")} for arm in ARMS}
    without = end[ARMS[0]]
    print("| penalty | exponent | training loss | test loss | than without |\n|---|---|---|---|---|")
    for arm, numbers in end.items():
        more = numbers["test_loss"] - without["test_loss"]
        cells = [mean_std(numbers[name], 3) for name in ("hill", "loss", "test_loss")]
        print(f"| {name_of(arm)} | {' | '.join(cells)} | {'–' if arm == ARMS[0] else mean_std(more, 2)} |")
    print()
    outcomes = {}
    for arm in ARMS[1:]:
        off = end[arm]["hill"] - arm[0]
        outcomes[f"{name_of(arm)}: reached within {REACHED:g}"] = Outcome(
            mean_inside(off[:, None], -REACHED, REACHED), f"exponent less target {mean_std(off, 2)}"
        )
    for arm in ARMS[1:]:
        change = end[arm]["test_loss"] / without["test_loss"] - 1
        outcomes[f"{name_of(arm)}: the test loss stays within {SAME:.0%}"] = Outcome(
            mean_inside(change[:, None], -SAME, SAME), f"relative change {mean_std(change, 2)}"
        )
    print_verdicts(outcomes)
    print()
    for row in costs.itertuples():
        print(f"{row.h} × {row.d}: the penalty takes {row.of_penalty / row.of_loss:.2g} times what the loss takes")


if __name__ == "__main__":
    main()
