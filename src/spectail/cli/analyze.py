"""`spectail analyze`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.measuring import Measuring
from spectail.cli.option import option
from spectail.cli.printing import AnsweringRows, PrintingRows
from spectail.errors import SettingError, unknown_name

if TYPE_CHECKING:
    from spectail.analysis.analysis_objects import Analysis


@dataclasses.dataclass(frozen=True, kw_only=True)
class Analyze(Measuring):
    """Say what the spectra of a model show: a table, and with --out CSV, netCDF and one HTML page.

    SOURCE is a .safetensors file, a .pt or .pth state dict, a folder or an index of shards as Hugging Face
    lays them out, hub:owner/name[@revision] or an address (https://…, s3://…), of which only what is needed is
    read, or package.module:factory. With AFTER, the same model later, spectra are of the change.
    With --out each row is kept as it comes: interrupted or killed, the same command goes on where it was.
    Example: spectail analyze model.safetensors --layers 'model.layers.*.mlp.*' --out analysis --workers 2
    """

    source: Annotated[str, tyro.conf.Positional, option(metavar="SOURCE", help="The model.")]
    after: Annotated[str | None, tyro.conf.Positional, option(metavar="[AFTER]", help="The same model, later.")] = None
    base: Annotated[
        str | None,
        option(metavar="SOURCE", help="Of an adapter: the model it adds to, to count its intruder dimensions."),
    ] = None
    out: Annotated[Path | None, option(metavar="DIR", help="Folder for the files and the page.")] = None
    list: Annotated[bool, option(help="Only name the matrices and what they would cost; read no weight.")] = False
    by: Annotated[
        str | None, option(metavar="layer|kind", help="Also a table with one row a layer of the model, or a kind.")
    ] = None
    p_value: Annotated[bool, option(help="The first edition's --tail.")] = False
    printing: AnsweringRows = dataclasses.field(default_factory=PrintingRows)

    def __call__(self) -> None:
        """Analyse, print, and write the files."""
        if self.by not in (None, "layer", "kind"):
            raise SettingError(unknown_name("by", self.by, ("layer", "kind")))
        self.check()
        self.printing.rows()  # is refused before anything is measured
        if self.list:
            self._print_list()
            return
        self.prepare()
        with quick_imports():
            from spectail.analysis.model import analyze, compare

        options = {**self.arguments(), "p_value": self.p_value, "out": self.out}
        if self.out is not None:
            from spectail.report.pages.template import need_pages

            need_pages()
        if self.base is not None and self.after is not None:
            raise SettingError("--base is of one adapter; expected no AFTER beside it")
        if self.after is None:
            analysis = analyze(self.source, base=self.base, **options)
        else:
            analysis = compare(self.source, self.after, **options)
        finish_analysis("analyze", analysis, self.out, self._command(), self.printing, self.by)

    def _command(self) -> str:
        """The command that gives the same rows, without what is secret in addresses."""
        from spectail.weights.http_ranges import without_secrets

        words = [
            *map(without_secrets, filter(None, [self.source, self.after])),
            *(["--base", without_secrets(self.base)] if self.base else []),
            *(["--key", self.key] if self.key else []),
            *(["--layers", *self.layers] if self.layers else []),
            *(["--conv", self.conv] if "flat" in self.conv else []),
            *(["--heads"] if self.heads else []),
            *(["--nulls", self.nulls] if self.nulls != "gaussian" else []),
        ]
        return shlex.join(["spectail", "analyze", *words, *(["--tail"] if self.tail or self.p_value else [])])

    def _print_list(self) -> None:
        from spectail.report.terminal.listing import matrices_answer, print_matrices
        from spectail.weights.opening import open_weights

        sources = [self.source, *filter(None, [self.after])]
        opened = [
            open_weights(source, conv=self.conv, key=self.key, heads=self.heads).select(self.layers or None)
            for source in sources
        ]
        self.printing.tell(
            "analyze",
            lambda: {"listed": [matrices_answer(weights) for weights in opened]},
            lambda: print_matrices(opened),
        )


def finish_analysis(
    command: str, analysis: Analysis, out: Path | None, again: str, printing: PrintingRows, by: str | None = None
) -> None:
    """Write the files of an analysis, answer, and say what was not measured; exits where nothing was measured.

    Args:
        command: that was called.
        analysis: what it found.
        out: folder for the files; None writes none.
        again: the whole command, for the page.
        printing: how to answer.
        by: "layer" or "kind", for a table of these too.
    """
    from spectail.report.json_answers import recording_answer
    from spectail.report.terminal.recording import print_recording, print_rolled_up
    from spectail.report.terminal.tables import print_paths

    # before it is printed: whoever reads that may stop in the middle
    paths, rows = [] if out is None else save_analysis(analysis, out, again), printing.rows()

    def print_words() -> None:
        print_recording(analysis.recording, choice=rows, everything=printing.verbose)
        if by is not None:
            print_rolled_up(analysis.roll_up(by))
        if paths:
            print_paths(paths)

    def answer() -> dict[str, Any]:
        rolled_up = {} if by is None else {"by": analysis.roll_up(by).to_dict("records")}
        return recording_answer(analysis.recording, rows, paths) | rolled_up

    printing.tell(command, answer, print_words)
    _report_unmeasured(analysis.frame["note"], again=out is not None)


def _report_unmeasured(notes: Iterable[str], *, again: bool) -> None:
    """Say how many matrices were not measured for a reason beside their weights; exits where none was measured."""
    from spectail.recording.events import NOT_MEASURED

    notes = list(notes)
    reasons = [note.partition(NOT_MEASURED)[2] for note in notes if NOT_MEASURED in note]
    if reasons:
        how = "; the same command tries them again" if again else ""
        sentence = f"{len(reasons)} of {len(notes)} matrices were not measured: {reasons[0]}{how}"
        print(f"{'error' if len(reasons) == len(notes) else 'warning'}: {sentence}", file=sys.stderr)
        if len(reasons) == len(notes):
            sys.exit(2)


def save_analysis(analysis: Analysis, folder: Path, command: str) -> list[Path]:
    """Write summary.txt, analysis.csv, skipped.csv, spectra.nc where it is not there, and analysis.html.

    Args:
        analysis: what to write.
        folder: where to; made if need be.
        command: by which, as the page says, it was made.

    Returns:
        the paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    import pandas as pd

    from spectail.analysis.model import FILE
    from spectail.files import write_content
    from spectail.recording.netcdf import save_recording
    from spectail.recording.spreadsheets import write_csv
    from spectail.report.pages.recording import write_page

    rows = [(one.name, "×".join(map(str, one.shape)), one.reason) for one in analysis.skipped]
    skipped = pd.DataFrame(rows, columns=["name", "shape", "reason"])
    path = folder / FILE
    return [
        write_content(folder / "summary.txt", analysis.summary() + "\n"),
        write_csv(analysis.frame, folder / "analysis.csv"),
        write_csv(skipped, folder / "skipped.csv"),
        path if path.exists() else save_recording(analysis.recording, path),
        write_page(analysis, folder / "analysis.html", command=command),
    ]
