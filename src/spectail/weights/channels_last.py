"""Kernels as Keras, JAX and Paddle store them, inputs before outputs, turned to what PyTorch stores.

Here: which way such a kernel goes. Not here: the files that hold them (`formats`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from spectail.weights.parameter import Parameter, why_not_matrix

_KERNEL = re.compile(r"(?P<path>(?:.*\.)?)(?P<kind>depthwise_|pointwise_|recurrent_|)kernel")


def as_in_torch(parameter: Parameter) -> Parameter:
    """A parameter as PyTorch would store it.

    Args:
        parameter: of Keras or JAX.

    Returns:
        a `kernel` of sizes × in × out as a `weight` of out × in × sizes, a depthwise one of sizes × in × copies as one
        of a group a channel, those of attention with their heads beside one another; all else as it is.

    >>> import numpy as np
    >>> from spectail.weights.parameter import from_array
    >>> weight = as_in_torch(from_array(np.zeros((3, 3, 16, 32)), "conv.kernel"))
    >>> weight.name, weight.shape
    ('conv.weight', (32, 16, 3, 3))
    """
    match = _KERNEL.fullmatch(parameter.name)
    shape = parameter.shape
    if match is None or len(shape) < 2:
        return parameter
    layer = match["path"].rstrip(".").rpartition(".")[2]
    turn: Callable[[Tensor], Tensor]
    if match["kind"] == "depthwise_" and len(shape) > 2:
        stored = (shape[-2] * shape[-1], 1, *shape[:-2])

        def turn(values: Tensor) -> Tensor:
            return values.flatten(-2).movedim(-1, 0).unsqueeze(1)

    elif len(shape) == 3 and re.fullmatch(r"_?(query|key|value)(_dense)?|[qkv](_proj)?", layer):
        stored = (shape[1] * shape[2], shape[0])

        def turn(values: Tensor) -> Tensor:
            return values.flatten(1).T

    elif len(shape) == 3 and re.fullmatch(r"out|attention_output|_?output(_dense)?|[ol]_proj", layer):
        stored = (shape[2], shape[0] * shape[1])

        def turn(values: Tensor) -> Tensor:
            return values.flatten(0, 1).T

    else:
        stored = (shape[-1], shape[-2], *shape[:-2])

        def turn(values: Tensor) -> Tensor:
            return values.movedim((-1, -2), (0, 1))

    load = parameter.load
    name = f"{match['path']}{match['kind']}weight"
    refusal = parameter.refusal or why_not_matrix(stored)
    return replace(
        parameter, name=name, shape=stored, load=lambda: turn(load()), load_rows=None, refusal=refusal, memory=None
    )


_EMBEDDING = re.compile(r"(.*\.)?\w*emb\w*\.weight")


def of_paddle(parameter: Parameter) -> Parameter:
    """A parameter of Paddle as PyTorch would store it: only linear layers have inputs before outputs there.

    >>> import numpy as np
    >>> from spectail.weights.parameter import from_array
    >>> of_paddle(from_array(np.zeros((20, 30)), "fc.weight")).shape
    (30, 20)
    """
    if len(parameter.shape) != 2 or not parameter.name.endswith("weight") or _EMBEDDING.fullmatch(parameter.name):
        return parameter
    load = parameter.load
    return replace(parameter, shape=parameter.shape[::-1], load=lambda: load().T, load_rows=None, memory=None)
