"""What cannot fit is refused in a sentence, before memory is asked for."""

import pytest

from spectail.cli import main
from spectail.errors import SettingError
from spectail.experiments import memory
from spectail.experiments.experiment import Experiment
from spectail.experiments.memory import check_memory, least_memory
from spectail.experiments.run import simulate, simulate_many
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.stack import simulate_stack
from spectail.store.store import Store
from spectail.sweeps.sweep import sweep

TINY = Experiment(n=50, d=20, h=30, n_test=5, n_test_large=6, steps=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [(), (30, 25)])
def test_what_is_counted_is_there(dtype, layers):
    """Points and weights are what the problem of a run holds, so that nothing is refused that could fit."""
    e = TINY.replace(dtype=dtype, layers=layers, kernels=() if layers else ("ntk",))
    problem, needs = Problem.draw(e), least_memory(e)
    roles = (problem.train, problem.holdout, problem.test, problem.test_large)
    width = "layers" if layers else "h"
    assert needs.pop(("n", "d")) == sum(role.x.nbytes for role in roles)
    assert needs.pop((width, "d")) == 2 * sum(w.nbytes for w in (problem.w0, *problem.deeper))
    run = simulate(e)
    assert needs.pop((width, "record")) == run.eigenvalues.count() * 8
    assert needs.pop(("n", "kernels")) == (0 if layers else 50 * run.ntk_eigenvalues.sel(step=0).nbytes)
    assert needs == {
        ("n", width): 50 * len(problem.a) * problem.a.nbytes / len(problem.a),
        (width,): 8 * len(problem.a) ** 2,
    }


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"n": 10**9}, "n=1000000000 with d=20"),
        ({"d": 10**9}, "n=50 with d=1000000000"),
        ({"n_test_large": 10**9, "d": 200}, "n_test_large=1000000000 with d=200"),
        ({"h": 10**9}, "h=1000000000"),
        ({"h": None, "layers": [10**9, 10**9]}, r"layers=\[1000000000, 1000000000\] with d=20"),
        ({"n": 10**8, "d": 1, "kernels": ["ntk"]}, r"n=100000000 with kernels=\['ntk'\]"),
    ],
)
def test_a_student_that_cannot_fit_is_refused_wherever_it_would_be_computed(fields, what, tmp_path):
    e = TINY.replace(**fields)
    sentence = rf"^{what} takes at least [\d,]+ GB of memory; this machine has [\d.,]+ GB free$"
    for act in (
        lambda: simulate(e),
        lambda: next(iter(simulate_many([e]))),
        lambda: simulate_stack([e.replace(kernels=())]) if not e.layers and not e.kernels else simulate(e),
        lambda: sweep(
            {"fixed": e.model_dump(exclude={"numerics", "h", "lr"}) | {"h": e.h}, "axes": {"lr": [0.1, 1]}}, tmp_path
        ),
    ):
        with pytest.raises(SettingError, match=sentence):
            act()
    assert not list(Store(tmp_path).runs.glob("*"))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"dataset": "digits", "h": 10**9}, "h=1000000000"),
        ({"dataset": "modular-addition-11", "layers": [10**9, 10**9]}, "layers="),
        ({"dataset": "mine:made", "layers": [10**9, 10**9]}, "layers="),
        ({"model": "mine:made", "d": 10**9}, "n_test_large=5000 with d=1000000000"),
    ],
)
def test_so_is_a_network_before_its_parts_are_imported(fields, what, tmp_path):
    for act in (lambda: simulate(Experiment(**fields)), lambda: sweep({"fixed": fields}, tmp_path)):
        with pytest.raises(SettingError, match=f"^{what}.* takes at least .* GB of memory"):
            act()


def test_the_command_says_it_and_a_dry_run_too(tmp_path, capsys):
    grid = tmp_path / "grid.toml"
    grid.write_text("[axes]\nd = [10, 1000000000]\n")
    for command in (
        ["run", "--d", "1000000000", "--out", str(tmp_path)],
        ["sweep", str(grid), "--dry-run", "--out", str(tmp_path)],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
        assert "d=1000000000 takes at least" in capsys.readouterr().err


def test_nothing_is_refused_where_nobody_says_how_much_is_free(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    check_memory([TINY.replace(d=10**9)])
    monkeypatch.setattr(memory, "available_memory", lambda: 10)
    check_memory([TINY])  # too small to ask
    with pytest.raises(SettingError, match=r"takes at least 0\.\d+ GB of memory; this machine has 1e-08 GB free"):
        check_memory([TINY, TINY.replace(n=200_000, d=200)])
