"""Monitors on several processes that train one model."""

import json

import numpy as np
import pytest

import spectail
from forked import finish, start
from monitor import on_ranks
from spectail import load_recording

ON_TWO = ("fsdp", "mixed", "parallel", "ddp", "rules", "refusals", "copies_that_differ", "partial_values", "no_memory")
ON_TWO += ("changes", "checkpoints", "failure", "one_that_is_killed")


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


def assert_equal_but_for_clocks(path, other):
    a, b = load_recording(path), load_recording(other)
    assert a.attrs == b.attrs
    assert a.variables.keys() - {"lr"} == b.variables.keys() - {"lr"}  # one of them has no optimizer
    for name in a.variables.keys() - {"lr", "measuring_seconds", "training_seconds"}:
        x, y = a[name].values, b[name].values
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f"), name


@pytest.mark.parametrize("way", ["fsdp", "mixed", "parallel", "ddp"])
def test_several_processes_record_what_one_would_bit_for_bit_and_train_as_without(way, two):
    folder, results, _ = two
    for one in results:
        assert one[way]["same training"]
        assert one[way]["most"] == 0  # at most one matrix is gathered at a time
    first, second = ({*one[way]["measured"]} for one in results)
    assert first
    assert second
    assert not first & second
    assert_equal_but_for_clocks(folder / way / "shared.nc", folder / way / "alone-0.nc")


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
