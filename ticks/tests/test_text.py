import sys
import unicodedata

import pytest
from django.core.exceptions import ValidationError

from ticks.text import (
    CONTROLS_IN_LINE_REFUSED,
    NOTHING_SHOWN,
    composed,
    fault_of_line,
    has_hidden_character,
    normalise_email,
    readable_email,
    validate_email,
)

ADA = "ada@example.org"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (" Ada@Example.ORG\t", ADA),
        ("ada\u200b@example.org", ADA),
        ("\ufeffada@example.org", ADA),
        ("\u202aada@example.org\u202c", ADA),
        ("ada@exam\u00adple.org", ADA),
        ("a\u2060d\u200da@ex\ufe0fample.org", ADA),
        ("\u200b ada@example.org", ADA),
        ("ada@exämple.org", "ada@xn--exmple-cua.org"),
        ("ADA@EXÄMPLE.ORG", "ada@xn--exmple-cua.org"),
        ("ada@exa\u0308mple.org", "ada@xn--exmple-cua.org"),
        ("ada@xn--exmple-cua.org", "ada@xn--exmple-cua.org"),
        ("ada@XN--EXMPLE-CUA.org", "ada@xn--exmple-cua.org"),
        ("ada@\uff45xample\uff0eorg", ADA),
        # The standard of 2003 took this domain for strasse.de, which is somebody else's.
        ("ada@straße.de", "ada@xn--strae-oqa.de"),
        ("ada@例え。jp", "ada@xn--r8jz45g.jp"),
        ("", None),
        (" \u200b ", None),
        (None, None),
        # Parts of addresses, which people search for.
        ("Ädam", "ädam"),
        ("@exämple.org", "@xn--exmple-cua.org"),
    ],
)
def test_address_has_one_spelling(typed, stored):
    assert normalise_email(typed) == stored
    assert normalise_email(stored) == stored


@pytest.mark.parametrize("email", ["ada@example.org", "ada@xn--exmple-cua.org", "ada@[127.0.0.1]"])
def test_valid_address_is_accepted(email):
    validate_email(email)


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "ada@",
        "ada@example",
        "a\x01b@example.org",
        "a\u2028b@example.org",
        "i\u0307@example.org",
        "\u017f@example.org",
        "ada@\u2603.net",
        "ada@exämple.org",
    ],
)
def test_address_that_is_none_is_refused(email):
    with pytest.raises(ValidationError, match=r"Enter a valid email address\."):
        validate_email(normalise_email(email) if "ä" not in email else email)


@pytest.mark.parametrize("email", ['"ada"@example.org', '"a\\da"@example.org', '"a b"@example.org'])
def test_address_in_quotation_marks_is_refused(email):
    with pytest.raises(ValidationError, match="Write the address without quotation marks"):
        validate_email(normalise_email(email))


@pytest.mark.parametrize(
    ("email", "read"),
    [
        (ADA, ADA),
        ("ada@xn--exmple-cua.org", "ada@exämple.org"),
        ("ada@xn--.org", "ada@xn--.org"),
        ("ada@xn--a.xn--\x7f", "ada@xn--a.xn--\x7f"),
    ],
)
def test_address_is_read_with_its_letters(email, read):
    assert readable_email(email) == read


INVISIBLE = ["\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\u00ad", "\u200b", "\u034f", "\ufe0f", "\U000e0020"]


@pytest.mark.parametrize("text", [*INVISIBLE, "".join(INVISIBLE), "\u200b \u3164"])
def test_line_without_anything_visible_is_refused(text):
    assert fault_of_line(text) == NOTHING_SHOWN
    assert fault_of_line(f"{text}a") is None
    assert has_hidden_character(f"ada{text}")


@pytest.mark.parametrize("code", [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_line_that_changes_the_direction_of_writing_is_refused(code):
    assert fault_of_line(f"Ada{chr(code)}") == "Characters that change the direction of writing are not allowed."


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029])
def test_line_with_a_control_character_is_refused(code):
    assert fault_of_line(f"Ada{chr(code)}b") == CONTROLS_IN_LINE_REFUSED


@pytest.mark.parametrize(
    "text", ["", "Ada", "Łódź 🎸", "שלום", "ندا\u200cی", "👩\u200d🚀", "ᄒ", "O\u2019Neil", "\U0001d49c", "\u0301"]
)
def test_line_that_people_can_read_has_no_fault(text):
    assert fault_of_line(text) is None


def test_format_characters_are_hidden_but_for_those_that_are_seen():
    letters = (chr(code) for code in range(sys.maxunicode + 1))

    seen = [letter for letter in letters if unicodedata.category(letter) == "Cf" and not has_hidden_character(letter)]

    # Signs of Arabic, Syriac and Kaithi numbers, and the joiners of hieroglyphs and of shorthand.
    blocks = [
        (0x0600, 0x0605),
        (0x06DD,),
        (0x070F,),
        (0x0890, 0x0891),
        (0x08E2,),
        (0x110BD, 0x110CD),
        (0x13430, 0x1343F),
    ]
    assert [letter for letter in seen if not any(block[0] <= ord(letter) <= block[-1] for block in blocks)] == []


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Noe\u0308l", "Noël"),
        ("Zoe\u0308 Noe\u0308l\nA\u030angstro\u0308m", "Zoë Noël\nÅngström"),
        ("\u1112\u1161\u11ab", "한"),
        ("\u212b", "Å"),
        ("Ada", "Ada"),
        ("e\u0301" * 2000, "é" * 2000),
    ],
)
def test_text_is_composed(typed, stored):
    assert composed(typed) == stored


def test_text_that_nobody_stores_is_not_composed():
    assert composed("e\u0301" * 2501) == "e\u0301" * 2501
