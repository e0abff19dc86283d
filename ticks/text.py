"""Normalises text that people type, and finds characters in it that would mislead its readers."""

import re
import unicodedata

import idna
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy

# No name or address is longer than this.
MAX_NAME = 254
# No subject of a mail is longer than this.
MAX_SUBJECT = 200
# No other text that is stored is longer than this.
MAX_TEXT = 5000
# Python takes quadratic time for many accents in a row, and serves no other request meanwhile.
WORD = re.compile(r"[^ \n]{1,200}")
# These ranges are the Default_Ignorable_Code_Points of Unicode, and other characters that show nothing: the blank of
# Braille, the null note head, and interlinear annotations.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The control characters, and the other characters that end a line.
CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029"
# Text of several lines may have tabs and line breaks.
CONTROL_IN_TEXT = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029"
# These characters change the direction of the text after them, so that it is shown in another order than it is stored.
BIDI_CONTROL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# These are spaces without width. The joiners, which have no width either, are not among them: letters need them.
NO_WIDTH = "\u200b\u2060\ufeff"
CONTROLS = re.compile(f"[{CONTROL}]")
CONTROLS_IN_TEXT = re.compile(f"[{CONTROL_IN_TEXT}]")
BIDI_CONTROLS = re.compile(f"[{BIDI_CONTROL}]")
MISLEADING = re.compile(f"[{BIDI_CONTROL}{NO_WIDTH}]")
HIDDEN = re.compile(f"[{INVISIBLE}]")
SHOWN = re.compile(rf"[^\s{INVISIBLE}]")
CONTROLS_IN_LINE_REFUSED = "Control characters such as line breaks are not allowed."
CONTROLS_IN_TEXT_REFUSED = "Control characters other than line breaks and tabs are not allowed."
OTHER_DIRECTION = "Characters that change the direction of writing are not allowed."
NOTHING_SHOWN = "Write at least one character that can be seen."
INVALID_EMAIL = gettext_lazy("Enter a valid email address.")
is_address = EmailValidator(INVALID_EMAIL)


def normalised(form: str, name: str) -> str:
    """A name in a normal form of Unicode, unless it is too long to be anybody's name."""
    return unicodedata.normalize(form, name) if len(name) <= MAX_NAME else name


def composed(text: str) -> str:
    """A text in NFC, word by word, unless it is too long to be stored."""
    if text.isascii() or len(text) > MAX_TEXT:
        return text
    return WORD.sub(lambda word: unicodedata.normalize("NFC", word[0]), text)


def one_line(text: str) -> str:
    """A text without line breaks, control characters, and characters that reverse the text around them. None of them
    may get into a header."""
    return " ".join(MISLEADING.sub("", CONTROLS.sub(" ", text)).split())


def has_hidden_character(text: str) -> bool:
    return not text.isascii() and HIDDEN.search(text) is not None


def fault_of_line(text: str) -> str | None:
    """A sentence that says why a text is no line that people can read; None if it is one, or if it is empty."""
    if CONTROLS.search(text):
        return CONTROLS_IN_LINE_REFUSED
    if BIDI_CONTROLS.search(text):
        return OTHER_DIRECTION
    return None if SHOWN.search(text) or not text else NOTHING_SHOWN


def fault_of_text(text: str) -> str | None:
    """A sentence that says why a text of several lines cannot be read; None if it can."""
    return CONTROLS_IN_TEXT_REFUSED if CONTROLS_IN_TEXT.search(text) else None


def normalise_email(email: str | None) -> str | None:
    """One spelling per mailbox: trimmed, in lower case and NFC, without invisible characters (people copy them with an
    address), the domain in ASCII. None when empty.

    This is not left to a collation: MySQL's would also treat different emoji and accents as equal.
    """
    text = (email or "").strip()
    if not text.isascii() and len(text) <= MAX_NAME:
        text = HIDDEN.sub("", normalised("NFC", text)).strip()
        mailbox, sign, domain = text.lower().rpartition("@")
        text = mailbox + sign + ascii_domain(domain) if sign else text
    return text.lower() or None


def ascii_domain(domain: str) -> str:
    """The domain as mail servers and the DNS know it; a domain that they cannot know stays as it is."""
    try:
        return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain


def readable_email(email: str) -> str:
    """A normalised address with the letters of its domain."""
    mailbox, sign, domain = email.rpartition("@")
    if "xn--" not in domain:
        return email
    try:
        return mailbox + sign + idna.decode(domain)
    except idna.IDNAError:
        return email


def validate_email(email: str) -> None:
    """Raises `ValidationError` unless the normalised address is valid. Django's own validator accepts domains that the
    DNS cannot have, and letters such as the long s that only look like those of a mailbox. It also accepts quotation
    marks, with which each mailbox has thousands of spellings (RFC 5321, section 4.1.2)."""
    if email.startswith('"'):
        raise ValidationError(gettext_lazy("Write the address without quotation marks."))
    is_address(email)
    if not email.isascii():
        raise ValidationError(INVALID_EMAIL)
