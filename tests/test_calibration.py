"""docs/calibration.md says what is measured: a few of its cells, drawn again, and its tables, written again."""

from pathlib import Path

import pytest
from benchmarks.calibration import read, row, said
from benchmarks.calibration_tables import write
from benchmarks.families import SHAPES, families

ROOT = Path(__file__).parent.parent
BY_NAME = {family.name: family for family in families()}
CELLS = read()
FEW = 5  # draws of a cell: the first, whose answers the file has one by one


@pytest.mark.parametrize("shape", ["64×64", "2000×30", "64×3×7×7"])
@pytest.mark.parametrize(
    "name",
    [
        *("Gaussian", "t(3)", "90 % zeros", "both scaled, lognormal(½)", "rows scaled, one spike of 3 θ_c"),
        *("5 % spikes of 3 θ_c", "1 % spikes of 1.5 θ_c", "AR(0.3) along rows", "rank b/4 in bf16", "orthogonal"),
    ],
)
def test_the_first_draws_of_a_cell_are_answered_as_the_file_says(name, shape):
    family, cell = BY_NAME[name], CELLS[f"families {name}  {shape}"]
    for number in range(FEW):
        one = row(family.weights(SHAPES[shape], number), family.dtype)
        right = family.right(one, SHAPES[shape])
        assert cell["wrong"].get(str(number), "right") == ("right" if right else said(one, family))


def test_the_page_has_the_tables_that_the_file_makes(tmp_path):
    page = ROOT / "docs" / "calibration.md"
    again = tmp_path / "calibration.md"
    again.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    write(CELLS, again)
    assert again.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
