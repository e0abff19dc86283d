"""Numbers in words, for people."""


def counted(number: int, thing: str) -> str:
    """Such as "1 ticket", or "1,200 tickets"."""
    return f"{number:,} {plural(number, thing)}"


def plural(number: int, thing: str) -> str:
    return thing if number == 1 else f"{thing}s"
