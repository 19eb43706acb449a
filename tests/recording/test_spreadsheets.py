"""Tables for spreadsheets hold texts and numbers, and nothing that is computed when they are opened."""

import csv

import pandas as pd
import pytest

from spectail.recording.spreadsheets import write_csv


@pytest.mark.parametrize("dtype", [object, "string", "str"])
def test_no_text_begins_a_formula_and_numbers_stay(tmp_path, dtype):
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain", "a=b"]
    table = pd.DataFrame({"name": pd.Series(texts, dtype=dtype), "z": [-1.5, 2 / 3, 3, 4, 5, 6, 7], "n": range(-3, 4)})
    path = write_csv(table, tmp_path / "table.csv", digits=3)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"'{text}" for text in texts[:5]] + texts[5:]
    assert ([row["z"] for row in rows[:2]], rows[0]["n"]) == (["-1.5", "0.667"], "-3")
