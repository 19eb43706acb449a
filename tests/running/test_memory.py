"""No more at once than fits, but always something."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectail.running import memory
from spectail.running.memory import MemoryLimit, available_memory
from spectail.running.queue import Queue


@dataclass(frozen=True)
class Large:
    value: int
    memory: int
    chunk: int

    @property
    def key(self):
        return str(self.value)


@given(st.lists(st.lists(st.integers(1, 100), min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 150))
def test_what_runs_at_once_fits_or_is_alone_and_everything_is_done(sizes, limit):
    numbers = iter(range(100))
    chunks = [[Large(next(numbers), max(chunk), at) for _ in chunk] for at, chunk in enumerate(sizes)]
    claims = MemoryLimit(limit)
    queue = Queue(chunks, lambda piece: False, claims.claim, claims.release)
    running, done = [], []
    while not queue.empty or running:
        chunk, _ = queue.next()
        if chunk:
            running.append(chunk)
        at_once = [chunk[0].memory for chunk in running]
        assert sum(at_once) <= limit or len(running) == 1
        if not chunk or len(running) == 3:
            finished = running.pop(0)  # something runs whenever nothing more may begin
            queue.release(finished)
            done += finished
    assert sorted(piece.value for piece in done) == list(range(sum(map(len, sizes))))


def test_smaller_pieces_go_on_beside_a_large_one_that_must_wait():
    claims = MemoryLimit(100)
    queue = Queue(
        [[Large(0, 80, 0)], [Large(1, 80, 1)], [Large(2, 10, 2)]], lambda piece: False, claims.claim, claims.release
    )
    assert [queue.next()[0][0].value for _ in range(2)] == [0, 2]
    assert queue.next() == ([], [])
    queue.release([Large(0, 80, 0)])
    assert queue.next()[0][0].value == 1


def test_a_container_leaves_what_its_limit_says(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    names = ("memory.max", "memory.current", "memory.stat")
    assert memory._of_group(tmp_path, *names) == 450  # pages of files are given back
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_group(tmp_path, *names) is None
    assert memory._of_group(tmp_path / "none", *names) is None


def test_there_is_some_memory_here_and_the_smaller_number_counts(monkeypatch):
    assert available_memory() > 2**20
    monkeypatch.setattr(memory, "_of_machine", lambda: 10)
    monkeypatch.setattr(memory, "_of_group", lambda *_: None)
    assert available_memory() == 10
    monkeypatch.setattr(memory, "_of_machine", lambda: None)
    assert available_memory() is None


@pytest.mark.parametrize("limit", [0, -5])
def test_one_piece_is_let_through_whatever_the_limit(limit):
    claims = MemoryLimit(limit)
    assert claims.claim(Large(0, 100, 0))
    assert not claims.claim(Large(1, 100, 1))
    claims.release(Large(0, 100, 0))
    assert claims.claim(Large(1, 100, 1))
