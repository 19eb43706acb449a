"""Reproduce artifacts: run what is missing, draw, test, and keep the records, several beside each other.

Not here: what is to be run and what it costs (`plan.py`), and what a record is (`records.py`).
"""

from __future__ import annotations

import gc
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import Protocol
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.running.processes import worker_pool
from spectail.running.ray import Resources
from spectail.running.scheduler import Compute
from spectail.store.locks import shared_lock
from spectail.store.store import Store
from spectail.store.upkeep import remove_partial_files
from spectail.study.artifact import Artifact
from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome
from spectail.study.plan import Plan, by_protocol, choose, plan_of
from spectail.study.records import (
    ClaimRecord,
    Record,
    artifact_curves,
    read_records,
    record_of,
    save_record,
    save_verdicts,
    save_verdicts_as_markdown,
)
from spectail.study.runs import NotKeptError, Runs, StoredRuns
from spectail.study.settings import Scale, figure_folder, figure_folders, picture_stem
from spectail.study.verdicts import as_a_family
from spectail.sweeps.bar_over_runs import bar_if_asked
from spectail.sweeps.sweep import run_missing
from spectail.sweeps.worker import PRELOAD

if TYPE_CHECKING:
    from spectail.plots.picture_files import Pictures


def reproduce(
    *names: str,
    scale: str = "paper",
    out: str | os.PathLike[str] = "results",
    repeats: int | None = None,
    protocol: str | None = None,
    data: str | os.PathLike[str] | None = None,
    images: int | str | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    width: str | float = "page",
    font: str | None = None,
    usetex: bool = False,
    device: str = "cpu",
    workers: int | None = None,
    ray: str | None = None,
    resources: Resources | None = None,
    compute: Callable[[Sequence[Experiment], Store], None] | None = None,
    on_record: Callable[[Record], None] = lambda record: None,
    on_note: Callable[[str], None] = warnings.warn,
    **settings: Any,
) -> list[Record]:
    """Reproduce figures and tables of the paper: run, draw, and test their claims.

    Runs are kept in OUT/runs and found again, so that an interrupted call goes on where it was. Pictures and records
    are kept in OUT/figures, or OUT/figures-SCALE, beside the verdicts of all that was reproduced there: claims.csv
    and claims.md. With settings of your own it is OUT/figures-SCALE-SETTINGS, and the pictures say so in their titles.

    Args:
        names: of artifacts, such as "fig4"; or "all".
        scale: "paper" for the paper's sizes, "quarter" for a quarter of them and all steps, or "small" for a fifth and
            fewer steps, which is no evidence.
        out: folder for runs and figures.
        repeats: seeds; by default each artifact's own number.
        protocol: "published", "equations" or "both"; by default each artifact's own.
        data: images for the figures of deep networks: mnist.npz, cifar10.npz, svhn.npz, or torchvision's files.
        images: how many training images of those figures, or "all"; 512 by default.
        formats: of the pictures: "png", "pdf", "svg", "pgf".
        width: of the pictures: "column", "page" or "talk", or inches; all but a page's stands in their names.
        font: in the pictures, as `plots.style` takes it.
        usetex: whether LaTeX sets their text.
        device: where to compute.
        workers: processes beside each other; by default runs are computed one after the other, with all cores.
        ray: address of a Ray cluster, or "" for the one that is running, or else a local one.
        resources: what each run takes of the cluster.
        compute: computes the runs that the store lacks; by default on the device, workers or cluster above.
        on_record: is given each record as soon as it is kept.
        on_note: is told in a sentence what "all" leaves out; by default a warning.
        **settings: fields of `Experiment` in place of the paper's, such as teacher="relu"; sizes are the paper's own.

    Returns:
        a record an artifact, in the order of the names.

    Raises:
        ValueError: a name, an option or a setting is not valid, LaTeX is asked for and not installed, a
            figure compares several values of a setting, or it needs images and `data` is not given.
        OSError: the folder cannot be written to.
        RuntimeError: some runs failed; the others are kept.
        KeyboardInterrupt: it was interrupted; what was computed is kept.

    >>> reproduce("fgi4")
    Traceback (most recent call last):
    ...
    spectail.errors.SettingError: artifact='fgi4' is not known; did you mean 'fig4'? (fig1, fig2, fig3, fig4, ...
    """
    data = None if data is None else Path(data)
    artifacts, note = choose(names, data)  # it names the extra that brings matplotlib
    from spectail.plots.picture_files import Pictures

    pictures = Pictures(tuple(formats), width, font, usetex)
    pictures.check()
    plan, store = plan_of(artifacts, scale, repeats, protocol, images, settings), Store(out, data=data)
    if note:
        on_note(note)
    experiments = plan.everything()
    if experiments and compute:
        compute(experiments, store)
    elif experiments:
        with bar_if_asked(None) as bar:
            summary = run_missing(experiments, store, Compute(device, workers, ray, resources), bar)
        summary.require_all()
    files = {experiment.key: store.path(experiment) for experiment in experiments}
    folder, records = figure_folder(store.root, plan.scale.folder_name), []
    for record in make_all(plan, files, store, folder, workers or os.cpu_count() or 1, pictures):
        on_record(record)
        records.append(record)
    claims = [claim for record in read_records(folder) for claim in record.claims]
    save_verdicts(claims, folder / "claims.csv")
    save_verdicts_as_markdown(claims, folder / "claims.md")
    return records


def make_all(
    plan: Plan,
    files: Mapping[str, Path],
    store: Store,
    folder: Path,
    workers: int,
    pictures: Pictures | None = None,
) -> Iterator[Record]:
    """Make every artifact of a plan, out of the catalogue, in its order.

    Args:
        plan: whose runs are there.
        files: of the runs and trainings, by key.
        store: where the runs are kept.
        folder: of the store, for what is made.
        workers: how many artifacts are made at once, each by a process of its own; with 1, this one makes them.
        pictures: how they are made; PNG and PDF as wide as a page by default.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove_partial_files(store, figure_folders(store.root))
    names = [artifact.name for artifact in plan.artifacts]
    plan = replace(plan, artifacts=())
    make = partial(_make, plan=plan, files=files, store=store, folder=folder, pictures=pictures)
    workers = min(workers, len(names))
    if workers == 1:
        yield from map(make, names)
        return
    with worker_pool(workers, _begin, PRELOAD) as pool:
        yield from pool.map(make, names)


def _make(
    name: str, plan: Plan, files: Mapping[str, Path], store: Store, folder: Path, pictures: Pictures | None
) -> Record:
    artifact = catalogue()[name]
    runs = by_protocol(plan, artifact, StoredRuns(files))
    with shared_lock(store.write_lock):  # lest another process takes what is half written for left behind
        paths = draw(artifact, runs, folder, pictures)
        record = record_of(artifact, plan, runs, verify(artifact, runs))
        paths += save_record(record, artifact_curves(artifact, runs), folder)
    return replace(record, paths=paths)


def _begin() -> None:
    catalogue()
    gc.freeze()  # what was imported stays: looking through it again and again took a fifth of the time


def draw(
    artifact: Artifact, runs: Mapping[Protocol, Runs], folder: Path, pictures: Pictures | None = None
) -> list[Path]:
    """Draw an artifact once a protocol.

    Args:
        artifact: of the catalogue.
        runs: of each protocol.
        folder: for the pictures.
        pictures: how they are made; PNG and PDF as wide as a page by default.

    Returns:
        the paths.
    """
    from spectail.plots.look import figure_title
    from spectail.plots.picture_files import PAGE, save_figure

    paths, pictures = [], pictures or PAGE
    for protocol, of_protocol in runs.items():
        with pictures.style():
            figure, scale = artifact.draw(of_protocol), of_protocol.scale
            if scale.variation:
                size = "" if scale.divisor == 1 else " at the paper's size"
                title = without_other_values(figure.get_suptitle().replace("\n", " "), scale)
                figure_title(figure, f"With {scale.variation}{size}; all else as in\n{title}")
            stem = f"{picture_stem(artifact.name, protocol)}{pictures.suffix}"
            paths += save_figure(figure, folder / stem, pictures.formats)
    return paths


def without_other_values(title: str, scale: Scale) -> str:
    """A title of the paper's with the optimizer of the settings, and without the learning rate where they have one.

    >>> from spectail.study.settings import PAPER, vary
    >>> without_other_values("Fig. 4 – FB-Adam, η = 0.2. n = 400", vary(PAPER, {"optimizer": "muon", "lr": 0.1}))
    'Fig. 4 – Muon. n = 400'
    """
    names = [name for name, _ in scale.settings]
    if "optimizer" in names:
        title = re.sub(r"\bFB-Adam\b", OPTIMIZER_LOOKS[dict(scale.settings)["optimizer"]][2], title)
    return re.sub(r",? *\$?\\?(η|eta)\$? *= *[\d.]+(?=\W|$)(?<![.])", "", title) if "lr" in names else title


def verify(artifact: Artifact, runs: Mapping[Protocol, Runs]) -> list[ClaimRecord]:
    """Test an artifact's claims under each protocol, where they are a family: see `verdicts.as_a_family`.

    Where runs have no spectra, as those made from curves, only claims that need none are tested.
    """
    outcomes = {protocol: _tested(artifact, of) for protocol, of in runs.items()}
    return [
        ClaimRecord(
            artifact.name, claim.number, claim.where, claim.statement, claim.criterion,
            {protocol: of[claim.number] for protocol, of in outcomes.items() if claim.number in of},
        )
        for claim in artifact.claims
    ]  # fmt: skip


def _tested(artifact: Artifact, runs: Runs) -> dict[str, Outcome]:
    outcomes = {}
    for claim in artifact.claims:
        with suppress(NotKeptError):
            outcomes[claim.number] = claim.test(runs)
    return in_a_family(outcomes)


def in_a_family(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Outcomes by number, of one artifact under one protocol, as `verdicts.as_a_family` corrects them."""
    findings = as_a_family([outcome.finding for outcome in outcomes.values()])
    return {n: replace(o, finding=f) for (n, o), f in zip(outcomes.items(), findings, strict=True)}
