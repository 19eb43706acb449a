"""One full-batch training of a network: a frozen, validated description."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from spectail.errors import SettingError, complaint
from spectail.weights.matrix import ConvMatrix

DATASETS = ("digits", "mnist", "cifar10", "svhn")


class Training(BaseModel):
    """What is trained on what, and how. Equal trainings have equal keys.

    Raises:
        ValueError: a field is out of range or not known; one sentence says which.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "vgg11"
    """vgg11, resnet18, or package.module:factory."""
    dataset: str = "digits"
    """A name of `DATASETS`, or that of an .npz file without its ending."""
    optimizer: str = "adam"
    """adam, gd, sign, or any optimizer of torch.optim by name."""
    lr: float = Field(0.01, gt=0, allow_inf_nan=False)
    steps: int = Field(10, ge=0)
    bias_correction: bool = True
    """Of adam: torch's (the published program's), or none, as in the paper's eqs. (4)-(5)."""
    images: int | None = Field(512, ge=1)
    """How many training images, drawn by the seed; None for all."""
    micro_batch: int = Field(128, ge=1)
    """Images of a chunk, at most."""
    batch_norm: Literal["chunk", "frozen"] = "chunk"
    """Whose statistics normalise: each chunk's own, or those of the initial network."""
    conv: ConvMatrix = ConvMatrix.KERNEL_SLICES
    record: tuple[int, ...] | None = None
    """Steps whose spectra are measured; None for the first and the last."""
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = Field(0, ge=0)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SettingError(complaint(error, Training.model_fields)) from None

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

    @property
    def canonical_json(self) -> str:
        """Every field in one fixed spelling."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name the training."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> Training:
        """A copy with some fields changed, validated anew."""
        return Training(**{**self.model_dump(), **changes})
