"""Figures 27 and 28: the spike falls between steps 5 and 6 of GD; losses of FB-Adam over data, ridge, noise, decay."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.plots.look import figure_title, legend_below, new_figure, panel_title, shared_legend
from spectail.plots.overlaps_plot import draw_overlap_bar
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import AN_ORDER, ORDER
from spectail.study.panels import esd_panel, overlap_panel, protocol_line, settings_line, trajectory_panel
from spectail.study.runs import Runs, Values
from spectail.study.settings import FIG25_RUN, FIG26_RUN, S2
from spectail.study.verdicts import all_of, clear, falls, mean_std, means, rises

# Figure 27

RUN = S2.replace(optimizer="gd", lr=2000, steps=6, record=(0, 5, 6), overlaps=((5, 5), (6, 5)))


def draw_fig27(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 2, 4.6, abreast=1)
    for row, (step, pair) in enumerate(zip((5, 6), RUN.overlaps, strict=True)):
        esd_panel(axes[2 * row], 2 * row, runs, RUN, step, "log10")
        drawn = overlap_panel(axes[2 * row + 1], 2 * row + 1, runs, RUN, pair, "left")
        if drawn is not None:
            draw_overlap_bar(drawn[0], [axes[2 * row + 1]], [drawn[1]], extend="min")
    shared_legend(figure, axes)
    figure_title(figure, f"Fig. 27. {settings_line(runs, RUN)}")
    return figure


def top(runs: Runs, factor: float) -> Outcome:
    """By how much the largest singular value falls."""
    before, after = (np.sqrt(runs.top([RUN], step)[:, 0]) for step in (5, 6))
    ratio = before / after
    text = f"σ₁ at t=5, 6: {mean_std(before)}, {mean_std(after)}; a factor of {mean_std(ratio, 2)}"
    return Outcome(clear(ratio - factor), f"{text} (λ₁: {mean_std(ratio**2, 2)})")


def rotated(runs: Runs) -> Outcome:
    before, after = (runs.largest_overlap(RUN, pair, "left") for pair in RUN.overlaps)
    text = f"largest overlap of M₅ with W₅, W₆: {mean_std(before, 2)}, {mean_std(after, 2)}"
    return Outcome(clear(before - after), text)


def nearer(runs: Runs) -> Outcome:
    ratios = runs.ratio(RUN, (5, 6))
    return Outcome(falls(np.log(ratios)), f"λ₁/λ₂ at t=5, 6: {means(ratios)}")


FIG27 = Artifact(
    name="fig27",
    title="Spectrum and overlaps at steps 5 and 6 of GD, η=2000",
    repeats=5,
    experiments=[RUN],
    draw=draw_fig27,
    claims=(
        Claim(
            "25a",
            "App. F.3, Fig. 27a,c",
            "The largest singular value falls between steps 5 and 6.",
            "clearly",
            lambda runs: top(runs, 1.0),
        ),
        Claim(
            "25b",
            "App. F.3, Fig. 27a,c",
            "The largest singular value falls by an order of magnitude between steps 5 and 6.",
            f"clearly by a factor of {ORDER[0]:.3g} or more: {AN_ORDER}",
            lambda runs: top(runs, ORDER[0]),
        ),
        Claim(
            "25c",
            "App. F.3, Fig. 27b,d",
            "With it the largest left overlap with the update falls.",
            "the largest entry of O(U_W5, U_M5) is clearly above that of O(U_W6, U_M5)",
            rotated,
        ),
        Claim(
            "81",
            "App. G, F.3, Fig. 27",
            "With GD too the spike gets nearer to the bulk.",
            "λ₁/λ₂ is clearly smaller at t=6 than at t=5",
            nearer,
        ),
    ),
)

# Figure 28

BARE = FIG25_RUN.replace(overlaps=())

# Runs of Figs. 25 and 26 are taken as they are, with their overlaps.
POINTS = {f"n = {n}": FIG25_RUN if n == FIG25_RUN.n else BARE.replace(n=n) for n in (500, 2000, 4000, 8000)}

RIDGES = {
    rf"$\lambda$ = {r:g}": FIG25_RUN if r == FIG25_RUN.ridge else BARE.replace(ridge=r)
    for r in (1e-1, 1e-2, 1e-3, 1e-4)
}

NOISES = {
    rf"$\rho_e$ = {rho:g}": {FIG25_RUN.label_noise: FIG25_RUN, FIG26_RUN.label_noise: FIG26_RUN}.get(
        rho, BARE.replace(label_noise=rho)
    )
    for rho in (0.1, 0.3, 0.5, 0.7)
}

DECAYS = {
    rf"$\gamma$ = {g:g}": BARE.replace(schedule="StepLR", schedule_options={"step_size": 1, "gamma": g})
    for g in (0.2, 0.4, 0.6, 0.8)
}

PANELS = {"training points": POINTS, "ridge": RIDGES, "label noise": NOISES, "decay of η": DECAYS}


def draw_fig28(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 2, 5.6, abreast=1)
    for index, (title, named) in enumerate(PANELS.items()):
        ax = panel_title(axes[index], index, f"{title} (solid: train, dashed: test)")
        shown = {f"n = {runs.scale(e).n}" if named is POINTS else label: e for label, e in named.items()}
        trajectory_panel(ax, runs, shown, name_baselines=False)
        legend_below(ax, 2)
    e = runs.scale(FIG25_RUN)
    figure_title(
        figure,
        f"Fig. 28 – FB-Adam, η = 1, {len(runs.seeds)} repeats ± one standard deviation. d = {e.d}, h = {e.h}; "
        f"{protocol_line(runs)}. Without markers, in the colour of a line where they differ: linear ridge (dash-dot), "
        "any odd student (dotted), a constant (dashed)",
    )
    return figure


def last(runs: Runs, named: dict[str, Experiment], variable: str) -> Values:
    """A variable after ten steps: (seeds × values)."""
    return runs.values(variable, list(named.values()), FIG25_RUN.steps)


def more_points(runs: Runs) -> Outcome:
    train, test = (last(runs, POINTS, v) for v in ("train_loss", "test_loss_large"))
    gap = test - train
    best = falls(np.stack([test[:, :-1].min(1), test[:, -1]], axis=1))
    return Outcome(
        all_of([best, falls(gap[:, [0, -1]])]), f"n=500, 2000, 4000, 8000: test {means(test)}; train {means(train)}"
    )


def train_improves(runs: Runs) -> Outcome:
    run = runs.over_steps("train_loss", FIG25_RUN, (0, FIG25_RUN.steps))
    by_size = last(runs, POINTS, "train_loss")
    return Outcome(falls(run), f"n=8000: train loss at t=0, 10: {means(run)}; at t=10 over n: {means(by_size)}")


def less_ridge(runs: Runs) -> Outcome:
    train, test = (last(runs, RIDGES, v) for v in ("train_loss", "test_loss_large"))
    gap = test - train
    findings = []
    for column in (2, 3):
        findings += [falls(values[:, [1, column]]) for values in (train, test)]
        findings.append(rises(gap[:, [1, column]]))
    return Outcome(all_of(findings), f"λ=0.1, 0.01, 0.001, 0.0001: train {means(train)}; test {means(test)}")


def more_noise(runs: Runs) -> Outcome:
    train, test = (last(runs, NOISES, v) for v in ("train_loss", "test_loss_large"))
    return Outcome(
        all_of([rises(train), rises(test)]), f"ρ=0.1, 0.3, 0.5, 0.7: train {means(train)}; test {means(test)}"
    )


def slow_decay(runs: Runs) -> Outcome:
    """Variation of the test loss over steps 2 to 5, the sum of its absolute changes."""
    steps = (2, 3, 4, 5)
    variation = np.stack(
        [np.abs(np.diff(runs.over_steps("test_loss_large", e, steps), axis=1)).sum(1) for e in DECAYS.values()], axis=1
    )
    calm, restless = variation[:, :2].max(1), variation[:, 2:].min(1)
    finding = rises(np.stack([calm, restless], axis=1))
    return Outcome(finding, f"variation of the test loss over steps 2 to 5, γ=0.2, 0.4, 0.6, 0.8: {means(variation)}")


FIG28 = Artifact(
    name="fig28",
    title="Losses over 10 FB-Adam steps, η=1, for several n, λ, ρ_e and γ",
    repeats=5,
    experiments=[e for named in PANELS.values() for e in named.values()],
    draw=draw_fig28,
    claims=(
        Claim(
            "29a",
            "App. F.4, Fig. 28a",
            "The test loss is best with most data, and few data overfit.",
            "at t=10, n=8000 has a clearly lower test loss than the best other n, and a clearly smaller gap than n=500",
            more_points,
        ),
        Claim(
            "29b",
            "App. F.4, Fig. 28a",
            "With n=8000 the train loss improves too.",
            "it clearly falls from t=0 to t=10",
            train_improves,
        ),
        Claim(
            "30",
            "App. F.4, Fig. 28b",
            "λ=1e-3 and 1e-4 lower the train and the test loss against 1e-2, and widen the gap between them.",
            "both losses clearly lower and the gap clearly larger at t=10",
            less_ridge,
        ),
        Claim(
            "31",
            "App. F.4, Fig. 28c",
            "Losses grow with the label noise.",
            "train and test loss at t=10 rise along ρ=0.1, 0.3, 0.5, 0.7, clearly each",
            more_noise,
        ),
        Claim(
            "32",
            "App. F.4, Fig. 28d",
            "Fast decays of the learning rate (γ=0.2, 0.4) give stable losses, slow ones (0.6, 0.8) unstable ones.",
            "the smaller variation of the test loss over steps 2 to 5 of the slow pair clearly exceeds the larger of "
            "the fast pair",
            slow_decay,
        ),
    ),
)

ARTIFACTS = (FIG27, FIG28)
