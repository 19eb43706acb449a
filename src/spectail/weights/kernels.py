"""Which way a convolution's kernel goes, where only names and shapes are known.

Here: what tells that a kernel is modulated, transposed or in groups. Not here: how it becomes matrices (`splitting`).
"""

from __future__ import annotations

import re
from math import prod

from spectail.weights.matrix import ConvMatrix
from spectail.weights.neighbours import Neighbours, Shape, last_step
from spectail.weights.splitting import Splitting, kernel, modulated

_TRANSPOSED = re.compile(r"transpose|deconv|upconv|up_?conv|(^|\.)ups\.\d+(\.|$)", re.IGNORECASE)

_POSITIONAL = re.compile(r"pos_?conv|conv_?pos", re.IGNORECASE)

_WIDEST = 8
"""Positions that an axis of a kernel has at most, as a rule; where there are many more, the axis counts channels."""


def kernel_by_name(name: str, shape: Shape, near: Neighbours, conv: ConvMatrix) -> Splitting:
    """How a convolution's kernel becomes matrices, as far as what is beside it tells.

    Args:
        name: of the kernel.
        shape: of it.
        near: what is beside it.
        conv: how kernels become matrices.

    Returns:
        its splitting, with a note where something was concluded that only its module would know.
    """
    layer = near.layer_of_weight(name)
    if _is_modulated(layer, shape, near):
        return modulated(shape, conv)
    bias = near.bias_of(name)
    transpose = is_transposed(name, shape, near)
    if shape[0] == 1 or shape[1] == 1:
        return kernel(shape, conv, conv_transpose=transpose)
    groups, note = 1, ""
    inputs = None if transpose or layer is None else _width_before(layer, near)
    if transpose and bias and len(bias) == 1 and bias[0] > shape[1] and bias[0] % shape[1] == 0:
        groups = bias[0] // shape[1]
    elif inputs and inputs > shape[1] and inputs % shape[1] == 0 and shape[0] % (inputs // shape[1]) == 0:
        groups = inputs // shape[1]
        note = f"of {inputs} channels, as the layer before it has"
    elif not transpose and layer is not None and _POSITIONAL.search(layer) and shape[0] % shape[1] == 0:
        groups = shape[0] // shape[1]
        note = "of as many channels as it gives, as convolutions of positions are"
    elif not inputs and not (transpose and bias) and _may_have_groups(shape, near):
        note = "nothing tells whether it has groups: taken as one"
    if groups > 1 and shape[0] % groups:
        groups = 1
    return kernel(shape, conv, groups=groups, conv_transpose=transpose, note=note)


def _may_have_groups(shape: Shape, near: Neighbours) -> bool:
    """Whether a kernel of few channels is likely to be one of groups: no layer has as many, and it takes no colours."""
    return 3 != shape[1] < shape[0] and prod(shape[2:]) > 1 and shape[1] not in near.widths


def is_transposed(name: str, shape: Shape, near: Neighbours) -> bool:
    """Whether a kernel is in × out: the sizes of its bias or of the norm behind it tell, and else its name.

    Args:
        name: of the kernel, or of the weight that will be computed from it.
        shape: of it.
        near: what is beside it.

    Returns:
        True for a transposed convolution.
    """
    if len(shape) < 3:
        return False
    layer = near.layer_of_weight(name)
    bias = near.bias_of(name)
    size = bias if bias is not None or layer is None else _norm_behind(layer, near)
    if size is not None and len(size) == 1 and not size[0] == shape[0] == shape[1]:
        return size[0] != shape[0] and size[0] % shape[1] == 0
    return bool(_TRANSPOSED.search(name))


def _is_modulated(layer: str | None, shape: Shape, near: Neighbours) -> bool:
    """Whether a kernel is of a StyleGAN, 1 × out × in × height × width: no 3-D kernel is as deep as it has inputs."""
    beside = layer is not None and f"{layer}.modulation.weight" in near.shapes
    if len(shape) != 5:
        return beside and len(shape) == 4 and shape[0] == 1
    return beside or shape[2] > max(_WIDEST, 2 * max(shape[3:]))


def _norm_behind(layer: str, near: Neighbours) -> Shape | None:
    """Shape of the weight of the norm behind a convolution, in a sequence that numbers them.

    Other names do not tell whether a norm is behind its convolution or before it.
    """
    path, _, last = layer.rpartition(".")
    return near.shapes.get(f"{path}.{int(last) + 1}.weight".lstrip(".")) if last.isdigit() else None


def _width_before(layer: str, near: Neighbours) -> int | None:
    """How many channels the layer before gives, where names number them: conv2 after conv1, b after a, 3 after 0."""
    *path, last = layer.split(".")
    candidates = []
    if last.isdigit():
        candidates = [[*path, str(index)] for index in range(int(last) - 1, max(-1, int(last) - 5), -1)]
    else:
        steps = [*path, last]
        at = next(
            (at for at in range(len(steps) - 1, max(-1, len(steps) - 4), -1) if _ORDERED.fullmatch(steps[at])), -1
        )
        candidates = [[*steps[:at], _previous(steps[at]), *steps[at + 1 :]]] if at >= 0 else []
    if last.isdigit() and len(path) > 0 and _ORDERED.fullmatch(path[-1]):
        candidates.append([*path[:-1], _previous(path[-1]), last])
    shapes = (near.shapes.get(".".join([*candidate, "weight"])) for candidate in candidates)
    return next((shape[0] for shape in shapes if shape is not None and len(shape) > 2), None)


_ORDERED = re.compile(r"[b-z]|conv\w*?[2-9]")


def _previous(step: str) -> str:
    return step[:-1] + chr(ord(step[-1]) - 1)


def looks_like_kernel(name: str, shape: Shape, near: Neighbours) -> bool:
    """Whether a tensor of three or more dimensions is a kernel, not a stack of matrices.

    Args:
        name: of it.
        shape: of it, of three dimensions or more.
        near: what is beside it.

    Returns:
        True where its name is that of a layer's weight and nothing speaks of a stack, or where it can be nothing else.
    """
    layer = near.layer_of_weight(name)
    called = last_step(layer if layer is not None else name).lower()
    if len(shape) in (4, 5):
        small = len(set(shape[2:])) == 1 and shape[2] <= 2 * _WIDEST and shape[2] <= max(shape[:2])
        return layer is not None or small or bool(re.search(r"conv|kernel|filter", called))
    if len(shape) != 3 or layer is None:
        return len(shape) == 3 and "conv" in called
    bias = near.bias_of(name)
    if bias is not None:
        return len(bias) == 1
    wide = shape[2] >= 4 * _WIDEST and shape[1] > 1
    return not wide or bool(re.search(r"conv|^\d+$", called))
