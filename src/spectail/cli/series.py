"""`spectail series`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectail.cli.option import option
from spectail.errors import SettingError, unknown_name


@dataclasses.dataclass(frozen=True)
class SeriesCommand:
    """Say how the spectra of a model evolved, from the checkpoints of its training.

    SOURCE is a folder with checkpoints, or one above it (step-N.pt, checkpoint-N/ of the Hugging Face Trainer,
    Lightning's epoch=E-step=N.ckpt, global_stepN/, DCP folders, N.safetensors, …), a pattern in quotes, several
    checkpoints, or hub:owner/name with --revisions. The file is that of a monitor at the same steps. Interrupted or
    killed, the same command goes on where it was, and takes up checkpoints that came since.
    Example: spectail series run --out run.nc; spectail series hub:EleutherAI/pythia-70m --revisions 'step*'
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
    existing: Annotated[str, option(metavar="resume|replace|refuse", help="What is done with a recording at FILE.")] = (
        "resume"
    )
    key: Annotated[
        str | None, option(metavar="KEY", help="The state dict that is meant, of several; default: the model's.")
    ] = None
    layers: Annotated[
        tuple[str, ...],
        option(metavar="PATTERN...", help="Names or patterns of the matrices to measure; default: all."),
    ] = ()
    conv: Annotated[str, option(metavar="kernel-slices|flatten", help="How a kernel becomes matrices.")] = (
        "kernel-slices"
    )
    heads: Annotated[bool, option(help="Also a row for the QK and the OV circuit of each attention head.")] = False
    nulls: Annotated[
        str,
        option(
            metavar="gaussian|full|none", help="What to compare with: full also shuffles each matrix; takes longer."
        ),
    ] = "gaussian"
    tail: Annotated[bool, option(help="Say what kind of tail each spectrum has; takes a while.")] = False
    seed: Annotated[int, option(metavar="INT", help="Of what --tail draws.")] = 0
    device: Annotated[
        str | None,
        option(metavar="NAME", help="Where to compute: cpu, cuda, mps; default: where weights lie."),
    ] = None
    workers: Annotated[
        int | None,
        option(metavar="N", help="Processes of one thread each; default: this one, with all threads."),
    ] = None
    ray: Annotated[
        str | None,
        option(metavar="[ADDRESS]", help="Use a Ray cluster: the one that is running, or else a local one."),
    ] = None
    cpus: Annotated[float, option(metavar="FLOAT", help="Cores of the cluster that each matrix takes.")] = 1.0
    gpus: Annotated[float, option(metavar="FLOAT", help="GPUs of the cluster that each matrix takes.")] = 0.0

    def __call__(self) -> None:
        """Measure, and print where the matrices are at the last step."""
        if self.nulls not in ("gaussian", "full", "none"):
            raise SettingError(unknown_name("nulls", self.nulls, ("gaussian", "full", "none")))
        if self.seed < 0:
            raise SettingError(f"seed={self.seed} is not valid; expected 0 or more")
        if self.workers is not None and self.workers > 0 and self.ray is None:
            from spectail.running.forkserver import start_early

            start_early(1, ["spectail.analysis.pieces"])  # they import what they need beside this process
        from spectail.analysis.series import analyze_series
        from spectail.report.terminal.recording import print_recording
        from spectail.running.ray import Resources

        options: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                *("revisions", "follow", "between", "key", "conv", "heads", "tail", "seed", "device", "workers"),
                *("ray", "out", "existing"),
            )
        }
        if self.follow:
            print("following; Ctrl-C ends it, and the file is whole then", file=sys.stderr)
        recording = analyze_series(
            self.source[0] if len(self.source) == 1 else self.source,
            steps=self.steps or None,
            layers=self.layers or None,
            nulls=False if self.nulls == "none" else self.nulls,
            resources=Resources(self.cpus, self.gpus),
            **options,
        )
        if recording.sizes["step"]:
            print_recording(recording, [self.out])
