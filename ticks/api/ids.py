"""Ids as they arrive in paths and query strings."""

MAX_ID = 2**63 - 1


def parse_id(given: str) -> int | None:
    """An id from a path or a query string; None when no row can have it."""
    # The length first: int() refuses more than 4300 digits with an error of its own.
    if given.isascii() and given.isdigit() and len(given) <= len(str(MAX_ID)) and int(given) <= MAX_ID:
        return int(given)
    return None


def find(queryset, given: str):
    """The row whose id a path names; None when there is none, or when it is no id at all."""
    identity = parse_id(given)
    return None if identity is None else queryset.filter(pk=identity).first()
