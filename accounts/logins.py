"""Which logins accounts have open, in browsers and by the API, and who may end them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, QuerySet
from django.utils import timezone

from accounts.models import BrowserSession, LoginSession, User
from ticks.words import counted


@dataclass
class Logins:
    browsers: int = 0
    last_browser: datetime | None = None
    tokens: int = 0
    last_token: datetime | None = None

    def __str__(self):
        return f"{counted(self.browsers, 'browser')}, {counted(self.tokens, 'API login')}"


def logins_of(accounts: Sequence[User]) -> dict[int, Logins]:
    """By account; two queries, however many accounts and logins there are."""
    now = timezone.now()
    logins = {account.pk: Logins() for account in accounts}
    browsers = BrowserSession.objects.filter(expire_date__gt=now)
    for user, count, last in good_ones(browsers, accounts):
        logins[user].browsers, logins[user].last_browser = count, last
    tokens = LoginSession.objects.filter(expires_at__gt=now)
    for user, count, last in good_ones(tokens, accounts):
        logins[user].tokens, logins[user].last_token = count, last
    return logins


def good_ones(sessions: QuerySet, accounts: Sequence[User]) -> list[tuple[int, int, datetime]]:
    """Account, how many and when the last began; a new password or deactivation has ended the others."""
    by_id = {account.pk: account for account in accounts}
    counts = (
        sessions.filter(user__in=list(by_id))
        .values_list("user", "auth_hash")
        .annotate(count=Count("pk"), last=Max("created_at"))
        .order_by()
    )
    return [(user, count, last) for user, auth_hash, count, last in counts if by_id[user].may_use_login(auth_hash)]


def may_end_logins(actor: User, account: User) -> bool:
    """Of staff as well, since a phone that is stolen may be anybody's; not of who may do more than all others."""
    return actor.has_perm("accounts.end_logins") and (actor.is_superuser or not account.is_superuser)
