from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, Max, QuerySet
from django.utils import timezone

from accounts.exceptions import (
    EmailNotVerified,
    EmailTaken,
    EmailVerified,
    LoginsKept,
    SessionEnded,
    UsernameTaken,
    WeakPassword,
    WrongPassword,
)
from accounts.mails import queue_mail
from accounts.models import AccountMail, AttemptCounter, BrowserSession, LoginSession, User, hash_of, is_login_good
from ticks.db.transactions import delete_in_batches, in_one_transaction
from ticks.formatting import counted
from ticks.staff_site import may_enter
from ticks.text import composed, normalise_email

# A client sends a refresh token again if it has lost the answer, and a browser if two tabs refresh at once. A used
# token that comes later than this must have been stolen.
REPEAT_SECONDS = 10
# At most this many refresh tokens of a login are valid at once. An older one is taken for a used one, so this is more
# than the throttle allows anybody to get within those seconds.
MAX_REFRESH_TOKENS = 100


def register_user(*, username: str, password: str, email: str | None = None, language: str = "") -> User:
    """Creates an account. Raises `UsernameTaken`, `EmailTaken`, `WeakPassword`."""
    user = User(username=username, email=normalise_email(email), language=language)
    refuse_taken(user)
    refuse_weak(password, user=user, field="password")
    user.set_password(password)
    # A retry must insert a row, even if another account got the id in between.
    save_unique(user, force_insert=True)
    return user


def change_profile(user: User, *, changes: dict) -> User:
    """Sets `username`, `email` or `language`. Raises `UsernameTaken`, `EmailTaken`, `EmailVerified`.

    A verified address is not changed here: whoever has found a token could have a new password sent to an address of
    their own.
    """
    former = user.email
    for name, value in changes.items():
        setattr(user, name, value)
    if user.email != former and user.has_verified_email:
        raise EmailVerified
    refuse_taken(user)
    if changes:
        save_unique(user, former_email=former, update_fields=set(changes))
    return user


def note_new_email(user: User, *, former: str | None) -> None:
    """Has a link sent to an account's new address that verifies it, and a notice to the former one."""
    if user.email == former:
        return
    if settings.EMAIL_VERIFICATION != "off":
        queue_mail(AccountMail.Kind.VERIFY, email=user.email)
    queue_mail(AccountMail.Kind.CHANGED, email=former, user=user)


def refuse_unverified(user: User) -> None:
    """Raises `EmailNotVerified` where a login needs a verified address. Staff need none: other staff know them."""
    if settings.EMAIL_VERIFICATION == "required" and not user.has_verified_email and not may_enter(user):
        raise EmailNotVerified


def change_password(user: User, *, current: str, new: str) -> None:
    """Sets a new password and ends every session of the account. Raises `WrongPassword`, `WeakPassword`."""
    refuse_wrong_password(user, current)
    refuse_weak(new, user=user, field="newPassword")
    user.set_password(new)
    save_password(user)


@in_one_transaction
def save_password(user: User) -> None:
    user.save(update_fields=["password"])
    end_sessions(user)


def end_sessions(user: User) -> None:
    user.login_sessions.all().delete()
    user.browser_sessions.all().delete()


@dataclass
class Logins:
    """The number of open logins of an account, in browsers and by the API, and when the last of each kind began."""

    browsers: int = 0
    last_browser: datetime | None = None
    tokens: int = 0
    last_token: datetime | None = None

    def __str__(self):
        return f"{counted(self.browsers, 'browser')}, {counted(self.tokens, 'API login')}"


def logins_of(accounts: Sequence[User]) -> dict[int, Logins]:
    """The open logins of each account, in two queries for any number of accounts."""
    now = timezone.now()
    logins = {account.pk: Logins() for account in accounts}
    browsers = BrowserSession.objects.filter(expire_date__gt=now)
    for user, count, last in open_logins(browsers, accounts):
        logins[user].browsers, logins[user].last_browser = count, last
    tokens = LoginSession.objects.filter(expires_at__gt=now)
    for user, count, last in open_logins(tokens, accounts):
        logins[user].tokens, logins[user].last_token = count, last
    return logins


def open_logins(sessions: QuerySet, accounts: Sequence[User]) -> list[tuple[int, int, datetime]]:
    """The number of open logins of each account, and when the last one began. A new password has ended older ones."""
    by_id = {account.pk: account for account in accounts}
    counts = (
        sessions.filter(user__in=list(by_id))
        .values_list("user", "auth_hash")
        .annotate(count=Count("pk"), last=Max("created_at"))
        .order_by()
    )
    return [(user, count, last) for user, auth_hash, count, last in counts if by_id[user].may_use_login(auth_hash)]


def may_end_logins(actor: User, account: User) -> bool:
    """Whether the actor may log this account out. They may log out staff, since any phone may be stolen, but no
    superuser."""
    return actor.has_perm("accounts.end_logins") and (actor.is_superuser or not account.is_superuser)


@in_one_transaction
def end_logins(user: User, *, actor: User) -> Logins:
    """Logs an account out everywhere, browsers and API; returns what was open. Raises `LoginsKept`.

    Tokens are refused from the next request on. A person who knows the password can log in again.
    """
    # The account is read again, since it may have become a superuser's after it was looked up.
    account = User.objects.get(pk=user.pk)
    if not may_end_logins(actor, account):
        raise LoginsKept
    ended = logins_of([account])[account.pk]
    end_sessions(account)
    return ended


def open_session(user: User, *, refresh_id: str, lifetime: timedelta) -> LoginSession:
    """Opens a login. Raises `SessionEnded` if the account was deleted since its password was checked."""
    try:
        with transaction.atomic():
            return LoginSession.objects.create(
                user=user,
                refresh_hash=hash_of(refresh_id),
                auth_hash=user.get_session_auth_hash(),
                expires_at=timezone.now() + lifetime,
            )
    except IntegrityError as error:
        raise SessionEnded from error


def rotate_session(*, session_id: int, refresh_id: str, renewed: str, lifetime: timedelta) -> LoginSession:
    """Exchanges a refresh token for one with the id `renewed`. Raises `SessionEnded`.

    A token may be exchanged again for `REPEAT_SECONDS` after its first use. Each exchange gives a token of its own, and
    all of them are valid. A token that comes later ends the session with all its tokens: either its holder or somebody
    who stole it has a newer one, and nobody can tell which (RFC 9700, section 4.14.2).
    """
    session = exchange(session_id, refresh_id, renewed, lifetime=lifetime)
    if session is None:
        LoginSession.objects.filter(pk=session_id).delete()
        raise SessionEnded
    return session


@in_one_transaction
def exchange(session_id: int, refresh_id: str, renewed: str, *, lifetime: timedelta) -> LoginSession | None:
    now = timezone.now()
    # The lock keeps two requests at once from overwriting each other's token.
    session = LoginSession.objects.select_for_update().filter(pk=session_id).first()
    if session is None or session.expires_at <= now or not session.user.may_use_login(session.auth_hash):
        return None
    first_uses = refresh_tokens_of(session, now=now)
    used = hash_of(refresh_id)
    if used not in first_uses:
        return None
    first_uses[used] = first_uses[used] or now.timestamp()
    unused = [refresh_hash for refresh_hash, first_use in first_uses.items() if first_use is None]
    for dropped in unused[: max(0, len(unused) + 1 - MAX_REFRESH_TOKENS)]:
        del first_uses[dropped]
    session.refresh_hash, session.other_refresh_hashes = hash_of(renewed), list(first_uses.items())
    session.expires_at = now + lifetime
    session.save(update_fields=["refresh_hash", "other_refresh_hashes", "expires_at"])
    return session


def refresh_tokens_of(session: LoginSession, *, now: datetime) -> dict[str, float | None]:
    """The hashes of the tokens that can be exchanged, oldest first, each with the time of its first use if it has been
    used."""
    too_early = now.timestamp() - REPEAT_SECONDS
    others = {
        refresh_hash: first_use
        for refresh_hash, first_use in session.other_refresh_hashes or []
        if first_use is None or first_use >= too_early
    }
    return {**others, session.refresh_hash: None}


# The dates come unconverted from this query, so they are deferred; `email_verified_at` is converted by hand. Both
# databases give booleans as numbers.
SESSION_USER = [field for field in User._meta.concrete_fields if not isinstance(field, models.DateTimeField)]
SESSION_USER_NAMES = [field.attname for field in SESSION_USER]


def session_sql(*columns: str) -> str:
    """A query for the ids and hashes of sessions that have not expired, with columns of their accounts.

    It is written by hand, since every request with a token needs it, and the ORM takes ten times as long.
    """
    return (
        f"SELECT login.id, login.auth_hash, {', '.join(f'account.{column}' for column in columns)}"  # noqa: S608
        f" FROM {LoginSession._meta.db_table} AS login INNER JOIN {User._meta.db_table} AS account"
        " ON account.id = login.user_id WHERE login.expires_at > %s AND login.id IN "
    )


USER_SQL = session_sql(*(field.column for field in SESSION_USER), "email_verified_at") + "(%s)"
HOLDERS_SQL = session_sql("id", "is_active", "password")


def user_of_session(session_id: int, *, now: datetime) -> User | None:
    """The account of a login that is still valid; None if the login has ended in any way."""
    with connection.cursor() as cursor:
        cursor.execute(USER_SQL, [connection.ops.adapt_datetimefield_value(now), session_id])
        row = cursor.fetchone()
    if row is None:
        return None
    _, auth_hash, *columns, verified_at = row
    user = User.from_db(connection.alias, SESSION_USER_NAMES, columns)
    # The driver gives a time without its zone, which is UTC, and on SQLite as text.
    if isinstance(verified_at, str):
        verified_at = datetime.fromisoformat(verified_at)
    user.email_verified_at = verified_at and verified_at.replace(tzinfo=UTC)
    return user if is_login_good(auth_hash, is_active=user.is_active, password=user.password) else None


def holders_of_sessions(session_ids: Collection[int], *, now: datetime) -> dict[int, int]:
    """For each login that is still valid, the id of its account; in one query for any number of logins."""
    if not session_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(*holders_query(session_ids, now=now))
        return valid_holders(cursor.fetchall())


def admins_of_sessions(session_ids: Collection[int], *, now: datetime) -> dict[int, int]:
    """`holders_of_sessions` for the logins of admins alone."""
    holders = holders_of_sessions(session_ids, now=now)
    admins = set(User.objects.filter(pk__in=set(holders.values()), is_staff=True).values_list("pk", flat=True))
    return {session_id: user for session_id, user in holders.items() if user in admins}


def holders_query(session_ids: Collection[int], *, now: datetime) -> tuple[str, list]:
    """A statement and its values, to be run together with others. `valid_holders` reads its rows."""
    marks = ", ".join(["%s"] * len(session_ids))
    return f"{HOLDERS_SQL}({marks})", [connection.ops.adapt_datetimefield_value(now), *session_ids]


def valid_holders(rows: Iterable[tuple]) -> dict[int, int]:
    return {
        session_id: user
        for session_id, auth_hash, user, is_active, password in rows
        if is_login_good(auth_hash, is_active=is_active, password=password)
    }


def prune_accounts() -> int:
    """Deletes expired sessions and counters, and old mails; returns how many rows."""
    return sum(map(delete_in_batches, expired_rows(timezone.now())))


def expired_rows(moment: datetime) -> list[QuerySet]:
    """The sessions, counters and mails that are no longer kept at this moment."""
    expired = [model.objects.filter(expires_at__lte=moment) for model in (LoginSession, AttemptCounter)]
    oldest = moment - timedelta(days=settings.MAIL_DAYS)
    # Waiting mails are among them where nobody sends any; the index begins with the state.
    mails = AccountMail.objects.filter(state__in=AccountMail.State.values, due_at__lt=oldest)
    return [*expired, BrowserSession.objects.filter(expire_date__lte=moment), mails]


def refuse_taken(user: User) -> None:
    if user.is_others(user.username):
        raise UsernameTaken
    if user.email and user.is_others(user.email):
        raise EmailTaken


def save_unique(user: User, *, former_email: str | None = None, **kwargs) -> None:
    try:
        save_with_mails(user, former_email=former_email, **kwargs)
    except IntegrityError:
        # Another account took the name between the check and the write. The error must say which name it was.
        refuse_taken(user)
        raise


@in_one_transaction
def save_with_mails(user: User, *, former_email: str | None, **kwargs) -> None:
    user.save(**kwargs)
    note_new_email(user, former=former_email)


def refuse_wrong_password(user: User, current: str) -> None:
    if not user.check_password(current):
        raise WrongPassword


def refuse_weak(password: str, *, user: User, field: str) -> None:
    try:
        # The length is that of the spelling that is hashed.
        validate_password(composed(password), user)
    except ValidationError as error:
        raise WeakPassword(" ".join(error.messages), field=field) from error
