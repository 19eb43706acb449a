"""One table says what everything is called and means; rows and files have no other names."""

import subprocess
import sys
from collections import Counter

from torch import nn

import spectail
from spectail.analysis.row import measure_matrix
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
