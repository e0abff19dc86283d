from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest

from django.conf import settings
from django.contrib.auth.models import AbstractUser, Permission, UserManager
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager

from accounts.exceptions import EmailTaken, UsernameTaken
from ticks.db.fields import ExactCharField, ExactEmailField
from ticks.db.outgoing import Outgoing
from ticks.languages import MAX_LANGUAGE
from ticks.text import MAX_NAME, has_hidden_character, normalise_email, normalised, readable_email

# Folding the case can make a name three times as long, and MariaDB's unique texts end at 255 characters.
MAX_USERNAME = 80
HIDDEN_CHARACTER = "Remove the invisible characters from the username."


def username_key(username: str) -> str:
    """The key of a username. Two usernames that look the same to a person have the same key."""
    return normalised("NFKC", username).casefold()


def refuse_hidden_characters(username: str) -> None:
    """Raises `ValidationError` if the username looks like another one, or like none. Letters such as the Hangul filler
    show nothing."""
    if has_hidden_character(username):
        raise ValidationError({"username": HIDDEN_CHARACTER})


def login_key(name: str) -> str:
    """The key of a login name, a username or an email. All spellings of the name have the same key.

    A domain counts with its letters, as it does in a username. The key is hashed, because folding makes an address up
    to 762 characters long and MariaDB's unique texts end at 255.
    """
    return hash_of(username_key(readable_email(normalise_email(name) or "")))


def hash_of(text: str) -> str:
    """The hash that a table keeps instead of a secret. Nobody can log in with the hash of a random secret."""
    return sha256(text.encode(errors="replace")).hexdigest()


class UserQuerySet(models.QuerySet):
    def bearing(self, name: str):
        """The one account, if any, that logs in by this name, a username or an email."""
        # This must never be `email=None`, which would find every account without an email.
        return self.filter(Q(username_key=username_key(name)) | Q(email=normalise_email(name) or ""))


class Users(UserManager.from_queryset(UserQuerySet)):
    @classmethod
    def normalize_email(cls, email):
        return normalise_email(email)

    def create_superuser(self, username, email=None, password=None, **fields):
        # `createsuperuser` has checked the username as it was typed. This checks the one that is stored.
        username = User.normalize_username(username)
        User._meta.get_field("username").clean(username, None)
        refuse_hidden_characters(username)
        try:
            return super().create_superuser(username, email, password, **fields)
        except IntegrityError:
            # `createsuperuser` prints the message of a `ValidationError`, and a traceback for any other error.
            User(username=username, email=email).clean()
            raise

    def get_by_natural_key(self, username):
        return self.get(username_key=username_key(username))


class User(AbstractUser):
    """An account. Its names are unique whatever their case; the email may be missing.

    Accounts that booked or acted stay for the record: deactivate them instead of deleting.
    """

    username = ExactCharField(
        "username",
        max_length=MAX_USERNAME,
        unique=True,
        validators=[AbstractUser.username_validator],
        help_text=f"At most {MAX_USERNAME} letters, digits and @ . + - _",
        error_messages={"unique": UsernameTaken.message},
    )
    username_key = ExactCharField(max_length=3 * MAX_USERNAME, unique=True, editable=False)
    email = ExactEmailField(
        "email", max_length=MAX_NAME, null=True, blank=True, unique=True, error_messages={"unique": EmailTaken.message}
    )
    # Empty, as long as nobody has chosen one.
    language = models.CharField(max_length=MAX_LANGUAGE, blank=True, default="", db_default="")
    # When its holder showed that mails to the address arrive. A new address has not been verified.
    email_verified_at = models.DateTimeField("address verified", null=True, blank=True, editable=False)

    objects = Users()

    class Meta(AbstractUser.Meta):
        permissions = [
            ("use_staff_site", "Can use the staff's site"),
            ("end_logins", "Can end all logins of a user"),
        ]

    @cached_property
    def powers(self) -> frozenset[int]:
        """Ids of the permissions that the account has, directly or by its groups. It need not be active."""
        own = self.user_permissions.order_by().values_list("pk", flat=True)
        by_group = Permission.objects.filter(group__user=self).order_by().values_list("pk", flat=True)
        return frozenset(own.union(by_group))

    @property
    def has_verified_email(self) -> bool:
        return self.email_verified_at is not None

    def may_use_login(self, auth_hash: str) -> bool:
        """Whether a login is still valid that was opened when `get_session_auth_hash()` had this value."""
        return is_login_good(auth_hash, is_active=self.is_active, password=self.password)

    def clean(self):
        super().clean()
        self.email = normalise_email(self.email)
        refuse_hidden_characters(self.username)
        if self.is_others(self.username):
            raise ValidationError({"username": UsernameTaken.message})
        if self.email and self.is_others(self.email):
            raise ValidationError({"email": EmailTaken.message})

    def is_others(self, name: str) -> bool:
        """Whether another account logs in by this name, or has reserved a spelling of it."""
        reserved = LoginName.objects.filter(key=login_key(name)).exclude(user=self.pk)
        return User.objects.exclude(pk=self.pk).bearing(name).exists() or reserved.exists()

    def save(self, *args, update_fields=None, **kwargs):
        """Saves the account. Raises `IntegrityError` if a name belongs to another account, even one that takes it at
        this moment."""
        self.username = self.normalize_username(self.username)
        self.username_key = username_key(self.username)
        self.email = normalise_email(self.email)
        if update_fields is not None and "username" in update_fields:
            update_fields = {*update_fields, "username_key"}
        if update_fields is not None and not {"username", "email"} & set(update_fields):
            super().save(*args, update_fields=update_fields, **kwargs)
            return
        with transaction.atomic():
            self.void_verification()
            super().save(*args, update_fields=update_fields, **kwargs)
            self.reserve_names()

    def void_verification(self) -> None:
        """Forgets that the address was verified, if it is about to become another one."""
        # The row is compared, and not what this object held before: another request may have changed it since.
        others = User.objects.filter(pk=self.pk).exclude(email=self.email)
        if not self._state.adding and others.update(email_verified_at=None):
            self.email_verified_at = None

    def reserve_names(self) -> None:
        """Reserves the account's login names, and releases those that it no longer has."""
        # The names are read from the row, which this transaction has just written. This object may hold an older value
        # of the name that is not being changed.
        [names] = User.objects.filter(pk=self.pk).values_list("username", "email")
        wanted = {login_key(name) for name in names if name}
        held = set(self.login_names.values_list("key", flat=True))
        if held - wanted:
            self.login_names.filter(key__in=held - wanted).delete()
        LoginName.objects.bulk_create(LoginName(key=key, user=self) for key in sorted(wanted - held))


class LoginName(models.Model):
    """A login name of an account: its username or its email. Each has a row of its own.

    Both stand in one unique column, so that the database refuses a username that is another account's email. Two
    columns of the account could not do that, and a check before the write does not see another write at the same
    moment.
    """

    # This is the `login_key` of the name.
    key = ExactCharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_names")

    def __str__(self):
        return f"login name of user {self.user_id}"


def is_login_good(auth_hash: str, *, is_active: bool, password: str) -> bool:
    return bool(is_active) and compare_digest(auth_hash, session_auth_hash(password, settings.SECRET_KEY))


@lru_cache(maxsize=8192)
def session_auth_hash(password: str, secret_key: str) -> str:
    """The session hash of a password's hash. It is cached: making it took a quarter of the time to check a login."""
    return User(password=password).get_session_auth_hash()


class LoginSession(models.Model):
    """One login, from its first token pair until logout, password change or expiry.

    Access tokens carry its id, so that deleting the row ends them at once. A new password ends the session, whoever
    sets it and however.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="login_sessions")
    # This is `hash_of` the id in the newest refresh token. The column still has the name of its earlier content.
    refresh_hash = ExactCharField(max_length=64, db_column="refresh_id")
    # These are the hashes of the other refresh tokens that may still come, oldest first, each with the time of its
    # first use in seconds. The time is None while the token is unused: of two requests with one token, each gets a
    # token of its own.
    other_refresh_hashes = models.JSONField(null=True)
    # This is the user's get_session_auth_hash() at the time of the login.
    auth_hash = ExactCharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self):
        return f"session {self.pk} of user {self.user_id}"


class BrowserSession(AbstractBaseSession):
    """The session of a browser's cookie. From the login on it belongs to an account. The session store writes every
    column."""

    # This is `hash_of` the key in the cookie.
    session_key = ExactCharField("session key", max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="browser_sessions")
    # This is the user's get_session_auth_hash() at the login. It tells which sessions a new password has ended.
    auth_hash = ExactCharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def save(self, *args, force_update=False, **kwargs):
        """Saves without the time of the login, if the row exists, since the store writes a new object each time."""
        if force_update:
            kwargs["update_fields"] = ["session_data", "expire_date", "user", "auth_hash"]
        super().save(*args, force_update=force_update, **kwargs)


class Scope(models.TextChoices):
    """What an API key may do."""

    EVENTS_READ = "events:read", "Read events and how many tickets are left"
    EVENTS_WRITE = "events:write", "Create, change and cancel events"
    BOOKINGS_READ = "bookings:read", "Read bookings, with the codes of their tickets"
    BOOKINGS_WRITE = "bookings:write", "Book, and cancel any booking"
    # No route takes it yet.
    CHECKIN = "checkin", "Check tickets in (kept for later: no route takes it yet)"
    CHANGES_READ = "changes:read", "Read the feed of changes"


class ApiKeys(BaseAPIKeyManager):
    def assign_key(self, obj):
        """Draws a key. The library's own method makes the hash a part of the id, which pages and logs show."""
        key, obj.prefix, obj.hashed_key = self.key_generator.generate()
        return key


class ApiKey(AbstractAPIKey):
    """The key of a program. What it may do is fixed when it is made; it ends when it expires or is revoked.

    The table has the hash of the whole key, which is random, so the hash of it needs no salt and no slowness.
    """

    id = models.BigAutoField(primary_key=True)
    # The key begins with it. It is no secret, and unique, so that a key is found by it.
    prefix = ExactCharField(max_length=8, unique=True, editable=False)
    hashed_key = ExactCharField(max_length=150, editable=False)
    # The ledger names it for what is done with the key. Nobody can log in with it, and it owns nothing.
    account = models.OneToOneField(User, models.PROTECT, related_name="api_key", editable=False)
    scopes = models.JSONField(help_text="What it may do, of `Scope`.")
    # Events are never deleted, and this app knows none of their tables, so these are no foreign keys.
    event_ids = models.JSONField(null=True, help_text="The only events that it reaches. Empty: all, later ones too.")
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+", editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    objects = ApiKeys()
    # Its requests count here (`ticks.api.throttling`).
    throttle_scope = "api_key"

    class Meta(AbstractAPIKey.Meta):
        ordering = ["-pk"]
        default_permissions = ["view", "add"]
        permissions = [("revoke_apikey", "Can revoke API key")]

    def __str__(self):
        return f"{self.name} ({self.prefix})"

    def reaches(self, event_id: int) -> bool:
        return self.event_ids is None or event_id in self.event_ids


class AttemptCounter(models.Model):
    """Attempts at passwords and accounts by one caller in one window of time."""

    key = ExactCharField(max_length=120)
    window = models.BigIntegerField()
    count = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "window"], name="one_counter_a_window")]

    def __str__(self):
        return f"{self.key}: {self.count}"


class AccountMail(Outgoing):
    """A mail that belongs to no booking: to an account, or to an address that may have none.

    It is written out only when it is sent. Its link is made then, and stands in no table.
    """

    class Kind(models.TextChoices):
        RESET = "reset"
        INVITATION = "invitation"
        VERIFY = "verify"
        CHANGE = "change"
        CHANGED = "changed"

    kind = models.CharField(max_length=20)
    email = ExactEmailField(max_length=MAX_NAME)
    # The mails about a change of the address name its account, which does not have the address. No key of the database,
    # since it would lock the account.
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, db_constraint=False, related_name="mails")
    asked_at = models.DateTimeField(default=timezone.now, help_text="From this time on its link is good for an hour.")

    def __str__(self):
        return f"mail {self.pk}: {self.kind}"
