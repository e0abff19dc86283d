"""Time zones by their IANA names, and local times in them.

Python reads the rules of a zone from the host, and those that the host lacks from the package tzdata."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache
from zoneinfo import available_timezones

# Files of a host beside those of the zones.
NOT_ZONES = {"Factory", "localtime", "posixrules"}
EXAMPLE_ZONE = "Europe/Berlin"
SECOND = timedelta(seconds=1)


@cache
def zone_names() -> tuple[str, ...]:
    """The names of all zones in their order. The first call reads the folders of the host."""
    return tuple(sorted(available_timezones() - NOT_ZONES))


def fault_of_zone(name: str) -> str | None:
    """The sentence about a name that no zone has, with the one that was probably meant; None if there is the zone."""
    if name in zone_names():
        return None
    meant = zone_meant_by(name)
    hint = f"did you mean {meant}?" if meant else f"use a name such as {EXAMPLE_ZONE} or UTC."
    return f"There is no such time zone; {hint}"


def zone_meant_by(name: str) -> str | None:
    """The zone with a similar name, or with a similar name behind its last slash, which is a city's."""
    plain = plain_zone_name(name)
    names = {plain_zone_name(known): known for known in zone_names()}
    cities = {plain_zone_name(known.rpartition("/")[2]): known for known in zone_names() if "/" in known}
    if same := names.get(plain) or cities.get(plain):
        return same
    # Abbreviations are similar to each other.
    close = get_close_matches(plain, [*names, *cities], n=1, cutoff=0.8) if len(plain) > 4 else []
    return (names | cities)[close[0]] if close else None


def plain_zone_name(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def moment_in(zone: tzinfo, local: datetime) -> datetime:
    """The moment, in UTC, at which the clocks of a zone show a time. It is the first one of two if they show it twice.

    Raises ValueError with a sentence if they pass over this time, and OverflowError before the year 1 and after 9999.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    shown = moment.astimezone(zone).replace(tzinfo=None)
    if shown != local:
        raise ValueError(
            f"There is no {local:%H:%M} on {local:%Y-%m-%d} in {zone}, since the clocks go forward; "
            f"write {shown:%H:%M} or another time."
        )
    return moment


def is_shown_twice(moment: datetime, zone: tzinfo) -> bool:
    """Whether the clocks of a zone show the time of this moment at another moment too."""
    local = moment.astimezone(zone)
    return local.utcoffset() != local.replace(fold=not local.fold).utcoffset()


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The moment, in UTC, at which a day begins in a zone: midnight, or what the clocks show instead if they pass over
    it."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """The last whole second of a day in a zone."""
    return start_of_day(day + timedelta(days=1), zone) - SECOND


def name_in(zone: tzinfo, moment: datetime) -> str:
    """What the time of a moment is called in a zone, such as CEST, or UTC+5:30 where it has no letters."""
    local = moment.astimezone(zone)
    name = local.tzname() or ""
    if name.isalpha():
        return name
    minutes = round(local.utcoffset().total_seconds() / 60)
    hours, minutes = divmod(abs(minutes), 60)
    sign = "-" if local.utcoffset() < timedelta() else "+"
    return f"UTC{sign}{hours}" + (f":{minutes:02}" if minutes else "")
