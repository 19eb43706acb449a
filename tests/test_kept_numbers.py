"""What the benchmarks of App. H keep: each piece is measured once, and the tables in the documents lack none."""

import importlib

import pandas as pd
import pytest
import torch
from benchmarks import kept_numbers


def test_a_piece_is_measured_once_and_kept_at_once(tmp_path, monkeypatch):
    """So that a benchmark that is cut off goes on."""
    monkeypatch.setattr(kept_numbers, "RESULTS", tmp_path)
    (tmp_path / "app-h").mkdir()
    measured = []

    def measure(seed, name):
        if seed == 2 and not measured[2:]:
            measured.append("cut off")
            raise KeyboardInterrupt
        measured.append(seed)
        return [{"step": step, "value": seed + step / 10} for step in (0, 1)]

    pieces = [{"seed": seed, "name": "a"} for seed in (0, 1, 2)]
    with pytest.raises(KeyboardInterrupt):
        kept_numbers.kept_table("some", pieces, measure)
    assert list(pd.read_csv(tmp_path / "app-h" / "some.csv").seed) == [0, 0, 1, 1]
    table = kept_numbers.kept_table("some", pieces, measure)
    assert measured == [0, 1, "cut off", 2]
    assert table[table.seed == 2].value.tolist() == [2.0, 2.1]


@pytest.mark.parametrize(
    "name",
    ["features", "feature_spikes", "several_directions", "widths", "balanced_rates", "penalised_tails"],
)
def test_verdicts_come_from_what_the_documents_keep(name, monkeypatch, capsys):
    benchmark = importlib.import_module(f"benchmarks.{name}")

    def refuse(**piece):
        pytest.fail(f"{name} has not kept {piece}")

    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(benchmark, "draw", lambda *picture: None)
    monkeypatch.setattr(
        benchmark, "kept_table", lambda table, pieces, _: kept_numbers.kept_table(table, pieces, refuse)
    )
    benchmark.main()
    table = capsys.readouterr().out.partition("| claim | verdict |")[2]
    assert table.count("\n|") > 3
    assert "nan" not in table
