"""What a mail says: texts of each kind, names that try to be more than names, and an operator's own templates."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.template import engines
from django.test import override_settings
from django.utils import timezone

from accounts.tests.factories import UserFactory, new_api_key
from bookings.documents.pdf import tickets_pdf
from bookings.enums import FactKind
from bookings.models import Booking
from bookings.outbox import NOTIFIED_FIELDS, Mail
from bookings.services.cancellation import cancel_tickets
from bookings.services.epochs import with_epochs
from bookings.services.events import cancel_event, change_event
from bookings.services.links import link_to
from bookings.services.messages import CHANGE_LABELS, Message, compose_mail, main_fact
from bookings.services.tickets import MAX_IN_FILE, read_ticketed, tickets_of
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.voiding import void_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all
from bookings.tests.written_mails import calendar_of, files, written
from ticks.text import one_line

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on")]


def tickets_now(booking):
    """The same tickets make the same file."""
    held = read_ticketed(booking)
    return tickets_pdf(held, tickets_of(held, most=MAX_IN_FILE))


@pytest.fixture
def gala(db):
    date = datetime(2030, 12, 1, 19, 30, tzinfo=UTC)
    return EventFactory(name="Gala", venue="Old Hall", date=date, sales_end=date, total_tickets=4)


@pytest.fixture
def ada(gala):
    return BookingFactory(event=gala, tickets=3, email="ada@example.org")


def test_booked_says_what_when_where_and_how_many(ada):
    read_all()

    subject, text, html = written()

    assert subject == "Your tickets for Gala"
    assert text.replace("\r\n", "\n") == (
        "Hello Ada Lovelace,\n\nYour booking is confirmed.\n\nYour tickets are attached.\n\n"
        "Event: Gala\nDate: 1 December 2030, 19:30 UTC\n"
        f"Venue: Old Hall\nBooking: {ada.reference}\nTickets: 3\n\n"
        "Your booking holds 3 tickets.\n\n"
        f"See or change your booking:\n{link_to(with_epochs().get())}\n\n"
        "This mail was sent automatically.\n"
    )
    for part in ("Hello Ada Lovelace,", "Your booking is confirmed.", "Old Hall", ada.reference, "holds 3 tickets"):
        assert part in html


def test_booked_has_the_tickets_and_the_date_for_a_calendar(ada):
    read_all()

    found = files()

    assert set(found) == {"application/pdf", "text/calendar"}
    assert found["application/pdf"].get_filename() == f"tickets-{ada.reference}.pdf"
    assert found["application/pdf"].get_payload(decode=True) == tickets_now(ada)
    calendar = found["text/calendar"]
    assert (calendar.get_param("method"), calendar.get_filename()) == ("PUBLISH", "event.ics")
    entry = calendar_of(calendar).vevent
    assert (entry.dtstart.value, entry.status.value) == (ada.event.date, "CONFIRMED")
    assert entry.organizer.value == "mailto:ticks@localhost"


def test_link_opens_the_holders_page(client, ada):
    read_all()
    _, text, html = written()
    link = re.search(r"^http://127\.0\.0\.1:8000(/my/open/\S+)$", text.replace("\r\n", "\n"), re.MULTILINE)[1]

    page = client.get(link, follow=True)

    assert (page.status_code, page.context["booking"]) == (200, ada)
    assert f'href="http://127.0.0.1:8000{link}"' in html


def test_only_the_new_holder_of_a_booking_gets_its_link(ada, admin_user):
    read_all()
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    # The first mail still waits.
    waited = written(Mail.objects.get())
    read_all()

    former, new = (written(Mail.objects.get(email=f"{name}@example.org")) for name in ("ada", "grace"))

    link = link_to(with_epochs().get())
    assert link in new[1]
    assert [part for part in (*waited, *former) if "/my/" in part] == []


def test_waiting_and_cancelled_bookings_get_links(gala, ada):
    waiting = BookingFactory(event=gala, tickets=4)
    cancel_tickets(waiting)
    read_all()

    texts = [written(mail)[1] for mail in Mail.objects.filter(booking=waiting)]

    assert [link_to(with_epochs().get(pk=waiting.pk)) in text for text in texts] == [True]


def test_event_without_a_date_has_tickets_and_no_entry():
    BookingFactory(event=EventFactory(date=None), tickets=1, email="ada@example.org")
    read_all()

    assert set(files()) == {"application/pdf"}
    assert "Your ticket is attached." in written()[1]


def test_waiting_booking_has_no_files(gala, ada):
    waiting = BookingFactory(event=gala, tickets=4)
    read_all()
    mail = Mail.objects.get(booking=waiting)

    assert files(mail) == {}
    assert "attached" not in written(mail)[1]

    cancel_tickets(waiting, actor=waiting.user)
    assert files(mail) == {}


def test_cancelled_booking_is_taken_out_of_the_calendar(ada):
    read_all()
    published = calendar_of(files()["text/calendar"]).vevent
    cancel_tickets(ada, actor=ada.user)

    found = files()

    assert set(found) == {"text/calendar"}
    assert found["text/calendar"].get_param("method") == "CANCEL"
    entry = calendar_of(found["text/calendar"]).vevent
    assert (entry.uid.value, entry.status.value) == (published.uid.value, "CANCELLED")
    assert int(entry.sequence.value) > int(published.sequence.value)


def test_entry_that_is_taken_out_describes_the_booking_to_its_holder_alone(ada, admin_user):
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    read_all()
    cancel_tickets(Booking.objects.get(), actor=admin_user)

    former, new = (files(Mail.objects.get(state="waiting", email=f"{name}@example.org")) for name in ("ada", "grace"))

    assert not hasattr(calendar_of(former["text/calendar"]).vevent, "description")
    assert calendar_of(new["text/calendar"]).vevent.description.value == f"Booking {ada.reference}, 3 tickets"


def test_former_holder_of_a_booking_that_is_cancelled_since_is_told_no_cancellation(ada, admin_user):
    read_all()
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    cancel_tickets(Booking.objects.get(), actor=admin_user)

    # The transfer was not read yet, and this mail says that the booking is confirmed.
    assert files(Mail.objects.get()) == {}


def test_booking_that_held_tickets_only_after_a_mail_was_in_no_calendar_then(gala, ada):
    waiting = BookingFactory(event=gala, tickets=4)
    read_all()
    cancel_tickets(ada, actor=ada.user)
    cancel_tickets(waiting, actor=waiting.user)

    # The promotion and the cancellation were not read yet.
    assert files(Mail.objects.get(booking=waiting)) == {}


def test_mail_reads_its_booking_once(ada, django_assert_num_queries):
    read_all()
    mail = Mail.objects.get()
    compose_mail(mail)

    with django_assert_num_queries(1):
        compose_mail(mail)


def test_former_holder_gets_no_tickets_and_the_new_one_gets_new_codes(ada, admin_user):
    read_all()
    old = tickets_now(ada)
    Mail.objects.update(state="sent", sent_at=timezone.now())
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    read_all()

    former, new = (files(Mail.objects.get(state="waiting", email=f"{name}@example.org")) for name in ("ada", "grace"))

    assert set(former) == {"text/calendar"}
    assert former["text/calendar"].get_param("method") == "CANCEL"
    assert new["application/pdf"].get_payload(decode=True) == tickets_now(Booking.objects.get()) != old


def test_mail_to_whoever_has_just_lost_the_booking_shows_neither_tickets_nor_state(ada, admin_user):
    read_all()
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)

    # The transfer was not read yet.
    assert files(Mail.objects.get()) == {}
    assert not [part for part in written() if "Your booking holds" in part or ada.reference in part]


def test_booking_that_comes_back_comes_back_into_the_calendar(ada, admin_user):
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    numbers = []
    for name in ("grace", "ada"):
        holder = Holder(name, "", f"{name}@example.org")
        transfer_booking(Booking.objects.get(), holder=holder, actor=admin_user)
        read_all()
        [mail] = Mail.objects.filter(state="waiting", email="ada@example.org")
        numbers.append(int(calendar_of(files(mail)["text/calendar"]).vevent.sequence.value))
        Mail.objects.update(state="sent", sent_at=timezone.now())

    assert numbers == sorted({*numbers})


@pytest.mark.parametrize(("is_staff", "who"), [(True, "The organiser has"), (False, "You have")])
def test_cancelled_with_the_token_by_somebody_else_s_login_is_the_holders_own(gala, is_staff, who):
    booking = BookingFactory(event=gala, user=None, email="ada@example.org")
    cancel_tickets(booking, actor=UserFactory(is_staff=is_staff))
    read_all()

    assert f"{who} cancelled your booking" in written()[1]


@pytest.mark.parametrize("is_voided_first", [True, False])
def test_new_codes_are_told_beside_tickets_that_were_given_back(ada, admin_user, is_voided_first):
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    steps = [
        lambda: void_tickets(ada, reason="lost", actor=admin_user),
        lambda: cancel_tickets(ada, tickets=1, actor=ada.user),
    ]
    for step in steps if is_voided_first else reversed(steps):
        step()
    read_all()

    subject, *parts = written(Mail.objects.get(state="waiting"))

    assert subject == "Fewer tickets in your booking for Gala"
    assert ["You have given back 1 ticket." in part for part in parts] == [True, True]
    assert ["Your old codes no longer work." in part for part in parts] == [True, True]


def test_tickets_that_holder_and_staff_gave_back_are_counted_together(ada, admin_user):
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    cancel_tickets(ada, tickets=1, actor=admin_user)
    cancel_tickets(ada, tickets=1, actor=ada.user)
    read_all()

    _, text, _ = written(Mail.objects.get(state="waiting"))

    # Neither of them did it alone.
    assert "2 tickets of your booking were given back." in text
    assert "You have given back" not in text
    assert "old codes" not in text


def test_name_like_a_note_is_no_voided_ticket(gala, admin_user):
    booking = BookingFactory(event=gala, user=None, first_name="old codes voided:", last_name="", email="a@example.org")
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    read_all()

    assert written(Mail.objects.get(email="grace@example.org"))[0] == "A booking for Gala is now yours"


def test_booking_of_more_tickets_than_a_file_takes_says_so():
    BookingFactory(event=EventFactory(total_tickets=101), tickets=101, email="ada@example.org")
    read_all()

    assert "You have too many tickets for one mail. The page of your booking has them." in written()[1]
    assert "application/pdf" not in files()


def test_waitlisted_says_the_place_at_the_time_of_sending(gala, ada):
    first, second = BookingFactory(event=gala, tickets=4), BookingFactory(event=gala, tickets=4)
    read_all()
    mail = Mail.objects.get(booking=second)

    assert "Your booking is on the waitlist, place 2." in written(mail)[1]
    cancel_tickets(first, actor=first.user)
    subject, text, html = written(mail)

    assert subject == "You are on the waitlist for Gala"
    assert "Your booking is on the waitlist, place 1." in text
    assert "Your booking is on the waitlist, place 1." in html


def test_promoted(gala, ada):
    waiting = BookingFactory(event=gala, tickets=4)
    cancel_tickets(ada, actor=ada.user)
    read_all()

    subject, text, _ = written(Mail.objects.get(booking=waiting))

    assert subject == "Your tickets for Gala"
    assert "Your wait is over" in text


def actor_of(by, booking, admin_user):
    program = new_api_key("bookings:write", actor=admin_user)[0].account
    return {"holder": booking.user, "staff": admin_user, "program": program}[by]


@pytest.mark.parametrize("by", ["holder", "staff", "program"])
def test_reduced_says_who_gave_how_many_back(ada, admin_user, by):
    actor = actor_of(by, ada, admin_user)
    cancel_tickets(ada, tickets=1, actor=actor)
    cancel_tickets(ada, tickets=1, actor=actor)
    read_all()

    subject, text, _ = written()

    said = {
        "holder": "You have given back 2 tickets.",
        "staff": "The organiser has taken 2 tickets out",
        "program": "2 tickets of your booking were given back.",
    }
    assert subject == "Fewer tickets in your booking for Gala"
    assert said[by] in text
    assert "Tickets: 1\n" in text.replace("\r\n", "\n")


@pytest.mark.parametrize(("tickets", "waits_for"), [(2, "1 ticket."), (3, "2 tickets.")])
def test_waiting_booking_that_is_reduced_says_what_it_waits_for(gala, ada, tickets, waits_for):
    BookingFactory(event=gala, tickets=1)
    waiting = BookingFactory(event=gala, tickets=tickets)
    cancel_tickets(waiting, tickets=1, actor=waiting.user)
    read_all()
    mail = Mail.objects.get(booking=waiting)

    subject, text, _ = written(mail)

    assert subject == "Fewer tickets in your booking for Gala"
    assert f"Your booking now waits for {waits_for}" in text
    assert "given back" not in text


@pytest.mark.parametrize("by", ["holder", "staff", "program"])
def test_cancelled_says_by_whom(ada, admin_user, by):
    cancel_tickets(ada, actor=actor_of(by, ada, admin_user))
    read_all()

    subject, text, _ = written()

    said = {
        "holder": "You have cancelled your booking.",
        "staff": "The organiser has cancelled your booking.",
        "program": "Your booking was cancelled.",
    }
    assert subject == "Your booking for Gala is cancelled"
    assert said[by] in text


def test_guest_who_cancels_is_the_holder(gala):
    cancel_tickets(BookingFactory(event=gala, user=None))
    read_all()

    assert "You have cancelled your booking." in written()[1]


def test_cancelled_with_its_event(ada, admin_user):
    cancel_event(ada.event_id, actor=admin_user)
    read_all()

    subject, text, _ = written()

    assert subject == "Cancelled: Gala"
    assert "The event is cancelled, and your booking with it." in text
    assert "Your booking is cancelled." in text


def test_transfer_tells_a_former_holder_nothing_of_the_new_one(ada, admin_user):
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    read_all()

    former = written(Mail.objects.get(email="ada@example.org"))
    new = written(Mail.objects.get(email="grace@example.org"))

    assert former[0] == "Your booking for Gala has moved to another name"
    assert not [part for part in former if "Grace" in part or "Hopper" in part or ada.reference in part]
    assert "Hello Ada Lovelace," in former[1]
    assert new[0] == "A booking for Gala is now yours"
    assert not [part for part in new if "Ada" in part or "Lovelace" in part]
    assert ada.reference in new[1]


def test_corrected(ada, admin_user):
    Mail.objects.all().delete()
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    transfer_booking(ada, holder=Holder("Ada", "L", "ada@example.org", is_same=True), actor=admin_user)
    read_all()

    assert written(Mail.objects.get(state="waiting"))[0] == "Your booking for Gala was corrected"


def test_voided_tickets_are_told_to_their_holder(ada, admin_user):
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    void_tickets(ada, actor=admin_user, reason="lost telephone")
    read_all()

    subject, text, _ = written(Mail.objects.get(state="waiting"))

    assert subject == "New codes for your tickets for Gala"
    assert "Your tickets have new codes. Your old codes no longer work." in text


def test_event_changed_says_old_and_new(ada, admin_user):
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    changes = {"name": "Ball", "venue": "", "date": ada.event.date + timedelta(days=1)}
    change_event(ada.event_id, changes=changes, actor=admin_user)
    read_all()

    subject, text, html = written(Mail.objects.get(state="waiting"))

    assert subject == "Changed: Ball"
    for line in (
        "- Name: Gala → Ball",
        "- Date: 1 December 2030, 19:30 UTC → 2 December 2030, 19:30 UTC",
        "- Venue: Old Hall → none",
    ):
        assert line in text
    assert "Name: Gala → Ball" in html


def test_date_is_said_in_the_zone_of_the_event():
    date = datetime(2030, 7, 1, 18, tzinfo=UTC)
    BookingFactory(event=EventFactory(date=date, time_zone="Europe/Berlin"), email="ada@example.org")
    read_all()

    _, text, html = written()

    assert "Date: 1 July 2030, 20:00 CEST" in text.splitlines()
    assert "<td>1 July 2030, 20:00 CEST</td>" in html
    assert calendar_of(files()["text/calendar"]).vevent.dtstart.value == date


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"time_zone": "Europe/London"}, ["- Time zone: Europe/Berlin → Europe/London"]),
        (
            {"time_zone": "Europe/London", "date": datetime(2030, 12, 1, 20, 30, tzinfo=UTC)},
            [
                "- Date: 1 December 2030, 20:30 CET → 1 December 2030, 20:30 GMT",
                "- Time zone: Europe/Berlin → Europe/London",
            ],
        ),
        (
            {"date": datetime(2030, 7, 1, 18, tzinfo=UTC)},
            ["- Date: 1 December 2030, 20:30 CET → 1 July 2030, 20:00 CEST"],
        ),
    ],
)
def test_event_changed_says_each_date_in_the_zone_that_went_with_it(ada, admin_user, changes, lines):
    change_event(ada.event_id, changes={"time_zone": "Europe/Berlin"}, actor=admin_user)
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    change_event(ada.event_id, changes=changes, actor=admin_user)
    read_all()

    subject, text, _ = written(Mail.objects.get(state="waiting"))

    assert subject == "Changed: Gala"
    assert [line for line in text.splitlines() if line.startswith("- ")] == lines


def test_change_joins_the_mail_of_a_booking_and_keeps_its_subject(ada, admin_user):
    read_all()
    change_event(ada.event_id, changes={"venue": "New Hall"}, actor=admin_user)
    read_all()

    subject, text, _ = written()

    assert subject == "Your tickets for Gala"
    assert "- Venue: Old Hall → New Hall" in text


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        (["booked"], "booked"),
        (["booked", "reduced", "cancelled"], "cancelled"),
        (["waitlisted", "promoted", "event_changed"], "promoted"),
        (["event_changed", "event_changed"], "event_changed"),
        (["booked", "corrected"], "booked"),
        (["transferred", "reduced"], "transferred"),
        (["transferred", "voided"], "transferred"),
        (["promoted", "voided", "event_changed"], "promoted"),
        (["transferred", "reduced", "cancelled"], "cancelled"),
        (["voided", "reduced"], "reduced"),
        (["reduced", "voided"], "reduced"),
        (["promoted", "reduced"], "promoted"),
        (["corrected", "event_changed"], "event_changed"),
        (["event_changed", "corrected"], "corrected"),
    ],
)
def test_several_facts_come_to_the_last_that_says_what_has_become_of_the_booking(kinds, kind):
    assert main_fact([{"kind": one} for one in kinds])["kind"] == kind


def test_change_beside_a_cancellation_leaves_who_cancelled(ada, admin_user):
    cancel_tickets(ada, tickets=1, actor=admin_user)
    read_all()
    change_event(ada.event_id, changes={"venue": "New Hall"}, actor=admin_user)
    read_all()

    _, text, _ = written()

    assert "The organiser has taken 1 ticket out of your booking." in text
    assert "- Venue: Old Hall → New Hall" in text


# What staff write to everybody has their own subject and text.
@pytest.mark.parametrize("kind", [kind for kind in FactKind.values if kind != FactKind.ANNOUNCED])
def test_each_kind_has_a_subject_and_a_sentence(ada, kind):
    read_all()
    mail = Mail.objects.get()
    mail.facts = [{**mail.facts[0], "kind": kind, "changes": [["venue", "Old Hall", "New Hall"]]}]

    subject, text, _ = written(mail)

    assert "Gala" in subject
    assert len(text.replace("\r\n", "\n").split("\n")[2]) > 20


# Headers


def test_headers_say_that_a_machine_wrote_it_about_which_entry(ada):
    read_all()

    with override_settings(DEFAULT_FROM_EMAIL="Ticks <tickets@box.example.org>"):
        headers = compose_mail(Mail.objects.get()).message()
        again = compose_mail(Mail.objects.get()).message()

    assert headers["Message-ID"] == f"<ticks.{ada.event_id}.2.{ada.pk}@box.example.org>" == again["Message-ID"]
    assert headers["Auto-Submitted"] == "auto-generated"
    assert (headers["To"], headers["From"]) == ("ada@example.org", "Ticks <tickets@box.example.org>")


def test_both_mails_of_a_transfer_have_identities_of_their_own(ada, admin_user):
    read_all()
    Mail.objects.all().delete()
    transfer_booking(ada, holder=Holder("Grace", "", "grace@example.org"), actor=admin_user)
    read_all()

    assert len({Message(mail).identity() for mail in Mail.objects.all()}) == 2


@pytest.mark.parametrize("name", ["A\r\nBcc: all@example.org", "A\nB", "A\x00B", "A\u2028B", "A\u202eB", "A\x0bB"])
def test_names_get_no_header_and_no_line_into_a_mail(gala, name):
    booking = BookingFactory(event=gala)
    read_all()
    # No form lets these in; the database may have them from elsewhere.
    type(booking).objects.update(first_name=name)
    type(gala).objects.update(name=name)
    Mail.objects.update(name=name)

    message = compose_mail(Mail.objects.get())
    raw = message.message().as_bytes().decode()
    subject = message.subject

    assert subject.splitlines() == [subject]
    assert "\nBcc:" not in raw.partition("\n\n")[0]
    assert message.recipients() == [booking.email]
    assert "\u202e" not in subject
    assert one_line(name) in message.body.splitlines()[0]


def test_names_are_escaped_in_html_and_plain_in_text(gala, admin_user):
    booking = BookingFactory(event=gala, first_name="<b>Ada</b>", last_name="O'Neil & Co")
    change_event(gala.pk, changes={"venue": "<script>alert(1)</script>"}, actor=admin_user)
    type(gala).objects.update(name="Rock & <i>Roll</i>")
    read_all()

    subject, text, html = written(Mail.objects.get(booking=booking))

    assert subject == "Your tickets for Rock & <i>Roll</i>"
    assert "Hello <b>Ada</b> O'Neil & Co," in text
    assert "<b>" not in html
    assert "<script>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;Ada&lt;/b&gt; O&#x27;Neil &amp; Co" in html


def test_long_name_of_an_event_is_cut_in_the_subject(gala):
    BookingFactory(event=gala)
    read_all()
    type(gala).objects.update(name="x" * 200)

    assert len(compose_mail(Mail.objects.get()).subject) == 200


# Templates


def test_every_field_whose_change_is_told_has_a_label_and_is_documented(settings):
    [row] = re.findall(r"^\| `changes` \|.*$", (settings.BASE_DIR / "docs/operating.md").read_text(), re.MULTILINE)

    assert CHANGE_LABELS.keys() == set(NOTIFIED_FIELDS)
    assert [name for name in NOTIFIED_FIELDS if f"`{name}`" not in row] == []


def test_operators_templates_replace_those_of_ticks(ada, tmp_path, settings):
    folder = tmp_path / "bookings" / "mail"
    folder.mkdir(parents=True)
    (folder / "subject.txt").write_text("{{ event.name }}:\n {{ kind }}\n")
    (folder / "sentence.txt").write_text("OURS {{ name }}")
    [template] = settings.TEMPLATES
    read_all()

    with override_settings(TEMPLATES=[{**template, "DIRS": [tmp_path]}]):
        subject, text, html = written()
    engines._templates = None

    assert subject == "Gala: booked"
    assert "OURS Ada Lovelace" in text
    assert "OURS Ada Lovelace" in html
