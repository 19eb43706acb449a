"""The grid of a sweep's page: its axes, and in a headless browser a map, curves and small spectra of them."""

import numpy as np
import pytest

from report.browsing import (
    assert_a_phone_needs_no_sideways_scrolling,
    assert_everybody_can_use_it,
    assert_no_error_and_no_request,
    assert_text_is_readable,
    opened,
    set_value,
    wait_until_ready,
)
from spectail.cli import main
from spectail.report.pages.grid import grid_axes
from spectail.report.pages.study import write_report
from spectail.sweeps.sweep import sweep

TINY = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "steps": 2}


def test_axes_are_what_differs_and_says_what_goes_with_it():
    runs = [{"d": d, "n": 2 * d, "lr": lr, "matrix": w} for d in (5, 10) for lr in (1.0, 0.1) for w in ("W1", "W2")]
    axes, places = grid_axes(runs)
    assert [(axis["name"], axis["values"]) for axis in axes] == [
        ("d", [5, 10]), ("lr", [0.1, 1.0]), ("matrix", ["W1", "W2"]),
    ]  # fmt: skip
    assert axes[0]["title"] == "dimension d, n"
    for run, place in zip(runs, places, strict=True):
        assert [axis["values"][at] for axis, at in zip(axes, place, strict=True)] == [
            run["d"],
            run["lr"],
            run["matrix"],
        ]


def test_layers_are_in_their_order():
    layers = [f"{number}.weight" for number in (1, 3, 11)]
    axes, _ = grid_axes([{"lr": 1.0, "matrix": name} for name in reversed(layers)])
    assert axes[-1]["values"] == layers


def test_a_single_run_has_no_grid_and_a_page_without_figures_says_nothing_of_claims(tmp_path):
    assert grid_axes([{}]) == ([], [[]])
    sweep({"fixed": {**TINY, "h": 30}, "axes": {"lr": [0.1]}}, tmp_path)
    page = write_report(tmp_path).read_text()
    assert 'id="grid"' not in page
    assert 'href="#verdicts"' not in page
    assert 'id="verdicts"' not in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Students with one and with two hidden layers at three learning rates, two repeats."""
    folder = tmp_path_factory.mktemp("sweep")
    axes = {"layers": [[30], [30, 24]], "lr": [0.01, 0.1, 1.0], "optimizer": ["adam"]}
    sweep({"fixed": TINY, "axes": axes, "repeats": 2}, folder)
    with opened(write_report(folder), tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def spec(driver, expression):
    return driver.execute_script(f"const spec = document.getElementById('grid-chart').spec; return {expression}")


def test_it_opens_with_a_map_of_phases(browser):
    assert_no_error_and_no_request(browser)
    assert spec(browser, "[spec.layers[0].kind, spec.x.title, spec.x.ticks.map(t => t[1])]") == [
        "cells", "learning rate η", ["0.01", "0.1", "1"],
    ]  # fmt: skip


def test_the_run_under_the_cursor_is_drawn_and_a_click_chooses_it(browser):
    set_value(browser, "grid-y", "matrix")
    rows = spec(browser, "spec.y.ticks.map(t => t[1])")
    assert rows == ["W", "W1", "W2"]
    # the middle of the last column, second row from below: the first layer of two, at the largest learning rate
    words = spec(browser, "(() => { const one = spec.at(0.9, 0.5); one.enter(); one.choose(); return one.text })()")
    assert words.splitlines()[0] == "lr = 1, matrix = W1"
    assert "2 runs" in words, "its repeats"
    title = browser.execute_script("return document.getElementById('grid-run').spec.title")
    assert "η=1 " in title, title
    assert "layers=30-24 W1" in title, title
    chosen = browser.execute_script("const list = document.getElementById('run'); return list.selectedOptions[0].text")
    assert title.startswith(chosen)
    assert browser.execute_script("return document.getElementById('state').textContent").startswith("step 2: ")


def test_a_number_has_a_bar_and_curves_have_bands_over_repeats(browser):
    set_value(browser, "grid-quantity", "pl_alpha_hill")
    set_value(browser, "grid-step", "1")
    assert browser.execute_script("return document.getElementById('grid-bar').spec.x.title") == "α_H"
    set_value(browser, "grid-form", "curves")
    kinds = spec(browser, "spec.layers.map(l => l.kind)")
    assert kinds == ["band", "line", "points"] * 3
    mean = spec(browser, "spec.layers[1].y[0]")
    of_runs = browser.execute_script(
        "const lr = data.axes.findIndex(a => a.name === 'lr'), matrix = data.axes.findIndex(a => a.name === 'matrix');"
        "return data.runs.filter(r => r.at[lr] === 0 && r.at[matrix] === 0).map(r => r.series.pl_alpha_hill[1])"
    )
    assert mean == pytest.approx(sum(of_runs) / 2)
    assert len(of_runs) == 2


def test_values_of_an_axis_are_told_apart_and_whole_ones_are_whole(browser):
    """h = 2048 was called 2050, and η = 1.47e-4 and 1.9e-4 were 1e−4 and 2e−4."""
    words = browser.execute_script("return [2048, 123456, 0.1, 1.47e-4, 2.5e6].map(value => worded(value, 3))")
    assert words == ["2048", "123456", "0.1", "1.47e−4", "2500000"]
    assert browser.execute_script("return [1e-4, 3 * 1e-4, 1.5e6].map(tidy)") == ["1e−4", "3e−4", "1.5e6"]


def test_numbers_below_a_narrow_map_are_whole_and_titles_are_cut(browser):
    said = browser.execute_script("""
        const box = document.body.appendChild(document.createElement("div"));
        Object.assign(box, { id: "narrow", style: "width: 200px" });
        const ticks = ["0.001", "3.16e−3", "0.01", "0.0316", "0.1", "0.316", "1", "3.16", "10"].map((w, i) => [i, w]);
        const y = { range: [0, 1], title: "protocol, loss_factor, bias_correction, epsilon, feature_scale" };
        chart(box, { height: 150, layers: [], x: { range: [-0.5, 8.5], bare: true, fit: true, ticks }, y });
        const said = [...box.querySelectorAll("text")].map(one => one.textContent);
        box.remove();
        return said;""")
    assert "0.001" in said
    assert [one for one in said if "…" in one] == [one for one in said if one.startswith("protocol")]


def test_a_slice_leaves_the_runs_of_one_value(browser):
    before = spec(browser, "spec.layers[1].y[0]")
    axis = browser.execute_script("return data.axes.findIndex(a => a.name === 'seed')")
    slice_ = f"document.querySelectorAll('#grid-slices select')[{axis}]"
    browser.execute_script(f"{slice_}.value = 1; {slice_}.dispatchEvent(new Event('input'))")
    assert spec(browser, "spec.layers.map(l => l.kind)") == ["line", "points"] * 3, "no repeats are left"
    assert spec(browser, "spec.layers[0].y[0]") != before
    browser.execute_script(f"{slice_}.value = ''; {slice_}.dispatchEvent(new Event('input'))")


def test_small_spectra_stand_a_cell_each_and_say_what_they_are(browser):
    set_value(browser, "grid-form", "spectra")
    buttons = "Array.from(document.querySelectorAll('#grid-spectra button'))"
    said = browser.execute_script(f"return {buttons}.map(b => b.getAttribute('aria-label').split('\\n')[0])")
    assert len(said) == 9
    assert said[0] == "lr = 0.01, matrix = W2"
    browser.execute_script(f"{buttons}[8].click()")
    chosen = browser.execute_script("const list = document.getElementById('run'); return list.selectedOptions[0].text")
    assert "η=1 " in chosen
    assert "h=30" in chosen


def test_everybody_can_use_it_on_a_phone_too(browser):
    assert_everybody_can_use_it(browser)
    assert_text_is_readable(browser, "dark")
    for form in ("spectra", "curves", "map"):
        set_value(browser, "grid-form", form)
        assert_a_phone_needs_no_sideways_scrolling(browser)
    assert_no_error_and_no_request(browser)


def test_runs_of_networks_have_the_same_grid_and_explorer(browser, tmp_path):
    fixed = {"dataset": "modular-addition-7", "images": 30, "steps": 4}
    networks = sweep({"fixed": fixed, "axes": {"h": [16, 24], "lr": [0.01, 0.3]}}, tmp_path)
    main(["report", str(tmp_path)])
    assert not list(tmp_path.glob("trainings/*.html")), "one page for all, as of students"
    browser.get((tmp_path / "report.html").as_uri())
    wait_until_ready(browser)
    assert "4 runs" in browser.find_element("tag name", "h1").find_element("xpath", "following::p").text
    assert spec(browser, "[spec.layers[0].kind, spec.x.title, spec.y.title]") == [
        "cells", "learning rate η", "hidden units h",
    ]  # fmt: skip
    words = spec(browser, "(() => { const one = spec.at(0.9, 0.1); one.choose(); return one.text })()").splitlines()
    assert words[0] == "lr = 0.3, h = 24"
    assert words[1] == networks.phase.sel(h=24, lr=0.3, step=4, matrix="1.weight")
    said = browser.execute_script("return document.getElementById('state').textContent")
    assert f"held out {networks.test_accuracy.sel(h=24, lr=0.3, update=4):.3f}" in said
    variance = browser.execute_script("return run.law.variance")
    first = networks.eigenvalues.sel(h=24, lr=0.3, step=0, matrix="1.weight").sum().item()
    assert variance == pytest.approx(first / (24 * 14), rel=1e-5)  # eigenvalues are kept in float32
    set_value(browser, "grid-quantity", "accuracy")
    set_value(browser, "grid-step", "2")
    set_value(browser, "grid-form", "curves")
    drawn = spec(browser, "spec.layers.filter(l => l.kind === 'line').map(l => l.y)")
    np.testing.assert_allclose(drawn, networks.accuracy.sel(update=2).values, rtol=1e-4)  # pages keep five digits
    assert_no_error_and_no_request(browser)
