from django.utils.translation import gettext_noop

from ticks.exceptions import Refusal


class UsernameTaken(Refusal):
    code = "username_taken"
    message = "This username is taken."
    field = "username"


class EmailTaken(Refusal):
    code = "email_taken"
    message = gettext_noop("This email is taken.")
    field = "email"


class WeakPassword(Refusal):
    status = 400
    code = "invalid"


class WrongCredentials(Refusal):
    """The message does not say which of the two was wrong, so that nobody learns which names exist."""

    status = 401
    code = "wrong_credentials"
    message = "The name or the password is wrong."


class WrongPassword(Refusal):
    status = 400
    code = "wrong_password"
    message = gettext_noop("The current password is wrong.")
    field = "currentPassword"


class SessionEnded(Refusal):
    """The session of a token was ended, or the token was exchanged for a newer one some time ago."""

    status = 401
    code = "token_not_valid"
    message = "This token is no longer valid; log in again."


class ApiKeyRefused(Refusal):
    """The API key does not exist, was revoked, or has expired."""

    status = 401
    code = "api_key_not_valid"
    message = "This API key was revoked or has expired."


class ApiKeyRevoked(Refusal):
    code = "api_key_revoked"
    message = "This API key is revoked already."


class LoginsKept(Refusal):
    status = 403
    code = "logins_kept"
    message = "Only a superuser may end the logins of a superuser."


class LinkNotValid(Refusal):
    """The message does not say why, so that nobody learns which links there were."""

    status = 400
    code = "link_not_valid"
    message = gettext_noop("This link is not valid, or no longer: it is good for an hour, and once. Ask for a new one.")
    field = "token"


class MailsOff(Refusal):
    code = "mails_off"
    message = gettext_noop("This installation sends no mails. Ask those who run it.")


class EmailNotVerified(Refusal):
    status = 403
    code = "email_not_verified"
    message = (
        "Verify the account's mail address first: open the link in the mail that was sent to it, or ask for another."
    )


class EmailVerified(Refusal):
    code = "email_verified"
    message = "The account's mail address is verified, so it is changed with the password, by a link in a mail."
    field = "email"
