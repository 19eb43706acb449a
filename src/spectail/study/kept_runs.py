"""Claims judged by what is published of their runs: curves of all, and small files of those whose spectra count.

Not here: runs made from curves alone (`kept_curves.py`), and the rules that make a verdict of repeats (`verdicts.py`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from spectail.analysis.two_layer_nulls import known_overlaps, largest_overlap
from spectail.experiments.protocols import Protocol
from spectail.recording.layout import without_labels
from spectail.recording.netcdf import checksum
from spectail.recording.reading import load_recording
from spectail.spectra.overlaps import LEADING
from spectail.study.artifact import Artifact
from spectail.study.claims import Outcome
from spectail.study.kept_curves import repeats_of
from spectail.study.making import in_a_family
from spectail.study.runs import SIDES, NotKeptError, Runs
from spectail.study.settings import PAPER

Outcomes = dict[str, dict[Protocol, Outcome]]
"""By the number of the claim and protocol."""

KEPT_FROM = 0.9
"""Overlaps below this share of the largest are kept as zero, but for the diagonal: claims are about the largest."""

KEPT_BITS = 8
"""Overlaps of which blocks are averaged are kept to 0.2 %, a hundredth of what each of them fluctuates."""


class KeptRuns:
    """What is published of runs: tables of curves, and whole runs.

    Args:
        curves: by the name of an artifact, its runs without spectra by key, as `runs_of_curves` gives them.
        files: the runs that are kept with spectra and overlaps, by key.

    Attributes:
        asked: the keys of the runs whose files were needed.
    """

    def __init__(self, curves: Mapping[str, Mapping[str, xr.Dataset]], files: Mapping[str, Path]) -> None:
        self.asked = set[str]()
        self.curves, self.files, self._open = curves, files, dict[str, xr.Dataset]()

    def opened(self, key: str) -> xr.Dataset:
        """A run from its file."""
        self.asked.add(key)
        if key not in self._open:
            self._open[key] = load_recording(self.files[key])
        return self._open[key]

    def runs_of(self, artifact: str, *, whole: bool) -> Mapping[str, xr.Dataset]:
        """All runs by key, as one artifact uses them: its own curves come before those of other artifacts.

        Where large steps make rounding grow, an experiment that was run for two figures has two results.

        Args:
            artifact: its name.
            whole: runs have their spectra, as far as files are kept.
        """
        others = (self.curves[name] for name in self.curves if name != artifact)
        return _RunsOfArtifact(self, ChainMap(dict(self.curves.get(artifact, {})), *map(dict, others)), whole)


class _RunsOfArtifact(Mapping[str, xr.Dataset]):
    def __init__(self, published: KeptRuns, curves: Mapping[str, xr.Dataset], whole: bool) -> None:
        self._published, self._curves, self._whole = published, curves, whole

    def __getitem__(self, key: str) -> xr.Dataset:
        # A run of which there are no curves is read from its file in any case
        if key in self._published.files and (self._whole or key not in self._curves):
            return self._published.opened(key)
        if key not in self._curves:
            raise NotKeptError(f"nothing is kept of run {key}")
        return self._curves[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._curves, **self._published.files})

    def __len__(self) -> int:
        return len({**self._curves, **self._published.files})


def judge_kept(artifact: Artifact, published: KeptRuns, old: Mapping[str, Collection[str]] | None = None) -> Outcomes:
    """What an artifact's claims find in the runs that are kept, one family each protocol.

    Every claim is judged by as many repeats as are kept of the runs it asks for.

    Args:
        artifact: at the paper's scale.
        published: what is known of its runs.
        old: by a claim's number, the protocols under which it has a verdict by today's rule. Under these it is judged
            again only where the artifact's own number of repeats is kept.

    Returns:
        outcomes by claim and protocol; none of claims whose runs are not kept.
    """
    by_number: Outcomes = {}
    curves_and_whole = [published.runs_of(artifact.name, whole=whole) for whole in (False, True)]
    for protocol in artifact.protocols:
        outcomes = {}
        most = max(artifact.repeats, repeats_of(artifact, protocol, {*curves_and_whole[1]}))
        for claim in artifact.claims:
            has_verdict = protocol in (old or {}).get(claim.number, ())
            least = artifact.repeats if has_verdict else 1
            for repeats, runs_by_key in product(range(most, least - 1, -1), curves_and_whole):
                try:
                    runs = Runs(protocol, PAPER, range(repeats), runs_by_key, epsilon=artifact.epsilon)
                    outcomes[claim.number] = claim.test(runs)
                except NotKeptError:
                    continue
                break
        for number, outcome in in_a_family(outcomes).items():
            by_number.setdefault(number, {})[protocol] = outcome
    return by_number


def compact_run(run: xr.Dataset, all_of: Collection[tuple[int, int]] = ()) -> xr.Dataset:
    """A run with float32 spectra, and of its overlaps the diagonal and those from `KEPT_FROM` of the largest on.

    Args:
        run: as it was recorded.
        all_of: pairs of steps of which all overlaps are kept, to `KEPT_BITS` bits. Of the other pairs the strongest
            direction of W and the `LEADING` of both are then kept whole, too.
    """
    run = run.assign(eigenvalues=run.eigenvalues.astype(np.float32))
    run = run.drop_vars([name for name in run.data_vars if str(name).endswith(("_diagonal", "_spread"))])
    pairs = list(zip(run.w_step.values.tolist(), run.m_step.values.tolist(), strict=True)) if "pair" in run.dims else []
    for side in [side for side in SIDES if f"overlap_{side}" in run]:
        entries = run[f"overlap_{side}"].values.copy()
        for pair, block in enumerate(entries):
            if pairs[pair] in all_of:
                fraction, exponent = np.frexp(block)
                block[...] = np.ldexp(np.round(np.ldexp(fraction, KEPT_BITS)), exponent - KEPT_BITS)
                continue
            # Directions past a rank are arbitrary and no claim reads them, so the largest is not theirs
            small = block < KEPT_FROM * largest_overlap(known_overlaps(run, pair, side))
            small &= np.eye(*block.shape) == 0
            if all_of:
                small[0], small[:LEADING, :LEADING] = False, False
            block[small] = 0.0
        run[f"overlap_{side}"] = (run[f"overlap_{side}"].dims, entries)
    return without_labels(run).assign_attrs(checksum=checksum(run))
