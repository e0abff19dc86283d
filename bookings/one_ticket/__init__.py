"""The one-ticket contract, `/api/users` and `/api/events`: plain JSON, one ticket for one account.

A thin layer over the same services. Removing this package and its line in `ticks/urls.py` removes
the contract; `Booking.one_ticket_holder` and `BookingRequest.is_only_one` serve nothing else.
"""
