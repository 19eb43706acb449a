"""Commands answer as JSON, in words, or not at all; options come from a file as well."""

import json
from pathlib import Path

import jsonschema
import pytest
import torch

from spectail import Experiment
from spectail.cli import COMMANDS, main
from spectail.errors import SettingError
from spectail.report.row_choice import RowChoice

SCHEMA = json.loads((Path(__file__).parents[1] / "docs/reference/answer.schema.json").read_text())
SMALL = ["--n", "60", "--d", "30", "--h", "40", "--steps", "1", "--lr", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two matrices of which the second has a spike, two of its checkpoints, a grid, and a run."""
    folder, random = tmp_path_factory.mktemp("answers"), torch.Generator().manual_seed(0)
    weights = {name: torch.randn(80, 60, generator=random) for name in ("a.weight", "b.weight")}
    weights |= {"a.bias": torch.ones(80)}
    torch.save(weights, folder / "model.pt")
    (folder / "run").mkdir()
    for step in (1, 2):
        weights["b.weight"] = weights["b.weight"] + 0.25
        torch.save(weights, folder / "run" / f"step-{step}.pt")
    (folder / "grid.toml").write_text("[fixed]\nn = 60\nd = 30\nh = 40\nsteps = 1\n[axes]\nlr = [1.0]\n")
    main(["run", *SMALL, "--out", str(folder / "store"), "-q"])
    return folder


@pytest.fixture
def answer(folder, monkeypatch, capsys):
    """What a command answers with --json, as the schema has it; nothing else stands on standard output."""
    monkeypatch.chdir(folder)

    def ask(*words):
        main([*words, "--json"])
        answer = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        jsonschema.validate(answer, SCHEMA)
        assert answer["command"] == words[0]
        return answer

    return ask


def test_the_schema_knows_every_command():
    assert SCHEMA["properties"]["command"]["enum"] == sorted(COMMANDS)


def test_an_analysis_answers_with_the_rows_that_are_asked_for(answer):
    whole = answer("analyze", "run/step-2.pt", "--by", "kind")
    assert [row["name"] for row in whole["rows"]] == ["a.weight", "b.weight"]
    assert [row["phase"] for row in whole["rows"]] == ["random-like", "bulk+spike"]
    assert whole["skipped"] == [{"name": "a.bias", "shape": [80], "reason": whole["skipped"][0]["reason"]}]
    assert whole["groups"] == {"untrained": ["a.weight"], "spiked": ["b.weight"]}
    assert [row["kind"] for row in whole["by"]] == ["a.weight", "b.weight"]  # one of each in this model
    first = answer("analyze", "run/step-2.pt", "--sort", "spikes", "--top", "1")
    assert ([row["name"] for row in first["rows"]], first["rows_in_all"]) == (["b.weight"], 2)
    assert first["rows"][0] == whole["rows"][1]
    assert [row["name"] for row in answer("analyze", "model.pt", "--list")["listed"][0]["rows"]] == [
        "a.weight",
        "b.weight",
    ]


def test_a_series_answers_with_its_last_step_and_what_happened(answer):
    series = answer("series", "run", "--out", "series.nc", "--between")
    assert (series["steps"], len(series["updates"])) == ([1, 2], 2)
    assert series["written"] == ["series.nc"] == answer("series", "run", "--out", "series.nc", "--between")["written"]


def test_models_answer_side_by_side_or_with_their_change(answer):
    beside = answer("compare", "model.pt", "run/step-2.pt", "--labels", "old", "new", "--sort", "name", "--out", "cmp")
    assert (beside["models"], beside["rows_in_all"]) == (["old", "new"], 2)
    assert [row["phase: new"] for row in beside["rows"]] == ["random-like", "bulk+spike"]
    assert {"cmp/comparison.html", "cmp/comparison.csv"} <= set(beside["written"])
    assert Path("cmp/new/analysis.html").exists()
    assert 'href="new/analysis.html"' in Path("cmp/comparison.html").read_text(encoding="utf-8")
    change = answer("compare", "model.pt", "run/step-2.pt", "--change")
    assert change["rows"][0]["note"] == "unchanged"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model.pt"], "two models or more"),
        (["model.pt", "model.pt", "--labels", "a", "a"], "one of its own"),
        (["model.pt", "model.pt", "--labels", "a", "../b"], "expected letters"),
        (["model.pt", "model.pt", "model.pt", "--change"], "of two models"),
    ],
)
def test_models_that_cannot_be_compared_are_one_sentence(words, sentence, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match="2"):
        main(["compare", *words])
    assert sentence in capsys.readouterr().err


def test_runs_sweeps_and_the_paper_answer(answer, folder):
    run = answer("run", *SMALL, "--out", "store")
    assert [row["step"] for row in run["rows"]] == run["steps"] == [0, 1]
    assert "phase" in run["rows"][0]
    assert (list(run["groups"].values()), run["overlaps"]) == ([["W"]], [])
    key = Experiment(n=60, d=30, h=40, steps=1, lr=1).key
    for command in ("show", "list"):
        assert [row["key"] for row in answer(command, "store")["rows"]] == [key]
    assert answer("show", f"store/runs/{key}.nc")["rows"] == run["rows"]
    estimate = answer("sweep", "grid.toml", "--dry-run", "--out", "store")
    assert (estimate["runs"], estimate["found"], estimate["takes"]["runs"]) == (1, 1, 0)
    assert answer("sweep", "grid.toml", "--out", "store")["found"] == 1
    assert answer("store", "check", "store") == answer("store", "check", "store") | {"runs": 1, "defects": []}
    assert answer("store", "gc", "store")["removed"] == []
    names = [one["name"] for one in answer("reproduce", "--list", "--scale", "small", "--out", "store")["artifacts"]]
    assert "fig4" in names


def test_a_prediction_answers_with_what_python_gives(answer):
    rows = answer("predict", "--n", "600", "--d", "300", "--h", "400", "--optimizer", "adam")["rows"]
    assert [row["has_spike"] for row in rows[::5]] == [False, True]  # at half the critical rate, and at 20 times


def test_quiet_prints_nothing_and_verbose_leaves_nothing_out(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "60")
    main(["analyze", "model.pt", "-q"])
    assert capsys.readouterr() == ("", "")
    main(["analyze", "model.pt"])
    assert "left out for lack of room" in capsys.readouterr().out
    main(["analyze", "model.pt", "-v"])
    out = capsys.readouterr().out
    assert "left out for lack of room" not in out
    assert "λ₁/λ₊" in out
    with pytest.raises(SystemExit, match="2"):
        main(["analyze", "nowhere.pt", "-v"])
    assert "Traceback" in capsys.readouterr().err


def test_options_come_from_a_file_and_those_of_the_command_line_win(answer, folder, capsys):
    (folder / "options.toml").write_text(
        '[analyze]\nlayers = ["a.*"]\ntop = 1\nnulls = "none"\nheads = false\n[series]\nout = "x.nc"\n'
    )
    (folder / "wrong.toml").write_text("[series]\nfolow = true\n")
    assert [row["name"] for row in answer("analyze", "model.pt", "--config", "options.toml")["rows"]] == ["a.weight"]
    rows = answer("analyze", "model.pt", "--config=options.toml", "--layers", "b.*")["rows"]
    assert [(row["name"], row.get("null_alpha_hill")) for row in rows] == [("b.weight", None)]
    for words, sentence in (
        (["predict", "--config", "options.toml"], "has no table [predict]; it has analyze, series"),
        (["predict", "--config", "nowhere.toml"], "nowhere.toml does not exist"),
        (["predict", "--config", "model.pt"], "model.pt is not text in UTF-8"),
        (["predict", "--config"], "--config names no file; expected options in TOML"),
        (["series", "run", "--config", "wrong.toml"], "[series] option='folow' is not known; did you mean 'follow'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1


def test_rows_are_sorted_by_numbers_or_words_and_what_is_missing_comes_last():
    table = {"effect": [1.0, None, 3.0, float("nan")], "phase": ["b", "c", "a", "d"]}
    assert RowChoice("effect").of(table, 4) == [2, 0, 1, 3]
    assert RowChoice("effect:up").of(table, 4) == [0, 2, 1, 3]
    assert RowChoice("phase", 2).of(table, 4) == [2, 0]
    with pytest.raises(SettingError, match=r"did you mean 'effect'\? \(effect, .* of \d+\)$") as refused:
        RowChoice("efect")
    assert len(str(refused.value)) < 300, "the hundred columns that there are would hide it"
    with pytest.raises(SettingError, match="this table has no z_hill"):
        RowChoice("z").of(table, 4)
    with pytest.raises(SettingError, match="expected 1 or more"):
        RowChoice(top=0)
