"""Figure 5: losses, kernel–target alignment and exponents after ten steps, n = 8000."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import heavier_is_better
from spectail.study.figure_kinds import ten_step_sweep
from spectail.study.runs import Runs, Values
from spectail.study.settings import TEN_STEPS
from spectail.study.verdicts import all_of, clear, each_clear, falls, mean_inside, mean_std, means, rises

EACH = "clearly each"

SIMILAR = 0.15
"""Exponents of Hill that differ by less are similar."""

# KS exponents of a few repeats are far above all others, so that their logarithms are tested


def over(runs: Runs, variable: str, optimizer: str, low: float, high: float) -> Values:
    return runs.over_lr(variable, TEN_STEPS, optimizer, low, high)


def gd_gets_better(runs: Runs) -> Outcome:
    measures = {"train": "train_loss", "test": "test_loss_large", "Hill": "pl_alpha_hill", "KS": "pl_alpha_ks"}
    series = {name: over(runs, variable, "gd", 1000, 3000) for name, variable in measures.items()}
    kta = over(runs, "kta", "gd", 1000, 3000)
    verdict = all_of([*(falls(np.log(values)) for values in series.values()), rises(kta)])
    text = "; ".join(f"{name} {means(values, 4)}" for name, values in {**series, "KTA": kta}.items())
    return Outcome(verdict, f"η=1000, 2000, 3000: {text}")


def benign_range(runs: Runs) -> Outcome:
    hill = over(runs, "pl_alpha_hill", "adam", 0.01, 1)
    return Outcome(mean_inside(hill, 2.0, 2.5), f"Hill at η=0.01, 0.1, 1: {means(hill, 4)}")


def similar_hill_falling_ks(runs: Runs) -> Outcome:
    hill, ks = over(runs, "pl_alpha_hill", "adam", 1, 100), over(runs, "pl_alpha_ks", "adam", 1, 100)
    pairs = [hill[:, [i]] - hill[:, [j]] for i, j in combinations(range(hill.shape[1]), 2)]
    similar = mean_inside(np.hstack(pairs), -SIMILAR, SIMILAR)
    return Outcome(all_of([similar, falls(np.log(ks))]), f"η=1, 10, 100: Hill {means(hill, 4)}; KS {means(ks)}")


def extreme_tails(runs: Runs) -> Outcome:
    hill = over(runs, "pl_alpha_hill", "adam", 1000, 3000)
    test, benign = over(runs, "test_loss_large", "adam", 1000, 3000), over(runs, "test_loss_large", "adam", 0.01, 1)
    best = benign[:, [int(benign.mean(0).argmin())]]
    low = each_clear(1.8 - hill)
    text = f"η=1000, 2000, 3000: Hill {means(hill)}; test {means(test)}, best in the benign range {means(best)}"
    return Outcome(all_of([low, each_clear(test - best)]), text)


def gd_plateau(runs: Runs) -> Outcome:
    test = over(runs, "test_loss_large", "gd", 1000, 3000)
    text = f"η=1000, 2000, 3000: {means(test)}"
    return Outcome(mean_inside(test, 0.82, 0.88), text)


def _follows(runs: Runs, optimizer: str, variable: str) -> Values:
    """|Spearman's ρ| of the train loss with a variable over the grid of learning rates, for every repeat."""
    from scipy.stats import spearmanr  # half a second to import, which the list of all figures does not wait for

    train, values = (over(runs, v, optimizer, 0.001, 3000) for v in ("train_loss", variable))
    known = np.isfinite(train + values).all(1) & (np.ptp(values, axis=1) > 0) & (np.ptp(train, axis=1) > 0)
    pairs = zip(train, values, known, strict=True)
    return np.array([abs(spearmanr(t, v).statistic) if is_known else np.nan for t, v, is_known in pairs])


def clearer_with_adam(runs: Runs) -> Outcome:
    findings, text = [], []
    for name, variable in {"KTA": "kta", "Hill": "pl_alpha_hill", "KS": "pl_alpha_ks"}.items():
        adam, gd = (_follows(runs, optimizer, variable) for optimizer in ("adam", "gd"))
        findings.append(clear(adam - gd))
        text.append(f"{name} {mean_std(adam, 2)}, GD {mean_std(gd, 2)}")
    return Outcome(all_of(findings), f"|ρ| of the train loss with each over η: {'; '.join(text)}")


def varies_more(runs: Runs) -> Outcome:
    spreads = {}
    for name in ("pl_alpha_hill", "pl_alpha_ks"):
        values = np.hstack([over(runs, name, optimizer, 0.001, 3000) for optimizer in ("gd", "adam")])
        spreads[name] = np.abs(values / values.mean(0) - 1).mean(1)
    text = " and ".join(f"{spread.mean():.2g}" for spread in spreads.values())
    return Outcome(clear(spreads["pl_alpha_ks"] - spreads["pl_alpha_hill"]), f"Hill and KS: {text}")


def exponents_fall(runs: Runs) -> Outcome:
    hill, ks = over(runs, "pl_alpha_hill", "adam", 0.1, 3000), over(runs, "pl_alpha_ks", "adam", 0.1, 3000)
    return Outcome(all_of([falls(hill), falls(np.log(ks))]), f"from η=0.1 on: Hill {means(hill)}; KS {means(ks)}")


FIG5 = ten_step_sweep(
    5,
    TEN_STEPS,
    claims=(
        Claim(
            "16",
            "§5.2, Fig. 5",
            "For GD with η ≥ 1000, losses and both exponents fall while KTA rises.",
            f"from η=1000 to 2000 to 3000, {EACH}",
            gd_gets_better,
        ),
        Claim(
            "17",
            "§5.2, Fig. 5c",
            "For FB-Adam with 0.01 ≤ η ≤ 1 the Hill exponent lies in (2, 2.5).",
            "the mean clearly does at η=0.01, 0.1 and 1",
            benign_range,
        ),
        Claim(
            "18",
            "§5.2, Fig. 5",
            "On that range a heavier tail goes with a lower test loss.",
            f"Hill and test loss both fall from η=0.01 to 0.1 to 1, {EACH}",
            lambda runs: heavier_is_better(runs, TEN_STEPS),
        ),
        Claim(
            "19",
            "§5.2, Fig. 5",
            "For FB-Adam with 1 ≤ η ≤ 100 Hill stays similar while KS falls.",
            f"means of Hill differ by less than {SIMILAR}, clearly each; KS falls from η=1 to 10 to 100, {EACH}",
            similar_hill_falling_ks,
        ),
        Claim(
            "20",
            "§5.2, Fig. 5",
            "For FB-Adam with η > 100 Hill is below 1.8, without better generalisation.",
            "mean Hill below 1.8 and test loss above the best of η=0.01, 0.1, 1, at η=1000, 2000, 3000, clearly each",
            extreme_tails,
        ),
        Claim(
            "21",
            "App. F.5, Fig. 5a",
            "GD's test loss is about 0.85 for η ≥ 1000.",
            "the mean on 5,000 points is clearly in 0.85 ± 0.03 at η=1000, 2000 and 3000",
            gd_plateau,
        ),
        Claim(
            "47",
            "§5.2, Fig. 5",
            "Train loss, KTA and both exponents are much more clearly correlated for FB-Adam than for GD.",
            "Spearman's |ρ| of the train loss with each of the others, over the grid of η, is clearly larger "
            "for FB-Adam",
            clearer_with_adam,
        ),
        Claim(
            "76",
            "App. H, Fig. 5",
            "The KS exponent varies more than Hill's.",
            "its relative deviation from the mean of the repeats, averaged over the grid and both optimizers, is "
            "clearly larger",
            varies_more,
        ),
        Claim(
            "39",
            "App. G, Fig. 5",
            "For FB-Adam with η ≥ 0.1 both exponents fall as η grows.",
            f"Hill and KS fall along the grid, {EACH}",
            exponents_fall,
        ),
    ),
)

ARTIFACTS = (FIG5,)
