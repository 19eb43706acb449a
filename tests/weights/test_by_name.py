"""What names, shapes and neighbours tell of a parameter: what is split and how, and what is no weight."""

from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from spectail import SpectailError, analyze
from spectail.weights.by_name import splitting_by_name
from spectail.weights.matrix import ConvMatrix, layer_of
from spectail.weights.neighbours import Neighbours
from spectail.weights.opening import open_weights

torch.manual_seed(0)


def matrices(source, **options):
    return {matrix.name: matrix for matrix in open_weights(source, **options).matrices}


def shapes(source):
    return {name: (one.kind, one.slices, one.rows, one.cols) for name, one in matrices(source).items()}


def reasons(source):
    return {left_out.name: left_out.reason for left_out in open_weights(source).skipped}


def values(state, name):
    return matrices(state)[name].load()[0]


# --- buffers, scales, biases, norms


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("sa.tril", (8, 8), "a mask by its name"),
        ("attn.mask", (1, 1, 8, 8), "a mask by its name"),
        ("causal_mask", (8, 8), "a mask by its name"),
        ("layers.0.attn_mask", (4, 8, 8), "a mask by its name"),
        ("h.0.attn.bias", (1, 1, 8, 8), "a mask, not a weight"),
        ("pos_encoder.pe", (20, 1, 8), "a fixed table of positions"),
        ("rotary_emb.cos_cached", (1, 1, 20, 8), "a fixed table of positions"),
        ("freqs_cis", (20, 8), "a fixed table of positions"),
        ("blocks.0.attn.relative_coords_table", (1, 7, 7, 2), "a fixed table of positions"),
        ("vq.embed_avg", (20, 8), "a statistic"),
        ("model.22.anchors", (2, 20), "a grid"),
        ("detect.anchor_grid", (3, 1, 3, 1, 1, 2), "a grid"),
        ("noises.noise_3", (1, 1, 8, 8), "fixed noise"),
        ("mel.mel_basis", (20, 30), "a fixed bank of filters"),
        ("stft.forward_basis", (20, 1, 30), "a fixed bank of filters"),
        ("spectrogram_extractor.stft.conv_real.weight", (20, 1, 30), "a fixed bank of filters"),
        ("convs.0.conv.blur.kernel", (4, 4), "a fixed bank of filters"),
        ("experts.down_proj_bias", (4, 8), "a bias"),
        ("attn.b_Q", (4, 8), "a bias"),
        ("r_w_bias", (4, 8), "a bias"),
        ("q.weight_scale", (20, 30), "a scale"),
        ("q.weight_scale_inv", (20, 30), "a scale"),
        ("q.scales", (20, 30), "a scale"),
        ("scale_shift_table", (6, 8), "a scale"),
        ("block.gamma", (96, 1, 1), "a vector, shaped to broadcast"),
        ("block.layer_scale", (96, 1, 1), "a scale"),
        ("cls_token", (1, 1, 8), "a vector, shaped to broadcast"),
        ("norm.weight", (1, 96), "a norm's scale"),
        ("ln_1.weight", (96, 1), "a norm's scale"),
        ("q_norm.weight", (4, 8), "a norm's scale"),
    ],
)
def test_what_is_no_weight_is_left_out_with_its_reason(name, size, reason):
    weights = open_weights({name: torch.randn(size), "fc.weight": torch.randn(8, 8)})
    assert [matrix.name for matrix in weights.matrices] == ["fc.weight"]
    assert weights.skipped[0].reason.startswith(reason)


def test_norms_of_several_dimensions_are_known_by_their_bias_and_by_their_class():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LayerNorm([8, 4, 4]), nn.Flatten(), nn.LayerNorm([1, 128], bias=False))
    assert list(matrices(model)) == ["0.weight"]
    assert list(matrices(nn.Sequential(*model[:2]).state_dict())) == ["0.weight"]
    assert "norm" in reasons(model)["3.weight"]


def test_parameters_of_a_module_are_no_buffers_whatever_they_are_called():
    model = nn.Module()
    model.mask = nn.Parameter(torch.randn(8, 8))
    model.pe = nn.Parameter(torch.randn(1, 20, 8))
    assert shapes(model) == {"mask": ("weight", 1, 8, 8), "pe": ("embedding", 1, 20, 8)}


def test_tables_that_are_learned_are_embeddings_of_two_dimensions():
    state = {
        "pos_embed": torch.randn(1, 20, 8),
        "image.pos_embed": torch.randn(1, 5, 5, 8),
        "decoder.pos_embed": torch.randn(1, 8, 5, 5),
        "embed_positions.weight": torch.randn(20, 8),
        "query_tokens": torch.randn(1, 32, 8),
    }
    assert shapes(state) == {
        "pos_embed": ("embedding", 1, 20, 8),
        "image.pos_embed": ("embedding", 1, 25, 8),
        "decoder.pos_embed": ("embedding", 1, 8, 25),
        "embed_positions.weight": ("embedding", 1, 20, 8),
        "query_tokens": ("embedding", 1, 32, 8),
    }


# --- kernels


class Ecapa(nn.Module):
    """Every way a kernel may lie, in layers that names number."""

    def __init__(self):
        super().__init__()
        self.wave = nn.Conv1d(1, 512, 10, bias=False)
        self.block = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(16, 32, 1, bias=False),
                "conv2": nn.Conv2d(32, 32, 3, groups=8, bias=False),
                "conv3": nn.Conv2d(32, 64, 1, bias=False),
            }
        )
        self.depthwise = nn.Conv2d(64, 64, 7, groups=64)
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(10, 8, 4, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4)
        )
        self.ups = nn.ModuleList([nn.ConvTranspose1d(16, 8, 4), nn.ConvTranspose1d(8, 4, 4, groups=2)])
        self.conv_post = nn.Conv1d(32, 1, 7)
        self.to_one = nn.Conv2d(32, 1, 1)


@pytest.mark.parametrize("conv", ["kernel-slices", "flatten"])
def test_kernels_are_the_same_from_a_state_dict_as_from_a_module(conv):
    model = Ecapa()
    of_module, of_names = matrices(model, conv=conv), matrices(model.state_dict(), conv=conv)
    assert list(of_module) == list(of_names)
    for name, matrix in of_module.items():
        assert matrix.kind == of_names[name].kind, name
        assert torch.equal(matrix.load(), of_names[name].load()), name


def test_filters_of_one_channel_and_kernels_of_one_filter_are_one_matrix():
    model = Ecapa()
    assert torch.equal(values(model.state_dict(), "wave.weight"), model.wave.weight[:, 0])
    assert torch.equal(values(model.state_dict(), "depthwise.weight"), model.depthwise.weight.flatten(1))
    assert torch.equal(values(model.state_dict(), "conv_post.weight"), model.conv_post.weight[0])
    assert torch.equal(values(model.state_dict(), "to_one.weight"), model.to_one.weight.flatten(1))
    assert shapes(model)["block.conv2.weight"] == ("conv2d", 72, 4, 4)


@pytest.mark.parametrize("name", ["conv1weight", "shadow.conv1.weight_ema", "ema_conv1_weight", "conv1.weight_avg"])
def test_kernels_of_averages_are_sliced_as_kernels(name):
    weight = torch.randn(12, 8, 3, 3)
    assert shapes({name: weight, name.replace("weight", "bias"): torch.randn(12)}) == {name: ("conv2d", 9, 12, 8)}
    assert torch.equal(matrices({name: weight})[name].load(), weight.flatten(2).permute(2, 0, 1))


def test_a_copy_under_a_name_without_points_is_split_as_its_original():
    state = {
        "model.net.h.0.attn.in_proj_weight": torch.randn(18, 6),
        "model.net.up.deconv.weight": torch.randn(8, 4, 3),
    }
    copies = {"ema.neth0attnin_proj_weight": torch.randn(18, 6), "ema.net_up_deconv_weight": torch.randn(8, 4, 3)}
    found = shapes(state | copies)
    assert found["ema.neth0attnin_proj_weight[k]"] == ("attention", 1, 6, 6)
    assert found["ema.net_up_deconv_weight"] == ("conv-transpose1d", 3, 4, 8)


def test_modulated_kernels_are_kernels_and_those_of_three_dimensions_stay():
    state = {
        "conv.weight": torch.randn(1, 64, 48, 3, 3),
        "rgb.conv.weight": torch.randn(1, 3, 64, 1, 1),
        "rgb.conv.modulation.weight": torch.randn(64, 32),
        "video.weight": torch.randn(1, 64, 3, 3, 3),
        "wave.weight": torch.randn(1, 48, 40, 3),
        "wave.modulation.weight": torch.randn(40, 32),
        "filter.weight": torch.randn(1, 48, 3, 3),
    }
    assert shapes(state) == {
        "conv.weight": ("conv2d", 9, 64, 48),
        "rgb.conv.weight": ("conv2d", 1, 3, 64),
        "rgb.conv.modulation.weight": ("weight", 1, 64, 32),
        "video.weight": ("conv3d", 1, 64, 27),
        "wave.weight": ("conv1d", 3, 48, 40),
        "wave.modulation.weight": ("weight", 1, 40, 32),
        "filter.weight": ("conv2d", 1, 48, 9),
    }


# --- weights that are stored in parts


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of.*:FutureWarning")
@pytest.mark.parametrize(("old", "dim"), [(True, None), *((old, dim) for old in (True, False) for dim in (0, 1, 2))])
@pytest.mark.parametrize("make", [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d])
def test_weight_norm_of_any_convolution_and_dimension_is_what_the_module_computes(make, dim, old):
    norm = nn.utils.weight_norm if old else parametrizations.weight_norm
    layer = norm(make(5, 6, 3), dim=dim)
    with torch.no_grad():
        (layer.weight_g if old else layer.parametrizations.weight.original0).mul_(2)
    expected = matrices(layer)["weight"]
    found = matrices(layer.state_dict())["weight"]
    assert (found.kind, found.rows, found.cols) == (expected.kind, expected.rows, expected.cols)
    # the same formula in another order of additions, in float32
    torch.testing.assert_close(found.load(), expected.load(), rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of.*:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize(
    "layer", [nn.Linear(8, 8), nn.Conv2d(8, 8, 3), nn.ConvTranspose2d(8, 8, 3), nn.Conv1d(8, 8, 1)]
)
def test_spectral_norm_of_square_layers_is_undone_along_its_axis(layer, dim, norm):
    layer = norm(type(layer)(8, 8, *getattr(layer, "kernel_size", ())[:1]), dim=dim)
    inputs = torch.randn(3, 8, *[9] * (layer.weight.ndim - 2))
    for _ in range(5):
        layer(inputs)
    layer.eval()(inputs)
    expected, found = (next(iter(matrices(one).values())).load() for one in (layer, layer.state_dict()))
    # the same formula in another order of additions, in float32; a state dict does not tell which convolution is
    # transposed where it is square, and the spectrum does not either
    spectra = [torch.linalg.svdvals(one.double()).flatten().sort().values for one in (found, expected)]
    torch.testing.assert_close(*spectra, rtol=1e-5, atol=1e-6)


# --- fused layers and experts


def test_gate_and_up_of_experts_are_split_along_the_axis_that_the_layer_behind_shows():
    experts, hidden, inner = 3, 10, 8
    up, down = torch.randn(experts, 2 * inner, hidden), torch.randn(experts, hidden, inner)
    turned = {"experts.gate_up_proj": up.mT.contiguous(), "experts.down_proj": down.mT.contiguous()}
    for state in ({"experts.gate_up_proj": up, "experts.down_proj": down}, turned):
        found = matrices(state)
        assert len(found) == 3 * experts
        assert torch.equal(found["experts.gate_up_proj[1, gate]"].load()[0], up[1, :inner])
        assert torch.equal(found["experts.gate_up_proj[2, up]"].load()[0], up[2, inner:])
        assert torch.equal(found["experts.down_proj[0]"].load()[0], down[0])
    biases = {
        "experts.gate_up_proj_bias": torch.randn(experts, 2 * inner),
        "experts.down_proj_bias": torch.randn(3, 10),
    }
    alternating = matrices(turned | biases)  # gpt-oss
    assert torch.equal(alternating["experts.gate_up_proj[1, up]"].load()[0], up[1, 1::2])
    assert len(alternating) == 3 * experts


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("block_sparse_moe.input_linear.weight", "block_sparse_moe.output_linear.weight"),
        ("mlp.experts.fc1.weight", "mlp.experts.fc2.weight"),
        ("mlp.experts.w13_weight", "mlp.experts.w2_weight"),
    ],
)
def test_stacks_of_experts_whose_names_end_as_those_of_kernels_are_experts(first, second):
    found = shapes({first: torch.randn(4, 16, 10), second: torch.randn(4, 10, 8)})
    assert found[f"{first}[3, up]"] == ("expert", 1, 8, 10)
    assert found[f"{second}[0]"] == ("expert", 1, 10, 8)
    assert len(found) == 12


def test_experts_one_below_the_other_are_counted_by_their_router():
    path = "blocks.0.ffn"
    state = {f"{path}.router.layer.weight": torch.randn(4, 10), f"{path}.experts.mlp.w1": torch.randn(32, 10)}
    state[f"{path}.experts.mlp.w2"] = torch.randn(32, 10)
    found = shapes(state)
    assert found[f"{path}.experts.mlp.w1[3]"] == ("expert", 1, 8, 10)
    assert found[f"{path}.experts.mlp.w2[3]"] == ("expert", 1, 10, 8)


def test_untrained_experts_and_halves_of_any_scale_look_untrained():
    scales = torch.linspace(0.7, 1.3, 8)[:, None, None]
    state = {
        "experts.gate_up_proj": torch.randn(8, 160, 64) * scales,
        "experts.down_proj": torch.randn(8, 64, 80) * scales,
        "mlp.gate_up_proj.weight": torch.cat([torch.randn(80, 64), 3 * torch.randn(80, 64)]),
    }
    frame = analyze(state).frame
    assert len(frame) == 26
    assert frame["z_hill"].abs().max() < 4


@pytest.mark.parametrize(
    ("layer", "behind", "queries", "keys"),
    [("qkv_proj", "o_proj", 12, 4), ("Wqkv", "out_proj", 12, 6), ("c_attn", "c_proj", 12, 3), ("qkv", "proj", 12, 12)],
)
def test_queries_with_fewer_keys_are_split_where_the_layer_behind_shows_how_many(layer, behind, queries, keys):
    fused = torch.randn(queries + 2 * keys, 12)
    state = {f"attn.{layer}.weight": fused, f"attn.{behind}.weight": torch.randn(12, queries)}
    assert torch.equal(values(state, f"attn.{layer}.weight[q]"), fused[:queries])
    assert torch.equal(values(state, f"attn.{layer}.weight[k]"), fused[queries : queries + keys])
    assert torch.equal(values(state, f"attn.{layer}.weight[v]"), fused[queries + keys :])


def test_queries_of_a_group_with_their_key_are_split_where_the_heads_are_known():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_heads, self.num_kv_heads = 6, 2
            self.query_key_value, self.dense = nn.Linear(12, 20), nn.Linear(12, 12)

    model = Attention()
    grouped = model.query_key_value.weight.reshape(2, 5, 2, 12)  # groups × (3 queries, key, value) × size × inputs
    found = matrices(model)
    assert torch.equal(found["query_key_value.weight[q]"].load()[0], grouped[:, :3].reshape(12, 12))
    assert torch.equal(found["query_key_value.weight[k]"].load()[0], grouped[:, 3].reshape(4, 12))
    (whole, _) = open_weights(model.state_dict()).matrices
    assert "not split" in whole.note


def test_both_halves_of_a_gated_layer_are_known_by_the_layer_behind():
    gated = torch.randn(16, 6)
    state = {"ff.net.0.proj.weight": gated, "ff.net.2.weight": torch.randn(6, 8)}
    assert torch.equal(values(state, "ff.net.0.proj.weight[up]"), gated[:8])
    assert shapes({"mlp.Wi.weight": gated, "mlp.Wo.weight": torch.randn(6, 8)}).keys() == {
        "mlp.Wi.weight[gate]",
        "mlp.Wi.weight[up]",
        "mlp.Wo.weight",
    }
    assert "mlp.fc1.weight" in shapes({"mlp.fc1.weight": gated, "mlp.fc2.weight": torch.randn(6, 16)})


def test_a_row_of_a_stack_is_read_by_itself_and_once_for_both_halves(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    up, down = torch.randn(3, 16, 10), torch.randn(3, 10, 8)
    save_file({"experts.gate_up_proj": up, "experts.down_proj": down}, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path / "model.safetensors")
    for matrix, values_ in weights.each():
        assert values_.untyped_storage().nbytes() <= 16 * 10 * 4, matrix.name
    found = {matrix.name: matrix for matrix in weights.matrices}
    assert found["experts.gate_up_proj[1, gate]"].read is found["experts.gate_up_proj[1, up]"].read
    assert torch.equal(found["experts.gate_up_proj[2, up]"].load()[0], up[2, 8:])


class Counted(dict):
    """Shapes by name that count how often all of them are gone through."""

    passes = 0

    def items(self):
        self.passes += 1
        return super().items()

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


def test_all_names_are_gone_through_a_few_times_however_many_there_are():
    def passes(blocks):
        layers = ("c_fc", "c_proj", "qkv", "conv")
        paths = [f"h.{index}.mlp.{layer}" for index in range(blocks) for layer in layers]
        names = [path + ending for path in paths for ending in (".weight", "_weight_ema")]
        shapes_ = Counted({name: (4, 4, 3) if "conv" in name else (4, 4) for name in names})
        near = Neighbours(shapes_)
        for name in names:
            splitting_by_name(name, near, ConvMatrix.KERNEL_SLICES)
        return shapes_.passes

    assert passes(2) == passes(50) > 0


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model.layers.7.self_attn.q_proj.weight", "model.layers.7"),
        ("model.layers.7.mlp.experts.gate_up_proj[3, up]", "model.layers.7"),
        ("encoder.block.0.layer.1.DenseReluDense.wi.weight", "encoder.block.0"),
        (
            "down_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj.weight",
            "down_blocks.0.attentions.1.transformer_blocks.0",
        ),
        ("features.1.0.block.0.weight", "features.1.0"),
        ("0.weight", "0"),
        ("fc1.weight", ""),
        ("wte.weight", ""),
    ],
)
def test_a_matrix_knows_its_block(name, layer):
    assert layer_of(name) == layer


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"conv.weight": nn.Conv2d(64, 64, 3, groups=4)}, True),
        ({"branch.conv.weight": nn.Conv2d(64, 96, 3, groups=4), "norm.weight": nn.LayerNorm(96)}, True),
        ({"wave.weight": nn.Conv1d(32, 32, 5, groups=8, bias=False)}, True),
        ({"deconv.weight": nn.ConvTranspose2d(32, 16, 4, groups=4, bias=False)}, True),
        # what tells that there are none, or how many
        ({"stem.weight": nn.Conv2d(3, 64, 7)}, False),  # of an image
        ({"conv.weight": nn.Conv2d(16, 64, 3), "norm.weight": nn.LayerNorm(16)}, False),
        ({"conv1.weight": nn.Conv2d(3, 64, 3), "conv2.weight": nn.Conv2d(64, 96, 3, groups=4)}, False),
        ({"deconv.weight": (deconv := nn.ConvTranspose2d(32, 16, 4, groups=4)), "deconv.bias": deconv.bias}, False),
        ({"conv.weight": nn.Conv2d(64, 64, 1, groups=64)}, False),
        ({"conv.weight": nn.Conv2d(64, 32, 3)}, False),  # groups of two halves are as rare as they are many
        ({"conv.weight": nn.Conv2d(16, 64, 1)}, False),
    ],
)
def test_a_kernel_of_which_nothing_tells_the_groups_says_so(state, said):
    tensors = {name: getattr(one, "weight", one) for name, one in state.items()}
    notes = {matrix.name: matrix.note for matrix in open_weights(tensors).matrices}
    name = next(name for name in reversed(notes) if "conv" in name or len(notes) == 1)
    assert ("nothing tells whether it has groups" in notes[name]) == said


# --- neighbours of other shapes than their names promise


def of_many_names():
    tensors = {name: torch.randn(size) for name, size in {
        "mixer.in_proj.weight": (64, 16), "mixer.A_log": (32, 16), "mixer.x_proj.weight": (40, 32),
        "mixer.dt_proj.weight": (32, 8), "mixer.conv1d.weight": (32, 1, 4), "mixer.out_proj.weight": (16, 32),
        "mlp.gate.weight": (4, 16), "mlp.experts.gate_up_proj": (4, 16, 24), "mlp.experts.down_proj": (4, 12, 16),
        "attn.qkv_proj.weight": (32, 16), "attn.o_proj.weight": (16, 16), "attn.c_attn.weight": (8, 24),
        "attn.c_proj.weight": (8, 8), "keras.recurrent_weight": (16, 4), "keras.weight": (16, 4),
        "norm.weight_g": (8, 1, 1), "norm.weight_v": (8, 4, 3),
        "spectral.weight_orig": (8, 4), "spectral.weight_u": (8,),
        "a.lora_A.weight": (2, 8), "a.lora_B.weight": (6, 2), "c.lokr_w1": (2, 2), "c.lokr_w2_a": (4, 2),
        "c.lokr_w2_b": (2, 4),
    }.items()}  # fmt: skip
    for layer in (nn.LSTM(6, 5, proj_size=3), nn.GRU(4, 3), nn.MultiheadAttention(8, 2)):
        tensors |= {f"{type(layer).__name__}.{name}": one.detach() for name, one in layer.named_parameters()}
    return tensors


@pytest.mark.parametrize("shape", [(), (4, 0), (2, 2, 2)])
def test_a_neighbour_of_another_shape_is_no_reason_to_fail(shape):
    state = of_many_names()
    for name in state:
        with suppress(SpectailError):  # such as of a factor of an adapter that fits to none
            open_weights(state | {name: torch.zeros(shape)})
