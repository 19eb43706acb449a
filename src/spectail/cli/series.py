"""`spectail series`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.measuring import Measuring
from spectail.cli.option import option
from spectail.cli.printing import AnsweringRows, PrintingRows
from spectail.errors import SettingError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesCommand(Measuring):
    """Say how the spectra of a model evolved, from the checkpoints of its training.

    SOURCE is a folder with checkpoints, or one above it (step-N.pt, checkpoint-N/ of the Hugging Face Trainer,
    Lightning's epoch=E-step=N.ckpt, global_stepN/, DCP folders, N.safetensors, …), a pattern in quotes, several
    checkpoints, or hub:owner/name with --revisions. The file is that of a monitor at the same steps. Interrupted or
    killed, the same command goes on where it was, and takes up checkpoints that came since.
    Example: spectail series checkpoints/ --out run.nc; spectail series hub:EleutherAI/pythia-70m --revisions 'step*'
    """

    source: Annotated[tuple[str, ...], tyro.conf.Positional, option(metavar="SOURCE...", help="The checkpoints.")]
    out: Annotated[Path, option(metavar="FILE.nc", help="The recording.")] = Path("series.nc")
    revisions: Annotated[
        str | None,
        option(metavar="PATTERN", help="Branches and tags of a model of the hub that are its checkpoints, as 'step*'."),
    ] = None
    steps: Annotated[
        tuple[int, ...],
        option(metavar="STEP...", help="Steps of the checkpoints, in the order of their names, if nothing else says."),
    ] = ()
    follow: Annotated[
        bool, option(help="Wait for checkpoints of a training that runs, until Ctrl-C.", help_behavior_hint="")
    ] = False
    between: Annotated[
        bool, option(help="Measure what changed from each checkpoint to the next, too.", help_behavior_hint="")
    ] = False

    printing: AnsweringRows = dataclasses.field(default_factory=PrintingRows)

    def __call__(self) -> None:
        """Measure, and print where the matrices are at the last step."""
        self.check()
        if not self.source:
            raise SettingError("series needs a SOURCE: a folder of checkpoints, a pattern in quotes, or hub:owner/name")
        rows = self.printing.rows()
        self.prepare()
        with quick_imports():
            from spectail.analysis.series import analyze_series
        from spectail.report.json_answers import recording_answer
        from spectail.report.terminal.recording import print_recording

        if self.follow and not self.printing.quiet:
            print("following; Ctrl-C ends it, and the file is whole then", file=sys.stderr)
        recording = analyze_series(
            self.source[0] if len(self.source) == 1 else self.source,
            revisions=self.revisions,
            steps=self.steps or None,
            follow=self.follow,
            between=self.between,
            out=self.out,
            **self.arguments(),
        )
        if recording.sizes["step"]:
            without_warnings = recording.assign_attrs(left_out="[]")  # of what is left out there was a warning each
            self.printing.tell(
                "series",
                lambda: recording_answer(recording, rows, [self.out]),
                lambda: print_recording(without_warnings, [self.out], choice=rows, everything=self.printing.verbose),
            )
