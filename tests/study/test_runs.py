"""What is looked up in stored runs: sim and KTA by chance, and overlaps where they are known."""

import json

import numpy as np
import pytest

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.spectra.overlap_nulls import alignment_null, overlap_null
from spectail.study.runs import Runs
from spectail.study.settings import PAPER

E = Experiment(n=60, n_test=9, n_test_large=9, d=20, h=30, steps=1, overlaps=((1, 0),), protocol="published")


@pytest.fixture(scope="module")
def stored():
    return {e.key: simulate(e) for e in (E.replace(seed=seed) for seed in range(3))}


def test_the_null_of_kta_is_the_mean_over_seeds_and_that_of_sim_knows_only_the_dimension(stored):
    runs = Runs("published", PAPER, range(3), stored)
    means = [json.loads(run.attrs["null_kta"])[1] for run in stored.values()]
    assert runs.nulls("kta", [E], 1)[1] == pytest.approx([np.mean(means)])
    low, typical, high = runs.nulls("alignment", [E, E], 1)
    assert low.tolist() == [0, 0]
    assert typical == pytest.approx(alignment_null(20).mean)
    assert high - typical == pytest.approx(2 * alignment_null(20).spread)


def test_runs_from_before_kta_had_a_null_say_nothing_of_it(stored):
    older = {key: run.drop_attrs().assign_attrs(run.attrs) for key, run in stored.items()}
    for run in older.values():
        del run.attrs["null_kta"]
    runs = Runs("published", PAPER, range(3), older)
    assert np.isnan(runs.nulls("kta", [E], 1)).all()
    assert np.isfinite(runs.nulls("alignment", [E], 1)).all()


def test_the_largest_overlap_is_that_of_what_is_known(stored):
    def with_ranks(run, of_w, of_m):
        block = run["overlap_left"].copy(data=np.full(run["overlap_left"].shape, 0.1, np.float32))
        block[0, 5, 15] = 0.9
        return run.assign(overlap_left=block).assign_attrs(overlap_ranks=json.dumps([[of_w, of_m]]))

    for of_m, expected in ((20, 0.9), (10, 0.1), (0, np.nan)):
        runs = Runs("published", PAPER, range(3), {key: with_ranks(run, 20, of_m) for key, run in stored.items()})
        assert runs.largest_overlap(E, (1, 0), "left") == pytest.approx([expected] * 3, nan_ok=True)
        assert runs.chance_of_overlaps(E, (1, 0), "left").mean == overlap_null(30).mean
