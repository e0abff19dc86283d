from datetime import timedelta

import pytest
from django.utils import timezone

from bookings.admin.formatting import InventoryBadge, inventory_badge
from bookings.models import InventoryCheck
from events.models import Event

NOW = timezone.now()


def a_check(**values):
    return InventoryCheck(**{"sequence": 1200, "started_at": NOW, "finished_at": NOW, "findings": [], **values})


@pytest.mark.parametrize(
    ("sequence", "check", "quick", "badge"),
    [
        (1200, None, [], InventoryBadge("quiet", "Not verified yet")),
        (1200, a_check(), [], InventoryBadge("good", "Verified at entry 1,200")),
        (1201, a_check(), [], InventoryBadge("good", "Verified at entry 1,200, 1 entry since")),
        (9999, a_check(), [], InventoryBadge("good", "Verified at entry 1,200, 8,799 entries since")),
        # The event was read before the check.
        (1199, a_check(), [], InventoryBadge("good", "Verified at entry 1,200")),
        (
            1201,
            a_check(findings=["a", "b"]),
            [],
            InventoryBadge("bad", "Differed at entry 1,200, 1 entry since", ["a", "b"]),
        ),
        (1200, a_check(finished_at=None), [], InventoryBadge("quiet", "Being verified")),
        (
            1200,
            a_check(started_at=NOW - InventoryCheck.STALE - timedelta(seconds=1), finished_at=None),
            [],
            InventoryBadge("quiet", "Its last check did not end"),
        ),
        (1200, a_check(), ["now"], InventoryBadge("bad", "Differs from its ledger", ["now"])),
        (1200, a_check(finished_at=None), ["now"], InventoryBadge("bad", "Differs from its ledger", ["now"])),
        (1200, None, ["now"], InventoryBadge("bad", "Differs from its ledger", ["now"])),
    ],
)
def test_badge_tells_what_is_known(sequence, check, quick, badge):
    event = Event(ledger_sequence=sequence)

    assert inventory_badge(event, check, quick=quick, now=NOW) == badge
