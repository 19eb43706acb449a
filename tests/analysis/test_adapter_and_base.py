"""What an adapter adds, beside the model that it adds to."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from spectail import SettingError, analyze
from spectail.cli import main
from spectail.recording.quantities import select
from spectail.weights.bases import Bases
from spectail.weights.opening import open_weights, open_whole

ROWS, COLS, R = 48, 36, 4
COLUMNS = [q.name for q in select("base")]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def adapter(name="q", rows=ROWS, cols=COLS, strength=1.0):
    return {f"{name}.lora_A.weight": random(R, cols), f"{name}.lora_B.weight": strength * random(rows, R)}


def expected(base, delta, k=10):
    """By three SVDs."""
    base, delta = base.double(), delta.double()
    u0, _, vh0 = torch.linalg.svd(base, full_matrices=False)
    u1 = torch.linalg.svd(base + delta, full_matrices=False).U[:, :k]
    u, _, vh = torch.linalg.svd(delta, full_matrices=False)
    cosines = (u0.T @ u1).abs().amax(0)
    overlaps = (float((a.T @ b).square().sum()) / R for a, b in ((u[:, :R], u0[:, :k]), (vh[:R].T, vh0[:k].T)))
    return [int((cosines < 0.5).sum()), float(cosines.min()), *overlaps]


def measured(source, base, **options):
    return analyze(source, base=base, nulls=False, **options).frame


def test_a_row_has_what_three_svds_say():
    for strength in (0.0, 0.01, 3.0):
        base, state = random(ROWS, COLS, seed=3), adapter(strength=strength)
        row = measured(state, {"model.q.weight": base}).iloc[0]
        delta = state["q.lora_B.weight"].double() @ state["q.lora_A.weight"].double()
        if strength:
            assert row[COLUMNS].tolist() == pytest.approx(expected(base, delta), abs=1e-8)  # gaps of the bulk
        else:
            assert row[COLUMNS].isna().all()
            assert "all weights are zero" in row["note"]
        assert (strength == 3.0) == (row["n_intruders"] == R if strength else False)


def test_what_lies_in_the_leading_space_of_its_base_is_no_intruder():
    base = random(ROWS, COLS)
    u, singular, vh = torch.linalg.svd(base.double())
    state = {"q.lora_A.weight": vh[:R], "q.lora_B.weight": u[:, :R] * singular[:R]}
    row = measured(state, {"q.weight": base}).iloc[0]
    assert row[COLUMNS].tolist() == pytest.approx([0, 1, 1, 1], abs=1e-6)  # the base is in float32


NAMES = [
    ("q", "q.weight"),
    ("layers.3.q", "model.layers.3.q.weight"),
    ("model.layers.3.q", "layers.3.q.weight"),
    ("base_model.model.layers.3.q", "layers.3.q.weight"),
    ("layers.3.q", "base_model.model.layers.3.q.base_layer.weight"),
    ("lora_unet_mid_block_attn_to_q", "unet.mid_block.attn.to_q.weight"),
    ("lora_te_text_model_layers_0_q_proj", "text_encoder.text_model.layers.0.q_proj.weight"),
]


@pytest.mark.parametrize(("name", "base"), NAMES)
def test_the_base_is_found_by_its_name_also_where_one_has_more_steps_before_it(name, base):
    others = {base.replace("q", "k"): random(ROWS, COLS), f"x.13{name}.weight": random(ROWS, COLS)}
    (delta,) = open_weights(adapter(name)).matrices
    assert Bases(open_whole({**others, base: random(ROWS, COLS)})).find(delta).name == base


def test_fused_layers_tied_ones_and_kernels_are_what_an_adapter_adds_to():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(60, 20)
            self.head = nn.Linear(20, 60, bias=False)
            self.head.weight = self.embed.weight
            self.qkv = nn.Linear(20, 60)
            self.conv = nn.Conv2d(8, 12, 3)

    model = Model()
    state = {
        **adapter("head", 60, 20),
        **adapter("qkv", 60, 20),
        "conv.lora_A.weight": random(R, 8, 3, 3),
        "conv.lora_B.weight": random(12, R, 1, 1),
    }
    kernel = model.conv.weight.detach()
    for base in (model, model.state_dict()):
        rows = measured(state, base).set_index("name")
        for name, weights in (("head", model.head.weight), ("qkv", model.qkv.weight), ("conv", kernel.flatten(1))):
            delta = (
                state[f"{name}.lora_B.weight"].flatten(1).double() @ state[f"{name}.lora_A.weight"].flatten(1).double()
            )
            exact = expected(weights.detach(), delta)
            assert rows.loc[f"{name}.weight", COLUMNS].tolist() == pytest.approx(exact, abs=1e-8)


def test_a_fused_layer_that_is_stored_transposed_is_turned():
    weights, state = random(20, 60), adapter("h.0.attn.c_attn", 60, 20)
    row = measured(state, {"h.0.attn.c_attn.weight": weights, "h.0.attn.c_attn.bias": random(60)}).iloc[0]
    delta = state["h.0.attn.c_attn.lora_B.weight"].double() @ state["h.0.attn.c_attn.lora_A.weight"].double()
    assert row[COLUMNS].tolist() == pytest.approx(expected(weights.T, delta), abs=1e-8)


@pytest.mark.parametrize(
    ("base", "note"),
    [
        ({"k.weight": random(ROWS, COLS)}, "state dict has no matrix of this name"),
        ({"q.weight": random(ROWS, COLS + 1)}, f"state dict has another shape of it, {ROWS}×{COLS + 1}"),
        ({f"{i}.q.weight": random(ROWS, COLS) for i in "ab"}, "state dict has several of this name: a.q.weight, b.q"),
        ({"q.weight": float("nan") * random(ROWS, COLS)}, "not measured: beside its base, a matrix that is zero"),
    ],
)
def test_a_base_that_is_missing_or_does_not_fit_is_a_note(base, note):
    row = measured(adapter(), base).iloc[0]
    assert note in row["note"]
    assert row[COLUMNS].isna().all()
    assert row["frobenius_norm"] > 0


def test_files_and_the_command_say_the_same(tmp_path, capsys):
    lora, base = tmp_path / "lora.safetensors", tmp_path / "base.safetensors"
    save_file(adapter("a") | adapter("b"), lora)
    save_file({"a.weight": random(ROWS, COLS), "b.weight": random(ROWS, COLS, seed=1)}, base)
    main(["analyze", str(lora), "--base", str(base), "--out", str(tmp_path / "out")])
    assert "intruders" in capsys.readouterr().out
    assert analyze(lora, base=base, out=tmp_path / "out").frame["n_intruders"].tolist() == [R, R]  # read, as it is kept
    save_file({"a.weight": random(ROWS, COLS)}, base)
    with pytest.raises(Exception, match=r"base\.safetensors has changed"):
        analyze(lora, base=base, out=tmp_path / "out")


def test_a_base_of_no_adapter_is_an_error():
    with pytest.raises(SettingError, match="base is of an adapter"):
        analyze({"q.weight": random(ROWS, COLS)}, base={"q.weight": random(ROWS, COLS)})


def test_without_a_base_rows_are_as_before():
    frame = analyze(adapter(), nulls=False).frame
    assert not set(COLUMNS) & set(frame.columns)
    assert math.isfinite(frame["spectral_norm"][0])
