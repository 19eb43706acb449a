"""Options of the commands that measure matrices, `analyze`, `compare` and `series`: which, how, beside what, where.

Not here: what one of them alone asks, and options of runs of the laboratory (`options`).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from spectail.cli.option import option
from spectail.errors import SettingError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measuring:
    """Which matrices are measured, and how."""

    existing: Annotated[
        str, option(metavar="resume|replace|refuse", help="What is done with what an earlier call has kept.")
    ] = "resume"
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
    seed: Annotated[int, option(metavar="INT", help="Seed of what --tail and --nulls full draw.")] = 0
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

    def check(self) -> None:
        """Refuse what only the command line can get wrong.

        Raises:
            SettingError: an option is out of range.
        """
        if self.seed < 0:
            raise SettingError(f"seed={self.seed} is not valid; expected 0 or more")

    def prepare(self) -> None:
        """Let worker processes begin to import what they need, beside what this one imports."""
        if self.workers is not None and self.workers > 0 and self.ray is None:
            from spectail.running.forkserver import start_early

            start_early(1, ["spectail.analysis.pieces"])

    def arguments(self) -> dict[str, Any]:
        """Arguments of the functions `analyze`, `compare` and `analyze_series`."""
        from spectail.running.ray import Resources

        as_they_are = ("existing", "key", "conv", "heads", "tail", "seed", "device", "workers", "ray", "nulls")
        return {
            **{name: getattr(self, name) for name in as_they_are},
            "layers": self.layers or None,
            "resources": Resources(self.cpus, self.gpus),
        }
