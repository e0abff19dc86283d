"""What the mails of accounts say, to whom, and when they are not sent; delivered by `manage.py deliver` to a server."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.link_tokens import Purpose, read_token
from accounts.mails import compose_account_mail, queue_mail, send_account_mails
from accounts.models import AccountMail, User
from accounts.services import expired_rows, prune_accounts
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import link_in, token_in
from ticks.mails import SendResult, TooLate

pytestmark = pytest.mark.django_db

Kind = AccountMail.Kind
PAGES = {
    Kind.RESET: ("password/new/", Purpose.RESET),
    Kind.INVITATION: ("password/new/", Purpose.RESET),
    Kind.VERIFY: ("email/verify/", Purpose.VERIFY),
    Kind.CHANGE: ("email/confirm/", Purpose.CHANGE),
}


@pytest.fixture(autouse=True)
def _settings(settings):
    settings.MAIL_ENABLED = True
    settings.SITE_URL = "https://tickets.example.org"
    settings.DEFAULT_FROM_EMAIL = "Ticks <ticks@example.org>"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD)


def mail_of(kind, account, **changes):
    email = "countess@example.org" if kind == Kind.CHANGE else account.email
    queue_mail(kind, email=email, user=account if kind == Kind.CHANGE else None)
    mail = AccountMail.objects.latest("pk")
    AccountMail.objects.filter(pk=mail.pk).update(**changes)
    mail.refresh_from_db()
    return mail


def account_for(kind, account):
    return UserFactory(username="invited") if kind == Kind.INVITATION else account


@pytest.mark.parametrize("kind", PAGES)
def test_link_leads_to_its_page_on_the_site(account, kind):
    account = account_for(kind, account)
    page, purpose = PAGES[kind]

    mail = mail_of(kind, account)

    assert link_in(mail).startswith(f"https://tickets.example.org/account/{page}?token=")
    link = read_token(purpose, token_in(mail))
    assert link == (account, mail.email if kind == Kind.CHANGE else "")


@pytest.mark.parametrize("kind", Kind)
def test_mail_is_whole(account, kind):
    mail = mail_of(kind, account_for(kind, account))

    email = compose_account_mail(mail)

    assert email.to == [mail.email]
    assert email.extra_headers == {
        "Message-ID": f"<ticks.account.{mail.pk}@example.org>",
        "Auto-Submitted": "auto-generated",
    }
    [(html, kind_of_part)] = email.alternatives
    assert kind_of_part == "text/html"
    assert email.subject
    assert email.subject == " ".join(email.subject.split())
    for text in (email.body, html):
        assert "https://tickets.example.org" in text
        assert ("token=" in text) == (kind in PAGES)
        assert "{{" not in text
        assert "{%" not in text
        # A stranger may have chosen the name, so that it reads as an advertisement.
        assert "divine" not in text.replace("divine@example.org", "")


@pytest.mark.parametrize("kind", PAGES)
def test_mail_says_until_when_its_link_is_good(account, kind):
    mail = mail_of(kind, account_for(kind, account))
    until = mail.asked_at + timedelta(hours=1)

    assert f"The link is good once, until {until:%H:%M} UTC." in compose_account_mail(mail).body


@pytest.mark.parametrize("kind", PAGES)
def test_link_of_a_mail_that_waited_ends_an_hour_after_it_was_asked_for(account, kind):
    account = account_for(kind, account)

    mail = mail_of(kind, account, asked_at=timezone.now() - timedelta(minutes=59))
    assert compose_account_mail(mail)
    mail = mail_of(kind, account, asked_at=timezone.now() - timedelta(minutes=60))
    with pytest.raises(TooLate):
        compose_account_mail(mail)


@pytest.mark.parametrize("kind", Kind)
def test_mail_is_in_the_language_of_its_account(account, kind, settings):
    account = account_for(kind, account)
    mail = mail_of(kind, account, user=account if kind in (Kind.CHANGE, Kind.CHANGED) else None)
    User.objects.filter(pk=account.pk).update(language="de")
    mail = AccountMail.objects.get(pk=mail.pk)

    email = compose_account_mail(mail)

    assert email.body.startswith("Guten Tag!\n")
    assert '<html lang="de">' in email.alternatives[0].content
    assert "account" not in email.subject


def test_mail_is_in_the_default_language_if_nobody_has_chosen_one(account, settings):
    settings.DEFAULT_LANGUAGE = "de"

    assert compose_account_mail(mail_of(Kind.RESET, account)).subject == "Neues Passwort setzen"


def test_mail_tried_again_has_the_same_link(account):
    mail = mail_of(Kind.RESET, account)

    assert link_in(mail) == link_in(mail)


def test_no_account_gets_no_mail(account):
    queue_mail(Kind.RESET, email="nobody@example.org")
    queue_mail(Kind.VERIFY, email="nobody@example.org")

    assert [compose_account_mail(mail) for mail in AccountMail.objects.all()] == [None, None]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.RESET, {"is_active": False}),
        (Kind.VERIFY, {"is_active": False}),
        (Kind.VERIFY, {"email_verified_at": "2026-01-01T00:00Z"}),
        (Kind.CHANGE, {"is_active": False}),
        (Kind.CHANGE, {"email": "countess@example.org"}),
        (Kind.INVITATION, {}),
    ],
)
def test_link_that_would_do_nothing_is_not_sent(account, kind, fields):
    mail = mail_of(kind, account)
    User.objects.filter(pk=account.pk).update(**fields)

    assert compose_account_mail(mail) is None


def test_nothing_is_queued_without_an_address_or_a_mail_server(account, settings):
    queue_mail(Kind.RESET, email=None)
    queue_mail(Kind.RESET, email="")
    settings.MAIL_ENABLED = False
    queue_mail(Kind.RESET, email=account.email)

    assert not AccountMail.objects.exists()


def test_mails_are_sent_dropped_and_given_up(account, mailoutbox):
    sent = mail_of(Kind.RESET, account)
    late = mail_of(Kind.RESET, account, asked_at=timezone.now() - timedelta(hours=2))
    queue_mail(Kind.RESET, email="nobody@example.org")

    assert send_account_mails() == SendResult(sent=1, failed=1, dropped=1)

    assert [email.to for email in mailoutbox] == [[account.email]]
    rows = AccountMail.objects.order_by("pk").values_list("pk", "state", "error", "lease")
    assert list(rows) == [
        (sent.pk, "sent", "", None),
        (late.pk, "given_up", "The hour of its link was over before it could be sent.", None),
    ]
    assert send_account_mails() == SendResult()


def test_template_of_the_operator_replaces_ours(account, settings, tmp_path):
    (tmp_path / "accounts/mail").mkdir(parents=True)
    (tmp_path / "accounts/mail/subject.txt").write_text("Hello from\n the {{ kind }} desk\n")
    settings.TEMPLATES = [{**django_settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    (tmp_path / "de/accounts/mail").mkdir(parents=True)
    (tmp_path / "de/accounts/mail/subject.txt").write_text("Hallo")

    assert compose_account_mail(mail_of(Kind.RESET, account)).subject == "Hello from the reset desk"
    User.objects.update(language="de")
    assert compose_account_mail(mail_of(Kind.RESET, account)).subject == "Hallo"


def test_old_mails_are_pruned_whatever_their_state(account, settings):
    now = timezone.now()
    old = {"due_at": now - timedelta(days=settings.MAIL_DAYS, seconds=1)}
    states = [{"state": "waiting"}, {"state": "given_up"}, {"state": "sent", "sent_at": now}]
    for state in states:
        mail_of(Kind.RESET, account, **old, **state)
        mail_of(Kind.RESET, account, **state)

    assert sum(rows.count() for rows in expired_rows(now)) == 3
    assert prune_accounts() == 3

    assert AccountMail.objects.count() == 3
    assert not AccountMail.objects.filter(due_at__lte=old["due_at"]).exists()


def test_mail_goes_with_its_account(account):
    mail_of(Kind.CHANGE, account)

    account.delete()

    assert not AccountMail.objects.exists()


@pytest.mark.parametrize("fields", [{"state": "sent"}, {"sent_at": timezone.now()}, {"state": "lost"}])
def test_sent_mail_has_a_time_and_no_other(account, fields):
    mail = mail_of(Kind.RESET, account)

    with pytest.raises(IntegrityError, match="accountmail_sent_has_time"), transaction.atomic():
        AccountMail.objects.filter(pk=mail.pk).update(**fields)
