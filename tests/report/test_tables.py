"""Tables on the terminal: numbers have their nulls in brackets, and what has no room is named."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import spectail
from spectail.analysis.two_layer_nulls import overlaps_in_numbers
from spectail.plots.colours import PHASES
from spectail.recording.quantities import quantity
from spectail.report.row_choice import ALL_ROWS
from spectail.report.terminal import recording as terminal
from spectail.report.terminal.models import print_models
from spectail.report.terminal.study import print_catalogue
from spectail.report.terminal.tables import print_paths, print_table
from spectail.report.wording import number_text, with_null
from spectail.sweeps.estimate import Estimate


@pytest.fixture
def comparison():
    stream = torch.Generator().manual_seed(0)
    before = {"block.attention.weight": torch.randn(40, 30, generator=stream)}
    after = {name: weights + 0.1 * torch.randn(40, 30, generator=stream) for name, weights in before.items()}
    return spectail.compare(before, after)


def printed(recording, width, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "console", lambda least=0: Console(width=width, highlight=False))
    terminal.print_recording(recording)
    return capsys.readouterr().out


def test_a_number_that_has_a_null_stands_before_it(comparison, monkeypatch, capsys):
    text = printed(comparison.recording, 300, monkeypatch, capsys)
    row = comparison.frame.iloc[0]
    for q in ("pl_alpha_hill", "pl_alpha_ks", "stable_rank", "top_overlap_left", "leading_overlap_right"):
        assert f" {with_null(number_text(row[q], 3), row[quantity(q).null], 3)} " in text
    assert "(0.025) " in text  # of 40 rows
    assert "in brackets: by chance" in text
    assert "left out" not in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_leaves_out_whole_columns_and_names_them(width, comparison, monkeypatch, capsys):
    text = printed(comparison.recording, width, monkeypatch, capsys)
    table = text[text.index("matrix  ") : text.index("left out for lack of room: ")]
    assert "…" not in table
    assert "block.attention.weight" in table
    assert max(map(len, table.splitlines())) <= width
    left_out = text[text.index("left out for lack of room: ") : text.index("Hill: ")]
    assert "KS" in left_out
    assert "phase" in table
    assert ("left₁₀" in table) == ("left₁₀" not in left_out)


def test_where_there_is_no_terminal_nothing_is_left_out(comparison, capsys):
    terminal.print_recording(comparison.recording)
    text = capsys.readouterr().out
    assert "left out" not in text
    assert "right₁₀" in text


def test_a_two_layer_run_has_sim_and_kta_beside_chance(monkeypatch, capsys):
    e = spectail.Experiment(n=200, n_test=20, n_test_large=20, d=30, h=40, steps=1, overlaps=((1, 0),))
    run = spectail.simulate(e)
    text = printed(run, 120, monkeypatch, capsys)
    assert run["phase"].values[1] == "heavy-tailed"
    assert text.splitlines()[0].endswith("seed 0: heavy-tailed at step 1"), "the answer comes first"
    left, _ = overlaps_in_numbers(run)
    assert f"O(U_W1, U_M0)  {left['largest']:.2f} ({left['null_largest']:.2f})" in text
    whole = spectail.complete(run)
    assert f"{whole['alignment'][0].item():.2f} ({whole['null_alignment'][0].item():.2f})" in text
    assert f"{whole['kta'][1].item():.2f} ({whole['null_kta'][1].item():.2g})" in text


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_each_row_of_a_pipe_has_a_name_of_its_own_and_its_phase_in_one_line(width, monkeypatch, capsys):
    names = [f"base_model.model.model.layers.{at}.self_attn.{one}_proj.weight" for at in range(12) for one in "qk"]
    analysis = spectail.analyze({name: torch.eye(20) for name in names}, nulls=False)
    monkeypatch.setenv("COLUMNS", str(width))
    terminal.print_recording(analysis.recording)
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "layers" in line or "…" in line]
    rows = [line for line in rows if line.rstrip().endswith(analysis.frame["phase"][0])]
    assert len({line.split()[0] for line in rows}) == len(rows) == len(names)
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize("width", [60, 80, 200])
def test_of_many_models_each_row_has_a_name_that_can_be_told_and_the_phase_in_each(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"model.layers.{i}.self_attn.{p}_proj.weight" for i in range(2) for p in "qk"]
    models = {f"run-{k}": {name: torch.full((20, 30), k + 1.0) for name in names} for k in range(7)}
    print_models(spectail.compare(models, nulls=False), ALL_ROWS)
    printed = capsys.readouterr().out
    kinds, matrices = printed.split("\nbeside run-0 ")
    assert "…" not in kinds
    assert all(len(line) <= width for line in matrices.splitlines())
    rows = [line.split() for line in matrices.splitlines() if "_proj" in line]
    assert len({row[0] for row in rows[:4]}) == 4
    told = [word for row in rows for word in row if word in PHASES]
    assert len(told) == 7 * 4
    heads = [word for line in matrices.splitlines() for word in line.split() if word.startswith("run-")]
    assert heads[:7] == list(models), "each model stands above its columns once"


def test_what_a_terminal_would_obey_is_shown_and_not_sent(capsys):
    hostile = "\x1b[2J\x9b31m a name"
    print_table("files", [("file", hostile), (hostile, "1")])
    print_paths([Path(hostile)])
    text = capsys.readouterr().out
    assert text.count(r"\x1b[2J\x9b31m a name") == 3
    assert not set(text) & set("\x1b\x9b")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_answer_is_as_wide_as_the_terminal_whatever_the_names(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    names = [
        f"model.layers.{i}.{one}.weight" for i in range(4) for one in ("self_attn.q_proj", "mlp.gate_up_of_experts")
    ]
    generator = torch.Generator().manual_seed(0)
    states = [{name: torch.randn(24, 16, generator=generator) for name in names} for _ in range(2)]
    terminal.print_recording(spectail.analyze(states[0]).recording)
    print_models(spectail.compare(dict(zip("ab", states, strict=True))), ALL_ROWS)
    printed = capsys.readouterr().out
    assert printed.count("smallest effect") == 2
    assert "furthest apart" in printed
    _, *lines = [line for line in printed.splitlines() if " " in line.strip()]  # neither a title nor a name is torn
    assert max(map(len, lines)) <= width


def test_the_list_of_figures_has_room_for_what_they_show(monkeypatch, capsys):
    title = "Losses, spectrum and overlaps over ten steps of gradient descent"
    about = SimpleNamespace(name="fig21", title=title, claims=[None], repeats=5)
    cost = SimpleNamespace(artifact=about, runs=20, missing=Estimate(20, 640.0, 1, False))
    for width, left_out in ((60, "repeats, claims, runs"), (160, "")):
        monkeypatch.setenv("COLUMNS", str(width))
        print_catalogue([cost], "paper")
        printed = capsys.readouterr().out
        rows = [line for line in printed.splitlines() if line.startswith("│")]
        assert len(rows) <= 1 + (width < len(title))
        assert ("left out for lack of room: " + left_out in printed) == bool(left_out)
