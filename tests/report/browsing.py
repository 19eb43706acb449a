"""A headless browser for the tests of pages, where there is one."""

import json
import os
import shutil
import time
from contextlib import contextmanager

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
        deadline = time.monotonic() + 30
        while not driver.execute_script("return document.documentElement.dataset.ready"):
            assert time.monotonic() < deadline, "the page did not get ready"
            time.sleep(0.05)
        yield driver
    finally:
        driver.quit()


def assert_no_error_and_no_request(driver):
    """Nothing in the console, nothing sent anywhere, and no script of a hostile name has run."""
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if url.startswith(("http", "ws", "ftp"))] == []  # chrome: is the browser's own
    assert driver.title != "broken in"


def set_value(driver, element, value):
    """Enter a value as a user does."""
    driver.execute_script(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true}))",
        element,
        value,
    )


def assert_a_phone_needs_no_sideways_scrolling(driver):
    """Narrow the window, let the plots follow it, and widen it again."""
    driver.set_window_size(500, 900)
    fits = "return document.documentElement.scrollWidth <= window.innerWidth"
    deadline = time.monotonic() + 20
    while not driver.execute_script(fits):
        assert time.monotonic() < deadline, "the page stays wider than the window"
        time.sleep(0.05)
    driver.set_window_size(1300, 900)
