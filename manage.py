#!/usr/bin/env python
import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from ticks.db.transactions import Busy, OutcomeUnknown, Unavailable

    try:
        _ = settings.SECRET_KEY
    except ImproperlyConfigured as error:
        sys.exit(f"Ticks cannot start: {error}")
    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, Busy, OutcomeUnknown, Unavailable) as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"The database failed: {error}. What was not reported as done may be missing; run the command again.")


if __name__ == "__main__":
    main()
