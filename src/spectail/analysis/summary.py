"""The answer of an analysis in words and numbers; the terminal, pages and `repr` say the same.

Not here: how it is printed or drawn.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from spectail.errors import SettingError, unknown_name
from spectail.spectra.phases import Phase
from spectail.weights.matrix import layer_of

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 3  # matrices that are named one by one
_FURTHEST = 5


def summary_lines(title: str, frame: pd.DataFrame, skipped: int | None) -> list[str]:
    """What an analysis says, first.

    Args:
        title: of the source.
        frame: one row a matrix, as `spectail.analyze` gives it.
        skipped: how many parameters were not measured; None where that is not known.

    Returns:
        a line on the counts, one on the phases, and one on what is furthest from untrained where that is known.
    """
    measured = f"{len(frame)} matri{'x' if len(frame) == 1 else 'ces'} measured"
    left_out = "" if skipped is None else f", {skipped} parameter{'' if skipped == 1 else 's'} skipped"
    lines = [f"{title}: {measured}{left_out}"]
    counts = []
    for phase in Phase:
        names = frame.loc[frame["phase"] == str(phase), "name"].tolist()
        if names:
            named = f" ({', '.join(names)})" if len(names) <= _NAMED < len(frame) else ""
            counts.append(f"{phase} {len(names)}{named}")
    lines += [" · ".join(counts)] if counts else []
    z = frame.set_index("name")["z_hill"].dropna().sort_values()
    if len(z):
        shown = ", ".join(f"{name} z {value:.3g}".replace("-", "−") for name, value in z.head(_FURTHEST).items())
        lines.append(f"furthest from untrained: {shown}")
    return lines


def roll_up(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """The matrices of each layer, or of each kind, in one row.

    Args:
        frame: one row a matrix, as `spectail.analyze` gives it.
        by: "layer" for the blocks of the model, such as "model.layers.7"; "kind" for what matrices are in them, by
            their names without numbers.

    Returns:
        one row a layer or kind, in the order of the first of its matrices: how many matrices and weights, medians of
        the exponents and ranks, the z that is furthest from untrained, the sum of the spikes, and the phases.

    Raises:
        SettingError: by is neither.

    >>> from spectail import analyze
    >>> import torch
    >>> state = {f"blocks.{i}.{name}.weight": torch.randn(20, 30) for i in range(2) for name in ("fc1", "fc2")}
    >>> roll_up(analyze(state, nulls=False).frame, "layer")[["layer", "matrices", "weights"]].values.tolist()
    [['blocks.0', 2, 1200], ['blocks.1', 2, 1200]]
    """
    if by not in ("layer", "kind"):
        raise SettingError(unknown_name("by", by, ("layer", "kind")))
    names = frame["name"].map(layer_of if by == "layer" else _without_numbers)
    rows = []
    for name, group in frame.groupby(names, sort=False):
        phases = group["phase"].value_counts()
        rows.append(
            {
                by: name or "(in no layer)",
                "matrices": len(group),
                "weights": int((group["rows"] * group["cols"] * group["slices"]).sum()),
                "pl_alpha_hill": group["pl_alpha_hill"].median(),
                "z_hill": group["z_hill"].min(),
                "n_spikes": int(group["n_spikes"].sum()),
                "stable_rank": group["stable_rank"].median(),
                "null_stable_rank": group["null_stable_rank"].median(),
                "phases": ", ".join(f"{phase} {count}" for phase, count in phases.items()),
            }
        )
    import pandas as pd

    return pd.DataFrame(rows)


def _without_numbers(name: str) -> str:
    """The name of a matrix with * for every number that counts layers, experts or heads."""
    return re.sub(r"(?<=[.\[])\d+(?=[.\]])|^\d+(?=\.)|(?<= )\d+(?=\])", "*", name)


def summary_html(text: str, frame: pd.DataFrame) -> str:
    """The same for a notebook, with the table below."""
    return f"<pre>{escape(text)}</pre>{frame.to_html(max_rows=20, notebook=True)}"
