"""One full-batch training of a network: a frozen, validated description.

Not here: what it shares with `Experiment` (experiment.py), and the networks and data sets that it names.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from spectail.errors import SettingError
from spectail.experiments.description import Description, Positive, Size, current_numerics

TRAININGS = "trainings"
"""The folder of full-batch trainings, beside that of the runs."""


class Training(Description):
    """What is trained on what, and how. Equal trainings have equal keys.

    Adam corrects the bias of its moments by default, as torch's does; that of an `Experiment` does not.

    Raises:
        ValueError: a field is out of range or not known; one sentence says which.

    >>> Training(model="vgg12").key == Training(model="vgg12", steps=10).key
    True
    """

    model: str = "vgg11"
    """vgg11, resnet18, or package.module:factory."""
    dataset: str = "digits"
    """digits, mnist, cifar10, svhn, or the name of an .npz file without its ending."""
    images: Size | None = 512
    """How many training images, drawn by the seed, or all (in Python: None)."""
    optimizer: str = "adam"
    """adam, gd, sign, an optimizer of torch.optim by name, or module:Class for one of your own."""
    bias_correction: bool = True
    """Of adam: torch's (the published program's), or none, as in the paper's eqs. (4)-(5)."""
    lr: Positive = 0.01
    """Learning rate."""
    steps: Annotated[int, Field(ge=0)] = 10
    """Updates, each from all images."""
    record: tuple[int, ...] | None = None
    """Steps whose spectra are measured; by default the first and the last."""
    micro_batch: Size = 128
    """Images of a chunk, at most."""
    batch_norm: Literal["chunk", "frozen"] = "chunk"
    """Whose statistics normalise: each chunk's own, or those of the initial network."""
    conv: Literal["kernel-slices", "flatten"] = "kernel-slices"
    """How a kernel becomes matrices: one for each of its positions, or out × everything else."""
    dtype: Literal["float32", "float64"] = "float32"
    """Of weights and activations."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Fixes the initial weights, and which images are drawn."""
    numerics: Size = Field(default_factory=current_numerics)
    """Version of what is computed, by default this spectail's; of a stored training, its own."""

    @field_validator("batch_norm", mode="before")
    @classmethod
    def _not_full(cls, value: Any) -> Any:
        if value == "full":
            raise SettingError(
                "batch_norm='full' is not offered: statistics of all images at once need all activations at once; "
                "a micro_batch of all images gives them, where there is memory for it"
            )
        return value

    @model_validator(mode="after")
    def _recorded_in_range(self) -> Training:
        wrong = [step for step in self.record or () if not 0 <= step <= self.steps]
        if wrong:
            raise SettingError(f"record asks for step {wrong[0]}, but the training has steps 0 to {self.steps}")
        return self

    @property
    def recorded_steps(self) -> tuple[int, ...]:
        """The steps whose spectra are measured, ascending."""
        return tuple(sorted({0, self.steps} if self.record is None else set(self.record)))
