"""One table says what everything is called and means; rows and files have no other names."""

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

import spectail
from spectail.analysis.row import measure_matrix
from spectail.recording.formulas import FORMULAS
from spectail.recording.quantities import HELD, OVER, QUANTITIES, of_row, quantity
from spectail.weights.opening import open_weights

NAMES = [q.name for q in QUANTITIES]


def test_no_name_stands_twice():
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []


def test_every_quantity_has_dimensions_and_a_recording_that_holds_it():
    own = {"weights"}  # only one's own quantities are of these
    assert {q.of for q in QUANTITIES} == set(OVER) - own == {of for held in HELD.values() for of in held}
    assert {q.null for q in QUANTITIES} - {""} <= set(NAMES)


def test_every_text_is_complete_by_itself():
    vague = ("that ", "the same", "this ")
    assert [q.name for q in QUANTITIES if not q.text or q.text.lower().startswith(vague)] == []


def test_every_quantity_has_a_formula_but_names_and_sentences():
    assert set(FORMULAS) <= set(NAMES)
    said = {"note", "source", "source_stamp", "event_matrix", "event_kind", "event_text"}
    assert {q.name for q in QUANTITIES if not q.formula} == said


def test_names_of_weightwatcher_are_of_columns_with_the_same_numbers():
    layer = nn.Linear(40, 60, bias=False)
    layer.weight.data = torch.randn(60, 40, generator=torch.Generator().manual_seed(1)).exp()
    analysis = spectail.analyze(layer, nulls=False)
    theirs, ours = analysis.to_weightwatcher().iloc[0], analysis.frame.iloc[0]
    named = {q.weightwatcher: q.name for q in QUANTITIES if q.weightwatcher}
    assert {name: float(theirs[name]) for name in named} == pytest.approx(
        {name: float(ours[mine]) for name, mine in named.items()}, rel=1e-6
    )  # spectra are kept in float32


def test_the_quantities_that_the_guide_explains_are_in_the_table():
    guide = (Path(spectail.__file__).parents[2] / "docs" / "analyze.md").read_text(encoding="utf-8")
    rows = guide.partition("| quantity | what it is |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [row.split("|")[1] for row in rows]
    named = [name.strip() for cell in cells for code in re.findall("`(.*?)`", cell) for name in code.split(",")]
    assert len(named) > 20
    assert [name for name in named if name not in [*NAMES, "name"] and "…" not in name] == []  # of the row itself


def test_formulas_that_are_of_other_columns_give_what_a_row_has():
    generator = torch.Generator().manual_seed(0)
    scales = torch.linspace(0.5, 2.0, 60)[:, None]  # norms that are taken out, so that both effects differ
    planted = 6.0 * torch.outer(torch.ones(60), torch.ones(40)) / 2400**0.5 * 40**0.5
    layer = nn.Linear(40, 60, bias=False)
    layer.weight.data = scales * (torch.randn(60, 40, generator=generator) + planted)
    row, spectrum = measure_matrix(open_weights(layer).matrices[0])
    assert row["phase"] == "bulk+spike"
    null = row["null_alpha_hill"] - 1
    shares = [row[f"share_{name}"] for name in ("norms_and_entries", "spikes", "correlation")]
    root = 60**0.5 + 40**0.5
    of_the_formulas = {
        "z_hill": math.log((row["pl_alpha_hill"] - 1) / null) / row["null_spread_hill"],
        "effect": null / (row["pl_alpha_hill"] - 1),
        "pl_alpha_hill": 1 + 20 / float((spectrum[20:] / spectrum[20]).log().sum()),
        "pl_alpha_ks": 1
        + row["tail_size"] / float((spectrum[spectrum >= row["ks_xmin"]] / row["ks_xmin"]).log().sum()),
        "bulk_edge": row["bulk_variance"] * (59**0.5 + 39**0.5) ** 2,  # of the law without one spike
        "spectral_gap": float(spectrum[-1]) / row["bulk_edge"],
        "stable_rank": float(spectrum.sum() / spectrum[-1]),
        "spectral_norm": float(spectrum[-1]) ** 0.5,
        "frobenius_norm": float(spectrum.sum()) ** 0.5,
    }
    assert {name: row[name] for name in of_the_formulas} == pytest.approx(of_the_formulas, rel=1e-9)  # rounding
    assert sum(shares) == pytest.approx(1.0) or all(map(math.isnan, shares))
    assert row["visible_edge"] > row["bulk_edge"] > row["bulk_variance"] * root


def test_a_row_has_the_quantities_of_the_table_and_no_other():
    row, _ = measure_matrix(open_weights(nn.Linear(30, 20, bias=False)).matrices[0])
    assert list(row) == ["name", *(q.name for q in of_row())]


def test_a_users_own_quantity_is_described_by_its_variable():
    own = quantity("skewness", {"long_name": "skewness of the eigenvalues", "drawn": "signed"})
    assert (own.text, own.symbol, own.drawn) == ("skewness of the eigenvalues", "skewness", "signed")


def test_the_table_is_public_and_needs_nothing_heavy():
    table = spectail.quantities()
    assert list(table.index) == NAMES
    assert table.loc["n_eigenvalues", "dtype"] == "int"
    heavy = "{'torch', 'xarray', 'numpy', 'pandas'}"
    code = f"import sys, spectail.recording.quantities; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
