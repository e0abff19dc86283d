"""The waitlist in parts, so that a place in it is found without counting everybody ahead."""

# Waitlist numbers of one part. A position reads the counts of the parts ahead and the places of its own:
# with a million numbers 4,000 and 128.
NUMBERS_A_PART = 256


def part_of_line(number: int) -> int:
    """The first waitlist number of the part that this one is in."""
    return number - number % NUMBERS_A_PART
