"""Figure 32: losses, kernel–target alignment and exponents after ten steps, with a tanh teacher."""

from __future__ import annotations

from spectail.paper.artifacts.fig5 import TEN as SOFTPLUS
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, all_of, listing, mean_inside, rises
from spectail.paper.figures import sweep_experiments, ten_step_sweep
from spectail.paper.runs import Runs
from spectail.teacher_student.theory import gaussian_moments

TEN = SOFTPLUS.replace(teacher="tanh")


def floor(runs: Runs) -> Outcome:
    moments, noise = gaussian_moments("tanh"), TEN.label_noise**2
    test = runs.over_lr("test_loss_large", TEN, "gd", 0.001, 3000)
    text = f"over the grid: {listing(test)}; the noise alone {noise:g}, with a linear readout "
    return Outcome(mean_inside(test, 0.15, 0.25), f"{text}{noise + moments.square - moments.linear**2:.3f}")


def worse(runs: Runs) -> Outcome:
    train, test = (runs.over_lr(v, TEN, "adam", 0.01, 10) for v in ("train_loss", "test_loss_large"))
    hill = runs.over_lr("pl_alpha_hill", TEN, "adam", 0.01, 10)
    text = f"η=0.01, 0.1, 1, 10: train {listing(train)}; test {listing(test)}; Hill {listing(hill, 4)}"
    return Outcome(all_of([rises(test[:, 1:]), rises(train[:, 1:])]), text)


ARTIFACT = Artifact(
    name="fig32",
    title="Losses, KTA, Hill and KS after 10 steps with a tanh teacher, n=8000",
    repeats=5,
    experiments=sweep_experiments(TEN),
    draw=ten_step_sweep("Fig. 32 – tanh teacher", TEN),
    claims=(
        Claim(
            "35",
            "App. F.5, Fig. 32a",
            "With a tanh teacher GD's test loss is about 0.2.",
            "the mean on 5,000 points lies in 0.2 ± 0.05 for every η, by 3 standard errors",
            floor,
        ),
        Claim(
            "36",
            "App. F.5, Fig. 32",
            "With a tanh teacher FB-Adam's losses get worse for η ≥ 0.1.",
            "train and test loss rise from η=0.1 to 1 to 10, by 3 standard errors each",
            worse,
        ),
    ),
)
