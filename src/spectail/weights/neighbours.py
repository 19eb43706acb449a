"""What stands beside a parameter: all that its name, its shape and the others of the model can tell of it.

Here: looking up. Not here: what follows from it (`by_name`, `kernels`, `fused`, `no_weights`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Shape = tuple[int, ...]

_WEIGHT = re.compile(r"(?P<stem>.*?)_?(?:ema_)?weight(?:_?(?:ema|avg|averaged?|shadow|swa))?")

_CONFIGURATIONS = ("text_config", "llm_config", "language_config", "vision_config", "encoder", "decoder")


@dataclass(frozen=True)
class Neighbours:
    """The parameters of a model by name and shape, and its configuration where that is known."""

    shapes: Mapping[str, Shape]
    config: Mapping[str, Any] = field(default_factory=dict)

    def layer_of_weight(self, name: str) -> str | None:
        """The path of the layer whose weight a parameter is; None where its name says that it is no layer's weight.

        Copies of averages keep names without points, or with an ending: `conv1weight`, `conv1.weight_ema`.
        """
        path, point, last = name.rpartition(".")
        match = _WEIGHT.fullmatch(last)
        return None if match is None else (path + point + match["stem"]).rstrip(".")

    def bias_of(self, name: str) -> Shape | None:
        """The shape of the bias of a weight."""
        path, point, last = name.rpartition(".")
        before, weight, after = last.rpartition("weight")
        return self.shapes.get(f"{path}{point}{before}bias{after}" if weight else f"{name}_bias")

    def renamed(self, name: str, layer: str, other: str) -> Shape | None:
        """The shape of the parameter that is called as this one is, but for the end of its layer's path."""
        if layer not in name:
            return None
        path = self.layer_of_weight(name)
        path = name if path is None else path
        if path != layer and not path.endswith(f".{layer}"):
            return None
        return self.shapes.get(path.removesuffix(layer) + other + name[len(path) :])

    def setting(self, *names: str) -> int | str | bool | None:
        """What the model's configuration says, in it or in a part of it, under the first of some names."""
        parts = [self.config, *(part for key in _CONFIGURATIONS if isinstance(part := self.config.get(key), Mapping))]
        return next((part[name] for part in parts for name in names if part.get(name) is not None), None)

    def original(self, name: str) -> str | None:
        """The parameter of the same shape of which this is a copy under a name without points."""
        last = name.rpartition(".")[2]
        whole = self._without_points.get(last)
        return whole if whole is not None and whole != name and self.shapes[whole] == self.shapes[name] else None

    @cached_property
    def _without_points(self) -> dict[str, str]:
        return {short: name for name in self.shapes for short in _shortened(name)}

    @cached_property
    def widths(self) -> frozenset[int]:
        """How many outputs, or values, the parameters have."""
        return frozenset(shape[0] for shape in self.shapes.values() if shape)

    @cached_property
    def stored_in_by_out(self) -> bool:
        """Whether a GPT-2 keeps its linear layers in × out, as Hugging Face's does: its c_attn tells."""
        return any(
            name.endswith("c_attn.weight") and len(shape) == 2 and shape[1] == 3 * shape[0]
            for name, shape in self.shapes.items()
        )


def _shortened(name: str) -> Iterator[str]:
    """A name's endings, without points or with underscores for them."""
    steps = name.split(".")
    for first in range(len(steps) - 1):
        yield "".join(steps[first:])
        yield "_".join(steps[first:])


def last_step(path: str) -> str:
    """The last step of a path."""
    return path.rpartition(".")[2]
