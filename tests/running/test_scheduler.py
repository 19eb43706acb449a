"""Work that is done to its end, whatever happens to workers, and stopped when it is to stop."""

import os
import signal

import pytest

from running.numbers_to_square import Number, StartSquaring
from spectail.running.queue import Failure, Queue
from spectail.running.ray import Resources
from spectail.running.scheduler import Compute, Scheduler, WorkSummary

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
ANYWHERE = pytest.mark.parametrize("workers", [None, 2])


class Squaring:
    """Numbers squared in this process or by workers, and what is heard of them."""

    def __init__(self, folder, chunks, *happens, workers=None, **claims):
        self.start = StartSquaring(folder, happens)
        self.queue = Queue([[Number(v) for v in chunk] for chunk in chunks], self.start.is_done, **claims)
        self.executor = Compute(workers=workers).executor(self.start)
        self.kept, self.results, self.told_stopping = [], {}, 0

    def run(self):
        with self.executor:
            return Scheduler(self.executor, self.queue, self.hear, self.hear_of_stopping).run()

    def hear(self, number, result):
        self.kept.append(number.value)
        self.results[number.value] = result

    def hear_of_stopping(self):
        self.told_stopping += 1


@ANYWHERE
def test_every_piece_is_kept_once_with_its_result(tmp_path, workers):
    work = Squaring(tmp_path, [[0, 1, 2], [3], [4, 5]], workers=workers)
    assert work.run() == WorkSummary(6, [], False)
    assert sorted(work.kept) == [0, 1, 2, 3, 4, 5]
    assert all(result in (value**2, None) for value, result in work.results.items())  # None: found to be done before
    assert set(work.start.begun().values()) == {1}


def test_results_come_back_from_workers_that_keep_nothing(tmp_path):
    work = Squaring(tmp_path, [[1, 2], [3]], workers=2)
    work.queue.is_done = lambda number: number.value in work.results
    work.run()
    assert work.results == {1: 1, 2: 4, 3: 9}


@ANYWHERE
def test_a_piece_that_fails_is_named_and_the_others_are_done(tmp_path, workers):
    work = Squaring(tmp_path, [[1, 2, 3]], (1, "fails"), (3, "fails"), workers=workers)
    assert work.run() == WorkSummary(1, [Failure("1", "it is odd"), Failure("3", "it is odd")], False)
    assert work.kept == [2]


@ANYWHERE
def test_an_error_of_the_work_ends_it(tmp_path, workers):
    work = Squaring(tmp_path, [[1, 2, 3]], (2, "raises"), workers=workers)
    with pytest.raises(OSError, match="no space left"):
        work.run()
    assert work.kept == [1]


@posix
def test_a_worker_that_dies_is_replaced_and_what_it_had_done_is_not_done_again(tmp_path):
    work = Squaring(tmp_path, [[1, 2, 3], [4]], (2, "dies once"), workers=1)
    assert work.run() == WorkSummary(4, [], False)
    assert work.start.begun() == {1: 1, 2: 2, 3: 1, 4: 1}


@posix
def test_a_piece_whose_worker_dies_each_time_is_given_up(tmp_path):
    work = Squaring(tmp_path, [[1], [2]], (1, "dies"), workers=1)
    outcome = work.run()
    assert outcome.failures == [Failure("1", "its worker died 4 times, perhaps for want of memory")]
    assert work.kept == [2]
    assert work.start.begun() == {1: 4, 2: 1}


@posix
def test_ctrl_c_once_finishes_the_piece_that_is_under_way(tmp_path):
    released = []
    work = Squaring(tmp_path, [[1, 2, 3], [4]], (2, "interrupts"), release=lambda n: released.append(n.value))
    assert work.run() == WorkSummary(2, [], True)
    assert work.kept == [1, 2]
    assert work.told_stopping == 1
    assert released == [1, 2, 3]  # somebody else may go on with the third


@posix
def test_ctrl_c_stops_workers_too(tmp_path):
    work = Squaring(tmp_path, [[1, 2, 3]], (2, "waits"), workers=2)
    hear = work.hear

    def interrupt(number, result):
        hear(number, result)
        if number.value == 1:  # told while the worker waits at the second
            os.kill(os.getpid(), signal.SIGINT)

    work.hear = interrupt
    assert work.run() == WorkSummary(2, [], True)
    assert work.start.begun() == {1: 1, 2: 1}


@posix
def test_ctrl_c_twice_stops_at_once(tmp_path):
    work = Squaring(tmp_path, [[1, 2, 3]], (2, "interrupts"))
    work.hear_of_stopping = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work.run()
    assert work.kept == [1]


def test_pieces_that_somebody_else_does_are_waited_for_and_not_done_here(tmp_path):
    asked = []

    def claim(number):
        asked.append(number.value)
        if number.value == 2 and asked.count(2) == 2:
            (tmp_path / "2").touch()  # done elsewhere meanwhile
        return number.value != 2 or asked.count(2) > 2

    work = Squaring(tmp_path, [[1, 2, 3]], claim=claim)
    assert work.run() == WorkSummary(3, [], False)
    assert work.start.begun() == {1: 1, 3: 1}


def test_workers_compute_on_the_gpus_that_the_cluster_gives_them():
    assert Compute().worker_device == "cpu"
    assert Compute(ray="", resources=Resources(gpus=0.5)).worker_device == "cuda"
    assert Compute("cuda:1", ray="", resources=Resources(gpus=0.5)).worker_device == "cuda:1"
    assert Compute(ray="").worker_device == "cpu"
