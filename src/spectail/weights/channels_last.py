"""Kernels as Keras, JAX, TensorFlow and Paddle store them, inputs before outputs, turned to what PyTorch stores.

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
        turned_shape = (shape[-2] * shape[-1], 1, *shape[:-2])

        def turn(values: Tensor) -> Tensor:
            return values.flatten(-2).movedim(-1, 0).unsqueeze(1)

    elif len(shape) == 3 and re.fullmatch(r"_?(query|key|value)(_dense)?|[qkv](_proj)?", layer):
        turned_shape = (shape[1] * shape[2], shape[0])

        def turn(values: Tensor) -> Tensor:
            return values.flatten(1).T

    elif len(shape) == 3 and re.fullmatch(r"out|attention_output|_?output(_dense)?|[ol]_proj", layer):
        turned_shape = (shape[2], shape[0] * shape[1])

        def turn(values: Tensor) -> Tensor:
            return values.flatten(0, 1).T

    else:
        turned_shape = (shape[-1], shape[-2], *shape[:-2])

        def turn(values: Tensor) -> Tensor:
            return values.movedim((-1, -2), (0, 1))

    load = parameter.load
    name = f"{match['path']}{match['kind']}weight"
    refusal = parameter.refusal or why_not_matrix(turned_shape)
    return replace(
        parameter,
        name=name,
        shape=turned_shape,
        load=lambda: turn(load()),
        load_rows=None,
        refusal=refusal,
        memory=None,
    )


_OF_TENSORFLOW = re.compile(
    r"(?P<path>(?:.*\.)?)(?P<kind>depthwise_|pointwise_|recurrent_|)(?P<called>weights|w)"
    r"|(?P<attention>.*attention\w*)\.(?P<of>[qkvo])",
    re.IGNORECASE,
)
"""What graphs of TensorFlow call their kernels beside `kernel`: TF-Slim, the first GPT-2, Haiku; and T5's attention."""

_SLOTS = re.compile(
    r"(.*\.)?(adam\w*|lamb(_\w+)?|nadam\w*|momentum\w*|rmsprop\w*|adagrad\w*|adadelta\w*|ftrl\w*|adafactor\w*|(\w+_)?slot_\w+)",
    re.IGNORECASE,
)
"""What TensorFlow's optimizers put behind the name of a variable."""

_AVERAGE = ".ExponentialMovingAverage"


def is_of_tensorflow(name: str) -> bool:
    """Whether a name is one of a graph of TensorFlow, or of Haiku: steps between slashes, an output behind a colon.

    >>> is_of_tensorflow("model/h0/attn/c_attn/w:0"), is_of_tensorflow("model.h0.attn.c_attn.w")
    (True, False)
    """
    return "/" in name or re.search(r"\w:\d+$", name) is not None


def of_tensorflow(parameter: Parameter) -> Parameter:
    """A variable of TensorFlow as PyTorch would name and store it.

    Args:
        parameter: of a graph of TensorFlow, or of Haiku, under the name that it has there.

    Returns:
        it, with points for slashes, its kernel out × in as a `weight`; what an optimizer keeps of a variable is
        refused.

    >>> import numpy as np
    >>> from spectail.weights.parameter import from_array
    >>> weight = of_tensorflow(from_array(np.zeros((1, 20, 60)), "model/h0/attn/c_attn/w:0"))
    >>> weight.name, weight.shape
    ('model.h0.attn.c_attn.weight', (60, 20))
    """
    name = re.sub(r":\d+$", "", parameter.name).replace("/~/", "/").strip("/").replace("/", ".")
    if _SLOTS.fullmatch(name):
        return replace(parameter, name=name, refusal="an optimizer's state")
    average, name = name.endswith(_AVERAGE), name.removesuffix(_AVERAGE)
    match = _OF_TENSORFLOW.fullmatch(name)
    if match:
        kind, path = ("", f"{match['attention']}.{match['of']}.") if match["of"] else (match["kind"], match["path"])
        name = f"{path}{kind}kernel"
    load, shape = parameter.load, parameter.shape
    if match and not match["kind"] and len(shape) == 3 and shape[0] == 1:  # a convolution of one position is linear
        refusal = parameter.refusal or why_not_matrix(shape[1:])
        parameter = replace(
            parameter, shape=shape[1:], load=lambda: load()[0], load_rows=None, refusal=refusal, memory=None
        )
    turned = as_in_torch(replace(parameter, name=name))
    return replace(turned, name=f"{turned.name}_ema") if average else turned


_EMBEDDING = re.compile(r"(.*\.)?\w*emb\w*\.weight")


def of_paddle(parameter: Parameter) -> Parameter:
    """A parameter of Paddle as PyTorch would store it: in Paddle, only linear layers have inputs before outputs.

    >>> import numpy as np
    >>> from spectail.weights.parameter import from_array
    >>> of_paddle(from_array(np.zeros((20, 30)), "fc.weight")).shape
    (30, 20)
    """
    if len(parameter.shape) != 2 or not parameter.name.endswith("weight") or _EMBEDDING.fullmatch(parameter.name):
        return parameter
    load = parameter.load
    return replace(parameter, shape=parameter.shape[::-1], load=lambda: load().T, load_rows=None, memory=None)
