"""How far a work of known costs is, in words."""

import re
import threading
from pathlib import Path

from spectail import progress
from spectail.progress import WorkProgress, over_files


def test_the_rest_is_estimated_by_work_and_not_by_count(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with WorkProgress(64, 2, 0.25) as shown:
        assert shown.line() == "2 of 64 matrices, 25 % of the work"  # nothing is known of the pace
        now[0] = 600.0
        shown.finish(0.25)
        assert shown.line() == "3 of 64 matrices, 50 % of the work, about 20 minutes left"


def test_without_a_terminal_there_is_a_line_from_time_to_time_and_none_if_it_ends_sooner(monkeypatch, capsys):
    with WorkProgress(2):
        pass
    assert capsys.readouterr().err == ""
    lines, written = [], threading.Event()
    monkeypatch.setattr("builtins.print", lambda line, **_: lines.append(line) or written.set())
    with WorkProgress(2, seconds=0.001) as shown:
        shown.finish(0.5)
        assert written.wait(10)
    assert re.fullmatch(r"[01] of 2 matrices, (0|50) % of the work(, about a minute left)?", lines[0])


def test_a_folder_of_many_files_says_at_which_it_is(monkeypatch):
    written = threading.Event()
    monkeypatch.setattr("builtins.print", lambda line, **_: line == "file 1 of 2, 0 %" and written.set())
    files = over_files([Path("a.nc"), Path("b.nc")], seconds=0.001)
    assert next(files) == Path("a.nc")
    assert written.wait(10)
    assert list(files) == [Path("b.nc")]


def test_who_is_told_hears_the_share_before_each_matrix_and_sees_no_line(capsys):
    heard = []
    with WorkProgress(2, tell=lambda *told: heard.append(told), seconds=0.0) as shown:
        shown.begin("a")
        shown.finish(0.75)
        shown.begin("b")
        shown.say("stopping")
    assert heard == [(0.0, "a"), (0.75, "b")]
    assert capsys.readouterr().err == ""
