from ticks.refusals import Refusal


class BookingNotFound(Refusal):
    status = 404
    code = "booking_not_found"
    message = "There is no such booking."


class SoldOut(Refusal):
    code = "sold_out"
    message = "Not enough tickets are left, and this event has no waitlist."


class SalesNotOpen(Refusal):
    code = "sales_not_open"
    message = "Sales for this event have not opened yet."


class SalesClosed(Refusal):
    code = "sales_closed"
    message = "Sales for this event are closed."


class TooManyTickets(Refusal):
    status = 400
    code = "too_many_tickets"
    field = "ticketsReserved"

    def __init__(self, limit: int):
        super().__init__(f"This event sells at most {limit} ticket{'' if limit == 1 else 's'} a booking.")


class AlreadyCancelled(Refusal):
    code = "already_cancelled"
    message = "This booking is already cancelled."


class MoreThanReserved(Refusal):
    status = 400
    code = "more_than_reserved"
    field = "ticketsToCancel"

    def __init__(self, reserved: int):
        super().__init__(f"This booking has {reserved} ticket{'' if reserved == 1 else 's'}; cancel at most that many.")


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


class AlreadyBooked(Refusal):
    code = "already_booked"
    message = "This user already has a booking for this event."


class KeyReused(Refusal):
    status = 422
    code = "idempotency_key_reused"
    message = "This Idempotency-Key was used with another request; use a new key for a new booking."


class KeyInFlight(Refusal):
    code = "idempotency_key_in_flight"
    message = "A request with this Idempotency-Key is being carried out; send it again in a second for its answer."
    retry_after = 1
