"""What is kept of an artifact: its verdicts, tables and parameters (JSON) and curves (CSV), beside its pictures.

The terminal, the report's page and the tables of claims are made from `Record`. Not here: what is run (`plan.py`),
and who draws and tests (`making.py`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spectail.analysis.two_layer_nulls import with_null_alignments
from spectail.errors import StoreError
from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import CONVENTIONS, PLAIN, PROTOCOLS, Protocol
from spectail.files import write_content
from spectail.recording.spreadsheets import write_csv
from spectail.store.recordings import warn_of_unreadable
from spectail.study.artifact import Artifact
from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome
from spectail.study.plan import Plan
from spectail.study.record_json import FORMAT, fields_of_record
from spectail.study.runs import Runs
from spectail.study.settings import extrapolates, picture_stem
from spectail.study.verdicts import Verdict
from spectail.study.words import words_of

CURVES = (
    "objective", "train_loss", "test_loss", "test_loss_large", "kta", "null_kta", "alignment", "null_alignment",
    "pl_alpha_hill", "pl_alpha_ks", "ks_distance", "tail_size", "bulk_edge", "n_spikes", "spectral_gap",
    "update_norm_2", "update_norm_fro", "sharpness", "stability", "phase",
)  # fmt: skip

ENDS = ("margin", "margin_low", "margin_high")
"""Columns of the table of verdicts that have the margin which decides, and its interval."""

_OF_THE_PROTOCOL = {*CONVENTIONS, "protocol", "seed", "record", "overlaps"} - {"epsilon"}


@dataclass(frozen=True)
class ClaimRecord:
    """A claim, and its outcome under each protocol that was run.

    Attributes:
        artifact: whose claim it is.
        number, where, statement, criterion: as in `Claim`.
        outcomes: by protocol.
    """

    artifact: str
    number: str
    where: str
    statement: str
    criterion: str
    outcomes: Mapping[Protocol, Outcome]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> ClaimRecord:
        """From JSON."""
        outcomes = {p: Outcome.read(outcome) for p, outcome in fields["outcomes"].items()}
        said = {name: fields[name] for name in ("artifact", "where", "statement", "criterion")}
        return cls(number=fields["claim"], outcomes=outcomes, **said)

    def json(self) -> dict[str, Any]:
        """For JSON."""
        outcomes = {p: outcome.json() for p, outcome in self.outcomes.items()}
        texts = {"artifact": self.artifact, "claim": self.number, "where": self.where, "statement": self.statement}
        return {**texts, "criterion": self.criterion, "outcomes": outcomes}


@dataclass(frozen=True)
class Record:
    """What is kept of an artifact that was reproduced.

    Attributes:
        name, title: of the artifact.
        scale: at which it was run.
        repeats: how many seeds.
        command: that makes it again.
        parameters: fields of its runs; of a field that varies, all values.
        claims: with their verdicts.
        tables: lines by protocol, headers first; none where it has no table.
        runs: keys of its runs by protocol.
        seconds: that its runs took together.
        paths: its pictures, its record and its curves.

    >>> record = Record("fig4", "Spectra", "small", 1, "spectail reproduce fig4 --scale small", {}, [], {}, {}, 2.5)
    >>> record.json()["command"]
    'spectail reproduce fig4 --scale small'
    """

    name: str
    title: str
    scale: str
    repeats: int
    command: str
    parameters: Mapping[str, str]
    claims: Sequence[ClaimRecord]
    tables: Mapping[Protocol, Sequence[tuple[str, ...]]]
    runs: Mapping[Protocol, Sequence[str]]
    seconds: float
    paths: Sequence[Path] = ()

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record from its file and the files beside it.

        Raises:
            StoreError: it is no record.
            OSError: it cannot be read.
        """
        fields = fields_of_record(path)
        fields["claims"] = [ClaimRecord.read(verdict) for verdict in fields.pop("verdicts")]
        stems = [picture_stem(path.stem, protocol) for protocol in fields["runs"]]
        names = [*(f"{stem}.{ending}" for stem in stems for ending in ("png", "pdf")), path.name, f"{path.stem}.csv"]
        paths = [path.with_name(name) for name in names if path.with_name(name).is_file()]
        return cls(**fields, paths=paths)

    def json(self) -> dict[str, Any]:
        """For JSON: all but the paths."""
        fields = {name: value for name, value in vars(self).items() if name not in ("claims", "paths")}
        return {"format": FORMAT, **fields, "verdicts": [claim.json() for claim in self.claims]}


def record_of(
    artifact: Artifact, plan: Plan, runs: Mapping[Protocol, Runs], claims: Sequence[ClaimRecord]
) -> Record:  # fmt: skip
    """What is to be kept of an artifact, without its paths."""
    keys = {p: [of.as_run(e).key for e in _of_seeds(artifact.experiments, of)] for p, of in runs.items()}
    keys = {p: list(dict.fromkeys(of_protocol)) for p, of_protocol in keys.items()}
    if artifact.trainings:
        trained = [(of, t) for of in runs.values() for t in _of_seeds(artifact.trainings, of)]
        seconds = sum(float(of[t].attrs["wall_time"]) for of, t in trained)
        parameters = _values_of(trained[0][1].field_names, [of.as_run(t) for of, t in trained])
    else:
        seconds = sum(of.stored[key].attrs["wall_time"] for p, of in runs.items() for key in keys[p])
        names = [name for name in artifact.experiments[0].field_names if name not in _OF_THE_PROTOCOL]
        parameters = _values_of(names, [plan.scale(experiment) for experiment in artifact.experiments])
    return Record(
        name=artifact.name,
        title=f"{artifact.title}; here instead {plan.scale.variation}" if plan.scale.settings else artifact.title,
        scale=plan.scale.name,
        repeats=len(plan.seeds(artifact)),
        command=_command(artifact, plan),
        parameters=parameters,
        claims=claims,
        tables={p: artifact.table(of) for p, of in runs.items()} if artifact.table else {},
        runs=keys,
        seconds=seconds,
    )


def save_record(record: Record, rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Write NAME.json, and its curves as NAME.csv, each whole or not at all.

    Returns:
        their paths.
    """
    return [
        write_content(folder / f"{record.name}.json", json.dumps(record.json(), indent=1, ensure_ascii=False)),
        write_csv(rows, folder / f"{record.name}.csv", digits=6),
    ]


def read_records(folder: Path) -> list[Record]:
    """The records of a folder in the paper's order; files that are no records are left out, and named in a warning."""
    records, unreadable = [], dict[Path, Exception]()
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(Record.read(path))
        except (OSError, StoreError) as error:
            unreadable[path] = error
    warn_of_unreadable(unreadable)
    order = {name: place for place, name in enumerate(catalogue())}
    return sorted(records, key=lambda record: order.get(record.name, len(order)))


def artifact_curves(artifact: Artifact, runs: Mapping[Protocol, Runs]) -> pd.DataFrame:
    """Every scalar of every run of an artifact, one row a run and step; fields that all runs share are left out."""
    if artifact.trainings:
        return pd.DataFrame([row for of in runs.values() for row in training_curves(artifact, of)])
    rows = pd.DataFrame(_curve_rows(artifact, runs))
    fields = [c for c in rows.columns if c in Experiment.model_fields and c not in ("seed", "protocol")]
    same = [c for c in fields if rows[c].astype(str).nunique() == 1]
    return rows.drop(columns=same)


def _curve_rows(artifact: Artifact, runs: Mapping[Protocol, Runs]) -> Iterator[dict[str, Any]]:
    for protocol, of in runs.items():
        for experiment in dict.fromkeys(_of_seeds(artifact.experiments, of)):
            e, run = of.as_run(experiment), with_null_alignments(of[experiment])
            dumped = e.model_dump(mode="json", include={*e.field_names})
            fields = {k: v for k, v in dumped.items() if k not in _OF_THE_PROTOCOL}
            names = [name for name in CURVES if name in run]
            for step in run.step.values:
                at = run[names].sel(step=step)
                values = {name: at[name].item() for name in names}
                yield {"protocol": protocol, "seed": experiment.seed, **fields, "step": int(step), **values}


def training_curves(artifact: Artifact, runs: Runs) -> Iterator[dict[str, Any]]:
    """Every number of every layer at every measured step of the trainings of one protocol."""
    for training in _of_seeds(artifact.trainings, runs):
        run, t = runs[training], runs.as_run(training)
        names = ("pl_alpha_hill", "pl_alpha_ks", "ks_distance", "tail_size", "z_hill", "bulk_edge", "n_spikes",
                 "spectral_gap", "stable_rank", "phase")  # fmt: skip
        for i, layer in enumerate(run.matrix.values):
            for j, step in enumerate(run.step.values):
                values = {name: run[name].values[j, i] for name in names}
                null = float(run.null_alpha_hill.values[i])
                yield {
                    "protocol": runs.protocol, "seed": t.seed, "model": t.model, "dataset": t.dataset,
                    "images": int(run.attrs["n_images"]), "layer": str(layer), "step": int(step),
                    "train_loss": float(run.cross_entropy.values[step]), **values, "null_alpha_hill": null,
                }  # fmt: skip


def _of_seeds(described: Sequence[Experiment], runs: Runs) -> list[Experiment]:
    return [one.replace(seed=seed) for seed in runs.seeds for one in described]


def _command(artifact: Artifact, plan: Plan) -> str:
    words = ["spectail reproduce", artifact.name]
    words += [] if plan.scale.name == "paper" else ["--scale", plan.scale.name]
    words += [f"--{name.replace('_', '-')} {_as_word(value)}" for name, value in plan.scale.settings]
    words += [] if plan.repeats is None else ["--repeats", str(plan.repeats)]
    words += ["--data DIR"] if artifact.trainings else []
    words += [] if plan.images is None or not artifact.trainings else ["--images", str(plan.images)]
    if plan.protocols is not None:
        words += ["--protocol", plan.protocols[0] if len(plan.protocols) == 1 else "both"]
    return " ".join(words)


def _as_word(value: object) -> str:
    """A setting as it is said on the command line."""
    text = json.dumps(value) if isinstance(value, bool | dict) else str(value)
    return shlex.quote(text)


def _values_of(names: Iterable[str], described: Sequence[Experiment]) -> dict[str, str]:
    """Fields as they were run; of a field that varies, all values."""
    dumped = [one.model_dump(mode="json") for one in described]
    texts = [{name: f"{v:g}" if isinstance(v, float) else str(v) for name, v in fields.items()} for fields in dumped]
    return {name: ", ".join(dict.fromkeys(fields[name] for fields in texts)) for name in names}


def save_verdicts(claims: Sequence[ClaimRecord], path: Path) -> Path:
    """Verdicts as a CSV file, whole or not at all: one row a claim and protocol."""
    rows = [
        {
            **claim.json(),
            "words": words_of(claim.number),
            "protocol": protocol,
            "extrapolated": protocol == PLAIN and is_extrapolated(claim.artifact),
            **outcome.json(),
            **dict(zip(ENDS, outcome.finding.margin or (), strict=False)),
            "repeats_to_decide": outcome.finding.needed,
        }
        for claim in claims
        for protocol, outcome in claim.outcomes.items()
    ]
    about = ["artifact", "claim", "where", "statement", "words", "criterion", "protocol"]
    columns = [
        *about,
        "extrapolated",
        "verdict",
        "measured",
        "p_claimed",
        "p_contrary",
        "effect",
        *ENDS,
        "comparisons",
        "repeats_to_decide",
    ]
    return write_csv(pd.DataFrame(rows, columns=columns), path)


def read_verdicts(path: Path) -> dict[str, dict[Protocol, Outcome]]:
    """The outcomes of a table of `save_verdicts`, by number and protocol; none where there is no file.

    Raises:
        OSError: it cannot be read.
        StoreError: it is no such table.
    """
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype={"claim": str}).astype(object)
    if missing := {"claim", "protocol", "verdict", "measured"} - {*table.columns}:
        raise StoreError(f"{path} is no table of verdicts: it has no column {' or '.join(sorted(missing))}")
    outcomes: dict[str, dict[Protocol, Outcome]] = {}
    for row in table.where(table.notna(), None).to_dict("records"):
        fields = {"verdict": row["verdict"], "measured": row["measured"]}
        if row.get("p_claimed") is not None:
            fields |= {name: row[name] for name in ("p_claimed", "p_contrary", "effect", "comparisons")}
            ends = [row.get(name) for name in ENDS]
            fields["margin"] = None if None in ends else ends
        elif row["verdict"] == Verdict.UNDECIDED and row.get("repeats_to_decide") is not None:
            fields["least"] = int(row["repeats_to_decide"])
        outcomes.setdefault(row["claim"], {})[row["protocol"]] = Outcome.read(fields)
    return outcomes


def is_extrapolated(name: str) -> bool:
    """Whether the published program cannot run all that an artifact needs; False if the artifact is unknown."""
    artifact = catalogue().get(name)
    return artifact is not None and (bool(artifact.trainings) or any(map(extrapolates, artifact.experiments)))


def save_verdicts_as_markdown(claims: Sequence[ClaimRecord], path: Path) -> Path:
    """Verdicts as a table, one row a claim, the protocols side by side."""
    lines = [
        "# Verdicts",
        "",
        "| claim | says, *“in the paper's words”* | holds if | published program | printed equations |",
        "|---|---|---|---|---|",
    ]
    for claim in claims:
        words, statement = _plain(words_of(claim.number)), _plain(claim.statement)
        statement = f"{statement} *“{words}”*" if words else statement
        cells = [f"{claim.number} ({claim.where})", statement, _plain(claim.criterion)]
        for protocol in PROTOCOLS:
            outcome = claim.outcomes.get(protocol)
            if outcome is None:
                cells.append("not run")
                continue
            beside = ["extrapolated"] if protocol == PLAIN and is_extrapolated(claim.artifact) else []
            beside += [outcome.clarity] if outcome.clarity else []
            said = f" ({'; '.join(beside)})" if beside else ""
            cells.append(f"**{outcome.verdict}**{said} – {_plain(outcome.measured)}")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return write_content(path, "\n".join(lines) + "\n")


def _plain(text: str) -> str:
    """Text for Markdown; the star of β* is not where emphasis ends."""
    return text.replace("*", "\\*")
