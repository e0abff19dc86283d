import pytest
from django.core.checks import run_checks

pytestmark = pytest.mark.django_db


def test_models_use_nothing_that_this_database_lacks():
    """On MariaDB: conditional unique constraints (W036) and functional indexes (W044) are silently not made."""
    assert run_checks(databases=["default"]) == []
