"""Pages of the reference that are made from the code: the public names, the quantities, the commands.

Here: nothing that the code does not say itself; the few headings under which the public names stand.
"""

import contextlib
import io
import os
import re
import textwrap
from pathlib import Path
from unittest import mock

import spectail
from spectail.cli import COMMANDS, main
from spectail.recording.quantities import OVER, QUANTITIES, Quantity

TOPICS = {
    "Measure a model": """analyze compare analyze_series Analysis Comparison SideBySide summarize complete
        weightwatcher_summary layer_rates FARMS LOCALISATION""",
    "Watch a training": """SpectralMonitor AlertThresholds every at log_spaced budget SpectralCallback
        SpectralTrainerCallback""",
    "Recordings": "load_recording events each_matrix write_page Quantity quantities",
    "One spectrum": """eigenvalues singular_values MarchenkoPastur fit_marchenko_pastur hill hill_fit pl_alpha_hill
        ks_fit PowerLawFit singular_overlaps classify Phase PhaseEvidence""",
    "The laboratory": "Experiment simulate simulate_many Problem predict_one_step critical_lr",
    "Many runs": "Grid sweep Store load_results lazy_results results_frame",
    "The paper": "reproduce Record",
    "Errors": "SpectailError SettingError SourceError StoreError MissingPackageError",
}
"""Heading of each page, and the names on it."""

_DEFINED = {name: f"spectail.analysis.on_request.{name}" for name in ("FARMS", "LOCALISATION")}
"""Where constants stand, whose docstrings are found there only."""

DEPRECATED = {"Training", "open_monitor", "open_results", "open_run", "train"}
ROOMS = {"plots", "spectra"}


def write_reference(folder: Path) -> None:
    """Writes all pages into `folder`; what did not change is not touched, so that it is not built again."""
    pages = {f"api-{_slug(title)}": _api_page(title, names.split()) for title, names in TOPICS.items()}
    pages["api-plots"] = _module_page("Pictures", "spectail.plots")
    pages["api-spectra"] = _module_page("All of `spectail.spectra`", "spectail.spectra")
    pages |= {f"quantity-{quantity.name}": _quantity_page(quantity) for quantity in QUANTITIES}
    pages["quantities"] = _quantities_page()
    pages |= {f"command-{name}": _command_page(name) for name in COMMANDS}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.stem not in pages:
            path.unlink()


def unlisted() -> set[str]:
    """Public names that stand on no page."""
    return set(spectail.__all__) - {name for names in TOPICS.values() for name in names.split()} - DEPRECATED - ROOMS


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def _api_page(title: str, names: list[str]) -> str:
    return f"# {title}\n\n" + "\n".join(
        _documented(_DEFINED.get(name, f"spectail.{name}"), getattr(spectail, name)) for name in names
    )


def _module_page(title: str, module: str) -> str:
    room = getattr(spectail, module.rpartition(".")[2])
    shown = [name for name in room.__all__ if not hasattr(spectail, name) or module.endswith("plots")]
    introduction = (room.__doc__ or "").strip()
    return f"# {title}\n\n{introduction}\n\n" + "\n".join(
        _target(f"spectail.{name}") + _documented(f"{module}.{name}", getattr(room, name)) for name in shown
    )


def _target(name: str) -> str:
    """Where pages of source lead back to: they call every name of a file as its first one is called."""
    return f'```{{raw}} html\n<span id="{name}"></span>\n```\n'


def _documented(path: str, thing: object) -> str:
    if isinstance(thing, type):
        directive = "autoexception" if issubclass(thing, Exception) else "autoclass"
        return f"```{{eval-rst}}\n.. {directive}:: {path}\n   :members:\n   :special-members: __call__\n```\n"
    if callable(thing):
        return f"```{{eval-rst}}\n.. autofunction:: {path}\n```\n"
    return f"```{{eval-rst}}\n.. autodata:: {path}\n   :no-value:\n```\n"


def _quantity_page(quantity: Quantity) -> str:
    unit = {"1": "–", "w": "of the weights", "w²": "of the weights, squared", "s": "seconds"}[quantity.unit]
    lines = {
        "symbol": quantity.symbol,
        "formula": f"`{quantity.formula}`" if quantity.formula else "",
        "unit": unit,
        "kind": {float: "number", int: "whole number", str: "text"}[quantity.dtype],
        "along": " × ".join(OVER[quantity.of]),
        "measured from": quantity.of,
        "its null": f"[`{quantity.null}`](quantity-{quantity.null}.md)" if quantity.null else "",
        "head in tables": quantity.head,
        "in WeightWatcher": f"`{quantity.weightwatcher}`" if quantity.weightwatcher else "",
    }
    table = "".join(f"| {what} | {_cell(value)} |\n" for what, value in lines.items() if value)
    return f"# `{quantity.name}`\n\n{_sentence(quantity.text)}\n\n| | |\n|---|---|\n{table}"


def _quantities_page() -> str:
    rows = "".join(
        f"| [`{q.name}`](quantity-{q.name}.md) | {_cell(q.symbol)} | {_cell(_sentence(q.text))} |\n"
        for q in sorted(QUANTITIES, key=lambda quantity: quantity.name)
    )
    listed = "\n".join(f"quantity-{quantity.name}" for quantity in QUANTITIES)
    return (
        "# All quantities\n\nColumns of tables and variables of recordings, by name. Each page has a formula: W is "
        "h × d, λ₁ ≥ λ₂ ≥ … are the k eigenvalues of WᵀW, those of a kernel's s slices pooled and times ½; sd is a "
        "standard deviation.\n\n"
        f"| name | symbol | what it is |\n|---|---|---|\n{rows}\n```{{toctree}}\n:hidden:\n{listed}\n```\n"
    )


def _cell(text: str) -> str:
    """In a table, where a | that is an absolute value would end the cell."""
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…")) else ".")


def _command_page(name: str) -> str:
    printed = io.StringIO()
    narrow = {"COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, narrow), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([name, "--help"])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).strip().splitlines()
    text = "\n".join(textwrap.fill(line, 84) if len(line) > 84 and line[0] != " " else line.rstrip() for line in lines)
    return f"# `spectail {name}`\n\n```text\n{text}\n```\n"
