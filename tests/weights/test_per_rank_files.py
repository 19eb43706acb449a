"""Folders of DeepSpeed and Megatron: whole weights are read, parts of them named with what merges them."""

from argparse import Namespace
from collections import OrderedDict

import pytest
import torch
from torch import nn

from spectail.errors import SourceError
from spectail.weights.opening import open_weights


def a_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 8))


def names_of(path, **options):
    return [matrix.name for matrix in open_weights(path, **options).matrices]


def deepspeed(folder, module, *, rank="mp_rank_00_model_states.pt", shapes=None):
    """A folder as `engine.save_checkpoint` writes it."""
    step = folder / "global_step7"
    step.mkdir(parents=True, exist_ok=True)
    (folder / "latest").write_text("global_step7")
    (folder / "zero_to_fp32.py").write_text("raise SystemExit('is never run')")
    state = {"module": module, "optimizer": None, "param_shapes": shapes, "ds_config": {"x": 1}, "ds_version": "0.16"}
    torch.save(state, step / rank)
    partition = {"optimizer_state_dict": {"single_partition_of_fp32_groups": [torch.ones(50)]}}
    torch.save(partition, step / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    return folder


def shapes_of(state):
    return [OrderedDict((name, value.shape) for name, value in state.items())]


@pytest.mark.parametrize("older", [False, True])
def test_whole_parameters_of_deepspeed_are_read_of_the_last_step(tmp_path, older):
    state = a_model().bfloat16().state_dict()
    deepspeed(tmp_path, state, shapes=shapes_of(state))
    if older:  # another step beside
        (tmp_path / "global_step3").mkdir()
        torch.save({"module": {"x": torch.ones(3, 3)}}, tmp_path / "global_step3" / "mp_rank_00_model_states.pt")
    for path in (tmp_path, tmp_path / "global_step7"):
        weights = open_weights(path)
        assert [matrix.name for matrix in weights.matrices] == ["0.weight", "2.weight"]
        assert torch.equal(weights.matrices[1].load()[0], state["2.weight"])


def test_experts_of_deepspeed_lie_in_files_of_their_own(tmp_path):
    deepspeed(tmp_path, a_model().state_dict())
    for expert in range(2):
        name = f"moe.deepspeed_moe.experts.deepspeed_experts.{expert}.fc.weight"
        file = f"layer_0_expert_{expert}_mp_rank_00_model_states.pt"
        torch.save({name: torch.ones(4, 5)}, tmp_path / "global_step7" / file)
    assert [name for name in names_of(tmp_path) if "moe" in name] == [
        f"moe.deepspeed_moe.experts.deepspeed_experts.{expert}.fc.weight" for expert in range(2)
    ]


def test_layers_of_a_pipeline_have_their_numbers(tmp_path):
    deepspeed(tmp_path, None)
    for layer in (0, 2, 11):
        torch.save(
            {"fc.weight": torch.ones(4, 5)}, tmp_path / "global_step7" / f"layer_{layer:02}-model_00-model_states.pt"
        )
    assert names_of(tmp_path) == [f"{layer}.fc.weight" for layer in (0, 2, 11)]
    torch.save({}, tmp_path / "global_step7" / "layer_00-model_01-model_states.pt")
    with pytest.raises(SourceError, match="ds_to_universal"):
        open_weights(tmp_path)


def test_parameters_of_a_universal_checkpoint_are_named_by_their_folders(tmp_path):
    for name, value in a_model().state_dict().items():
        folder = tmp_path / "global_step7_universal" / "zero" / name
        folder.mkdir(parents=True)
        torch.save({"param": value, "cat_dim": 0}, folder / "fp32.pt")
        torch.save({"param": value}, folder / "exp_avg.pt")
    (tmp_path / "latest_universal").write_text("global_step7_universal")
    for path in (tmp_path, tmp_path / "global_step7_universal"):
        assert names_of(path) == ["0.weight", "2.weight"]


@pytest.mark.parametrize("some", [0, 1])
def test_partitioned_parameters_are_named_with_what_merges_them(tmp_path, some):
    state = a_model().state_dict()
    module = {name: torch.empty(0) for name in state}
    module |= dict(list(state.items())[1 : 1 + some])  # small ones stay whole
    deepspeed(tmp_path, module, rank="zero_pp_rank_0_mp_rank_00_model_states.pt", shapes=shapes_of(state))
    step = tmp_path / "global_step7"
    for path in (tmp_path, step, step / "zero_pp_rank_0_mp_rank_00_model_states.pt"):
        with pytest.raises(SourceError, match=r"ZeRO stage 3.*python zero_to_fp32.py \. merged"):
            open_weights(path)


def test_several_tensor_parallel_ranks_of_deepspeed_are_named(tmp_path):
    for rank in range(2):
        deepspeed(tmp_path, a_model().state_dict(), rank=f"mp_rank_{rank:02}_model_states.pt")
    with pytest.raises(SourceError, match="ds_to_universal --input_folder IN --output_folder OUT"):
        open_weights(tmp_path)


def megatron(folder, rank="mp_rank_00", step="iter_0000100"):
    torch.manual_seed(0)
    path = folder / step / rank
    path.mkdir(parents=True)
    (folder / "latest_checkpointed_iteration.txt").write_text(str(int(step.removeprefix("iter_"))))
    layer = {
        "self_attention.linear_qkv.weight": torch.randn(48, 24),
        "self_attention.linear_proj.weight": torch.randn(24, 24),
    }
    model = {f"decoder.layers.0.{name}": value for name, value in layer.items()}
    args = Namespace(num_attention_heads=4, num_query_groups=2, hidden_size=24, tensor_model_parallel_size=1)
    state = {"args": args, "checkpoint_version": 3.0, "iteration": 100, "model": model, "rng_state": [{"a": 1}]}
    torch.save(state, path / "model_optim_rng.pt")
    torch.save({"x": torch.ones(9)}, path / "distrib_optim.pt")


def test_one_rank_of_megatron_is_read_by_its_arguments(tmp_path):
    megatron(tmp_path)
    megatron(tmp_path, step="iter_0000200")
    letters = [f"decoder.layers.0.self_attention.linear_qkv.weight[{one}]" for one in "qkv"]
    for path in (tmp_path, tmp_path / "iter_0000100", tmp_path / "iter_0000100" / "mp_rank_00" / "model_optim_rng.pt"):
        weights = open_weights(path)
        assert [matrix.name for matrix in weights.matrices][:3] == letters
        assert [matrix.rows for matrix in weights.matrices][:3] == [24, 12, 12]
    assert open_weights(tmp_path).title == f'{tmp_path.name}/iter_0000200/mp_rank_00/model_optim_rng.pt["model"]'


@pytest.mark.parametrize("rank", ["mp_rank_01", "mp_rank_00_001"])
def test_several_ranks_of_megatron_are_named_with_what_merges_them(tmp_path, rank):
    megatron(tmp_path)
    megatron(tmp_path, rank)
    for path in (tmp_path, tmp_path / "iter_0000100"):
        with pytest.raises(SourceError, match=r"of Megatron .* convert\.py"):
            open_weights(path)
