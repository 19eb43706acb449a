"""Monitors on several processes that train one model."""

import json
import socket
from collections import Counter
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import spectail
from forked import execute, finish, start
from monitor import on_ranks
from spectail import SpectralMonitor, every, load_recording
from spectail.analysis.cost import work
from spectail.monitor.agreed import AgreedWhen
from spectail.monitor.plan import Unit, planned
from spectail.monitor.process_group import Ranks
from spectail.monitor.when import Clocks, budget
from spectail.weights.matrix import WeightMatrix
from spectail.weights.sharded import Rows, Shard

ON_TWO = ("fsdp", "mixed", "parallel", "ddp", "rules", "refusals", "copies_that_differ", "partial_values", "no_memory")
ON_TWO += ("applied", "computed", "no_monitor", "changes", "checkpoints", "pipeline", "failure", "one_that_is_killed")


def weight(rows, cols):
    return WeightMatrix(f"{rows}x{cols}", "linear", rows, cols, 1, lambda: None)


def together(folder, size, cases):
    processes = [start(folder, on_ranks.run, rank, size, folder, cases) for rank in range(size)]
    printed = [finish(process)[1] for process in processes]
    results = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]
    for case in cases:
        for one in results:
            assert "Traceback" not in str(one.get(case)), one[case]
    return results, printed


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    return folder, *together(folder, 2, ON_TWO)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    return folder, *together(folder, 4, ("fsdp", "hsdp", "two_dimensional", "compiled", "parallel", "ddp"))


def assert_equal_but_for_clocks(path, other):
    a, b = load_recording(path), load_recording(other)
    assert a.attrs == b.attrs
    assert a.variables.keys() - {"lr"} == b.variables.keys() - {"lr"}  # one of them has no optimizer
    for name in a.variables.keys() - {"lr", "measuring_seconds", "training_seconds"}:
        x, y = a[name].values, b[name].values
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f"), name


def assert_shared(way, folder, results):
    for one in results:
        assert one[way]["same training"]
        assert one[way]["most"] == 0  # at most one matrix is gathered at a time
        assert one[way]["measured"]
    times = Counter(name for one in results for name in one[way]["measured"])
    # each matrix by one process at each step, and updates not before the first
    assert len({count + name.endswith(" (update)") for name, count in times.items()}) == 1
    assert_equal_but_for_clocks(folder / way / "shared.nc", folder / way / "alone-0.nc")


@pytest.mark.parametrize("way", ["fsdp", "mixed", "parallel", "ddp"])
def test_several_processes_record_what_one_would_bit_for_bit_and_train_as_without(way, two):
    assert_shared(way, two[0], two[1])


def test_what_is_applied_to_pieces_is_measured_too(two):
    for recorded, true in two[1][0]["applied"].values():
        assert recorded == pytest.approx(true, rel=1e-6)  # float32 numbers


@pytest.mark.paper
@pytest.mark.parametrize("way", ["fsdp", "hsdp", "two_dimensional", "compiled", "parallel", "ddp"])
def test_so_do_four_whose_matrices_lie_in_pieces_of_pieces_or_in_copies_of_pieces(way, four):
    assert_shared(way, four[0], four[1])


ON_A_GPU = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
GPT2 = [(50257, 768), (1024, 768)] + [(2304, 768), (768, 768), (3072, 768), (768, 3072)] * 12


def test_shares_of_a_gpt2_are_balanced():
    units = [Unit((str(number),), work(weight(*shape))) for number, shape in enumerate(GPT2)]
    tasks, _ = planned([units] * 4, [{}] * 4)
    costs = dict(zip([unit.names for unit in units], [unit.cost for unit in units], strict=True))
    loads = [sum(costs[task.names] for task in tasks if task.owner == rank) for rank in range(4)]
    assert max(loads) < 0.26 * sum(loads)


def test_pieces_come_from_the_process_that_measures_where_it_has_them_and_copies_from_one_only():
    rows = Rows("a", 0, 6, (6, 4), torch.float32)
    halves = [Shard((0, 0), (3, 4)), Shard((3, 0), (3, 4))]
    said = [[Unit(("a",), 1.0, ((rows, halves[rank % 2]),))] for rank in range(4)]
    (task,), differing = planned(said, [{}] * 4)
    assert task.owner == 0
    assert [(one.piece, one.source) for one in task.transfers] == [(halves[0], 0), (halves[1], 1)]
    assert not differing
    prints = [{(rows, halves[0]): 1}, {(rows, halves[1]): 2}, {(rows, halves[0]): 3}, {(rows, halves[1]): 2}]
    assert planned(said, prints)[1] == {(rows, halves[0])}
    (task,), _ = planned([said[0], [], said[2]], [{}] * 3)
    assert task.missing == (rows,)


def test_a_budget_is_asked_again_about_half_way_to_where_it_is_expected_to_allow_a_measurement():
    asked = []
    ranks = mock.Mock(spec=Ranks, size=2, is_first=True)
    ranks.numbers_from_first = lambda numbers: asked.append(numbers) or numbers
    rule = budget(0.01)
    agreed = AgreedWhen(rule, ranks, 0)
    # a hundred times two seconds, at a second a step
    due = [step for step in range(1, 202) if agreed(step, partial(Clocks, step, next=2.0), lambda read: rule(0, read))]
    assert due == [200, 201]
    assert len(asked) < 20


def test_alone_a_rule_that_goes_by_the_clock_is_asked_rarely_and_soon_where_steps_become_longer():
    rule, asked = budget(0.01), []

    def ask(read):
        asked.append(read)
        return rule(0, read)

    agreed = AgreedWhen(rule, Ranks(), 0)
    # due at a training of 1,000 s: of a thousand seconds each, or of steps that become a hundred times as long
    due = [step for step in range(1, 1003) if agreed(step, partial(Clocks, step, next=10.0), ask)]
    assert due == [1000, 1001, 1002]
    assert len(asked) < 100

    agreed = AgreedWhen(rule, Ranks(), 0)
    clocks = [*range(1, 101), *range(200, 10_000, 100)]
    due = [step for step, at in enumerate(clocks, 1) if agreed(step, partial(Clocks, at, next=10.0), ask)]
    assert 109 <= due[0] <= 109 + 16  # no more steps late than it is asked apart


@pytest.mark.parametrize("backend", ["gloo", pytest.param("nccl", marks=ON_A_GPU)])
@pytest.mark.filterwarnings("ignore:.*barrier.*:UserWarning", "ignore:.*view tensor.*:UserWarning")
def test_one_process_with_parameters_in_one_piece_needs_nobody(backend, tmp_path):
    device = "cpu" if backend == "gloo" else "cuda"
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        model, plain = (nn.Linear(40, 30, device=device) for _ in range(2))
        plain.load_state_dict(model.state_dict())
        fully_shard(model, mesh=init_device_mesh(device, (1,)))
        with SpectralMonitor(model, when=every(1), nulls="none") as monitor:
            monitor.step()
    finally:
        torch.distributed.destroy_process_group()
    row = monitor.recording.isel(step=1, matrix=0)
    assert row.spectral_norm == spectail.analyze(plain, nulls="none").frame.spectral_norm[0]


def test_weights_that_are_computed_of_pieces_are_those_that_the_layer_acts_with(two):
    together, alone = two[1][0]["computed"]
    assert together == alone
    for name in ("adapted.weight", "old.weight", "older.weight", "new.weight", "pruned.weight", "attention.in_proj"):
        assert name in together


def test_all_processes_measure_when_the_first_one_says_so(two):
    _, results, _ = two
    for one in results:
        assert one["rules"]["last"] == [0, 2, 2, 2, 5, 5]
        assert one["rules"]["measured"] == 0  # a budget that allows none, and one that allows all
        assert one["rules"]["asked"] < 30  # of 300 steps


def test_what_is_wrong_on_one_process_is_told_on_all(two):
    _, results, _ = two
    assert results[0]["refusals"] == results[1]["refusals"]
    existing, no_layer = results[0]["refusals"]
    assert "run.nc exists" in existing
    assert "layers='nothing' fits no matrix" in no_layer


def test_where_copies_differ_that_of_the_first_process_is_measured_and_that_is_said_once(two):
    _, (first, second), _ = two
    assert first["copies_that_differ"]["measured"] == ["0.weight", "1.weight"] * 2
    assert second["copies_that_differ"] == {"measured": [], "told": []}
    assert first["copies_that_differ"]["told"] == [
        f"{n}.weight is not the same on all processes; that of the first is measured" for n in (0, 1)
    ]


def test_values_that_are_sums_over_processes_are_added(two):
    norm, expected = two[1][0]["partial_values"]
    assert norm == pytest.approx(expected, rel=1e-6)  # that of float32


def test_a_matrix_without_memory_for_it_has_a_note_and_the_others_are_measured(two):
    notes = two[1][0]["no_memory"]
    assert sorted("no memory" in note for note in notes) == [False, True]


def test_a_process_without_a_monitor_is_named_and_where_it_is_not_needed_the_first_one_measures_alone(two):
    sentence = "process 1 has made no monitor: expected one on each that trains the model, with the same options"
    _, (first, second), _ = two
    assert first["no_monitor"] == [2, f"{sentence}; the first process measures alone", sentence]
    assert second["no_monitor"] == [0, sentence]


def test_a_layer_that_is_replaced_on_all_processes_is_one_event_and_a_training_goes_on_in_its_file(two):
    folder, (first, _), _ = two
    assert first["changes"] == ["1.weight (from step 2): its shape was 20×30 and is 12×30 at step 2"]
    recording = load_recording(folder / "changes" / "run.nc")
    assert recording.step.values.tolist() == [0, 1, 2, 3]
    assert np.isfinite(recording.spectral_norm.sel(matrix="1.weight (from step 2)").values).tolist() == [0, 0, 1, 1]


def test_checkpoints_that_are_saved_beside_a_monitor_are_a_series_with_the_same_rows(two):
    folder, results, _ = two
    assert [one["checkpoints"] for one in results] == [2, 2]
    series = spectail.analyze_series(folder / "checkpoints" / "series", key="model", nulls="none")
    recording = load_recording(folder / "checkpoints" / "run.nc")
    assert series.step.values.tolist() == recording.step.values.tolist() == [0, 1, 2]
    for name in ("0.weight", "3.weight", "4.w1[2]"):
        a, b = (one.eigenvalues.sel(matrix=name).values for one in (series, recording))
        assert np.array_equal(a, b, equal_nan=True), name


def test_stages_of_a_pipeline_are_one_recording_and_train_as_without(two):
    folder, results, _ = two
    recording = load_recording(folder / "pipeline" / "run.nc")
    assert recording.matrix.values.tolist() == [f"layer{at}.weight" for at in range(4)]
    assert recording.step.values.tolist() == [0, 1, 2]
    norms = [norm for one in results for norm in one["pipeline"]["norms"]]
    np.testing.assert_allclose(recording.spectral_norm.values[-1], norms, rtol=1e-6)  # float32 numbers
    assert all(one["pipeline"]["same training"] for one in results)


def test_a_process_that_fails_leaves_nobody_waiting(two):
    folder, (first, second), _ = two
    gone = "step 2 was not measured, training goes on, and nothing is measured from here on: "
    assert second["failure"] == ["step 2 was not measured, training goes on: ValueError: of a test"]
    (sentence,) = first["failure"]
    assert sentence.startswith(gone)
    assert "has ended" in sentence
    (sentence,) = first["one_that_is_killed"]
    assert sentence.startswith(f"{gone}process 1 has ended")
    for case in ("failure", "one_that_is_killed"):
        assert load_recording(folder / case / "run.nc").step.values.tolist() == [0, 1]


def test_the_example_of_torchrun_runs_on_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder := tmp_path / "run").mkdir()
    code = (
        "import os, runpy, sys\n"
        "rank, port, folder, script = sys.argv[1:]\n"
        "os.environ |= dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, RANK=rank, LOCAL_RANK=rank)\n"
        "os.environ |= dict(WORLD_SIZE='2', LOCAL_WORLD_SIZE='2')\n"  # torchrun sets these
        "os.chdir(folder)\n"
        "runpy.run_path(script, run_name='__main__')"
    )
    script = Path(__file__).parents[2] / "examples" / "monitor_torchrun.py"
    processes = [start(folder, execute, code, rank, port, folder, script) for rank in range(2)]
    (status, printed), (other, _) = (finish(process) for process in processes)
    assert (status, other) == (0, 0), printed
    assert "7 steps of 3 matrices in run.nc" in printed
    assert load_recording(folder / "run.nc").step.values.tolist() == [0, 1, 2, 3, 5, 10, 20]
