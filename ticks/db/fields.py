"""Model fields and bounds that every app shares."""

from django.db import models

MAX_TICKETS = 1_000_000


class ExactCollation:
    """Compares code point by code point on every database.

    MySQL's and MariaDB's usual collations take different emoji, accents and cases for the same.
    """

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class ExactCharField(ExactCollation, models.CharField):
    pass


class ExactEmailField(ExactCollation, models.EmailField):
    pass
