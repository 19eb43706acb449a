"""Kinds of figures that the paper repeats: grids of spectra, overlaps, trajectories, sweeps over learning rates.

Not here: a single panel (`panels.py`), and what one figure alone has, which stands in `figures/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import critical_lr
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.plots.look import figure_title, label_outer_panels, new_figure, panel_title, shared_legend
from spectail.plots.overlaps_plot import draw_overlap_bar
from spectail.plots.spectrum_plot import AxisScale
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim
from spectail.study.criteria import OUTLIER, all_outcomes, outliers
from spectail.study.panels import (
    esd_panel,
    hill_panel,
    ks_panel,
    loss_panel,
    lr_panel,
    overlap_panel,
    settings_line,
    trajectory_panel,
)
from spectail.study.runs import SIDES, Runs, Side
from spectail.study.settings import AFTER, BEFORE, FIRST_UPDATE, PAPER_OPTIMIZERS, EpsilonOf, over_learning_rates

Draw = Callable[[Runs], Figure]

Overlap = tuple[tuple[int, int], Side]


def spectra(
    label: str, panels: Sequence[tuple[Experiment, int]], scales: Sequence[AxisScale] = ("log10",),
    titles: Sequence[str] = (),
) -> Draw:  # fmt: skip
    """Spectra in two columns, each of one experiment at one step, in reading order.

    Args:
        label: of the figure.
        panels: experiment and step of each.
        scales: of the axes, in turn.
        titles: of the panels, where optimizer, learning rate and step will not do.
    """

    def draw(runs: Runs) -> Figure:
        rows = -(-len(panels) // 2)
        figure, axes = new_figure(rows, 2, 2.1 * rows + 0.3)
        for index, ((experiment, step), scale) in enumerate(zip(panels, cycle(scales), strict=False)):
            esd_panel(axes[index], index, runs, experiment, step, scale)
            if titles:
                panel_title(axes[index], index, titles[index])
        shared_legend(figure, axes)
        figure_title(figure, f"{label}. {settings_line(runs, panels[0][0])}")
        return figure

    return draw


def overlap_row(label: str, panels: Sequence[tuple[Experiment, Overlap]]) -> Draw:
    """A row of overlap matrices."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(1, len(panels), 2.6)
        images = []
        for index, (experiment, (pair, side)) in enumerate(panels):
            images.append(overlap_panel(axes[index], index, runs, experiment, pair, side))
        label_outer_panels(axes)
        for ax in axes:
            ax.tick_params(labelleft=bool(ax.get_ylabel()))
        drawn = [one for one in images if one is not None]
        if drawn:
            draw_overlap_bar(drawn[0][0], axes, [chance for _, chance in drawn], shrink=0.75, extend="min")
        figure_title(figure, f"{label}. {settings_line(runs, panels[0][0])}")
        return figure

    return draw


def first_update(
    figure: int, claim: str, section: str, optimizer: str, lr: float, *, expected: bool, initialization: str = "ntk"
) -> Artifact:
    """The overlaps with the first update of one optimizer and learning rate, before and after it.

    Args:
        figure: its number.
        claim: the number of its claim.
        section: where the paper shows it.
        optimizer: gd or adam.
        lr: learning rate.
        expected: whether the overlaps are to have outliers after the step; before it they never are.
        initialization: ntk or mean_field.
    """
    run = FIRST_UPDATE.replace(optimizer=optimizer, lr=lr, initialization=initialization)
    name, mean_field = OPTIMIZER_LOOKS[optimizer][2], initialization == "mean_field"
    return Artifact(
        name=f"fig{figure}",
        title=f"{'Mean-field: overlaps' if mean_field else 'Overlaps'} with the first {name} update, η={lr:g}",
        repeats=5,
        experiments=[run],
        draw=overlap_row(
            f"Fig. {figure} – {'mean-field, ' if mean_field else ''}{name}, η = {lr:g}",
            [(run, (pair, side)) for pair in run.overlaps for side in SIDES],
        ),
        claims=(
            Claim(
                claim,
                f"{section}, Fig. {figure}",
                "Overlaps with the update have outliers after the step, and none before."
                if expected
                else "The overlaps with the update have no outlier, before or after the step.",
                OUTLIER,
                lambda runs: all_outcomes(
                    outliers(runs, run, BEFORE, expected=False), outliers(runs, run, AFTER, expected=expected)
                ),
            ),
        ),
    )


def trajectory_spectrum_overlaps(label: str, experiment: Experiment) -> Draw:
    """Losses over steps, the last spectrum, and the overlaps of an experiment, as in Figs. 21, 25 and 26."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(2, 2, 5.0, abreast=1)
        losses = panel_title(axes[0], 0, "losses (solid: train, dashed: test)")
        trajectory_panel(losses, runs, {"mean of repeats": experiment})
        esd_panel(axes[1], 1, runs, experiment, experiment.steps, "log10")
        for index, side in enumerate(SIDES, 2):
            drawn = overlap_panel(axes[index], index, runs, experiment, experiment.overlaps[0], side)
            if drawn is not None:
                draw_overlap_bar(drawn[0], [axes[index]], [drawn[1]], extend="min")
        shared_legend(figure, axes[:2])
        figure_title(figure, f"{label}. {settings_line(runs, experiment)}")
        return figure

    return draw


def one_step_sweep(
    figure: int, setup: Experiment, claims: tuple[Claim, ...] = (), epsilon: EpsilonOf = "program"
) -> Artifact:  # fmt: skip
    """Losses, KTA and sim after one step, against the learning rate, as in Fig. 3."""

    def draw(runs: Runs) -> Figure:
        drawn, axes = new_figure(2, 2, 4.8)
        loss_panel(panel_title(axes[0], 0, "GD, losses (solid: train, dashed: test)"), runs, setup, 1, ("gd",))
        loss_panel(panel_title(axes[1], 1, "FB-Adam, losses (solid: train, dashed: test)"), runs, setup, 1, ("adam",))
        lr_panel(panel_title(axes[2], 2, "kernel–target alignment"), runs, setup, 1, "kta").set_ylabel("KTA")
        lr_panel(panel_title(axes[3], 3, "alignment with the teacher"), runs, setup, 1, "alignment")
        axes[3].set_ylabel(r"sim($W$, $\beta^*$)")
        for ax, optimizers in zip(axes, (("gd",), ("adam",), PAPER_OPTIMIZERS, PAPER_OPTIMIZERS), strict=True):
            for optimizer in optimizers:
                critical = critical_lr(runs.scale.in_place(setup.replace(optimizer=optimizer, protocol=runs.protocol)))
                ax.axvline(critical, color=OPTIMIZER_LOOKS[optimizer][0], lw=0.9, ls=":")
        _finish(drawn, f"Fig. {figure}", runs, setup, "after one step", "; dotted: predicted critical η")
        return drawn

    return Artifact(
        name=f"fig{figure}",
        title=f"Losses, KTA and sim after 1 step over 9 learning rates, n={setup.n}",
        theory=True,
        repeats=5,
        epsilon=epsilon,
        experiments=_with_both_optimizers(setup),
        draw=draw,
        claims=claims,
    )


def ten_step_sweep(
    figure: int, setup: Experiment, claims: tuple[Claim, ...] = (), *, variant: str = "",
    further: Sequence[Experiment] = (),
) -> Artifact:  # fmt: skip
    """Losses, KTA and the two exponents after ten steps, against the learning rate, as in Fig. 5.

    Args:
        figure: its number.
        setup: without optimizer and learning rate.
        claims: what it is to show.
        variant: what `setup` has that Fig. 5 has not.
        further: runs that only its claims need.
    """

    def draw(runs: Runs) -> Figure:
        drawn, axes = new_figure(2, 2, 4.8)
        loss_panel(panel_title(axes[0], 0, "losses (solid: train, dashed: test)"), runs, setup, setup.steps)
        lr_panel(panel_title(axes[1], 1, "kernel–target alignment"), runs, setup, setup.steps, "kta").set_ylabel("KTA")
        hill_panel(panel_title(axes[2], 2, "Hill exponent"), runs, setup, setup.steps)
        ks_panel(panel_title(axes[3], 3, "KS exponent"), runs, setup, setup.steps)
        label = f"Fig. {figure} – {variant}" if variant else f"Fig. {figure}"
        _finish(drawn, label, runs, setup, f"after {setup.steps} steps")
        return drawn

    return Artifact(
        name=f"fig{figure}",
        title="Losses, KTA, Hill and KS after 10 steps "
        f"{f'with {variant}' if variant else 'over 9 learning rates'}, n={setup.n}",
        repeats=5,
        experiments=[*_with_both_optimizers(setup), *further],
        draw=draw,
        claims=claims,
    )


def _with_both_optimizers(setup: Experiment) -> list[Experiment]:
    return [e for optimizer in PAPER_OPTIMIZERS for e in over_learning_rates(setup, optimizer)]


def _finish(figure: Figure, label: str, runs: Runs, setup: Experiment, when: str, note: str = "") -> None:
    shared_legend(figure, figure.axes)
    figure_title(
        figure,
        f"{label} – {when}, {len(runs.seeds)} repeats ± one standard deviation{note}.\n{settings_line(runs, setup)}",
    )
