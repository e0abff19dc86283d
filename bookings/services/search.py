"""What people type to find bookings: a reference, a number, a mail address, or words of a name or an address."""

import re

from django.db.models import Q, QuerySet

from bookings.services.references import ALPHABET, REFERENCE_LENGTH, hyphenated
from ticks.parsing import parse_id
from ticks.search import APOSTROPHES, contains_words, fold_words
from ticks.text import normalise_email

# People say these words before a reference or a number.
MARKS = {"ref", "reference", "booking", "no", "nr", "number", "id"}
# What stands around a mail address in `Ada Lovelace <ada@example.org>` or in `mailto:ada@example.org?subject=Tickets`.
AROUND_ADDRESS = re.compile(r"\bmailto:|(?<=\S)\?\S*|[<>()\[\],;:\"]", re.IGNORECASE)


def find_bookings(rows: QuerySet, text: str) -> QuerySet:
    """The rows with the reference or the mail address that a text has. If there are none, those with all its words."""
    letters, address, words = reference_letters(text), address_in(text), search_words(text)
    by_reference = rows.filter(reference=hyphenated(letters)) if len(letters) == REFERENCE_LENGTH else rows.none()
    by_address = rows.filter(email=address) if address else rows.none()
    for found in (by_reference, by_address):
        if found.exists():
            return found
    return rows.filter(contains(words)) if words else rows.none()


def number_in(text: str) -> int | None:
    """The number of a row in `12`, `#12` or `No. 12`."""
    words = without_mark(text)
    return parse_id(words[0]) if len(words) == 1 else None


def reference_letters(text: str) -> str:
    """The letters of a reference, or of its beginning, however it is written; nothing if the text cannot be one."""
    letters = "".join(without_mark(text)).upper()
    return letters if len(letters) <= REFERENCE_LENGTH and set(letters) <= set(ALPHABET) else ""


def is_like_name(text: str) -> bool:
    """Whether letters of a reference may also be a name. Names have no digits, no mark before them, and no dash after
    five letters."""
    words = fold_words(text)
    is_dashed = len(words) == 2 and len(words[0]) == 5 and " " not in text.strip()
    is_marked = text.strip().startswith("#") or words != without_mark(text)
    return not (is_dashed or is_marked or any(map(str.isdigit, text)))


def without_mark(text: str) -> list[str]:
    words = fold_words(text)
    return words[1:] if len(words) > 1 and words[0] in MARKS else words


def address_in(text: str) -> str | None:
    """The first mail address in a text, or what looks like one."""
    return next((part for part in parts_of_address(text) if "@" in part[1:-1]), None)


def parts_of_address(text: str) -> list[str]:
    """The words of a text, each as the part of a mail address that it may be."""
    words = (normalise_email(word.strip(f".{APOSTROPHES}")) for word in AROUND_ADDRESS.sub(" ", text).split())
    return list(dict.fromkeys(word for word in words if word))


def search_words(text: str) -> list[str]:
    return list(dict.fromkeys(fold_words(AROUND_ADDRESS.sub(" ", text))))


def contains(words: list[str]) -> Q:
    """The condition that a booking has each of these words in its names or its mail address."""
    return contains_words(words, ("first_name", "last_name", "email"))
