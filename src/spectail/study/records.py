"""What is kept of an artifact beside its pictures: verdicts, tables and parameters (JSON), curves (CSV)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spectail.experiments.deep.training import Training
from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import CONVENTIONS, Protocol
from spectail.files import write_whole
from spectail.study.artifact import Artifact
from spectail.study.catalogue import catalogue
from spectail.study.claims import Tested
from spectail.study.plan import Plan
from spectail.study.runs import PROTOCOLS, Runs

FORMAT = 1

CURVES = (
    "objective", "train_loss", "test_loss", "test_loss_large", "kta", "alignment", "pl_alpha_hill", "pl_alpha_ks",
    "ks_distance", "tail_size", "bulk_edge", "n_spikes", "spectral_gap", "update_norm_2", "update_norm_fro", "phase",
)  # fmt: skip

_OF_THE_PROTOCOL = {*CONVENTIONS, "protocol", "seed", "record", "overlaps"}


def save_record(
    artifact: Artifact, plan: Plan, runs: Mapping[Protocol, Runs], tested: Sequence[Tested], folder: Path
) -> list[Path]:
    """Write NAME.json and NAME.csv, each whole or not at all.

    Returns:
        their paths.
    """
    keys = {p: [_key(of, e) for seed in of.seeds for e in artifact.experiments(seed)] for p, of in runs.items()}
    record = {
        "format": FORMAT,
        "name": artifact.name,
        "title": artifact.title,
        "scale": plan.scale.name,
        "repeats": len(plan.seeds(artifact)),
        "command": _command(artifact, plan),
        "parameters": _parameters(artifact, plan),
        "verdicts": [_verdict(item) for item in tested],
        "tables": {p: artifact.table(of) for p, of in runs.items()} if artifact.table else {},
        "runs": {p: list(dict.fromkeys(of)) for p, of in keys.items()},
        "seconds": sum(of.stored[k].attrs["wall_time"] for p, of in runs.items() for k in dict.fromkeys(keys[p])),
    }
    if artifact.trainings:
        used = [(of, list(artifact.trainings(seed))) for of in runs.values() for seed in of.seeds]
        record["seconds"] = sum(float(of.training(t).attrs["wall_time"]) for of, each in used for t in each)
        record["parameters"] = _deep_parameters(used)
    return [
        _write(folder / f"{artifact.name}.json", json.dumps(record, indent=1, ensure_ascii=False)),
        _write(folder / f"{artifact.name}.csv", curves(artifact, runs).to_csv(index=False, float_format="%.6g")),
    ]


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of a folder in the paper's order; files that are none are left out."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("format") == FORMAT and record.get("name") == path.stem:
            found[path.stem] = record
    order = {name: place for place, name in enumerate(catalogue())}
    return sorted(found.values(), key=lambda record: order.get(record["name"], len(order)))


def curves(artifact: Artifact, runs: Mapping[Protocol, Runs]) -> pd.DataFrame:
    """Every scalar of every run of an artifact, one row a run and step; fields that all runs share are left out."""
    if artifact.trainings:
        of_seed = [(of, artifact.trainings(seed)) for of in runs.values() for seed in of.seeds]
        return pd.DataFrame([row for of, trainings in of_seed for row in training_curves(of, trainings)])
    rows = pd.DataFrame(_curve_rows(artifact, runs))
    fields = [c for c in rows.columns if c in Experiment.model_fields and c != "seed"]
    same = [c for c in fields if rows[c].astype(str).nunique() == 1]
    return rows.drop(columns=same)


def _curve_rows(artifact: Artifact, runs: Mapping[Protocol, Runs]) -> Iterator[dict[str, Any]]:
    for protocol, of in runs.items():
        for seed in of.seeds:
            for experiment in dict.fromkeys(artifact.experiments(seed)):
                scaled, run = of.scale(experiment.replace(protocol=protocol)), of[experiment]
                fields = {k: v for k, v in scaled.model_dump(mode="json").items() if k not in _OF_THE_PROTOCOL}
                kept = [name for name in CURVES if name in run]
                for step in run.step.values:
                    at = run[kept].sel(step=step)
                    values = {name: at[name].item() for name in kept}
                    yield {"protocol": protocol, "seed": seed, **fields, "step": int(step), **values}


def _key(runs: Runs, experiment: Experiment) -> str:
    return runs.scale(experiment.replace(protocol=runs.protocol)).key


def _command(artifact: Artifact, plan: Plan) -> str:
    words = ["spectail reproduce", artifact.name]
    words += [] if plan.scale.name == "paper" else ["--scale", plan.scale.name]
    words += [] if plan.repeats is None else ["--repeats", str(plan.repeats)]
    words += ["--data DIR"] if artifact.trainings else []
    words += [] if plan.images is None or not artifact.trainings else ["--images", str(plan.images)]
    if plan.protocols is not None:
        words += ["--protocol", plan.protocols[0] if len(plan.protocols) == 1 else "both"]
    return " ".join(words)


def _parameters(artifact: Artifact, plan: Plan) -> dict[str, str]:
    """Fields as they were run: those that all experiments share, and the values of those that vary."""
    dumped = [plan.scale(e).model_dump(mode="json") for e in artifact.experiments(0)]
    found = {}
    for name in Experiment.model_fields:
        if name in _OF_THE_PROTOCOL:
            continue
        values = list(dict.fromkeys(json.dumps(fields[name]) for fields in dumped))
        found[name] = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in map(json.loads, values))
    return found


def _deep_parameters(used: Sequence[tuple[Runs, Sequence[Training]]]) -> dict[str, str]:
    """Fields of trainings as they were run; those that vary with all their values."""
    dumped = [of.as_run(t).model_dump(mode="json") for of, trainings in used for t in trainings]
    return {name: ", ".join(dict.fromkeys(str(fields[name]) for fields in dumped)) for name in dumped[0]}


def _verdict(item: Tested) -> dict[str, Any]:
    c = item.claim
    outcomes = {p: {"verdict": str(o.verdict), "measured": o.measured} for p, o in item.outcomes.items()}
    said = {"claim": c.number, "where": c.where, "statement": c.statement, "criterion": c.criterion}
    return {"artifact": item.artifact, **said, "outcomes": outcomes}


def _write(path: Path, text: str) -> Path:
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def save_verdicts(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """The verdicts of all records as a CSV file, whole or not at all: one row a claim and protocol."""
    rows = [
        {**{k: v for k, v in verdict.items() if k != "outcomes"}, "protocol": protocol, **outcome}
        for record in records
        for verdict in record["verdicts"]
        for protocol, outcome in verdict["outcomes"].items()
    ]
    columns = ["artifact", "claim", "where", "statement", "criterion", "protocol", "verdict", "measured"]
    return _write(path, pd.DataFrame(rows, columns=columns).to_csv(index=False))


def save_verdicts_as_markdown(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """The verdicts of all records as a table, one row a claim, the protocols side by side."""
    lines = ["| claim | says | holds if | published program | printed equations |", "|---|---|---|---|---|"]
    for record in records:
        for v in record["verdicts"]:
            cells = [f"{v['claim']} ({v['where']})", v["statement"], v["criterion"]]
            for protocol in PROTOCOLS:
                found = v["outcomes"].get(protocol)
                cells.append(f"**{found['verdict']}** – {found['measured']}" if found else "not run")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return _write(path, "\n".join(lines) + "\n")


def training_curves(runs: Runs, trainings: Iterable[Training]) -> Iterator[dict[str, Any]]:
    """Every figure of every layer at every measured step."""
    for training in trainings:
        run, t = runs.training(training), runs.as_run(training)
        names = ("pl_alpha_hill", "pl_alpha_ks", "ks_distance", "tail_size", "z_hill", "z_ks", "bulk_edge", "n_spikes",
                 "spectral_gap", "stable_rank", "phase")  # fmt: skip
        for i, layer in enumerate(run.layer.values):
            for j, step in enumerate(run.step.values):
                values = {name: run[name].values[j, i] for name in names}
                null = float(run.null_alpha_hill.values[i])
                yield {
                    "protocol": runs.protocol, "seed": t.seed, "model": t.model, "dataset": t.dataset,
                    "images": int(run.attrs["n_images"]), "layer": str(layer), "step": int(step),
                    "train_loss": float(run.train_loss.values[step]), **values, "null_alpha_hill": null,
                }  # fmt: skip
