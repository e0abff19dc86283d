"""Model fields that every app shares."""

from django.db import models

from ticks.text import normalise_email, validate_email


class ExactCollation:
    """Text that every database compares code point by code point.

    MySQL's and MariaDB's usual collations treat different emoji, accents and cases as equal.
    """

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class ExactCharField(ExactCollation, models.CharField):
    pass


class ExactTextField(ExactCollation, models.TextField):
    pass


class ExactEmailField(ExactCollation, models.EmailField):
    """A mail address, which forms and commands normalise before they check it."""

    default_validators = [validate_email]

    def clean(self, value, model_instance):
        return super().clean(normalise_email(value) or (None if self.null else ""), model_instance)
