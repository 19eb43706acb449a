"""QK and OV circuits of attention heads, beside the products that they stand for."""

import copy
import json
import math

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from spectail import analyze, compare
from spectail.analysis.pieces import Request
from spectail.analysis.pooling import slice_spectra
from spectail.cli import main
from spectail.weights.formats import safetensors
from spectail.weights.opening import open_weights

torch.manual_seed(0)

HEADS, GROUPS, SIZE, WIDTH = 6, 2, 12, 40


class Attention(nn.Module):
    """Three heads share a key and a value."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.num_key_value_heads = HEADS, GROUPS
        self.q_proj = nn.Linear(WIDTH, HEADS * SIZE)
        self.k_proj, self.v_proj = nn.Linear(WIDTH, GROUPS * SIZE), nn.Linear(WIDTH, GROUPS * SIZE)
        self.o_proj = nn.Linear(HEADS * SIZE, WIDTH)


def products(attention, head):
    """Width × width, as they are defined."""
    mine, shared = slice(head * SIZE, (head + 1) * SIZE), head // (HEADS // GROUPS)
    q, o = attention.q_proj.weight[mine], attention.o_proj.weight[:, mine]
    k, v = (layer.weight[shared * SIZE : (shared + 1) * SIZE] for layer in (attention.k_proj, attention.v_proj))
    return {"QK": (q.T.double() @ k.double()), "OV": (o.double() @ v.double())}


def test_circuits_have_the_singular_values_of_the_products_of_their_head():
    model = nn.ModuleDict({"attn": Attention()})
    found = {matrix.name: matrix for matrix in open_weights(model, heads=True).matrices}
    assert len(found) == 4 + 2 * HEADS
    for head in range(HEADS):
        for called, product in products(model["attn"], head).items():
            circuit = found[f"attn[{called} head {head}]"]
            assert (circuit.rows, circuit.cols, circuit.kind) == (WIDTH, WIDTH, f"{called} circuit")
            torch.testing.assert_close(circuit.load()[0], product.detach())
            expected = torch.linalg.svdvals(product.detach())
            # rounding of float64, in products of a few factors
            torch.testing.assert_close(slice_spectra(circuit)[0].flip(0).sqrt(), expected[:SIZE], rtol=1e-10, atol=0)
            assert expected[SIZE:].max() < 1e-12


def test_heads_of_a_fused_layer_are_those_of_its_parts():
    layer = nn.MultiheadAttention(WIDTH, 4)
    found = {matrix.name: matrix for matrix in open_weights(nn.ModuleDict({"attn": layer}), heads=True).matrices}
    q, k, _ = layer.in_proj_weight.detach().double().chunk(3)
    expected = torch.linalg.svdvals(q[10:20].T @ k[10:20])[:10]
    torch.testing.assert_close(slice_spectra(found["attn[QK head 1]"])[0].flip(0).sqrt(), expected)


def test_layers_whose_heads_are_not_known_say_so_and_others_have_no_more_rows():
    state = {f"h.0.{name}": tensor for name, tensor in Attention().state_dict().items()}
    weights = open_weights(state, heads=True)
    assert len(weights.matrices) == 4
    assert "number of heads" in next(one.reason for one in weights.skipped if one.name == "h.0[heads]")
    assert open_weights(nn.Linear(3, 3), heads=True).matrices[0].name == "weight"


def test_a_circuit_has_exponents_but_neither_phase_nor_null_as_it_is_a_product():
    analysis = analyze(Attention(), heads=True).frame.set_index("name")
    row = analysis.loc["[QK head 0]"]
    assert math.isfinite(row["pl_alpha_hill"])
    assert math.isnan(row["z_hill"])
    assert row["phase"] == "unknown"
    assert "product" in row["note"]


def changed(attention, by):
    other = copy.deepcopy(attention)
    with torch.no_grad():
        for layer in (other.q_proj, other.k_proj, other.v_proj, other.o_proj):
            layer.weight += by * torch.randn_like(layer.weight)
    return other


@pytest.mark.parametrize("by", [1.0, 1e-4])
@pytest.mark.parametrize("width", [WIDTH, 2 * SIZE])  # of the second the change can have full rank
def test_changes_of_circuits_are_those_of_the_products_of_their_head(by, width, monkeypatch):
    monkeypatch.setattr(f"{__name__}.WIDTH", width)
    before = Attention()
    after = changed(before, by)
    comparison = compare(before, after, heads=True, nulls=False)
    rows = comparison.frame.set_index("name")
    assert len(rows) == 4 + 2 * HEADS
    for head in range(HEADS):
        for called, old in products(before, head).items():
            name, new = f"[{called} head {head}]", products(after, head)[called]
            expected = torch.linalg.svdvals((new - old).detach())[: 2 * SIZE]
            found = torch.from_numpy(comparison.spectra[name].copy()).flip(0).double().sqrt()
            # spectra are kept in float32
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected[0]))
            (u, _, vh), (u2, _, vh2) = (torch.linalg.svd(one.detach()) for one in (old, new))
            overlaps = [float(u[:, 0] @ u2[:, 0]) ** 2, float(vh[0] @ vh2[0]) ** 2]
            assert rows.loc[name, ["top_overlap_left", "top_overlap_right"]].tolist() == pytest.approx(overlaps)


def test_a_circuit_that_is_the_same_is_unchanged():
    attention = Attention()
    rows = compare(attention, copy.deepcopy(attention), heads=True, nulls=False).frame
    assert len(rows) == 4 + 2 * HEADS
    assert set(rows["note"]) == {"unchanged"}


def test_the_heads_of_a_layer_are_read_together_in_each_of_two_models(tmp_path):
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        save_file(
            {f"h.0.{name}": tensor for name, tensor in Attention().state_dict().items()}, folder / "model.safetensors"
        )
        (folder / "config.json").write_text(json.dumps({"num_attention_heads": HEADS, "num_key_value_heads": GROUPS}))
        folders.append(str(folder))
    reads = []
    opened = Request("comparison", tuple(folders), {"heads": True}).open()
    with pytest.MonkeyPatch.context() as patch:
        values = safetensors._values
        patch.setattr(safetensors, "_values", lambda *of: reads.append(of[3]) or values(*of))
        for matrix in opened.weights.select("*[[]* head *").matrices:
            matrix.factors()
    assert len(reads) == 2 * 4
    assert len({piece.chunk for piece in opened.pieces(range(len(opened.weights.matrices)))}) == 4 + 2


def test_the_command_has_rows_of_the_circuits_of_a_change(tmp_path, capsys):
    for name, by in (("a", 0.0), ("b", 0.1)):
        torch.manual_seed(0)
        torch.save(
            {
                "config": {"num_heads": HEADS, "num_key_value_heads": GROUPS},
                "model": changed(Attention(), by).state_dict(),
            },
            tmp_path / f"{name}.pt",
        )
    main(["analyze", str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), "--heads", "--out", str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out" / "analysis.csv")
    assert (table["kind"] == "OV circuit").sum() == HEADS


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2"])
def test_heads_of_known_models_are_found(family):
    transformers = pytest.importorskip("transformers", minversion="5")
    small = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = {
        "llama": lambda: transformers.LlamaModel(
            transformers.LlamaConfig(**small, num_key_value_heads=2, intermediate_size=48, pad_token_id=0)
        ),
        "bert": lambda: transformers.BertModel(transformers.BertConfig(**small, intermediate_size=48)),
        "gpt2": lambda: transformers.GPT2Model(transformers.GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4)),
    }[family]()
    kinds = [matrix.kind for matrix in open_weights(model, heads=True).matrices]
    assert kinds.count("QK circuit") == kinds.count("OV circuit") == 8
