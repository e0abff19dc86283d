"""The requests and answers of docs/api.md, written down a second time."""

from datetime import timedelta

from django.utils import timezone


def booking_body(event, **changes):
    return {
        "eventId": event.pk,
        "firstName": "Divine",
        "lastName": "Alphonsus",
        "email": "divinealph@example.com",
        "ticketsReserved": 2,
        **changes,
    }


def booking_json(booking, *, position=None):
    return {
        "id": booking.pk,
        "reference": booking.reference,
        "eventId": booking.event_id,
        "userId": booking.user_id,
        "firstName": booking.first_name,
        "lastName": booking.last_name,
        "email": booking.email,
        "language": booking.language or None,
        "ticketsReserved": booking.tickets_reserved,
        "bookingStatus": booking.status,
        "waitlistPosition": position,
        "createdAt": stamp(booking.created_at),
        "updatedAt": stamp(booking.updated_at),
    }


def event_json(event):
    return {
        "id": event.pk,
        "name": event.name,
        "date": event.date and stamp(event.date),
        "timeZone": event.time_zone,
        "description": event.description,
        "venue": event.venue,
        "totalTickets": event.total_tickets,
        "availableTickets": event.available_tickets,
        "waitlistedCount": event.waitlisted_count,
        "salesStart": event.sales_start and stamp(event.sales_start),
        "salesEnd": event.sales_end and stamp(event.sales_end),
        "maxTicketsPerBooking": event.max_tickets_per_booking,
        "maxTicketsPerPerson": event.max_tickets_per_person,
        "waitlistEnabled": event.waitlist_enabled,
        "waitlistPolicy": event.waitlist_policy,
        "salesOpen": is_open(event),
        "version": event.version,
        "createdBy": event.created_by_id,
        "createdAt": stamp(event.created_at),
        "updatedAt": stamp(event.updated_at),
    }


def is_open(event):
    now = timezone.now()
    starts, ends = event.sales_start or now, event.sales_end or now + timedelta(days=1)
    return starts <= now < ends


def stamp(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def failure(message, code, **errors):
    body = {"message": message, "error": True, "code": code}
    return {**body, "errors": errors} if errors else body


def invalid(field, sentence):
    return {
        "message": f"{field}: {sentence}",
        "error": True,
        "code": "invalid",
        "errors": {field: [sentence]},
    }


NOT_LOGGED_IN = failure("Log in first, and send the header Authorization: Bearer <access token>.", "not_authenticated")
NOT_ADMIN = failure("Only an admin may do this.", "permission_denied")
NO_EVENT = failure("There is no such event.", "event_not_found")
NO_BOOKING = failure("There is no such booking.", "booking_not_found")
NOTHING_HERE = failure("There is nothing at this address.", "not_found")
CHALLENGE = 'Bearer realm="ticks"'
NO_IDS = ["0", "-1", "999999", "9" * 19, "9" * 30, "9" * 5000, "1.0", "one", "1%20OR%201=1", "%D9%A1"]
