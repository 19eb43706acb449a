"""An analysis keeps its rows as they come, goes on where it was cut off, and notices that it is another."""

import os
import signal
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from forked import execute, finish, start
from spectail import SettingError, StoreError, analyze, compare, load_recording
from spectail.analysis import null_cache as cache
from spectail.analysis import pieces
from spectail.cli import main
from spectail.recording.journal_reading import read_journal

NAMES = [f"layers.{i}.weight" for i in range(6)]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))  # of processes too
        cache._nulls_of_shape.cache_clear()
        yield
    cache._nulls_of_shape.cache_clear()


@pytest.fixture
def source(tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(40 + 5 * i, 50, generator=generator) for i, name in enumerate(NAMES)}
    state["layers.2.weight"][0, 0] = float("nan")  # a row with a note
    state["layers.3.weight"] *= 1e-25  # a spectrum that is kept in float64
    state["layers.4.in_proj_weight"] = torch.randn(120, 40, generator=generator)
    save_file(state | {"b": torch.ones(4)}, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def files(folder):
    return {name: (folder / name).read_bytes() for name in ("spectra.nc", "analysis.csv", "skipped.csv")}


KILLED = """
import os, signal, sys
from spectail.recording import growing_analysis, journal_file
from spectail.cli import main

where, at = sys.argv[1], int(sys.argv[2])
count, add, write = 0, growing_analysis.GrowingAnalysis.add, os.write

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def counting(self, *arguments):
    global count
    count += 1
    if where == "before a row" and count == at:
        die()
    if where == "inside a row" and count == at:
        os.write = lambda handle, data: (write(handle, data[: len(data) // 2]), die())
    add(self, *arguments)
    if where == "after a row" and count == at:
        die()

growing_analysis.GrowingAnalysis.add = counting
if where == "before the file has its name":
    journal_file.write_whole.__globals__["Path"].replace = lambda *_: die()
if where == "after the file has its name":
    fold, cut = journal_file.JournalFile.fold, journal_file.JournalFile._cut
    journal_file.JournalFile._cut = lambda *arguments: die() if hasattr(sys, "folding") else cut(*arguments)
    journal_file.JournalFile.fold = lambda *arguments: (setattr(sys, "folding", True), fold(*arguments))
main(sys.argv[3:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills")
def test_an_analysis_that_is_killed_anywhere_goes_on_to_the_same_bits(tmp_path, source):
    main(["analyze", str(source), "--out", str(tmp_path / "whole")])
    out, rows = tmp_path / "killed", []
    moments = [
        ("after a row", 1),
        ("before a row", 2),
        ("inside a row", 2),
        ("before the file has its name", 0),
        ("after the file has its name", 0),
    ]
    for where, at in moments:
        code, output = finish(start(tmp_path, execute, KILLED, where, at, "analyze", source, "--out", out))
        assert code == -signal.SIGKILL, output
        assert (out / "spectra.nc").exists() == (where == "after the file has its name")  # whole or not at all
        rows.append(load_recording(out / "spectra.nc").sizes["matrix"])  # those so far can be looked at
    assert rows == [1, 2, 3, 9, 9]
    main(["analyze", str(source), "--out", str(out)])
    assert files(out) == files(tmp_path / "whole")
    assert not list(out.glob("*.journal"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills")
def test_an_analysis_with_workers_goes_on_when_it_is_killed_and_leaves_no_process(tmp_path):
    generator = torch.Generator().manual_seed(0)
    save_file({f"w{i}": torch.randn(500, 400, generator=generator) for i in range(8)}, tmp_path / "m.safetensors")
    out, journal = tmp_path / "out", tmp_path / "out" / "spectra.nc.journal"
    command = ["analyze", str(tmp_path / "m.safetensors"), "--out"]
    killed = start(tmp_path, main, [*command, str(out), "--workers", "2"])
    while killed.is_alive() and not (journal.exists() and read_journal(out / "spectra.nc").open_step.rows):
        time.sleep(0.01)
    killed.kill()
    killed.join()
    before = len(read_journal(out / "spectra.nc").open_step.rows)
    assert before >= 1
    for _ in range(1000):  # workers see that their parent is gone
        if not group_is_alive(killed.pid):
            break
        time.sleep(0.01)
    assert not group_is_alive(killed.pid)
    for options in [str(out), "--workers", "2"], [str(tmp_path / "whole")]:
        code, output = finish(start(tmp_path, main, [*command, *options]))
        assert code == 0, output
    assert files(out) == files(tmp_path / "whole")


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_finished_analysis_is_read_and_no_weight_is(tmp_path, source, monkeypatch):
    first = analyze(source, out=tmp_path / "out")
    monkeypatch.setattr(pieces, "open_weights", None)
    again = analyze(source, out=tmp_path / "out")
    pd.testing.assert_frame_equal(again.frame, first.frame)
    assert again.skipped == first.skipped
    assert again.title == first.title


def test_a_changed_source_or_option_is_one_sentence_that_says_what_and_how_to_start_anew(tmp_path, source):
    out = tmp_path / "out"
    analyze(source, out=out)
    for options, sentence in [
        ({"conv": "flatten"}, "conv was 'kernel-slices' and is 'flatten'"),
        ({"layers": "layers.1.*"}, "layers was None and is \\['layers.1.*'\\]"),
        ({"tail": True}, "tail was False and is True"),
    ]:
        with pytest.raises(StoreError, match=f"holds another analysis: {sentence}; .*existing='replace'"):
            analyze(source, out=out, **options)
    with pytest.raises(FileExistsError, match="existing='resume' or 'replace'"):
        analyze(source, out=out, existing="refuse")
    with pytest.raises(SettingError, match="existing='anew'"):
        analyze(source, out=out, existing="anew")
    with pytest.raises(StoreError, match="it was of another source"):
        compare(source, source, out=out)
    os.utime(source, ns=(0, 10**18))
    with pytest.raises(
        StoreError, match=r"m\.safetensors has changed: it was \d+ bytes of .* and is \d+ bytes of 2001"
    ):
        analyze(source, out=out)
    assert len(analyze(source, out=out, existing="replace").frame) == 9
    assert len(analyze(source, out=out).frame) == 9


def test_rows_so_far_are_not_gone_on_with_for_another_source(tmp_path, source):
    interrupted(tmp_path / "out", source, 2)
    save_file({"other": torch.ones(20, 20)}, source)
    with pytest.raises(StoreError, match=r"m\.safetensors has changed"):
        analyze(source, out=tmp_path / "out")


def test_weights_in_memory_are_told_by_their_values(tmp_path):
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 15))
    interrupted(tmp_path / "out", model, 1)
    assert len(analyze(model, out=tmp_path / "out").frame) == 2
    with torch.no_grad():
        model[1].weight[0, 0] += 1
    with pytest.raises(StoreError, match="the weights in memory are others"):
        analyze(model, out=tmp_path / "out")


def test_what_an_earlier_version_wrote_is_not_overwritten_in_silence(tmp_path, source):
    (tmp_path / "out").mkdir()
    analyze(source).recording.to_netcdf(tmp_path / "out" / "spectra.nc")
    with pytest.raises(StoreError, match="an earlier spectail wrote it"):
        analyze(source, out=tmp_path / "out")


def interrupted(out, source, at):
    """An analysis to which Ctrl-C happens while a matrix is measured, the second at 1."""

    def progress(share, name):
        progress.calls += 1
        if progress.calls == at:
            os.kill(os.getpid(), signal.SIGINT)

    progress.calls = 0
    with pytest.raises(KeyboardInterrupt) as stopped:
        analyze(source, out=out, progress=progress)
    return str(stopped.value)


def test_ctrl_c_keeps_the_rows_so_far_and_says_how_to_go_on(tmp_path, source, capsys, monkeypatch):
    sentence = interrupted(tmp_path / "out", source, 4)
    assert sentence == f"4 of 9 rows are kept in {tmp_path / 'out'}, and the same command goes on from there"
    shares = []
    analysis = analyze(source, out=tmp_path / "out", progress=lambda share, name: shares.append((share, name)))
    assert len(shares) == 5  # the others were there
    assert 0.2 < shares[0][0] < 0.6  # of the work, not of what is left
    assert len(analysis.frame) == 9
    monkeypatch.setattr("spectail.analysis.model.measure_pieces", lambda *_: False)
    with pytest.raises(SystemExit) as stopped:
        main(["analyze", str(source), "--out", str(tmp_path / "other")])
    assert stopped.value.code == 130
    assert "interrupted; 0 of 9 rows are kept in" in capsys.readouterr().err


def test_what_could_not_be_measured_is_tried_again(tmp_path, source, monkeypatch, capsys):
    measure = pieces.measure_matrix

    def without_memory(matrix, **options):
        if matrix.name == NAMES[1]:
            raise MemoryError
        return measure(matrix, **options)

    monkeypatch.setattr(pieces, "measure_matrix", without_memory)
    main(["analyze", str(source), "--out", str(tmp_path / "out")])
    assert "warning: 1 of 9 matrices were not measured: no memory" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.cache_folder().parent.parent))
    measured = []
    main(["analyze", str(source), "--out", str(tmp_path / "whole")])
    analyze(source, out=tmp_path / "out", progress=lambda share, name: measured.append(name))
    assert measured == [NAMES[1]]
    main(["analyze", str(source), "--out", str(tmp_path / "out")])
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_source_that_vanishes_half_way_leaves_the_rows_so_far(tmp_path, source, capsys):
    def vanish(share, name):
        if name == NAMES[3]:
            source.rename(tmp_path / "elsewhere")

    frame = analyze(source, out=tmp_path / "out", progress=vanish).frame
    lost = frame["note"].str.contains("not measured: .*m.safetensors cannot be read")
    assert lost.tolist() == [False] * 3 + [True] * 6
    (tmp_path / "elsewhere").rename(source)
    assert not analyze(source, out=tmp_path / "out").frame["note"].str.contains("not measured").any()
