"""Pages that stand alone, and what goes into them: spectra in few bytes.

What all pages share is in `base.html` and `base.css`. Not here: what a page of one kind shows (files of their names).
"""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectail.analysis.name_lists import listed
from spectail.errors import naming_the_extra
from spectail.plots.colours import palette

if TYPE_CHECKING:
    from markupsafe import Markup

SPECTRA_BYTES = 3_000_000
"""Of all packed spectra of a page together."""

_TOP = 40  # eigenvalues that stand singly in a packed spectrum


def page(name: str, data: Any, **shown: Any) -> str:
    """A page that needs no network: its text, style, scripts, Plotly and data in one.

    Args:
        name: study or recording: of its files in this folder.
        data: what its script draws; the palette goes with it.
        **shown: what its text shows, escaped.
    """
    need_pages()
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return _rendered(
        f"{name}.html",
        **{"version": "", **shown},
        css=Markup(_resource("base.css") + _resource(f"{name}.css")),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
        palette=_as_json(palette()),
        data=_as_json(data),
        script=Markup(
            _resource("spectra.js") + _resource(f"{name}.js") + (_resource("live.js") if shown.get("version") else "")
        ),
    )


def waiting_page(sentence: str) -> str:
    """A page that says why there is nothing yet, and loads itself anew.

    Args:
        sentence: why, without its point.
    """
    need_pages()
    from markupsafe import Markup

    return _rendered("waiting.html", sentence=sentence, version="", css=Markup(_resource("base.css")))


def need_pages() -> None:
    """Import what writes a page, before the work that it is to show. Raises MissingPackageError."""
    with naming_the_extra("a page"):
        import jinja2  # noqa: F401
        import plotly.offline  # noqa: F401


def _rendered(name: str, **shown: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["in_short"] = listed
    return environment.get_template(name).render(**shown)


def _as_json(data: Any) -> Markup:
    """JSON that no text in it can break out of."""
    from markupsafe import Markup

    return Markup(json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _resource(name: str) -> str:
    return files("spectail.report.pages").joinpath(name).read_text(encoding="utf-8")


def json_number(value: Any) -> float | None:
    """Five digits, or nothing for NaN and inf, which JSON has not."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


def json_numbers(values: NDArray[np.float64]) -> list[Any]:
    """`json_number` of many at once, nested as the array is; the last digit may differ."""
    there = np.isfinite(values) & (values != 0)
    with np.errstate(all="ignore"):
        digits = np.clip(4 - np.floor(np.log10(np.abs(np.where(there, values, 1.0)))), -300, 300)
        up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
        rounded = np.round(values * up / down) * down / up
    numbers = np.where(there, rounded, 0.0).astype(object)
    numbers[~np.isfinite(values)] = None
    nested: list[Any] = numbers.tolist()
    return nested


def pack_spectrum(values: NDArray[np.float64], points: int, n_spikes: int = 0) -> dict[str, Any]:
    """Eigenvalues as log10 λ in 16 bits: quantiles of the many, and the largest as they are, all spikes with them."""
    logs = np.log10(np.maximum(np.sort(values), values.max() * 1e-12 + 1e-300))
    top = min(max(_TOP, n_spikes), len(logs))
    points = max(points, top + 50)
    if len(logs) > points:
        rest = logs[:-top]
        logs = np.concatenate([rest[np.linspace(0, len(rest) - 1, points - top).round().astype(int)], logs[-top:]])
    low, high = float(logs[0]), float(logs[-1]) or 1.0
    packed = np.round((logs - low) / max(high - low, 1e-12) * 65535).astype("<u2")
    text = base64.b64encode(packed.tobytes()).decode()
    return {"lo": round(low, 6), "hi": round(high, 6), "n": len(values), "top": top, "b": text}
