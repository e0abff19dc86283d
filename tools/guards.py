"""The guards of Ticks. Each has the edit that removes it, and the tests that must fail without it.

`make mutants` tries them. If a guard's code has changed, it fails there until its line here is updated."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """An edit: `old` stands once in the file at `path` and becomes `new`. `tests` are pytest's arguments."""

    name: str
    path: str
    old: str
    new: str
    tests: str
    # The tests need row locks or another feature that SQLite does not have.
    on_mariadb: bool = False


@dataclass(frozen=True)
class Constraint:
    """A constraint of the database, taken out of the migration that makes it."""

    name: str
    path: str
    tests: str = "bookings/tests/models/test_constraints.py"


EVENTS = "events/migrations/0001_initial.py"
BOOKINGS = "bookings/migrations/0001_initial.py"
MAILS = "bookings/migrations/0013_mails.py"
MAIL_CHOICES = "bookings/migrations/0016_mail_choices.py"
ANNOUNCEMENTS = "bookings/migrations/0017_announcements.py"

CONSTRAINTS = [
    Constraint("event_has_tickets", EVENTS),
    Constraint("event_available_within_total", EVENTS),
    Constraint("event_version_from_one", EVENTS),
    Constraint("event_booking_limit_from_one", EVENTS),
    Constraint("event_person_limit_from_one", "events/migrations/0008_person_limit.py"),
    Constraint("event_sales_end_after_start", EVENTS),
    Constraint("event_policy_known", EVENTS),
    Constraint("event_deleted_holds_nothing", EVENTS),
    Constraint("booking_waitlist_number_unique", BOOKINGS),
    Constraint("booking_one_ticket_a_user", "bookings/migrations/0003_counts_and_line.py"),
    Constraint("booking_has_tickets", BOOKINGS),
    Constraint("booking_status_known", BOOKINGS),
    Constraint("booking_number_while_waiting", BOOKINGS),
    Constraint("booking_token_for_guests", BOOKINGS),
    Constraint("booking_one_ticket_while_live", BOOKINGS),
    Constraint("ledger_sequence_unique", BOOKINGS),
    Constraint("ledger_sequence_from_one", BOOKINGS),
    Constraint("ledger_kind_fits_booking", "bookings/migrations/0004_notes_hours_checks.py"),
    Constraint("one_counter_a_window", "accounts/migrations/0001_initial.py", "accounts/tests/test_attempts.py"),
    Constraint("event_waiting_want_tickets", "events/migrations/0006_waitlisted_tickets_hold.py"),
    Constraint("ledger_place_of_moved", "bookings/migrations/0004_notes_hours_checks.py"),
    Constraint("sales_hour_unique", "bookings/migrations/0004_notes_hours_checks.py"),
    Constraint("feed_part_unique", "bookings/migrations/0011_feed_parts.py"),
    Constraint("feed_part_number_from_one", "bookings/migrations/0011_feed_parts.py"),
    Constraint("feed_part_has_entries", "bookings/migrations/0011_feed_parts.py"),
    Constraint("mail_unique", MAILS, "bookings/tests/models/test_outbox.py"),
    Constraint("mail_sent_has_time", MAILS, "bookings/tests/models/test_outbox.py"),
    Constraint(
        "link_request_sent_has_time",
        "bookings/migrations/0018_link_requests.py",
        "bookings/tests/models/test_outbox.py",
    ),
    Constraint("former_holder_unique", MAILS, "bookings/tests/models/test_outbox.py"),
    Constraint("mail_choice_unique", MAIL_CHOICES, "bookings/tests/models/test_outbox.py"),
    Constraint("mail_choice_has_entries", MAIL_CHOICES, "bookings/tests/models/test_outbox.py"),
    Constraint("announcement_unique", ANNOUNCEMENTS, "bookings/tests/models/test_outbox.py"),
]

GUARDS = [
    # Locks and transactions
    Guard(
        "lock on the event",
        "bookings/services/inventory.py",
        "Event.objects.select_for_update().filter(pk__in=range(events))",
        "Event.objects.filter(pk__in=range(events))",
        "bookings/tests/services/test_batches.py -k crowd",
        on_mariadb=True,
    ),
    Guard(
        "READ COMMITTED",
        "ticks/settings.py",
        '"isolation_level": "read committed"',
        '"isolation_level": "repeatable read"',
        "bookings/tests/races/test_races.py bookings/tests/api/test_book.py "
        "bookings/tests/services/test_idempotency.py",
        on_mariadb=True,
    ),
    Guard(
        "SQLite's writers queue up from BEGIN on",
        "ticks/settings.py",
        '"transaction_mode": "IMMEDIATE"',
        '"transaction_mode": "DEFERRED"',
        "bookings/tests/races/test_races.py",
    ),
    Guard(
        "no retry inside another transaction",
        "ticks/db/transactions.py",
        "transaction.atomic(durable=True)",
        "transaction.atomic()",
        "ticks/tests/db/test_transactions.py",
    ),
    Guard(
        "a transaction is begun with autocommit off",
        "ticks/db/mysql/base.py",
        "            super().autocommit(self.wants_autocommit)\n",
        "            super().query(b'SET autocommit = 1' if self.wants_autocommit else b'BEGIN')\n",
        "bookings/tests/services/test_statements.py -k begun",
        on_mariadb=True,
    ),
    Guard(
        "a database that takes no writes is away",
        "ticks/db/outage.py",
        "LOST = UNREACHABLE | READ_ONLY",
        "LOST = UNREACHABLE",
        "ticks/tests/db/test_database_away.py -k demote",
        on_mariadb=True,
    ),
    Guard(
        "connections from before an outage are given up",
        "ticks/db/mysql/base.py",
        "if self.opened_at < outage.stale_before:",
        "if False:",
        "bookings/tests/services/test_outage.py",
        on_mariadb=True,
    ),
    Guard(
        "the driver waits longer than for a lock",
        "ticks/settings.py",
        '"DB_SECONDS", LOCK_SECONDS + 1, LOCK_SECONDS + 1, 60',
        '"DB_SECONDS", LOCK_SECONDS, LOCK_SECONDS, 60',
        "bookings/tests/api/fast_path/test_queue_served.py -k somebody_else",
        on_mariadb=True,
    ),
    Guard(
        "tables' locks are waited for no longer than rows'",
        "ticks/settings.py",
        ", lock_wait_timeout={LOCK_SECONDS}",
        "",
        "bookings/tests/api/fast_path/test_queue_served.py -k somebody_else",
        on_mariadb=True,
    ),
    Guard(
        "queue: half of it for one event",
        "bookings/services/batch_queue.py",
        " or (jobs and len(jobs) >= max(1, self.length // 2))",
        "",
        "bookings/tests/services/test_batch_queue.py",
    ),
    Guard(
        "queue: two jobs of a batch do not have the same key",
        "bookings/services/batch_queue.py",
        " and waiting[0].digest not in self.digests",
        "",
        "bookings/tests/services/test_batch_queue.py bookings/tests/services/test_batches.py",
    ),
    # Idempotency
    Guard(
        "unique key",
        BOOKINGS,
        "('digest', ticks.db.fields.ExactCharField(max_length=64, unique=True))",
        "('digest', ticks.db.fields.ExactCharField(max_length=64))",
        "bookings/tests/models/test_constraints.py bookings/tests/races/test_races.py",
        on_mariadb=True,
    ),
    Guard(
        "key in flight",
        "bookings/services/idempotency.py",
        "yield {digest for digest, answer in zip(names, answers, strict=True) if answer != 0}",
        "yield set(names)",
        "bookings/tests/services/test_idempotency.py",
        on_mariadb=True,
    ),
    Guard(
        "key is let go",
        "bookings/services/idempotency.py",
        "if locked and connection.connection is not None:",
        "if False:",
        "bookings/tests/services/test_idempotency.py",
        on_mariadb=True,
    ),
    # Tickets
    Guard(
        "lock before tickets are voided",
        "bookings/services/voiding.py",
        "    event = lock_event(booking.event_id)\n    [booking] = read_bookings([booking.pk], is_locking=True)\n",
        "    event = booking.event\n    [booking] = read_bookings([booking.pk])\n",
        "bookings/tests/races/test_ticket_races.py",
        on_mariadb=True,
    ),
    Guard(
        "a ticket's signature",
        "bookings/services/tickets.py",
        "compare_digest(ticket_code(*named, secret), code)",
        "True",
        "bookings/tests/services/test_tickets.py",
    ),
    Guard(
        "no code for who has just lost the booking",
        "bookings/services/tickets.py",
        "filter(pk=booking.pk, user=booking.user_id, token_hash=booking.token_hash)",
        "filter(pk=booking.pk)",
        "bookings/tests/services/test_tickets.py bookings/tests/api/test_tickets.py",
    ),
    Guard(
        "another person gets other codes",
        "bookings/services/transfer.py",
        "    if not holder.is_same:\n        raise_epoch(booking)\n",
        "",
        "bookings/tests/services/test_tickets.py",
    ),
    # Rules
    Guard(
        "a link's signature",
        "bookings/services/links.py",
        "if booking is None or not is_link_key(booking, key):",
        "if booking is None:",
        "bookings/tests/services/test_links.py bookings/tests/pages/test_open.py",
    ),
    Guard(
        "a link ends with its mail address",
        "bookings/services/links.py",
        "{epoch_of(booking)} {booking.email}",
        "{epoch_of(booking)}",
        "bookings/tests/services/test_links.py bookings/tests/pages/test_correct_address.py",
    ),
    Guard(
        "a link ends with its epoch",
        "bookings/services/links.py",
        "{booking.pk} {epoch_of(booking)}",
        "{booking.pk}",
        "bookings/tests/services/test_links.py",
    ),
    Guard(
        "an open page closes after an hour",
        "bookings/pages/access.py",
        "salt=SALT, max_age=OPEN_SECONDS)",
        "salt=SALT)",
        "bookings/tests/pages/test_open.py -k hour",
    ),
    Guard(
        "a link's key leaves in no referrer",
        "bookings/pages/access.py",
        '        response["Referrer-Policy"] = "no-referrer"\n',
        "",
        "bookings/tests/pages/test_open.py -k without_its_key",
    ),
    Guard(
        "an address gets few mails with links",
        "bookings/pages/lost.py",
        "seconds=HOUR).is_allowed:",
        "seconds=HOUR):",
        "bookings/tests/pages/test_lost_link.py -k three_mails",
    ),
    Guard(
        "a network asks for few links",
        "bookings/pages/lost.py",
        "with limited(LIMITS, request):",
        "with limited([], request):",
        "bookings/tests/pages/test_lost_link.py -k network",
    ),
    Guard(
        "a former holder corrects nothing",
        "bookings/services/correction.py",
        "if any(getattr(booking, name) != getattr(seen, name) for name in HOLDER):",
        "if False:",
        "bookings/tests/races/test_ticket_races.py -k taken_back",
    ),
    Guard(
        "a second click opens only what the first has done",
        "bookings/services/correction.py",
        'json.loads(known.answer) != {"epoch": epoch_of(booking)} or booking.email != email',
        "False",
        "bookings/tests/pages/test_correct_address.py -k second_click",
    ),
    Guard(
        "one ticket a user",
        "bookings/rules.py",
        "    if claim.is_one_ticket and inventory.live_claims_of(claim.holder):\n        raise AlreadyBooked\n",
        "",
        "bookings/tests/api/test_one_ticket.py",
    ),
    Guard(
        "person limit counts the earlier commands of the batch",
        "bookings/rules.py",
        "        inventory.claims_by_holder[claim.holder].append(claim)\n",
        "        pass\n",
        "bookings/tests/rules/test_rules.py -k person_limit",
    ),
    Guard(
        "nobody is promoted after the end of sales",
        "bookings/rules.py",
        "    if inventory.has_ended(now):\n        return\n",
        "",
        "bookings/tests/rules/test_rules.py -k end_of_sales",
    ),
    Guard(
        "guests' bookings have a throttle of their own",
        "bookings/api/views.py",
        'booking_actions = ("create",)',
        "booking_actions = ()",
        "ticks/tests/api/test_throttling.py",
    ),
    Guard(
        "ledger is append-only",
        "bookings/models.py",
        "        if not self._state.adding:\n            raise AppendOnly\n",
        "",
        "bookings/tests/admin/test_ledger.py",
    ),
    # Batches and their queue
    Guard(
        "batch: nobody is told before the commit",
        "bookings/services/batches.py",
        "        self.is_committing = True\n        return results\n",
        "        self.is_committing = True\n"
        "        for job, result in results.items():\n"
        "            job.result = result\n"
        "        return results\n",
        "bookings/tests/services/test_batches.py",
    ),
    Guard(
        "batch: an interrupted commit is unknown",
        "bookings/services/batches.py",
        "            if self.is_committing:\n",
        "            if False:\n",
        "bookings/tests/services/test_batches.py",
    ),
    Guard(
        "batch: sessions that have ended",
        "bookings/services/batches.py",
        "        raise EndedLogins(ended)\n",
        "        pass\n",
        "bookings/tests/services/test_batches.py",
    ),
    Guard(
        "batch: a key's answer goes before a refusal",
        "bookings/services/batches.py",
        "            replay_keys_of_refused(jobs, results)\n",
        "",
        "bookings/tests/services/test_idempotency.py",
    ),
    Guard(
        "batch: no booking inside another transaction",
        "bookings/services/batches.py",
        "    refuse_to_nest()\n    if settings",
        "    if settings",
        "bookings/tests/services/test_batches.py",
    ),
    Guard(
        "batch: events are locked in id order",
        "bookings/services/inventory.py",
        '.filter(pk__in=range(events)).order_by("pk")',
        '.filter(pk__in=range(events)).order_by("-pk")',
        "bookings/tests/services/test_batches.py",
    ),
    # Permissions
    Guard(
        "owner of a booking",
        "bookings/api/holders.py",
        "if not self.account().is_staff or booking is None:",
        "if booking is None:",
        "bookings/tests/api/test_booking_detail.py bookings/tests/api/test_cancel.py",
    ),
    Guard(
        "admin only",
        "accounts/permissions.py",
        "class IsAdmin(IsAdminUser):",
        "class IsAdmin(BasePermission):",
        "bookings/tests/api/test_event_create.py",
    ),
    Guard(
        "refresh tokens are good once",
        "accounts/services.py",
        "if first_use is None or first_use >= too_early",
        "if first_use is None or first_use",
        "accounts/tests/test_refresh.py",
    ),
    Guard(
        "two refreshes at once both get a good token",
        "accounts/services.py",
        "LoginSession.objects.select_for_update().filter(pk=session_id)",
        "LoginSession.objects.filter(pk=session_id)",
        "accounts/tests/test_refresh.py -k at_once_all_get",
        on_mariadb=True,
    ),
    Guard(
        "unknown name in a body is refused",
        "ticks/api/fields.py",
        "        if unknown:\n            raise ValidationError(unknown)\n",
        "",
        "bookings/tests/api/test_mass_assignment.py",
    ),
    Guard(
        "account that is deleted while its batch is carried out is told so",
        "bookings/services/batches.py",
        "        if job.session_id is not None:\n            logins.check_first()\n",
        "",
        "bookings/tests/services/test_batches.py -k deleted",
        on_mariadb=True,
    ),
    Guard(
        "login name is one account's, whoever is at it at the same moment",
        "accounts/models.py",
        "            self.reserve_names()\n",
        "",
        "accounts/tests/test_login_names.py -k one_name_at_once",
        on_mariadb=True,
    ),
    # Throttles
    Guard(
        "one hash at a time",
        "accounts/backends.py",
        "hashing = threading.RLock()",
        "hashing = threading.Semaphore(99)",
        "accounts/tests/test_hashing_slot.py",
    ),
    # Upgrades
    Guard(
        "nobody books between a fill and its constraint",
        "ticks/db/migrations.py",
        '    if connection.vendor != "mysql":\n',
        "    if True:\n",
        "bookings/tests/models/test_upgrades.py -k comes_to_its_end",
        on_mariadb=True,
    ),
    Guard(
        "nobody registers between reading the names and reserving them",
        "accounts/migrations/0003_hashed_sessions_and_login_names.py",
        "        LockedTables(TABLES, [\n",
        "        migrations.SeparateDatabaseAndState([\n",
        "bookings/tests/models/test_upgrades.py -k nobody_registers",
        on_mariadb=True,
    ),
    Guard(
        "SQLite migrates in one transaction",
        "ticks/management/commands/migrate.py",
        "            taken.enter_context(transaction.atomic(using=connection.alias))\n",
        "            pass\n",
        "bookings/tests/models/test_upgrades.py -k killed",
    ),
    Guard(
        "one migrate at a time",
        "ticks/management/commands/migrate.py",
        "        is_taken = cursor.fetchone() == (1,)\n",
        "        is_taken = True\n",
        "ticks/tests/db/test_migrate.py -k wait",
        on_mariadb=True,
    ),
    Guard(
        "only a database in utf8mb4",
        "ticks/management/commands/migrate.py",
        "        refuse_other_charset()\n",
        "",
        "ticks/tests/db/test_charset.py -k mends",
        on_mariadb=True,
    ),
    # Events that are cancelled part by part
    Guard(
        "the live bookings of a cancelled event are shown as cancelled",
        "bookings/models.py",
        "        if booking.event.deleted_at:\n",
        "        if False:\n",
        "bookings/tests/services/test_event_cancellation.py -k no_live_booking",
    ),
    # Texts of the staff's pages
    Guard(
        "one check of an event at a time",
        "bookings/services/checks.py",
        "if not kept.filter(idle).update(",
        "if not kept.update(",
        "bookings/tests/services/test_checks.py -k 'at_once or stale'",
    ),
    # Exports and the import of events
    Guard(
        "one export at a time",
        "bookings/admin/exports.py",
        "        if not making.acquire(blocking=False):\n",
        "        if False:\n",
        "bookings/tests/admin/test_exports_served.py -k beside",
        on_mariadb=True,
    ),
    Guard(
        "events: a known key is replayed",
        "bookings/services/idempotency.py",
        "        if receipt := self.find():\n            return receipt\n        if not",
        "        if not",
        "bookings/tests/services/test_idempotency_keys.py -k replays_the_first_answer",
    ),
    Guard(
        "events: a key's answer goes before a refusal",
        "bookings/services/idempotency.py",
        "if refusal.status < 500 and (receipt := self.find()):",
        "if False:",
        "bookings/tests/services/test_idempotency_keys.py -k another_node",
    ),
    Guard(
        "events: a key in flight",
        "bookings/services/idempotency.py",
        "        if not is_free:\n            raise KeyInFlight\n",
        "",
        "bookings/tests/services/test_idempotency_keys.py -k in_flight",
        on_mariadb=True,
    ),
    Guard(
        "events: the key commits with the write",
        "bookings/services/idempotency.py",
        "        sql.run_all(sql.insert_keys([key], {}, timezone.now()))\n",
        "",
        "bookings/tests/services/test_idempotency_keys.py -k replays_the_first_answer",
    ),
    Guard(
        "a key's other request is refused",
        "bookings/services/idempotency.py",
        "    if known.fingerprint != fingerprint:\n",
        "    if False:\n",
        "bookings/tests/services/test_idempotency_keys.py -k another_body",
    ),
    Guard(
        "a route that takes no key says so",
        "ticks/api/idempotency.py",
        "            raise ValidationError({HEADER: [NO_KEY]})\n",
        "            pass\n",
        "bookings/tests/services/test_idempotency_keys.py -k every_other_route",
    ),
    # The change feed
    Guard(
        "parts of the feed have consecutive numbers",
        "bookings/services/changes.py",
        "parts_of(moved_events(), after=last)",
        "parts_of(moved_events(), after=last + 1)",
        "bookings/tests/races/test_change_races.py -k skips_no_late_commit",
        on_mariadb=True,
    ),
    Guard(
        "a part of the feed ends where the entries end",
        "bookings/services/changes.py",
        'values_list("pk", in_feed, latest_sequence())',
        'values_list("pk", in_feed, "ledger_sequence")',
        "bookings/tests/api/test_changes.py -k as_far_as",
    ),
    Guard(
        "a cursor that is none is refused",
        "bookings/services/changes.py",
        "            raise UnknownCursor\n",
        "            pass\n",
        'bookings/tests/api/test_changes.py -k "bad_cursor or is_gone"',
    ),
    # Mails
    Guard(
        "mails: one process reads an event's ledger at a time",
        "bookings/services/notifications.py",
        "DeliveryPosition.objects.select_for_update(skip_locked=can_skip).filter",
        "DeliveryPosition.objects.filter",
        "bookings/tests/services/test_notifications.py -k readers_at_once",
        on_mariadb=True,
    ),
    Guard(
        "mails: the position commits with the mails",
        "bookings/services/notifications.py",
        "@in_one_transaction\ndef read_part",
        "def read_part",
        "bookings/tests/services/test_notifications.py -k interrupted",
    ),
    Guard(
        "mails: a gap in the ledger is not passed",
        "bookings/services/notifications.py",
        "if entry.sequence != expected:",
        "if False:",
        "bookings/tests/services/test_notifications.py -k gap",
    ),
    Guard(
        "mails: an upgrade tells nothing of the past",
        MAILS,
        "sequence=event.ledger_sequence",
        "sequence=0",
        "bookings/tests/models/test_upgrades.py -k mails_nothing",
    ),
    Guard(
        "mails: one process leases a mail",
        "ticks/db/outgoing.py",
        "locked = rows.select_for_update(skip_locked=can_skip).order_by",
        "locked = rows.order_by",
        "bookings/tests/services/test_mails.py -k at_once",
        on_mariadb=True,
    ),
    Guard(
        "mails: only the lease that is alive marks",
        "ticks/db/outgoing.py",
        "filter(pk=self.pk, lease=self.lease)",
        "filter(pk=self.pk)",
        "bookings/tests/services/test_mails.py -k lease",
    ),
    Guard(
        "mails: those of a booking leave in order",
        "bookings/outbox.py",
        "filter(~Exists(earlier))",
        "all()",
        "bookings/tests/services/test_mails.py -k order",
    ),
    Guard(
        "mails: each is marked before the next is sent",
        "ticks/mails.py",
        "    mail.mark_sent()\n",
        "",
        "bookings/tests/services/test_mails.py -k leaves_and_is_marked",
    ),
    Guard(
        "mails: nobody is told if staff choose so",
        "bookings/services/notifications.py",
        "bool(self.to.email) and not self.is_silent",
        "bool(self.to.email)",
        "bookings/tests/services/test_mail_choices.py -k silent",
    ),
    Guard(
        "mails: a silent edit is told by no other",
        "bookings/services/notifications.py",
        "        values |= {name: old for name, old, _ in changes}\n",
        "        pass\n",
        "bookings/tests/services/test_mail_choices.py -k silent_edit",
    ),
    Guard(
        "announcements: an address gets one mail",
        "bookings/services/announcements.py",
        "if to.email not in written_to:",
        "if to.email:",
        "bookings/tests/services/test_announcements.py -k several_bookings",
    ),
    Guard(
        "announcements: one process reads a part",
        "bookings/services/announcements.py",
        "left = Announcement.objects.select_for_update(skip_locked=can_skip)",
        "left = Announcement.objects.all()",
        "bookings/tests/services/test_announcements.py -k readers_at_once",
        on_mariadb=True,
    ),
    Guard(
        "announcements: earlier mails are there first",
        "bookings/services/announcements.py",
        "left.filter(is_next)",
        "left",
        "bookings/tests/services/test_announcements.py -k waits_until",
    ),
    Guard(
        "announcements: one that was stopped sends nothing",
        "bookings/services/messages.py",
        "self.announcement.stopped_at is not None or ",
        "",
        "bookings/tests/services/test_announcements.py -k claimed_as_it_was_stopped",
    ),
    Guard(
        "mails: no tickets for who has just lost the booking",
        "bookings/services/messages.py",
        "self.booking.status == BookingStatus.COMPLETED and self.is_about_booking",
        "self.booking.status == BookingStatus.COMPLETED",
        "bookings/tests/services/test_messages.py -k just_lost",
    ),
    Guard(
        "mails: no cancellation for a former holder",
        "bookings/services/messages.py",
        "self.booking.status == BookingStatus.CANCELLED and self.is_about_booking",
        "self.booking.status == BookingStatus.CANCELLED",
        "bookings/tests/services/test_messages.py -k former_holder",
    ),
    Guard(
        "mails: a former holder's calendar entry describes no booking",
        "bookings/services/messages.py",
        "is_described=not message.is_former",
        "is_described=True",
        "bookings/tests/services/test_messages.py -k taken_out_describes",
    ),
    Guard(
        "languages: an admin's is not that of whom they book for",
        "bookings/api/one_ticket.py",
        ' if user == request.user else ""',
        "",
        "bookings/tests/api/test_languages.py -k admin",
    ),
    # Actions of staff
    Guard(
        "only what was shown is done",
        "ticks/staff_actions.py",
        "if is_confirmed and shown == stamp and",
        "if is_confirmed and",
        "bookings/tests/admin/test_event_actions.py "
        'bookings/tests/admin/test_booking_actions.py -k "not_shown_first or meanwhile"',
    ),
    Guard(
        "caller's booking confirmed twice",
        "bookings/admin/events/actions.py",
        'book_tickets(self.booking_request(form), key=form.cleaned_data["key"])',
        "book_tickets(self.booking_request(form))",
        "bookings/tests/admin/test_book_for_caller.py -k twice",
    ),
    # Time zones
    Guard(
        "a day is that of the event's zone",
        "bookings/services/events.py",
        'zone = ZoneInfo(changes.get("time_zone", event.time_zone))',
        'zone = ZoneInfo("UTC")',
        "bookings/tests/api/test_event_change.py -k moves_days",
    ),
    Guard(
        "no time that the clocks pass over",
        "ticks/zones.py",
        "if shown != local:",
        "if False:",
        "ticks/tests/test_zones.py bookings/tests/admin/test_event_edit.py",
    ),
    Guard(
        "no unknown zone by the API",
        "ticks/api/fields.py",
        "if fault := fault_of_zone(name):",
        "if fault := None:",
        "bookings/tests/api/test_event_create.py -k timeZone",
    ),
    Guard(
        "no unknown zone by a form or a file",
        "events/models.py",
        "if fault := fault_of_zone(name):",
        "if fault := None:",
        "bookings/tests/admin/test_event_edit.py bookings/tests/admin/test_sales_end_pages.py",
    ),
    Guard(
        "nobody is told of a zone that was not noted",
        "bookings/services/notifications.py",
        '{"time_zone": event.time_zone, **position.known_values}',
        "position.known_values",
        "bookings/tests/services/test_notifications.py -k time_zone",
    ),
    Guard(
        "an export tells two times apart that look the same",
        "bookings/admin/exports.py",
        "is_shown_twice(moment, event.zone) or local.year < EARLIEST.year",
        "local.year < EARLIEST.year",
        "bookings/tests/admin/test_exports.py -k time_zone",
    ),
    Guard(
        "servers of the version before add events",
        "events/migrations/0009_time_zone.py",
        "db_default='UTC', ",
        "",
        "bookings/tests/models/test_upgrades.py -k usual_zone",
    ),
]
