"""One rehearsal at a time: what another one is using would pass for left over."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from django.conf import settings
from django.db import Error, connection


class NotAlone(Exception):
    pass


@contextmanager
def alone() -> Iterator[None]:
    """Holds the right to rehearse; the system takes it back from whoever dies. Raises `NotAlone`.

    By a file on this machine, and by name in the database for those on others (some clusters refuse that).
    """
    settings.LOCAL_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(settings.LOCAL_DIR / "rehearsal.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotAlone from None
        if connection.vendor == "mysql" and ask_for("SELECT GET_LOCK(%s, 0)") == 0:
            raise NotAlone
        yield
    finally:
        if connection.vendor == "mysql" and connection.connection is not None:
            ask_for("SELECT RELEASE_LOCK(%s)")
        os.close(file)


def ask_for(statement: str) -> int | None:
    # Names are the server's, whichever the database, and at most 64 characters long.
    name = sha256(f"{connection.settings_dict['NAME']} rehearsal".encode()).hexdigest()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, [name])
            return cursor.fetchone()[0]
    except Error:
        connection.close()
        return None
