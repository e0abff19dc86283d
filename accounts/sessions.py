"""The sessions of browsers. They are kept in the database, each with its account.

The cookie holds the key and the table only its hash, so that nobody can log in with what the table holds.
`session_key` is the key in the store, and the hash in the model."""

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from accounts.models import BrowserSession, hash_of


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls):
        return BrowserSession

    def row(self):
        """The session's row, as a query."""
        return self.model.objects.filter(pk=hash_of(self.session_key))

    def load(self):
        session = self.row().filter(expire_date__gt=timezone.now()).first()
        if session is None:
            # The key is given up, so that no client can choose the key of the session that is saved next.
            self.flush()
            return {}
        return self.decode(session.session_data)

    def exists(self, session_key):
        return super().exists(hash_of(session_key))

    def delete(self, session_key=None):
        key = session_key or self.session_key
        if key is not None:
            super().delete(hash_of(key))

    def create_model_instance(self, data):
        session = super().create_model_instance(data)
        session.session_key = hash_of(session.session_key)
        # The login has left the account's id there as text.
        session.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        session.auth_hash = data.get(HASH_SESSION_KEY, "")
        return session
