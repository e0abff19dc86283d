"""What accounts do by a link in a mail: verify their address, change it, set a new password; and how they ask for it.

A mail is queued without looking whether there is such an account. That is found out when the mail is written out, so
that neither an answer nor its time tells which addresses are known.
"""

from django.conf import settings
from django.db import IntegrityError
from django.utils import timezone

from accounts.exceptions import EmailTaken, MailsOff
from accounts.link_tokens import Purpose, read_token
from accounts.mails import queue_mail
from accounts.models import AccountMail, User
from accounts.services import end_sessions, refuse_taken, refuse_weak, refuse_wrong_password
from ticks.db.transactions import in_one_transaction


def ask_for_new_password(email: str) -> None:
    """Has a link for a new password sent to an address, if an account has it. Raises `MailsOff`."""
    ask_for(AccountMail.Kind.RESET, email)


def ask_for_verification(email: str) -> None:
    """Has a link sent that verifies an address, if an account has it and it is not verified. Raises `MailsOff`."""
    ask_for(AccountMail.Kind.VERIFY, email)


@in_one_transaction
def ask_for(kind: AccountMail.Kind, email: str) -> None:
    refuse_without_mails()
    queue_mail(kind, email=email)


def ask_for_change(user: User, *, email: str, current: str) -> None:
    """Has a link sent to a new address that makes it the account's. Raises `WrongPassword`, `MailsOff`.

    Whether the address is another account's is told to those alone who open the link.
    """
    refuse_without_mails()
    refuse_wrong_password(user, current)
    in_one_transaction(queue_mail)(AccountMail.Kind.CHANGE, email=email, user=user)


def refuse_without_mails() -> None:
    if not settings.MAIL_ENABLED:
        raise MailsOff


def verify_email(token: str, *, current: str) -> User:
    """Notes that an account's address is verified. Raises `LinkNotValid`, `WrongPassword`.

    It needs the account's password, since the link reaches whoever has the mailbox. A stranger may have made the
    account, and with a verified address it would show the bookings of the mailbox's owner.
    """
    refuse_wrong_password(read_token(Purpose.VERIFY, token).user, current)
    return note_verified(token)


@in_one_transaction
def note_verified(token: str) -> User:
    user = read_token(Purpose.VERIFY, token, is_locking=True).user
    user.email_verified_at = timezone.now()
    user.save(update_fields=["email_verified_at"])
    return user


def confirm_change(token: str, *, current: str) -> User:
    """Gives an account its new address, which is verified by this; the former one gets a notice. It needs the password
    for the same reason as `verify_email`. Raises `LinkNotValid`, `WrongPassword`, `EmailTaken`."""
    refuse_wrong_password(read_token(Purpose.CHANGE, token).user, current)
    try:
        return change_by_link(token)
    except IntegrityError as error:
        # Another account took the address between the check and the write.
        raise EmailTaken from error


@in_one_transaction
def change_by_link(token: str) -> User:
    user, email = read_token(Purpose.CHANGE, token, is_locking=True)
    former, user.email = user.email, email
    refuse_taken(user)
    user.save(update_fields=["email"])
    user.email_verified_at = timezone.now()
    user.save(update_fields=["email_verified_at"])
    queue_mail(AccountMail.Kind.CHANGED, email=former, user=user)
    return user


def set_password_by_link(token: str, *, new: str) -> User:
    """Sets a new password, ends every session, and verifies the address that the link was sent to. Raises
    `LinkNotValid`, `WeakPassword`."""
    user = read_token(Purpose.RESET, token).user
    refuse_weak(new, user=user, field="newPassword")
    # The password is hashed before anything is locked.
    user.set_password(new)
    return save_password_by_link(token, password=user.password)


@in_one_transaction
def save_password_by_link(token: str, *, password: str) -> User:
    user = read_token(Purpose.RESET, token, is_locking=True).user
    user.password = password
    user.email_verified_at = user.email_verified_at or timezone.now()
    user.save(update_fields=["password", "email_verified_at"])
    end_sessions(user)
    return user


@in_one_transaction
def invite(user: User) -> None:
    """Has a link sent with which an account without a password sets its first one. Raises `MailsOff`."""
    refuse_without_mails()
    queue_mail(AccountMail.Kind.INVITATION, email=user.email)


def undelivered_invitation(user: User) -> AccountMail | None:
    """The latest invitation of an account, if it was given up."""
    invitations = AccountMail.objects.filter(kind=AccountMail.Kind.INVITATION, email=user.email)
    latest = invitations.order_by("pk").last()
    return latest if latest and latest.state == AccountMail.State.GIVEN_UP else None
