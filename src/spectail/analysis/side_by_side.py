"""Models side by side, with a past in common or not: what each matrix says, and how far apart spectra are.

Not here: what changed from one to another (`comparison`, `model.compare`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spectail.analysis.analysis_objects import Analysis
from spectail.analysis.name_lists import how_many, listed
from spectail.analysis.summary import summary_html
from spectail.spectra.distances import spectral_distances

if TYPE_CHECKING:
    import pandas as pd

BESIDE = ("rows", "cols", "phase", "effect", "z_hill", "pl_alpha_hill", "null_alpha_hill", "stable_rank")
"""What a row has of each model. `effect` can be compared over shapes, exponents only beside their nulls."""

_MEDIANS = ("effect", "z_hill", "stable_rank")

_MOST = 5  # matrices named in the summary


@dataclass(frozen=True, repr=False)
class SideBySide:
    """What `compare` finds of several models.

    Attributes:
        analyses: the whole analysis of each model by its label, in the order that was given.

    >>> import torch, spectail
    >>> models = {"a": {"w": torch.eye(30)}, "b": {"w": torch.eye(20)}}
    >>> spectail.compare(models, nulls=False).frame[["name", "rows: a", "rows: b"]].values.tolist()
    [['w', 30, 20]]
    """

    analyses: Mapping[str, Analysis]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a matrix of any of the models, by name.

        Each quantity of `BESIDE` has a column a model, as "effect: LABEL". "distance: LABEL" says how far a spectrum is
        from that of the first model, in shape: how far log λ moves on average (Wasserstein), scale apart.
        """
        import pandas as pd

        tables = {label: analysis.frame.set_index("name") for label, analysis in self.analyses.items()}
        first, *others = self.analyses
        names = dict.fromkeys(name for table in tables.values() for name in table.index)
        rows = []
        for name in names:
            kinds = [table.at[name, "kind"] for table in tables.values() if name in table.index]
            row: dict[str, Any] = {"name": name, "kind": kinds[0]}
            for quantity in BESIDE:
                for label, table in tables.items():
                    known = name in table.index and quantity in table
                    row[f"{quantity}: {label}"] = table.at[name, quantity] if known else None
            for label in others:
                row[f"distance: {label}"] = self._distance(name, first, label)
            rows.append(row)
        frame = pd.DataFrame(rows)
        sizes = [name for name in frame if name.startswith(("rows: ", "cols: ")) and frame[name].isna().any()]
        return frame.astype(dict.fromkeys(sizes, "Int64"))  # beside what is missing, pandas makes them 60.0

    def _distance(self, name: str, one: str, other: str) -> float:
        first, second = (self.analyses[label].spectra.get(name) for label in (one, other))
        return math.nan if first is None or second is None else spectral_distances(first, second).wasserstein_shape

    @cached_property
    def kinds(self) -> pd.DataFrame:
        """One row a kind of layer and model: how many matrices, medians, and their phases."""
        import pandas as pd

        rows = []
        kinds = dict.fromkeys(kind for one in self.analyses.values() for kind in one.frame["kind"])
        for kind in kinds:
            for label, analysis in self.analyses.items():
                of_kind = analysis.frame[analysis.frame["kind"] == kind]
                if of_kind.empty:
                    continue
                medians = {name: of_kind[name].median() for name in _MEDIANS if name in of_kind}
                phases = ", ".join(f"{count} {phase}" for phase, count in Counter(of_kind["phase"]).most_common())
                rows.append({"kind": kind, "model": label, "matrices": len(of_kind), **medians, "phases": phases})
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """The answer in a few lines: what is said of each model, and where the others differ most from the first."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        width = max(map(len, self.analyses))
        for label, analysis in self.analyses.items():
            phases = Counter(analysis.frame["phase"]).most_common()
            said = ", ".join(f"{count} {phase or 'without an answer'}" for phase, count in phases)
            yield f"{label:<{width}}  {how_many(len(analysis.frame), 'matrix')}: {said}"
        first, *others = self.analyses
        for label in others:
            both = self.frame.dropna(subset=[f"phase: {first}", f"phase: {label}"])
            changed = both[both[f"phase: {first}"] != both[f"phase: {label}"]]
            named = f"{how_many(len(both), 'matrix')} of one name"
            yield f"{label} beside {first}: {named}, {len(changed)} of them in another phase"
            if len(changed):
                yield f"  another phase: {listed(list(changed['name']), 100)}"
            far = both[both[f"distance: {label}"] > 0].nlargest(_MOST, f"distance: {label}")
            names = (f"{row['name']} ({row[f'distance: {label}']:.2g})" for _, row in far.iterrows())
            if len(far):
                yield f"  spectra furthest apart in shape: {', '.join(names)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self.analyses)} models\n{self.summary()}"

    def _repr_html_(self) -> str:
        return summary_html(repr(self), self.frame)
