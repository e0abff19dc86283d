"""The command `rehearse`, as it is typed."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command


def rehearse(event=None, **options):
    out = StringIO()
    typed = [] if event is None else [str(event)]
    for name, value in options.items():
        typed += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    call_command("rehearse", *typed, stdout=out)
    return out.getvalue()


def refused(event=None, **options):
    with pytest.raises(CommandError) as caught:
        rehearse(event, **options)
    return str(caught.value)
