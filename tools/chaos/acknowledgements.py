"""What the clients were told, on disk before they ask for more: the run is judged by this file alone."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ACKNOWLEDGED = "acknowledged"
# A definite no, with the promise that nothing was changed.
REFUSED = "refused"
# It may have been carried out or not, and the client does not ask again.
UNKNOWN = "unknown"
# It was asked until the client's patience ended.
UNANSWERED = "unanswered"


@dataclass(frozen=True, kw_only=True)
class Booked:
    """How one booking ended for its client. `mark` is in no other request: the mail address, or the account."""

    mark: str
    outcome: str
    event: int
    user: int | None
    tickets: int
    fault: str
    has_key: bool = False
    id: int | None = None
    reference: str | None = None
    status: str | None = None


@dataclass(frozen=True, kw_only=True)
class GivenBack:
    """How one cancellation ended for its client; `tickets` is None when it was all of them."""

    booking: int
    outcome: str
    tickets: int | None
    fault: str


class Acknowledgements:
    def __init__(self, path: Path):
        self.path = path
        self.file = path.open("a")

    def write(self, told: Booked | GivenBack) -> None:
        self.file.write(json.dumps([type(told).__name__, asdict(told)]) + "\n")
        # No fsync: the machine is not what fails here, and this process is not killed.
        self.file.flush()

    def read(self) -> Iterator[Booked | GivenBack]:
        kinds = {kind.__name__: kind for kind in (Booked, GivenBack)}
        with self.path.open() as lines:
            for line in lines:
                name, facts = json.loads(line)
                yield kinds[name](**facts)

    def close(self) -> None:
        self.file.close()
