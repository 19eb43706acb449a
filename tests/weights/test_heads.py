"""QK and OV circuits of attention heads, beside the products that they stand for."""

import math

import pytest
import torch
from torch import nn

from spectail import analyze
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
            assert (circuit.rows, circuit.cols, circuit.kind) == (SIZE, SIZE, f"{called} circuit")
            expected = torch.linalg.svdvals(product.detach())
            # rounding of float64, in products of a few factors
            torch.testing.assert_close(torch.linalg.svdvals(circuit.load()[0]), expected[:SIZE], rtol=1e-10, atol=1e-12)
            assert expected[SIZE:].max() < 1e-12


def test_heads_of_a_fused_layer_are_those_of_its_parts():
    layer = nn.MultiheadAttention(WIDTH, 4)
    found = {matrix.name: matrix for matrix in open_weights(nn.ModuleDict({"attn": layer}), heads=True).matrices}
    q, k, _ = layer.in_proj_weight.detach().double().chunk(3)
    expected = torch.linalg.svdvals(q[10:20].T @ k[10:20])[:10]
    torch.testing.assert_close(torch.linalg.svdvals(found["attn[QK head 1]"].load()[0]), expected)


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
