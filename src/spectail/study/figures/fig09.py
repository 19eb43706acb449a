"""Figure 9: overlaps of the weights with the latest update, after one and after ten steps."""

from __future__ import annotations

import math

import numpy as np

from spectail.experiments.theory import predict_one_step
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.figure_kinds import overlap_row
from spectail.study.runs import SIDES, Runs, Values
from spectail.study.settings import S2
from spectail.study.verdicts import all_of, clear, mean_std

RUN = S2.replace(optimizer="adam", lr=1, steps=10, record=(0, 1, 10), overlaps=((1, 0), (10, 9)))

PANELS = [(RUN, (pair, side)) for pair in RUN.overlaps for side in SIDES]


def top_pair(runs: Runs) -> Outcome:
    prediction = predict_one_step(runs.as_run(RUN))
    predicted = {"left": prediction.left_overlap, "right": prediction.right_overlap}
    first = {side: runs.measure_overlaps(lambda block: block[0, 0], RUN, (1, 0), side) for side in SIDES}
    text = ", ".join(f"{side} {mean_std(v, 4)} (theory {predicted[side]:.4f})" for side, v in first.items())
    return Outcome(all_of([clear(v - 0.95) for v in first.values()]), text)


def diagonal(runs: Runs) -> Outcome:
    """Mean of the first and of the next entries of the diagonal after ten steps."""

    def known_mean(entries: Values) -> float:
        known = entries[np.isfinite(entries)]  # past the rank of the update there is no direction
        return float(known.mean()) if len(known) else math.nan

    def first(block: Values) -> float:
        return known_mean(np.diagonal(block)[: len(block) // 100 + 1])

    def following(block: Values) -> float:
        return known_mean(np.diagonal(block)[len(block) // 100 + 1 : len(block) // 10])

    verdicts, text = [], []
    for side in SIDES:
        parts = [runs.measure_overlaps(part, RUN, (10, 9), side) for part in (first, following)]
        verdicts.append(clear(parts[0] - parts[1]))
        text.append(f"{side} {mean_std(parts[0], 2)}, then {mean_std(parts[1], 2)}")
    return Outcome(all_of(verdicts), f"mean diagonal of the first 1 %, and from there to 10 %: {'; '.join(text)}")


HEAVY = 3.0
"""A diagonal is heavy-tailed where its largest hundredth is so many times as far above its median as by chance."""


def heavy_diagonal(runs: Runs) -> Outcome:
    """The mean of the largest hundredth of the diagonal over its median, against squared cosines of chance."""
    from scipy.stats import chi2  # half a second to import, which the list of all figures does not wait for

    def spread(block: Values) -> float:
        entries = np.diagonal(block)
        known = np.sort(entries[np.isfinite(entries)])  # past the rank of the update there is no direction
        return float(known[-(len(known) // 100 + 1) :].mean() / np.median(known)) if len(known) else math.nan

    least = chi2.isf(0.01, 1)  # E[z²; z² > q] = 1 − F₃(q) in the law of chi-squared with three degrees
    chance = chi2.sf(least, 3) / 0.01 / chi2.median(1)
    spreads = {side: runs.measure_overlaps(spread, RUN, (10, 9), side) for side in SIDES}
    text = ", ".join(f"{side} {mean_std(values)}" for side, values in spreads.items())
    findings = [clear(np.log(values / (HEAVY * chance))) for values in spreads.values()]
    return Outcome(all_of(findings), f"mean of the largest hundredth over the median: {text} (by chance {chance:.3g})")


FIG9 = Artifact(
    name="fig9",
    theory=True,
    title="Overlaps of W₁ with M₀ and of W₁₀ with M₉, FB-Adam η=1",
    repeats=5,
    experiments=[RUN],
    draw=overlap_row("Fig. 9 – FB-Adam, η = 1", PANELS),
    claims=(
        Claim(
            "14a",
            "App. C, Fig. 9a,b",
            "After one step the leading singular vectors of W₁ are those of the update.",
            "(u₁·p₁)² and (v₁·q₁)² above 0.95, clearly",
            top_pair,
        ),
        Claim(
            "14b",
            "App. C, Fig. 9c,d",
            "After ten steps the overlaps decay along the diagonal.",
            "the first 1 % of the diagonal has a clearly larger mean than what follows up to 10 %, both sides",
            diagonal,
        ),
        Claim(
            "80",
            "App. H, Fig. 9c,d",
            "Along the diagonals of the overlap matrices values are distributed like heavy tails.",
            "at t=10 the mean of the largest hundredth of the diagonal, over its median, is clearly above three times "
            "what squared cosines of independent directions have, both sides",
            heavy_diagonal,
        ),
    ),
)

ARTIFACTS = (FIG9,)
