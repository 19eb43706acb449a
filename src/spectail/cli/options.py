"""Options that commands share, and commands that are made from what describes a run, so that no default stands twice.

Not here: what one command alone asks.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic_core import PydanticUndefined

from spectail.cli.option import option
from spectail.experiments.description import Description
from spectail.experiments.protocols import CONVENTIONS

if TYPE_CHECKING:
    from spectail.plots.picture_files import Pictures
    from spectail.report.terminal.sweep import RunProgress
    from spectail.sweeps.sweep import SweepSummary


@dataclasses.dataclass(frozen=True)
class Computing:
    """Where runs are kept, and who computes them."""

    out: Out = Path("results")
    device: Device = "cpu"
    workers: Annotated[
        int | None,
        option(metavar="N", help="Processes beside each other, for small problems; default: one run."),
    ] = None
    ray: Annotated[
        str | None,
        option(metavar="[ADDRESS]", help="Run on a Ray cluster: the one that is running, or else a local one."),
    ] = None
    cpus: Annotated[float, option(metavar="FLOAT", help="Cores of the Ray cluster that each run takes.")] = 1.0
    gpus: Annotated[float, option(metavar="FLOAT", help="GPUs of the Ray cluster that each run takes.")] = 0.0

    def prepare(self) -> None:
        """Let worker processes begin to import what they need, beside what this one imports."""
        if self.workers is not None and self.workers > 0 and self.ray is None:
            from spectail.running.forkserver import start_early, threads_each
            from spectail.sweeps.worker import PRELOAD

            start_early(threads_each(self.workers), PRELOAD)

    def compute(self, experiments: Any, store: Any, tell: Callable[[RunProgress, SweepSummary], None]) -> None:
        """Compute what a store lacks, with a progress bar; exits where runs failed or it was to stop.

        Args:
            experiments: those that there are to be.
            store: where they are kept.
            tell: says how it ended.
        """
        from spectail.report.terminal.sweep import RunProgress
        from spectail.running.ray import Resources
        from spectail.running.scheduler import Compute
        from spectail.sweeps.sweep import run_missing

        compute = Compute(self.device, self.workers, self.ray, Resources(self.cpus, self.gpus))
        with RunProgress() as progress:
            summary = run_missing(experiments, store, compute, progress)
        tell(progress, summary)
        if summary.stopped:
            raise KeyboardInterrupt
        if summary.failures:
            sys.exit(1)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How pictures are made."""

    format: Annotated[
        str, option(metavar="png|pdf|svg|pgf,...", help="Files of each picture, with commas between.")
    ] = "png,pdf"
    width: Annotated[
        str, option(metavar="column|page|talk|INCHES", help="Width; letters stay as large as is printed there.")
    ] = "page"
    font: Annotated[str | None, option(metavar="serif|sans-serif|NAME", help="Font; matplotlib's by default.")] = None
    usetex: Annotated[bool, option(help="Have LaTeX set all text.")] = False

    def pictures(self) -> Pictures:
        """What the options say, once it is known that it can be done."""
        from spectail.plots.picture_files import Pictures

        formats = tuple(dict.fromkeys(filter(None, self.format.lower().replace(",", " ").split())))
        pictures = Pictures(formats, self.width, self.font, self.usetex)
        pictures.check()
        return pictures


Device = Annotated[str, option(metavar="NAME", help="Where to compute: cpu, cuda, cuda:1, mps.")]

Out = Annotated[Path, option(metavar="DIR", help="Folder for runs and figures.")]


Option = tuple[str, Any, Any]
"""Its name, its type with how it is shown, and its default."""


def options_of(description: type[Description], names: Iterable[str], metavars: Mapping[str, str]) -> list[Option]:
    """Fields of a description as options, in text: the description itself says what is wrong with them.

    Args:
        description: of a run; its defaults are shown, and hold where an option is not given (None).
        names: of the fields.
        metavars: what is to be written, where a field's type does not say it; "…..." for several words.
    """
    options: list[Option] = []
    for name in names:
        field = description.model_fields[name]
        metavar = metavars.get(name) or _metavar(field.annotation)
        kind: Any = tuple[str, ...] | None if metavar.endswith("...") else str | None
        hint = option(metavar=metavar, help=field.description, help_behavior_hint=_default_hint(name, field))
        options.append((name, Annotated[kind, hint], None))
    return options


def given_fields(options: Any, description: type[Description]) -> dict[str, Any]:
    """The fields of a description that options set."""
    fields = {name: getattr(options, name, None) for name in description.model_fields}
    return {name: value for name, value in fields.items() if value is not None}


def make_command(name: str, text: str, options: Iterable[Option], call: Callable[[Any], None]) -> type[Any]:
    """A command that is called with its options.

    Args:
        name: of the class.
        text: that its help begins with.
        options: in the order of its help.
        call: does what the options say.
    """
    command = dataclasses.make_dataclass(name, options, frozen=True, namespace={"__call__": call})
    command.__doc__ = text
    return command


def _metavar(annotation: Any) -> str:
    base = get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    choices = [c for c in get_args(base) if isinstance(c, str)]
    if choices:
        return "|".join(choices)
    return {int: "INT", float: "FLOAT", bool: "true|false"}.get(base, "NAME")


def _default_hint(name: str, field: Any) -> str:
    if name in CONVENTIONS:
        return "(from --protocol)"
    default = field.default if field.default is not PydanticUndefined else {}
    return f"(default: {'none' if default in (None, (), {}) else default})"
