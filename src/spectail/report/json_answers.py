"""What commands answer, as JSON: docs/reference/json.md describes it. Numbers that are not finite are null.

Not here: how the terminal shows the same (`terminal/`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spectail.report.row_choice import RowChoice

if TYPE_CHECKING:
    import xarray as xr

    from spectail.store.manifest import Entry

FORMAT = 1
"""Of all answers; it grows when something that was there goes or means something else."""


def print_answer(command: str, answer: Mapping[str, Any]) -> None:
    """Print an answer on standard output, in ASCII, so that no encoding harms it.

    Args:
        command: that was called.
        answer: what it found.
    """
    from spectail import __version__

    whole = {"spectail": __version__, "format": FORMAT, "command": command, **answer}
    sys.stdout.write(json.dumps(plain(whole), indent=1, allow_nan=False) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """A value as JSON can hold it.

    >>> plain({"a": (float("nan"), Path("b")), "c": 1.5})
    {'a': [None, 'b'], 'c': 1.5}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, str | bool | int | None):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Path | datetime):
        return str(value)
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return None  # pandas' missing value


def recording_answer(recording: xr.Dataset, rows: RowChoice, paths: Sequence[Path] = ()) -> dict[str, Any]:
    """The last row of each matrix, or each step where there is one matrix, and what is said of them.

    Args:
        recording: of any kind.
        rows: which are shown.
        paths: of the files that were written.
    """
    from spectail.analysis.analysis_objects import skipped_of
    from spectail.analysis.summary import summarize
    from spectail.analysis.two_layer_nulls import overlaps_in_numbers
    from spectail.recording.events import events
    from spectail.recording.layout import frame, of_tensor
    from spectail.report.wording import recording_title

    steps = recording["step"].values.tolist()
    answer: dict[str, Any] = {"of": recording.attrs["of"], "title": recording_title(recording), "steps": steps}
    weights = of_tensor(recording, "weights") if "matrix" in recording.dims else recording
    summary = summarize(weights)
    answer |= {
        "summary": summary.lines(),
        "groups": {group.answer: group.names for group in summary.groups if group.names},
    }
    if "matrix" in recording.dims:
        table = frame(weights)
        for tensor in ("updates", "gradients", "momentum"):
            if (applied := of_tensor(recording, tensor)).sizes["matrix"]:
                answer[tensor] = frame(applied).to_dict("records")
    else:
        names = [str(n) for n, v in recording.data_vars.items() if v.dims == ("step",)]
        table = recording[names].to_dataframe().reset_index()[["step", *names]]
        answer["overlaps"] = overlaps_in_numbers(recording)
    shown = table.iloc[rows.of(table, len(table))]
    answer |= {"rows_in_all": len(table), "rows": shown.to_dict("records")}
    skipped = skipped_of(recording)
    return answer | {
        "events": [{**dataclasses.asdict(event), "text": str(event)} for event in events(recording)],
        "skipped": [dataclasses.asdict(one) for one in skipped or ()],
        "left_out": json.loads(recording.attrs.get("left_out", "[]")),
        "diverged_at": recording.attrs.get("diverged_at"),
        "written": paths,
    }


def runs_answer(entries: Iterable[Entry]) -> dict[str, Any]:
    """What a folder of runs holds: a row a run, with its experiment and its last phase."""
    return {
        "rows": [
            {
                "key": entry.key,
                "experiment": entry.fields,
                "phase": entry.scalars["phase"][-1] if entry.steps else None,
                "diverged_at": entry.diverged_at,
                "bytes": entry.size,
            }
            for entry in entries
        ]
    }
