"""A series of checkpoints is the recording that a monitor would have made, whatever happens while it is measured."""

import json
import os
import shutil
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from torch import nn

import spectail
from forked import execute, finish, start, wait_until
from spectail import (
    SettingError,
    SourceError,
    SpectralMonitor,
    StoreError,
    analyze,
    analyze_series,
    events,
    every,
    load_recording,
)
from spectail.analysis import pieces, series, series_measuring
from spectail.cli import main
from spectail.recording.journal_reading import journal_path
from spectail.recording.quantities import select
from spectail.running.signals import stoppable
from spectail.weights.series import find_series

STEPS = (0, 2, 4, 6)


@pytest.fixture(scope="module", autouse=True)
def no_pauses():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series_measuring, "_PAUSE", 0.01)
        patch.setattr(series, "POLL_SECONDS", 0.05)
        yield


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(60, 40), nn.Tanh(), nn.Linear(40, 30), nn.Conv1d(8, 20, 3))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of checkpoints, and what a monitor recorded at their steps. The last layer does not change."""
    run, model = tmp_path_factory.mktemp("training") / "run", network()
    run.mkdir()
    optimizer, x = torch.optim.Adam(model.parameters(), lr=0.05), torch.randn(64, 60)
    torch.save(model.state_dict(), run / "step-0.pt")
    with spectail.SpectralMonitor(model, optimizer, when=spectail.every(2)) as monitor:
        for step in range(1, STEPS[-1] + 1):
            optimizer.zero_grad()
            (model[:3](x).sum(1) - x[:, 0]).square().mean().backward()
            optimizer.step()
            if step in STEPS:
                torch.save(model.state_dict(), run / f"step-{step}.pt")
    return run, monitor.recording


@pytest.fixture
def run(trained, tmp_path):
    """A folder of one's own with the same files, of the same times."""
    return shutil.copytree(trained[0], tmp_path / "run")


@pytest.fixture(scope="module")
def whole(trained):
    return analyze_series(trained[0])


MEASURED = [q.name for q in select("spectrum", "content")]


def assert_same(one, other):
    """Bit for bit, but for where the files lie."""
    xr.testing.assert_identical(
        one[[*MEASURED, "eigenvalues"]].drop_attrs(), other[[*MEASURED, "eigenvalues"]].drop_attrs()
    )


def test_it_is_bit_for_bit_what_a_monitor_recorded_at_the_same_steps(trained, whole):
    recorded = trained[1]
    assert set(map(str, np.unique(recorded["phase"]))) > {"random-like"}, "hysteresis has something to hold"
    common = set(map(str, recorded.variables)) & set(map(str, whole.variables))
    assert set(map(str, recorded.variables)) - common == {"lr", "measuring_seconds", "training_seconds"}
    for name in sorted(common):
        xr.testing.assert_identical(recorded[name].variable, _without_names(whole[name]).variable)
    assert [str(event) for event in events(whole)] == [str(event) for event in events(recorded)]


def _without_names(values):
    """The notes without what only a module knows of its kernels."""
    guess = "nothing tells whether it has groups: taken as one; "
    return values.str.replace(guess, "") if values.name == "note" else values


def test_each_step_is_what_analyze_says_where_nothing_came_before(trained, whole):
    alone = analyze(trained[0] / "step-0.pt").recording
    for name in [q.name for q in select("spectrum")]:
        np.testing.assert_array_equal(whole[name].values[:1], alone[name].values)


def test_a_matrix_that_did_not_change_is_measured_once(run, monkeypatch):
    measured = []
    monkeypatch.setattr(
        pieces, "measure_matrix", lambda matrix, **o: (measured.append(matrix.name), measure(matrix, **o))[1]
    )
    recording = analyze_series(run)
    assert measured.count("0.weight") == len(STEPS)
    assert measured.count("3.weight") == 1
    assert len(set(recording["content"].sel(matrix="3.weight").values)) == 1
    assert (recording["eigenvalues"].sel(matrix="3.weight") == recording["eigenvalues"].sel(matrix="3.weight")[0])[
        :, -20:
    ].all()


measure = pieces.measure_matrix

KILLED = """
import os, signal, sys
from spectail.recording import journal_file
from spectail import analyze_series

at, count, append = int(sys.argv[1]), 0, journal_file.JournalFile._append

def counting(self, *arguments):
    global count
    count += 1
    append(self, *arguments)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)

journal_file.JournalFile._append = counting
analyze_series(sys.argv[2], out=sys.argv[3], nulls=False, between=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills")
def test_killed_at_any_row_it_goes_on_to_the_same_file(run, tmp_path):
    analyze_series(run, out=tmp_path / "whole.nc", nulls=False, between=True)
    out = tmp_path / "killed.nc"
    for at in (2, 7):  # in the first step, and among the updates of the second
        code, text = finish(start(tmp_path, execute, KILLED, at, run, out))
        assert code == -signal.SIGKILL, text
    assert 0 < load_recording(out).sizes["step"] < len(STEPS)
    analyze_series(run, out=out, nulls=False, between=True)
    assert out.read_bytes() == (tmp_path / "whole.nc").read_bytes()
    assert not list(tmp_path.glob("*.journal"))


def test_with_workers_it_is_the_same(run, whole):
    assert_same(analyze_series(run, workers=1), whole)


def test_what_came_since_is_added_and_what_was_removed_stays(run, tmp_path, whole, monkeypatch):
    late = (run / "step-6.pt").rename(tmp_path / "later")
    assert analyze_series(run, out=tmp_path / "run.nc").sizes["step"] == len(STEPS) - 1
    (run / "step-0.pt").unlink()
    late.rename(run / "step-6.pt")
    measured = []
    monkeypatch.setattr(
        pieces, "measure_matrix", lambda matrix, **o: (measured.append(matrix.name), measure(matrix, **o))[1]
    )
    assert_same(analyze_series(run, out=tmp_path / "run.nc"), whole)
    assert measured == ["0.weight", "2.weight"]


def test_a_checkpoint_that_appears_in_the_middle_is_judged_and_judges_in_its_place(run, tmp_path, whole):
    middle = (run / "step-2.pt").rename(tmp_path / "later")
    analyze_series(run, out=tmp_path / "run.nc")
    middle.rename(run / "step-2.pt")
    assert_same(analyze_series(run, out=tmp_path / "run.nc"), whole)
    assert_same(load_recording(tmp_path / "run.nc"), whole)


@pytest.mark.parametrize("index", [False, True])
def test_of_shards_in_one_folder_only_those_that_came_are_measured(index, tmp_path, monkeypatch):
    def write(step):
        names = [f"model-{step}-0000{at}-of-00002.safetensors" for at in (1, 2)]
        for at, name in enumerate(names):
            save_file({f"{at}.weight": torch.eye(20) * (step + at)}, tmp_path / name)
        places = {f"{at}.weight": name for at, name in enumerate(names)}
        if index:
            (tmp_path / f"model-{step}.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    for step in (100, 200):
        write(step)
    analyze_series(tmp_path, nulls=False, out=tmp_path / "series.nc")
    write(300)
    opened = []
    monkeypatch.setattr(series_measuring, "pinned", lambda source: opened.append(source) or source)
    recording = analyze_series(tmp_path, nulls=False, out=tmp_path / "series.nc")
    assert recording.spectral_norm.sel(matrix="1.weight").values.tolist() == [101.0, 201.0, 301.0]
    assert len(opened) == 1


def test_a_checkpoint_that_was_written_anew_is_measured_anew(run, tmp_path):
    analyze_series(run, out=tmp_path / "run.nc")
    shutil.copy(run / "step-2.pt", run / "step-4.pt")
    again = analyze_series(run, out=tmp_path / "run.nc")
    np.testing.assert_array_equal(again["content"].sel(step=4), again["content"].sel(step=2))
    assert_same(again, analyze_series(run))


def test_what_cannot_be_taken_is_one_sentence_and_the_rest_is_kept(run, tmp_path, whole):
    torch.save({"other.weight": torch.randn(30, 20)}, run / "step-1.pt")
    (run / "step-3.pt").write_bytes((run / "step-4.pt").read_bytes()[:3000])
    torch.save({"epoch": 3}, run / "step-5.pt")
    (run / "step-7.pt").symlink_to(run / "gone.pt")
    os.mkfifo(run / "step-8.pt")
    with pytest.warns(UserWarning, match="is left out") as told:
        recording = analyze_series(run, out=tmp_path / "run.nc")
    sentences = [str(one.message) for one in told]
    assert [sentence.partition(":")[0] for sentence in sentences] == [
        f"step-{at}.pt is left out" for at in (7, 8, 1, 3, 5)
    ], sentences
    assert "no file of it to read" in sentences[0]
    assert "of another model" in sentences[2]
    assert "damaged" in sentences[3]
    assert_same(recording, whole)
    assert sorted(json.loads(load_recording(tmp_path / "run.nc").attrs["left_out"])) == sorted(sentences)


def test_what_is_left_out_is_said_in_the_file_as_long_as_it_is_so(run, tmp_path):
    out, whole = tmp_path / "run.nc", (run / "step-4.pt").read_bytes()

    def left_out():
        return json.loads(load_recording(out).attrs.get("left_out", "[]"))

    analyze_series(run, nulls=False, out=out)
    (run / "step-5.pt").write_bytes(whole[:3000])
    with pytest.warns(UserWarning, match=r"step-5.pt is left out"):
        analyze_series(run, nulls=False, out=out)
    assert [sentence.partition(":")[0] for sentence in left_out()] == ["step-5.pt is left out"]
    (run / "step-5.pt").write_bytes(whole)
    assert "left_out" not in analyze_series(run, nulls=False, out=out).attrs
    assert left_out() == []


def test_what_was_being_written_at_one_look_is_not_left_out_at_the_next(run):
    found, whole = find_series(run), (run / "step-4.pt").read_bytes()
    request = pieces.Request("series", (), series.reading_options("kernel-slices", None, False), nulls="")
    journal = series.GrowingSeries(None, {})
    following = series.SeriesMeasuring(request, series.Compute(), journal, {}, False, None, None)
    (run / "step-4.pt").write_bytes(whole[:3000])
    os.utime(run / "step-4.pt", (1, 1))  # long ago: a writer that stopped
    with pytest.warns(UserWarning, match=r"step-4.pt is left out"):
        following.take(found, waiting=10)
    assert "step-4.pt" in following.recording().attrs["left_out"]
    following.take(found, waiting=10)
    assert "step-4.pt" in following.recording().attrs["left_out"], "it still is, though nothing is tried again"
    (run / "step-4.pt").write_bytes(whole)
    os.utime(run / "step-4.pt", (2, 2))
    following.take(found, waiting=10)
    assert following.recording()["step"].values.tolist() == list(STEPS)
    assert "left_out" not in following.recording().attrs


def test_what_was_read_of_a_checkpoint_that_is_removed_meanwhile_is_kept(run, whole, monkeypatch):
    """A trainer that keeps its newest checkpoints removes the older ones, file by file, while they are read."""
    for step in STEPS:
        (run / f"step-{step}.pt").rename(run / "moved")
        (run / f"step-{step}").mkdir()
        (run / "moved").rename(run / f"step-{step}" / "model.pt")
        (run / f"step-{step}" / "notes.json").touch()
    removed = iter([run / "step-0" / "notes.json", run / "step-2" / "model.pt"])

    def removing(matrix, **options):
        if matrix.name == "0.weight" and (path := next(removed, None)):
            path.unlink()
        return measure(matrix, **options)

    monkeypatch.setattr(pieces, "measure_matrix", removing)
    with pytest.warns(UserWarning, match="step-2 is left out: .* has no file of weights"):
        recording = analyze_series(run)
    assert recording["step"].values.tolist() == [0, 4, 6]
    assert_same(recording.sel(step=[0]), whole.sel(step=[0]))


@pytest.mark.filterwarnings("default")  # as for a user
def test_the_command_tells_of_each_checkpoint_that_is_left_out_once(run, tmp_path, capsys):
    (run / "step-5.pt").write_bytes(b"no")
    main(["series", str(run), "--nulls", "none", "--out", str(tmp_path / "run.nc")])
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("step-5.pt is left out") == 1


def test_matrices_that_come_go_or_change_their_shape_are_events(tmp_path):
    a, b = torch.randn(30, 20), torch.randn(40, 20)
    torch.save({"a.weight": a}, tmp_path / "step-0.pt")
    torch.save({"a.weight": a, "b.weight": b}, tmp_path / "step-1.pt")
    torch.save({"a.weight": a[:25], "b.weight": b}, tmp_path / "step-2.pt")
    torch.save({"a.weight": a[:25]}, tmp_path / "step-3.pt")
    recording = analyze_series(tmp_path, nulls=False, out=tmp_path / "run.nc")
    assert [str(event) for event in events(recording) if event.kind != "phase"] == [
        "b.weight: it is in the model, 40×20, and was not before at step 1",
        "a.weight (from step 2): its shape was 30×20 and is 25×20 at step 2",
        "b.weight: it is not in the model any more at step 3",
    ]
    assert recording["rows"].sel(matrix=["a.weight", "a.weight (from step 2)"]).values.tolist() == [30, 25]
    there = recording["note"] != "not in the model at this step"
    assert there.sel(matrix="b.weight").values.tolist() == [False, True, True, False]
    assert len(events(recording)) == 3, "to come and to go is no change of phase"
    xr.testing.assert_identical(analyze_series(tmp_path, nulls=False, out=tmp_path / "run.nc"), recording)


def test_one_checkpoint_is_a_recording_of_one_step(trained):
    recording = analyze_series(trained[0] / "step-4.pt")
    assert recording["step"].values.tolist() == [4]


def test_between_checkpoints_the_update_is_measured(trained):
    shares = []
    recording = analyze_series(trained[0], between=True, progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares), "two passes over a checkpoint are not more than one checkpoint"
    assert 1 - 1 / len(STEPS) < shares[-1] < 1, "it is told when a matrix is begun"
    assert max(later - earlier for earlier, later in pairwise(shares)) < 1 / len(STEPS) + 1e-9
    update = recording.sel(matrix="0.weight (update)")
    assert str(update["tensor"].item()) == "updates"
    states = [torch.load(trained[0] / f"step-{n}.pt")["0.weight"].double() for n in (2, 4)]
    change = states[1] - states[0]
    assert float(update["frobenius_norm"].sel(step=4)) == pytest.approx(float(change.norm()), rel=1e-12)
    u, _, v = torch.linalg.svd(states[0])
    uc, _, vc = torch.linalg.svd(change)
    left, right = (u[:, :10].T @ uc[:, :10]).square().sum() / 10, (v[:10] @ vc[:10].T).square().sum() / 10
    assert float(update["update_overlap_left"].sel(step=4)) == pytest.approx(float(left), rel=1e-9)
    assert float(update["update_overlap_right"].sel(step=4)) == pytest.approx(float(right), rel=1e-9)
    assert float(update["null_update_overlap_left"].sel(step=4)) == 10 / 40
    turned = spectail.compare(trained[0] / "step-2.pt", trained[0] / "step-4.pt").recording.sel(matrix="0.weight")
    assert float(update["leading_overlap_left"].sel(step=4)) == float(turned["leading_overlap_left"][0])
    frozen = recording.sel(matrix="3.weight (update)", step=4)
    assert float(frozen["frobenius_norm"]) == 0
    assert "unchanged" in str(frozen["note"].item())
    assert_same(recording.isel(matrix=slice(3)), analyze_series(trained[0]))


def test_updates_are_measured_anew_where_a_checkpoint_comes_between(run, tmp_path):
    middle = (run / "step-2.pt").rename(tmp_path / "later")
    analyze_series(run, between=True, nulls=False, out=tmp_path / "run.nc")
    middle.rename(run / "step-2.pt")
    again = analyze_series(run, between=True, nulls=False, out=tmp_path / "run.nc")
    assert_same(again, analyze_series(run, between=True, nulls=False))


def test_following_takes_what_comes_when_it_is_whole_and_ends_by_ctrl_c(run, tmp_path, whole, monkeypatch):
    late = (run / "step-6.pt").rename(tmp_path / "later")
    content = late.read_bytes()
    out, finished, finish_step = tmp_path / "run.nc", [], series.GrowingSeries.finish

    def counted(self, measurement):
        finish_step(self, measurement)
        finished.append(measurement.step)

    monkeypatch.setattr(series.GrowingSeries, "finish", counted)

    def train():
        wait_until(lambda: out.exists())
        part = run / "step-6.pt"
        for end in (1000, 3000, 6000):
            part.write_bytes(content[:end])
            time.sleep(0.02)
        part.write_bytes(content)
        os.utime(part, ns=(late.stat().st_atime_ns, late.stat().st_mtime_ns))
        wait_until(lambda: finished == list(STEPS))
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=train)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell begins what it puts into the background
    thread.start()
    try:
        recording = analyze_series(run, follow=True, out=out)
    finally:
        thread.join()
        assert signal.signal(signal.SIGINT, before) == signal.SIG_IGN
    assert_same(recording, whole)
    assert_same(load_recording(out), whole)
    assert not list(tmp_path.glob("*.journal"))


def test_following_goes_on_where_all_that_is_measured_goes_and_comes_back(run, whole, tmp_path, monkeypatch):
    looks = iter(
        [lambda: run.rename(tmp_path / "gone"), lambda: shutil.copytree(tmp_path / "gone", run), *3 * [lambda: 0]]
    )

    def look(_):
        if (happens := next(looks, None)) is None:
            raise KeyboardInterrupt
        happens()
        for path in run.glob("*.pt"):
            path.touch()  # as if it were being written

    monkeypatch.setattr(series.time, "sleep", look)
    monkeypatch.setattr(series, "POLL_SECONDS", 60.0)  # all of it was written just now
    for path in run.glob("*.pt"):
        os.utime(path, (0, 0))
    with pytest.warns(UserWarning, match="run does not exist"):
        assert_same(analyze_series(run, follow=True), whole)


def test_what_is_followed_ends_by_sigterm_too():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_at_out_is_never_mixed_with_another_series(run, tmp_path):
    analyze(run / "step-0.pt", nulls=False, out=tmp_path)
    out = (tmp_path / "spectra.nc").rename(tmp_path / "run.nc")
    with pytest.raises(StoreError, match="holds a recording of the kind analysis, not a series; expected another path"):
        analyze_series(run, out=out)
    analyze_series(run, out=out, existing="replace", nulls=False)
    with pytest.raises(StoreError, match="holds another series: nulls was False and is 'gaussian'"):
        analyze_series(run, out=out)
    other = shutil.copytree(run, tmp_path / "other")
    with pytest.raises(StoreError, match="holds another series: series was"):
        analyze_series(other, out=out, nulls=False)
    with pytest.raises(FileExistsError, match="exists; expected existing='resume' or 'replace'"):
        analyze_series(run, out=out, nulls=False, existing="refuse")


@pytest.mark.parametrize("call", [analyze_series, analyze])
def test_what_another_is_writing_is_not_removed_to_be_replaced(call, run, tmp_path):
    out = tmp_path / "spectra.nc"
    with SpectralMonitor(nn.Linear(20, 20), path=out, nulls=False, when=every(1), summary=False) as monitor:
        monitor.step()
        before = [path.read_bytes() for path in (out, journal_path(out))]
        source, place = (run, out) if call is analyze_series else (run / "step-0.pt", tmp_path)
        with pytest.raises(StoreError, match="is being written to in this program already"):
            call(source, out=place, nulls=False, existing="replace")
        assert [path.read_bytes() for path in (out, journal_path(out))] == before


def test_a_series_that_was_killed_before_its_first_row_begins_anew(run, tmp_path):
    out = tmp_path / "run.nc"
    journal_path(out).touch()
    assert_same(analyze_series(run, out=out, nulls=False), analyze_series(run, nulls=False))


def test_nothing_to_measure_is_a_sentence(run, tmp_path):
    with pytest.raises(SourceError, match="no does not exist"):
        analyze_series(tmp_path / "no")
    with pytest.raises(SettingError, match=r"layers='decoder\.\*' fits no matrix"):
        analyze_series(run, layers="decoder.*")
    (tmp_path / "step-1.nc").write_bytes(b"no")
    with pytest.warns(UserWarning, match="it is no file that weights are read from"), pytest.raises(SourceError):
        analyze_series(tmp_path / "step-1.nc")
    for path in run.iterdir():
        path.write_bytes(b"no")
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(SourceError, match="none of the 4 checkpoints of run can be read"),
    ):
        analyze_series(run, out=tmp_path / "run.nc")


def test_the_command_prints_the_answer_and_a_table_of_the_updates(run, tmp_path, capsys):
    out = tmp_path / "run.nc"
    main(["series", str(run), "--out", str(out), "--layers", "0.*", "--between", "--nulls", "none"])
    printed = capsys.readouterr().out
    assert printed.startswith("run: 1 matrix measured")
    weights, _, updates = printed.partition("update from step 4 to 6")
    assert "0.weight" in weights
    assert "0.weight" in updates
    assert "‖ΔW‖_F" in updates
    assert "(update)" not in printed
    assert load_recording(out)["matrix"].values.tolist() == ["0.weight", "0.weight (update)"]
