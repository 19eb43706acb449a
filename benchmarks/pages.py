"""The page of a large recording: how long it takes to make and to open, how far it scrolls, how large it is.

The recording has 200 matrices at 200 steps, with 1,024 eigenvalues each. The same is asked of the page of an analysis
of 40 matrices, and of a sweep of 1,000 runs. Opening is measured in a headless Chromium that runs already, from asking
for the page until everything on it is drawn; where there is no Chromium, opening is left out.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from benchmarks.timing import Row
from spectail.analysis.analysis_objects import Analysis
from spectail.analysis.model import analyze
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.recording.netcdf import save_recording
from spectail.recording.quantities import quantity
from spectail.recording.reading import load_recording
from spectail.report.pages.recording import write_page
from spectail.report.pages.study import write_report
from spectail.spectra.bulk import MarchenkoPastur
from spectail.store.store import Store

LAYERS, STEPS, EIGENVALUES = 200, 200, 1024

_KINDS = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def analysis_of(count: int, size: int = 64) -> Analysis:
    """An analysis of some matrices of a made-up transformer, half of them with a few strong directions."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for at in range(count):
        weights = torch.randn(size + 16 * (at % 2), size, generator=generator) / size**0.5
        if at % 4 == 1:
            weights += 4 * torch.outer(*(torch.nn.functional.normalize(w, dim=0) for w in (weights[:, 0], weights[0])))
        if at % 4 == 2:
            weights *= torch.linspace(-1, 1, size).exp()
        state[f"model.layers.{at // len(_KINDS)}.{_KINDS[at % len(_KINDS)]}.weight"] = weights
    return analyze(state, progress=lambda *_: None)


def large_recording(layers: int = LAYERS, steps: int = STEPS, eigenvalues: int = EIGENVALUES) -> xr.Dataset:
    """A recording as a monitor makes them, of spectra that grow spikes and tails as the training goes on."""
    generator = np.random.default_rng(0)
    last = analysis_of(layers).recording
    growth = np.linspace(0.0, 1.0, steps)[:, None]
    late = growth > generator.uniform(0.2, 0.9, layers)
    variables: dict[str, Any] = {}
    for name, values in last.data_vars.items():
        if values.dims != ("step", "matrix"):
            continue
        if values.dtype.kind in "OSUT":
            before = np.full((steps, layers), "random-like" if name == "phase" else "", dtype=object)
            variables[str(name)] = (values.dims, np.where(late, values.values, before), values.attrs)
        else:
            table = values.values * (0.5 + 0.5 * growth) * (1 + 0.01 * generator.standard_normal((steps, layers)))
            is_count = quantity(str(name)).dtype is int
            variables[str(name)] = (values.dims, np.round(table) if is_count else table, values.attrs)
    law = MarchenkoPastur(eigenvalues, eigenvalues, 1 / eigenvalues)
    typical = np.sort(law.edges[1] * generator.beta(0.5, 1.5, eigenvalues))
    tail = 1 + growth[:, :, None] * generator.pareto(2.0, (layers, eigenvalues))
    spectra = np.sort(typical * tail, axis=-1).astype(np.float32)
    variables["eigenvalues"] = (("step", "matrix", "index"), spectra, last["eigenvalues"].attrs)
    variables["measuring_seconds"] = (("step",), np.full(steps, 0.4))
    labels = {name: values for name, values in last.coords.items() if values.dims == ("matrix",)}
    labels |= {"rows": ("matrix", np.full(layers, eigenvalues)), "cols": ("matrix", np.full(layers, eigenvalues))}
    attributes = {**last.attrs, "of": "monitor", "title": "a made-up transformer"}
    return xr.Dataset(variables, {**labels, "step": np.arange(steps) * 10}, attributes)


def fill_with_runs(folder: Path) -> None:
    """A store of 1,000 runs of 6 measured steps, 200 eigenvalues each, every spectrum another."""
    generator, store = np.random.default_rng(0), Store(folder)
    base = Experiment(n=400, d=200, h=300, steps=20)
    run = simulate(base)
    for lr, n, seed in itertools.product(np.geomspace(0.01, 10, 20), range(100, 1100, 100), range(5)):
        e = base.replace(lr=float(lr), n=n, seed=seed)
        spread = np.exp(generator.standard_normal(run.eigenvalues.shape) * 0.1 * np.log10(100 * lr))
        store.put(
            run.assign(eigenvalues=run.eigenvalues.copy(data=np.sort(run.eigenvalues * spread))).assign_attrs(
                experiment=e.canonical_json, key=e.key
            )
        )


def rows() -> Iterator[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.nc"
        save_recording(large_recording(), path)
        page = path.with_suffix(".html")
        read, written = [
            min(taken) for taken in zip(*(_reading_and_writing(path, page) for _ in range(4)), strict=True)
        ]
        what = f"{LAYERS} matrices × {STEPS} steps × {EIGENVALUES} eigenvalues"
        detail = f"{read:.2f} s and {written:.2f} s of the processor, the least of 4"
        both = read + written
        yield Row(f"reading a recording of {what} and writing its page", both, " s", "≤ 2", both <= 2, detail)
        yield Row("... the size of the page", page.stat().st_size / 1e6, " MB", "–", True, "")
        small = write_page(analysis_of(40), Path(folder) / "analysis.html")
        size = small.stat().st_size / 1e6
        yield Row("the page of an analysis of 40 matrices", size, " MB", "≤ 1.5", size <= 1.5, "")
        fill_with_runs(Path(folder) / "sweep")
        sweep = write_report(Path(folder) / "sweep")
        size = sweep.stat().st_size / 1e6
        yield Row("the page of a sweep of 1,000 runs", size, " MB", "≤ 10", size <= 10, "6 spectra of 200 each")
        with browser(Path(folder) / "profile") as driver:
            if driver is None:
                yield Row("opening the pages", float("nan"), "", "–", True, "left out: there is no chromium here")
                return
            named = {"recording": page, "analysis": small, "sweep of 1,000 runs": sweep}
            for kind, page_ in named.items():
                times = [opening(driver, page_) for _ in range(3)]
                opened = statistics.median(times)
                yield Row(f"opening the page of the {kind}", opened, " s", "≤ 2", opened <= 2, "median of 3")
                height = float(driver.execute_script("return document.documentElement.scrollHeight"))
                yield Row("... its height", height, " px", "≤ 2500", height <= 2500, "in a window of 1300 × 900")


def _reading_and_writing(path: Path, page: Path) -> tuple[float, float]:
    """Seconds of the processor: other work on the machine does not count."""
    start = time.process_time()
    recording = load_recording(path)
    read = time.process_time()
    write_page(recording, page)
    return read - start, time.process_time() - read


def opening(driver: Any, page: Path) -> float:
    """Seconds until a page is drawn."""
    driver.get("about:blank")
    start = time.perf_counter()
    driver.get(page.as_uri())
    while not driver.execute_script("return document.documentElement.dataset.ready"):
        time.sleep(0.005)
    driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 0))")
    return time.perf_counter() - start


@contextmanager
def browser(profile: Path) -> Iterator[Any]:
    """A headless Chromium, or None where there is none."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        yield None
        return
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,900"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()
