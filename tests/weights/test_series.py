"""Checkpoints are found however a program lays them out, in the order of their steps; the rest is told in sentences."""

import argparse
import collections
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.distributed import checkpoint as dcp

from spectail.errors import SettingError, SourceError
from spectail.weights.opening import open_weights
from spectail.weights.series import find_series

STATE = {"fc.weight": torch.eye(4)}


def torch_file(path, **beside):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": STATE, **beside} if beside else STATE, path)


def safetensors_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(STATE, path)


def distributed(path):
    path.mkdir(parents=True)
    dcp.save(dict(STATE), checkpoint_id=path, no_dist=True)


def shards(path, *, index, name="model"):
    names = [f"{name}-0000{at}-of-00002.safetensors" for at in (1, 2)]
    for at, shard in enumerate(names):
        path.mkdir(parents=True, exist_ok=True)
        save_file({f"fc{at}.weight": torch.eye(4)}, path / shard)
    if index:
        places = {f"fc{at}.weight": shard for at, shard in enumerate(names)}
        (path / f"{name}.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def trainer(path, step):
    safetensors_file(path / "model.safetensors")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    torch.save({"state": {}, "param_groups": []}, path / "optimizer.pt")
    torch.save({"cpu": torch.zeros(3)}, path / "rng_state_0.pth")


STEPS = (5, 20, 100)  # in the order of letters: 100, 20, 5

LAYOUTS = {
    "step-N.pt": lambda run: [torch_file(run / f"step-{n}.pt") for n in STEPS],
    "thousands of steps": lambda run: [torch_file(run / f"gpt2-{n}step.bin") for n in STEPS],
    "N.safetensors": lambda run: [safetensors_file(run / f"{n}.safetensors") for n in STEPS],
    "the Trainer of Hugging Face": lambda run: [
        *(trainer(run / f"checkpoint-{n}", n) for n in STEPS),
        (run / "runs").mkdir(),
        (run / "training_args.bin").write_bytes(b"x"),
    ],
    "PEFT": lambda run: [safetensors_file(run / f"checkpoint-{n}" / "adapter_model.safetensors") for n in STEPS],
    "diffusers": lambda run: [
        safetensors_file(run / f"checkpoint-{n}" / "unet" / "diffusion_pytorch_model.safetensors") for n in STEPS
    ],
    "shards with an index": lambda run: [shards(run / f"step{n}", index=True) for n in STEPS],
    "shards without one": lambda run: [shards(run / f"step{n}", index=False) for n in STEPS],
    "shards of all steps in one folder": lambda run: [shards(run, index=False, name=f"model-{n}") for n in STEPS],
    "the same with indices": lambda run: [shards(run, index=True, name=f"model-step{n}") for n in STEPS],
    "a folder with a number": lambda run: [torch_file(run / "llama-7b" / f"step-{n}.pt") for n in STEPS],
    "Megatron": lambda run: [
        *(
            torch_file(run / f"iter_{n:07}" / "mp_rank_00" / "model_optim_rng.pt", model=STATE, iteration=n)
            for n in STEPS
        ),
        (run / "latest_checkpointed_iteration.txt").write_text("100"),
    ],
    "Lightning": lambda run: [
        *(torch_file(run / "version_0" / "checkpoints" / f"epoch={n}-step={n}.ckpt", global_step=n) for n in STEPS),
        (run / "version_0" / "hparams.yaml").write_text("{}"),
    ],
    "Lightning with another name": lambda run: [
        torch_file(run / "checkpoints" / f"epoch={at}.ckpt", global_step=n, epoch=at) for at, n in enumerate(STEPS)
    ],
    "torch.distributed.checkpoint": lambda run: [distributed(run / f"step-{n}") for n in STEPS],
    "accelerate's FSDP": lambda run: [
        distributed(run / f"checkpoint-{n}" / name) for n in STEPS for name in ("pytorch_model_fsdp_0", "optimizer_0")
    ],
    "pytorch_model_fsdp_N": lambda run: [distributed(run / f"pytorch_model_fsdp_{n}") for n in STEPS],
    "DeepSpeed": lambda run: [
        *(
            torch_file(run / f"global_step{n}" / "mp_rank_00_model_states.pt", global_steps=n, module=STATE)
            for n in STEPS
        ),
        (run / "latest").write_text("global_step100"),
    ],
    "nanoGPT, by what is stored": lambda run: [
        torch_file(run / name / "ckpt.pt", iter_num=n) for name, n in zip("abc", STEPS, strict=True)
    ],
}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_series_is_found_in_its_order_and_each_checkpoint_opens(layout, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    LAYOUTS[layout](run)
    series = find_series(run / "*" / "ckpt.pt" if layout.startswith("nanoGPT") else run)
    assert [one.step for one in series.checkpoints] == list(STEPS), series
    assert series.remarks == ()
    assert all(open_weights(one.source).matrices for one in series.checkpoints)


def test_a_step_beside_the_weights_counts_more_than_a_number_in_a_name(tmp_path):
    for at, step in enumerate((300, 600)):
        trainer(tmp_path / f"checkpoint_{at}", step)
    assert [one.step for one in find_series(tmp_path).checkpoints] == [300, 600]


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["step-1,000.pt", "step-12,000.pt"], [1000, 12000]),
        (["step500k.pt", "step1M.pt", "step1.5M.pt"], [500_000, 1_000_000, 1_500_000]),
        (["step-0001.pt", "step-0010.pt"], [1, 10]),
        (["epoch=3-val_loss=0.25.ckpt", "epoch=4-val_loss=0.20.ckpt"], [3, 4]),  # the loss is no step
        (["epoch=3-acc=95.ckpt", "epoch=4-acc=91.ckpt"], [3, 4]),
        (["epoch-1.pt", "step-100.pt", "step-200.pt"], [100, 200]),  # epochs and steps are not on one axis
        (["step-99999999999999999999.pt", "step-1.pt"], [1]),
        (["ckpt.100.pt", "ckpt.200.pt"], [100, 200]),
        (["step-1e3.pt", "step-2.5e3.pt"], [1000, 2500]),
        (["1e3.pt", "1e4.pt"], [1000, 10_000]),
        (["2024-01-03_500.pt", "2024-02-03_400.pt"], [400, 500]),  # a date is no step
        (["20240103-100001_7.pt", "20240103-110000_8.pt"], [7, 8]),
        (["ep0-ba100-rank0.pt", "ep0-ba200-rank0.pt", "ep1-ba300-rank0.pt", "latest-rank0.pt"], [100, 200, 300]),
        (["1-llama-7b.pt", "2-llama-7b.pt"], [1, 2]),
        (["ckpt_10k.pt", "ckpt_20k.pt", "ckpt_1M.pt"], [10_000, 20_000, 1_000_000]),
        (["ckpt-3f2a1b_5.pt", "ckpt-9c8d7e_6.pt"], [5, 6]),  # a hash is no number
        (["step_-1.pt", "step_0.pt", "step_1.pt"], [0, 1]),  # no step is negative
        ([f"step-{2**31 + n}.pt" for n in (0, 100)], [2**31, 2**31 + 100]),
        (["step-١٠٠.pt", "step-٢٠٠.pt"], [100, 200]),
    ],
)
def test_numbers_in_names_are_read_as_people_write_them(names, steps, tmp_path):
    for name in names:
        torch_file(tmp_path / name)
    found = find_series(tmp_path)
    assert [one.step for one in found.checkpoints] == steps
    assert len(found.remarks) == len(names) - len(steps)  # what is left out is told


def test_a_stored_step_may_be_a_whole_float_and_nothing_else_that_is_no_step(tmp_path):
    stored = {"a": 7.0, "b": 7.5, "c": -3, "d": 10**30, "e": float("nan"), "f": True, "g": "last", "h": 8}
    for name, step in stored.items():
        torch_file(tmp_path / f"{name}.pt", step=step)
    assert [(one.name, one.step) for one in find_series(tmp_path).checkpoints] == [("a.pt", 7), ("h.pt", 8)]


AS_STORED = {
    "text": {"step": "7"},
    "tensor": {"step": torch.tensor(7)},
    "tensor of one": {"step": torch.tensor([7.0])},
    "numpy": {"step": np.int64(7)},
    "array of numpy": {"global_step": np.array(7.0)},
    "mmengine": {"meta": {"epoch": 2, "iter": 7}},
    "torchtitan": {"train_state": {"step": torch.tensor(7, dtype=torch.int32)}},
    "an object": {"train_state": argparse.Namespace(step=7)},
    "ignite": {"trainer": collections.OrderedDict(epoch=2, iteration=7)},
    "fairseq": {"optimizer_history": [{"num_updates": 3}, {"num_updates": 7}]},
    "torchtune": {"steps_run": 7, "epochs_run": 1},
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("stored", AS_STORED)
def test_a_step_is_read_however_programs_store_it(stored, new, tmp_path):
    content = {"model": {"a.weight": torch.ones(3, 2)}, **AS_STORED[stored]}
    torch.save(content, tmp_path / "best.pt", _use_new_zipfile_serialization=new)
    assert [one.step for one in find_series(tmp_path / "best.pt").checkpoints] == [7]


def test_pieces_without_their_metadata_are_checkpoints_that_cannot_be_read(tmp_path):
    for n in (1, 2):
        (tmp_path / f"step-{n}").mkdir()
        (tmp_path / f"step-{n}" / "__0_0.distcp").write_bytes(b"x")
    assert [one.step for one in find_series(tmp_path).checkpoints] == [1, 2]


def test_duplicates_what_has_no_step_and_gaps_are_named(tmp_path):
    for n in (100, 200, 300, 500):
        torch_file(tmp_path / f"epoch=0-step={n}.ckpt", global_step=n)
    torch_file(tmp_path / "last.ckpt", global_step=500)
    torch_file(tmp_path / "best.pt")
    series = find_series(tmp_path)
    assert [one.name for one in series.checkpoints] == [f"epoch=0-step={n}.ckpt" for n in (100, 200, 300, 500)]
    assert series.remarks == (
        "best.pt is left out: neither its name nor what is stored in it says its step",
        "last.ckpt is left out: epoch=0-step=500.ckpt is of step 500 too",
        "between steps 300 and 500 there is none, though others are 100 apart",
    )


def test_when_something_was_made_is_no_step(tmp_path):
    for name in ("run_2024-01-03_10-00-07", "run_2024-01-03_11-30-05", "run_20240104-101112"):
        torch_file(tmp_path / f"{name}.pt")
    with pytest.raises(SourceError, match=r"neither names nor files say the steps of run_2024"):
        find_series(tmp_path)


def test_series_that_lie_side_by_side_are_not_mixed(tmp_path):
    run = tmp_path / "run"
    for n in STEPS:
        for name in (f"step-{n}.pt", f"step-{n}-ema.pt", f"G_{n}.pth", f"D_{n}.pth"):
            torch_file(run / name)
    with pytest.raises(
        SourceError, match=rf"several series .*'{run}/D_\*.pth' and .* name one, as a pattern in quotes"
    ):
        find_series(run)
    for pattern, names in [
        ("G_*.pth", [f"G_{n}.pth" for n in STEPS]),
        ("step-*.pt", [f"step-{n}.pt" for n in STEPS]),  # which fits the others too
        ("step-*-ema.pt", [f"step-{n}-ema.pt" for n in STEPS]),
    ]:
        assert [one.name for one in find_series(f"{run}/{pattern}").checkpoints] == names


OTHER = {"fc.weight": torch.eye(4), "head.weight": torch.ones(1, 4)}


@pytest.mark.parametrize(
    ("names", "others", "sentence"),
    [
        (["G-100", "G-200"], ["D-150", "D-250"], "'{run}/D-*.pt' and '{run}/G-*.pt'"),
        (["G-100"], ["D-150"], "'{run}/D-*.pt' and '{run}/G-*.pt'"),
        (["step-100-G", "step-200-G"], ["step-150-D", "step-250-D"], "'{run}/step-*-G.pt' and '{run}/step-*-D.pt'"),
        (["G-100/model", "G-200/model"], ["D-150/model", "D-250/model"], "'{run}/D-*' and '{run}/G-*'"),
    ],
)
def test_networks_that_were_kept_at_other_steps_are_not_taken_for_one(names, others, sentence, tmp_path):
    run = tmp_path / "run"
    for name in (*names, *others):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(OTHER if name in others else STATE, run / f"{name}.pt")
    with pytest.raises(SourceError) as told:
        find_series(run)
    named = f"{sentence.format(run=run)}; name one, as a pattern in quotes"
    assert str(told.value) == f"run has series of several networks, {named}"
    pattern = sentence.format(run=run).split("'")[1]
    assert len(find_series(pattern).checkpoints) == len(others if "D" in pattern else names)


def test_one_file_of_each_checkpoint_is_named_where_all_have_several(tmp_path):
    for n in STEPS:
        torch_file(tmp_path / f"step-{n}" / "generator.pt")
        torch.save(OTHER, tmp_path / f"step-{n}" / "critic.pt")
    sentence = r"each checkpoint of .* has several files of weights: critic\.pt, generator\.pt; name one of each, as '"
    with pytest.raises(SourceError, match=sentence) as told:
        find_series(tmp_path)
    assert [one.step for one in find_series(str(told.value).split("'")[1]).checkpoints] == list(STEPS)


@pytest.mark.parametrize("name", ["ep{}/ba{}.pt", "epoch_{}/step_{}/model.pt"])
def test_where_steps_begin_anew_in_each_folder_the_folder_is_named(name, tmp_path):
    for folder in (1, 2):
        for n in STEPS:
            torch_file(tmp_path / name.format(folder, n))
    with pytest.raises(SourceError, match="name the folder of one series, as '") as told:
        find_series(tmp_path)
    assert [one.step for one in find_series(str(told.value).split("'")[1]).checkpoints] == list(STEPS)


def test_what_is_of_another_network_than_all_others_is_left_out(tmp_path):
    for n in (100, 200):
        torch_file(tmp_path / f"step-{n}.pt")
    torch.save(OTHER, tmp_path / "vae-150.pt")
    torch_file(tmp_path / "ema-250.pt")
    series = find_series(tmp_path)
    assert [one.step for one in series.checkpoints] == [100, 200]
    assert series.remarks == (
        "ema-250.pt is left out: of it and step-100.pt one is called an average of weights",
        "vae-150.pt is left out: its matrices have other names or shapes than those of step-100.pt",
    )
    torch_file(tmp_path / "ema-150.pt")
    with pytest.raises(SourceError, match="has series of several networks"):
        find_series(tmp_path)


def test_another_network_that_comes_later_does_not_end_the_series_that_was_begun(tmp_path):
    for n in (100, 200):
        torch_file(tmp_path / f"G-{n}.pt")
        torch.save(OTHER, tmp_path / f"D-{n}.pt")
        torch_file(tmp_path / f"G2-{n}.pt")
        torch_file(tmp_path / f"G-best-{n + 50}.pt")
    for begun in ("D-100", "G-100"):
        series = find_series(tmp_path, measured=[str(tmp_path / f"{begun}.pt")])
        steps = [100, 200] if begun == "D-100" else [100, 150, 200, 250]
        assert [one.step for one in series.checkpoints] == steps
        assert {one.name[0] for one in series.checkpoints} == {begun[0]}
    assert series.remarks == (
        "D-*.pt is left out: its matrices have other names or shapes than those of G-100.pt",
        "G*-*.pt is left out: it has the steps of G-100.pt and others too",
    )


def test_names_of_one_network_are_taken_together_and_that_is_said(tmp_path):
    for name in ("ckpt-100", "ckpt-200", "best-150", "best-250"):
        torch_file(tmp_path / f"{name}.pt")
    series = find_series(tmp_path)
    assert [one.step for one in series.checkpoints] == [100, 150, 200, 250]
    assert series.remarks == (
        f"'{tmp_path}/best-*.pt' and '{tmp_path}/ckpt-*.pt' are taken for one series: "
        "their matrices have the same names and shapes",
    )


def test_states_of_optimizers_and_counts_beside_each_checkpoint_are_no_series(tmp_path):
    optimizer = {"state": {0: {"exp_avg": torch.eye(4)}}, "param_groups": [{"lr": 0.1}]}
    for n in STEPS:
        torch_file(tmp_path / f"weights_{n}.pt")
        torch.save(optimizer, tmp_path / f"opt_{n}.pt")
        torch.save({"step": n}, tmp_path / f"a_count_{n}.pt")
    series = find_series(tmp_path)
    assert [one.name for one in series.checkpoints] == [f"weights_{n}.pt" for n in STEPS]
    assert series.remarks == (
        "a_count_*.pt is left out: no matrix of a model can be read in it",
        "opt_*.pt is left out: no matrix of a model can be read in it",
    )


def test_shards_that_are_named_one_by_one_are_one_checkpoint_a_step(tmp_path):
    for index in (False, True):
        for n in STEPS:
            shards(tmp_path, index=index, name=f"{n}")
        for pattern in ("*", "*.safetensors"):
            assert [one.step for one in find_series(f"{tmp_path}/{pattern}").checkpoints] == list(STEPS)
    (tmp_path / "5.safetensors.index.json").unlink()
    (tmp_path / "5-00001-of-00002.safetensors").unlink()
    with pytest.raises(SourceError, match="has 1 of the 2 shards of 5"):
        open_weights(find_series(tmp_path).checkpoints[0].source)


def test_a_state_in_two_formats_is_one_checkpoint(tmp_path):
    for n in STEPS:
        torch_file(tmp_path / f"step-{n}.pt")
        safetensors_file(tmp_path / f"step-{n}.safetensors")
    assert [one.step for one in find_series(tmp_path).checkpoints] == list(STEPS)


def test_a_link_to_a_folder_is_no_other_series(tmp_path):
    for n in STEPS:
        torch_file(tmp_path / "run" / "checkpoints" / f"step-{n}.pt")
    (tmp_path / "latest").symlink_to("run")
    (tmp_path / "run" / "checkpoints" / "loop").symlink_to(".")
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path)
    for source in (tmp_path, linked):
        assert [one.name for one in find_series(source).checkpoints] == [f"run/checkpoints/step-{n}.pt" for n in STEPS]


def test_of_checkpoints_with_several_models_the_pattern_of_one_is_told(tmp_path):
    run = tmp_path / "run1"
    for n in STEPS:
        for part in ("unet", "unet_ema"):
            safetensors_file(run / f"checkpoint-{n}" / part / "diffusion_pytorch_model.safetensors")
    with pytest.raises(SourceError) as told:
        find_series(run)
    assert str(told.value) == (
        f"{run}/checkpoint-5 has weights in several folders: unet, unet_ema; name one of each, as "
        f"'{run}/checkpoint-*/unet'"
    )
    assert [one.step for one in find_series(f"{run}/checkpoint-*/unet").checkpoints] == list(STEPS)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["model.ckpt-{n}.index", "model.ckpt-{n}.data-00000-of-00001"], "a checkpoint of TensorFlow"),
        (["{n}/_CHECKPOINT_METADATA", "{n}/default/manifest.ocdbt"], "Orbax"),
    ],
)
def test_a_series_of_a_format_that_is_not_read_is_named(files, what, tmp_path):
    for n in STEPS:
        for file in files:
            path = tmp_path / file.format(n=n)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    with pytest.raises(SourceError, match=what):
        find_series(tmp_path)


def test_what_is_being_written_and_what_lies_beside_weights_is_no_checkpoint(tmp_path):
    torch_file(tmp_path / "step-1.pt")
    torch_file(tmp_path / "tmp-checkpoint-2" / "model.pt")
    torch_file(tmp_path / "optimizer-1.pt")
    for name in (".step-2.pt.part", "step-3.pt.tmp", "log_4.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [one.name for one in find_series(tmp_path).checkpoints] == ["step-1.pt"]


def test_a_folder_without_weights_that_is_called_as_others_is_a_checkpoint_that_was_not_written_to_its_end(tmp_path):
    folder = tmp_path / "checkpoints"
    for n in (1, 3):
        torch_file(folder / f"checkpoint-{n}" / "model.pt")
    for name in ("checkpoint-2", "samples-2"):
        (folder / name).mkdir()
        (folder / name / "trainer_state.json").write_text("{}")
    (folder / "checkpoint-4").mkdir()  # with nothing in it at all
    (folder / "checkpoint-5" / "shards").mkdir(parents=True)
    (folder / "logs-2").mkdir()
    for source in (folder, str(folder / "*-*"), tmp_path):
        names = [one.name.rpartition("/")[2] for one in find_series(source).checkpoints]
        assert names == [f"checkpoint-{n}" for n in (1, 2, 3, 4, 5)]


def test_what_is_named_and_does_not_exist_is_told_so(tmp_path):
    there, missing, typo = (str(tmp_path / name) for name in ("step-1.pt", "step-2.pt", "setp"))
    torch_file(Path(there))
    found = find_series([there, missing, typo])
    assert [one.step for one in found.checkpoints] == [1, 2]  # why the second cannot be read is told where it is read
    assert found.remarks == ("setp is left out: it does not exist",)
    with pytest.raises(SourceError, match="setp does not exist"):
        find_series([typo, f"{typo}s"])


def test_patterns_and_lists_take_the_step_from_where_the_paths_differ(tmp_path):
    for n in STEPS:
        safetensors_file(tmp_path / "run2" / f"checkpoint-{n}" / "unet_ema" / "diffusion_pytorch_model.safetensors")
    pattern = str(tmp_path / "run2" / "checkpoint-*" / "unet_ema")
    found = find_series(pattern)
    assert [one.step for one in found.checkpoints] == list(STEPS)
    assert found.checkpoints == find_series([one.source for one in reversed(found.checkpoints)]).checkpoints


def test_steps_are_given_where_nothing_says_them(tmp_path):
    for name in ("first", "second", "third"):
        torch_file(tmp_path / f"{name}.pt")
    paths = [str(tmp_path / f"{name}.pt") for name in ("first", "second", "third")]
    for source in (paths, tmp_path, f"{tmp_path}/*.pt"):
        with pytest.raises(SourceError, match=r"say the steps of first\.pt, second\.pt, third\.pt; expected steps"):
            find_series(source)
        assert [one.step for one in find_series(source, steps=[0, 10, 20]).checkpoints] == [0, 10, 20]
    assert [(one.step, one.name) for one in find_series(paths, steps=[0, 10, 20]).checkpoints] == [
        (0, "first.pt"), (10, "second.pt"), (20, "third.pt"),
    ]  # fmt: skip
    assert find_series(paths, steps=[0, 20, 10]).remarks == (
        "steps run back to 10; checkpoints are in the order of their steps",
    )
    assert find_series(paths, steps=[0, 10, 10]).remarks == ("third.pt is left out: second.pt is of step 10 too",)
    with pytest.raises(SettingError, match=r"^steps has 2 numbers for 3 checkpoints: first\.pt"):
        find_series(paths, steps=[0, 1])
    with pytest.raises(SettingError, match="are no steps"):
        find_series(paths, steps=[-1, 0, 1])


@pytest.mark.usefixtures("unchecked")
def test_steps_are_numbers_of_python_or_numpy(tmp_path):
    for name in ("first", "second"):
        torch_file(tmp_path / f"{name}.pt")
    assert [one.step for one in find_series(tmp_path, steps=np.array([0, 10])).checkpoints] == [0, 10]
    for wrong in (5, "01"):
        with pytest.raises(SettingError, match="are no steps; expected a whole number for each checkpoint"):
            find_series(tmp_path, steps=wrong)
    for wrong in ([0, float("nan")], [0, 2**60], [0, "a"]):
        with pytest.raises(SettingError, match=r"are no steps; expected whole numbers, none negative, below 2\^53"):
            find_series(tmp_path, steps=wrong)


def test_one_checkpoint_is_a_series_of_one(tmp_path):
    shards(tmp_path / "model", index=False)
    series = find_series(tmp_path / "model")
    assert [(one.step, one.name) for one in series.checkpoints] == [(0, "model")]
    assert series.remarks == ("model is the only checkpoint, and nothing says its step: it is taken for 0",)


@pytest.mark.parametrize("file", ["model_index.json", "modules.json"])
def test_numbered_parts_of_one_model_are_no_series(file, tmp_path):
    for part in ("text_encoder", "text_encoder_2"):
        safetensors_file(tmp_path / "pipe" / part / "model.safetensors")
    (tmp_path / "pipe" / file).write_text("{}")
    assert [one.name for one in find_series(tmp_path / "pipe").checkpoints] == ["pipe"]


def test_what_is_no_series_is_told_in_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for run in ("a", "b"):
        torch_file(tmp_path / "many" / run / "step-1.pt")
    for step in (2, 4):
        for part in ("model", "optim"):
            torch_file(tmp_path / "zero" / f"global_step{step}" / f"zero_pp_rank_0_mp_rank_00_{part}_states.pt")
    for source, sentence in {
        tmp_path / "empty": r"empty has no checkpoint; expected step-N\.pt",
        tmp_path / "many": "many has several series, in a, b; name one",
        tmp_path / "zero": r"zero is a checkpoint of DeepSpeed's ZeRO stage 3.* zero_to_fp32\.py \. merged",
        tmp_path / "no-*.pt": "fits no file; expected a folder of checkpoints",
        tmp_path / "absent": "absent does not exist; expected a folder of checkpoints",
        (): "an empty list is no series",
        3: "a int is no series; expected a folder",
    }.items():
        with pytest.raises(SourceError, match=sentence):
            find_series(source)
    with pytest.raises(SettingError, match="is of a model of the hub"):
        find_series(tmp_path, revisions="step*")
