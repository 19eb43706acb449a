"""What `spectail watch` shows of a file that another process writes."""

import http.client
import io
import json
import os
import signal
import threading

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from spectail import Experiment, SpectralMonitor, every, load_recording, simulate
from spectail.cli import main
from spectail.report import watching
from spectail.report.pages.recording import page_of
from spectail.report.serving import PageServer
from spectail.report.terminal.live import screen
from spectail.report.watching import WatchedRecording
from spectail.store.store import Store


def monitor_of(path):
    torch.manual_seed(0)
    return SpectralMonitor(nn.Sequential(nn.Linear(20, 12), nn.Linear(12, 15)), path=path, nulls=False)


def test_a_file_is_waited_for_and_followed_through_its_journal(tmp_path):
    watched = WatchedRecording(tmp_path / "run.nc")
    assert watched.look()
    assert "does not exist" in watched.sentence
    assert not watched.look()  # the same sentence is told once
    model = nn.Linear(20, 12)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = SpectralMonitor(model, optimizer, when=every(1), path=watched.path, nulls=False)
    assert watched.look()
    assert watched.recording.sizes["step"] == 1
    model(torch.ones(20)).sum().backward()
    optimizer.step()  # its measurement is in the journal only
    assert watched.look()
    assert watched.sentence == "run.nc: 2 measurements, the last at step 1"
    assert not watched.look()
    monitor.detach()
    assert monitor.recording.identical(load_recording(watched.path))
    assert not watched.look(), "the journal is in the file now: nothing is new"


def test_what_is_half_written_or_gone_is_a_sentence_and_the_last_state_stays(tmp_path):
    monitor_of(tmp_path / "run.nc").detach()
    watched = WatchedRecording(tmp_path / "run.nc")
    watched.look()
    state, whole = watched.recording, watched.path.read_bytes()
    watched.path.write_bytes(whole[:1000])
    assert watched.look()
    assert watched.sentence.endswith("it is tried again")
    watched.path.unlink()
    assert watched.look()
    assert "does not exist" in watched.sentence
    assert watched.recording is state
    watched.path.write_bytes(whole)
    assert watched.look()
    assert watched.version == 1, "there is nothing new"


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=4),
        Experiment(h=6, dataset="digits", images=20, steps=4, record=[0, 2, 4]),
    ],
    ids=["student", "network"],
)
def test_a_run_that_is_being_computed_is_shown_as_its_state_has_it(experiment, tmp_path):
    store, watched, seen = Store(tmp_path, state_seconds=0), [], []

    def look(step, steps):
        watched.append(WatchedRecording(store.path(experiment)))
        watched[-1].look()
        if watched[-1].recording is not None:
            assert b'data-version="1"' in page_of(watched[-1].recording, version="1").encode()
            seen.append(watched[-1].recording)

    whole, _ = store.get_or_run(experiment, lambda e: simulate(e, progress=look, resume=store.resume_state(e)))
    assert len(seen) >= 3
    for so_far in seen:  # numbers are those of the whole run, to the bit
        for name in ("eigenvalues", "phase", "pl_alpha_hill", "cross_entropy", "null_hill_mean"):
            if name in so_far:
                along = {dim: so_far[dim] for dim in ("step", "update") if dim in so_far[name].dims}
                np.testing.assert_array_equal(so_far[name], whole[name].sel(along), err_msg=name)
    assert watched[-1].sentence.endswith("measurements, the last at step " + str(seen[-1].step.values[-1]))
    assert watched[-1].look()
    assert watched[-1].recording.identical(load_recording(store.path(experiment))), "when it is finished"


def test_a_folder_and_a_name_lead_to_the_run_that_is_being_computed(tmp_path, capsys):
    def refusal(folder):
        with pytest.raises(SystemExit, match="2"):
            main(["watch", str(folder)])
        return capsys.readouterr().err

    store = Store(tmp_path)
    store.check_writable()
    assert "holds no run yet" in refusal(tmp_path)
    experiment = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=1)
    store.write_state(experiment, b"damaged")
    run = store.path(experiment)
    assert f"such as {run}" in refusal(tmp_path)
    assert f"such as {run}" in refusal(store.runs)
    named, itself = WatchedRecording(tmp_path / "mine.nc"), WatchedRecording(run)
    assert named.look()
    assert f"{run} is a run of this folder that is not finished" in named.sentence
    assert itself.look()
    assert "does not say what its run has measured so far" in itself.sentence


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("watched") / "run.nc"
    monitor_of(path).detach()
    watched = WatchedRecording(path)
    watched.look()
    with PageServer(watched) as server:
        yield server


def ask(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(server.address.split("/")[2], timeout=10)
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


def test_the_page_asks_its_own_server_and_nobody_else(server):
    status, page = ask(server)
    assert status == 200
    assert b"connect-src 'self'" in page
    status, state = ask(server, "/state")
    assert (status, json.loads(state)["version"]) == (200, "1")
    assert b'data-version="1"' in page


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_another_site_gets_nothing_by_a_name_that_it_points_here(server, headers):
    assert ask(server, **headers) == (403, b"this server answers its own page only")


def test_nothing_can_be_written_and_no_file_be_named(server):
    assert ask(server, method="POST")[0] == 501
    for path in ("/run.nc", "/../run.nc", "/%2e%2e/run.nc", "//evil.example/"):
        assert ask(server, path)[0] == 404


def test_a_page_waits_for_a_file_that_is_not_there(tmp_path):
    watched = WatchedRecording(tmp_path / "<b>.nc")
    watched.look()
    with PageServer(watched) as server:
        assert b"&lt;b&gt;.nc does not exist" in ask(server)[1]
        monitor_of(watched.path).detach()
        watched.look()
        server.refresh()
        assert b'data-version="1"' in ask(server)[1]


@pytest.mark.parametrize("options", [[], ["--json"], ["--terminal"]])
def test_ctrl_c_ends_it_with_130(tmp_path, monkeypatch, capsys, options):
    class Interrupting(threading.Event):
        def wait(self, timeout=None):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(watching, "Event", Interrupting)  # it comes when the first state was shown
    monitor_of(tmp_path / "run.nc").detach()
    with pytest.raises(SystemExit) as stop:
        main(["watch", str(tmp_path / "run.nc"), *options])
    assert stop.value.code == 130
    output = capsys.readouterr()
    assert output.err.endswith("interrupted\n")
    assert ("http://127.0.0.1:" in output.out) == (options != ["--terminal"])
    if options == ["--json"]:
        assert json.loads(output.out)["file"] == str(tmp_path / "run.nc")


def test_what_a_terminal_would_obey_in_the_name_of_a_file_or_a_matrix_is_shown_and_not_sent(tmp_path):
    monitor_of(tmp_path / "\x1b[31mred\n.nc").detach()
    watched = WatchedRecording(tmp_path / "\x1b[31mred\n.nc")
    watched.look()
    watched.recording = watched.recording.assign_coords(matrix=["\x1b]0;first", "\u202esecond"])
    out = Console(width=100, file=io.StringIO())
    out.print(screen(watched, 100))
    watched.recording = None
    out.print(screen(watched, 100))
    shown = out.file.getvalue()
    assert "red" in shown
    assert "second" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_the_terminal_shows_the_answer_and_the_events(tmp_path):
    monitor_of(tmp_path / "run.nc").detach()
    watched = WatchedRecording(tmp_path / "run.nc")
    watched.look()
    out = Console(width=80, record=True, file=io.StringIO())
    out.print(screen(watched, 80))
    text = out.export_text()
    assert "2 matrices measured" in text
    assert "no matrix changed its phase" in text


def test_a_folder_of_checkpoints_leads_to_the_command_that_measures_them(tmp_path, capsys):
    folder = tmp_path / "my run"
    folder.mkdir()
    for step in (0, 10):
        torch.save({"a.weight": torch.ones(3, 3)}, folder / f"step-{step}.pt")
    with pytest.raises(SystemExit, match="2"):
        main(["watch", str(folder)])
    assert f"is a folder of checkpoints; spectail series '{folder}' --follow --out run.nc " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"), [(["."], "is a folder"), (["a.nc", "--port", "70000"], "port must")]
)
def test_what_cannot_be_watched_is_told(arguments, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["watch", *arguments])
    assert sentence in capsys.readouterr().err
