"""The waitlist as numbers: what orders it, the room between two who wait, and the parts it is counted in."""

# From one arrival's number to the next, for who is moved in between: twenty times into the same gap.
ROOM = 2**20
# Waitlist numbers of one part, so that a place in the line is found without counting everybody ahead. A position
# reads the counts of the parts ahead and the places of its own: with a million arrivals 4,000 and 128.
NUMBERS_A_PART = 256 * ROOM


def number_of_arrival(sequence: int) -> int:
    """The number of who joins the line by this entry of the ledger: rises with arrival, whatever ids are handed out."""
    return sequence * ROOM


def part_of_line(number: int) -> int:
    """The first waitlist number of the part that this one is in."""
    return number - number % NUMBERS_A_PART


def numbers_between(before: int, after: int, count: int) -> list[int]:
    """So many numbers between two others, in order and evenly apart; none where they do not fit."""
    step = (after - before) // (count + 1)
    return [before + step * place for place in range(1, count + 1)] if step else []
