"""A new SECRET_KEY ends what docs/security.md says."""

import pytest

pytestmark = pytest.mark.django_db

EVENT = {"name": "Concert", "date": "2099-12-01", "totalTickets": 3}
HOLDER = {"firstName": "A", "lastName": "B", "email": "a@example.org", "ticketsReserved": 1}


def test_new_secret_key_ends_every_login_but_no_guests_token(staff, anonymous, superuser_client, settings):
    event = staff.post("/api/v1/event", EVENT).json()["data"]["id"]
    booked = anonymous.post("/api/v1/booking", {**HOLDER, "eventId": event}).json()["data"]
    own = {"Booking-Token": booked["bookingToken"]}
    before = (staff.get("/api/v1/auth/me").status_code, superuser_client.get("/admin/").status_code)

    settings.SECRET_KEY = "quite another secret of more than 32 bytes"
    after = (staff.get("/api/v1/auth/me").status_code, superuser_client.get("/admin/").status_code)

    assert before == (200, 200)
    assert after == (401, 302)
    assert anonymous.get(f"/api/v1/booking/{booked['id']}", headers=own).status_code == 200
