"""What buyers send: never a word of the real event."""

import json

from bookings.rehearsal.deployment import Deployment
from bookings.rehearsal.scratch import Buyer
from ticks.wire import request

LOOK = "/api/v1/booking/status/"
BOOK = "/api/v1/booking"


class WrongEvent(Exception):
    """A request was about to be sent that is not for the copy."""


class Desk:
    """Makes requests for the copy alone, and looks at each once more as it is about to leave."""

    def __init__(self, deployment: Deployment, *, copy_id: int, real_id: int):
        if copy_id == real_id:
            raise WrongEvent(f"The copy has the real event's id, {real_id}.")
        self.deployment, self.copy_id, self.real_id = deployment, copy_id, real_id

    def look(self, buyer: Buyer) -> bytes:
        return self.checked(self._request("GET", f"{LOOK}{self.copy_id}", buyer))

    def book(self, buyer: Buyer, *, tickets: int, key: str, number: int) -> bytes:
        wanted = {
            "eventId": self.copy_id,
            "firstName": "Rehearsal",
            "lastName": f"Buyer {number}",
            # A domain that no mail ever reaches.
            "email": f"buyer{number}@rehearsal.invalid",
            "ticketsReserved": tickets,
        }
        return self.checked(self._request("POST", BOOK, buyer, {"Idempotency-Key": key}, json.dumps(wanted).encode()))

    def checked(self, wire: bytes) -> bytes:
        """The request as it will be sent, read again. Raises `WrongEvent`."""
        head, _, body = wire.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        asked = json.loads(body).get("eventId") if path == BOOK else path.removeprefix(LOOK)
        if str(asked) != str(self.copy_id) or str(asked) == str(self.real_id):
            raise WrongEvent(
                f"A request for event {asked} was held back; the rehearsal is on its copy, {self.copy_id}."
            )
        return wire

    def _request(self, method, path, buyer, headers=None, body=None) -> bytes:
        deployment = self.deployment
        headers = {"Authorization": f"Bearer {buyer.token}", **deployment.headers, **(headers or {})}
        return request(method, path, host=deployment.host, headers=headers, body=body)
