"""What a row says of matrices that are known for what they are: `python -m benchmarks.calibration [PART …]`.

Parts: families, noise, spikes, power, edges, errors, returns, untrained. Each cell of a table is a line of
docs/results/calibration.jsonl as soon as it is measured; the same command after a kill goes on where it was, and
`--again` measures anew what is there. `--tables` writes the tables into docs/calibration.md, from those lines.

Not here: the families, which are in `families`, untrained models, in `untrained`, and trainings, in `watched`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import spectail
from benchmarks import watched
from benchmarks.calibration_tables import BOUND, write
from benchmarks.families import (
    SHAPES,
    Array,
    Family,
    Shape,
    Stream,
    families,
    gaussian,
    lognormal,
    planted,
    scaled,
    share_of,
)
from benchmarks.families import between as uniform
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.row import measure_matrix
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.nulls import gaussian_spectrum
from spectail.spectra.spikes import FALSE_SPIKES, critical_strength, spike_eigenvalue
from spectail.spectra.tails import KS_SPREAD, hill, ks_fit, standard_error
from spectail.weights.matrix import WeightMatrix

DOCS = Path(__file__).parent.parent / "docs"
CELLS, PAGE = DOCS / "results" / "calibration.jsonl", DOCS / "calibration.md"

Cell = dict[str, Any]

# Draws of each shape: for families, power and edges; for families whose kind of tail is asked for, where each draw
# takes a hundred spectra; for noise and false spikes.
DRAWS = {
    "16×16": (200, 10, 1000),
    "64×64": (200, 20, 1000),
    "2000×30": (100, 10, 300),
    "96 of 7×7": (100, 20, 300),
    "64×3×7×7": (100, 20, 300),
    "300×200": (100, 20, 1000),
    "1000×250": (60, 10, 200),
    "256×256×3×3": (20, 5, 40),
    "512×2048": (20, 6, 40),
    "1500×1000": (20, 4, 40),
}

STRENGTHS = (1.05, 1.1, 1.25, 1.5, 2.0)

PROFILES: dict[str, Callable[[Stream, Shape], Array]] = {
    "Gaussian": gaussian,
    "rows ½ to 2": scaled(rows=uniform(0.5, 2.0)),
    "columns ½ to 2": scaled(cols=uniform(0.5, 2.0)),
    "both lognormal(½)": scaled(rows=lognormal(0.5), cols=lognormal(0.5)),
    "slices ½ to 2": scaled(slices=uniform(0.5, 2.0)),
}


def row(weights: torch.Tensor, dtype: torch.dtype = torch.float32, *, tail: bool = False) -> dict[str, Any]:
    """The row of `analyze` for slices × rows × columns."""
    slices, rows, cols = weights.shape
    matrix = WeightMatrix("W", "weight", rows, cols, slices, lambda: weights, dtype=str(dtype).removeprefix("torch."))
    return measure_matrix(matrix, tail=tail)[0]


def said(one: dict[str, Any], family: Family) -> str:
    """A row in a few words."""
    count = one["n_spikes"]
    words = [one["phase"], *([] if math.isnan(count) or not count else [f"{int(count)} spikes"])]
    words += [f"cause {one['cause']}"] if one["cause"] else []
    return ", ".join(words + ([f"tail: {one['tail_kind']}"] if family.tail else []))


def confusion(shapes: Iterable[str], names: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """Every family at every shape."""
    for shape in shapes:
        for family in families():
            if any(name in family.name or name == ("tails" if family.tail else "judged") for name in names) and not (
                "slices" in family.name and SHAPES[shape][0] == 1
            ):
                count = draws or DRAWS[shape][family.tail]
                yield (
                    {"part": "families", "family": family.name, "shape": shape, "draws": count},
                    _judged(family, shape, count),
                )


def _judged(family: Family, shape: str, draws: int) -> Callable[[], Cell]:
    def measure() -> Cell:
        rows = [row(family.weights(SHAPES[shape], number), family.dtype, tail=family.tail) for number in range(draws)]
        right = [family.right(one, SHAPES[shape]) for one in rows]
        words = Counter(said(one, family) for one in rows)
        wrong = {number: said(one, family) for number, (one, ok) in enumerate(zip(rows, right, strict=True)) if not ok}
        return {"right": sum(right), "said": dict(words.most_common(4)), "wrong": dict(list(wrong.items())[:40])}

    return measure


def noise(shapes: Iterable[str], _: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """z once norms are out: of noise with scaled rows and columns, alone and with planted directions."""
    unequal, twenty = lognormal(0.5), planted(lambda _: 20, 3.0)
    kinds = {"nothing": scaled(unequal, unequal), "20 directions": scaled(unequal, unequal, of=twenty)}
    for shape in shapes:
        for name, draw in kinds.items():
            slices, rows, cols = SHAPES[shape]
            if slices == 1 and min(rows, cols) >= 200:
                count = draws or DRAWS[shape][2]
                yield {"part": "noise", "of": name, "shape": shape, "draws": count}, _z_of(name, draw, shape, count)


def _z_of(name: str, draw: Callable[[Stream, Shape], Array], shape: str, draws: int) -> Callable[[], Cell]:
    def measure() -> Cell:
        family = Family(name, draw, lambda *_: True, "")
        rows = [row(family.weights(SHAPES[shape], number)) for number in range(draws)]
        z, raw = (sorted(one[which] for one in rows) for which in ("z_homogeneous", "z_hill"))
        within = sum(abs(one) < 4 for one in z)
        ends = {"least": z[0], "median": z[len(z) // 2], "most": z[-1], "without": raw[len(raw) // 2]}
        return {"within": within, "strong": sum(one <= -8 for one in z)} | {k: round(v, 2) for k, v in ends.items()}

    return measure


def false_spikes(shapes: Iterable[str], _: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """How often a pure bulk is said to have a spike."""
    for shape in shapes:
        for name, draw in PROFILES.items():
            if SHAPES[shape][0] > 1 or "slices" not in name:
                count = draws or DRAWS[shape][2]
                yield {"part": "spikes", "of": name, "shape": shape, "draws": count}, _spikes(name, draw, shape, count)


def power(shapes: Iterable[str], _: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """How often one planted direction is found, by its strength."""
    for shape in shapes:
        for strength in STRENGTHS:
            count = draws or DRAWS[shape][0]
            name = f"{strength:g} θ_c"
            measure = _spikes(name, planted(share_of(0.0), strength), shape, count)
            yield {"part": "power", "of": name, "shape": shape, "draws": count}, measure


def _spikes(name: str, draw: Callable[[Stream, Shape], Array], shape: str, draws: int) -> Callable[[], Cell]:
    def measure() -> Cell:
        family = Family(name, draw, lambda *_: True, "")
        counts = [row(family.weights(SHAPES[shape], number))["n_spikes"] for number in range(draws)]
        return {"with": sum(count > 0 for count in counts)}

    return measure


def edges(shapes: Iterable[str], _: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """Where several spikes of 1.5 θ_c lie, by theory and in truth, and how often any edge would count them."""
    for shape in shapes:
        for percent in (1, 2, 5, 10):
            if min(SHAPES[shape][1:]) >= 200:
                count = draws or DRAWS[shape][0]
                yield (
                    {"part": "edges", "of": f"{percent} %", "shape": shape, "draws": count},
                    _places(SHAPES[shape], share_of(percent / 100)(SHAPES[shape]), count),
                )


def _places(shape: Shape, spikes: int, draws: int) -> Callable[[], Cell]:
    slices, rows, cols = shape
    law = MarchenkoPastur(rows - spikes, cols - spikes)

    def places(count: int) -> Array:
        """Eigenvalues of each slice of each draw past the edge of noise below the spikes, in its fluctuations."""
        draw, stream = planted(lambda _: count, 1.5), np.random.default_rng([count, *shape])
        matrices = (torch.from_numpy(draw(stream, shape)) for _ in range(draws))
        spectra = [torch.linalg.eigvalsh(one.mT @ one if rows >= cols else one @ one.mT) for one in matrices]
        return np.asarray((torch.stack(spectra).numpy() - law.edges[1]) / law.edge_fluctuation)

    def measure() -> Cell:
        several, alone = places(spikes), places(1)[..., -1]
        weakest, rest = several[..., -spikes].min(1), several[..., -spikes - 1].max(1)
        null = nulls_of_shape(rows, cols, slices, normalised=slices > 1).edge
        edge = null.upper(FALSE_SPIKES)
        exact = {one: int(((weakest > one) & (rest <= one)).sum()) for one in np.linspace(-8.0, 8.0, 321)}
        enough = [one for one, count in exact.items() if count >= BOUND * draws]
        best = max(enough or exact, key=lambda one: one if enough else exact[one])
        stream = np.random.default_rng(0)  # equal spikes lie as eigenvalues of symmetric matrices do (Bai & Yao 2008)
        squares = stream.standard_normal((400, slices, spikes, spikes))
        least = float(np.linalg.eigvalsh((squares + squares.swapaxes(2, 3)) / 2)[..., 0].min(1).mean())
        expected = spike_eigenvalue(1.5 * critical_strength(rows, cols), rows, cols)
        theory = (expected - MarchenkoPastur(rows, cols).edges[1]) / law.edge_fluctuation
        numbers = {
            "theory": theory,
            "weakest_theory": theory + least * float(alone.std()),
            "weakest": float(np.median(weakest)),
            "rest": float(np.median(rest)),
            "edge": edge,
            "best_edge": best,
            "noise_past": max((q for q in np.geomspace(1e-3, 0.99, 400) if null.upper(q) >= best), default=0.0),
        }
        counts = {"spikes": spikes, "exact": int(((weakest > edge) & (rest <= edge)).sum()), "best": exact[best]}
        return counts | {name: round(float(value), 2) for name, value in numbers.items()}

    return measure


def errors(shapes: Iterable[str], _: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """How exponents of fresh untrained matrices spread, beside the standard errors that are printed."""
    for shape in shapes:
        if SHAPES[shape][0] == 1:
            yield {"part": "errors", "shape": shape, "draws": draws or 1000}, _spreads(SHAPES[shape], draws or 1000)


def _spreads(shape: Shape, draws: int) -> Callable[[], Cell]:
    def measure() -> Cell:
        stream, null = np.random.default_rng(17), nulls_of_shape(*shape[1:]).hill
        spectra = (gaussian_spectrum(*shape[1:], stream) for _ in range(draws))
        alphas = np.array([(hill(spectrum), ks_fit(spectrum).alpha) for spectrum in spectra])
        printed = np.array([(standard_error(a, null.spread), standard_error(ks, KS_SPREAD)) for a, ks in alphas])
        spread = np.sqrt(np.expm1(np.log(alphas - 1.0).var(0, ddof=1)))  # of a lognormal law, over its median's size
        relative = np.median(printed / (alphas - 1.0), 0)
        both = {"printed": relative, "spread": spread}
        return {f"{of}_{what}": round(float(both[what][i]), 4) for i, of in enumerate(("hill", "ks")) for what in both}

    return measure


def returns(_: Iterable[str], names: Iterable[str], draws: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """How often a matrix that is watched returns to a phase that it left, with hysteresis and without."""
    for name, optimizer in watched.OPTIMIZERS.items():
        if any(part in name for part in names):
            count = draws or 3
            yield {"part": "returns", "of": name, "draws": count}, _returns(optimizer, count)


def _returns(optimizer: watched.Optimizer, draws: int) -> Callable[[], Cell]:
    def measure() -> Cell:
        counts = np.zeros(6, int)
        for seed in range(draws):
            states = watched.training(optimizer, seed)
            slowly, alone = (watched.phases(states, hysteresis=one) for one in (True, False))
            large = {name: history for name, history in slowly.items() if min(states[0][name].shape) >= 64}
            counts += [n for histories in (slowly, large, alone) for n in watched.returns(histories)]
        return dict(zip(watched.COUNTS, counts.tolist(), strict=True))

    return measure


def untrained(_: Iterable[str], names: Iterable[str], __: int) -> Iterator[tuple[Cell, Callable[[], Cell]]]:
    """Models at their default initialisation: rows that have any label but random-like."""
    from benchmarks.untrained import models

    for name, make in models().items():
        if any(part in name for part in names):
            yield {"part": "untrained", "of": name, "draws": 1}, lambda make=make: _labels(make)  # type: ignore[misc]


def _labels(make: Callable[[], torch.nn.Module]) -> Cell:
    torch.manual_seed(0)
    table = spectail.analyze(make()).frame
    labelled = table[(table["n_eigenvalues"] >= 10) & ~table["note"].str.contains("all weights are zero")]
    other = labelled[labelled["phase"] != "random-like"]
    return {
        "rows": len(labelled),
        "without": len(table) - len(labelled),
        "other": dict(zip(other["name"], other["phase"], strict=True)),
    }


PARTS = {
    "families": confusion,
    "noise": noise,
    "spikes": false_spikes,
    "power": power,
    "edges": edges,
    "errors": errors,
    "returns": returns,
    "untrained": untrained,
}


def read(path: Path = CELLS) -> dict[str, Cell]:
    """The newest line of every cell."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {_key(cell): cell for cell in map(json.loads, lines)}


def _key(cell: Cell) -> str:
    return " ".join(str(cell.get(name, "")) for name in ("part", "family", "of", "shape"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    parser.add_argument("--shapes", nargs="*", default=list(DRAWS), help=f"of {', '.join(SHAPES)}")
    parser.add_argument(
        "--families",
        nargs="*",
        default=[""],
        help="parts of their names, or of those of models; tails: whose kind of tail is asked for; judged: the others",
    )
    parser.add_argument("--draws", type=int, default=0, help="of each cell; by default as many as its size allows")
    parser.add_argument("--again", action="store_true", help="measure also what is there")
    parser.add_argument("--out", type=Path, default=CELLS, help="where the cells are kept")
    parser.add_argument("--tables", action="store_true", help="only write the tables into the document")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.tables:
        write(read(arguments.out), PAGE)
        return
    there = read(arguments.out)
    for name in arguments.parts or PARTS:
        for cell, measure in PARTS[name](arguments.shapes, arguments.families, arguments.draws):
            if arguments.again or there.get(_key(cell), {"draws": 0})["draws"] < cell["draws"]:
                start = time.perf_counter()
                cell |= measure() | {"seconds": round(time.perf_counter() - start, 1), "version": spectail.__version__}
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                with arguments.out.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(cell, ensure_ascii=False) + "\n")
                print(json.dumps(cell, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
