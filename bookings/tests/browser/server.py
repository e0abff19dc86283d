"""The real server on the tests' own database. So the server and a test see the same rows."""

import os
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from ticks.tests.served import await_ready, end, free_port, launch


@contextmanager
def serving(home):
    """Yields the server's address; its log is in `home`."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
    environment |= {
        "TICKS_ENV_FILE": "",
        "DATABASE_URL": database_url(),
        # Otherwise the server would not know the logins that the tests make.
        "SECRET_KEY": settings.SECRET_KEY,
        "JWT_SECRET": settings.JWT_SECRET,
        # Nor the links and tickets.
        "TICKET_SECRET": settings.TICKET_SECRET,
        "LOG_DIR": str(home / "logs"),
        "LOCAL_DIR": str(home / ".local"),
        "PORT": str(port),
        "WORKERS": "1",
        "THREADS": "8",
        # A machine that runs tests is busier than others.
        "DB_SECONDS": "20",
    }
    with (home / "console.txt").open("w") as console:
        process = launch(home, environment, stdout=console)
        try:
            await_ready(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            end(process)


def database_url() -> str:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    server, mark, options = os.environ["DATABASE_URL"].partition("?")
    return f"{server.rpartition('/')[0]}/{name}{mark}{options}"
