"""Drawings of what has axes, many runs or one: any variable against any axis, and phase diagrams.

Not here: all pictures of one recording (`recording_plot`), and how runs become one Dataset (`store/results.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from spectail.analysis.completion import complete
from spectail.analysis.null_bands import null_band
from spectail.errors import SettingError, unknown_name
from spectail.experiments.experiment import Experiment
from spectail.plots.bands import draw_band, draw_null
from spectail.plots.colours import FRAME, LAW, PHASES, SERIES
from spectail.plots.evolution_plot import step_axis, step_edges, step_positions
from spectail.plots.look import in_style, new_axes, quantity_label
from spectail.plots.phase_cells import draw_phase_cells, phase_numbers
from spectail.plots.selection import dataset_of, recording_of
from spectail.recording.quantities import quantity
from spectail.spectra.overlap_nulls import alignment_null
from spectail.store.results import experiment_at

_FIELDS = {
    "lr": r"learning rate $\eta$", "h": "hidden units $h$", "d": "input dimension $d$", "n": "training points $n$",
    "step": "step $t$",
}  # fmt: skip


@in_style
def curves(
    results: Any,
    variable: str = "pl_alpha_hill",
    against: str | None = None,
    *,
    by: str | None = None,
    over: str | Sequence[str] = "seed",
    ax: Axes | None = None,
    **at: Any,
) -> Axes:
    """A variable against an axis: the mean over repeats, in a band of ± one standard deviation.

    Of sim and KTA also what they are by chance, the mean over repeats: typical value and two standard deviations.

    Args:
        results: of `spectail.lazy_results`; a recording of any kind; or the path of either.
        variable: such as "test_loss_large".
        against: the axis below; logarithmic if its values are spread so. By default lr, or the first that runs differ
            in; of one run its steps, or its matrices.
        by: an axis with a curve for each of its values; by default the one that is left, if a single one is.
        over: the axes that are repeats.
        ax: where to draw; a new figure without it.
        **at: the values of the other axes, such as step=10; by default the last step.

    Returns:
        the axes drawn on.

    Raises:
        ValueError: a name is not known, or an axis is left without a value.

    >>> import tempfile
    >>> from spectail import sweep
    >>> tiny = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = sweep({"fixed": tiny, "axes": {"lr": [0.1, 1.0]}, "repeats": 2}, folder)
    ...     ax = curves(results, "test_loss_large", step=1)
    >>> ax.get_ylabel(), len(ax.lines)
    ('test loss', 1)
    """
    results = _with(results, variable)
    values = _at(results, variable, at)
    if values.dtype.kind in "OSUT":
        raise SettingError(f"variable={variable!r} is words; expected one of numbers, or a phase diagram of it")
    repeats = [name for name in ([over] if isinstance(over, str) else over) if name in values.dims]
    against = against or _default_axes(values, [by, *repeats], ["lr"])[0]
    values = _last_step(values, against, by, *repeats)
    left = [str(dim) for dim in values.dims if dim not in (against, by, *repeats)]
    by = left[0] if by is None and len(left) == 1 and against in values.dims else by
    _need(values, [against, *([by] if by else []), *repeats])
    ax = ax or new_axes()
    groups = values[by].values if by else [None]
    places = step_positions(values[against].values) if against == "step" else _places(values[against].values)
    chance = _chance(results, variable, at, against, by)
    bands = []
    for number, group in enumerate(groups):
        one = values.isel({by: number}) if by else values
        rows = one.transpose(*repeats, against).values.reshape(-1, values.sizes[against]).astype(np.float64)
        measured = np.asarray(np.isfinite(rows).any(0))
        colour, marker = _look(number, len(groups))
        named = by and (len(groups) <= len(SERIES) or number in (0, len(groups) - 1))
        label = _entry(by, group) if named else "_"
        draw_band(ax, places[measured], rows[:, measured], color=colour, marker=marker, label=label)
        if chance is not None:
            band = (chance.isel({by: number}) if by in chance.dims else chance).broadcast_like(one[against])
            others = [dim for dim in band.dims if dim not in ("bound", against)]
            bands.append((band.mean(others).transpose("bound", against).values[:, measured], measured, colour))
    _draw_chance(ax, places, bands)
    _name_axis(ax, "x", values[against])
    ax.set_xlabel(_label(results, against))
    ax.set_ylabel(_label(results, variable))
    if by or bands:
        ax.legend()
    return ax


def _look(number: int, count: int) -> tuple[str, str]:
    """Colour and marker of a curve; of too many to be told apart, from first to last in the colours of a scale."""
    if count <= len(SERIES):
        return SERIES[number]
    return matplotlib.colors.to_hex(matplotlib.colormaps["cividis"](number / (count - 1))), ""


def _chance(results: xr.Dataset, variable: str, at: dict[str, Any], *axes: str | None) -> xr.DataArray | None:
    """What sim or KTA is by chance, over `bound` (low, typical, high) and the axes that it depends on."""
    if variable == "alignment" and ("d" in results.attrs or "d" in results.coords):
        d = results.coords["d"] if "d" in results.coords else xr.DataArray(results.attrs["d"])
        nulls = [alignment_null(int(one)) for one in d.values.ravel()]
        for name, attribute in (("null_alignment", "mean"), ("null_spread_alignment", "spread")):
            numbers = np.array([getattr(null, attribute) for null in nulls]).reshape(d.shape)
            results = results.assign({name: (d.dims, numbers)})
    q = quantity(variable)
    band = null_band(results, q)
    if band is None or not np.isfinite(band).any():
        return None
    whole = xr.concat([results[q.null].copy(data=bound) for bound in band], "bound")
    return _last_step(whole.sel({name: value for name, value in at.items() if name in whole.dims}), *axes)


def _draw_chance(ax: Axes, x: NDArray[Any], bands: list[tuple[NDArray[Any], NDArray[Any], str]]) -> None:
    """One grey band where all groups have the same, else one a group in its colour."""
    same = all(
        np.array_equal(m, bands[0][1]) and np.allclose(band, bands[0][0], equal_nan=True) for band, m, _ in bands
    )
    for number, (band, measured, colour) in enumerate(bands[:1] if same else bands):
        label = "_" if number else "by chance, ± 2 sd"
        draw_null(ax, x[measured], band, label=label, **({} if same else {"color": colour}))


@in_style
def phase_diagram(
    results: Any,
    x: str | None = None,
    y: str | None = None,
    *,
    colour: str = "phase",
    over: str = "seed",
    critical: bool = True,
    stable: bool = False,
    ax: Axes | None = None,
    **at: Any,
) -> Axes:
    """One cell for each pair of values of two axes, coloured by the phase or by a variable's mean.

    Where repeats have different phases, the cell is divided between them. The curve is the critical
    learning rate of the first step that theory predicts for each y.

    Args:
        results: of `spectail.lazy_results`; a recording of several matrices; or the path of either.
        x: the axis below. By default lr, or the first that runs differ in; the step where there is a single one.
        y: the axis beside; by default h, or the next one.
        colour: "phase", or a variable such as "pl_alpha_hill".
        over: the axis of repeats.
        critical: whether to draw the predicted curve, where x is lr.
        stable: whether to measure the largest stable learning rate of the first step for each y and repeat, too, as
            `largest_stable_lr` does, and to draw its mean; takes as long as 20 updates of each.
        ax: where to draw; a new figure without it.
        **at: the values of the other axes, such as optimizer="adam"; by default the last step.

    Returns:
        the axes drawn on; where a variable colours the cells, with a colour bar beside them.

    Raises:
        ValueError: a name is not known, or an axis is left without a value.

    >>> import tempfile
    >>> from spectail import sweep
    >>> tiny = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "steps": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = sweep({"fixed": tiny, "axes": {"h": [20, 30], "lr": [0.1, 1.0]}}, folder)
    ...     ax = phase_diagram(results)
    >>> ax.get_ylabel(), ax.get_xscale()
    ('hidden units $h$', 'linear')
    """
    results = _with(results, colour)
    values = _at(results, colour, at)
    if colour != "phase" and values.dtype.kind in "OSUT":
        raise SettingError(f"colour={colour!r} is words; expected 'phase', or a variable of numbers")
    repeats = [over] if over in values.dims else []
    if x is None or y is None:
        preferred = {"lr": x, "h": y}
        defaults = _default_axes(values, [x, y, *repeats], *([name] for name in preferred if preferred[name] is None))
        x, y = x or defaults.pop(0), y or (defaults[0] if defaults else None)
    if y is None:
        raise SettingError(f"a phase diagram has two axes; {colour} has only {x} here, expected results of a sweep")
    values = _last_step(values, x, y)
    _need(values, [x, y, *repeats])
    values = values.transpose(y, x, ...)
    empty = (values == "").values if colour == "phase" else np.isnan(values.values)
    keep = np.asarray(~empty.reshape(values.sizes[y], values.sizes[x], -1).all(2))
    values = values.isel({x: keep.any(0), y: keep.any(1)})
    ax = ax or new_axes()
    columns, rows = _cell_edges(values[x]), _cell_edges(values[y])
    if colour == "phase":
        _draw_phases(ax, columns, rows, values.values.reshape(*values.shape[:2], -1))
    else:
        mean = values.mean(over) if over in values.dims else values
        image = ax.pcolormesh(columns, rows, mean.values, cmap="cividis", norm=_norm(mean.values), rasterized=True)
        ax.figure.colorbar(image, ax=ax, label=_label(results, colour))
    for name, axis in ((x, "x"), (y, "y")):
        _name_axis(ax, axis, values[name])
    ax.set_xlim(columns[0], columns[-1])
    ax.set_ylim(rows[0], rows[-1])
    if x == "lr" and y != "step":
        if critical:
            _draw_critical(ax, _first_of_each_row(results, values, y, at))
        if stable:
            seeds = results[over].values.tolist() if over == "seed" and over in results.key.dims else []
            _draw_stable(ax, _first_of_each_row(results, values, y, at), seeds)
    ax.set_xlabel(_label(results, x))
    ax.set_ylabel(_label(results, y))
    return ax


def phase_legend(figure: Figure, results: xr.Dataset, **where: Any) -> None:
    """A legend below a figure with the phases that occur.

    Args:
        figure: with phase diagrams.
        results: drawn in it.
        **where: as `figure.legend` takes.

    >>> figure = Figure(layout="constrained")
    >>> phase_legend(figure, xr.Dataset({"phase": ("step", ["random-like", "heavy-tailed"])}))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['random-like', 'heavy-tailed']
    """
    present = set(map(str, results.phase.values.ravel()))
    patches: list[Any] = [
        Patch(facecolor=colour, edgecolor=FRAME, lw=0.5, label=name)
        for name, (colour, *_) in PHASES.items()
        if name in present
    ]
    drawn = [line for ax in figure.axes for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    lines = {line.get_label(): line for line in drawn}
    options: dict[str, Any] = {"loc": "outside lower center", "ncols": 4, **where}
    figure.legend(handles=[*patches, *lines.values()], **options)


def _with(x: Any, variable: str) -> xr.Dataset:
    """The Dataset behind what a user has; a recording with a variable that it lacks, if its spectra say it."""
    dataset = dataset_of(x)
    if "matrix" not in dataset.coords or {"key", "recording"} & {*map(str, dataset.variables)}:
        return dataset
    recording = recording_of(dataset, variable)
    null = quantity(variable, recording[variable].attrs).null
    return complete(recording) if null and null not in recording.variables else recording


def _at(results: xr.Dataset, variable: str, at: dict[str, Any]) -> xr.DataArray:
    """A variable at some values of its axes."""
    if variable not in results:
        raise SettingError(unknown_name("variable", variable, map(str, results.data_vars)))
    for name in at:
        if name not in results.dims:
            raise SettingError(unknown_name("axis", name, map(str, results.dims)))
    values = results[variable]
    for name, value in at.items():
        if value not in results[name].values.tolist():
            raise SettingError(f"there is no run at {name}={value!r}; there are {results[name].values.tolist()}")
        values = values.sel({name: value}) if name in values.dims else values
    return values


def _last_step(values: xr.DataArray, *axes: str | None) -> xr.DataArray:
    """The last step, unless steps are one of the axes."""
    return values.isel(step=-1) if "step" in values.dims and "step" not in axes else values


def _default_axes(values: xr.DataArray, taken: Sequence[str | None], *preferred: Sequence[str]) -> list[str]:
    """Axes to draw along, as far as there are any: those preferred, others in which runs differ, the step, matrices."""
    free = [str(dim) for dim in values.dims if dim not in taken]
    first = [name for names in preferred for name in names if name in free]
    runs = [name for name in free if name not in ("step", "update", "matrix")]
    steps = [name for name in ("step", "update") if name in free and values.sizes[name] > 1]
    chosen = list(dict.fromkeys([*first, *runs]))
    if len(chosen) < len(preferred):
        chosen = [*steps[:1], *chosen, *(["matrix"] if "matrix" in free else [])]
    if not chosen:
        raise SettingError(f"{values.name} is a single number here; expected several steps, matrices or runs of it")
    return chosen


def _need(values: xr.DataArray, axes: Sequence[str]) -> None:
    for name in axes:
        if not values.dims:
            raise SettingError(f"{values.name} has no axis, as of one run; expected results of a sweep over {name}")
        if name not in values.dims:
            raise SettingError(unknown_name("axis", name, map(str, values.dims)))
    if left := [str(name) for name in values.dims if name not in axes]:
        needs = f"{left[0]} needs a value" if len(left) == 1 else f"{' and '.join(left)} need values"
        raise SettingError(f"{needs}, such as {left[0]}={values[left[0]].values.tolist()[0]!r}")


def _label(results: xr.Dataset, name: str) -> str:
    """The label of an axis: of a field of an experiment, or of a quantity."""
    return _FIELDS.get(name) or quantity_label(quantity(name, results[name].attrs))


def _entry(name: str | None, value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{name} = {value:g}"


def _are_words(values: np.ndarray[Any, Any]) -> bool:
    return not np.issubdtype(values.dtype, np.number)


def _places(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where values lie on an axis: numbers where they are, words one after the other."""
    return np.arange(len(values)) if _are_words(values) else values


def _cell_edges(axis: xr.DataArray) -> np.ndarray[Any, Any]:
    """Boundaries of the cells along an axis."""
    return step_edges(axis.values) if axis.name == "step" else _edges(_places(axis.values))


def _name_axis(ax: Axes, which: str, axis: xr.DataArray) -> None:
    """Numbers, words or steps along one of the two axes."""
    values = axis.values
    if axis.name == "step" and which == "x":
        step_axis(ax, values)
    elif axis.name == "step":
        shown = range(0, len(values), len(values) // 8 + 1)
        ax.set_yticks(step_positions(values)[shown], [str(values[at]) for at in shown])
    elif _are_words(values):
        turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if which == "x" else {}
        getattr(ax, f"set_{which}ticks")(_places(values), [str(value) for value in values], **turned)
    else:
        _scale(ax, which, values)


def _spread(values: np.ndarray[Any, Any]) -> bool:
    """Whether values lie evenly on a logarithmic axis rather than on a linear one."""
    return len(values) > 2 and values.min() > 0 and values.max() / values.min() > 4


def _scale(ax: Axes, axis: str, values: np.ndarray[Any, Any]) -> None:
    if _are_words(values):
        return
    if _spread(values):
        getattr(ax, f"set_{axis}scale")("log")
    if len(values) <= 10 and np.issubdtype(values.dtype, np.integer):
        getattr(ax, f"set_{axis}ticks")(values, [str(v) for v in values])
        getattr(ax, f"set_{axis}ticks")([], minor=True)


def _edges(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Boundaries of cells around values, halfway between them on the axis that `_scale` chooses."""
    spread = _spread(values)
    at = np.log(values) if spread else values.astype(np.float64)
    if len(at) == 1:
        edges = np.array([at[0] - 0.5, at[0] + 0.5])
    else:
        middle = 0.5 * (at[1:] + at[:-1])
        edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    return np.exp(edges) if spread else edges


def _draw_phases(
    ax: Axes, columns: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], phases: np.ndarray[Any, Any]
) -> None:
    """Cells in the colours of their phases; each is a stack of one stripe a repeat."""
    stripes = phases.shape[2]
    log = rows[0] > 0 and rows[-1] / rows[0] > 4
    low, high = (np.log(rows[:-1]), np.log(rows[1:])) if log else (rows[:-1], rows[1:])
    fine = np.concatenate([low + (high - low) * k / stripes for k in range(stripes)]).reshape(stripes, -1).T.ravel()
    fine = np.append(fine, high[-1])
    stacked = np.sort(phase_numbers(phases), 2).transpose(0, 2, 1).reshape(-1, phases.shape[1])
    draw_phase_cells(ax, columns, np.exp(fine) if log else fine, stacked)


def _norm(values: np.ndarray[Any, Any]) -> Normalize:
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() / finite.min() > 50:
        return LogNorm(finite.min(), finite.max())
    return Normalize(*(np.percentile(finite, [2, 98]) if len(finite) else (0, 1)))


def _first_of_each_row(
    results: xr.Dataset, values: xr.DataArray, y: str, at: dict[str, Any]
) -> Iterator[tuple[float, Experiment]]:
    """The place of each y, and the experiment of its smallest learning rate that was run."""
    axes = {str(d): results[d].values[0] for d in results.key.dims}
    axes |= {name: value for name, value in at.items() if name in axes}
    for place, row in zip(_places(values[y].values).tolist(), values[y].values, strict=True):
        for lr in values["lr"].values:
            cell = {**axes, y: row, "lr": lr}
            if results.key.sel(cell).item():
                yield place, experiment_at(results, **cell)
                break


def _draw_critical(ax: Axes, rows: Iterable[tuple[float, Experiment]]) -> None:
    """The predicted critical learning rate for each y, where theory has one."""
    from spectail.experiments.theory import critical_lr

    try:
        points = [(critical_lr(e), place) for place, e in rows]
    except ValueError:
        return  # no theory for this optimizer
    if points:
        ax.plot(*np.array(points, float).T, color=LAW, lw=1.6, label=r"predicted critical $\eta$ of the first step")


def _draw_stable(ax: Axes, rows: Iterable[tuple[float, Experiment]], seeds: Sequence[int]) -> None:
    """The largest stable learning rate of the first step for each y, the mean over seeds."""
    from spectail.experiments.two_layer.stack import largest_stable_lr

    points = [(np.mean([largest_stable_lr(e.replace(seed=int(s))) for s in seeds or (e.seed,)]), y) for y, e in rows]
    if points:
        label = r"largest stable $\eta$ of the first step, measured"
        ax.plot(*np.array(points, float).T, color=LAW, lw=1.6, ls=(0, (3, 1.5)), label=label)
