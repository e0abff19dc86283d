"""The mails of accounts: how they are queued, and how they are written out from templates."""

from collections.abc import Callable
from urllib.parse import urlencode

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils import timezone

from accounts.link_tokens import LIFETIME, Purpose, is_too_old, make_token
from accounts.models import AccountMail, User
from ticks.mails import SendResult, TooLate, new_email, render_text, send_due_mails
from ticks.text import one_line

# An operator's folder may have files of these names: `MAIL_TEMPLATES`.
SUBJECT, SENTENCE, TEXT, HTML = (
    f"accounts/mail/{name}" for name in ("subject.txt", "sentence.txt", "body.txt", "body.html")
)
Kind = AccountMail.Kind
# What a mail's link is for, and the name of the page that it opens.
LINKS = {
    Kind.RESET: (Purpose.RESET, "account:new_password"),
    Kind.INVITATION: (Purpose.RESET, "account:new_password"),
    Kind.VERIFY: (Purpose.VERIFY, "account:verify"),
    Kind.CHANGE: (Purpose.CHANGE, "account:confirm_change"),
}


def send_account_mails(*, is_stopping: Callable[[], bool] = lambda: False) -> SendResult:
    """Sends some of the mails that are due. Raises what `send_due_mails` raises."""
    return send_due_mails(AccountMail.objects.all(), compose_account_mail, is_stopping=is_stopping)


def queue_mail(kind: Kind, *, email: str | None, user: User | None = None) -> None:
    """Has a mail sent by `manage.py deliver`. It costs the same whether or not an account has the address."""
    if not settings.MAIL_ENABLED or not email:
        return
    now = timezone.now()
    AccountMail.objects.create(kind=kind, email=email, user=user, asked_at=now, due_at=now, give_up_at=now + LIFETIME)


def compose_account_mail(mail: AccountMail) -> EmailMultiAlternatives | None:
    """The mail as it is sent now; None if no account has the address, or its link would do nothing.

    Raises `TooLate` if its link is too old, and whatever an operator's template raises.
    """
    if mail.kind not in LINKS:
        return write_mail(mail, {}, language=language_of(mail.user))
    account = find_account(mail)
    if account is None:
        return None
    if is_too_old(mail.asked_at):
        raise TooLate("The hour of its link was over before it could be sent.")
    purpose, page = LINKS[mail.kind]
    token = make_token(purpose, account, asked_at=mail.asked_at, email=mail.email if mail.kind == Kind.CHANGE else "")
    link = f"{settings.SITE_URL}{reverse(page)}?{urlencode({'token': token})}"
    return write_mail(mail, {"link": link, "until": mail.asked_at + LIFETIME}, language=language_of(account))


def write_mail(mail: AccountMail, values: dict, *, language: str) -> EmailMultiAlternatives:
    """A mail from the templates, in a language. They see these values, `kind`, `language`, `site` and the
    `sentence`."""
    context = {"kind": mail.kind, "language": language, "site": settings.SITE_URL, **values}
    context["sentence"] = one_line(render_text(SENTENCE, context, language=language))
    subject, text, html = (render_text(name, context, language=language) for name in (SUBJECT, TEXT, HTML))
    return new_email(mail.email, subject=subject, text=text, html=html, identity=f"account.{mail.pk}")


def language_of(account: User | None) -> str:
    return (account and account.language) or settings.DEFAULT_LANGUAGE


def find_account(mail: AccountMail) -> User | None:
    """The account that a mail with a link is for, if the link would do something."""
    if mail.kind == Kind.CHANGE:
        return User.objects.filter(pk=mail.user_id, is_active=True).exclude(email=mail.email).first()
    account = User.objects.filter(email=mail.email, is_active=True).first()
    if account is None:
        return None
    is_done = {
        Kind.VERIFY: account.has_verified_email,
        # Whoever was invited has set a password since, or staff have.
        Kind.INVITATION: account.has_usable_password(),
    }
    return None if is_done.get(mail.kind) else account
