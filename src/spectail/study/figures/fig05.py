"""Figure 5: losses, kernel–target alignment and exponents after ten steps, n = 8000."""

from __future__ import annotations

import numpy as np

from spectail.study.claims import Claim, Outcome
from spectail.study.figure_kinds import ten_step_sweep
from spectail.study.runs import Runs, Values
from spectail.study.settings import TEN_STEPS
from spectail.study.verdicts import all_of, any_clearly, falls, mean_inside, means, rises, verdict_of

EACH = "clearly each"


def over(runs: Runs, variable: str, optimizer: str, low: float, high: float) -> Values:
    return runs.over_lr(variable, TEN_STEPS, optimizer, low, high)


def gd_gets_better(runs: Runs) -> Outcome:
    measures = {"train": "train_loss", "test": "test_loss_large", "Hill": "pl_alpha_hill", "KS": "pl_alpha_ks"}
    series = {name: over(runs, variable, "gd", 1000, 3000) for name, variable in measures.items()}
    kta = over(runs, "kta", "gd", 1000, 3000)
    verdict = all_of([*(falls(values) for values in series.values()), rises(kta)])
    text = "; ".join(f"{name} {means(values, 4)}" for name, values in {**series, "KTA": kta}.items())
    return Outcome(verdict, f"η=1000, 2000, 3000: {text}")


def benign_range(runs: Runs) -> Outcome:
    hill = over(runs, "pl_alpha_hill", "adam", 0.01, 1)
    return Outcome(mean_inside(hill, 2.0, 2.5), f"Hill at η=0.01, 0.1, 1: {means(hill, 4)}")


def heavier_is_better(runs: Runs) -> Outcome:
    hill, test = over(runs, "pl_alpha_hill", "adam", 0.01, 1), over(runs, "test_loss_large", "adam", 0.01, 1)
    text = f"η=0.01, 0.1, 1: Hill {means(hill, 4)}; test {means(test)}"
    return Outcome(all_of([falls(hill), falls(test)]), text)


def similar_hill_falling_ks(runs: Runs) -> Outcome:
    hill, ks = over(runs, "pl_alpha_hill", "adam", 1, 100), over(runs, "pl_alpha_ks", "adam", 1, 100)
    similar = verdict_of(bool(np.ptp(hill.mean(0)) < 0.15))
    return Outcome(all_of([similar, falls(ks)]), f"η=1, 10, 100: Hill {means(hill, 4)}; KS {means(ks)}")


def extreme_tails(runs: Runs) -> Outcome:
    hill = over(runs, "pl_alpha_hill", "adam", 1000, 3000)
    test, benign = over(runs, "test_loss_large", "adam", 1000, 3000), over(runs, "test_loss_large", "adam", 0.01, 1)
    best = benign[:, [int(benign.mean(0).argmin())]]
    no_better = not any_clearly(best - test)
    heavy = mean_inside(hill, 1.0, 1.8)
    text = f"η=1000, 2000, 3000: Hill {means(hill)}; test {means(test)}, best in the benign range {means(best)}"
    return Outcome(all_of([heavy, verdict_of(no_better)]), text)


def gd_plateau(runs: Runs) -> Outcome:
    test = over(runs, "test_loss_large", "gd", 0.001, 3000)
    text = f"over the grid: {means(test)}"
    return Outcome(mean_inside(test, 0.82, 0.88), text)


def exponents_fall(runs: Runs) -> Outcome:
    hill, ks = over(runs, "pl_alpha_hill", "adam", 0.1, 3000), over(runs, "pl_alpha_ks", "adam", 0.1, 3000)
    return Outcome(all_of([falls(hill), falls(ks)]), f"from η=0.1 on: Hill {means(hill)}; KS {means(ks)}")


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
            heavier_is_better,
        ),
        Claim(
            "19",
            "§5.2, Fig. 5",
            "For FB-Adam with 1 ≤ η ≤ 100 Hill stays similar while KS falls.",
            f"the means of Hill span less than 0.15; KS falls from η=1 to 10 to 100, {EACH}",
            similar_hill_falling_ks,
        ),
        Claim(
            "20",
            "§5.2, Fig. 5",
            "For FB-Adam with η > 100 Hill is below 1.8, without better generalisation.",
            "mean Hill below 1.8 at η=1000, 2000, 3000; no test loss clearly below the benign range's best",
            extreme_tails,
        ),
        Claim(
            "21",
            "App. F.5, Fig. 5a",
            "GD's test loss is about 0.85.",
            "the mean on 5,000 points lies in 0.85 ± 0.03 for every η",
            gd_plateau,
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
