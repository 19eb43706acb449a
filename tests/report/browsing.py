"""A headless browser for the tests of pages, where there is one."""

import json
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def opened(page, profile):
    """A page in a browser, when its scripts are ready; without a browser the test is skipped, or fails if CI needs one.

    Args:
        page: path of the file.
        profile: an empty folder for the browser.
    """
    binary = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if binary is None or shutil.which("chromedriver") is None:
        if os.environ.get("SPECTAIL_NEEDS_BROWSER"):
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
        "--window-size=1300,900",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get(page.as_uri())
        wait_until_ready(driver)
        yield driver
    finally:
        driver.quit()


def wait_until_ready(driver):
    """Until the scripts of the page have drawn."""
    deadline = time.monotonic() + 30
    while not driver.execute_script("return document.documentElement.dataset.ready"):
        assert time.monotonic() < deadline, "the page did not get ready"
        time.sleep(0.05)


def wait_until_charts_are_as_wide_as_their_places(driver):
    """Until the window has the width that it was opened with, and charts follow it: both come a frame or more later."""
    deadline = time.monotonic() + 20
    misfits = (
        "return innerWidth !== outerWidth ? ['the window', innerWidth, outerWidth] :"
        " Array.from(document.querySelectorAll('.chart > svg'), e => [e.parentElement.id, e.width.baseVal.value,"
        " e.parentElement.clientWidth]).filter(([, drawn, place]) => drawn !== place)"
    )
    while found := driver.execute_script(misfits):
        assert time.monotonic() < deadline, f"not as wide as its place: {found}"
        time.sleep(0.05)


def assert_no_error_and_no_request(driver):
    """Nothing in the console, nothing sent anywhere, and no script of a hostile name has run."""
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if url.startswith(("http", "ws", "ftp"))] == []  # chrome: is the browser's own
    assert driver.title != "broken in"


def assert_everybody_can_use_it(driver):
    """axe-core has no serious finding: names and roles of what can be used, contrast, headings, landmarks, tables.

    Of a table three rows tell of all.
    """
    axe = pytest.importorskip("axe_core_python", reason="axe-core is not installed")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    driver.set_script_timeout(60)
    driver.execute_script(script)
    passes, violations = driver.execute_async_script(
        "axe.run({ exclude: ['tbody tr:nth-child(n+4)'] }, { resultTypes: ['violations', 'passes'] }).then(r =>"
        " arguments[0]([r.passes.length, r.violations.map(v => [v.impact, v.id, v.nodes[0].html.slice(0, 150)])]))"
    )
    assert passes > 20, "it looked at the page"
    assert [one for one in violations if one[0] in ("serious", "critical")] == []


def set_value(driver, element, value):
    """Enter a value as a user does."""
    driver.execute_script(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true}))",
        element,
        value,
    )


def assert_a_phone_needs_no_sideways_scrolling(driver):
    """Narrow the window to a phone's, let the plots follow it, and widen it again; nothing may stick out."""
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    sticking_out = (
        "const limit = document.documentElement.clientWidth;"
        "const scrolls = e => e.closest('.scroll, .table-window, pre');"
        "const found = Array.from(document.body.querySelectorAll('*')).filter(e => !scrolls(e) &&"
        " e.getBoundingClientRect().right > limit + 1).map(e => e.outerHTML.slice(0, 120));"
        "return document.documentElement.scrollWidth > 390 ? ['the page', ...found] : found"
    )
    try:
        deadline = time.monotonic() + 20
        while found := driver.execute_script(sticking_out):
            assert time.monotonic() < deadline, f"wider than a phone: {found}"
            time.sleep(0.05)
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def assert_paper_shows_all_of_it(driver):
    """Charts are drawn anew as wide as on paper and come back after it; no table is wider than A4 within margins."""
    charts = "Array.from(document.querySelectorAll('.chart > svg'))"
    widths = f"{charts}.map(chart => chart.width.baseVal.value)"
    wait_until_charts_are_as_wide_as_their_places(driver)  # a test before this one may have narrowed the window
    driver.execute_script(f"addEventListener('beforeprint', () => {{ window.onPaper = {widths}; }})")
    before, in_half = driver.execute_script(f"return [{widths}, {charts}.map(c => Boolean(c.closest('.halves')))]")
    driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    on_paper = driver.execute_script("return window.onPaper")
    assert len(on_paper) == len(before) > 0
    for width, half in zip(on_paper, in_half, strict=True):
        assert width <= (352 if half else 704)  # 44rem; A4 has 718 between its margins
    wait_until_charts_are_as_wide_as_their_places(driver)  # the window is laid out anew after the PDF is handed over
    assert driver.execute_script(f"return {widths}") == before
    assert not driver.execute_script("return document.body.classList.contains('printing')")
    page = {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", page)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        tables = driver.execute_script("return Array.from(document.querySelectorAll('table'), t => t.scrollWidth)")
        assert 0 < max(tables) <= 718
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def assert_text_is_readable(driver, scheme):
    """All visible text, in plots too, stands out from what is behind it by 4.5 to 1, as WCAG 2.1 AA asks.

    Args:
        driver: with the page.
        scheme: light or dark, which the reader's system prefers.
    """
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        deadline = time.monotonic() + 20
        while found := driver.execute_script(_FAINT):
            assert time.monotonic() < deadline, f"hard to read in the {scheme}: {found}"
            time.sleep(0.05)  # plots take on the new colours a little later
        ink = driver.execute_script("return getComputedStyle(document.body).color")
        assert (ink == "rgb(232, 232, 232)") == (scheme == "dark")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


_FAINT = """
const numbers = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n };
const over = (front, alpha, back) => [0, 1, 2].map(i => alpha * front[i] + (1 - alpha) * back[i]);
const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
function behind(e) {
  if (!e) return [255, 255, 255];
  const colour = numbers(getComputedStyle(e).backgroundColor);
  return colour[3] === 1 ? colour : over(colour, colour[3], behind(e.parentElement));
}
function opacity(e) { return e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1; }
const found = new Set();
const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (words.nextNode()) {
  const e = words.currentNode.parentElement, style = getComputedStyle(e);
  if (!words.currentNode.data.trim() || e.matches("script, style, option") || !e.getClientRects().length) continue;
  if (style.visibility === "hidden" || opacity(e) === 0) continue;
  const colour = numbers(e instanceof SVGElement ? style.fill : style.color), back = behind(e);
  const pair = [luminance(over(colour, colour[3] * opacity(e), back)), luminance(back)].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < 4.5) found.add(`${ratio.toFixed(2)}: <${e.tagName} ${e.className}> ${e.textContent.slice(0, 39)}`);
}
return Array.from(found).slice(0, 12);
"""
