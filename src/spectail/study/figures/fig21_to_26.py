"""Figures 21–26: ten steps of GD and FB-Adam: over steps, over learning rates, and with more label noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.plots.look import figure_title, label_outer_panels, new_figure, panel_title, shared_legend
from spectail.plots.spectrum_plot import AxisScale, draw_spectrum
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import AN_ORDER, EXPONENTS, ORDER, share_of_the_top
from spectail.study.figure_kinds import ten_step_sweep, trajectory_spectrum_overlaps
from spectail.study.panels import esd_panel, panel_reaches, settings_line
from spectail.study.runs import SIDES, Runs, Values, spectrum_at
from spectail.study.settings import AFTER, FIG25_RUN, FIG26_RUN, FIRST_UPDATE, S2, TEN_STEPS
from spectail.study.verdicts import all_of, clear, each_clear, mean_inside, mean_std, means, rises

# Figure 21

FIRST = FIRST_UPDATE.replace(optimizer="gd", lr=2000)  # of Fig. 18

RUN = S2.replace(optimizer="gd", lr=2000, steps=10, record=tuple(range(11)), overlaps=((10, 9),))


def overlaps_shrink(runs: Runs) -> Outcome:
    findings, text = [], []
    for side in SIDES:
        first, last = (runs.largest_overlap(e, p, side) for e, p in ((FIRST, AFTER), (RUN, (10, 9))))
        findings.append(clear(0.5 * first - last))
        text.append(f"{side} {mean_std(first, 2)} → {mean_std(last, 2)}")
    return Outcome(all_of(findings), f"largest overlap at t=1 and 10: {', '.join(text)}")


FIG21 = Artifact(
    name="fig21",
    title="Losses, spectrum and overlaps over 10 GD steps, η=2000",
    repeats=5,
    experiments=[RUN, FIRST],
    draw=trajectory_spectrum_overlaps("Fig. 21", RUN),
    claims=(
        Claim(
            "24",
            "App. F.2, Fig. 21",
            "The outliers of the overlaps after one GD step (Fig. 18) are much smaller after ten.",
            "the largest overlap at t=10 is clearly below half of that at t=1, both sides",
            overlaps_shrink,
        ),
    ),
)

ALIKE = 0.05
"""Spectra whose Hill exponents differ by less look the same: a quarter of what tells broadened from untrained."""

# Figures 22 and 23: Figure 5 with fewer training points

MANY = TEN_STEPS.replace(optimizer="adam", lr=1.0)

FEW = MANY.replace(n=2000)


def hill_and_gap(runs: Runs, experiment: Experiment, hill: float, low: float, high: float) -> Outcome:
    values, ratio = runs.values("pl_alpha_hill", [experiment], 10), runs.ratio(experiment, [10])[:, 0]
    near = mean_inside(values, hill - 0.1, hill + 0.1)
    singular = np.sqrt(ratio)
    text = f"Hill {mean_std(values[:, 0], 4)}, σ₁/σ₂ {mean_std(singular)} (λ₁/λ₂ {mean_std(ratio)})"
    return Outcome(all_of([near, clear(singular - low), clear(high - singular)]), text)


def fewer_points_heavier(runs: Runs) -> Outcome:
    few, many = (runs.values("pl_alpha_hill", [e], 10)[:, 0] for e in (FEW, MANY))
    return Outcome(clear(many - few), f"n=2000, 8000: {mean_std(few, 4)}, {mean_std(many, 4)}")


FIG22 = ten_step_sweep(
    22,
    TEN_STEPS.replace(n=2000),
    further=[MANY],
    claims=(
        Claim(
            "22a",
            "App. F.4, Fig. 22",
            "With n=2000, FB-Adam η=1 has Hill 1.8 after ten steps, and its spike is almost an order of magnitude off.",
            f"the mean of Hill is clearly in 1.8 ± 0.1, and σ₁/σ₂ in {ORDER[0]:.3g} to {ORDER[1]:.3g}: {AN_ORDER}",
            lambda runs: hill_and_gap(runs, FEW, 1.8, *ORDER),
        ),
        Claim(
            "22b",
            "App. F.4, Fig. 25",
            "With n=8000 Hill is 1.9, and the bulk has consumed the spike.",
            "the mean of Hill is clearly in 1.9 ± 0.1, and σ₁/σ₂ below √1.25",
            lambda runs: hill_and_gap(runs, MANY, 1.9, 0.0, 1.25**0.5),
        ),
        Claim(
            "22c",
            "App. F.4, Figs. 5, 22",
            "The Hill exponent is lower with n=2000 than with n=8000.",
            "clearly, FB-Adam η=1 after ten steps",
            fewer_points_heavier,
        ),
    ),
)

FIG23 = ten_step_sweep(23, TEN_STEPS.replace(n=4000))

# Figure 24

DISTORTED = 0.1
"""At this distance from its start (KS, at most 1), the shape of a bulk counts as distorted."""

FIG24_RUNS = [TEN_STEPS.replace(optimizer="adam", lr=lr) for lr in (1.0, 10.0, 100.0, 1000.0)]


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 4, 4.0)
    for index in range(8):
        ax = (esd_panel if index < 4 else _shape_panel)(axes[index], index, runs, FIG24_RUNS[index % 4], 10, "log10")
        panel_title(ax, index, rf"$\eta$ = {runs.scale(FIG24_RUNS[index % 4]).lr:.4g}")
    label_outer_panels(axes)
    shared_legend(figure, axes)
    figure_title(
        figure,
        f"Fig. 24 – FB-Adam, t = {runs.scale.step(10)}; below over the median, to compare shapes.\n"
        f"{settings_line(runs, TEN_STEPS)}",
    )
    return figure


def _shape_panel(ax: Axes, index: int, runs: Runs, experiment: Experiment, step: int, axis: AxisScale) -> Axes:
    """The spectrum over its median, with the initial spectrum and its law, each over its own median."""
    run, at = runs[experiment], runs.scale.step(step)
    if not panel_reaches(ax, index, rf"$\eta$ = {runs.scale(experiment).lr:.4g}", run, at):
        return ax
    initial, final, law = spectrum_at(run, 0), spectrum_at(run, at), runs.law(experiment)
    of_median = replace(law, variance=law.variance / law.median())
    draw_spectrum(ax, final / np.median(final), initial=initial / np.median(initial), law=of_median, axis=axis)
    ax.set_xlabel(r"$\log_{10}\,\lambda/$median")
    return ax


def bulk_distance(spectrum: Values, start: Values) -> float:
    """Kolmogorov–Smirnov distance between two spectra over their medians, without their largest hundredth."""
    from scipy.stats import ks_2samp  # half a second to import, which the list of all figures does not wait for

    bulks = [np.sort(v)[: len(v) - len(v) // 100] / np.median(v) for v in (spectrum, start)]
    return float(ks_2samp(*bulks).statistic)


def distorted_at_the_largest(runs: Runs) -> Outcome:
    step = runs.scale.step(10)
    distances = runs.measure(lambda run: bulk_distance(spectrum_at(run, step), spectrum_at(run, 0)), FIG24_RUNS, 10)
    margins = np.hstack([DISTORTED - distances[:, :-1], distances[:, -1:] - DISTORTED])
    text = f"distance of the bulk's shape at η=1, 10, 100, 1000: {means(distances, 2)}"
    return Outcome(each_clear(margins), text)


def spike_recedes(runs: Runs) -> Outcome:
    ratios = np.concatenate([runs.ratio(e, [10]) for e in FIG24_RUNS], axis=1)
    return Outcome(rises(np.log(ratios)), f"λ₁/λ₂ at η=1, 10, 100, 1000: {means(ratios)}")


def scale_differs(runs: Runs) -> Outcome:
    medians = runs.measure_spectra(lambda values: float(np.median(values)), FIG24_RUNS[:3], 10)
    return Outcome(rises(np.log(medians)), f"median eigenvalue at η=1, 10, 100: {means(medians)}")


def spike_weighs(runs: Runs) -> Outcome:
    changes = runs.measure_spectra(share_of_the_top(EXPONENTS["Hill"]), FIG24_RUNS[:3], 10)
    return Outcome(each_clear(changes - ALIKE), f"change of Hill without λ₁ at η=1, 10, 100: {means(changes)}")


FIG24 = Artifact(
    name="fig24",
    title="Spectrum after 10 FB-Adam steps, η=1, 10, 100, 1000, n=8000",
    repeats=5,
    experiments=FIG24_RUNS,
    draw=draw,
    claims=(
        Claim(
            "23",
            "App. F.2, Fig. 24",
            "The larger the learning rate, the farther the spike is from the bulk.",
            "log λ₁/λ₂ clearly rises from η=1 to 10, 100, 1000, each",
            spike_recedes,
        ),
        Claim(
            "52",
            "App. F.2, Fig. 24",
            "The bulk's shape is significantly distorted only for η=1000.",
            "the Kolmogorov–Smirnov distance of λ over its median from that at t=0, without the largest hundredth, is "
            f"clearly above {DISTORTED} at η=1000, and below at 1, 10 and 100",
            distorted_at_the_largest,
        ),
        Claim(
            "77",
            "§5.2, Fig. 24",
            "For FB-Adam with 1 ≤ η ≤ 100 spectra differ in the scale of the singular values.",
            "the median eigenvalue rises from η=1 to 10 to 100, clearly each",
            scale_differs,
        ),
        Claim(
            "78",
            "§5.2, Fig. 24",
            "There the spike has a large influence on the Hill exponent.",
            f"without λ₁ it is clearly another by more than {ALIKE}, at η=1, 10 and 100 each",
            spike_weighs,
        ),
    ),
)

# Figures 25 and 26

FIG25 = Artifact(
    name="fig25",
    title="Losses, spectrum and overlaps over 10 FB-Adam steps, η=1, n=8000, ρ_e=0.3",
    repeats=5,
    experiments=[FIG25_RUN],
    draw=trajectory_spectrum_overlaps("Fig. 25 – label noise 0.3", FIG25_RUN),
)


def largest(runs: Runs) -> dict[str, Values]:
    """Largest overlaps (seeds × the two noises), by side."""
    both = (FIG25_RUN, FIG26_RUN)
    return {side: np.stack([runs.largest_overlap(e, (10, 9), side) for e in both], axis=1) for side in SIDES}


def same_spectrum(runs: Runs) -> Outcome:
    hill = runs.values("pl_alpha_hill", [FIG25_RUN, FIG26_RUN], 10)
    text = f"Hill at ρ=0.3 and 0.7: {means(hill, 4)}"
    return Outcome(mean_inside(hill[:, 1:] - hill[:, :1], -ALIKE, ALIKE), text)


def larger(runs: Runs) -> Outcome:
    by_side = largest(runs)
    text = "; ".join(f"{side} {mean_std(v[:, 0], 2)} and {mean_std(v[:, 1], 2)}" for side, v in by_side.items())
    return Outcome(all_of([rises(v) for v in by_side.values()]), f"largest overlap at ρ=0.3 and 0.7: {text}")


def half(runs: Runs) -> Outcome:
    ratios = {side: v[:, :1] / v[:, 1:] for side, v in largest(runs).items()}
    text = ", ".join(f"{side} {mean_std(v[:, 0], 2)}" for side, v in ratios.items())
    return Outcome(all_of([mean_inside(v, 0.4, 0.6) for v in ratios.values()]), f"ratio of largest overlaps: {text}")


FIG26 = Artifact(
    name="fig26",
    title="Losses, spectrum and overlaps over 10 FB-Adam steps, η=1, n=8000, ρ_e=0.7",
    repeats=5,
    experiments=[FIG26_RUN, FIG25_RUN],
    draw=trajectory_spectrum_overlaps("Fig. 26 – label noise 0.7", FIG26_RUN),
    claims=(
        Claim(
            "26c",
            "App. F.2, Figs. 25, 26",
            "The spectra with label noise 0.3 and 0.7 look the same.",
            f"the mean difference of their Hill exponents is clearly within ± {ALIKE}",
            same_spectrum,
        ),
        Claim(
            "26a",
            "App. F.2, Figs. 25, 26",
            "The largest overlaps are larger with label noise 0.7 than with 0.3.",
            "clearly larger, left and right",
            larger,
        ),
        Claim(
            "26b",
            "App. F.4, Figs. 25, 26",
            "The largest overlaps with label noise 0.3 are almost half of those with 0.7.",
            "the mean ratio is clearly in 0.5 ± 0.1, left and right",
            half,
        ),
    ),
)

ARTIFACTS = (FIG21, FIG22, FIG23, FIG24, FIG25, FIG26)
