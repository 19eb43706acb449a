"""Names in little room can still be told apart."""

import pytest

from spectail.analysis.name_lists import listed, shortened, together

NAMES = [f"model.layers.{i}.self_attn.{p}_proj.weight" for i in range(12) for p in "qkvo"]


@pytest.mark.parametrize("width", [24, 33])
def test_a_shortened_name_stands_for_no_other(width):
    short = [shortened(name, NAMES, width) for name in NAMES]
    assert len(set(short)) == len(NAMES)
    assert max(map(len, short)) <= width


def test_a_name_that_cannot_be_cut_is_whole():
    names = [f"a{digit}b{digit}c" for digit in "01"] + ["a0b1c", "a1b0c"]
    assert [shortened(name, names, 3) for name in names] == names


def test_layers_are_put_together_where_one_number_differs_and_counted_where_two_do():
    assert together(["0.w", "2.w", "3.w"]) == [("{0,2-3}.w", 3)]
    assert together([f"m.{i}.experts.{e}.w" for i in range(2) for e in range(3)]) == [("m.*.experts.*.w", 6)]
    assert together([f"{i}.w" for i in (0, 2, 4, 6, 8, 10)]) == [("*.w", 6)]
    assert listed([f"{i}.w" for i in (0, 2, 4, 6, 8, 10)] + ["x"], 60) == "*.w (6), x"
    assert listed(NAMES, 60) == "model.layers.{0-11}.self_attn.q_proj.weight, and 36 more"
