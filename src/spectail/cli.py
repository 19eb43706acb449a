"""The command line: parses, calls, prints. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro
from pydantic_core import PydanticUndefined

from spectail.teacher_student.experiment import PROTOCOLS, Experiment

Device = Annotated[str, tyro.conf.arg(metavar="NAME", help="Where to compute: cpu, cuda, cuda:1, mps.")]
Out = Annotated[Path, tyro.conf.arg(metavar="DIR", help="Folder for runs and figures.")]
Workers = Annotated[
    int | None, tyro.conf.arg(metavar="N", help="Processes beside each other, for small problems; default: one run.")
]
Ray = Annotated[
    str | None,
    tyro.conf.arg(metavar="[ADDRESS]", help="Run on a Ray cluster: the one that is running, or else a local one."),
]
Cpus = Annotated[float, tyro.conf.arg(metavar="FLOAT", help="Cores of the Ray cluster that each run takes.")]
Gpus = Annotated[float, tyro.conf.arg(metavar="FLOAT", help="GPUs of the Ray cluster that each run takes.")]
_CONVENTIONS = "(from --protocol)"
_COLLECTIONS = {
    "optimizer_options": "JSON",
    "schedule_options": "JSON",
    "record": "log|STEP...",
    "overlaps": "S:T...",
}


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce figures of the paper: run, draw, and test their claims under both protocols.

    Runs are kept in DIR/runs and found again, so an interrupted command goes on where it was.
    Example: spectail reproduce fig2 fig4 --scale small
    """

    names: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME", help="Artifacts, or all; see --list.")
    ] = ()
    list: Annotated[bool, tyro.conf.arg(help="Show what can be reproduced, and stop.")] = False
    scale: Annotated[str, tyro.conf.arg(metavar="paper|small", help="The paper's sizes, or a fifth of them.")] = "paper"
    repeats: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help="Seeds; each artifact's own number by default.")
    ] = None
    protocol: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="both|published|equations",
            help="Conventions to run under; both by default, one where a second would cost hours.",
        ),
    ] = None
    data: Annotated[
        Path | None,
        tyro.conf.arg(
            metavar="DIR",
            help="Images for figures 6 and 33-37: mnist.npz, cifar10.npz, svhn.npz, or torchvision's files.",
        ),
    ] = None
    images: Annotated[
        str | None, tyro.conf.arg(metavar="N|all", help="Training images of those figures; 512 by default.")
    ] = None
    out: Out = Path("results")
    device: Device = "cpu"
    workers: Workers = None
    ray: Ray = None
    cpus: Cpus = 1.0
    gpus: Gpus = 0.0


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Run a grid of experiments, or what is missing of it.

    Runs are kept in DIR/runs as soon as they are there; interrupted, killed or out of disk, the same
    command goes on where it was. Ctrl-C finishes the current runs, a second one stops now.
    Example: spectail sweep grid.toml --workers 2
    """

    grid: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GRID", help="The grid, in TOML.")]
    dry_run: Annotated[bool, tyro.conf.arg(help="Say how many runs, time and disk it takes, and stop.")] = False
    out: Out = Path("results")
    device: Device = "cpu"
    workers: Workers = None
    ray: Ray = None
    cpus: Cpus = 1.0
    gpus: Gpus = 0.0


@dataclasses.dataclass(frozen=True)
class Analyze:
    """Say what the spectra of a model show: a table, and with --out CSV, netCDF and one HTML page.

    SOURCE is a .safetensors file, a .pt or .pth state dict, a folder or an index of shards as Hugging Face
    lays them out, or package.module:factory. With AFTER, the same model later, spectra are of the change.
    Example: spectail analyze model.safetensors --out analysis
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE", help="The model.")]
    after: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[AFTER]", help="The same model, later.")
    ] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help="Folder for the files and the page.")] = None
    conv: Annotated[str, tyro.conf.arg(metavar="kernel-slices|flatten", help="How a kernel becomes matrices.")] = (
        "kernel-slices"
    )
    p_value: Annotated[bool, tyro.conf.arg(help="Bootstrap the goodness of each KS fit; takes a while.")] = False
    seed: Annotated[int, tyro.conf.arg(metavar="INT", help="Of the bootstrap.")] = 0


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a network on all images at once, exactly, and measure the spectra of its layers on the way.

    Runs under torchrun on many processes, with the same result. Killed, the same command goes on where it was.
    Example: spectail train --model vgg11 --dataset cifar10 --optimizer adam --lr 0.01 --steps 10
    """

    model: Annotated[str, tyro.conf.arg(metavar="vgg11|resnet18|MODULE:FACTORY", help="The network.")] = "vgg11"
    dataset: Annotated[str, tyro.conf.arg(metavar="digits|mnist|cifar10|svhn", help="What it learns.")] = "digits"
    data: Annotated[
        Path | None,
        tyro.conf.arg(
            metavar="DIR|FILE.npz",
            help="Folder with DATASET.npz or torchvision's files (downloaded if missing; by default to the cache), "
            "or a file of images and labels, which needs no --dataset.",
        ),
    ] = None
    images: Annotated[str, tyro.conf.arg(metavar="N|all", help="How many training images.")] = "512"
    optimizer: Annotated[str, tyro.conf.arg(metavar="NAME", help="adam, gd, sign, or one of torch.optim.")] = "adam"
    bias_correction: Annotated[bool, tyro.conf.arg(help="Of adam; without, the paper's equations (4)-(5).")] = True
    lr: Annotated[float, tyro.conf.arg(metavar="FLOAT", help="Learning rate.")] = 0.01
    steps: Annotated[int, tyro.conf.arg(metavar="INT", help="Updates, each from all images.")] = 10
    record: Annotated[
        tuple[int, ...] | None, tyro.conf.arg(metavar="STEP...", help="Steps to measure; by default first and last.")
    ] = None
    micro_batch: Annotated[int, tyro.conf.arg(metavar="INT", help="Images in memory at once.")] = 128
    batch_norm: Annotated[
        str, tyro.conf.arg(metavar="chunk|frozen", help="Statistics of each micro-batch, or the initial ones.")
    ] = "chunk"
    conv: Annotated[str, tyro.conf.arg(metavar="kernel-slices|flatten", help="How a kernel becomes matrices.")] = (
        "kernel-slices"
    )
    dtype: Annotated[str, tyro.conf.arg(metavar="float32|float64", help="Of weights and activations.")] = "float32"
    seed: Annotated[int, tyro.conf.arg(metavar="INT", help="Of the weights, and of which images.")] = 0
    out: Out = Path("results")
    device: Device = "cpu"


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one HTML page of what a folder holds: pictures, verdicts, and an explorer of its runs.

    The page needs no network and no server: open it in a browser, or send it to somebody. The file of a
    SpectralMonitor, or each of a folder, has a page of its own beside it.
    Example: spectail report results; spectail report run.nc
    """

    folder: Annotated[
        Path,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="DIR|FILE.nc", help="A folder of results, or the file of a monitor."),
    ]
    scale: Annotated[
        str, tyro.conf.arg(metavar="paper|small", help="Which reproductions to show: at the paper's sizes, or small.")
    ] = "paper"


@dataclasses.dataclass(frozen=True)
class StoreCommand:
    """Verify a folder of runs (check), or remove what is provably incomplete from it (gc).

    Example: spectail store check results
    """

    action: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="check|gc", help="What to do.")]
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR", help="The folder.")]


@dataclasses.dataclass(frozen=True)
class Show:
    """Print a stored run, and draw it again beside its file or in DIR.

    Example: spectail show results/runs/0123456789abcdef.nc
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE", help="The netCDF file of a run.")]
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help="Folder for the figures.")] = None


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict what the first step does to the spectrum: critical learning rate, spike, overlaps, alignment.

    Nothing is trained; closed forms of random matrix theory, as h, d, n → ∞ at fixed ratios.
    Example: spectail predict --h 1500 --d 1000 --n 2000 --optimizer adam
    """

    h: Annotated[int, tyro.conf.arg(metavar="INT", help="Hidden units.")] = 1500
    d: Annotated[int, tyro.conf.arg(metavar="INT", help="Dimension of the inputs.")] = 1000
    n: Annotated[int, tyro.conf.arg(metavar="INT", help="Training points.")] = 2000
    optimizer: Annotated[str, tyro.conf.arg(metavar="gd|adam|sign", help="The update.")] = "adam"
    lr: Annotated[
        tuple[float, ...], tyro.conf.arg(metavar="FLOAT...", help="Learning rates; by default around the critical one.")
    ] = ()
    initialization: Annotated[str, tyro.conf.arg(metavar="ntk|mean_field", help="Scale of the network.")] = "ntk"
    teacher: Annotated[str, tyro.conf.arg(metavar="NAME", help="Link of the teacher.")] = "softplus"
    activation: Annotated[str, tyro.conf.arg(metavar="NAME", help="Activation of the student.")] = "tanh"
    label_noise: Annotated[float, tyro.conf.arg(metavar="FLOAT", help="Standard deviation of the label noise.")] = 0.3
    protocol: Annotated[
        str, tyro.conf.arg(metavar="equations|published", help="The paper's equations, or its published program.")
    ] = "equations"


def _run_command() -> type[Any]:
    """The options of `run`: the fields of Experiment, as text; Experiment itself says what is wrong with them."""
    options: list[tuple[str, Any, Any]] = []
    for name, field in Experiment.model_fields.items():
        metavar = _COLLECTIONS.get(name) or _metavar(field.annotation)
        kind: Any = tuple[str, ...] | None if name in ("record", "overlaps") else str | None
        hint = tyro.conf.arg(metavar=metavar, help=field.description, help_behavior_hint=_default_hint(name, field))
        options.append((name, Annotated[kind, hint], None))
    options += [("out", Out, Path("results")), ("device", Device, "cpu")]
    run = dataclasses.make_dataclass("Run", options, frozen=True)
    run.__doc__ = (
        "Run one experiment: table, figures and netCDF file.\n\n"
        "A run that is already in DIR is found again instead of computed.\n"
        "Example: spectail run --optimizer gd --lr 2000 --steps 10 --record 0 1 10"
    )
    return run


def _metavar(annotation: Any) -> str:
    base = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    choices = [c for c in get_args(base) if isinstance(c, str)]
    if choices:
        return "|".join(choices)
    return {int: "INT", float: "FLOAT", bool: "true|false"}.get(base, "NAME")


def _default_hint(name: str, field: Any) -> str:
    if name in PROTOCOLS["equations"]:
        return _CONVENTIONS
    default = field.default if field.default is not PydanticUndefined else {}
    return f"(default: {'none' if default in (None, (), {}) else default})"


Run = _run_command()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 2 bad input or a disk that refuses, 130 interrupted."""
    handlers: dict[Any, Callable[[Any], None]] = {
        Run: run,
        Sweep: sweep,
        Reproduce: reproduce,
        Show: show,
        Predict: predict,
        Report: report,
        Analyze: analyze,
        Train: train,
        StoreCommand: store,
    }
    commands: dict[str, Callable[..., Any]] = {
        "run": Run,
        "sweep": Sweep,
        "reproduce": Reproduce,
        "show": Show,
        "predict": Predict,
        "report": Report,
        "analyze": Analyze,
        "train": Train,
        "store": StoreCommand,
    }
    chosen = tyro.extras.subcommand_cli_from_dict(
        commands,
        args=_with_address(sys.argv[1:] if arguments is None else arguments),
        prog="spectail",
        description="How the spectrum of a neural network's weights evolves while it trains.",
    )
    warnings.showwarning = _print_warning
    try:
        handlers[type(chosen)](chosen)
    except (ValueError, OSError) as error:
        _fail(str(error))
    except (MemoryError, RuntimeError) as error:  # torch reports a lack of memory as a RuntimeError
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        _fail("there is not enough memory for an experiment of this size; make n, d or h smaller")
    except KeyboardInterrupt:
        many = type(chosen) in (Reproduce, Sweep)
        kept = "; finished runs are kept, and the same command goes on from there" if many else ""
        print(f"interrupted{kept}", file=sys.stderr)
        sys.exit(130)


def run(options: Any) -> None:
    """`spectail run`."""
    experiment = Experiment(**_experiment_fields(options))
    from spectail.report.progress import step_progress
    from spectail.report.terminal import print_run
    from spectail.sweeps.store import Store
    from spectail.teacher_student.simulate import check_device, simulate

    device, store = check_device(options.device), Store(options.out)
    store.check_writable()
    with step_progress(experiment) as progress:
        result, found = store.get_or_run(experiment, lambda e: simulate(e, device=device, progress=progress))
    path = store.path(experiment)
    print_run(result, [path, *_draw_run(result, path)], found=found)


def show(options: Show) -> None:
    """`spectail show`."""
    from spectail.report.terminal import print_run
    from spectail.sweeps.store import open_run

    result = open_run(options.file)
    beside = options.file if options.out is None else options.out / options.file.name
    print_run(result, _draw_run(result, beside), found=False)


def predict(options: Predict) -> None:
    """`spectail predict`."""
    fields = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "lr"}
    experiment = Experiment(**fields, steps=1, record=(0, 1))
    rates = [experiment.replace(lr=lr).lr for lr in options.lr]
    from spectail.report.terminal import print_prediction

    print_prediction(experiment, rates)


def analyze(options: Analyze) -> None:
    """`spectail analyze`."""
    if options.seed < 0:
        raise ValueError(f"seed={options.seed} is not valid; expected 0 or more")
    from spectail.networks.analyze import analyze_with_spectra
    from spectail.report.analysis import matrix_progress, print_analysis, save_analysis
    from spectail.report.progress import print_paths

    with matrix_progress() as progress:
        found = analyze_with_spectra(
            options.source,
            after=options.after,
            conv=options.conv,
            p_value=options.p_value,
            seed=options.seed,
            progress=progress,
        )
    if found.frame.empty:
        count = len(found.frame.attrs["skipped"])
        raise ValueError(f"{found.title} has no matrix to analyse; all of its {count} parameters were skipped")
    print_analysis(found)
    if options.out is not None:
        given = [
            options.source,
            *filter(None, [options.after]),
            *(["--conv", options.conv] if "flat" in options.conv else []),
        ]
        command = shlex.join(["spectail", "analyze", *given, *(["--p-value"] if options.p_value else [])])
        print_paths(save_analysis(found, options.out, command))


def train(options: Train) -> None:
    """`spectail train`."""
    from spectail.networks.training import Training

    fields = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    device, out, data = fields.pop("device"), fields.pop("out"), fields.pop("data")
    fields["images"] = _image_count(options.images)
    if data is not None and data.suffix == ".npz":
        fields["dataset"] = data.stem
    training = Training(**fields)
    from spectail.networks.train import open_training
    from spectail.networks.train import train as train_network
    from spectail.report.training import print_training, training_progress
    from spectail.teacher_student.simulate import check_device

    with training_progress(training) as progress:
        path, found = train_network(
            training, out / "trainings", data=data, device=str(check_device(device)), progress=progress
        )
    if os.environ.get("RANK", "0") == "0":  # of many processes, one writes and tells
        print_training(open_training(path), path, found=found)


def _image_count(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"images={text!r} is not understood; expected a whole number from 1, or all")
    return int(text)


def report(options: Report) -> None:
    """`spectail report`."""
    if not options.folder.exists():
        raise ValueError(f"{options.folder} is not a folder or a file; expected one that spectail wrote")
    if options.scale not in ("paper", "small"):
        from spectail.teacher_student.names import unknown_name

        raise ValueError(unknown_name("scale", options.scale, ("paper", "small")))
    from spectail.report.monitor_page import monitor_files, write_monitor_page
    from spectail.report.progress import print_paths

    if options.folder.is_file():
        print_paths([write_monitor_page(options.folder)])
        return
    pages = [write_monitor_page(file) for file in monitor_files(options.folder)]
    if not pages or (options.folder / "runs").is_dir():
        from spectail.report.html import write_report

        pages.append(write_report(options.folder, options.scale))
    print_paths(pages)


def sweep(options: Sweep) -> None:
    """`spectail sweep`."""
    from spectail.sweeps.grid import Grid
    from spectail.sweeps.store import Store

    experiments = Grid.read(options.grid).experiments()
    store = Store(options.out)
    if options.dry_run:
        from spectail.report.progress import print_estimate
        from spectail.sweeps.cost import estimate

        entries = store.manifest.read()
        missing = [experiment for experiment in experiments if experiment not in store]
        known = [entries[e.key] for e in experiments if e.key in entries]
        print_estimate(estimate(missing, known, options.workers or 1), len(experiments), store)
        return
    _compute(experiments, store, options)
    from spectail.report.progress import print_paths

    print_paths([store.runs])


def store(options: StoreCommand) -> None:
    """`spectail store`."""
    from spectail.report import progress
    from spectail.sweeps import upkeep
    from spectail.sweeps.store import Store
    from spectail.teacher_student.names import unknown_name

    kept = Store(options.folder)
    if options.action == "check":
        findings = upkeep.check(kept)
        progress.print_findings(findings, len(kept.manifest.read()))
        if any(finding.harmful for finding in findings):
            sys.exit(1)
    elif options.action == "gc":
        removed = upkeep.collect_garbage(kept)
        for path in removed:
            print(f"removed {path}")
        print(f"{len(removed)} files removed")
    else:
        raise ValueError(unknown_name("action", options.action, ("check", "gc")))


def _compute(experiments: Any, store: Any, options: Sweep | Reproduce) -> None:
    """Compute what a store lacks, with a progress bar; exits where runs failed or it was to stop."""
    from spectail.report.progress import RunProgress
    from spectail.sweeps.on_ray import Resources
    from spectail.sweeps.sweep import Where, run_missing

    where = Where(options.device, options.workers, options.ray, Resources(options.cpus, options.gpus))
    with RunProgress() as progress:
        summary = run_missing(experiments, store, where, progress)
    progress.print_summary(summary)
    if summary.stopped:
        raise KeyboardInterrupt
    if summary.failures:
        sys.exit(1)


def _with_address(arguments: Sequence[str]) -> list[str]:
    """`--ray` alone stands for the cluster that is running, or else a local one."""
    given = list(arguments)
    for i, word in enumerate(given):
        if word == "--ray" and (i + 1 == len(given) or given[i + 1].startswith("-")):
            given[i : i + 1] = ["--ray", ""]
            break
    return given


def reproduce(options: Reproduce) -> None:
    """`spectail reproduce`."""
    from spectail.paper.catalogue import catalogue, find
    from spectail.report import progress, terminal

    if options.list or not options.names:
        from spectail.paper import reproduce as paper
        from spectail.sweeps.store import Store

        plans = [_plan([artifact], options) for artifact in catalogue().values()]
        terminal.print_catalogue(paper.costs(plans, Store(options.out), options.workers or 1), options.scale)
        if not options.list:
            raise ValueError("reproduce needs the name of a figure or table, such as fig4; or all")
        return
    artifacts = _with_deep(find(options.names), options)
    from spectail.paper.making import make_all
    from spectail.paper.record import read_records, save_verdicts, save_verdicts_as_markdown
    from spectail.paper.runs import TRAININGS
    from spectail.sweeps.store import Store

    store, plan = Store(options.out), _plan(artifacts, options)
    experiments = plan.experiments()
    if experiments:
        _compute(experiments, store, options)
    files = {experiment.key: store.path(experiment) for experiment in experiments}
    files |= _train_all(plan.trainings(), store.root / TRAININGS, options)
    folder = store.root / ("figures" if options.scale == "paper" else f"figures-{options.scale}")
    tested, paths = [], []
    for made in make_all(plan, files, store, folder, options.workers or os.cpu_count() or 1):
        for protocol, rows in made.tables.items():
            progress.print_table(f"{catalogue()[made.name].title} – {protocol}", rows)
        tested += made.tested
        paths += made.paths
    terminal.print_verdicts(tested, options.scale)
    records = read_records(folder)
    paths.append(save_verdicts(records, folder / "claims.csv"))
    paths.append(save_verdicts_as_markdown(records, folder / "claims.md"))
    progress.print_paths(paths)


def _with_deep(artifacts: Any, options: Reproduce) -> list[Any]:
    """The artifacts to make; "all" has those of deep networks too, as far as their images are there."""
    from spectail.networks.images import has_images
    from spectail.paper.catalogue import find_deep

    def lacking(artifact: Any) -> list[str]:
        wanted = dict.fromkeys(training.dataset for training in artifact.trainings(0))
        return [d for d in wanted if options.data is None or not has_images(d, options.data)]

    for artifact in artifacts:
        if artifact.trainings and options.data is None:
            raise ValueError(
                f"{artifact.name} needs images of {', '.join(lacking(artifact))}: say --data DIR, a folder with "
                f"{lacking(artifact)[0]}.npz, or one that torchvision may download to"
            )
    if "all" not in options.names:
        return list(artifacts)
    named = {artifact.name for artifact in artifacts}
    left_out: list[Any] = []
    chosen = list(artifacts)
    for artifact in find_deep():
        if artifact.name not in named:
            (left_out if lacking(artifact) else chosen).append(artifact)
    if left_out:
        missing = ", ".join(dict.fromkeys(name for artifact in left_out for name in lacking(artifact)))
        names = ", ".join(artifact.name for artifact in left_out)
        print(f"left out: {names}, which need images of {missing} in --data DIR", file=sys.stderr)
    return chosen


def _train_all(trainings: Any, folder: Path, options: Reproduce) -> dict[str, Path]:
    """The files of full-batch trainings by key, after those that were missing were done."""
    if not trainings:
        return {}
    from spectail.networks.train import train as train_network
    from spectail.report.training import training_progress
    from spectail.teacher_student.simulate import check_device

    paths = {}
    for number, training in enumerate(trainings, 1):
        title = f"training {number} of {len(trainings)}: {training.model} on {training.dataset}, "
        with training_progress(training, title) as progress:
            device = str(check_device(options.device))
            paths[training.key], _ = train_network(
                training, folder, data=options.data, device=device, progress=progress
            )
    return paths


def _plan(artifacts: Any, options: Reproduce) -> Any:
    """What the options ask for, of some artifacts."""
    from spectail.paper.reproduce import Plan
    from spectail.paper.runs import PROTOCOLS as BOTH
    from spectail.paper.scale import SCALES
    from spectail.teacher_student.names import unknown_name

    if options.scale not in SCALES:
        raise ValueError(unknown_name("scale", options.scale, SCALES))
    if options.repeats is not None and options.repeats < 1:
        raise ValueError(f"repeats={options.repeats} is not valid; expected at least 1")
    if options.protocol not in (None, "both", *BOTH):
        raise ValueError(unknown_name("protocol", options.protocol, ("both", *BOTH)))
    named = [protocol for protocol in BOTH if options.protocol in ("both", protocol)]
    images: Any = None if options.images is None else _image_count(options.images) or "all"
    return Plan(artifacts, SCALES[options.scale], options.repeats, named or None, images)


def _draw_run(result: Any, path: Path) -> list[Path]:
    from spectail.drawing.run import draw_run
    from spectail.drawing.style import figure_style, save_figure

    saved = []
    with figure_style():
        for name, figure in draw_run(result).items():
            saved += save_figure(figure, path.with_name(f"{path.stem}-{name}"))
    return saved


def _experiment_fields(options: Any) -> dict[str, Any]:
    """The options given on the command line, with collections read from their text."""
    fields = {name: getattr(options, name) for name in Experiment.model_fields}
    fields = {name: value for name, value in fields.items() if value is not None}
    for name in ("optimizer_options", "schedule_options"):
        if name in fields:
            fields[name] = _json_object(name, fields[name])
    if "record" in fields:
        steps = fields["record"]
        fields["record"] = "log" if steps == ("log",) else [_whole(s) for s in steps]
    if "overlaps" in fields:
        fields["overlaps"] = [_pair(text) for text in fields["overlaps"]]
    return fields


def _whole(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _pair(text: str) -> tuple[int, int]:
    left, _, right = text.partition(":")
    if not (left.isdigit() and right.isdigit()):
        raise ValueError(f"overlaps={text!r} is not understood; expected S:T for the overlaps of W_S with M_T")
    return int(left), int(right)


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"""{name}={text!r} is not understood; expected JSON such as '{{"betas": [0.9, 0.999]}}'""")
    return value


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _fail(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)
