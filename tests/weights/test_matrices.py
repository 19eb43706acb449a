"""Which matrices a module and a state dict have, and what is left out."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, parametrize, prune

from spectail.errors import SettingError
from spectail.weights.opening import open_weights

torch.manual_seed(0)


def by_name(source, **options):
    return {matrix.name: matrix for matrix in open_weights(source, **options).matrices}


def reasons(source):
    return {left_out.name: left_out.reason for left_out in open_weights(source).skipped}


def pooled(slices):
    return torch.linalg.svdvals(slices.double()).flatten().sort().values


def test_a_linear_layer_is_one_matrix_and_its_bias_is_left_out():
    layer = nn.Linear(4, 3)
    weights = open_weights(layer)
    (matrix,) = weights.matrices
    assert (matrix.name, matrix.kind, matrix.slices, matrix.rows, matrix.cols) == ("weight", "linear", 1, 3, 4)
    assert torch.equal(matrix.load()[0], layer.weight)
    assert matrix.load().data_ptr() == layer.weight.data_ptr()
    (bias,) = weights.skipped
    assert (bias.name, bias.shape) == ("bias", (3,))
    assert "vector" in bias.reason


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_kernel_slices_are_what_a_convolution_does_at_each_position(dimensions, groups):
    size = (2, 3, 2)[:dimensions]
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1](4, 8, size, groups=groups, bias=False).double()
    found = by_name(layer)["weight"]
    assert found.kind == f"conv{dimensions}d"
    # an image of one pixel that is on, in one channel: the response is a column of that position's matrix
    positions = torch.Size(size).numel()
    images = torch.eye(4 * positions, dtype=torch.float64).reshape(4 * positions, 4, *size)
    responses = layer(images).reshape(4, positions, 8).permute(1, 2, 0)
    expected = pooled(responses)
    got = pooled(found.load())
    # groups leave the dense matrix with zeros that the blocks do not have; rounding of float64
    torch.testing.assert_close(got, expected[-len(got) :], rtol=1e-12, atol=1e-14)
    assert expected[: -len(got)].sum() < 1e-13


@pytest.mark.parametrize("groups", [1, 2])
def test_kernel_slices_of_a_transposed_convolution_are_what_it_does_to_one_pixel(groups):
    layer = nn.ConvTranspose2d(4, 6, (2, 3), groups=groups, bias=False).double()
    found = by_name(layer)["weight"]
    assert (found.kind, found.slices, found.rows, found.cols) == (
        "conv-transpose2d",
        6 * groups,
        6 // groups,
        4 // groups,
    )
    responses = layer(torch.eye(4, dtype=torch.float64).reshape(4, 4, 1, 1)).permute(2, 3, 1, 0).reshape(6, 6, 4)
    if groups == 1:
        assert torch.equal(found.load(), responses)
    torch.testing.assert_close(pooled(found.load()), pooled(responses)[-24:], rtol=1e-12, atol=1e-14)  # rounding


def test_a_flattened_kernel_is_out_by_everything_else():
    layer = nn.Conv2d(3, 5, 2)
    (matrix,) = open_weights(layer, conv="flatten").matrices
    assert torch.equal(matrix.load(), layer.weight.reshape(1, 5, 12))
    layer = nn.ConvTranspose1d(4, 6, 5, groups=2)
    (matrix,) = open_weights(layer, "flatten").matrices
    assert (matrix.slices, matrix.rows, matrix.cols) == (2, 3, 10)
    assert torch.equal(matrix.load()[1], layer.weight[2:].transpose(0, 1).reshape(3, 10))


def test_an_unknown_convention_is_refused():
    with pytest.raises(SettingError, match="conv='slices' is not known; expected kernel-slices or flatten"):
        open_weights(nn.Linear(2, 2), conv="slices")


@pytest.mark.parametrize(
    ("layer", "gates"),
    [
        (nn.LSTM(3, 5, num_layers=2, bidirectional=True), ["input gate", "forget gate", "cell", "output gate"]),
        (nn.GRU(3, 5, bidirectional=True), ["reset gate", "update gate", "new"]),
        (nn.LSTMCell(3, 5), ["input gate", "forget gate", "cell", "output gate"]),
        (nn.GRUCell(3, 5), ["reset gate", "update gate", "new"]),
    ],
)
@pytest.mark.parametrize("known", ["module", "state dict"])
def test_recurrent_weights_are_split_by_gate(layer, gates, known):
    found = by_name(layer if known == "module" else layer.state_dict())
    for name, parameter in layer.named_parameters():
        if "weight" in name:
            for index, gate in enumerate(gates):
                matrix = found.pop(f"{name}[{gate}]")
                assert matrix.kind == ("lstm" if len(gates) == 4 else "gru")
                assert torch.equal(matrix.load()[0], parameter[5 * index : 5 * index + 5])
    assert not found


@pytest.mark.parametrize("known", ["module", "state dict"])
def test_a_projected_lstm_keeps_its_projection(known):
    layer = nn.LSTM(6, 5, proj_size=3)
    found = by_name(layer if known == "module" else layer.state_dict())
    assert (found["weight_hr_l0"].rows, found["weight_hr_l0"].cols) == (3, 5)
    assert (found["weight_hh_l0[cell]"].rows, found["weight_hh_l0[cell]"].cols) == (5, 3)
    assert len(found) == 9


@pytest.mark.parametrize("known", ["module", "state dict"])
def test_attention_is_split_into_query_key_and_value(known):
    one = nn.MultiheadAttention(6, 2)
    other = nn.MultiheadAttention(6, 2, kdim=3, vdim=4, add_bias_kv=True)
    model = nn.ModuleDict({"one": one, "other": other})
    found = by_name(model if known == "module" else model.state_dict())
    for index, letter in enumerate("qkv"):
        assert torch.equal(
            found[f"one.in_proj_weight[{letter}]"].load()[0], one.in_proj_weight[6 * index : 6 * index + 6]
        )
        assert found[f"other.{letter}_proj_weight"].kind == "attention"
    assert set(found) >= {"one.out_proj.weight", "other.out_proj.weight"}
    assert len(found) == 8


class Conv1D(nn.Module):
    """As Hugging Face's: a linear layer stored in × out."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn, self.c_fc = Conv1D(18, 6), Conv1D(24, 6)


@pytest.mark.parametrize("known", ["module", "state dict"])
def test_weights_of_gpt2_are_turned_and_split(known):
    block = Block()
    found = by_name(block if known == "module" else block.state_dict())
    assert torch.equal(found["c_attn.weight[k]"].load()[0], block.c_attn.weight[:, 6:12].T)
    assert torch.equal(found["c_fc.weight"].load()[0], block.c_fc.weight.T)
    assert found["c_fc.weight"].kind == "linear"


class Attention(nn.Module):
    def __init__(self, name, heads=None):
        super().__init__()
        self.add_module(name, nn.Linear(6, 18))
        if heads:
            self.num_heads = heads


@pytest.mark.parametrize("name", ["qkv", "in_proj", "c_attn", "Wqkv", "qkv_proj"])
def test_a_fused_layer_is_split_into_thirds_of_its_outputs(name):
    model = Attention(name)
    for source in (model, model.state_dict()):
        found = by_name(source)
        assert torch.equal(found[f"{name}.weight[v]"].load()[0], getattr(model, name).weight[12:])
        assert len(found) == 3


def test_a_layer_fused_by_head_is_split_by_head_or_left_whole():
    model = Attention("query_key_value", heads=2)
    found = by_name(model)
    rows = model.query_key_value.weight.reshape(2, 3, 3, 6)
    for index, letter in enumerate("qkv"):
        expected = torch.cat([rows[0, index], rows[1, index]])
        assert torch.equal(found[f"query_key_value.weight[{letter}]"].load()[0], expected)
    (whole,) = open_weights(model.state_dict()).matrices
    assert (whole.rows, whole.cols) == (18, 6)
    assert "not split" in whole.note


def test_grouped_queries_are_not_split_into_thirds():
    model = nn.ModuleDict({"qkv_proj": nn.Linear(6, 10)})
    (matrix,) = open_weights(model).matrices
    assert (matrix.rows, matrix.cols) == (10, 6)


def test_embeddings_and_bilinear_forms_say_what_they_are():
    model = nn.ModuleDict({"emb": nn.Embedding(9, 4), "bag": nn.EmbeddingBag(8, 3), "bilinear": nn.Bilinear(2, 3, 5)})
    found = by_name(model)
    assert [matrix.kind for matrix in found.values()] == ["embedding", "embedding-bag", "bilinear"]
    assert torch.equal(found["bilinear.weight"].load(), model["bilinear"].weight)
    assert by_name(model, conv="flatten")["bilinear.weight"].load().shape == (1, 5, 6)
    assert by_name(model.state_dict())["bilinear.weight"].slices == 5


def test_other_parameters_are_matrices_of_their_last_two_dimensions():
    model = nn.ParameterDict(
        {
            "experts": torch.randn(3, 4, 5),
            "maps": torch.randn(2, 4, 5),
            "pos": torch.randn(1, 7, 6),
            "flat": torch.randn(1, 5),
        }
    )
    found = by_name(model)
    shapes = {name: (matrix.kind, *matrix.load().shape) for name, matrix in found.items()}
    assert shapes == {
        **{f"experts[{index}]": ("expert", 1, 4, 5) for index in range(3)},
        **{f"maps[{index}]": ("weight", 1, 4, 5) for index in range(2)},
        "pos": ("embedding", 1, 7, 6),
    }
    assert reasons(model) == {"flat": "a vector, shaped to broadcast"}


def tied_modules():
    embedding, head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
    head.weight = embedding.weight
    model = nn.Sequential(embedding, nn.Linear(4, 4, bias=False), head)
    return model.append(model[1])


@pytest.mark.parametrize("known", ["module", "state dict"])
def test_tied_weights_count_once_and_name_each_other(known):
    model = tied_modules()
    source = model if known == "module" else model.state_dict()
    found = by_name(source)
    assert list(found) == ["0.weight", "1.weight"]
    assert [matrix.note for matrix in found.values()] == ["tied to 2.weight", "tied to 3.weight"]
    assert "0.weight" in reasons(source)["2.weight"]


def test_a_transposed_view_is_tied_and_an_equal_copy_is_not():
    weight = torch.randn(5, 3)
    found = by_name({"a.weight": weight, "b.weight": weight.T, "c.weight": weight.clone(), "d.weight": weight[:3]})
    assert list(found) == ["a.weight", "c.weight", "d.weight"]


def snapshot(model):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return state, [module.training for module in model.modules()], torch.get_rng_state()


def assert_untouched(model, before):
    state, training, rng = snapshot(model)
    assert state.keys() == before[0].keys()
    assert all(torch.equal(state[name], before[0][name]) for name in state)
    assert training == before[1]
    assert torch.equal(rng, before[2])
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "norm", [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
)
def test_a_parametrized_weight_is_analysed_as_it_acts_and_the_module_stays(norm):
    model = nn.Sequential(norm(nn.Linear(6, 6)), nn.Linear(6, 2))
    before = snapshot(model)
    weights = open_weights(model)
    assert [matrix.name for matrix in weights.matrices] == ["0.weight", "1.weight"]
    assert norm.__name__ in weights.matrices[0].note
    loaded = [weights.matrices[0].load() for _ in range(3)]
    assert_untouched(model, before)
    assert parametrize.is_parametrized(model[0])
    expected = model.eval()[0].weight
    assert all(torch.equal(one[0], expected) for one in loaded)
    assert all("as it acts" in left_out.reason for left_out in weights.skipped if "original" in left_out.name)


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of.*:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_weights_that_a_hook_computes_are_analysed_as_they_act(norm):
    model = nn.Sequential(norm(nn.Conv2d(2, 3, 2)))
    before = snapshot(model)
    (matrix,) = open_weights(model).matrices
    assert (matrix.name, matrix.kind) == ("0.weight", "conv2d")
    loaded = matrix.load()
    assert_untouched(model, before)
    model.eval()(torch.zeros(1, 2, 2, 2))  # the hook computes it
    # the same formula in another order of additions
    torch.testing.assert_close(loaded, model[0].weight.detach().flatten(2).permute(2, 0, 1), rtol=1e-6, atol=1e-7)


def test_pruned_weights_are_zero_where_they_were_pruned():
    model = nn.Sequential(nn.Linear(6, 4))
    prune.random_unstructured(model[0], "weight", amount=0.5)
    for source in (model, model.state_dict()):
        (matrix,) = open_weights(source).matrices
        assert matrix.name == "0.weight"
        assert torch.equal(matrix.load()[0], model[0].weight)
        assert (matrix.load() == 0).sum() == 12


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of.*:FutureWarning")
@pytest.mark.parametrize(
    "norm",
    [parametrizations.weight_norm, parametrizations.spectral_norm, nn.utils.weight_norm, nn.utils.spectral_norm],
)
def test_a_state_dict_of_normalised_weights_gives_what_the_module_gives(norm):
    model = nn.Sequential(norm(nn.Linear(5, 7)), norm(nn.ConvTranspose1d(2, 3, 4)))
    expected = by_name(model)
    found = by_name(model.state_dict())
    assert list(found) == ["0.weight", "1.weight"]
    first, second = found.values()
    # the same formula in another order of additions, in float32
    torch.testing.assert_close(first.load(), expected["0.weight"].load(), rtol=1e-5, atol=1e-7)
    # a state dict does not tell that a convolution is transposed; the spectrum is the same
    torch.testing.assert_close(pooled(second.load()), pooled(expected["1.weight"].load()), rtol=1e-5, atol=1e-7)


def test_a_parametrization_that_fails_is_left_out_with_its_reason():
    class Broken(nn.Module):
        broken = False

        def forward(self, weight):
            if self.broken:
                raise RuntimeError("no luck")
            return weight

    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Broken())
    layer.parametrizations.weight[0].broken = True
    assert "no luck" in reasons(layer)["weight"]


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.tensor(1.0), "a scalar"),
        (torch.ones(3), "a vector"),
        (torch.ones(1, 1, 3), "broadcast"),
        (torch.ones(0, 3), "empty"),
        (torch.ones(3, 3, dtype=torch.int8), "integers (int8)"),
        (torch.ones(3, 3, dtype=torch.bool), "integers (bool)"),
        (torch.ones(3, 3, dtype=torch.complex64), "complex"),
        (torch.ones(3, 3, device="meta"), "meta device"),
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.ones(1, 1).expand(10**6, 10**6), "expanded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_dense_real_matrix_is_left_out_with_its_reason(tensor, reason):
    weights = open_weights({"x": tensor})
    assert not weights.matrices
    (left_out,) = weights.skipped
    assert left_out.shape == tuple(tensor.shape)
    assert reason in left_out.reason


def test_a_lazy_module_and_a_buffer_are_left_out_with_their_reasons():
    model = nn.Sequential(nn.LazyLinear(3))
    model.register_buffer("table", torch.ones(2, 2))
    assert "not initialised" in reasons(model)["0.weight"]
    assert "buffer" in reasons(model)["table"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_floating_dtype_is_given_as_it_is_stored(dtype):
    (matrix,) = open_weights({"w": torch.ones(3, 2).to(dtype)}).matrices
    assert matrix.load().dtype is dtype


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
)
def test_8_bit_floats_are_given_in_float32_from_a_module_too(dtype):
    layer = nn.Linear(3, 3)
    layer.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    (matrix,) = open_weights(layer).matrices
    assert matrix.dtype == str(dtype).removeprefix("torch.")
    assert torch.equal(matrix.load()[0], layer.weight.float())


def test_a_matrix_is_read_as_it_is_at_that_time():
    layer = nn.Linear(3, 3)
    (matrix,) = open_weights(layer).matrices
    with torch.no_grad():
        layer.weight.mul_(2)
    assert torch.equal(matrix.load()[0], layer.weight)
    layer.load_state_dict({"weight": torch.ones(3, 3), "bias": torch.ones(3)}, assign=True)
    assert torch.equal(matrix.load()[0], torch.ones(3, 3))
    assert not matrix.load().requires_grad


def test_wrapped_models_have_the_names_of_the_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    names = list(by_name(model))
    compiled = torch.compile(copy.deepcopy(model))
    inner = nn.Sequential(torch.compile(nn.Linear(3, 4)), nn.Linear(4, 2))
    for wrapped in (nn.DataParallel(model), compiled, torch.optim.swa_utils.AveragedModel(model), inner):
        assert list(by_name(wrapped)) == names
    for wrapped in (nn.DataParallel(compiled), compiled, inner):
        weights = open_weights(wrapped.state_dict())
        assert [matrix.name for matrix in weights.matrices] == names
    assert open_weights(compiled.state_dict()).title == 'state dict (its names without the prefix "_orig_mod.")'


def test_parts_that_are_wrapped_have_the_names_of_the_model_as_a_module_and_as_a_state_dict():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))
    names = ["0.weight", "1.0.weight", "1.1.weight"]
    inside = copy.deepcopy(model)
    inside[0] = checkpoint_wrapper(inside[0])
    inside[1][0] = nn.DataParallel(torch.compile(checkpoint_wrapper(inside[1][0])))
    averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(inside))
    for source in (inside, inside.state_dict(), averaged, averaged.state_dict()):
        assert list(by_name(source)) == names
    sharded = {f"_fsdp_wrapped_module.{name}": tensor for name, tensor in model.state_dict().items()}
    sharded = {
        name.replace("1.0.", "_forward_module.1._fpw_module.module.0."): tensor for name, tensor in sharded.items()
    }
    assert list(by_name(sharded)) == names


def test_a_layer_that_is_called_module_keeps_its_name_where_two_would_be_equal():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.module, self.fc = nn.ModuleDict({"fc": nn.Linear(3, 4)}), nn.Linear(4, 2)

    model = Model()
    wrapped = nn.DataParallel(model)
    for source in (model, model.state_dict(), wrapped, wrapped.state_dict()):
        assert list(by_name(source)) == ["module.fc.weight", "fc.weight"]


def test_a_checkpoint_is_unwrapped_and_says_so():
    state = {f"module.{name}": tensor for name, tensor in nn.Linear(3, 4).state_dict().items()}
    weights = open_weights({"epoch": 3, "optimizer": {"lr": 1}, "model": {"state_dict": state}})
    assert [matrix.name for matrix in weights.matrices] == ["weight"]
    assert weights.title.startswith('state dict["model"]["state_dict"]')
    assert {"epoch", "optimizer"} <= {left_out.name for left_out in weights.skipped}


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(4, 3)}}, "param_groups": [{"lr": 0.1}], "fp32": torch.ones(4, 3)}


@pytest.mark.parametrize("key", ["model_state", "generator"])
def test_the_only_state_dict_of_a_checkpoint_is_found_whatever_its_name(key):
    state = nn.Linear(3, 4).state_dict()
    weights = open_weights({"step": 3, "optimizer_state": OPTIMIZER, key: state})
    assert [matrix.name for matrix in weights.matrices] == ["weight"]
    assert weights.title == f'state dict["{key}"]'
    assert {"step", "optimizer_state"} <= {left_out.name for left_out in weights.skipped}


def test_of_several_state_dicts_that_of_a_usual_name_is_taken_or_else_all():
    state = nn.Linear(3, 4).state_dict()
    several = {"generator": state, "critic": state, "optimizer": OPTIMIZER}
    assert open_weights({**several, "model_state": state}).title == 'state dict["model_state"]'
    assert [one.name for one in open_weights(several).matrices] == ["generator.weight"]  # the other is the same
    assert open_weights(several, key="critic").title == 'state dict["critic"]'
    with pytest.raises(ValueError, match="no state dict under key='ema'; there are generator, critic"):
        open_weights(several, key="ema")


def test_a_name_that_a_terminal_would_obey_is_escaped_in_the_title():
    assert open_weights({"\x1b[31m": nn.Linear(3, 4).state_dict()}).title == r'state dict["\x1b[31m"]'


def test_what_holds_no_tensor_is_refused_and_an_empty_model_is_not():
    with pytest.raises(ValueError, match="holds no tensor by name, only epoch, lr; expected a state dict"):
        open_weights({"epoch": 3, "lr": 0.1})
    with pytest.raises(ValueError, match="a int is no source of weights"):
        open_weights(3)
    with pytest.raises(ValueError, match="source='' is empty; expected a path"):
        open_weights("")  # and not the current folder, where a variable of the shell is not set
    assert open_weights({}).matrices == open_weights(nn.ReLU()).matrices == ()


def test_lists_of_rows_are_weights_and_other_lists_are_not():
    rows = torch.randn(12, 11).double()
    opened = open_weights({"w": rows.tolist(), "sizes": [[1, 2], [3, 4]], "ragged": [[1.0], [2.0, 3.0]]})
    (matrix,) = opened.matrices
    assert torch.equal(matrix.load()[0], rows)
    assert {one.name for one in opened.skipped} == {"sizes", "ragged"}


def test_a_causal_mask_that_is_kept_as_a_bias_is_no_weight():
    found = open_weights({"h.0.attn.bias": torch.ones(1, 1, 8, 8), "h.0.attn.masked_bias": torch.tensor(-1e4)})
    assert not found.matrices
    assert "mask" in found.skipped[0].reason


def test_a_module_that_contains_itself_ends():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].owner = model
    assert list(by_name(model)) == ["0.weight"]


def test_names_that_a_terminal_would_obey_are_escaped():
    (matrix,) = open_weights({"\x1b[2J\ud800": torch.ones(2, 2)}).matrices
    assert matrix.name == r"\x1b[2J\ud800"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t"])
def test_every_parameter_of_known_models_is_analysed_or_listed(name):
    models = pytest.importorskip("torchvision.models")
    model = getattr(models, name)(num_classes=10)
    for source in (model, model.state_dict()):
        weights = open_weights(source)
        told = {matrix.name.partition("[")[0] for matrix in weights.matrices}
        told |= {left_out.name for left_out in weights.skipped}
        assert {parameter for parameter, _ in model.named_parameters()} <= told
        for matrix in weights.matrices:
            assert matrix.load().shape == (matrix.slices, matrix.rows, matrix.cols)
        assert not [
            matrix.name for matrix in weights.matrices if matrix.kind == "weight" and "_bias_table" not in matrix.name
        ]
