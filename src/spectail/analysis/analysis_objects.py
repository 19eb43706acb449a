"""What `analyze` and `compare` answer with: a recording as a table, as spectra, as a screen of text.

Not here: how it is made (`model`), and how it is worded (`summary`).
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.summary import roll_up, summarize, summary_html
from spectail.analysis.weightwatcher import to_weightwatcher
from spectail.recording.layout import each_matrix, eigenvalues_at, frame
from spectail.weights.matrix import Skipped

if TYPE_CHECKING:
    import pandas as pd

_RENAMED = {"xmin": "ks_xmin", "overlap_left": "top_overlap_left", "overlap_right": "top_overlap_right"}


@dataclass(frozen=True, repr=False)
class Analysis:
    """What `analyze` finds.

    Attributes:
        recording: rows and spectra, labelled.
        skipped: each parameter that was not measured, and why.

    >>> from spectail import analyze
    >>> from torch import nn
    >>> print(analyze(nn.Linear(30, 20), nulls=False).summary().splitlines()[0])
    Linear: 1 matrix measured, 1 parameter skipped
    """

    recording: xr.Dataset
    skipped: tuple[Skipped, ...]

    @property
    def title(self) -> str:
        """Of the source."""
        return str(self.recording.attrs["title"])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a matrix: its name and every quantity, in the order of the table of quantities."""
        return frame(self.recording)

    @cached_property
    def spectra(self) -> dict[str, NDArray[np.float64]]:
        """The eigenvalues of each matrix by name, ascending; none where a matrix has no spectrum."""
        return {str(one["matrix"].item()): eigenvalues_at(one) for one in each_matrix(self.recording)}

    def summary(self) -> str:
        """The answer on a screen: what is said of how many matrices, and the largest effects of each kind."""
        return str(summarize(self.recording))

    def roll_up(self, by: str = "layer") -> pd.DataFrame:
        """One row a layer of the model, or a kind of matrix: medians, the smallest z, and the phases.

        Args:
            by: "layer" or "kind".

        Raises:
            SettingError: it is neither.
        """
        return roll_up(self.frame, by)

    to_weightwatcher = to_weightwatcher

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.summary()}"

    def _repr_html_(self) -> str:
        return summary_html(repr(self), self.frame)

    # The first edition gave a frame: for one release, what was done with it works.

    def __getitem__(self, key: Any) -> Any:
        _warn("[…]")
        columns = [key] if isinstance(key, str) else key if isinstance(key, list) else []
        return self.frame.rename(columns={new: old for old, new in _RENAMED.items() if old in columns})[key]

    def __len__(self) -> int:
        _warn("len")
        return len(self.frame)

    def __bool__(self) -> bool:
        return True

    @property
    def attrs(self) -> dict[str, Any]:
        """The first edition's place of title and skipped parameters."""
        _warn("attrs")
        return {"title": self.title, "skipped": [asdict(one) | {"shape": list(one.shape)} for one in self.skipped]}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(type(self.frame), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        _warn(name)
        return getattr(self.frame, name)


def _warn(what: str) -> None:
    warnings.warn(f"{what} of an Analysis: use its .frame, .title or .skipped", DeprecationWarning, stacklevel=3)


class Comparison(Analysis):
    """What `compare` finds: an `Analysis` of the changes, with how far the strongest directions turned.

    >>> from spectail import compare
    >>> import torch
    >>> compare({"w": torch.eye(20)}, {"w": torch.eye(20)}, nulls=False).frame["note"].tolist()
    ['unchanged']
    """


def skipped_of(recording: xr.Dataset) -> tuple[Skipped, ...] | None:
    """The parameters that were not measured; None where the recording does not say."""
    if "skipped" not in recording.attrs:
        return None
    listed = json.loads(recording.attrs["skipped"])
    return tuple(Skipped(one["name"], tuple(one["shape"]), one["reason"]) for one in listed)
