"""What is said of many matrices at once."""

import pytest
import torch

from spectail import analyze
from spectail.errors import SettingError


def test_matrices_are_rolled_up_by_layer_and_by_kind():
    torch.manual_seed(0)
    names = [f"model.layers.{at}.mlp.experts.{e}.up_proj.weight" for at in range(3) for e in range(2)]
    state = {"embed.weight": torch.randn(50, 20), **{name: torch.randn(40, 20) for name in names}}
    analysis = analyze(state, nulls=False)
    layers = analysis.roll_up("layer")
    assert layers["layer"].tolist() == ["(in no layer)", *(f"model.layers.{at}" for at in range(3))]
    assert layers["weights"].tolist() == [1000, 1600, 1600, 1600]
    inside = analysis.frame[analysis.frame["name"].str.startswith("model.layers.1.")]
    assert layers["pl_alpha_hill"][2] == inside["pl_alpha_hill"].median()
    kinds = analysis.roll_up("kind")
    assert kinds["kind"].tolist() == ["embed.weight", "model.layers.*.mlp.experts.*.up_proj.weight"]
    assert kinds["matrices"].sum() == len(analysis.frame)
    with pytest.raises(SettingError, match="by='depth' is not known"):
        analysis.roll_up("depth")
