"""Which matrix of a model an adapter adds to.

Here: names of adapters beside names of models. Not here: what an adapter is (`adapters`), and how a model is read
(`opening`).
"""

from __future__ import annotations

import re

from spectail.weights.adapters import PREFIX
from spectail.weights.matrix import WeightMatrix, Weights

_KOHYA = re.compile(r"lora_(unet|te\d?|transformer|prior)_")
"""What stands before names in which underscores stand for dots."""


class Bases:
    """The matrices of a model by their names, in which the base of each adapter is found.

    Args:
        weights: of the model, each parameter one matrix.

    >>> import torch
    >>> of = lambda name: WeightMatrix(name, "linear", 3, 2, 1, lambda: torch.zeros(1, 3, 2))
    >>> bases = Bases(Weights("model", (of("model.layers.0.q.weight"), of("model.layers.1.q.weight")), ()))
    >>> bases.find(of("lora_unet_layers_1_q.weight")).name, bases.find(of("layers.2.q.weight"))
    ('model.layers.1.q.weight', 'model has no matrix of this name')
    """

    def __init__(self, weights: Weights) -> None:
        self._title = weights.title
        self._whole: dict[str, list[WeightMatrix]] = {}
        self._ending: dict[str, list[WeightMatrix]] = {}
        for matrix in weights.matrices:
            if matrix.factors is None:
                first, *shorter = _endings(matrix.name)
                self._whole.setdefault(first, []).append(matrix)
                for ending in (first, *shorter):
                    self._ending.setdefault(ending, []).append(matrix)

    def find(self, delta: WeightMatrix) -> WeightMatrix | str:
        """The matrix that ΔW is added to, or why there is none.

        Args:
            delta: of an adapter. Its base has the same name, or one of the two names has more steps before it.
        """
        name, *shorter = _endings(_KOHYA.sub("", delta.name))
        candidates = self._whole.get(name) or self._ending.get(name, [])
        while not candidates and len(shorter) > 1:  # more than "weight" alone
            candidates = self._whole.get(shorter.pop(0), [])
        fitting = [one for one in candidates if (one.slices, one.rows, one.cols) == (1, delta.rows, delta.cols)]
        if len(fitting) == 1:
            return fitting[0]
        if not candidates:
            return f"{self._title} has no matrix of this name"
        if not fitting:
            sizes = (candidates[0].slices, candidates[0].rows, candidates[0].cols)
            return f"{self._title} has another shape of it, {'×'.join(map(str, sizes[sizes[0] == 1 :]))}"
        return f"{self._title} has several of this name: {', '.join(one.name for one in fitting[:3])}"


def _endings(name: str) -> list[str]:
    """The whole name and its endings, step by step shorter, without what adapters put into it; dots as underscores."""
    plain = name.partition("[")[0].removeprefix(PREFIX).replace(".base_layer.", ".")
    steps = plain.split(".")
    return ["_".join(steps[at:]) for at in range(len(steps))]
