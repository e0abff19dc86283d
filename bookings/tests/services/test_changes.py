"""The order of the change feed on a model of the database, in which transactions commit when they like."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bookings.services import changes
from bookings.services.changes import BEGINNING, Cursor, EventProgress, parts_of, ranges_of

EVENTS, READERS, WRITERS = 3, 2, 2


class Taken(Exception):
    """A unique key refuses a row."""


@dataclass
class Database:
    """What is committed, and what is open. Ids are given out when a row is inserted, and show when it is committed."""

    unique: tuple[str, ...] = ("number", "first")
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    open: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    parts: list = field(default_factory=list)
    last_id: int = 0

    def begin(self, event, entries=1):
        """Locks the event and inserts entries. Whoever comes meanwhile waits, so nothing happens."""
        if event not in self.open:
            sequence = self.latest()[event]
            self.open[event] = [(self.last_id + n, event, sequence + n) for n in range(1, entries + 1)]
            self.last_id += entries

    def write(self, event, entries):
        self.begin(event, entries)
        self.commit(event)

    def commit(self, event):
        self.entries += self.open.pop(event, [])

    def roll_back(self, event):
        self.open.pop(event, None)

    def latest(self):
        return Counter(event for _, event, _ in self.entries)

    def last_number(self):
        return max((part.number for part in self.parts), default=0)

    def moved(self):
        in_feed = Counter()
        for part in self.parts:
            in_feed[part.event_id] = max(part.last, in_feed[part.event_id])
        latest = self.latest()
        return [EventProgress(event, in_feed[event], latest[event]) for event in range(EVENTS)]

    def insert(self, parts):
        keys = {"number": lambda part: part.number, "first": lambda part: (part.event_id, part.first)}
        for key in map(keys.get, self.unique):
            if {key(part) for part in parts} & {key(part) for part in self.parts}:
                raise Taken
        self.parts = sorted([*self.parts, *parts], key=lambda part: part.number)


@dataclass
class Writer:
    """`extend_feed`: it reads the last number, then what has moved, and commits. Anything may happen in between."""

    database: Database
    after: int | None = None
    moved: list | None = None

    def step(self):
        if self.after is None:
            self.after = self.database.last_number()
        elif self.moved is None:
            self.moved = self.database.moved()
        else:
            after, moved, self.after, self.moved = self.after, self.moved, None, None
            try:
                self.database.insert(parts_of(moved, after=after))
            except Taken:
                return

    def append(self):
        self.after = self.moved = None
        for _ in range(3):
            self.step()


@dataclass
class Reader:
    database: Database
    cursor: Cursor = BEGINNING
    read: list = field(default_factory=list)

    def step(self, limit):
        parts = [part for part in self.database.parts if part.number >= self.cursor.number]
        ranges, end = ranges_of(parts, self.cursor, limit=limit)
        committed = {(event, sequence) for _, event, sequence in self.database.entries}
        found = [(event, n) for event, first, last in ranges for n in range(first, last + 1)]
        # A part never ends beyond what is committed.
        assert set(found) <= committed
        assert len(found) <= limit
        self.read += found
        is_end, self.cursor = end == self.cursor, end
        return is_end


# Some actions are whole ones, so that what is rare without them comes often enough.
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["begin", "write"]), st.integers(0, EVENTS - 1), st.integers(1, 3)),
    st.tuples(st.sampled_from(["commit", "roll_back"]), st.integers(0, EVENTS - 1)),
    st.tuples(st.sampled_from(["step", "step", "append"]), st.integers(0, WRITERS - 1)),
    st.tuples(st.just("read"), st.integers(0, READERS - 1), st.sampled_from([1, 2, 9])),
)


def play(actions, **options) -> tuple[Database, list[Reader]]:
    """Carries out the actions. Then all that is open commits, and everybody reads to the end."""
    database = Database(**options)
    writers = [Writer(database) for _ in range(WRITERS)]
    readers = [Reader(database) for _ in range(READERS)]
    for name, *rest in actions:
        match name:
            case "step":
                writers[rest[0]].step()
            case "append":
                writers[rest[0]].append()
            case "read":
                readers[rest[0]].step(rest[1])
            case _:
                getattr(database, name)(*rest)
    for event in list(database.open):
        database.commit(event)
    writers[0].append()
    for reader in readers:
        while not reader.step(2):
            pass
    return database, readers


def faults(database, readers) -> set[str]:
    found = set()
    for reader in readers:
        for event, latest in database.latest().items():
            sequences = [sequence for read, sequence in reader.read if read == event]
            found |= {"skipped"} if set(range(1, latest + 1)) - set(sequences) else set()
            found |= {"twice"} if len(set(sequences)) < len(sequences) else set()
            found |= {"out of order"} if sequences != sorted(sequences) else set()
        found |= {"another order"} if reader.read != readers[0].read else set()
    return found


def drawn(**options):
    """Plays actions that are drawn at random. Raises `AssertionError` if any of them leads to a fault."""

    @settings(max_examples=1000, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.lists(ACTIONS, min_size=20, max_size=60))
    def check(actions):
        assert faults(*play(actions, **options)) == set()

    check()


def test_feed_skips_nothing_whatever_commits_late():
    drawn()


@pytest.mark.parametrize("unique", [("first",), ()])
def test_control_without_unique_numbers_the_drawn_actions_find_a_fault(unique):
    with pytest.raises(AssertionError):
        drawn(unique=unique)


# One writer reads the last number. Then the other appends a part and commits it, and a reader reads it.
OVERTAKEN = [
    *(("write", 0, 1), ("step", 0), ("append", 1), ("read", 0, 9)),
    *(("write", 1, 1), ("step", 0), ("step", 0)),
]


@pytest.mark.parametrize("unique", [("first",), ()])
def test_control_without_unique_numbers_skips(unique):
    assert faults(*play(OVERTAKEN, unique=unique)) >= {"skipped"}
    assert faults(*play(OVERTAKEN)) == set()


def test_control_a_cursor_that_is_an_id_skips_a_late_commit():
    database, cursor, read = Database(), 0, []
    for name, event in [("begin", 0), ("begin", 1), ("commit", 1), ("read", 0), ("commit", 0), ("read", 0)]:
        if name == "read":
            news = sorted(entry for entry in database.entries if entry[0] > cursor)
            read += news
            cursor = max([cursor, *(entry[0] for entry in news)])
        else:
            getattr(database, name)(event)

    assert [event for _, event, _ in read] == [1]


def test_parts_of_a_page_are_bounded(monkeypatch):
    monkeypatch.setattr(changes, "PARTS_A_PAGE", 2)
    parts = parts_of([EventProgress(event, 0, 5) for event in range(4)], after=0)

    ranges, end = ranges_of(parts, BEGINNING, limit=100)

    assert [event for event, *_ in ranges] == [0, 1]
    assert end == Cursor(2, 5)


def test_events_without_new_entries_get_no_part():
    assert parts_of([EventProgress(1, 3, 3), EventProgress(2, 3, 0)], after=7) == []
