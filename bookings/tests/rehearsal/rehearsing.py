"""The command `rehearse`, as it is typed."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command


def rehearse(event=None, **options):
    out = StringIO()
    # As from a shell, where all options are texts.
    given = {name: value if isinstance(value, bool) else str(value) for name, value in options.items()}
    call_command("rehearse", *([] if event is None else [str(event)]), stdout=out, **given)
    return out.getvalue()


def refused(event=None, **options):
    with pytest.raises(CommandError) as caught:
        rehearse(event, **options)
    return str(caught.value)
