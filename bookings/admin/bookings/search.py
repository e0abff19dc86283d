"""Finds bookings by whatever a caller can say: reference, number, names, mail address, username.

Indexes lead to references, numbers, and the beginnings of mail addresses and usernames. The rest is looked for row
by row (`bookings.admin.scanning`): an index on the names would make every booking dearer.

The look-ups are those that disregard case, also for columns that hold one case: of the others Django makes
`LIKE BINARY`, which no index of MariaDB's serves.
"""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import User, normalise_email, username_key
from bookings.models import Booking
from bookings.services.references import ALPHABET, REFERENCE_LENGTH
from ticks.parsing import parse_id

MAX_WORDS = 6
# What begins like a name as well is looked for as one.
LEAST_OF_REFERENCE = 4
LEAST_OF_ADDRESS = 3
# From an index in its order, not the newest: where there are more, there are newer ones to be found as well.
FROM_INDEX = 500
ACCOUNTS = 20


@dataclass(frozen=True, slots=True)
class Search:
    """`named` are the ids of the bookings that were asked for outright; else `near` are those that indexes lead to,
    and `words` are to be looked for in each row."""

    named: tuple[int, ...] = ()
    near: tuple[int, ...] = ()
    words: tuple[str, ...] = ()

    def among(self, rows: QuerySet) -> QuerySet:
        """All that it finds."""
        if not self.words:
            return rows.filter(pk__in=self.named or self.near)
        return rows.filter(Q(pk__in=self.near) | said(self.words))

    def look_among(self, rows: QuerySet) -> QuerySet:
        return rows.filter(said(self.words))


def search_for(given: str) -> Search:
    named = bookings_named(given)
    if named:
        return Search(named=tuple(named))
    words = tuple(dict.fromkeys(given.split()))[:MAX_WORDS]
    near = addressed(words)
    if near and len(words) == 1 and is_whole_address(given):
        return Search(near=tuple(near))
    if len(words) == 1:
        near += begun(given) + held_by(given)
    return Search(near=tuple(dict.fromkeys(near)), words=words)


def bookings_named(given: str) -> list[int]:
    """By number, by reference, or by what can only be the beginning of one."""
    given = given.strip()
    number = parse_id(given.removeprefix("#"))
    if number is not None and Booking.objects.filter(pk=number).exists():
        return [number]
    letters = letters_of(given)
    # Names have no digits, and no dash after five letters that begins six of these.
    is_certain = len(letters) == REFERENCE_LENGTH or any(letter.isdigit() for letter in letters) or given[5:6] == "-"
    return begun(given) if is_certain else []


def begun(given: str) -> list[int]:
    letters = letters_of(given)
    if not LEAST_OF_REFERENCE <= len(letters) <= REFERENCE_LENGTH:
        return []
    beginning = letters if len(letters) <= 5 else f"{letters[:5]}-{letters[5:]}"
    return from_index(Q(reference__istartswith=beginning))


def letters_of(given: str) -> str:
    """Of a reference as people type it; nothing where it cannot be one."""
    letters = given.strip().upper().replace("-", "").replace(" ", "")
    return letters if all(letter in ALPHABET for letter in letters) else ""


def addressed(words: tuple[str, ...]) -> list[int]:
    """Those of the words whose mail addresses begin with one of them, or with an initial and one of them.

    As most addresses do. So the index on the addresses leads to most names, too.
    """
    long = [normalise_email(word) for word in words if len(word) >= LEAST_OF_ADDRESS]
    if not long:
        return []
    likely, possible = Q(), Q()
    for word in long:
        others = [other for other in long if other != word]
        likely |= Q(*(Q(email__icontains=other) for other in others), email__istartswith=word)
        possible |= Q(email__istartswith=word)
        for other in others:
            likely |= Q(email__istartswith=other[0] + word)
    candidates = from_index(likely) + (from_index(possible) if len(long) > 1 else [])
    if not candidates:
        return []
    found = Booking.objects.filter(said(words), pk__in=candidates).order_by()
    return list(found.values_list("pk", flat=True))


def from_index(condition: Q) -> list[int]:
    return list(Booking.objects.filter(condition).order_by().values_list("pk", flat=True)[:FROM_INDEX])


def held_by(username: str) -> list[int]:
    accounts = User.objects.filter(username_key__istartswith=username_key(username)).order_by("username_key")
    of_accounts = list(accounts.values_list("pk", flat=True)[:ACCOUNTS])
    return from_index(Q(user__in=of_accounts)) if of_accounts else []


def is_whole_address(given: str) -> bool:
    return "." in given.rpartition("@")[2] and "@" in given.strip("@")


def said(words: tuple[str, ...]) -> Q:
    """Each word begins a part of the name, or is a part of the mail address."""
    condition = Q()
    for word in words:
        of_word = Q(email__icontains=normalise_email(word)) if len(word) >= LEAST_OF_ADDRESS else Q()
        # Column by column: names put together would be put together for each comparison.
        for column in ("first_name", "last_name"):
            of_word |= Q(**{f"{column}__istartswith": word})
            of_word |= Q(**{f"{column}__icontains": f" {word}"}) | Q(**{f"{column}__icontains": f"-{word}"})
        condition &= of_word
    return condition
