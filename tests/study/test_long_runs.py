"""The script for a GPU computes what the artifacts of long runs look up, and what it packs is found again."""

import tarfile

import numpy as np
from benchmarks.long_runs import keep, pack, stacks, table5, train_stack

from spectail.experiments.experiment import Experiment
from spectail.store.store import Store
from spectail.study.catalogue import find
from spectail.study.plan import Plan
from spectail.study.settings import PAPER


def test_the_runs_of_the_tables_are_among_its_stacks():
    stacked = {e.key for source in (stacks(), table5()) for _, experiments in source for e in experiments}
    needed = Plan(find(["table1", "table3", "table4", "epsilon", "table5-full"]), PAPER).experiments()
    assert len(needed) > 100
    assert {e.key for e in needed} <= stacked


def test_what_is_packed_is_a_store_of_the_same_runs(tmp_path):
    tiny = Experiment(n=20, n_test=5, n_test_large=5, d=8, h=12, steps=2)
    there, here = Store(tmp_path / "there"), Store(tmp_path / "here")
    keep("one", train_stack([tiny], there, "cpu", None), there)
    assert pack(there, tmp_path / "runs.tgz") == 1
    with tarfile.open(tmp_path / "runs.tgz") as archive:
        archive.extractall(here.root, filter="data")
    (run, exact) = (store.get(tiny) for store in (here, there))
    np.testing.assert_allclose(run.eigenvalues, exact.eigenvalues, rtol=1e-7)
    assert run.phase.values.tolist() == exact.phase.values.tolist()
    assert here.check_and_list_missing([tiny]) == []
    assert (here.root / "curves" / "one.nc").exists()
