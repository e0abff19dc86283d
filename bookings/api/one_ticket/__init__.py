"""The one-ticket contract, `/api/users` and `/api/events`: plain JSON, one ticket for one account.

A thin layer over the same services. Removing this package and its line in `ticks/urls.py` removes
the contract. Left behind, then of no use: `Booking.one_ticket_holder`, `BookingRequest.is_only_one`
with `AlreadyBooked`, `cancel_seat`, the plain shapes that `ticks.api.errors`, `ticks.api.unknown` and
`ticks.api.schema` allow for, and that an event may lack a date.
"""
