"""The tables of docs/calibration.md, from the cells that `calibration` measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.families import SHAPES, families
from benchmarks.watched import COUNTS

Cell = dict[str, Any]

BOUND = 0.95


def write(cells: Mapping[str, Cell], page: Path) -> None:
    """Put each table where the page has its name."""
    text = page.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, a=begin, m=make, z=end: f"{a}{m(cells)}\n{z}", text, flags=re.S)  # type: ignore[misc]
    page.write_text(text, encoding="utf-8")


def of_families(cells: Mapping[str, Cell]) -> str:
    """Right answers of all draws: a row a family, a column a shape."""
    rows = []
    for family in families():
        shown = [family.name, family.answer]
        for name, shape in SHAPES.items():
            cell = cells.get(f"families {family.name}  {name}")
            figure = _figure(cell["right"], cell["draws"]) if cell else "–"
            missed = cell is not None and cell["right"] < BOUND * cell["draws"]
            shown.append(f"({figure})" if missed and family.excused(shape) else f"**{figure}**" if missed else figure)
        rows.append(shown)
    return _table(["family", "right answer", *SHAPES], rows)


def of_faults(cells: Mapping[str, Cell]) -> str:
    """What is said instead, where a family falls below the bound and no boundary excuses it."""
    rows = []
    for family in families():
        for name, shape in SHAPES.items():
            cell = cells.get(f"families {family.name}  {name}")
            if cell and cell["right"] < BOUND * cell["draws"] and not family.excused(shape):
                words = "; ".join(f"{words} ({count})" for words, count in list(cell["said"].items())[:3])
                rows.append([family.name, name, _figure(cell["right"], cell["draws"]), words])
    return _table(["family", "shape", "right", "what is said most"], rows)


def of_noise(cells: Mapping[str, Cell]) -> str:
    rows = []
    for cell in _of(cells, "noise"):
        within, strong = (_figure(cell[which], cell["draws"]) for which in ("within", "strong"))
        rows.append([cell["shape"], cell["of"], within, strong, f"{cell['least']} to {cell['most']}", cell["without"]])
    return _table(["shape", "planted", "−4 < z < 4", "z ≤ −8", "range of z", "median with the norms"], rows)


def of_spikes(cells: Mapping[str, Cell]) -> str:
    return _by_shape(cells, "spikes")


def of_power(cells: Mapping[str, Cell]) -> str:
    return _by_shape(cells, "power")


def of_edges(cells: Mapping[str, Cell]) -> str:
    """Where spikes of 1.5 θ_c lie, and how often an edge counts them: a row a shape and number."""
    rows = [
        [cell["shape"], f"{cell['spikes']}{', each slice' * (SHAPES[cell['shape']][0] > 1)}"]
        + [f"{cell[name]:.1f}" for name in ("theory", "weakest_theory", "weakest", "rest", "edge")]
        + [_figure(cell[name], cell["draws"]) for name in ("exact", "best")]
        + (["–", "–"] if not cell["best"] else [f"{cell['best_edge']:.1f}", _share(cell["noise_past"])])
        for cell in _of(cells, "edges")
    ]
    head = ["shape", "spikes", "one, by theory", "weakest, by theory", "weakest", "largest of the rest", "our edge"]
    return _table([*head, "exact", "exact by another edge", "that edge", "noise past it"], rows)


def of_errors(cells: Mapping[str, Cell]) -> str:
    """Printed and true, of each exponent."""
    rows = []
    for cell in _of(cells, "errors"):
        pairs = [(cell[f"{of}_printed"], cell[f"{of}_spread"]) for of in ("hill", "ks")]
        rows.append(
            [cell["shape"], cell["draws"], *[f"{one:.3f}" for printed, true in pairs for one in (printed, true)]]
        )
    return _table(["shape", "draws", "Hill, printed", "Hill, true", "KS, printed", "KS, true"], rows)


def of_returns(cells: Mapping[str, Cell]) -> str:
    """Changes of phase and returns, a row a kind of training, then all together."""
    rows = [[cell["of"], cell["draws"], *[cell[name] for name in COUNTS]] for cell in _of(cells, "returns")]
    total = ["together", *[sum(column) for column in list(zip(*rows, strict=True))[1:]]]
    heads = [f"{what}{of}" for of in ("", ", but the last layer", ", by itself") for what in ("changes", "returns")]
    return _table(["training", "runs", *heads], [*rows, total])


def of_untrained(cells: Mapping[str, Cell]) -> str:
    """Models with a row that is not random-like, then all together."""
    models = _of(cells, "untrained")
    rows = [
        [cell["of"], cell["rows"], "; ".join(f"{name}: {phase}" for name, phase in cell["other"].items())]
        for cell in models
        if cell["other"]
    ]
    total, other = sum(cell["rows"] for cell in models), sum(len(cell["other"]) for cell in models)
    together = [f"all {len(models)} models", total, f"{other} rows, {other / max(total, 1):.2%}"]
    return _table(["model", "rows", "labels other than random-like"], [*rows, together]) + (
        f"\n\nThe models: {', '.join(cell['of'] for cell in models)}."
    )


TABLES = {
    "families": of_families,
    "faults": of_faults,
    "noise": of_noise,
    "spikes": of_spikes,
    "power": of_power,
    "edges": of_edges,
    "errors": of_errors,
    "returns": of_returns,
    "untrained": of_untrained,
}


def _of(cells: Mapping[str, Cell], part: str) -> list[Cell]:
    return [cell for cell in cells.values() if cell["part"] == part]


def _by_shape(cells: Mapping[str, Cell], part: str) -> str:
    chosen = _of(cells, part)
    kinds = list(dict.fromkeys(cell["of"] for cell in chosen))
    at = {(cell["shape"], cell["of"]): _figure(cell["with"], cell["draws"]) for cell in chosen}
    shapes = [name for name in SHAPES if any((name, kind) in at for kind in kinds)]
    return _table(["shape", *kinds], [[name, *(at.get((name, kind), "–") for kind in kinds)] for name in shapes])


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share else "< 1 %"


def _figure(count: int, draws: int) -> str:
    return f"{count}/{draws}"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(one) for one in line) + " |" for line in lines)
