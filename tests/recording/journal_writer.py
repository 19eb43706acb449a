"""A process that writes to a journal as fast as it can, to be killed; or that kills such processes.

Its file holds one line a step. Every step is known beforehand, so what is read back can be compared.
"""

import itertools
import json
import mmap
import os
import random
import signal
import sys
import zlib
from pathlib import Path

import numpy as np

from spectail.recording import journal_file
from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_reading import JournaledStep, journal_path, read_journal, read_with_journal

SAMPLE = {"sources": [["a.safetensors", 12, 34]], "options": {"conv": "kernel-slices", "key": None}}


def rows(step):
    """The rows of a step, with spectra of several lengths and both precisions, one without."""
    rng = np.random.default_rng(step)
    for layer, length in enumerate((700, 30 + step % 7, None)):
        spectrum = None if length is None else rng.random(length).astype(np.float64 if layer else np.float32)
        yield {"layer": layer, "alpha": rng.random(), "gap": float("inf"), "z": float("nan"), "note": "é"}, spectrum


def closing(step):
    return {"step": step, "lr": [0.1 / (step + 1)], "events": []}


def line(step):
    """A step as the file has it."""
    sums = [None if s is None else [str(s.dtype), zlib.crc32(s.tobytes())] for s in step.spectra]
    return json.dumps([step.rows, sums, step.closing])


def line_of(step):
    return line(JournaledStep(*zip(*rows(step), strict=True), closing(step)))


def lines(n_steps):
    """What an undisturbed writer's file holds."""
    return [line_of(step) for step in range(n_steps)]


def read(path):
    """The file's lines and the journal's, as a reader gets them."""
    in_file, content = read_with_journal(path, lambda file: file.read_text().splitlines())
    return (in_file or []) + [line(step) for step in content.steps]


def write(path, until, done=None):
    """Go on with what is there, up to a step, fold and close; tell in `done` how many steps are closed."""
    journal = JournalFile(path, SAMPLE)
    so_far = (path.read_text().splitlines() if path.exists() else []) + [line(s) for s in journal.content.steps]
    for step in range(len(so_far), until):
        for row, spectrum in rows(step):
            journal.append(row, spectrum)
        journal.close_step(closing(step))
        so_far.append(line_of(step))
        if done is not None:
            done[:4] = (step + 1).to_bytes(4, "little")
        if journal.is_due_to_fold():
            journal.fold(lambda part: part.write_text("\n".join(so_far) + "\n"))
    journal.fold(lambda part: part.write_text("\n".join(so_far) + "\n"))
    journal.close()


def fork(task):
    """Start a process that does a task and nothing else; 0 is how it exits when that is done."""
    child = os.fork()
    if not child:
        try:
            task()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    return child


def check(path, done):
    """What was closed is there, once and as it was, and going on gives what an undisturbed writer's file holds."""
    whole = read(path)
    assert len(whole) >= done, (len(whole), done)
    assert whole == lines(len(whole))
    write(path, len(whole) + 2)
    assert path.read_text().splitlines() == lines(len(whole) + 2)
    assert not journal_path(path).exists()


def kills(folder):
    """Kill a writer 25 times at random moments; prints how often that was inside a step."""
    draw, inside = random.Random(0), 0
    for kill in range(25):
        path, done = folder / f"{kill}.nc", mmap.mmap(-1, 4)
        child = fork(lambda path=path, done=done: write(path, 10**6, done))
        steps = draw.randrange(1, 120)
        while int.from_bytes(done[:4], "little") < steps:
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        for _ in range(draw.randrange(3000)):
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        inside += bool(read_journal(path).open_step.rows)
        check(path, int.from_bytes(done[:4], "little"))
        for part in folder.glob(".*.part"):
            part.unlink()
    print(inside)


def kill_at_each_call(folder):
    """Kill a writer before each call that changes a file, and in the midst of each write; prints the calls."""
    journal_file.FOLD_SHARE = float(
        "inf"
    )  # folds whenever the journal is as large as the file, the same calls each time
    base, names = folder / "base.nc", []
    write(base, 2)
    for at in itertools.count():
        for half in (False, True):
            path, done = folder / f"{at}-{half}.nc", mmap.mmap(-1, 4)
            path.write_bytes(base.read_bytes())
            report, told = os.pipe()
            child = fork(lambda: write_and_die(path, done, at, half, told))  # noqa: B023
            os.close(told)
            with os.fdopen(report) as file:
                name = file.read()
            status = os.waitpid(child, 0)[1]
            check(path, max(2, int.from_bytes(done[:4], "little")))
            if not name:
                assert status == 0
                print(" ".join(names))
                return
            assert status == signal.SIGKILL
            if name != "write":
                break
        names.append(name)


def write_and_die(path, done, at, half, told):
    """Go on to step 5, and die before call number `at`, or when half of what it writes is written."""
    count, os_write = itertools.count(), os.write

    def dying(name, call):
        def replaced(*arguments):
            if next(count) == at:
                os_write(told, name.encode())
                if half:
                    os_write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return replaced

    for name in ("write", "fsync", "replace", "ftruncate", "unlink"):
        setattr(os, name, dying(name, getattr(os, name)))
    write(path, 5, done)


if __name__ == "__main__":
    journal_file.FOLD_SHARE = 0.3  # of the time: so that many kills are in the midst of it
    os.fsync = lambda handle: None  # it is the machine that must not lose its power; a killed process loses nothing
    {"kills": kills, "calls": kill_at_each_call, "write": lambda path: write(path, 2000)}[sys.argv[1]](
        Path(sys.argv[2])
    )
