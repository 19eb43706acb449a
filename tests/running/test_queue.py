"""What is handed out, in which order, and who has it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from running.numbers_to_square import Number
from spectail.running.queue import Queue, chunks


def of(values, slots, *, cost=lambda n: 1.0, group=lambda n: n.value % 5, order=lambda n: n.value):
    """Chunks of numbers, which are grouped by their remainder."""
    return [
        [n.value for n in chunk] for chunk in chunks(map(Number, values), slots, cost=cost, group=group, order=order)
    ]


@given(st.lists(st.integers(0, 300), unique=True), st.integers(1, 9), st.integers(0, 3))
def test_every_piece_is_in_one_chunk_with_pieces_of_its_group_in_their_order(values, slots, power):
    cut = of(values, slots, cost=lambda n: float(n.value) ** power)
    assert Counter(value for chunk in cut for value in chunk) == Counter(values)
    for chunk in cut:
        assert chunk == sorted(chunk)
        assert len({value % 5 for value in chunk}) == 1
        assert len(chunk) <= (16 if slots == 1 else 32)  # others may want some of them


@pytest.mark.parametrize("slots", [2, 3, 7, 16])
def test_only_the_last_groups_are_cut_so_that_few_are_prepared_twice_and_no_worker_waits_for_long(slots):
    """Each chunk goes to the worker that is free first: when all are done, none has waited for a sixth of the time."""
    assert [len(chunk) for chunk in of(range(60), 2)] == [12, 12, 12, 12, 3, 3, 3, 3]
    busy = [0] * slots
    for chunk in of(range(60), slots):
        busy[busy.index(min(busy))] += len(chunk)
    assert max(busy) - min(busy) <= max(busy) / 6 + 1


def test_costs_decide_what_is_cut_and_what_comes_first():
    heavy = of(range(20), 2, cost=lambda n: 100.0 if n.value == 3 else 1.0)
    assert heavy[0] == [3]  # nothing else while a worker is at it
    assert [len(chunk) for chunk in heavy] == [1, 4, 4, 4, 3, 1, 1, 1, 1]  # the rest of its group, and the last one cut


def test_one_process_does_groups_whole_in_the_order_of_their_work():
    assert of(range(12), 1, group=lambda n: n.value < 4) == [[4, 5, 6, 7, 8, 9, 10, 11], [0, 1, 2, 3]]


def test_a_piece_that_somebody_else_has_waits_until_it_is_done_or_given_up():
    elsewhere, done, released = {2, 3}, {1}, []
    queue = Queue(
        [[Number(1), Number(2), Number(3), Number(4)]],
        is_done=lambda n: n.value in done,
        claim=lambda n: n.value not in elsewhere,
        release=lambda n: released.append(n.value),
    )
    assert queue.next() == ([Number(4)], [Number(1)])
    assert released == [1]
    assert queue.next() == ([], [])
    assert not queue.empty
    elsewhere.clear()  # 2 was done there, 3 was given up
    done.add(2)
    assert queue.next() == ([Number(3)], [Number(2)])
    assert queue.empty
    queue.release([Number(3)])
    assert released == [1, 2, 3]


def test_what_is_put_back_is_handed_out_again():
    queue = Queue([[Number(1)], [Number(2)]], is_done=lambda n: False)
    chunk, _ = queue.next()
    queue.requeue(chunk)
    assert [queue.next()[0] for _ in range(2)] == [[Number(2)], [Number(1)]]
    assert queue.empty
