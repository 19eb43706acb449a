"""The report, in a headless browser where there is one."""

import base64
import json

import numpy as np
import pytest

from report.browsing import (
    assert_a_phone_needs_no_sideways_scrolling,
    assert_everybody_can_use_it,
    assert_no_error_and_no_request,
    assert_paper_shows_all_of_it,
    assert_text_is_readable,
    opened,
    set_value,
)
from spectail.cli import main
from spectail.report.pages.overlaps import packed_overlaps
from spectail.report.pages.study import write_report
from spectail.store.store import Store
from spectail.study import making
from spectail.study import plan as paper
from spectail.study.catalogue import find
from spectail.study.records import artifact_curves, read_records, record_of, save_record, save_verdicts
from spectail.study.settings import Scale
from spectail.sweeps.sweep import run_missing

TINY = Scale("tiny", 25, long=False)
HOSTILE = "<img src=x onerror=\"document.title='broken in'\"></script><script>document.title='broken in'</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two figures and a table, reproduced at sizes that take seconds; one record has a hostile title."""
    root = tmp_path_factory.mktemp("results")
    store, artifacts = Store(root), find(["fig4", "fig9", "fig2"])
    plan = paper.Plan(artifacts, TINY, 2)
    run_missing(plan.experiments(), store)
    runs = {e.key: store.get(e) for e in plan.experiments()}
    for artifact in artifacts:
        of_artifact = paper.by_protocol(plan, artifact, runs)
        making.draw(artifact, of_artifact, root / "figures")
        record = record_of(artifact, plan, of_artifact, making.verify(artifact, of_artifact))
        save_record(record, artifact_curves(artifact, of_artifact), root / "figures")
    record = json.loads((root / "figures" / "fig9.json").read_text())
    for verdict in record["verdicts"]:
        del verdict["outcomes"]["equations"]  # as where only one protocol was run
    (root / "figures" / "fig9.json").write_text(json.dumps({**record, "title": HOSTILE}))
    return root


def test_records_hold_what_was_found_and_foreign_files_are_left_out(folder):
    (folder / "figures" / "foreign.json").write_text("{")
    with pytest.warns(UserWarning, match=r"foreign.json is not a record.*left out"):
        records = read_records(folder / "figures")
    (folder / "figures" / "foreign.json").unlink()
    assert [record.name for record in records] == ["fig2", "fig4", "fig9"]
    assert records[0].command == "spectail reproduce fig2 --scale tiny --repeats 2"
    assert set(records[0].claims[0].outcomes) == {"published", "equations"}
    header = (folder / "figures" / "fig2.csv").read_text().splitlines()[0].split(",")
    assert {"protocol", "seed", "optimizer", "lr", "step", "pl_alpha_hill"} <= set(header)
    assert "h" not in header  # the same in all runs
    claims = [claim for record in records for claim in record.claims]
    verdicts = save_verdicts(claims, folder / "claims.csv").read_text()
    assert len(verdicts.splitlines()) == 1 + sum(len(claim.outcomes) for claim in claims)


def test_the_page_stands_alone_and_is_escaped(folder):
    page = write_report(folder).read_text()
    assert HOSTILE not in page
    assert "&lt;img src=x" in page
    assert 'src="http' not in page


def test_runs_without_figures_have_no_head_of_artifacts(folder, tmp_path):
    for path in folder.iterdir():
        if path.name != "figures":
            (tmp_path / path.name).symlink_to(path)
    assert "Artifacts" not in write_report(tmp_path).read_text()
    assert "Artifacts" in write_report(folder).read_text()


def test_a_folder_without_results_is_told_so(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path)])
    assert "holds neither runs nor figures" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path / "none")])
    assert "is not a folder or a file" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    with opened(write_report(folder), tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def drawn(driver):
    """The bars of the second spectrum, and the title of the chart."""
    return driver.execute_script(
        "const { layers, title } = document.getElementById('esd').spec;"
        "return [layers.findLast(l => l.kind === 'bars').heights, title]"
    )


def test_it_opens_without_an_error_or_a_request(browser):
    assert_no_error_and_no_request(browser)
    alternatives = browser.execute_script(
        "return Array.from(document.images, i => [i.className, i.getAttribute('alt')])"
    )
    assert len(alternatives) == 9  # 6 pictures, 3 thumbnails
    assert all(alt for kind, alt in alternatives if kind == "figure")  # a thumbnail's link has text of its own
    assert browser.execute_script("return Array.from(document.images).slice(0, 3).every(i => i.naturalWidth > 0)")


def test_the_slider_redraws_the_spectrum_by_keyboard(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    set_value(browser, "run-filter", "steps=50")
    before = drawn(browser)
    browser.find_element(By.ID, "step").send_keys(Keys.ARROW_LEFT)
    after = drawn(browser)
    assert before[1] == "spectrum of WᵀW, step 50"
    assert after[1] == "spectrum of WᵀW, step 10"
    assert before[0] != after[0]
    assert "step 10: " in browser.find_element(By.ID, "state").text
    set_value(browser, "axis", "linear")
    assert browser.execute_script("return document.getElementById('esd').spec.x.title")[0] == "λ"
    assert drawn(browser)[0] != after[0]


def test_overlaps_and_the_predicted_spike_are_drawn(browser):
    set_value(browser, "run-filter", "steps=10 published seed 0")
    assert not browser.execute_script("return document.getElementById('overlap-panel').hidden")
    assert browser.execute_script("return document.getElementById('overlaps').spec.layers[0].kind") == "cells"
    set_value(browser, "axis", "log")
    set_value(browser, "step", "1")
    names = browser.execute_script(
        "return document.getElementById('esd').spec.layers.filter(l => l.kind === 'rule').map(l => l.label)"
    )
    assert names == ["predicted λ₁"]


def test_sim_kta_and_overlaps_stand_beside_what_they_are_by_chance(browser):
    set_value(browser, "run-filter", "steps=10 published seed 0")
    names = browser.execute_script("return document.getElementById('alignments').spec.layers.map(l => l.name)")
    assert {"KTA by chance, ± 2 sd", "sim by chance, ± 2 sd"} <= set(names)
    assert "(by chance " in browser.execute_script("return document.getElementById('state').textContent")
    words = browser.execute_script("return document.getElementById('overlaps-bar').spec.x.ticks.map(t => t[1])")
    assert [word for word in words if "chance" in word] == ["▴ by chance, mean", "▴ by chance, largest"]


def test_overlaps_past_a_rank_are_sent_as_such(folder):
    experiments = paper.Plan(find(["fig9"]), TINY, 1).experiments()
    run = Store(folder).get(next(iter(experiments)))
    short = run.assign_attrs(overlap_ranks=json.dumps([[7, 3]] * run.sizes["pair"]))
    for whole, part in zip(packed_overlaps(run), packed_overlaps(short), strict=True):
        size = whole["size"]
        before, after = (
            np.frombuffer(base64.b64decode(one["b"]), np.uint8).reshape(size, size) for one in (whole, part)
        )
        assert (before < 255).all()
        assert (after[7:] == 255).all()
        assert (after[:, 3:] == 255).all()
        np.testing.assert_array_equal(after[:7, :3], before[:7, :3])
        assert part["ranks"] == [["W", 7], ["M", 3]]


def test_verdicts_are_filtered_and_sorted(browser):
    visible = (
        "const rows = Array.from(document.querySelectorAll('#verdict-rows tr'));"
        "return rows.filter(r => !r.hidden).map(r => r.cells[1].innerText)"
    )
    everything = browser.execute_script(visible)
    set_value(browser, "verdict-filter", "fig9")
    assert set(browser.execute_script(visible)) == {"fig9"}
    set_value(browser, "verdict-filter", "")
    set_value(browser, "verdict-kind", "holds")
    assert 0 < len(browser.execute_script(visible)) <= len(everything)
    set_value(browser, "verdict-kind", "")
    browser.execute_script("document.querySelectorAll('#verdict-table th button')[1].click()")
    assert browser.execute_script(visible) == sorted(everything)
    browser.execute_script("document.querySelectorAll('#verdict-table th button')[1].click()")
    assert browser.execute_script(visible) == sorted(everything, reverse=True)


def test_everybody_can_use_it(browser):
    assert_everybody_can_use_it(browser)


def test_a_phone_shows_it_without_scrolling_sideways(browser):
    assert_a_phone_needs_no_sideways_scrolling(browser)


def test_paper_shows_all_of_it(browser):
    assert_paper_shows_all_of_it(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(browser, scheme):
    assert_text_is_readable(browser, scheme)
