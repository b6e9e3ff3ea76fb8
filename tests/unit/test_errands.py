from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from errands import Errand, shared

PATIENCE_S = 10


def test_a_free_thread_does_the_work() -> None:
    with ThreadPoolExecutor(1) as pool:
        begun = threading.Event()

        def work() -> int:
            begun.set()
            return threading.get_ident()

        errand = Errand(pool, work)
        assert begun.wait(PATIENCE_S)
        assert errand.result() != threading.get_ident()


def test_who_cannot_wait_does_it_himself_and_it_is_done_once() -> None:
    done = []
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(go_on.wait, PATIENCE_S)
        errand = Errand(pool, lambda: done.append(threading.get_ident()))
        errand.result()
        assert not busy.done()
        go_on.set()
    assert done == [threading.get_ident()]


def test_what_nobody_wants_is_never_begun() -> None:
    done = []
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait, PATIENCE_S)
        Errand(pool, lambda: done.append(1)).drop()
        go_on.set()
    assert done == []


@pytest.mark.parametrize("busy", [True, False])
def test_a_failure_is_raised_to_who_asks(*, busy: bool) -> None:
    go_on = threading.Event()

    def fail() -> None:
        raise LookupError("no such thing")

    with ThreadPoolExecutor(1) as pool:
        if busy:
            pool.submit(go_on.wait, PATIENCE_S)
        errand = Errand(pool, fail)
        with pytest.raises(LookupError, match="no such thing"):
            errand.result()
        go_on.set()


def test_shared_work_comes_back_in_order_and_each_item_is_done_once() -> None:
    done = []

    def work(item: int) -> int:
        done.append(item)
        return item * item

    with ThreadPoolExecutor(3) as pool:
        assert shared(pool, work, range(200)) == [item * item for item in range(200)]
        assert shared(pool, work, []) == []
    assert sorted(done) == list(range(200))


def test_free_threads_take_their_part_of_shared_work() -> None:
    meeting = threading.Barrier(3)  # passed only by three at a time
    with ThreadPoolExecutor(2) as pool:
        threads = shared(pool, lambda _: (meeting.wait(PATIENCE_S), threading.get_ident())[1], range(3))
    assert len(set(threads)) == 3
    assert threads[0] == threading.get_ident(), "the caller begins with the first"


def test_shared_work_is_done_by_the_caller_where_no_thread_is_free() -> None:
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait, PATIENCE_S)
        assert shared(pool, lambda _: threading.get_ident(), range(5)) == [threading.get_ident()] * 5
        go_on.set()


def test_after_a_failure_no_further_item_is_begun() -> None:
    begun = []
    go_on = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        raise LookupError(f"no {item}")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait, PATIENCE_S)
        with pytest.raises(LookupError, match="no 0"):
            shared(pool, work, range(5))
        go_on.set()
    assert begun == [0]
