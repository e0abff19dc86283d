"""Ticks against a model of it, in random walks over the API.

A failing walk is printed, shortened to the steps that it takes. Every run takes the same walks;
`--hypothesis-seed=N` takes others, and HYPOTHESIS_PROFILE=nightly (`make nightly`) more of them.
"""

import logging
import sys

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from bookings.tests.state import digest_of_all_tables
from bookings.tests.stateful.account_rules import AccountRules
from bookings.tests.stateful.booking_rules import BookingRules
from bookings.tests.stateful.moves import moves_of
from bookings.tests.stateful.tally import Tally

# From its eleventh example on, Hypothesis mostly varies the ones that it had by repeating parts of them.
# Here new walks find more, so it starts anew.
EXAMPLES_A_ROUND = 10
# A run in which one of these never came about has not tested it.
MUST_HAPPEN = {
    "promoted by cancellation",
    "promoted by part cancellation",
    "promoted by new capacity",
    "promoted by new policy",
    "promoted by sales that go on",
    "waits though it fits, since sales have ended",
    "passed over, kept its place",
    "passed the queue under first_fit",
    "queued behind the head though it fits",
    "completed, cancelled with its event",
    "waitlisted, cancelled with its event",
    "replayed",
    "replayed after the booking changed",
    "replayed another write",
    "dead token refused",
    "400 too_many_tickets",
    "401 token_not_valid",
    "403 permission_denied",
    "404 booking_not_found",
    "409 already_cancelled",
    "409 capacity_below_held",
    "409 person_limit",
    "409 sales_closed",
    "409 sold_out",
    "412 stale_version",
    "422 idempotency_key_reused",
}


class Moves(AccountRules, BookingRules):
    pass


def walk(tally: Tally, number: int) -> type:
    @seed(number)
    class Walk(Moves):
        @rule(step=moves_of(Moves))
        def step(self, step):
            arguments = dict(step)
            getattr(self, arguments.pop("move"))(**arguments)

    Walk.tally = tally
    return Walk


@pytest.fixture
def _quick(caplog):
    # The lines of all requests would cost more than the requests, if they were kept for pytest's report.
    caplog.set_level(logging.CRITICAL, "ticks.request")


@pytest.mark.django_db
@pytest.mark.usefixtures("_quick")
# Hypothesis shortens a failing example for up to five minutes; the nightly profile walks for as many more.
@pytest.mark.timeout(3600)
def test_any_walk_over_the_api_agrees_with_the_model(pytestconfig, hypothesis_profile):
    given = pytestconfig.getoption("hypothesis_seed")
    first = int(given) if str(given).isdigit() else 0
    tally = Tally()
    before = digest_of_all_tables()

    try:
        for number in range(first, first + hypothesis_profile.examples // EXAMPLES_A_ROUND):
            tally.seed = number
            run_state_machine_as_test(walk(tally, number), settings=settings_of(hypothesis_profile))
            sys.stdout.write(tally.progress())
    finally:
        sys.stdout.write(tally.report())

    # A few walks from a seed of somebody's choice need not come by all of it.
    if first == 0 or hypothesis_profile.examples >= 500:
        assert MUST_HAPPEN - set(tally.happened) == set()
    assert digest_of_all_tables() == before


def settings_of(profile):
    return settings(
        max_examples=EXAMPLES_A_ROUND,
        stateful_step_count=profile.steps,
        phases=[Phase.generate, Phase.shrink] if profile.is_shortened else [Phase.generate],
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        # The seed says the same in fewer words.
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
