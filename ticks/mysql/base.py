"""Django's MySQL backend, which waits neither for a database that is away nor to see if an idle connection lives."""

import select

from django.db.backends.mysql import base
from MySQLdb import OperationalError

from ticks.outage import outage

CANNOT_CONNECT = 2002


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params):
        if not outage.is_over():
            raise OperationalError(CANNOT_CONNECT, "The database was lost and is not back yet.")
        return super().get_new_connection(conn_params)

    def is_usable(self):
        # A healthy idle connection has nothing to say. One that the server has closed can be read from; a ping
        # of each connection before each request would cost a round trip, and hang where the server does.
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLPRI)
        return not poll.poll(0) or super().is_usable()
