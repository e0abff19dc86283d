"""The sessions of browsers, kept in the database with the account that each is of."""

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from accounts.models import BrowserSession


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls):
        return BrowserSession

    def create_model_instance(self, data):
        session = super().create_model_instance(data)
        # Text, in what the login left there.
        session.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        session.auth_hash = data.get(HASH_SESSION_KEY, "")
        return session
