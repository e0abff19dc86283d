"""The counter alone: what serves its groups is made up, no database is asked."""

import threading
import time

import pytest

from bookings.services import counter as counters
from bookings.services.counter import LEADERS, Contended, Counter
from bookings.tests.counters import PATIENCE_SECONDS, Desk, Named, names, told, until
from ticks.transactions import Busy, OutcomeUnknown


@pytest.fixture
def desk_with():
    """A function that makes desks. Whatever happens there, in the end nothing is left."""
    desks = []

    def make(**bounds):
        desks.append(Desk(**bounds))
        return desks[-1]

    yield make
    for desk in desks:
        desk.open()
    for desk in desks:
        until(desk.is_empty)


@pytest.fixture
def desk(desk_with):
    return desk_with()


@pytest.fixture
def never_slow(monkeypatch):
    monkeypatch.setattr(counters, "SLOW_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def soon_slow(monkeypatch):
    monkeypatch.setattr(counters, "SLOW_SECONDS", 0.01)


def test_ask_alone_is_served_at_once_by_the_caller(desk):
    threads = []
    desk.before = lambda group: threads.append(threading.current_thread())

    assert desk.counter.ask(Named()) == "served 1"
    assert threads == [threading.current_thread()]


@pytest.mark.usefixtures("never_slow")
def test_who_comes_while_one_is_served_is_served_together_in_order(desk):
    answers = desk.ask_while_one_is_served(Named(1, "a"), Named(2, "x"), Named(1, "b"), Named(2, "y"))
    desk.open()

    assert told(answers) == ["served 1first", "served 1a", "served 2x", "served 1b", "served 2y"]
    assert desk.groups[0] == ["1first"]
    assert [sorted(group) for group in desk.groups[1:]] == [["1a", "1b", "2x", "2y"]]
    assert [name for name in desk.groups[1] if name[0] == "1"] == ["1a", "1b"]
    assert [name for name in desk.groups[1] if name[0] == "2"] == ["2x", "2y"]


@pytest.mark.usefixtures("never_slow")
def test_group_takes_no_more_than_the_limit(desk_with):
    desk = desk_with(limit=2)
    answers = desk.ask_while_one_is_served(*(Named(1, name) for name in "abcde"))
    desk.open()

    told(answers)

    assert desk.groups == [["1first"], ["1a", "1b"], ["1c", "1d"], ["1e"]]


@pytest.mark.usefixtures("never_slow")
@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"touches": ("seat",)}, {"touches": ("seat",)}),
        ({"touches": ("seat",)}, {"brushes": ("seat",)}),
        ({"brushes": ("seat",)}, {"touches": ("seat",)}),
    ],
)
def test_order_waits_for_the_next_group_where_it_meets_another(desk, earlier, later):
    orders = [Named(1, "a", **earlier), Named(1, "b", **later), Named(1, "c"), Named(2, "x")]
    answers = desk.ask_while_one_is_served(*orders)
    desk.open()

    told(answers)

    assert [set(group) for group in desk.groups] == [{"1first"}, {"1a", "2x"}, {"1b", "1c"}]
    assert desk.groups[2] == ["1b", "1c"]


@pytest.mark.usefixtures("never_slow")
def test_orders_that_brush_the_same_are_served_together(desk):
    answers = desk.ask_while_one_is_served(Named(1, "a", brushes=("seat",)), Named(1, "b", brushes=("seat",)))
    desk.open()

    told(answers)

    assert desk.groups == [["1first"], ["1a", "1b"]]


@pytest.mark.usefixtures("never_slow")
def test_order_of_another_event_that_meets_the_group_waits(desk):
    answers = desk.ask_while_one_is_served(Named(2, "a", touches=("key",)), Named(3, "x", touches=("key",)))
    desk.open()

    told(answers)

    assert desk.groups == [["1first"], ["2a"], ["3x"]]


def test_late_ones_join_once_the_events_are_locked(desk):
    late = []
    desk.before = lambda group: late.append(names(group.more()))
    answers = desk.ask_while_one_is_served(Named(1, "a"), Named(1, "b"))
    desk.open()

    assert told(answers) == ["served 1first", "served 1a", "served 1b"]
    assert desk.groups == [["1first"]]
    assert late == [["1a", "1b"]]


@pytest.mark.usefixtures("never_slow")
def test_late_ones_do_not_join_where_they_meet_the_group_or_it_is_full(desk_with):
    desk = desk_with(limit=3)
    late = []
    desk.before = lambda group: late.append(names(group.more()))
    orders = [Named(1, "a", touches=("seat",)), Named(1, "b", touches=("seat",)), *map(Named, (1, 1, 1), "cde")]
    answers = desk.ask_while_one_is_served(*orders)
    desk.open()

    told(answers)

    assert late == [["1a"], [], []]
    assert desk.groups == [["1first"], ["1b", "1c", "1d"], ["1e"]]


def test_look_while_a_group_is_served_leaves_it_able_to_take_more(desk):
    """Its line is empty then, and forgotten; the server looks every 50 ms."""
    taken = []

    def look_and_take_more(group):
        desk.counter.look()
        taken.append(group.more())

    desk.before = look_and_take_more

    assert desk.counter.ask(Named()) == "served 1"
    assert taken == [[]]


def test_more_than_the_queue_holds_are_busy_at_once(desk_with):
    desk = desk_with(length=2)
    answers = desk.ask_while_one_is_served(Named(1, "a"), Named(2, "b"))
    began = time.monotonic()

    with pytest.raises(Busy):
        desk.counter.ask(Named(1, "c"))
    with pytest.raises(Busy):
        desk.counter.put(Named(3, "d"))

    assert time.monotonic() - began < 1
    desk.open()
    assert told(answers)[0] == "served 1first"
    assert sorted(name for group in desk.groups for name in group) == ["1a", "1first", "2b"]


def test_one_event_fills_no_more_than_half_of_the_queue(desk_with):
    desk = desk_with(length=6)
    answers = desk.ask_while_one_is_served(*(Named(1, name) for name in "abc"))

    with pytest.raises(Busy):
        desk.counter.ask(Named(1, "d"))
    with pytest.raises(Busy):
        desk.counter.put(Named(1, "e"))
    others = [desk.ask(Named(2, name)) for name in "abc"]

    desk.open()
    assert told(answers) == ["served 1first", "served 1a", "served 1b", "served 1c"]
    assert told(others) == ["served 2a", "served 2b", "served 2c"]


@pytest.mark.usefixtures("soon_slow")
def test_who_waits_too_long_is_busy_and_never_served(desk_with):
    desk = desk_with(seconds=0.1)
    first, late = desk.ask_while_one_is_served(Named(1, "late"))

    assert told([late]) == [Busy]
    assert desk.counter.waiting == 0
    desk.open()
    assert told([first]) == ["served 1first"]
    assert desk.counter.ask(Named(1, "next")) == "served 1next"
    assert desk.groups == [["1first"], ["1next"]]


@pytest.mark.usefixtures("soon_slow")
def test_who_is_told_busy_is_out_of_line_before_anybody_can_take_it(desk_with):
    """Else it would be told that nothing was done, and be booked all the same."""
    desk = desk_with(seconds=0.05)
    first = desk.keep_busy()
    order = Named(1, "late")
    order.waiter = counters.Waiter()
    with desk.counter.mutex:
        desk.counter._admit(order)

    with pytest.raises(Busy):
        desk.counter._wait(order, order.waiter)

    assert desk.line(1) == []
    desk.open()
    told([first])
    assert desk.groups == [["1first"]]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.usefixtures("never_slow")
def test_leader_that_dies_leaves_nobody_hanging(desk, error):
    def die(group):
        if "1a" in names(group.orders):
            group.orders[1].result = "stood already"
            raise error

    desk.before = die
    first, *answers = desk.ask_while_one_is_served(*(Named(1, name, touches=("x",) * (name > "b")) for name in "abcd"))
    desk.open()

    said = told([first, *answers])

    # c and d touch the same, so that d is in another group, which is served by somebody else.
    assert desk.groups == [["1first"], ["1a", "1b", "1c"], ["1d"]]
    assert said[0] == "served 1first"
    assert said[1] is error
    assert isinstance(answers[2].result(), Busy)
    assert said[2] == "stood already"
    assert said[4] == "served 1d"


def test_results_are_busy_where_nothing_was_set():
    order = Named()

    Counter(lambda group: None, limit=1, length=1, seconds=1).ask(order)

    assert isinstance(order.result, Busy)


@pytest.mark.usefixtures("never_slow")
def test_leadership_passes_on_when_the_leaders_own_order_is_done(desk):
    leaders = []
    desk.before = lambda group: leaders.append(threading.current_thread())
    answers = desk.ask_while_one_is_served(*(Named(1, name, touches=("x",)) for name in "abc"))
    desk.open()

    told(answers)

    assert desk.groups == [["1first"], ["1a"], ["1b"], ["1c"]]
    assert len(set(leaders)) == 4


@pytest.mark.usefixtures("never_slow")
def test_somebody_is_summoned_where_no_thread_waits(desk):
    summoned = threading.Semaphore(0)
    desk.counter.summon = summoned.release
    first = desk.keep_busy()
    orders = [Named(1, "a"), Named(2, "b")]
    for order in orders:
        desk.counter.put(order)
    assert not summoned.acquire(blocking=False)
    desk.open()

    told([first])
    assert summoned.acquire(timeout=PATIENCE_SECONDS)
    desk.counter.lead()

    assert [order.told for order in orders] == [["served 1a"], ["served 2b"]]
    assert not summoned.acquire(blocking=False)


def test_put_summons_once_until_somebody_has_come(desk, never_slow):
    summons = []
    desk.counter.summon = lambda: summons.append(len(desk.groups))

    desk.counter.put(Named(1, "a"))
    desk.counter.put(Named(1, "b"))
    desk.counter.lead()
    desk.counter.put(Named(1, "c"))
    desk.counter.lead()

    assert summons == [0, 1]
    assert desk.groups == [["1a", "1b"], ["1c"]]


def test_look_summons_where_the_first_call_was_lost(desk, monkeypatch):
    summons = []
    desk.counter.summon = lambda: summons.append(1)
    order = Named()
    desk.counter.put(order)

    desk.counter.look()
    assert summons == [1]
    monkeypatch.setattr(counters, "SLOW_SECONDS", 0)
    desk.counter.look()
    desk.counter.lead()

    assert summons == [1, 1]
    assert order.told == ["served 1"]


def test_lead_without_work_or_beside_another_returns(desk, never_slow):
    desk.counter.lead()
    first = desk.keep_busy()
    desk.counter.put(Named(2))

    desk.counter.lead()

    assert desk.groups == [["1first"]]
    desk.open()
    told([first])
    desk.counter.lead()


def test_look_ends_what_waits_too_long_without_a_thread(desk_with):
    desk = desk_with(seconds=0.05)
    late = [Named(1, "a"), Named(2, "b")]
    for order in late:
        desk.counter.put(order)
    desk.counter.look()
    assert [order.told for order in late] == [[], []]
    time.sleep(0.06)
    young = Named(1, "c")
    desk.counter.put(young)

    desk.counter.look()
    desk.counter.lead()

    assert [type(answer) for order in late for answer in order.told] == [Busy, Busy]
    assert young.told == ["served 1c"]
    assert desk.groups == [["1c"]]


@pytest.mark.usefixtures("soon_slow")
def test_others_events_are_served_while_one_is_stuck(desk):
    stuck, behind = desk.ask_while_one_is_served(Named(1, "behind"))

    assert told([desk.ask(Named(2, name)) for name in "ab"]) == ["served 2a", "served 2b"]
    assert not stuck.done()
    assert not behind.done()


@pytest.mark.usefixtures("soon_slow")
def test_who_waited_before_the_leader_was_slow_is_served_too(desk, monkeypatch):
    monkeypatch.setattr(counters, "SLOW_SECONDS", 0.05)
    stuck, other = desk.ask_while_one_is_served(Named(2, "a"))

    assert told([other]) == ["served 2a"]
    assert not stuck.done()


@pytest.mark.usefixtures("never_slow")
def test_nobody_leads_beside_a_quick_leader(desk):
    _, other = desk.ask_while_one_is_served(Named(2, "a"))

    time.sleep(0.05)

    assert desk.groups == [["1first"]]
    assert not other.done()


@pytest.mark.usefixtures("soon_slow")
def test_leaders_are_bounded(desk):
    stuck = []
    for event_id in range(LEADERS):
        stuck.append(desk.keep_busy(event_id))
        time.sleep(0.02)
    one_more = desk.ask(Named(LEADERS, "more"))
    time.sleep(0.05)
    assert len(desk.groups) == LEADERS
    assert not one_more.done()

    desk.open()

    assert told([one_more]) == [f"served {LEADERS}more"]
    told(stuck)


class Locked:
    """Groups of several events with one of `ids` meet a lock, and those with it alone too while `is_held`."""

    def __init__(self, *ids):
        self.ids = set(ids)

    def __call__(self, group):
        if len(group.event_ids()) > 1 and self.ids.intersection(group.event_ids()):
            group.more()
            raise Contended


@pytest.mark.usefixtures("never_slow")
def test_contended_group_is_put_back_in_order_and_each_event_served_by_itself(desk):
    desk.before = Locked(2)
    answers = desk.ask_while_one_is_served(*(Named(event, name) for name in "ab" for event in (1, 2, 3)))
    desk.open()

    said = told(answers)

    assert said == ["served 1first", "served 1a", "served 2a", "served 3a", "served 1b", "served 2b", "served 3b"]
    assert sorted(desk.groups[1]) == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert sorted(desk.groups[2:]) == [["1a", "1b"], ["2a", "2b"], ["3a", "3b"]]


@pytest.mark.usefixtures("never_slow")
def test_events_that_were_contended_are_gathered_again_once_they_are_quick(desk):
    desk.before = Locked(2)
    answers = desk.ask_while_one_is_served(Named(1, "a"), Named(2, "a"))
    desk.open()
    told(answers)
    desk.before = lambda group: None
    again = [desk.keep_busy(), desk.ask(Named(1, "b")), desk.ask(Named(2, "b"))]
    desk.open()

    told(again)

    assert sorted(desk.groups[1]) == ["1a", "2a"]
    assert sorted(desk.groups[-1]) == ["1b", "2b"]


@pytest.mark.usefixtures("never_slow")
def test_event_whose_lock_is_held_long_is_not_gathered_with_others(desk, monkeypatch):
    desk.before = Locked(2)
    answers = desk.ask_while_one_is_served(Named(1, "a"), Named(2, "a"))
    # Nothing is quick from here on.
    monkeypatch.setattr(counters, "SLOW_SECONDS", 0)
    desk.open()
    told(answers)
    monkeypatch.setattr(counters, "SLOW_SECONDS", PATIENCE_SECONDS)
    again = [desk.keep_busy(3), desk.ask(Named(1, "b")), desk.ask(Named(2, "b"))]
    desk.open()

    told(again)

    assert sorted(desk.groups[-2:]) == [["1b"], ["2b"]]


@pytest.mark.usefixtures("soon_slow")
def test_free_events_are_served_while_a_contended_one_is_stuck(desk):
    is_stuck, may_go_on = threading.Event(), threading.Event()

    def lock(group):
        Locked(2)(group)
        if group.event_ids() == [2]:
            is_stuck.set()
            may_go_on.wait(PATIENCE_SECONDS)

    desk.before = lock
    orders = [Named(event, "a") for event in (2, 3, 4)]
    for order in orders:
        desk.counter.put(order)
    threading.Thread(target=desk.counter.lead).start()
    assert is_stuck.wait(PATIENCE_SECONDS)
    time.sleep(0.02)

    desk.counter.lead()

    assert [order.told for order in orders] == [[], ["served 3a"], ["served 4a"]]
    may_go_on.set()
    until(lambda: orders[0].told == ["served 2a"])


def test_orders_without_a_thread_are_put_back_too(desk, never_slow):
    desk.before = Locked(2)
    orders = [Named(event, name) for name in "ab" for event in (1, 2)]
    for order in orders:
        desk.counter.put(order)

    desk.counter.lead()

    assert [order.told for order in orders] == [[f"served {order}"] for order in orders]
    assert desk.groups == [["1a", "1b", "2a", "2b"], ["1a", "1b"], ["2a", "2b"]]


@pytest.fixture
def endless(desk, monkeypatch):
    """The leader and a follower of one group that does not end until the test says so."""
    monkeypatch.setattr(counters, "SERVING_SECONDS", 0.05)
    may_end = threading.Event()

    def last(group):
        if desk.groups == [["1first"]]:
            group.more()
            may_end.wait(PATIENCE_SECONDS)
            if desk.is_contended:
                raise Contended

    desk.is_contended = False
    desk.before = last
    answers = desk.ask_while_one_is_served(Named(1, "a"))
    desk.open()
    yield (*answers, may_end)
    may_end.set()


@pytest.mark.usefixtures("soon_slow")
def test_group_that_never_ends_is_unknown_to_who_waits_for_it(endless):
    leader, follower, may_end = endless

    assert told([follower]) == [OutcomeUnknown]
    assert not leader.done()
    may_end.set()
    assert told([leader]) == ["served 1first"]


@pytest.mark.usefixtures("soon_slow")
def test_who_was_told_unknown_is_not_put_back(desk, endless):
    leader, follower, may_end = endless
    told([follower])
    desk.is_contended = True
    may_end.set()

    assert told([leader]) == ["served 1first"]
    assert desk.groups == [["1first"], ["1first"]]


@pytest.mark.usefixtures("never_slow")
def test_who_leads_others_is_busy_too_when_it_takes_too_long(desk_with):
    desk = desk_with(seconds=0.05)
    desk.counter.alone = {1, 2}
    desk.before = lambda group: time.sleep(0.06)
    other = Named(1, "a")
    desk.counter.put(other)

    with pytest.raises(Busy):
        desk.counter.ask(Named(2, "own"))

    assert other.told == ["served 1a"]
    assert desk.groups == [["1a"]]


@pytest.mark.usefixtures("soon_slow")
def test_call_to_lead_that_was_lost_hangs_nobody(desk, monkeypatch):
    """Whoever made it was interrupted."""
    answers = desk.ask_while_one_is_served(*(Named(1, name, touches=("x",)) for name in "ab"))
    call = counters.Waiter.call
    monkeypatch.setattr(counters.Waiter, "call", lambda waiter: waiter.is_to_lead or call(waiter))
    desk.open()

    assert told(answers) == ["served 1first", "served 1a", "served 1b"]


@pytest.mark.usefixtures("never_slow")
def test_who_is_interrupted_when_it_is_to_lead_passes_that_on(desk, monkeypatch):
    wait = counters.Waiter.wait
    interrupted = []

    def interrupt_one(waiter, seconds):
        is_called = wait(waiter, seconds)
        if waiter.is_to_lead and not interrupted:
            interrupted.append(waiter)
            raise KeyboardInterrupt
        return is_called

    monkeypatch.setattr(counters.Waiter, "wait", interrupt_one)
    answers = desk.ask_while_one_is_served(Named(1, "a"), Named(1, "b"))
    desk.open()

    assert told(answers) == ["served 1first", KeyboardInterrupt, "served 1b"]
    assert desk.groups == [["1first"], ["1b"]]


class Overtaken(Named):
    """When its thread first looks whether it is done, another leader has just served it."""

    overtake = None
    was_done = False

    @property
    def is_done(self):
        overtake, self.overtake = self.overtake, None
        if overtake:
            overtake()
        return self.was_done

    @is_done.setter
    def is_done(self, value):
        self.was_done = value


def test_who_is_to_lead_but_was_served_already_leaves_no_leader_behind(desk, monkeypatch):
    monkeypatch.setattr(counters, "SLOW_SECONDS", -1)
    order = Overtaken()
    order.overtake = desk.counter.lead

    assert desk.counter.ask(order) == "served 1"
    assert desk.counter.leaders == {}


def test_who_is_called_to_lead_may_be_told_before_it_has_woken():
    waiter = counters.Waiter()

    waiter.call()
    waiter.call()

    assert waiter.wait(0)
    assert not waiter.wait(0)
