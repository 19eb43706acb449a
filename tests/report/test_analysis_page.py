"""The page of an analysed model, which has one step, in a headless browser where there is one."""

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
)
from spectail import analyze, compare
from spectail.report.pages.recording import write_page

HOSTILE = "<img src=x onerror=\"document.title='broken in'\"></script><script>document.title='broken in'</script>"


def analysis():
    """Two hundred matrices: one with a hostile name, one without a spectrum, one heavy-tailed, one of low rank."""
    generator = torch.Generator().manual_seed(0)
    state = {f"blocks.{i}.weight": torch.randn(40, 30, generator=generator) for i in range(196)}
    state["zeros.weight"] = torch.zeros(20, 20)
    state["low.weight"] = torch.randn(40, 3, generator=generator) @ torch.randn(3, 30, generator=generator)
    heavy = torch.randn(60, 60, generator=generator)
    rotation = torch.linalg.qr(torch.randn(60, 60, generator=generator)).Q  # so that no row stands out
    state["heavy.weight"] = rotation @ (heavy * torch.linspace(-1.0, 1.0, 60).exp()[:, None])
    state[HOSTILE] = torch.randn(40, 30, generator=generator)
    state["bias"] = torch.zeros(7)
    return analyze(state)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_page(analysis(), tmp_path_factory.mktemp("page") / "analysis.html", command="spectail analyze <x>")


def test_the_page_stands_alone_and_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;img src=x" in text
    assert "spectail analyze &lt;x&gt;" in text
    assert 'src="http' not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert page.stat().st_size < 1_500_000  # with 200 matrices; 40 must do


def test_a_model_of_one_matrix_that_cannot_be_measured_has_a_page(tmp_path):
    found = analyze(nn.Linear(1, 30))
    assert "only 1 eigenvalue" in write_page(found, tmp_path / "one.html").read_text(encoding="utf-8")


def test_a_pair_shows_its_overlaps(tmp_path):
    torch.manual_seed(0)
    before, after = nn.Linear(30, 20), nn.Linear(30, 20)
    text = write_page(compare(before, after), tmp_path / "p.html").read_text(encoding="utf-8")
    assert "squared cosine of the top left singular vectors" in text
    assert "W_after − W_before" in text


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    with opened(page, tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def title(driver):
    return driver.execute_script("return document.getElementById('spectrum').spec.title")


def layer_names(driver, plot):
    return driver.execute_script(
        "return document.getElementById(arguments[0]).spec.layers.map(l => l.name).filter(Boolean)", plot
    )


def test_it_opens_without_an_error_or_a_request(browser):
    assert_no_error_and_no_request(browser)
    images = browser.execute_script(
        "return Array.from(document.querySelectorAll('[role=img]'), e => e.getAttribute('aria-label'))"
    )
    assert len(images) == 3
    assert all(images)


def test_two_hundred_matrices_open_with_one_spectrum_drawn(browser):
    assert browser.execute_script("return document.querySelectorAll('.chart > svg').length") == 3
    assert browser.execute_script("return document.querySelectorAll('#rows tr[data-index]').length") == 200
    assert "untrained, ± 2 sd" in layer_names(browser, "depth-0")


def test_choosing_a_matrix_changes_the_drawing(browser):
    set_value(browser, "filter", "heavy.weight")
    assert title(browser) == "heavy.weight"
    names = layer_names(browser, "spectrum")
    assert {"eigenvalues", "Marchenko–Pastur, fitted", "95 % of Gaussian matrices", "spikes"} <= set(names)
    assert any(name.startswith("power law") for name in names)
    of_axis = "const s = document.getElementById('spectrum').spec; return [s.x.title, s.x.range[0], s.y.log || false]"
    assert browser.execute_script(of_axis)[2]
    set_value(browser, "axis", "linear")
    name, low, is_logarithmic = browser.execute_script(of_axis)
    assert name.startswith("λ,")
    assert low == 0
    assert not is_logarithmic
    assert area_of_bars(browser) == pytest.approx(1, abs=1e-6)
    set_value(browser, "axis", "log")
    set_value(browser, "filter", "")


def area_of_bars(driver):
    return driver.execute_script(
        "const bars = document.getElementById('spectrum').spec.layers.findLast(l => l.kind === 'bars');"
        "return bars.heights.reduce((sum, height, i) => sum + height * (bars.edges[i + 1] - bars.edges[i]), 0)"
    )


def test_the_bars_of_a_spectrum_have_area_one(browser):
    set_value(browser, "matrix", "5")
    assert area_of_bars(browser) == pytest.approx(1, abs=1e-6)  # every eigenvalue is in one of them


def test_what_has_no_spectrum_says_why(browser):
    set_value(browser, "filter", "zeros.weight")
    assert title(browser) == "zeros.weight"
    reason = "return document.getElementById('spectrum').spec.why"
    assert browser.execute_script(reason) == "no spectrum: all weights are zero"
    set_value(browser, "filter", "low.weight")
    assert "rank-collapse" in browser.execute_script("return document.getElementById('state').textContent")
    set_value(browser, "filter", "")


def test_a_hostile_name_is_drawn_as_text(browser):
    set_value(browser, "matrix", "199")
    assert title(browser).startswith("<img")  # which an SVG has as text
    assert browser.title != "broken in"
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0


def test_the_keyboard_moves_from_matrix_to_matrix(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    set_value(browser, "matrix", "3")
    browser.find_element(By.ID, "next").send_keys(Keys.ENTER)
    assert title(browser) == "blocks.4.weight"
    chosen = "return document.querySelector('#rows tr[aria-current=true]').dataset.index"
    assert browser.execute_script(chosen) == "4"
    browser.find_element(By.CSS_SELECTOR, "#rows tr[data-index='7'] button").send_keys(Keys.ENTER)
    assert title(browser) == "blocks.7.weight"


def rows_by(driver, head, body=""):
    """What the cells of a column sort by, from top to bottom."""
    rows = f"document.querySelectorAll('#rows {body} tr[data-index]')"
    return driver.execute_script(f"return Array.from({rows}, row => row.cells[{head}].dataset.sort)")


def test_rows_are_sorted_as_numbers_within_their_kind_and_shape_or_all_together(browser):
    head = next(
        i
        for i, text in enumerate(
            browser.execute_script("return Array.from(document.querySelectorAll('#rows th'), h => h.textContent)")
        )
        if text == "z"
    )
    sort = f"document.querySelectorAll('#rows th button')[{head}].click()"
    browser.execute_script(sort)
    of_first = [float(key) for key in rows_by(browser, head, "tbody:nth-of-type(2)") if key]
    assert 190 < len(of_first) < 200  # the blocks
    assert of_first == sorted(of_first)
    browser.execute_script("document.getElementById('grouped').click()")
    browser.execute_script(sort)
    numbers = [float(key) for key in rows_by(browser, head) if key]
    assert len(numbers) >= 198
    assert numbers == sorted(numbers)
    browser.execute_script("document.getElementById('grouped').click()")
    assert rows_by(browser, 0)[:3] == ["0", "197", "199"]  # of the kind and shape that comes first


def test_a_note_stands_once(browser):
    notes = browser.execute_script("return Array.from(document.querySelectorAll('.notes li'), e => e.textContent)")
    of_tails = [note for note in notes if "eigenvalues only" in note]
    assert len(of_tails) == 1
    assert "blocks.0.weight" in of_tails[0]


def test_everybody_can_use_it(browser):
    assert_everybody_can_use_it(browser)


def test_a_phone_shows_it_without_scrolling_sideways(browser):
    assert_a_phone_needs_no_sideways_scrolling(browser)


def test_paper_shows_all_of_it(browser):
    assert_paper_shows_all_of_it(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(browser, scheme):
    assert_text_is_readable(browser, scheme)
