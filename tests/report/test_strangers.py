"""A folder from elsewhere: whatever lies in it costs at most a sentence, and the page shows the rest."""

import io
import json
import os
import shutil
import struct
import warnings
import zlib
from contextlib import suppress
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from spectail import Experiment, Store, simulate
from spectail.cli import main
from spectail.errors import SpectailError
from spectail.recording.netcdf import save_recording
from spectail.recording.reading import load_recording
from spectail.report.terminal.recording import print_recording
from spectail.report.terminal.study import print_verdicts
from spectail.store.results import runs_of
from spectail.study.records import Record

SECRET = "a secret of this machine"
TINY = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=1, optimizer="gd", lr=3.0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder with a run and a figure of it, as spectail writes them."""
    root = tmp_path_factory.mktemp("sound")
    store = Store(root)
    store.put(simulate(TINY))
    (root / "figures").mkdir()
    outcome = {"verdict": "does not hold", "measured": "λ₁ = 3"}
    tested = {
        **outcome,
        "p_claimed": 0.5,
        "p_contrary": 0.01,
        "effect": -1.5,
        "comparisons": 2,
        "margin": [-1.0, -1.5, -0.5],
    }
    claim = {"artifact": "fig4", "claim": "1", "where": "§4", "statement": "a spike", "criterion": "λ₁ > 2"}
    record = {
        "format": 1, "name": "fig4", "title": "A figure of ours", "scale": "paper", "repeats": 1, "seconds": 2.5,
        "command": "spectail reproduce fig4", "parameters": {"n": "40"}, "runs": {"published": [TINY.key]},
        "tables": {"published": [["a", "b"], ["1", "2"]]},
        "verdicts": [{**claim, "outcomes": {"published": outcome, "equations": tested}}],
    }  # fmt: skip
    (root / "figures" / "fig4.json").write_text(json.dumps(record))
    Image.new("RGB", (40, 30), "white").save(root / "figures" / "fig4.png")
    return root


@pytest.fixture
def folder(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "folder")
    (tmp_path / "secret.txt").write_text(SECRET)
    Image.new("RGB", (40, 30), "black").save(tmp_path / "secret.png")
    return tmp_path / "folder"


def called(command, capsys):
    """The exit code, and what stands on standard error."""
    code = 0
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # the command prints them
        try:
            main(command)
        except SystemExit as end:
            code = end.code
    return code, capsys.readouterr().err


def report(folder, capsys, *options):
    """The exit code, what stands on standard error, and the page."""
    code, err = called(["report", str(folder), *options], capsys)
    page = folder / "report.html"
    return code, err, page.read_text(encoding="utf-8") if page.exists() else ""


def test_a_sound_folder_costs_no_sentence(folder, capsys):
    code, err, page = report(folder, capsys)
    assert (code, err) == (0, "")
    assert "does not hold" in page
    assert 'id="fig4-published"' in page


def with_field(path, name, value):
    """A record with another value somewhere: keys and places joined by dots."""
    record = json.loads(path.read_text())
    place, keys = record, name.split(".")
    for key in keys[:-1]:
        place = place[int(key) if key.isdigit() else key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(record))


FIELDS = {
    "a title that is a list": ("title", ["x"]),
    "a command that is a number": ("command", 3),
    "no seconds": ("seconds", ...),
    "seconds that are no number": ("seconds", float("nan")),
    "seconds without end": ("seconds", float("inf")),
    "seconds before it began": ("seconds", -1.0),
    "a text for seconds": ("seconds", "soon"),
    "a huge number of repeats": ("repeats", 10**400),
    "no repeats": ("repeats", None),
    "parameters in parameters": ("parameters", {"n": {"n": "1"}}),
    "a table without a line": ("tables", {"published": []}),
    "a table of numbers": ("tables", {"published": [[1, 2]]}),
    "a table of no protocol": ("tables", {"<b>": [["a"]]}),
    "runs of a path": ("runs", {"../../etc": ["passwd"]}),
    "runs that are no keys": ("runs", {"published": [["x"]]}),
    "verdicts that are text": ("verdicts", "holds"),
    "no verdicts": ("verdicts", ...),
    "a verdict that nobody knows": ("verdicts.0.outcomes.published.verdict", "certainly"),
    "a measurement that is a table": ("verdicts.0.outcomes.published.measured", {"a": 1}),
    "a margin without ends": ("verdicts.0.outcomes.equations.margin", [0.5]),
    "a p-value of two": ("verdicts.0.outcomes.equations.p_claimed", 2),
    "a p-value that is missing": ("verdicts.0.outcomes.equations.p_contrary", ...),
    "an effect that is no number": ("verdicts.0.outcomes.equations.effect", float("nan")),
    "more comparisons than atoms": ("verdicts.0.outcomes.equations.comparisons", 10**80),
    "a field of the future": ("colour", "red"),
    "another name": ("name", "../fig5"),
    "another format": ("format", 2),
}


@pytest.mark.parametrize(("name", "value"), FIELDS.values(), ids=FIELDS)
def test_a_record_with_a_wrong_field_is_left_out(folder, capsys, name, value):
    with_field(folder / "figures" / "fig4.json", name, value)
    code, err, page = report(folder, capsys)
    assert (code, err.count("\n")) == (0, 1), err
    assert err.startswith("warning: ")
    assert "fig4.json" in err
    assert len(err) < 400
    assert "A figure of ours" not in page


def png(width, height, *chunks):
    """The head of a PNG that says how large it is, and little more."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = (b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (head, *chunks, body, (b"IEND", b""))
    )


def link(to):
    def replace(path):
        path.unlink()
        path.symlink_to(to(path))

    return replace


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder_instead(path):
    path.unlink()
    path.mkdir()


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2**33)


ANY = {
    "a link out of the folder": link(lambda path: path.parents[2] / f"secret{path.suffix}".replace(".json", ".txt")),
    "a link in a circle": link(lambda path: path),
    "a link to what never ends": link(lambda path: "/dev/zero"),
    "a pipe": pipe,
    "8 GiB of nothing": sparse,
}

RECORDS = {
    **ANY,
    "no JSON": lambda path: path.write_text("{"),
    "a list": lambda path: path.write_text("[1, 2]"),
    "nothing": lambda path: path.write_text(""),
    "bytes that are no text": lambda path: path.write_bytes(b"\xff\xfe{"),
    "lists in lists without end": lambda path: path.write_text("[" * 200_000 + "]" * 200_000),
    "a number of 100,000 digits": lambda path: path.write_text(
        f'{{"format": 1, "name": "fig4", "x": {"9" * 100_000}}}'
    ),
}


@pytest.mark.parametrize("damage", RECORDS.values(), ids=RECORDS)
def test_a_file_that_is_no_record_is_left_out(folder, capsys, damage):
    damage(folder / "figures" / "fig4.json")
    code, err, page = report(folder, capsys)
    assert (code, err.count("\n")) == (0, 1), err
    assert "fig4.json" in err
    assert SECRET not in page + err


PICTURES = {
    **ANY,
    "60,000 × 60,000 pixels": lambda path: path.write_bytes(png(60_000, 60_000)),
    "9,000 × 9,000 pixels": lambda path: path.write_bytes(png(9_000, 9_000)),
    "fewer lines than it says": lambda path: path.write_bytes(png(2_000, 2_000)),
    "no pixel": lambda path: path.write_bytes(png(0, 10)),
    "a text that unpacks to a thousand times its size": lambda path: path.write_bytes(
        png(4, 4, (b"zTXt", b"k\0\0" + zlib.compress(bytes(2**25))))
    ),
    "an SVG": lambda path: path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    "a JPEG": lambda path: Image.new("RGB", (4, 4)).save(path, "JPEG"),
    "nothing": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:60]),
}


@pytest.mark.parametrize("damage", PICTURES.values(), ids=PICTURES)
def test_a_picture_that_is_no_png_of_a_figure_is_left_out_and_its_record_is_shown(folder, capsys, damage):
    damage(folder / "figures" / "fig4.png")
    code, err, page = report(folder, capsys)
    assert (code, err.count("\n") <= 1) == (0, True), err
    assert "A figure of ours" in page
    if 'id="fig4-published"' in page:
        pytest.fail("it is shown")
    assert err.startswith("warning: ") or not (folder / "figures" / "fig4.png").is_file()


def rewritten(path, change):
    """A run's file with other content, and the checksum that goes with it: whoever is hostile writes that too."""
    run = change(load_recording(path))
    path.unlink()
    save_recording(run, path)


def with_values(name, values):
    return lambda run: run.assign({name: (run[name].dims, np.broadcast_to(np.asarray(values), run[name].shape))})


def with_experiment(**fields):
    def change(run):
        experiment = json.loads(run.attrs["experiment"]) | fields
        return run.assign_attrs(experiment=json.dumps(experiment))

    return change


RUNS = {
    "words for numbers": with_values("kta", "many"),
    "numbers for words": with_values("phase", 3.0),
    "a phase that nobody knows": with_values("phase", "<b>chaos</b>"),
    "no number anywhere": with_values("n_spikes", np.nan),
    "endless numbers": with_values("pl_alpha_hill", np.inf),
    "negative eigenvalues": with_values("eigenvalues", -1.0),
    "eigenvalues without end": with_values("eigenvalues", np.inf),
    "eigenvalues that are none": with_values("eigenvalues", np.nan),
    "as many spikes as atoms": with_values("n_spikes", 10**18),
    "fewer spikes than none": with_values("n_spikes", -5),
    "a note that is a page": with_values("note", "<script>alert(1)</script>" * 1000),
    "steps that go back": lambda run: run.assign_coords(step=[5, -3]),
    "steps that are equal": lambda run: run.assign_coords(step=[1, 1]),
    "steps that are words": lambda run: run.assign_coords(step=["a", "b"]),
    "an experiment without end": with_experiment(h=10**30),
    "an experiment of another size": with_experiment(h=10**9, d=10**9),
    "an experiment of nothing": with_experiment(h=0),
    "an optimizer that nobody knows": with_experiment(optimizer="mine"),
    "an experiment that is a list": lambda run: run.assign_attrs(experiment="[1]"),
    "an experiment that is deep": lambda run: run.assign_attrs(experiment="[" * 10**5),
    "layers of another number": with_experiment(layers=[3, 4, 5]),
}


@pytest.mark.parametrize("change", RUNS.values(), ids=RUNS)
def test_a_run_with_anything_in_it_costs_at_most_a_sentence(folder, capsys, change):
    path = Store(folder).path(TINY)
    rewritten(path, change)
    code, err, page = report(folder, capsys)
    assert (code, err.count("\n") <= 1) == (0, True), err
    assert "<b>chaos" not in page.partition("<script")[0]
    with suppress(SpectailError):  # anything else would be a traceback
        print_recording(load_recording(path))


@pytest.mark.parametrize("change", [with_values("kta", "many"), with_experiment(h=0)], ids=["words", "no size"])
def test_lists_and_checks_of_such_a_folder_cost_a_sentence_too(folder, capsys, change):
    rewritten(Store(folder).path(TINY), change)
    for command in (["list", str(folder)], ["list", str(folder), "--json"], ["store", "check", str(folder)]):
        code, err = called(command, capsys)
        assert code in ((0, 1) if command[0] == "store" else (0, 2)), err
        assert err.count("\n") <= 2, "what is left out, and what is wrong then"
        assert "Traceback" not in err


LINES = {
    "a key that is a path": ("key", "../../secret"),
    "a key that is a list": ("key", ["x"]),
    "steps that are text": ("steps", "01"),
    "a scalar of another length": ("scalars", {"phase": ["heavy-tailed"]}),
    "numerics that are text": ("experiment", {"numerics": "x"}),
    "an experiment of nothing": ("experiment", {"h": 0}),
}


@pytest.mark.parametrize(("name", "value"), LINES.values(), ids=LINES)
def test_a_line_of_a_manifest_that_no_run_can_have_is_passed_over(folder, capsys, name, value):
    manifest = Store(folder).manifest
    entry = json.loads(manifest.path.read_bytes())
    manifest.path.write_text(json.dumps({**entry, name: value}))
    assert manifest.read() == {}
    assert [one.key for one in runs_of(folder)] == [TINY.key], "its run is read anew"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("command", ["report", "show", "list", "store"])
def test_a_pipe_in_place_of_a_manifest_or_a_state_is_not_waited_for(folder, capsys, command):
    store = Store(folder)
    store.manifest.path.unlink()
    os.mkfifo(store.manifest.path)
    store.states.mkdir(exist_ok=True)
    os.mkfifo(store.states / "0123456789abcdef.ckpt")
    words = ["store", "check", str(folder)] if command == "store" else [command, str(folder)]
    code = 0
    try:
        main(words)
    except SystemExit as ended:
        code = ended.code
    err = capsys.readouterr().err
    if command == "report":  # runs are read anew
        assert (code, err) == (0, "")
    else:
        assert (code, err.count("\n")) == (2, 1)
        assert "manifest.jsonl is not a file" in err


def test_links_of_runs_lead_nowhere_else(folder, capsys):
    path = Store(folder).path(TINY)
    path.rename(folder.parent / "elsewhere.nc")
    path.symlink_to(folder.parent / "elsewhere.nc")
    code, err, _ = report(folder, capsys)
    assert (code, err.count("\n")) == (0, 1)
    assert "leads out of its folder" in err


def test_a_folder_to_read_only_has_its_report_elsewhere(folder, capsys, tmp_path):
    before = sorted(folder.rglob("*"))
    code, err, _ = report(folder, capsys, "--out", str(tmp_path / "pages"))
    assert (code, err) == (0, "")
    assert sorted(folder.rglob("*")) == before
    page = (tmp_path / "pages" / "report.html").read_text(encoding="utf-8")
    assert 'href="../folder/figures/fig4.csv"' in page
    code, err, _ = report(folder, capsys, "--out", str(tmp_path / "secret.txt" / "x"))
    assert (code, err.count("\n")) == (2, 1), "refused before anything is read"


def test_at_the_small_scale_no_verdict_is_red(folder, capsys):
    """It is no evidence, and red looks like some."""
    (folder / "figures").rename(folder / "figures-small")
    with_field(folder / "figures-small" / "fig4.json", "scale", "small")
    for scale, red in (("small", False), ("paper", True)):
        claims = Record.read(folder / "figures-small" / "fig4.json").claims
        console = Console(file=io.StringIO(), force_terminal=True, width=200)
        with mock.patch("spectail.report.terminal.study.console", lambda console=console: console):
            print_verdicts(claims, scale)
        assert ("\x1b[1;31m" in console.file.getvalue()) == red
    assert called(["report", str(folder), "--scale", "small"], capsys) == (0, "")
    page = (folder / "report-small.html").read_text(encoding="utf-8")
    assert 'class="verdict "' in page
    assert 'class="verdict does-not-hold"' not in page
