"""What a result says of itself at a prompt and in a notebook: the answer first."""

import re
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

import spectail
from spectail import Experiment, plots, progress
from spectail.recording.events import Event
from spectail.spectra import tail_kind, truncated_power_law_fit

SPECTRUM = np.arange(1.0, 100.0)

SHOWN = {
    "a fit": (lambda: spectail.ks_fit(SPECTRUM), "α = 9.08 from"),
    "no fit": (lambda: spectail.hill_fit([1.0]), "no exponent, a fit needs"),
    "a truncated fit": (lambda: truncated_power_law_fit(SPECTRUM), "exp(−"),
    "a tail": (lambda: tail_kind([3.0, 2.0, 1.0], 3, 3), "undecided"),
    "a phase": (lambda: spectail.classify(np.eye(30)), "unknown"),
    "an event": (lambda: Event(4, "fc", "phase", "a → b"), "fc: a → b at step 4"),
    "a prediction": (lambda: spectail.predict_one_step(Experiment(optimizer="gd", lr=4000)), "a spike at λ₁ = "),
    "an experiment": (lambda: Experiment(optimizer="gd", lr=2000), "optimizer='gd', lr=2000.0"),
    "an analysis": (lambda: spectail.analyze(nn.Linear(30, 20), nulls=False), "1 matrix measured"),
    "models": (
        lambda: spectail.compare({"a": {"w": torch.eye(30)}, "b": {"w": torch.eye(20)}}, nulls=False),
        "of 2 models",
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_result_begins_with_its_answer_in_words_and_in_html(name):
    make, answer = SHOWN[name]
    result = make()
    assert answer in repr(result).replace("\n", " ")[:120]
    html = result._repr_html_()
    assert "<table" in html
    assert "nan" not in html.partition("<table")[0]


def test_html_of_what_has_a_hostile_name_is_escaped():
    html = Event(4, "<img src=x>", "phase", "a → b")._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


@pytest.mark.parametrize(
    "described",
    [
        Experiment(),
        Experiment(optimizer="Muon", lr=0.1, optimizer_options={"momentum": 0.5}, protocol="published"),
        Experiment(loss_factor=0.7, layers=[20, 30], record=(0, 5)),
        Experiment(overlaps=((1, 0),), kernels=("ck",), label_noise=0.0),
        Experiment(model="vgg11", dataset="mnist", images="all", batch=64),
    ],
    ids=str,
)
def test_the_words_of_an_experiment_are_python_that_makes_it_again(described):
    again = eval(repr(described), {"Experiment": Experiment})
    assert again == described
    assert again.key == described.key


def test_a_printed_table_shows_the_phases_and_the_exponents():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 100))
    printed = str(spectail.analyze(model).frame)  # as wide as pandas has it without a terminal
    assert "pl_alpha_hill" in printed
    assert "phase" in printed


def test_a_table_in_a_notebook_has_the_columns_of_the_terminal_and_the_phase_beside_the_name():
    name = f"{'model.' * 12}fc.weight"
    states = {label: {name: torch.randn(40, 30)} for label in ("one", "two")}
    for result in (spectail.analyze(states["one"]), spectail.compare(states)):
        html = result._repr_html_()
        heads = re.findall(r"<th>([a-z].*?)</th>", html)
        assert [head.partition(":")[0] for head in heads[:2]] == ["name", "phase"]
        assert f"<td>{name}</td>" in html
        assert len(heads) <= 20
        assert f"and {len(result.frame.columns) - len(heads)} more columns in .frame" in html
        assert "note" not in heads  # sentences make every row a paragraph


def test_tab_shows_what_is_meant():
    assert set(dir(plots)) == set(plots.__all__)
    assert all(not name.startswith("_") and callable(getattr(plots, name)) for name in plots.__all__)


class Cell:
    """A notebook's display: what stands below the cell, one after the other."""

    def __init__(self):
        self.lines = []

    def display(self, data, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.lines.append(data["text/plain"])
        return self

    def update(self, data, raw):
        self.lines.append(data["text/plain"])


@pytest.fixture
def cell(monkeypatch):
    """As in the kernel of a notebook, with a line at every hundredth of a second."""
    shell, shown = type("ZMQInteractiveShell", (), {})(), Cell()
    package, of_display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython, of_display.display = lambda: shell, shown.display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    monkeypatch.setattr(progress, "_NOTEBOOK_SECONDS", 0.01)
    return shown


def test_a_run_and_a_sweep_say_in_a_notebook_how_far_they_are(cell, tmp_path):
    fields = {"n": 200, "n_test": 9, "n_test_large": 9, "d": 80, "h": 90, "steps": 60}
    spectail.simulate(Experiment(**fields))
    assert any("step" in line for line in cell.lines)
    assert cell.lines[-1] == ""  # nothing stays
    cell.lines.clear()
    spectail.sweep({"fixed": fields | {"steps": 20}, "axes": {"lr": [0.1, 0.2, 0.3]}}, tmp_path)
    assert any("of 3 runs" in line for line in cell.lines)
    cell.lines.clear()
    spectail.simulate(Experiment(**fields), progress=False)
    assert cell.lines == []


def test_outside_of_a_notebook_nothing_is_said_unasked(capfd):
    spectail.simulate(Experiment(n=40, n_test=9, n_test_large=9, d=20, h=30, steps=2))
    assert capfd.readouterr() == ("", "")
