from collections import Counter

from bookings.services.references import ALPHABET, new_reference
from bookings.services.search import reference_letters


def test_references_are_well_formed_and_different():
    drawn = [new_reference() for _ in range(1000)]

    assert all(len(reference_letters(reference)) == 11 and reference[5] == "-" for reference in drawn)
    assert len(set(drawn)) == 1000


def test_each_letter_of_a_reference_is_drawn_as_often_as_the_others():
    drawn = Counter("".join(new_reference() for _ in range(100_000)).replace("-", ""))

    assert set(drawn) == set(ALPHABET)
    # The limit is seven times the standard deviation. If each byte stood for a letter, three letters would be drawn
    # 3,700 times more often than this.
    assert all(abs(number - 1_100_000 / len(ALPHABET)) < 1500 for number in drawn.values())
