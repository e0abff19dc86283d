"""Finds bookings by anything that a caller can say: reference, number, names, mail address, username.

Indexes lead to references, numbers, and the beginnings of mail addresses and usernames. The list scans its rows for
the rest: an index on the names would make every booking dearer.

The look-ups disregard case, also for columns that hold one case: for the others Django writes `LIKE BINARY`, which
no index of MariaDB serves."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import User, normalise_email, username_key
from bookings.models import Booking
from bookings.services.references import ALPHABET, REFERENCE_LENGTH
from ticks.parsing import parse_id

MAX_WORDS = 6
# Shorter words are also the beginnings of many names.
MIN_REFERENCE_PREFIX = 4
MIN_EMAIL_PART = 3
# The index is read in its own order and not from the newest booking. If more match, the scan finds newer ones as well.
MAX_INDEXED = 500
MAX_ACCOUNTS = 20


@dataclass(frozen=True, slots=True)
class Search:
    """A search finds the bookings with this number or reference. If there are none, it finds those from an index, and
    those whose rows contain all `words`."""

    exact_ids: tuple[int, ...] = ()
    indexed_ids: tuple[int, ...] = ()
    words: tuple[str, ...] = ()

    def filter(self, rows: QuerySet) -> QuerySet:
        found = Q(pk__in=self.exact_ids or self.indexed_ids)
        return rows.filter(found | contains_words(self.words) if self.words else found)


def search_bookings(term: str) -> Search:
    exact_ids = ids_by_reference(term)
    if exact_ids:
        return Search(exact_ids=tuple(exact_ids))
    words = tuple(dict.fromkeys(term.split()))[:MAX_WORDS]
    indexed_ids = ids_by_email(words)
    if len(words) == 1:
        _, at, domain = term.strip().partition("@")
        if indexed_ids and at and "." in domain:
            # The term is a whole mail address, so its bookings are already found.
            return Search(indexed_ids=tuple(indexed_ids))
        indexed_ids += ids_by_reference_prefix(term) + ids_by_username(term)
    return Search(indexed_ids=tuple(dict.fromkeys(indexed_ids)), words=words)


def ids_by_reference(term: str) -> list[int]:
    """The bookings with this number or reference, or with a reference that begins so if the term cannot be a name."""
    term = term.strip()
    number = parse_id(term.removeprefix("#"))
    if number is not None and Booking.objects.filter(pk=number).exists():
        return [number]
    letters = reference_letters(term)
    # Names have no digits. They also have no dash after five of these letters and before six more.
    is_certain = len(letters) == REFERENCE_LENGTH or any(letter.isdigit() for letter in letters) or term[5:6] == "-"
    return ids_by_reference_prefix(term) if is_certain else []


def reference_letters(term: str) -> str:
    """The letters of a reference as people type it; empty if the text cannot be one."""
    letters = term.strip().upper().replace("-", "").replace(" ", "")
    return letters if all(letter in ALPHABET for letter in letters) else ""


def ids_by_reference_prefix(term: str) -> list[int]:
    letters = reference_letters(term)
    if not MIN_REFERENCE_PREFIX <= len(letters) <= REFERENCE_LENGTH:
        return []
    return indexed(reference__istartswith=letters if len(letters) <= 5 else f"{letters[:5]}-{letters[5:]}")


def ids_by_email(words: tuple[str, ...]) -> list[int]:
    """The bookings with these words whose mail address is made of them, or begins with an initial and one of them."""
    parts = [normalise_email(word) for word in words if len(word) >= MIN_EMAIL_PART]
    if not parts:
        return []
    likely = Q()
    for part in parts:
        others = [other for other in parts if other != part]
        likely |= Q(*(Q(email__icontains=other) for other in others), email__istartswith=part)
        for other in others:
            likely |= Q(email__istartswith=other[0] + part)
    candidates = Booking.objects.filter(contains_words(words), pk__in=indexed(likely)).order_by()
    return list(candidates.values_list("pk", flat=True))


def ids_by_username(name: str) -> list[int]:
    accounts = User.objects.filter(username_key__istartswith=username_key(name)).order_by("username_key")
    account_ids = list(accounts.values_list("pk", flat=True)[:MAX_ACCOUNTS])
    return indexed(user__in=account_ids) if account_ids else []


def indexed(*conditions: Q, **lookups) -> list[int]:
    return list(Booking.objects.filter(*conditions, **lookups).order_by().values_list("pk", flat=True)[:MAX_INDEXED])


def contains_words(words: tuple[str, ...]) -> Q:
    """The condition that each word begins a part of the name, or is a part of the mail address."""
    condition = Q()
    for word in words:
        contains_word = Q(email__icontains=normalise_email(word)) if len(word) >= MIN_EMAIL_PART else Q()
        # Each column is compared by itself. Otherwise the database would join the names anew for each comparison.
        for column in ("first_name", "last_name"):
            contains_word |= Q(**{f"{column}__istartswith": word})
            contains_word |= Q(**{f"{column}__icontains": f" {word}"}) | Q(**{f"{column}__icontains": f"-{word}"})
        condition &= contains_word
    return condition
