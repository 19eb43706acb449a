"""`spectail compare`."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.analyze import finish_analysis, save_analysis
from spectail.cli.imports import quick_imports
from spectail.cli.measuring import Measuring
from spectail.cli.option import option
from spectail.cli.printing import AnsweringRows, PrintingRows
from spectail.errors import SettingError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare(Measuring):
    """Say how the spectra of several models differ: side by side, or with --change what changed from one to another.

    SOURCE is what it is for analyze. Side by side, models may have any shapes; matrices of one name stand in a row.
    With --out each model has a folder of its own there, and what is in it is not computed again.
    Example: spectail compare base.safetensors tuned.safetensors --labels base tuned --out compared
    """

    sources: Annotated[tuple[str, ...], tyro.conf.Positional, option(metavar="SOURCE...", help="The models.")]
    labels: Annotated[
        tuple[str, ...], option(metavar="LABEL...", help="What they are called; default: their files' names.")
    ] = ()
    change: Annotated[
        bool, option(help="Measure the difference of two, a model and the same model later.", help_behavior_hint="")
    ] = False
    out: Annotated[Path | None, option(metavar="DIR", help="Folder for tables, pictures and pages.")] = None
    printing: AnsweringRows = dataclasses.field(default_factory=PrintingRows)

    def __call__(self) -> None:
        """Compare, print, and write the files."""
        self.check()
        rows = self.printing.rows()
        if self.change and (len(self.sources) != 2 or self.labels):
            raise SettingError("--change is of two models, without labels: one, and the same one later")
        labels = self.labels or names_of(self.sources)
        if len(self.sources) < 2:
            raise SettingError("compare needs two models or more; `spectail analyze` is of one")
        if len(labels) != len(self.sources) or len({*labels}) != len(labels):
            raise SettingError(f"labels={' '.join(labels)!r} are not valid; expected one of its own for each model")
        self.prepare()
        with quick_imports():
            from spectail.analysis.model import compare
        from spectail.report.pages.models import save_models
        from spectail.report.pages.template import need_pages
        from spectail.report.terminal.models import models_answer, print_models
        from spectail.weights.http_ranges import without_secrets

        if self.out is not None:
            need_pages()
        if self.change:
            again = shlex.join(["spectail", "compare", *map(without_secrets, self.sources), "--change"])
            before, after = self.sources
            finish_analysis(
                "compare", compare(before, after, **self.arguments(), out=self.out), self.out, again, self.printing
            )
            return
        models = dict(zip(labels, self.sources, strict=True))
        both = compare(models, **self.arguments(), out=self.out)
        paths: list[Path] = []
        if self.out is not None:
            for label, analysis in both.analyses.items():
                save_analysis(
                    analysis, self.out / label, shlex.join(["spectail", "analyze", without_secrets(models[label])])
                )
            paths = [*save_models(both, self.out), *(self.out / label for label in both.analyses)]
        self.printing.tell(
            "compare",
            lambda: models_answer(both, rows, paths),
            lambda: print_models(both, rows, paths),
        )


def names_of(sources: Sequence[str]) -> tuple[str, ...]:
    """Labels of sources: the last part of each that tells them apart.

    >>> names_of(["a/model.pt", "b/model.pt"]), names_of(["small.pt", "hub:own/wide"])
    (('a', 'b'), ('small', 'wide'))
    """
    parts = [[part for part in source.replace(":", "/").replace("@", "/").split("/") if part] for source in sources]
    for depth in range(1, 1 + max(map(len, parts), default=0)):
        names = [Path(one[-min(depth, len(one))]).stem for one in parts]
        if len({*names}) == len(names):
            return tuple(names)
    return tuple(f"model {at}" for at in range(1, 1 + len(sources)))
