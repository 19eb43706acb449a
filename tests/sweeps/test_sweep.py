import os
import signal
import subprocess
import sys

import pytest

from spectail.experiments.cost import disk_bytes, operations
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.running.scheduler import Compute
from spectail.store.store import Store
from spectail.sweeps.bar_over_runs import SweepProgress
from spectail.sweeps.estimate import estimate
from spectail.sweeps.grid import Grid
from spectail.sweeps.sweep import chunks_of_problems, run_missing, sweep
from spectail.sweeps.worker import Worker

TINY = {"n": 20, "n_test": 5, "n_test_large": 5, "d": 10, "h": 12, "steps": 2}
GRID = {"fixed": TINY, "axes": {"lr": [0.1, 0.2, 0.3], "seed": [0, 1]}}
EXPERIMENTS = Grid.read(GRID).experiments()


def test_what_is_missing_is_computed_once_and_is_what_simulate_gives(tmp_path):
    store = Store(tmp_path)
    store.put(simulate(EXPERIMENTS[0]))
    steps, runs = [], []

    class Progress(SweepProgress):
        def step(self, experiment, step):
            steps.append((experiment.key, step))

        def kept(self, experiment):
            runs.append(experiment.key)

    summary = run_missing(EXPERIMENTS, store, progress=Progress())
    assert (summary.runs, summary.found, summary.computed) == (6, 1, 5)
    assert sorted(runs) == sorted(e.key for e in EXPERIMENTS[1:])
    assert {key for key, _ in steps} == set(runs)
    assert max(step for _, step in steps) == TINY["steps"]
    for e in EXPERIMENTS:
        assert store.get(e).checksum == simulate(e).checksum
    assert run_missing(EXPERIMENTS, store).computed == 0


def test_ctrl_c_in_the_last_run_stops_what_would_come_next(tmp_path, monkeypatch):
    original = Worker._simulate

    def interrupted(self, experiment):
        run = original(self, experiment)
        if experiment == EXPERIMENTS[0]:
            os.kill(os.getpid(), signal.SIGINT)
        return run

    monkeypatch.setattr(Worker, "_simulate", interrupted)
    summary = run_missing(EXPERIMENTS[:1], Store(tmp_path))
    assert (summary.computed, summary.stopped) == (1, True)


def test_a_run_that_fails_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    original = Worker._simulate

    def fails(self, experiment):
        if experiment.lr == 0.2:
            raise RuntimeError("[enforce fail] not enough memory: you tried to allocate 9 bytes")
        return original(self, experiment)

    monkeypatch.setattr(Worker, "_simulate", fails)
    with pytest.raises(RuntimeError, match=r"2 of 6 runs failed, the others are kept; the first: adam, lr=0.2.*memory"):
        sweep(GRID, tmp_path)
    monkeypatch.undo()
    assert run_missing(EXPERIMENTS, Store(tmp_path)).computed == 2


def test_a_function_of_ones_own_is_tried_before_the_sweep_begins(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text("def wrong(x): return x.mean()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spectail.sweeps.sweep._run", lambda *a: pytest.fail("it began"))
    with pytest.raises(ValueError, match=r"own_parts:wrong made \(\) of a tensor"):
        sweep({"fixed": TINY, "axes": {"activation": ["tanh", "own_parts:wrong"]}}, tmp_path / "out")
    with pytest.raises(ValueError, match="own_parts has no Optimizer"):
        sweep({"fixed": {**TINY, "optimizer": "own_parts:Optimizer"}}, tmp_path / "out")


def test_runs_of_a_problem_stay_together_and_all_workers_have_something(tmp_path):
    many = Grid.read({"fixed": TINY, "axes": {"lr": {"log": [0.1, 1], "points": 40}, "seed": [0, 1]}}).experiments()
    for slots in (1, 2, 8):
        chunks = chunks_of_problems(many, slots)
        assert sorted(e.key for chunk in chunks for e in chunk) == sorted(e.key for e in many)
        assert all(len({e.problem_key for e in chunk}) == 1 for chunk in chunks)
        assert len(chunks) >= slots
        assert max(map(len, chunks)) <= (16 if slots == 1 else 32)


def test_an_estimate_counts_what_is_missing(tmp_path):
    nothing = estimate([], [])
    assert (nothing.runs, nothing.seconds, nothing.bytes) == (0, 0.0, 0)
    store = Store(tmp_path)
    run_missing(EXPERIMENTS[:3], store)
    rest = estimate(EXPERIMENTS[3:], store.manifest.read().values())
    assert rest.runs == 3
    assert 0 < rest.seconds < 60
    size = store.path(EXPERIMENTS[0]).stat().st_size
    assert disk_bytes(EXPERIMENTS[0]) == pytest.approx(size, rel=0.5)  # an estimate, of a file that is mostly headers
    short, long = Experiment(steps=10, record=[0, 10]), Experiment(steps=20, record=[0, 20])
    assert operations(long) - operations(short) == 10 * 4 * 2000 * 1500 * 1000  # two products a step


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 0}, "workers=0 is not valid"),
        ({"device": "abacus"}, "device='abacus' is not available"),
        ({"workers": 2, "ray": ""}, "workers and ray are both given"),
    ],
)
def test_bad_options_are_one_sentence_before_anything_is_computed(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        sweep(GRID, tmp_path, **options)
    assert not list(tmp_path.rglob("*.nc"))


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import spectail\nspectail.sweep({GRID!r}, {str(tmp_path / 'out')!r}, workers=2)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "SettingError: worker processes cannot start" in done.stderr
    assert "if __name__ == '__main__'" in done.stderr


def test_where_has_defaults():
    assert Compute() == Compute("cpu", None, None, None)
