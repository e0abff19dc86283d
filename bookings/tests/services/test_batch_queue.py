"""The queue alone: the function that carries out batches is a fake, and there is no database."""

import threading
import time

import pytest

from bookings.services import batch_queue
from bookings.services.batch_queue import Batch, BatchQueue, Contended
from bookings.tests.queues import THREADS, TIMEOUT_SECONDS, Named, Shop, names, results_of
from ticks.db.transactions import Busy, OutcomeUnknown
from ticks.tests.served import wait_until


@pytest.fixture
def shop_with():
    """Gives a function that makes shops. In the end none may have jobs left."""
    shops = []

    def make(**bounds):
        shops.append(Shop(**bounds))
        return shops[-1]

    yield make
    for shop in shops:
        shop.open()
    for shop in shops:
        wait_until(shop.is_empty)
        shop.queue.stop()


@pytest.fixture
def shop(shop_with):
    return shop_with()


@pytest.fixture
def never_slow(monkeypatch):
    monkeypatch.setattr(batch_queue, "SLOW_SECONDS", TIMEOUT_SECONDS)


@pytest.fixture
def soon_slow(monkeypatch):
    monkeypatch.setattr(batch_queue, "SLOW_SECONDS", 0.01)


def test_job_alone_is_carried_out_at_once(shop):
    began = time.monotonic()

    assert shop.queue.run(Named()) == "done 1"
    assert time.monotonic() - began < 1


def test_jobs_that_come_meanwhile_are_one_batch_in_order(shop, never_slow):
    futures = shop.submit_while_one_is_busy(Named(1, "a"), Named(2, "x"), Named(1, "b"), Named(2, "y"))
    shop.open()

    assert results_of(futures) == ["done 1first", "done 1a", "done 2x", "done 1b", "done 2y"]
    assert shop.batches[0] == ["1first"]
    assert [sorted(batch) for batch in shop.batches[1:]] == [["1a", "1b", "2x", "2y"]]
    assert [name for name in shop.batches[1] if name[0] == "1"] == ["1a", "1b"]
    assert [name for name in shop.batches[1] if name[0] == "2"] == ["2x", "2y"]


def test_batch_takes_no_more_than_the_limit(shop_with, never_slow):
    shop = shop_with(limit=2)
    futures = shop.submit_while_one_is_busy(*(Named(1, name) for name in "abcde"))
    shop.open()

    results_of(futures)

    assert shop.batches == [["1first"], ["1a", "1b"], ["1c", "1d"], ["1e"]]


def test_job_waits_for_the_next_batch_where_its_key_is_in_this_one(shop, never_slow):
    jobs = [Named(1, "a", digest="k"), Named(1, "b", digest="k"), Named(1, "c"), Named(2, "x", digest="l")]
    futures = shop.submit_while_one_is_busy(*jobs)
    shop.open()

    results_of(futures)

    assert [set(batch) for batch in shop.batches] == [{"1first"}, {"1a", "2x"}, {"1b", "1c"}]
    assert shop.batches[2] == ["1b", "1c"]


def test_job_of_another_event_with_the_same_key_waits(shop, never_slow):
    futures = shop.submit_while_one_is_busy(Named(2, "a", digest="key"), Named(3, "x", digest="key"))
    shop.open()

    results_of(futures)

    assert shop.batches == [["1first"], ["2a"], ["3x"]]


def test_late_jobs_join_once_the_events_are_locked(shop):
    late = []
    shop.before = lambda batch: late.append(names(batch.take_late_jobs()))
    futures = shop.submit_while_one_is_busy(Named(1, "a"), Named(1, "b"))
    shop.open()

    assert results_of(futures) == ["done 1first", "done 1a", "done 1b"]
    assert shop.batches == [["1first"]]
    assert late == [["1a", "1b"]]


def test_late_jobs_do_not_join_where_their_key_is_or_the_batch_is_full(shop_with, never_slow):
    shop = shop_with(limit=3)
    late = []
    shop.before = lambda batch: late.append(names(batch.take_late_jobs()))
    jobs = [Named(1, "a", digest="key"), Named(1, "b", digest="key"), *map(Named, (1, 1, 1), "cde")]
    futures = shop.submit_while_one_is_busy(*jobs)
    shop.open()

    results_of(futures)

    assert late == [["1a"], [], []]
    assert shop.batches == [["1first"], ["1b", "1c", "1d"], ["1e"]]


def test_look_for_late_ones_while_a_batch_is_at_work_leaves_it_able_to_take_more(shop):
    """No job of its event waits then, so that the event is forgotten; the server looks every 50 ms."""
    taken = []

    def look_and_take_more(batch):
        shop.queue.refuse_late()
        taken.append(batch.take_late_jobs())

    shop.before = look_and_take_more

    assert shop.queue.run(Named()) == "done 1"
    assert taken == [[]]


def test_more_than_the_queue_holds_are_busy_at_once(shop_with, never_slow):
    shop = shop_with(length=2)
    futures = shop.submit_while_one_is_busy(Named(1, "a"), Named(2, "b"))
    began = time.monotonic()

    with pytest.raises(Busy):
        shop.queue.run(Named(1, "c"))
    with pytest.raises(Busy):
        shop.queue.submit(Named(3, "d"))

    assert time.monotonic() - began < 1
    shop.open()
    assert results_of(futures)[0] == "done 1first"
    assert sorted(name for batch in shop.batches for name in batch) == ["1a", "1first", "2b"]


def test_one_event_fills_no_more_than_half_of_the_queue(shop_with, never_slow):
    shop = shop_with(length=6)
    futures = shop.submit_while_one_is_busy(*(Named(1, name) for name in "abc"))

    with pytest.raises(Busy):
        shop.queue.submit(Named(1, "d"))
    others = shop.submit(*(Named(2, name) for name in "abc"))

    shop.open()
    assert results_of(futures) == ["done 1first", "done 1a", "done 1b", "done 1c"]
    assert results_of(others) == ["done 2a", "done 2b", "done 2c"]


def test_job_that_waits_too_long_is_busy_and_never_carried_out(shop_with, never_slow):
    shop = shop_with(seconds=0.05)
    first, late, other = shop.submit_while_one_is_busy(Named(1, "late"), Named(2, "late"))
    shop.queue.refuse_late()
    assert not late.done()
    time.sleep(0.06)
    [young] = shop.submit(Named(1, "young"))

    shop.queue.refuse_late()

    assert results_of([late, other]) == [Busy, Busy]
    assert shop.queue.waiting == 1
    shop.open()
    assert results_of([first, young]) == ["done 1first", "done 1young"]
    assert shop.batches == [["1first"], ["1young"]]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_batch_that_fails_leaves_nobody_hanging(shop, never_slow, error):
    def fail(batch):
        if "1a" in names(batch.jobs):
            batch.jobs[1].result = "stood already"
            raise error

    shop.before = fail
    jobs = [Named(1, name, digest="x" if name > "b" else None) for name in "abcd"]
    futures = shop.submit_while_one_is_busy(*jobs)
    shop.open()

    # c and d have the same key, so that d is in another batch.
    assert results_of(futures) == ["done 1first", Busy, "stood already", Busy, "done 1d"]
    assert shop.batches == [["1first"], ["1a", "1b", "1c"], ["1d"]]


def test_results_are_busy_where_nothing_was_set(shop):
    shop.queue.run_batch = lambda batch: None

    with pytest.raises(Busy):
        shop.queue.run(Named())


def test_each_job_is_finished_once_though_another_cannot_be(shop, never_slow):
    jobs = [Named(1, "a"), Named(1, "b")]
    futures = shop.submit_while_one_is_busy(*jobs)
    jobs[0].future.cancel()
    shop.open()

    results_of([futures[0], futures[2]])

    assert [job.results for job in jobs] == [["done 1a"], ["done 1b"]]


def test_job_that_cannot_be_told_leaves_the_others_told_and_the_worker_at_work(shop, never_slow):
    def fail():
        raise RuntimeError("The event loop is closed.")

    broken = Named(1, "a")
    broken.finish = fail
    _, _, other = shop.submit_while_one_is_busy(broken, Named(1, "b"))
    shop.open()

    assert results_of([other]) == ["done 1b"]
    assert results_of(shop.submit(Named(1, "c"))) == ["done 1c"]


def test_others_events_are_carried_out_while_one_is_stuck(shop, soon_slow):
    stuck, behind = shop.submit_while_one_is_busy(Named(1, "behind"))

    assert results_of(shop.submit(Named(2, "a"), Named(2, "b"))) == ["done 2a", "done 2b"]
    assert not stuck.done()
    assert not behind.done()


def test_job_that_waited_before_the_worker_was_slow_is_carried_out_too(shop, monkeypatch):
    monkeypatch.setattr(batch_queue, "SLOW_SECONDS", 0.05)
    stuck, other = shop.submit_while_one_is_busy(Named(2, "a"))

    assert results_of([other]) == ["done 2a"]
    assert not stuck.done()


def test_no_worker_begins_beside_a_quick_one(shop, never_slow):
    _, other = shop.submit_while_one_is_busy(Named(2, "a"))

    time.sleep(0.05)

    assert shop.batches == [["1first"]]
    assert not other.done()


def test_batches_at_once_are_bounded(shop, soon_slow):
    stuck = []
    for event_id in range(THREADS):
        stuck.append(shop.keep_busy(event_id))
        time.sleep(0.02)
    [one_more] = shop.submit(Named(THREADS, "more"))
    time.sleep(0.05)
    assert len(shop.batches) == THREADS
    assert not one_more.done()

    shop.open()

    assert results_of([one_more]) == [f"done {THREADS}more"]
    results_of(stuck)


def test_one_worker_is_woken_for_many_jobs(shop, never_slow):
    woken = []
    notify = shop.queue.changed.notify
    shop.queue.changed.notify = lambda *workers: woken.append(1) or notify(*workers)
    shop.queue.is_woken = True

    shop.submit(Named(1, "a"), Named(1, "b"), Named(2, "c"))

    assert woken == []
    with shop.queue.changed:
        shop.queue.is_woken = False
        shop.queue.wake_worker()
        shop.queue.wake_worker()
    assert woken == [1]


class Locked:
    """Batches of several events with one of `ids` meet a lock."""

    def __init__(self, *ids):
        self.ids = set(ids)

    def __call__(self, batch):
        if len(batch.event_ids()) > 1 and self.ids.intersection(batch.event_ids()):
            batch.take_late_jobs()
            raise Contended


def test_contended_batch_is_put_back_in_order_and_each_event_tried_alone(shop, never_slow):
    shop.before = Locked(2)
    futures = shop.submit_while_one_is_busy(*(Named(event, name) for name in "ab" for event in (1, 2, 3)))
    shop.open()

    assert results_of(futures) == ["done 1first", "done 1a", "done 2a", "done 3a", "done 1b", "done 2b", "done 3b"]
    assert sorted(shop.batches[1]) == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert sorted(shop.batches[2:]) == [["1a", "1b"], ["2a", "2b"], ["3a", "3b"]]


def test_events_that_were_contended_share_a_batch_again_once_they_are_quick(shop, never_slow):
    shop.before = Locked(2)
    futures = shop.submit_while_one_is_busy(Named(1, "a"), Named(2, "a"))
    shop.open()
    results_of(futures)
    shop.before = lambda batch: None
    wait_until(shop.is_empty)
    again = [shop.keep_busy(), *shop.submit(Named(1, "b"), Named(2, "b"))]
    shop.open()

    results_of(again)

    assert sorted(shop.batches[1]) == ["1a", "2a"]
    assert sorted(shop.batches[-1]) == ["1b", "2b"]


def test_event_whose_lock_is_held_long_shares_no_batch(shop, never_slow, monkeypatch):
    shop.before = Locked(2)
    futures = shop.submit_while_one_is_busy(Named(1, "a"), Named(2, "a"))
    # No batch is quick from here on.
    monkeypatch.setattr(batch_queue, "SLOW_SECONDS", 0)
    shop.open()
    results_of(futures)
    wait_until(shop.is_empty)
    monkeypatch.setattr(batch_queue, "SLOW_SECONDS", TIMEOUT_SECONDS)
    again = [shop.keep_busy(3), *shop.submit(Named(1, "b"), Named(2, "b"))]
    shop.open()

    results_of(again)

    assert sorted(shop.batches[-2:]) == [["1b"], ["2b"]]


def test_free_events_are_carried_out_while_a_contended_one_is_stuck(shop, soon_slow):
    is_stuck, may_go_on = threading.Event(), threading.Event()

    def lock(batch):
        Locked(2)(batch)
        if batch.event_ids() == [2]:
            is_stuck.set()
            may_go_on.wait(TIMEOUT_SECONDS)

    shop.before = lock
    shop.keep_busy(9)
    stuck, *others = shop.submit(*(Named(event, "a") for event in (2, 3, 4)))
    shop.open()
    assert is_stuck.wait(TIMEOUT_SECONDS)

    assert results_of(others) == ["done 3a", "done 4a"]
    assert not stuck.done()
    may_go_on.set()
    assert results_of([stuck]) == ["done 2a"]


@pytest.fixture
def endless(shop, monkeypatch):
    """The thread of a caller whose batch does not end until the test says so, and what the caller got."""
    monkeypatch.setattr(batch_queue, "BATCH_SECONDS", 0.05)
    shop.queue.seconds = 0
    may_end, got = threading.Event(), []

    def last(batch):
        may_end.wait(TIMEOUT_SECONDS)
        if shop.is_contended:
            shop.is_contended = False
            raise Contended

    def call():
        try:
            got.append(shop.queue.run(Named(1, "a")))
        except Exception as error:
            got.append(type(error))

    shop.is_contended = False
    shop.before = last
    caller = threading.Thread(target=call)
    caller.start()
    yield caller, got, may_end
    may_end.set()


@pytest.mark.parametrize("is_contended", [False, True])
def test_batch_that_does_not_end_is_unknown_to_who_waits_for_it(shop, endless, is_contended):
    caller, got, may_end = endless
    caller.join(TIMEOUT_SECONDS)

    assert got == [OutcomeUnknown]
    # Nobody waits for the job any more, so it is not put back.
    shop.is_contended = is_contended
    may_end.set()
    wait_until(shop.is_empty)
    assert shop.batches == [["1a"]]


def test_batch_without_a_queue_has_no_late_jobs():
    assert Batch([Named()]).take_late_jobs() == []


def test_queue_that_does_not_run_keeps_its_jobs():
    queue = BatchQueue(lambda batch: None, limit=1, length=1, seconds=1, threads=3)

    queue.submit(Named())

    assert (queue.waiting, queue.is_running) == (1, False)
