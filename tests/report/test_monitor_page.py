"""The page of a monitor's file, which has many steps, in a headless browser where there is one."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from report.browsing import (
    assert_a_phone_needs_no_sideways_scrolling,
    assert_everybody_can_use_it,
    assert_no_error_and_no_request,
    assert_paper_shows_all_of_it,
    assert_text_is_readable,
    opened,
    set_value,
    wait_until_ready,
)
from spectail import SpectralMonitor, analyze_series, events, every
from spectail.analysis.event_groups import events_by_step
from spectail.cli import main
from spectail.recording.reading import load_recording
from spectail.report.pages.recording import write_page

HOSTILE = "<img src=x onerror=document%title='broken in'>"  # a name of a module has no points
END = "</script><script>document.title='broken in'</script>"


def train(path, steps=12, **options):
    """A small network whose first layer grows a spike, and whose last one has a hostile name."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 40), nn.Tanh(), nn.Linear(40, 30))
    model.add_module(HOSTILE, nn.Linear(30, 12))
    model.add_module(END.replace(".", "·"), nn.Linear(12, 12))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x = torch.randn(64, 60)
    with SpectralMonitor(model, optimizer, when=every(1), path=path, **options) as monitor:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x).sum(1) - x[:, 0]).square().mean().backward()
            optimizer.step()
    assert monitor.events
    return path


def page_of(path):
    return write_page(load_recording(path), path.with_suffix(".html"))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return train(tmp_path_factory.mktemp("monitored") / "run.nc", tensors=["weights", "updates"])


def test_the_command_writes_the_page_beside_the_file(file, capsys):
    main(["report", str(file)])
    assert str(file.with_suffix(".html")) in capsys.readouterr().out
    page = file.with_suffix(".html").read_text()
    assert HOSTILE not in page
    assert "<script>document.title" not in page
    assert "&lt;img src=x" in page
    assert 'src="http' not in page


@pytest.mark.filterwarnings("default")  # what is left out is told of
def test_a_folder_of_monitors_has_a_page_for_each(file, tmp_path, capsys):
    for name in ("a.nc", "b.nc"):
        shutil.copy(file, tmp_path / name)
    (tmp_path / "foreign.nc").write_bytes(b"not a netCDF file")
    main(["report", str(tmp_path)])
    assert "foreign.nc is not a readable netCDF file" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["a.html", "b.html"]


def test_another_file_is_told_so(tmp_path, capsys):
    (tmp_path / "run.nc").write_bytes(b"not a netCDF file")
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path / "run.nc")])
    assert "is not a readable netCDF file" in capsys.readouterr().err


def test_weights_without_a_spectrum_and_files_without_spectra_have_a_page(tmp_path):
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20))
    model[0].weight.data.fill_(float("nan"))
    model[1].weight.data.zero_()
    SpectralMonitor(model, path=tmp_path / "a.nc", nulls=False, alerts=None).detach()
    SpectralMonitor(model, path=tmp_path / "b.nc", nulls=False, alerts=None, keep_spectra=False).detach()
    assert "NaN" in page_of(tmp_path / "a.nc").read_text()
    assert "keep_spectra=False" in page_of(tmp_path / "b.nc").read_text()


@pytest.fixture(scope="module")
def browser(file, tmp_path_factory):
    with opened(page_of(file), tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def plot(driver, name, what):
    return driver.execute_script(f"return document.getElementById('{name}').spec.{what}")


def test_it_opens_without_an_error_or_a_request(browser):
    assert_no_error_and_no_request(browser)
    assert browser.title == "spectail – Sequential"
    assert browser.execute_script("return document.images.length") == 0


def test_the_slider_redraws_the_spectrum_by_keyboard(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    set_value(browser, "matrix", 0)
    set_value(browser, "step", 12)
    now = "layers.findLast(l => l.kind === 'bars').heights"
    before = plot(browser, "spectrum", now)
    assert plot(browser, "spectrum", "title") == "0.weight, step 12"
    browser.find_element(By.ID, "step").send_keys(Keys.ARROW_LEFT)
    assert plot(browser, "spectrum", "title") == "0.weight, step 11"
    assert plot(browser, "spectrum", now) != before
    assert "step 11: " in browser.find_element(By.ID, "state").text
    assert "Marchenko–Pastur, fitted" in plot(browser, "spectrum", "layers.map(l => l.name)")


def test_the_bars_of_the_spectrum_have_area_one(browser):
    set_value(browser, "matrix", 0)
    set_value(browser, "step", 0)
    bars = "layers.find(l => l.kind === 'bars')"
    heights, edges = plot(browser, "spectrum", f"{bars}.heights"), plot(browser, "spectrum", f"{bars}.edges")
    assert np.diff(edges) @ heights == pytest.approx(1, abs=1e-9)


def test_exponents_stand_beside_those_of_untrained_matrices(browser, file):
    set_value(browser, "matrix", 0)
    stored = load_recording(file).isel(matrix=0)
    curve = plot(browser, "curve-0", "layers.find(l => l.kind === 'line').y")
    assert curve == pytest.approx(stored.pl_alpha_hill.values, rel=2e-5)  # 15 bits of the fraction are kept
    lines = plot(browser, "curve-0", "layers.filter(l => l.kind === 'rule' && l.y !== undefined).map(l => l.y)")
    assert np.isclose(lines, stored.null_alpha_hill.item()).any()


def test_the_map_has_the_phases_of_all_layers_and_any_quantity(browser, file):
    recording = load_recording(file)
    phases = recording.phase.sel(matrix=recording.tensor == "weights").values.T.tolist()
    drawn = "return weights.map(i => steps.map((_, at) => phaseOf(i, at)))"
    assert browser.execute_script(drawn) == phases
    pixels = (
        "const canvas = document.getElementById('map').spec.layers[0].picture, { width, height } = canvas;"
        "const all = canvas.getContext('2d').getImageData(0, 0, width, height).data;"
        "const colours = Array.from({ length: width * height }, (_, i) => all.slice(4 * i, 4 * i + 3).join());"
        "return [height, new Set(colours).size]"
    )
    assert browser.execute_script(pixels) == [len(phases), len({phase for row in phases for phase in row})]
    set_value(browser, "shown", "z_hill")
    rows, colours = browser.execute_script(pixels)
    assert rows == len(phases)
    assert colours > 10
    assert "standard deviations" in plot(browser, "map-bar", "x.title")
    set_value(browser, "shown", "phase")


def test_the_overlap_of_an_update_stands_beside_chance(browser, file):
    set_value(browser, "matrix", 0)
    update = load_recording(file).sel(matrix="0.weight (update)").isel(step=-1)
    chance = plot(browser, "beside-1", "layers.filter(l => /φ.*chance/.test(l.name)).map(l => [l.name, l.y[0]])")
    overlaps = plot(browser, "beside-1", "layers.filter(l => /^φ.*[)]$/.test(l.name)).map(l => [l.name, l.y.at(-1)])")
    for side, role in (("left", "U"), ("right", "V")):
        symbol = f"φ({role}, {role}_ΔW)"
        mean, overlap = update[f"null_update_overlap_{side}"], update[f"update_overlap_{side}"]
        assert dict(chance)[f"{symbol} by chance, ± 2 sd"] == pytest.approx(mean.item(), rel=1e-4)
        assert dict(overlaps)[symbol] == pytest.approx(overlap.item(), rel=1e-4)
    assert plot(browser, "beside-1", "layers.filter(l => l.kind === 'band').length") == 2


def test_of_a_series_the_directions_that_it_keeps_are_drawn_beside_its_updates(tmp_path):
    torch.manual_seed(0)
    weights = torch.randn(40, 30)
    for step in (1, 2, 3):
        torch.save({"a.weight": weights + 0.3 * step * torch.randn(40, 30)}, tmp_path / f"step-{step}.pt")
    series = analyze_series(tmp_path, between=True, nulls=False)
    page = write_page(series, tmp_path / "series.html")
    assert 'id="beside-2"' not in write_page(analyze_series(tmp_path, nulls=False), tmp_path / "a.html").read_text()
    update = series.sel(matrix="a.weight (update)")
    with opened(page, tmp_path / "profile") as one:
        for name, symbol in (("leading_overlap_left", "φ(U, U′)"), ("leading_overlap_right", "φ(V, V′)")):
            drawn = plot(one, "beside-2", f"layers.find(l => l.name === '{symbol}').y")
            assert drawn[0] is None  # before the first there is none
            assert drawn[1:] == pytest.approx(update[name].values[1:], rel=1e-4)  # 15 bits of the fraction are kept


def test_a_small_curve_goes_to_the_last_step_where_one_quantity_has_no_value_there(browser):
    path = browser.execute_script(
        "const element = document.querySelector('svg.spark').cloneNode(), known = stored.series.effect_homogeneous;"
        "stored.series.effect_homogeneous = known.map((v, at) => (at % steps.length === last ? NaN : v));"
        "drawSpark(element); stored.series.effect_homogeneous = known;"
        "return element.querySelector('path').getAttribute('d')"
    )
    assert "129" in path.split("L")[-1], path


def test_the_search_leaves_some_rows_of_the_map(browser):
    set_value(browser, "filter", "2.weight")
    assert plot(browser, "map", "layers[0].picture.height") == 1
    assert browser.execute_script("return document.getElementById('count').textContent") == "1 of 4"
    set_value(browser, "filter", "")


def test_arrow_keys_walk_over_the_map(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    set_value(browser, "order", "depth")
    set_value(browser, "matrix", 0)
    set_value(browser, "step", 12)
    browser.find_element(By.ID, "map").send_keys(Keys.ARROW_DOWN, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert plot(browser, "spectrum", "title") == "2.weight, step 10"


def test_a_list_is_one_stop_of_the_tab_key(browser):
    stops = "return document.querySelectorAll('#{} button[tabindex=\"0\"]').length"
    for name in ("events", "changes", "rows"):
        walked = "#rows td.name button" if name == "rows" else f"#{name} button"
        assert browser.execute_script(f"return document.querySelectorAll('{walked}').length") > 1
        assert browser.execute_script(stops.format(name)) == 1


def test_an_event_leads_to_its_layer_and_step(browser, file):
    from selenium.webdriver.common.by import By

    found = load_recording(file)
    buttons = browser.find_elements(By.CSS_SELECTOR, "#events button[data-matrix]")
    assert len(buttons) == len(events(found))
    last = events_by_step(events(found))[0]
    browser.execute_script("arguments[0].click()", buttons[0])
    assert f"step {last.step}: {events(found)[-1].after}" in browser.find_element(By.ID, "state").text
    assert plot(browser, "spectrum", "title").startswith(last.names[0])


def test_an_address_leads_to_a_layer_and_a_step(browser):
    set_value(browser, "matrix", 1)
    set_value(browser, "step", 4)
    assert browser.execute_script("return location.hash") == "#matrix=2.weight&step=4"
    set_value(browser, "step", 12)
    assert (
        browser.execute_script("return location.hash") == "#matrix=2.weight"
    )  # the last stays the last, in a growing file
    browser.execute_script("location.hash = '#matrix=0.weight&step=3'; window.dispatchEvent(new Event('hashchange'))")
    assert plot(browser, "spectrum", "title") == "0.weight, step 3"
    browser.refresh()
    wait_until_ready(browser)
    assert plot(browser, "spectrum", "title") == "0.weight, step 3"


def test_the_table_that_is_saved_has_all_steps_and_no_formula(browser, file):
    lines = browser.execute_script("return allNumbers()")
    found = load_recording(file)
    assert len(lines) == 1 + found.sizes["matrix"] * found.sizes["step"]
    assert browser.execute_script("return cell('=1+1')") == "'=1+1"
    assert browser.execute_script("return [cell(-2.5), cell('a,b')]") == ["-2.5", '"a,b"']


def test_everybody_can_use_it(browser):
    assert_everybody_can_use_it(browser)


def test_a_phone_shows_it_without_scrolling_sideways(browser):
    assert_a_phone_needs_no_sideways_scrolling(browser)


def test_paper_shows_all_of_it(browser):
    assert_paper_shows_all_of_it(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(browser, scheme):
    assert_text_is_readable(browser, scheme)
