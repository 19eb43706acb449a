"""Curves that are published of runs give the verdicts of the runs themselves, where no spectrum counts."""

import numpy as np
import pandas as pd
import pytest

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate_many
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.kept_curves import repeats_of, runs_of_curves
from spectail.study.making import verify
from spectail.study.records import artifact_curves
from spectail.study.runs import NotKeptError, Runs
from spectail.study.settings import PAPER, in_protocol
from spectail.study.verdicts import clear

BASE = Experiment(n=40, n_test=9, n_test_large=9, d=10, h=15, steps=2, record=(0, 2))
SERIES = [BASE.replace(optimizer=o, lr=lr) for o in ("gd", "adam") for lr in (0.1, 1.0)]


def as_runs(artifact, runs):
    known = {protocol: repeats_of(artifact, protocol, runs) for protocol in artifact.protocols}
    return {
        p: Runs(p, PAPER, range(repeats), runs, epsilon=artifact.epsilon) for p, repeats in known.items() if repeats
    }


def loss_falls(runs):
    before, after = (runs.values("objective", SERIES[:1], step)[:, 0] for step in (0, 2))
    return Outcome(clear(before - after), f"{before.mean():.6g} → {after.mean():.6g}")


def of_spectra(runs):
    return Outcome(clear(runs.ratio(SERIES[0], [2])[:, 0]), "")


ARTIFACT = Artifact(
    name="small", title="", repeats=2, draw=lambda runs: None, experiments=SERIES, epsilon="text",
    claims=(Claim("a", "", "", "", loss_falls), Claim("b", "", "", "", of_spectra)),
)  # fmt: skip


@pytest.fixture(scope="module")
def stored():
    wanted = [
        in_protocol(e.replace(seed=seed), p, "text") for p in ARTIFACT.protocols for seed in (0, 1) for e in SERIES
    ]  # fmt: skip
    return {e.key: run for e, run in simulate_many(wanted)}


@pytest.fixture
def folder(stored, tmp_path):
    runs = {p: Runs(p, PAPER, range(2), stored, epsilon="text") for p in ARTIFACT.protocols}
    artifact_curves(ARTIFACT, runs).to_csv(tmp_path / "small.csv", index=False, float_format="%.6g")
    return tmp_path


def test_each_run_is_found_by_its_key_with_its_numbers(stored, folder):
    kept = runs_of_curves([ARTIFACT], folder)
    assert kept.keys() == stored.keys()
    for key, run in stored.items():
        # six digits are kept
        np.testing.assert_allclose(kept[key].train_loss, run.train_loss, rtol=1e-5)
        assert kept[key].phase.values.tolist() == run.phase.values.tolist()


def test_the_largest_eigenvalue_is_among_the_curves(stored, folder):
    for protocol, of_curves in as_runs(ARTIFACT, runs_of_curves([ARTIFACT], folder)).items():
        whole = Runs(protocol, PAPER, range(2), stored, epsilon="text")
        wanted = whole.measure_spectra(lambda spectrum: spectrum[-1], SERIES, 2)
        np.testing.assert_allclose(whole.top(SERIES, 2), wanted, rtol=1e-12)  # rounding
        np.testing.assert_allclose(of_curves.top(SERIES, 2), wanted, rtol=1e-5)  # six digits


def test_claims_that_need_no_spectrum_are_tested_and_others_left_out(stored, folder):
    of_curves = as_runs(ARTIFACT, runs_of_curves([ARTIFACT], folder))
    whole = {p: Runs(p, PAPER, range(2), stored, epsilon="text") for p in ARTIFACT.protocols}
    again, of_runs = verify(ARTIFACT, of_curves), verify(ARTIFACT, whole)
    assert [set(claim.outcomes) for claim in again] == [{"published", "equations"}, set()]
    for protocol, outcome in again[0].outcomes.items():
        assert outcome.measured == of_runs[0].outcomes[protocol].measured
    with pytest.raises(NotKeptError, match="no spectra"):
        of_spectra(of_curves["published"])


def test_runs_of_another_setting_are_not_taken_for_those_of_a_table_that_leaves_the_setting_out(folder):
    """All runs of the table have one teacher, so it is no column; an artifact that lists others finds only its own."""
    others = [e.replace(teacher="tanh") for e in SERIES]
    kept = runs_of_curves([Artifact("small", "", 2, lambda runs: None, [*SERIES, *others], epsilon="text")], folder)
    assert len(kept) == len(SERIES) * 4
    assert "teacher" not in pd.read_csv(folder / "small.csv").columns
