"""Search by words, whatever their case, accents and punctuation. Rows keep a folded copy of their text to search in.

No database folds like another one, and the full-text index of MariaDB costs a row nine times as much.
"""

import unicodedata
from collections.abc import Sequence

from django.db.models import Q

# Shorter words in ASCII letters are parts of too many names, so they are looked for at the beginnings of words alone.
MIN_PART = 3
# People leave these out, or type another one of them: apostrophes, and primes and accents that stand for them.
APOSTROPHES = "'`\u00b4\u2018\u2019\u201a\u201b\u02b9\u02bb\u02bc\u02bd\u02c8\u2032\uff07"
# Unicode does not decompose these letters into a plain letter and an accent.
PLAIN = str.maketrans({"ł": "l", "đ": "d", "ð": "d", "ø": "o", "\u0131": "i", "ħ": "h", "ŧ": "t"})
PLAIN |= str.maketrans({"æ": "ae", "œ": "oe", "þ": "th"})
# Folded characters up to this one are kept: they are most of the alphabets of Europe and the Near East.
LAST_KEPT = 0x2FFF


class FoldedCharacters(dict[int, str]):
    """What each character is folded to, for `str.translate`.

    Each is folded by itself, so that a long run of accents takes no longer than other text.
    """

    def __missing__(self, code: int) -> str:
        folded = fold_character(chr(code))
        if code <= LAST_KEPT:
            self[code] = folded
        return folded


def fold_character(character: str) -> str:
    if character in APOSTROPHES:
        return ""
    parts = unicodedata.normalize("NFKD", character)
    plain = "".join(part for part in parts if not unicodedata.combining(part)).casefold().translate(PLAIN)
    return "".join(map(kept, plain))


def kept(character: str) -> str:
    """The character itself if it is a letter, a digit, a mark on a letter or a picture; nothing if it is invisible or
    an apostrophe; otherwise a space."""
    category = unicodedata.category(character)
    if category == "Cf" or character in APOSTROPHES:
        return ""
    return character if category[0] in "LMN" or category == "So" else " "


FOLDED = FoldedCharacters()
# The same for text in ASCII, as bytes: this takes a quarter of the time.
FOLDED_ASCII = bytes(ord(FOLDED[code] or " ") for code in range(128)).ljust(256, b"\0")
ASCII_APOSTROPHES = b"'`"


def fold_words(*texts: str) -> list[str]:
    text = " ".join(texts)
    if text.isascii():
        return text.encode().translate(FOLDED_ASCII, ASCII_APOSTROPHES).decode().split()
    return text.translate(FOLDED).split()


def search_text(*texts: str) -> str:
    """The folded copy of a row's texts. It begins with a space, so that a space stands before every word."""
    return f" {' '.join(fold_words(*texts))}"


def contains_words(words: Sequence[str], columns: Sequence[str]) -> Q:
    """The condition that each of these folded words is in `search_text`.

    Rows of a server of an earlier version have no `search_text`. There each word must be in one of the columns, as the
    database compares them.
    """
    is_found, is_old = Q(), Q(search_text=None)
    for word in dict.fromkeys(words):
        is_short = len(word) < MIN_PART and word.isascii() and word.isalpha()
        is_found &= Q(search_text__contains=f" {word}" if is_short else word)
        is_in_column = Q()
        for column in columns:
            is_in_column |= Q(**{f"{column}__icontains": word})
        is_old &= is_in_column
    return is_found | is_old
