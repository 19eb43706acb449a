"""Folders that programs for many devices write: a file a rank, a layer, an expert or a parameter.

Here: what these files are called, and which of them together hold whole weights. Not here: what is in one (`formats`).

Source: https://github.com/deepspeedai/DeepSpeed, runtime/engine.py and checkpoint/ds_to_universal.py;
https://github.com/NVIDIA/Megatron-LM, megatron/training/checkpointing.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from spectail.weights.parameter import Source

_RANK = re.compile(r"mp_rank_\d+_model_states\.pt")

_EXPERT = re.compile(r"(layer_\d+_)?expert_\d+_mp_rank_\d+_model_states\.pt")

_LAYER = re.compile(r"layer_(?P<layer>\d+)-model_(?P<rank>\d+)-model_states\.pt")

_PARAMETER = re.compile(r"zero/(?P<name>[^/]+)/fp32\.pt")

_PARTITION = re.compile(r"(.*/)?zero_pp_rank_\d+_mp_rank_\d+_model_states\.pt")

_MEGATRON = re.compile(r"(.*/)?mp_rank_\d+(_\d+)*/(model_optim_rng|model_rng|model)\.pt")

_META = re.compile(r"consolidated\.\d+\.pth")

_LATEST = ("latest_universal", "latest", "latest_checkpointed_iteration.txt")


def notes_of_latest(names: Collection[str]) -> list[str]:
    """The files of a folder that say which step in it is the last."""
    return [name for name in _LATEST if name in names]


def step_called(text: str, names: Iterable[str]) -> str:
    """The folder of a step, by what such a file says of it; empty where there is none.

    >>> step_called("100", ["iter_0000100/mp_rank_00/model_optim_rng.pt"])
    'iter_0000100'
    """
    folders = {name.partition("/")[0] for name in names if "/" in name}
    text = text.strip()
    return next((name for name in (text, f"iter_{text:0>7}") if name in folders), "")


def files_of_ranks(names: Collection[str]) -> list[str]:
    """The files of a folder of DeepSpeed that together hold whole weights; none where it is no such folder.

    Args:
        names: of its files.

    Returns:
        one a parameter (universal checkpoints), one a layer (pipelines), or that of the only rank and its experts.
    """
    parameters = sorted(name for name in names if _PARAMETER.fullmatch(name))
    if parameters:
        return parameters
    layers = sorted(name for name in names if _LAYER.fullmatch(name))
    if layers:
        return layers if len({match["rank"] for name in layers if (match := _LAYER.fullmatch(name))}) == 1 else []
    ranks = [name for name in names if _RANK.fullmatch(name)]
    return [*ranks, *sorted(name for name in names if _EXPERT.fullmatch(name))] if len(ranks) == 1 else []


def named_by_file(name: str, source: Source) -> Source:
    """What one of these files holds, under the names that the whole model has for it."""
    layer, parameter = _LAYER.fullmatch(name), _PARAMETER.fullmatch(name)
    if layer:
        named = [replace(one, name=f"{int(layer['layer'])}.{one.name}") for one in source.parameters]
        return replace(source, parameters=named)
    if parameter:
        return replace(
            source, parameters=[replace(one, name=parameter["name"]) for one in source.parameters[:1]], skipped=()
        )
    return source


def why_in_parts(names: Collection[str]) -> str:
    """What a folder is of which each rank has a part of every weight, and how to merge these; empty if it is none.

    Args:
        names: of its files, with "/" where they lie in folders below it.
    """
    if any(_PARTITION.fullmatch(name) for name in names):
        return (
            "a checkpoint of DeepSpeed's ZeRO stage 3, of which each rank has a part; "
            "where its zero_to_fp32.py lies, python zero_to_fp32.py . merged merges them"
        )
    if len([name for name in names if _RANK.fullmatch(name) or _LAYER.fullmatch(name)]) > 1:
        return (
            "a checkpoint of DeepSpeed of which several model-parallel ranks have a part each; "
            "python -m deepspeed.checkpoint.ds_to_universal --input_folder IN --output_folder OUT merges them"
        )
    if len([name for name in names if _MEGATRON.fullmatch(name)]) > 1:
        return (
            "a checkpoint of Megatron of which several ranks have a part each; its tools/checkpoint/convert.py merges "
            "them: python convert.py --model-type GPT --loader core --saver core --target-tensor-parallel-size 1 "
            "--target-pipeline-parallel-size 1 --load-dir IN --save-dir OUT"
        )
    if len([name for name in names if _META.fullmatch(name)]) > 1:
        return (
            "a model of Meta's of which several files have a part each; python -m "
            "transformers.models.llama.convert_llama_weights_to_hf --input_dir IN --output_dir OUT joins them"
        )
    return ""
