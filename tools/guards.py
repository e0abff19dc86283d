"""The guards of Ticks: how each is taken away, and the tests that must turn red without it.

`make mutants` tries them. A guard that has moved fails there until its line here follows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """`old` stands once in the file at `path` and becomes `new`; `tests` are pytest's arguments."""

    name: str
    path: str
    old: str
    new: str
    tests: str
    # Needs row locks or another thing that SQLite does not have.
    on_mariadb: bool = False


@dataclass(frozen=True)
class Constraint:
    """A constraint of the database, taken out of the migration that makes it."""

    name: str
    path: str
    tests: str = "bookings/tests/test_constraints.py"


EVENTS = "events/migrations/0001_initial.py"
BOOKINGS = "bookings/migrations/0001_initial.py"

CONSTRAINTS = [
    Constraint("event_has_tickets", EVENTS),
    Constraint("event_available_within_total", EVENTS),
    Constraint("event_version_from_one", EVENTS),
    Constraint("event_booking_limit_from_one", EVENTS),
    Constraint("event_sales_end_after_start", EVENTS),
    Constraint("event_policy_known", EVENTS),
    Constraint("event_deleted_holds_nothing", EVENTS),
    Constraint("booking_waitlist_number_unique", BOOKINGS),
    Constraint("booking_one_ticket_a_user", BOOKINGS),
    Constraint("booking_has_tickets", BOOKINGS),
    Constraint("booking_status_known", BOOKINGS),
    Constraint("booking_number_while_waiting", BOOKINGS),
    Constraint("booking_token_for_guests", BOOKINGS),
    Constraint("booking_one_ticket_while_live", BOOKINGS),
    Constraint("ledger_sequence_unique", BOOKINGS),
    Constraint("ledger_sequence_from_one", BOOKINGS),
    Constraint("ledger_kind_fits_booking", BOOKINGS),
    Constraint("one_counter_a_window", "accounts/migrations/0001_initial.py", "accounts/tests/test_attempts.py"),
]

GUARDS = [
    # Locks and transactions
    Guard(
        "lock on the event",
        "bookings/services/desk.py",
        "Event.objects.select_for_update().filter(pk=0)",
        "Event.objects.filter(pk=0)",
        "bookings/tests/test_races.py",
        on_mariadb=True,
    ),
    Guard(
        "lock on the booking that is cancelled",
        "bookings/services/cancellation.py",
        "locked = Booking.objects.select_for_update().get(pk=booking.pk)",
        "locked = booking",
        "bookings/tests/test_races.py bookings/tests/test_cancel.py",
        on_mariadb=True,
    ),
    Guard(
        "READ COMMITTED",
        "ticks/settings.py",
        '"isolation_level": "read committed"',
        '"isolation_level": "repeatable read"',
        "bookings/tests/test_races.py bookings/tests/test_book.py bookings/tests/test_idempotency.py",
        on_mariadb=True,
    ),
    Guard(
        "SQLite's writers queue up from BEGIN on",
        "ticks/settings.py",
        '"transaction_mode": "IMMEDIATE"',
        '"transaction_mode": "DEFERRED"',
        "bookings/tests/test_races.py",
    ),
    Guard(
        "no retry inside another transaction",
        "ticks/transactions.py",
        "transaction.atomic(durable=True)",
        "transaction.atomic()",
        "ticks/tests/test_transactions.py",
    ),
    Guard(
        "retry after a deadlock",
        "ticks/transactions.py",
        "ROLLED_BACK = {1213, 1205, 1020}",
        "ROLLED_BACK = {1205, 1020}",
        "ticks/tests/test_transactions.py",
    ),
    Guard(
        "COMMIT inside the retry",
        "ticks/transactions.py",
        "    if is_rolled_back(error):\n",
        "    if is_rolled_back(error) and not is_committing:\n",
        "ticks/tests/test_transactions.py",
    ),
    Guard(
        "a bound on the retries",
        "ticks/transactions.py",
        "for attempt in range(ATTEMPTS):",
        "for attempt in range(50):",
        "ticks/tests/test_transactions.py",
    ),
    Guard(
        "unanswered COMMIT is unknown",
        "ticks/transactions.py",
        "    if is_committing and not isinstance(error, IntegrityError):\n        raise OutcomeUnknown from error\n",
        "",
        "ticks/tests/test_transactions.py",
    ),
    Guard(
        "lost connection is closed",
        "ticks/outage.py",
        "        connection.close()\n        return True\n",
        "        return True\n",
        "ticks/tests/test_transactions.py",
    ),
    Guard(
        "no connecting while the database is away",
        "ticks/mysql/base.py",
        "if not outage.is_over():",
        "if False:",
        "bookings/tests/test_outage.py",
        on_mariadb=True,
    ),
    Guard(
        "idle connection is looked at",
        "ticks/mysql/base.py",
        "return not poll.poll(0) or super().is_usable()",
        "return True",
        "bookings/tests/test_outage.py",
        on_mariadb=True,
    ),
    # Idempotency
    Guard(
        "unique key",
        BOOKINGS,
        "('digest', ticks.columns.ExactCharField(max_length=64, unique=True))",
        "('digest', ticks.columns.ExactCharField(max_length=64))",
        "bookings/tests/test_constraints.py bookings/tests/test_races.py",
        on_mariadb=True,
    ),
    Guard(
        "key in flight",
        "bookings/services/keys.py",
        "yield locked != 0",
        "yield True",
        "bookings/tests/test_idempotency.py",
        on_mariadb=True,
    ),
    Guard(
        "key is let go",
        "bookings/services/keys.py",
        "if locked and connection.connection is not None:",
        "if False:",
        "bookings/tests/test_idempotency.py",
        on_mariadb=True,
    ),
    Guard(
        "key with another body",
        "bookings/services/keys.py",
        "    if known.fingerprint != fingerprint:\n        raise KeyReused\n",
        "",
        "bookings/tests/test_idempotency.py",
    ),
    Guard(
        "key is the caller's own",
        "bookings/services/booking.py",
        'caller = f"user {self.user.pk}" if self.user else "guest"',
        'caller = "anybody"',
        "bookings/tests/test_idempotency.py",
    ),
    Guard(
        "unknown outcome with a key is looked up",
        "bookings/services/booking.py",
        "                unknown = error\n",
        "                raise\n",
        "bookings/tests/test_idempotency.py",
    ),
    # Rules
    Guard(
        "never more than available",
        "bookings/allocation.py",
        "if claim.tickets <= inventory.available and not must_queue:",
        "if not must_queue:",
        "bookings/tests/test_allocation.py",
    ),
    Guard(
        "newcomers queue behind a strict line",
        "bookings/allocation.py",
        "must_queue = inventory.policy == STRICT and inventory.waitlisted > 0",
        "must_queue = False",
        "bookings/tests/test_allocation.py",
    ),
    Guard(
        "nobody passes the head of a strict line",
        "bookings/allocation.py",
        "if not inventory.available or (kept and inventory.policy == STRICT):",
        "if not inventory.available:",
        "bookings/tests/test_allocation.py",
    ),
    Guard(
        "freed tickets serve the waitlist",
        "bookings/allocation.py",
        "        record(inventory, outcome, LedgerKind.CANCELLED, tickets, command.actor, claim)\n"
        "    promote(inventory, outcome, command.actor)\n",
        "        record(inventory, outcome, LedgerKind.CANCELLED, tickets, command.actor, claim)\n",
        "bookings/tests/test_allocation.py",
    ),
    Guard(
        "cancelled once",
        "bookings/allocation.py",
        "    if claim.status == BookingStatus.CANCELLED:\n        raise AlreadyCancelled\n",
        "",
        "bookings/tests/test_cancel.py",
    ),
    Guard(
        "no more tickets back than reserved",
        "bookings/allocation.py",
        "    if tickets > claim.tickets:\n        raise MoreThanReserved(claim.tickets)\n",
        "",
        "bookings/tests/test_cancel.py",
    ),
    Guard(
        "capacity not below what is held",
        "bookings/allocation.py",
        "    if command.total < inventory.held:\n        raise CapacityBelowHeld(inventory.held)\n",
        "",
        "bookings/tests/test_event_change.py",
    ),
    Guard(
        "stale edit",
        "bookings/services/events.py",
        "    if version is not None and version != event.version:\n        raise StaleVersion\n",
        "",
        "bookings/tests/test_event_change.py",
    ),
    Guard(
        "one ticket a user",
        "bookings/services/booking.py",
        "    if request.is_only_one and Booking.objects.live().filter(event=event, user=request.user).exists():\n"
        "        raise AlreadyBooked\n",
        "",
        "bookings/tests/test_one_ticket.py",
    ),
    Guard(
        "ledger is append-only",
        "bookings/models.py",
        "        if not self._state.adding:\n            raise AppendOnly\n",
        "",
        "bookings/tests/test_ledger.py",
    ),
    # Who may
    Guard(
        "owner of a booking",
        "bookings/views/bookings.py",
        "if booking is None or not self.may_see(booking):",
        "if booking is None:",
        "bookings/tests/test_booking_detail.py bookings/tests/test_cancel.py",
    ),
    Guard(
        "own bookings in the list",
        "bookings/views/bookings.py",
        "return self.queryset.filter(user=self.request.user)",
        "return self.queryset.all()",
        "bookings/tests/test_booking_list.py",
    ),
    Guard(
        "guest's token of this booking",
        "bookings/services/references.py",
        "return booking.token_hash is not None and compare_digest(booking.token_hash, hash_token(token))",
        "return booking.token_hash is not None",
        "bookings/tests/test_booking_detail.py",
    ),
    Guard(
        "own userId in the one-ticket contract",
        "bookings/one_ticket/views.py",
        '        if not caller.is_staff:\n            raise PermissionDenied("userId must be your own.")\n',
        "",
        "bookings/tests/test_one_ticket.py",
    ),
    Guard(
        "admin only",
        "accounts/permissions.py",
        "return bool(request.user.is_authenticated and request.user.is_staff)",
        "return bool(request.user.is_authenticated)",
        "bookings/tests/test_event_create.py",
    ),
    Guard(
        "revoked by logout",
        "accounts/services.py",
        "def end_session(*, session_id: int) -> None:\n    LoginSession.objects.filter(pk=session_id).delete()\n",
        "def end_session(*, session_id: int) -> None:\n    pass\n",
        "accounts/tests/test_logout.py",
    ),
    Guard(
        "revoked by a new password and by deactivation",
        "accounts/services.py",
        "return user if LoginSession(auth_hash=auth_hash).is_good_for(user) else None",
        "return user",
        "accounts/tests/test_authentication.py accounts/tests/test_password.py",
    ),
    Guard(
        "refresh tokens end with the password",
        "accounts/services.py",
        " or not session.is_good_for(session.user):",
        ":",
        "accounts/tests/test_refresh.py accounts/tests/test_password.py",
    ),
    Guard(
        "refresh tokens are good once",
        "accounts/services.py",
        "LoginSession.objects.filter(pk=session_id, refresh_id=refresh_id).update(",
        "LoginSession.objects.filter(pk=session_id).update(",
        "accounts/tests/test_refresh.py",
    ),
    Guard(
        "bad bearer token is no guest",
        "accounts/authentication.py",
        '            raise AuthenticationFailed(NOT_VALID, code="token_not_valid") from None\n',
        "            return None\n",
        "accounts/tests/test_authentication.py",
    ),
    Guard(
        "pages load and run nothing of other hosts",
        "ticks/headers.py",
        '    "script-src": "\'self\'",\n',
        '    "script-src": "*",\n',
        "ticks/tests/test_security_headers.py",
    ),
    Guard(
        "token's user is the session's",
        "accounts/authentication.py",
        'if not user or str(user.pk) != validated_token.get("sub"):',
        "if not user:",
        "accounts/tests/test_forged_tokens.py",
    ),
    Guard(
        "unknown names take as long as wrong passwords",
        "accounts/backends.py",
        "            User().set_password(password)\n",
        "",
        "accounts/tests/test_enumeration.py",
    ),
    # Throttles
    Guard(
        "throttle of guests and users",
        "ticks/throttling.py",
        "return not settings.THROTTLE_ENABLED or super().allow_request(request, view)",
        "return True",
        "ticks/tests/test_throttling.py",
    ),
    Guard(
        "throttle of logins",
        "accounts/throttles.py",
        "return count_attempt(self.key, window_seconds=WINDOW_SECONDS, now=self.now) <= self.limit",
        "return True",
        "accounts/tests/test_throttles.py",
    ),
    Guard(
        "throttle of login pages",
        "accounts/forms.py",
        "    if not attempt.allow_request(request, view=None):\n",
        "    if False:\n",
        "accounts/tests/test_browser_session.py",
    ),
    Guard(
        "forwarding headers are not trusted",
        "ticks/settings.py",
        '"NUM_PROXIES": TRUSTED_PROXIES',
        '"NUM_PROXIES": None',
        "ticks/tests/test_throttling.py accounts/tests/test_throttles.py",
    ),
    Guard(
        "headers with an underscore pass for none of a proxy",
        "ticks/wsgi.py",
        'return {variable(name): value for name, value in named.items() if "_" not in name}',
        "return {variable(name): value for name, value in named.items()}",
        "ticks/tests/test_wsgi.py",
    ),
    # The server
    Guard(
        "the deadline of a body",
        "ticks/bodies.py",
        "async with asyncio.timeout(self.seconds) as timeout:",
        "async with asyncio.timeout(None) as timeout:",
        "ticks/tests/test_slow_clients.py",
    ),
    Guard(
        "a bound on slow bodies",
        "ticks/bodies.py",
        "if len(self.slow) >= SLOW_BODIES:",
        "if False:",
        "ticks/tests/test_slow_clients.py",
    ),
    Guard(
        "the drain before a stop",
        "ticks/server.py",
        "    def _stop_workers(self):\n        self._drain()\n",
        "    def _stop_workers(self):\n",
        "ticks/tests/test_stop.py",
    ),
    Guard(
        "answers for who waits in the queue of a server that stops",
        "ticks/server.py",
        "        refusals.start()\n",
        "        refusals.run = lambda: self._sso.close()\n        refusals.start()\n",
        "ticks/tests/test_stop.py",
    ),
    Guard(
        "killed workers are replaced",
        "ticks/server.py",
        "        self.respawned_wrks.clear()\n",
        "",
        "ticks/tests/test_stop.py",
    ),
    # Secrets
    Guard(
        "what a database quotes is kept out of the log",
        "ticks/logs.py",
        "    return QUOTED.sub(r\"\\1'...'\", text)\n",
        "    return text\n",
        "ticks/tests/test_request_log.py",
    ),
    Guard(
        "no query string in the log",
        "ticks/logs.py",
        '"path": request.path,',
        '"path": request.get_full_path(),',
        "ticks/tests/test_request_log.py",
    ),
    # Input
    Guard(
        "charsets that are none",
        "ticks/intake.py",
        "return charset is None or codecs.lookup(charset).name in CHARSETS",
        "return True",
        "ticks/tests/test_intake.py",
    ),
    Guard(
        "body's size",
        "ticks/parsers.py",
        "    if int(length) > settings.BODY_LIMIT:\n        raise TooLarge\n",
        "",
        "ticks/tests/test_parsers.py",
    ),
    Guard(
        "deep JSON",
        "ticks/parsers.py",
        "        except RecursionError as error:\n"
        '            raise ParseError("JSON parse error: it is nested too deeply.") from error\n',
        "",
        "ticks/tests/test_parsers.py",
    ),
    Guard(
        "a name twice in JSON",
        "ticks/parsers.py",
        "    if len(named) < len(pairs):\n",
        "    if False:\n",
        "ticks/tests/test_parsers.py",
    ),
    Guard(
        "true is no number",
        "ticks/fields.py",
        "if isinstance(given, bool) or not isinstance(given, int):",
        "if not isinstance(given, int):",
        "ticks/tests/test_fields.py",
    ),
    Guard(
        "control characters",
        "ticks/fields.py",
        'if any(unicodedata.category(character) == "Cc" for character in text):',
        "if False:",
        "ticks/tests/test_fields.py bookings/tests/test_book.py",
    ),
]
