"""Kinds of figures that the paper repeats: grids of spectra, sweeps over learning rates, overlaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import critical_lr
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.plots.look import new_figure, panel_title, shared_legend
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
from spectail.study.settings import AFTER, BEFORE, ONE, PAPER_OPTIMIZERS, over_learning_rates

Draw = Callable[[Runs], Figure]

Experiments = Callable[[int], Iterator[Experiment]]

Overlap = tuple[tuple[int, int], Side]


def repeated(experiments: Sequence[Experiment]) -> Experiments:
    """The same experiments with the seed of each repeat."""

    def with_seed(seed: int) -> Iterator[Experiment]:
        yield from (e.replace(seed=seed) for e in experiments)

    return with_seed


def spectra(
    label: str, panels: Sequence[tuple[Experiment, int]], *, cols: int = 2, axis: AxisScale = "log10", row: float = 2.1
) -> Draw:
    """A grid of spectra, each of one experiment at one step, in reading order."""

    def draw(runs: Runs) -> Figure:
        rows = -(-len(panels) // cols)
        figure, axes = new_figure(rows, cols, row * rows + 0.3)
        for index, (experiment, step) in enumerate(panels):
            ax = esd_panel(axes[index], index, runs, experiment, step, axis)
            if cols > 2:
                ax.set_title(ax.get_title("left"), loc="left", fontsize=6.5)
                ax.set_ylabel(ax.get_ylabel() if index % cols == 0 else "")
                ax.set_xlabel(ax.get_xlabel() if index >= cols * (rows - 1) else "")
        shared_legend(figure, axes)
        figure.suptitle(f"{label}. {settings_line(runs, panels[0][0])}", fontsize=8)
        return figure

    return draw


def spectra_table(label: str, experiments: Sequence[Experiment], steps: Sequence[int]) -> Draw:
    """Spectra of several experiments, one column each, at several steps, one row each."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(len(steps), len(experiments), 1.45 * len(steps) + 0.5)
        for index, (step, experiment) in enumerate(product(steps, experiments)):
            ax, row = esd_panel(axes[index], index, runs, experiment, step, "log10"), index // len(experiments)
            lr = runs.scale(experiment).lr
            ax.set_title(rf"$\eta$ = {lr:.4g}, $t$ = {runs.scale.step(step):,}", loc="left", fontsize=6.5)
            ax.set_ylabel("density" if index % len(experiments) == 0 else "")
            ax.set_xlabel(ax.get_xlabel() if row == len(steps) - 1 else "")
            ax.tick_params(labelsize=6)
        shared_legend(figure, axes)
        figure.suptitle(f"{label}. {settings_line(runs, experiments[0])}", fontsize=8)
        return figure

    return draw


def one_step_sweep(label: str, setup: Experiment) -> Draw:
    """Losses, KTA and sim after one step, against the learning rate, as in Fig. 3."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(2, 2, 4.8)
        loss_panel(panel_title(axes[0], 0, "GD, losses (solid: train, dashed: test)"), runs, setup, 1, ("gd",))
        loss_panel(panel_title(axes[1], 1, "FB-Adam, losses (solid: train, dashed: test)"), runs, setup, 1, ("adam",))
        lr_panel(panel_title(axes[2], 2, "kernel–target alignment"), runs, setup, 1, "kta").set_ylabel("KTA")
        lr_panel(panel_title(axes[3], 3, "alignment with the teacher"), runs, setup, 1, "alignment")
        axes[3].set_ylabel(r"sim($W$, $\beta^*$)")
        for ax, optimizers in zip(axes, (("gd",), ("adam",), PAPER_OPTIMIZERS, PAPER_OPTIMIZERS), strict=True):
            for optimizer in optimizers:
                mark_critical(ax, runs, setup, optimizer)
        return _finish(figure, label, runs, setup, "after one step", "; dotted: predicted critical η")

    return draw


def ten_step_sweep(label: str, setup: Experiment) -> Draw:
    """Losses, KTA and the two exponents after ten steps, against the learning rate, as in Fig. 5."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(2, 2, 4.8)
        loss_panel(panel_title(axes[0], 0, "losses (solid: train, dashed: test)"), runs, setup, setup.steps)
        lr_panel(panel_title(axes[1], 1, "kernel–target alignment"), runs, setup, setup.steps, "kta").set_ylabel("KTA")
        hill_panel(panel_title(axes[2], 2, "Hill exponent"), runs, setup, setup.steps)
        ks_panel(panel_title(axes[3], 3, "KS exponent"), runs, setup, setup.steps)
        return _finish(figure, label, runs, setup, f"after {setup.steps} steps")

    return draw


def sweep_experiments(setup: Experiment) -> Experiments:
    """Both optimizers over the paper's learning rates."""
    return repeated([e for optimizer in PAPER_OPTIMIZERS for e in over_learning_rates(setup, optimizer)])


def overlap_row(label: str, panels: Sequence[tuple[Experiment, Overlap]]) -> Draw:
    """A row of overlap matrices."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(1, len(panels), 2.3)
        images = []
        for index, (experiment, (pair, side)) in enumerate(panels):
            images.append(overlap_panel(axes[index], index, runs, experiment, pair, side))
            axes[index].set_ylabel(axes[index].get_ylabel() if index == 0 else "")
        drawn = [image for image in images if image is not None]
        if drawn:
            figure.colorbar(drawn[0], ax=axes, label="squared overlap", shrink=0.75, extend="min")
        e = panels[0][0]
        figure.suptitle(f"{label}. {settings_line(runs, e)}", fontsize=8)
        return figure

    return draw


def trajectory_spectrum_overlaps(label: str, experiment: Experiment, pair: tuple[int, int]) -> Draw:
    """Losses over steps, the last spectrum, and the overlaps with the last update, as in Figs. 21, 25 and 26."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(2, 2, 5.0)
        trajectory_panel(
            panel_title(axes[0], 0, "losses (solid: train, dashed: test)"), runs, {"mean of repeats": experiment}
        )
        esd_panel(axes[1], 1, runs, experiment, experiment.steps, "log10")
        for index, side in enumerate(SIDES, 2):
            image = overlap_panel(axes[index], index, runs, experiment, pair, side)
            if image is not None:
                figure.colorbar(image, ax=axes[index], label="squared overlap", extend="min")
        shared_legend(figure, axes[:2])
        figure.suptitle(f"{label}. {settings_line(runs, experiment)}", fontsize=8)
        return figure

    return draw


def trajectories(label: str, panels: Mapping[str, Mapping[str, Experiment]]) -> Draw:
    """Losses over steps, one panel a varied quantity, as in Fig. 28."""

    def draw(runs: Runs) -> Figure:
        figure, axes = new_figure(2, 2, 5.0)
        for index, (title, named) in enumerate(panels.items()):
            shown = {_at_scale(runs, title, name, e): e for name, e in named.items()}
            ax = trajectory_panel(panel_title(axes[index], index, f"{title} (solid: train, dashed: test)"), runs, shown)
            ax.legend(fontsize=6, ncols=2)
        first = next(iter(next(iter(panels.values())).values()))
        small = "" if runs.scale.divisor == 1 else f"; small scale ({runs.scale.divisor}× smaller)"
        figure.suptitle(
            f"{label}, {len(runs.seeds)} repeats ± one standard deviation. d = {runs.scale(first).d}, "
            f"h = {runs.scale(first).h}; protocol: {runs.protocol}{small}",
            fontsize=8,
        )
        return figure

    return draw


def _at_scale(runs: Runs, title: str, name: str, experiment: Experiment) -> str:
    return f"n = {runs.scale(experiment).n}" if title == "training points" else name


def mark_critical(ax: Axes, runs: Runs, setup: Experiment, optimizer: str) -> None:
    """A dotted line where theory puts the critical learning rate."""
    critical = critical_lr(setup.replace(optimizer=optimizer, protocol=runs.protocol))
    ax.axvline(critical, color=OPTIMIZER_LOOKS[optimizer][0], lw=0.9, ls=":")


def _finish(figure: Figure, label: str, runs: Runs, setup: Experiment, when: str, note: str = "") -> Figure:
    shared_legend(figure, figure.axes)
    figure.suptitle(
        f"{label} – {when}, {len(runs.seeds)} repeats ± one standard deviation{note}.\n{settings_line(runs, setup)}",
        fontsize=8,
    )
    return figure


def first_update(
    figure: int, claim: str, section: str, optimizer: str, lr: float, *, expected: bool, initialization: str = "ntk"
) -> Artifact:
    """The figure of one optimizer and learning rate.

    Args:
        figure: its number.
        claim: the number of its claim.
        section: where the paper shows it.
        optimizer: gd or adam.
        lr: learning rate.
        expected: whether the overlaps are to have outliers after the step; before it they never are.
        initialization: ntk or mean_field.
    """
    run = ONE.replace(optimizer=optimizer, lr=lr, initialization=initialization)
    name, mean_field = OPTIMIZER_LOOKS[optimizer][2], initialization == "mean_field"
    return Artifact(
        name=f"fig{figure}",
        title=f"{'Mean-field: overlaps' if mean_field else 'Overlaps'} with the first {name} update, η={lr:g}",
        repeats=3,
        experiments=repeated([run]),
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


def rows(runs: Runs, experiments: Sequence[Experiment], steps: Sequence[int]) -> list[tuple[str, ...]]:
    """Phase, Hill and λ₁/λ₊ of each cell of a table of spectra."""
    header = ("step", *(f"η = {runs.scale(e).lr:.4g}" for e in experiments))
    return [header, *((f"{runs.scale.step(t):,}", *(_cell(runs, e, t) for e in experiments)) for t in steps)]


def _cell(runs: Runs, experiment: Experiment, step: int) -> str:
    run, at = runs[experiment.replace(seed=runs.seeds[0])], runs.scale.step(step)
    if at not in run.step.values:
        return "diverged"
    here = run.sel(step=at)
    return f"{here.phase.item()}, {here.pl_alpha_hill.item():.3f}, {here.spectral_gap.item():.3g}"
