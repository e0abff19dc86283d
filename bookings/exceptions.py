from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_noop, ngettext

from ticks.exceptions import Refusal
from ticks.formatting import exact_time, plural


class BookingNotFound(Refusal):
    status = 404
    code = "booking_not_found"
    message = "There is no such booking."


class SoldOut(Refusal):
    code = "sold_out"
    message = "Not enough tickets are left, and this event has no waitlist."


class SalesNotOpen(Refusal):
    code = "sales_not_open"

    def __init__(self, start: datetime, time_zone: str = "UTC"):
        super().__init__(f"Sales for this event open on {exact_time(start, ZoneInfo(time_zone))}.")


class SalesClosed(Refusal):
    code = "sales_closed"
    message = "Sales for this event are closed."


class TooManyTickets(Refusal):
    status = 400
    code = "too_many_tickets"
    field = "ticketsReserved"

    def __init__(self, limit: int):
        super().__init__(f"This event sells at most {limit} {plural(limit, 'ticket')} a booking.")


class HoldsTooMuch(Refusal):
    """A person has too much for this booking or transfer, and the message says how much. The page on which holders
    correct their mail address does not show it, since anybody may type any address there. The API does show it."""


class PersonLimit(HoldsTooMuch):
    code = "person_limit"
    field = "ticketsReserved"

    def __init__(self, limit: int, has: int):
        left = max(0, limit - has)
        rest = "none is left" if not left else f"{left} {'is' if left == 1 else 'are'} left"
        super().__init__(
            f"This event gives at most {limit} {plural(limit, 'ticket')} to a person, waiting ones too. This person "
            f"has {has}, so {rest}."
        )


class AlreadyCancelled(Refusal):
    code = "already_cancelled"
    message = gettext_noop("This booking is already cancelled.")


class BookingChanged(Refusal):
    code = "booking_changed"
    message = gettext_noop("This booking has another number of tickets by now; look again.")


class HolderChanged(Refusal):
    code = "holder_changed"
    message = gettext_noop("The name or the mail address of this booking has just been changed; look again.")


class MoreThanReserved(Refusal):
    status = 400
    code = "more_than_reserved"
    field = "ticketsToCancel"

    def __init__(self, reserved: int):
        text = ngettext(
            "This booking has %(tickets)d ticket; cancel at most that many.",
            "This booking has %(tickets)d tickets; cancel at most that many.",
            reserved,
        )
        super().__init__(text % {"tickets": reserved})


class NotWaiting(Refusal):
    code = "not_waiting"
    message = "This booking does not wait any more."


class NoSuchPlace(Refusal):
    status = 400
    code = "not_in_line"
    field = "position"

    def __init__(self, waiting: int):
        super().__init__(f"{waiting} {'booking waits' if waiting == 1 else 'bookings wait'}; choose a place from 1 on.")


class TooFewLeft(Refusal):
    code = "too_few_left"

    def __init__(self, wanted: int, available: int):
        needs = f"It needs {wanted} {plural(wanted, 'ticket')}"
        has = f"{available} {'is' if available == 1 else 'are'} available"
        super().__init__(f"{needs} and {has}: add what is missing to the capacity, or free tickets first.")


class CapacityBelowHeld(Refusal):
    code = "capacity_below_held"
    field = "totalTickets"

    def __init__(self, held: int):
        super().__init__(f"{held} tickets are held; the total cannot be lower. Cancel bookings first.")


class StaleVersion(Refusal):
    status = 412
    code = "stale_version"
    message = "Somebody changed this event in the meantime; read it again and repeat your change."


class InvalidTerms(Refusal):
    status = 400
    code = "invalid"


class UnknownCursor(Refusal):
    status = 400
    code = "invalid"
    field = "cursor"
    message = (
        "This cursor is not known. Send the `nextCursor` of an earlier answer, send `now`, or leave it out to start at "
        "the first entry."
    )


class AlreadyChecking(Refusal):
    code = "already_checking"
    message = "This event's inventory is being verified; look again in a moment."


class OtherCheckRuns(Refusal):
    code = "other_check_runs"
    message = "Another event's inventory is being verified; try again when that is done."


class AlreadyBooked(Refusal):
    code = "already_booked"
    message = "This user already has a booking for this event."


class NoTickets(Refusal):
    code = "no_tickets"
    message = gettext_noop("This booking holds no tickets: it is waiting or cancelled.")


class NoSuchSeat(Refusal):
    status = 404
    code = "no_such_seat"

    def __init__(self, seats: int):
        super().__init__(f"This booking has {seats} {plural(seats, 'ticket')}.")


class TooManyForOneFile(Refusal):
    code = "too_many_for_one_file"

    def __init__(self, tickets: int, most: int):
        super().__init__(
            f"This booking has {tickets} tickets, and a file has at most {most}: ask for several files, with "
            f"firstSeat=1, firstSeat={most + 1} and so on."
        )


class NoDate(Refusal):
    code = "no_date"
    message = gettext_noop("This event has no date, so there is nothing to put into a calendar.")


class NothingToSend(Refusal):
    code = "nothing_to_send"
    message = "There is no mail about this booking to its present address."


class NobodyToTell(Refusal):
    code = "nobody_to_tell"
    message = "None of these bookings has a mail address, so there is nobody to write to."


class TemplateFails(Refusal):
    code = "template_fails"
    message = "A template of the mail fails."


class WebhookNameTaken(Refusal):
    code = "webhook_name_taken"
    message = "There is a webhook of this name already; choose another name."
    field = "name"


class MessageInFlight(Refusal):
    code = "message_in_flight"
    message = "This message is being sent at the moment; look again in a few seconds."


class KeyReused(Refusal):
    status = 422
    code = "idempotency_key_reused"
    message = "This Idempotency-Key was used with another request; use a new key for a new request."


class KeyInFlight(Refusal):
    code = "idempotency_key_in_flight"
    message = "A request with this Idempotency-Key is being carried out; send it again in a second for its answer."
    retry_after = 1


# Each request with an idempotency key can be answered with these.
KEY_REFUSALS = [KeyInFlight, KeyReused]
