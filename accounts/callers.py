"""Who shows a good token, before anybody has looked up whether the login behind it still stands."""

from functools import cached_property

from django.utils import timezone

from accounts.models import User
from accounts.services import user_of_session
from accounts.tokens import session_id
from ticks.parsing import parse_id


class Caller:
    """An account by its id alone, and its login, which is confirmed with what it is used for."""

    is_authenticated = True

    def __init__(self, pk: int, session: int):
        self.pk, self.session = pk, session

    @cached_property
    def account(self) -> User | None:
        """Looked up; None where the login has ended, or is another's."""
        user = user_of_session(self.session, now=timezone.now())
        return user if user and user.pk == self.pk else None

    @property
    def is_staff(self) -> bool:
        return bool(self.account and self.account.is_staff)


def caller_of(claims: dict) -> Caller | None:
    """Who the claims of an access token name; None where they name nobody that could be."""
    session, named = session_id(claims), claims.get("sub")
    pk = parse_id(named) if isinstance(named, str) else None
    # Compared as text: "07" is nobody.
    return None if session is None or pk is None or str(pk) != named else Caller(pk, session)
