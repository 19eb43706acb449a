"""Models side by side."""

import math

import pytest
import torch

from spectail import analyze, compare
from spectail.errors import SettingError


@pytest.fixture(scope="module")
def models():
    """One with a spike that the other lacks, a matrix of another shape, and one that only one of them has."""
    random = torch.Generator().manual_seed(0)
    plain = {name: torch.randn(80, 60, generator=random) for name in ("a.weight", "b.weight")}
    other = {
        "a.weight": 3 * plain["a.weight"],
        "b.weight": plain["b.weight"] + 0.3,
        "c.weight": torch.randn(70, 50, generator=random),
    }
    return {"plain": plain, "other": other}


def test_each_model_has_its_own_numbers_in_one_row_a_matrix(models):
    both = compare(models)
    assert list(both.frame["name"]) == ["a.weight", "b.weight", "c.weight"]
    for label, model in models.items():
        alone = analyze(model).frame.set_index("name")
        for _, row in both.frame.iterrows():
            known = row["name"] in alone.index
            assert (
                row[f"effect: {label}"] == alone.at[row["name"], "effect"]
                if known
                else math.isnan(row[f"effect: {label}"])
            )
    assert both.kinds["matrices"].tolist() == [2, 3]
    assert "other beside plain: 2 matrices of one name, 1 of them in another phase" in both.summary()
    assert "another phase: b.weight" in both.summary()


def test_distances_are_of_shape_and_to_the_first_model(models):
    distances = compare(models, nulls=False).frame["distance: other"].tolist()
    assert distances[0] == pytest.approx(0, abs=1e-6)  # only its scale differs, to rounding of float32
    assert distances[1] > 0.01
    assert math.isnan(distances[2])


def test_what_is_no_model_by_label_is_refused(models):
    for wrong in (models["plain"], {}, "model.pt"):
        with pytest.raises(SettingError, match="two models, or a dictionary"):
            compare(wrong)
    with pytest.raises(SettingError, match=r"label='\.\./x' is not valid"):
        compare({"../x": models["plain"], "y": models["plain"]})
