"""Tables 1, 3, 4 and 5: long runs, and when a spectrum becomes heavy-tailed (claim 37)."""

from __future__ import annotations

from collections.abc import Sequence

from spectail.experiments.experiment import Experiment
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome, Verdict, listing
from spectail.study.criteria import HEAVY, SPIKE, all_outcomes, heavy_at, sooner, spikes_only
from spectail.study.figure_kinds import repeated, rows, spectra_table
from spectail.study.runs import Runs
from spectail.study.settings import QUARTER, S2

MEASURED = (1, 10, 100, 10_000)


def long_runs(optimizer: str, rates: Sequence[float]) -> list[Experiment]:
    """Ten thousand steps with each learning rate, measured at `MEASURED`."""
    return [S2.replace(optimizer=optimizer, lr=lr, steps=MEASURED[-1], record=(0, *MEASURED)) for lr in rates]


def table_of_long_runs(number: int, experiments: Sequence[Experiment], claims: tuple[Claim, ...]) -> Artifact:
    """The table of some `long_runs`, one column a learning rate."""
    first, last = experiments[0], experiments[-1]
    name, steps = OPTIMIZER_LOOKS[first.optimizer][2], ", ".join(f"{t:,}" for t in MEASURED)
    return Artifact(
        name=f"table{number}",
        title=f"Spectrum at t = {steps} under {name}, η={first.lr:g} to {last.lr:g} (phase, Hill, λ₁/λ₊)",
        repeats=1,
        experiments=repeated(experiments),
        draw=spectra_table(f"Table {number} – {name}", experiments, MEASURED),
        table=lambda runs: rows(runs, experiments, MEASURED),
        protocols=("published",),
        claims=claims,
    )


TABLE4_RUNS = long_runs("adam", (0.01, 0.1, 1.0, 10.0, 100.0))

TABLE3_RUNS = long_runs("gd", (0.1, 1.0, 10.0, 100.0, 2000.0))

# Table 1

TABLE1_STEPS = (1, 100, 10_000)

TABLE1_RUNS = TABLE4_RUNS[:3]

SLOW, MIDDLE, FAST = TABLE1_RUNS


def spike_returns(runs: Runs) -> Outcome:
    ratio = runs.ratio(FAST, (10, 100))
    closer = bool((ratio[:, 1] < ratio[:, 0]).all())
    return Outcome(Verdict.HOLDS if closer else Verdict.DOES_NOT_HOLD, f"λ₁/λ₂ at t=10, 100: {listing(ratio)}")


TABLE1 = Artifact(
    name="table1",
    title="Spectrum at t = 1, 100, 10,000 under FB-Adam, η=0.01, 0.1, 1 (phase, Hill, λ₁/λ₊)",
    repeats=1,
    experiments=repeated(TABLE1_RUNS),
    draw=spectra_table("Table 1 – FB-Adam", TABLE1_RUNS, TABLE1_STEPS),
    table=lambda runs: rows(runs, TABLE1_RUNS, MEASURED),
    claims=(
        Claim(
            "37a",
            "§5.1, Table 1",
            "FB-Adam with η=1 is heavy-tailed after 10 steps; with η=0.1 after 10,000, and not after 100.",
            HEAVY,
            lambda runs: heavy_at(runs, {(FAST, 10): True, (MIDDLE, 100): False, (MIDDLE, 10_000): True}),
        ),
        Claim(
            "37b",
            "§5.1, Table 1",
            "FB-Adam with η=0.01 is not heavy-tailed after 10,000 steps.",
            HEAVY,
            lambda runs: heavy_at(runs, {(SLOW, 10_000): False}),
        ),
        Claim(
            "37c",
            "§5.1, Table 1",
            "The larger the learning rate, the fewer steps to heavy tails.",
            f"the first heavy-tailed step among those measured falls from η=0.01 to 0.1 to 1; {HEAVY}",
            lambda runs: sooner(runs, TABLE1_RUNS),
        ),
        Claim(
            "38",
            "App. G, Table 4",
            "With η=1 the spike is nearer to the bulk at t=100 than at t=10.",
            "λ₁/λ₂ is smaller, in every repeat",
            spike_returns,
        ),
    ),
)

# Table 3

TABLE3 = table_of_long_runs(
    3,
    TABLE3_RUNS,
    claims=(
        Claim(
            "5c",
            "App. E, Table 3",
            "After one GD step there is a spike only for η=2000.",
            f"{SPIKE}, for η=2000; in no repeat for the others",
            lambda runs: spikes_only(runs, TABLE3_RUNS[4:], TABLE3_RUNS[:4]),
        ),
        Claim(
            "37d",
            "App. E, Table 3",
            "Small GD learning rates do not lead to heavy tails within 10,000 steps.",
            f"not heavy-tailed at t=10,000 for η=0.1 and 1; {HEAVY}",
            lambda runs: heavy_at(runs, {(e, MEASURED[-1]): False for e in TABLE3_RUNS[:2]}),
        ),
    ),
)

# Table 4

TABLE4 = table_of_long_runs(
    4,
    TABLE4_RUNS,
    claims=(
        Claim(
            "5b",
            "App. E, Table 4",
            "After one FB-Adam step there is a spike for η ≥ 0.1, and none for η=0.01.",
            f"{SPIKE}, for η=0.1, 1, 10, 100; in no repeat for 0.01",
            lambda runs: spikes_only(runs, TABLE4_RUNS[1:], TABLE4_RUNS[:1]),
        ),
    ),
)

# Table 5

TABLE5_STEPS = (1, 1_000_000)

RECORD = (0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000)

FULL = S2.replace(optimizer="adam", lr=0.01, steps=TABLE5_STEPS[-1], record=RECORD)


def table_5(name: str, run: Experiment, note: str, *, in_all: bool) -> Artifact:
    """Table 5 of one size."""
    return Artifact(
        name=name,
        title=f"Spectrum at t = 1 and 1,000,000 under FB-Adam, η={run.lr:g}{note}",
        repeats=1,
        experiments=repeated([run]),
        draw=spectra_table(f"Table 5{note} – FB-Adam", [run], TABLE5_STEPS),
        table=lambda runs: rows(runs, [run], RECORD),
        protocols=("published",),
        in_all=in_all,
        claims=(
            Claim(
                "37e" if in_all else "37f",
                "§5.1, Table 5",
                f"A learning rate too small for a spike leads to heavy tails after a million steps{note}.",
                f"no spike at t=1 ({SPIKE}), and heavy-tailed at t=1,000,000; {HEAVY}",
                lambda runs: all_outcomes(
                    spikes_only(runs, [], [run]), heavy_at(runs, {(run, TABLE5_STEPS[-1]): True})
                ),
            ),
        ),
    )


TABLE5 = table_5("table5", QUARTER(FULL), " (scaled: sizes a quarter, η twice)", in_all=True)

TABLE5_FULL = table_5("table5-full", FULL, "", in_all=False)

ARTIFACTS = (TABLE1, TABLE3, TABLE4, TABLE5, TABLE5_FULL)
