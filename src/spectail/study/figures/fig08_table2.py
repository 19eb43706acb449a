"""Figure 8 and Table 2: norms of FB-Adam's first update over eight sizes; lemmas of the first gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import gaussian_moments, predict_one_step
from spectail.plots.bands import draw_band
from spectail.plots.colours import FINAL, LAW
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.spectra.phases import DETACHED_RATIO
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.lemmas import FirstGradient, first_gradient
from spectail.study.runs import Runs, Values
from spectail.study.settings import S2
from spectail.study.verdicts import all_of, clear, each_clear, in_every_repeat, mean_std, means, yes_or_no

# ε = 0: eq. 9 is the limit ε → 0, and entries of G₀ fall with the size. d is a multiple of the scales' divisors.
SIZES = [
    S2.replace(
        n=1000 * k, h=750 * k, d=500 * k, optimizer="adam", optimizer_options={"eps": 0.0}, lr=1.0, steps=1, record=(1,)
    )
    for k in range(1, 9)
]

NORMS = {"Frobenius": "update_norm_fro", "spectral": "update_norm_2"}


def roots(runs: Runs) -> Values:
    """√(hd) of each size."""
    return np.array([math.sqrt(runs.scale(e).h * runs.scale(e).d) for e in SIZES])


def norms(runs: Runs, name: str) -> Values:
    """‖G̃₀‖ in one of `NORMS`: (seeds × sizes)."""
    rates = np.array([runs.scale(e).lr for e in SIZES])
    values: Values = runs.values(NORMS[name], SIZES, 1) / rates
    return values


def expected_slopes(runs: Runs) -> dict[str, float]:
    """What eq. 9 gives for each norm over √(hd): c_β, and c_β s with s of the arcsine law."""
    e = SIZES[1].replace(protocol=runs.protocol)
    size = 1.0 if e.bias_correction else 0.1 / math.sqrt(0.001)
    return {"Frobenius": size, "spectral": size * predict_one_step(e).norm_ratio}


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(1, 2, 2.8)
    x = roots(runs)
    for index, (name, slope) in enumerate(expected_slopes(runs).items()):
        ax = panel_title(axes[index], index, f"{name} norm of the first update direction, predicted slope {slope:.3f}")
        draw_band(ax, x, norms(runs, name), color=FINAL, label="measured")
        ax.plot(x, slope * x, color=LAW, ls="--", lw=0.9, label="predicted")
        ax.set_xlabel(r"$\sqrt{hd}$")
        ax.set_ylabel(rf"$\Vert\tilde{{G}}_0\Vert_{'F' if name == 'Frobenius' else '2'}$")
    shared_legend(figure, axes)
    figure_title(
        figure, f"Fig. 8 – one FB-Adam step, sizes of Table 2, {len(runs.seeds)} repeats; protocol: {runs.protocol}"
    )
    return figure


def linear(runs: Runs) -> Outcome:
    findings, text, x = [], [], roots(runs)
    for name, slope in expected_slopes(runs).items():
        ratio = norms(runs, name) / x
        spread = np.ptp(ratio, axis=1) / ratio.mean(1)
        findings.append(clear(0.05 - spread))
        text.append(f"{name} slope {mean_std(ratio.mean(1), 4)} (theory {slope:.4g}), varies by {spread.max():.2g}")
    return Outcome(all_of(findings), "; ".join(text))


def comparable(runs: Runs) -> Outcome:
    """‖W₁ − W₀‖/‖W₀‖ for η = 1 (Frobenius) and for η = 1/√h (spectral), over the sizes."""
    scaled = [runs.scale(e) for e in SIZES]
    frobenius = norms(runs, "Frobenius") / roots(runs)
    edges = np.array([math.sqrt(e.h) + math.sqrt(e.d) for e in scaled])
    spectral = norms(runs, "spectral") / np.sqrt([e.h for e in scaled]) / edges
    return alike({"Frobenius, η=1": frobenius, "spectral, η=1/√h": spectral})


def alike(ratios: Mapping[str, Values]) -> Outcome:
    """Whether ratios of norms change by less than a quarter over the sizes: each (seeds × sizes)."""
    findings = [clear(0.25 - (values.max(1) / values.min(1) - 1)) for values in ratios.values()]
    text = "; ".join(f"{name}: from {v.min():.3g} to {v.max():.3g}" for name, v in ratios.items())
    return Outcome(all_of(findings), text)


def top_share(runs: Runs) -> Outcome:
    shares = (norms(runs, "spectral") / norms(runs, "Frobenius")) ** 2
    text = f"share of ‖G̃₀‖_F² over the eight sizes: {means(shares)}"
    return Outcome(each_clear(shares - 0.5), text)


def enough_at_one(runs: Runs) -> Outcome:
    gaps = runs.values("spectral_gap", SIZES, 1)
    return Outcome(each_clear(np.log(gaps / DETACHED_RATIO)), f"λ₁/λ₊ over the eight sizes: {means(gaps)}")


def assumptions(runs: Runs) -> Outcome:
    tanh, softplus = gaussian_moments("tanh"), gaussian_moments("softplus")
    most = 1 + 0.5 + math.sqrt(2 / math.pi)
    met = abs(tanh.mean) < 1e-12 and abs(tanh.linear) > 1e-12 and 0 < softplus.square < most
    text = f"E σ = {tanh.mean:.1g}, E zσ = {tanh.linear:.4f}; ‖F*‖² = {softplus.square:.4f}, the bound {most:.4f}"
    return Outcome(yes_or_no(met), text)


# The first gradient, measured anew: it is no part of a run.

REPEATS = range(5)

GROWING = [S2.replace(n=1000 * k, h=750 * k, d=500 * k) for k in (1, 2, 4)]

MORE_DATA = [GROWING[0].replace(n=n) for n in (1000, 4000, 16000)]


def gradients(runs: Runs, experiment: Experiment = S2, initialization: str = "ntk") -> list[FirstGradient]:
    e = runs.scale(experiment.replace(initialization=initialization))
    return [first_gradient(e.replace(seed=seed)) for seed in REPEATS]


def no_zeros(runs: Runs) -> Outcome:
    zeros = np.array([g.zeros for i in ("ntk", "mean_field") for g in gradients(runs, initialization=i)])
    return Outcome(in_every_repeat(zeros == 0), f"zeros in G₀: {', '.join(map(str, zeros))} (NTK, then mean-field)")


def shrinks(runs: Runs, sizes: Sequence[Experiment], initialization: str, field: str) -> Outcome:
    """Whether what separates the first gradient from its rank-one part falls from the first size to the last."""
    of_sizes = [gradients(runs, e, initialization) for e in sizes]
    distance, residual = (
        np.array([[_distance(g, name) for g in row] for row in of_sizes]).T for name in (field, f"{field}_of_residual")
    )
    at = ", ".join(f"{e.n:,}" for e in sizes)
    name = "mean-field" if initialization == "mean_field" else "NTK"
    text = f"{name}, n={at}: {means(distance)} with y, {means(residual)} with the residual"
    return Outcome(clear(distance[:, 0] - distance[:, -1]), text)


def _distance(gradient: FirstGradient, field: str) -> float:
    value = float(getattr(gradient, field))
    return 1 - value if field.startswith("same_sign") else value


def in_mean_field(runs: Runs) -> Outcome:
    """Cor. D.1: ‖W₁ − W₀‖/‖W₀‖ for η = 1/√d (Frobenius) and 1/√(hd) (spectral) over sizes, in mean-field."""
    size = 1.0 if SIZES[0].replace(protocol=runs.protocol).bias_correction else 0.1 / math.sqrt(0.001)
    scaled = [runs.scale(e) for e in GROWING]
    norm = np.array([[g.sign_norm for g in gradients(runs, e, "mean_field")] for e in GROWING]).T
    spectral = size * norm / np.array([1 + math.sqrt(e.h / e.d) for e in scaled])
    # ‖sign G₀‖_F = √(hd), for no entry is 0, and ‖W₀‖_F = √h
    return alike({"Frobenius, η=1/√d": np.full_like(spectral, size), "spectral, η=1/√(hd)": spectral})


def of_gd_in_mean_field(runs: Runs) -> Outcome:
    """‖W₁ − W₀‖_F/‖W₀‖_F of GD with η = h over sizes, in mean-field, where ‖W₀‖_F = √h."""
    scaled = [runs.scale(e.replace(protocol=runs.protocol)) for e in GROWING]
    rates = np.array([2 * e.loss_factor * e.h for e in scaled])
    norm = np.array([[g.frobenius for g in gradients(runs, e, "mean_field")] for e in GROWING]).T
    return alike({"Frobenius, η=h": rates * norm / np.sqrt([e.h for e in scaled])})


def with_tanh_teacher(runs: Runs) -> Outcome:
    """‖G̃₀‖/√(hd) over sizes where the teacher is tanh; ‖sign G₀‖_F is √(hd), for no entry is 0."""
    of_teacher = {
        teacher: np.array([[g.sign_norm for g in gradients(runs, e.replace(teacher=teacher))] for e in GROWING]).T
        for teacher in ("tanh", "softplus")
    }
    of_tanh = alike({"‖sign G₀‖₂/√(hd), n=1000, 2000, 4000": of_teacher["tanh"]})
    return replace(of_tanh, measured=f"{of_tanh.measured}; softplus {means(of_teacher['softplus'])}")


def table(runs: Runs) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("size", "n", "h", "d", "√(hd)", "‖G̃₀‖_F/√(hd)", "‖G̃₀‖₂/√(hd)")]
    root = roots(runs)
    frobenius, spectral = norms(runs, "Frobenius").mean(0) / root, norms(runs, "spectral").mean(0) / root
    for k, e in enumerate(map(runs.scale, SIZES)):
        rows.append(
            (str(k + 1), str(e.n), str(e.h), str(e.d), f"{root[k]:.1f}", f"{frobenius[k]:.4f}", f"{spectral[k]:.4f}")
        )
    return rows


FIG8 = Artifact(
    name="fig8",
    theory=True,
    title="Norms of FB-Adam's first update over the 8 sizes of Table 2",
    repeats=5,
    experiments=SIZES,
    draw=draw,
    table=table,
    claims=(
        Claim(
            "9",
            "App. B.2, Fig. 8",
            "Both norms of the first update direction are linear in √(hd).",
            "norm/√(hd) varies clearly by less than 5 % over the eight sizes",
            linear,
        ),
        Claim(
            "10",
            "§4.2, eq. 11",
            "With η = Θ(1) the update is comparable to W₀ in Frobenius norm, with η = Θ(1/√h) in operator norm.",
            "the ratio of norms changes clearly by less than a quarter over the eight sizes",
            comparable,
        ),
        Claim(
            "62",
            "§4.2",
            "The top singular value contributes the most to the Frobenius norm as d and h grow.",
            "its square is clearly more than half of ‖G̃₀‖_F² at each of the eight sizes",
            top_share,
        ),
        Claim(
            "63",
            "§4.2",
            "η = Θ(1), whatever h and d, suffices for a spike after one step.",
            f"at η=1, λ₁ is clearly more than {DETACHED_RATIO} times the initial edge at each of the eight sizes",
            enough_at_one,
        ),
        Claim(
            "49",
            "App. D, Cor. D.1",
            "In mean-field the same holds with η = Θ(1/√d) and Θ(1/√(hd)).",
            "the ratio of norms changes clearly by less than a quarter from n=1000 to 4000, n : h : d as in Table 2",
            in_mean_field,
        ),
        Claim(
            "84",
            "App. D",
            "In mean-field η = Θ(h) makes GD's first update comparable to W₀.",
            "at η=h the ratio of Frobenius norms changes clearly by less than a quarter from n=1000 to 4000, n : h : d "
            "as in Table 2",
            of_gd_in_mean_field,
        ),
        Claim(
            "59",
            "App. F.5",
            "The norms of the first update scale in the same way with a tanh teacher.",
            "the spectral norm over √(hd) changes clearly by less than a quarter from n=1000 to 4000, n : h : d as in "
            "Table 2",
            with_tanh_teacher,
        ),
        Claim(
            "41",
            "App. B",
            "tanh and softplus are as the theorem assumes.",
            "E σ = 0 and E zσ ≠ 0 for tanh, and 0 < E σ*² < 1 + ½ + √(2/π) for softplus, by quadrature",
            assumptions,
        ),
        Claim(
            "11",
            "App. B, Prop. B.6",
            "The first gradient has no entry that is zero.",
            "none is, in every one of five repeats, n=2000",
            no_zeros,
        ),
        Claim(
            "12",
            "App. B, Lemma B.4",
            "For n ≍ d, the first gradient is ever more nearly its rank-one part: "
            "‖G₀ − A‖₂ ≤ (2 log²n/√n) ‖G₀‖₂ for large n.",
            "‖G₀ − A‖₂/‖G₀‖₂ clearly falls from n=1000 to 4000 at the ratios of Table 2 (NTK); the bound, above 1 for "
            "n < 58,000, falls by 28 %",
            lambda runs: shrinks(runs, GROWING, "ntk", "error"),
        ),
        Claim(
            "12b",
            "App. B, Lemma B.4",
            "The same with ever more data for one network.",
            "the same from n=1000 to 16,000 at d=500, h=750, in mean-field, where A is of the residual all but",
            lambda runs: shrinks(runs, MORE_DATA, "mean_field", "error"),
        ),
        Claim(
            "13",
            "App. B, Lemma B.5",
            "For n ≍ d, the signs of the first gradient are those of its rank-one part for large n.",
            "the share of other signs clearly falls from n=1000 to 4000 at the ratios of Table 2 (NTK)",
            lambda runs: shrinks(runs, GROWING, "ntk", "same_sign"),
        ),
        Claim(
            "13b",
            "App. B, Lemma B.5",
            "The same with ever more data for one network.",
            "the same from n=1000 to 16,000 at d=500, h=750, in mean-field",
            lambda runs: shrinks(runs, MORE_DATA, "mean_field", "same_sign"),
        ),
    ),
)

TABLE2 = replace(
    FIG8, name="table2", title="The 8 sizes of Fig. 8, and the norms of FB-Adam's first update", claims=()
)  # fmt: skip

ARTIFACTS = (FIG8, TABLE2)
