"""Runs made from the curves that are kept of them (`records.artifact_curves`): all numbers of each step, no spectrum.

Enough to test most claims again, and to draw all panels over learning rates and steps, from what is published.
Not here: runs that are stored whole (`runs.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import Protocol
from spectail.recording.layout import BESIDE_STEPS
from spectail.study.artifact import Artifact
from spectail.study.records import CURVES
from spectail.study.settings import PAPER, in_protocol

_BY_RUN = ("steps", "record", "overlaps", "schedule")
"""Fields that say what is kept of a run, in which runs of one table may differ; a schedule is told by its options."""


def runs_of_curves(artifacts: Iterable[Artifact], folder: Path) -> dict[str, xr.Dataset]:
    """The runs of some artifacts by key, as far as a folder has their curves, NAME.csv.

    Args:
        artifacts: at the paper's scale, without settings of one's own.
        folder: of curves.

    Returns:
        recordings without spectra and overlaps.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is no table of curves.
    """
    runs: dict[str, xr.Dataset] = {}
    for artifact in artifacts:
        path = folder / f"{artifact.name}.csv"
        if path.is_file() and artifact.experiments:
            runs |= dict(_of_artifact(artifact, pd.read_csv(path, low_memory=False)))
    return runs


def repeats_of(artifact: Artifact, protocol: Protocol, runs: Container[str]) -> int:
    """How many seeds, from 0 on, all of an artifact's experiments have among the runs of these keys."""

    def has(seed: int) -> bool:
        return all(
            PAPER(in_protocol(e.replace(seed=seed), protocol, artifact.epsilon)).key in runs
            for e in artifact.experiments
        )

    return next(seed for seed in count() if not (artifact.experiments and has(seed)))


def _of_artifact(artifact: Artifact, rows: pd.DataFrame) -> Iterator[tuple[str, xr.Dataset]]:
    fields = [name for name in rows.columns if name in Experiment.model_fields and name not in ("seed", "protocol")]
    names = ["protocol", "seed", *fields]
    words = pd.DataFrame({name: rows[name].map(_word) for name in names})
    groups = {tuple(key): group for key, group in rows.groupby([words[name] for name in names], sort=False)}
    seeds = sorted(rows["seed"].unique().tolist())
    # A field that all rows share is left out of the table, so that runs of another value are not in it
    dumps = [e.model_dump(mode="json") for e in artifact.experiments]
    shared = {name: _word(value) for name, value in dumps[0].items() if name not in (*fields, "protocol", "seed")}
    mine = [
        e
        for e, dumped in zip(artifact.experiments, dumps, strict=True)
        if all(_word(dumped[name]) == word for name, word in shared.items() if name not in _BY_RUN)
    ]
    for protocol in artifact.protocols:
        for seed in seeds:
            for listed in mine:
                e = PAPER(in_protocol(listed.replace(seed=seed), protocol, artifact.epsilon))
                dumped = e.model_dump(mode="json")
                group = groups.get((protocol, _word(seed), *(_word(dumped[name]) for name in fields)))
                if group is not None:
                    yield e.key, _dataset(e, group)


def _dataset(experiment: Experiment, rows: pd.DataFrame) -> xr.Dataset:
    # Some figures share runs, and a shared run of a figure is in its table once for each time that it is listed
    rows = rows.drop_duplicates("step").sort_values("step")
    names = [name for name in CURVES if name in rows and not name.startswith("null_")]
    variables: dict[str, Any] = {name: ("step", rows[name].to_numpy()) for name in names if name not in BESIDE_STEPS}
    attributes: dict[str, Any] = {"of": "two-layer", "experiment": experiment.canonical_json, "key": experiment.key}
    attributes |= {name: json.dumps(rows[name].tolist()) for name in BESIDE_STEPS if name in rows}
    coordinates = {"step": rows["step"].to_numpy(), "rows": experiment.h, "cols": experiment.d}
    return xr.Dataset(variables, coordinates, attributes)


def _word(value: Any) -> str:
    """A field of an experiment as tables of curves have it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
