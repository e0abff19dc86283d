"""Django's schema editor for MySQL, which skips what an interrupted migration has done already."""

import logging

from django.db import DatabaseError
from django.db.backends.mysql import schema
from django.db.models import UniqueConstraint

log = logging.getLogger("ticks.migrations")
# This is how many characters of a statement are logged.
BEGINNING = 200
# With these errors the thing exists already: a table, a column, an index, a foreign key or CHECK; the last is MySQL's
# own code for a CHECK.
THERE_ALREADY = {1050, 1060, 1061, 1826, 3822}
# MariaDB's "cannot create table" has many causes. With this one the foreign key exists already.
CANNOT_CREATE = 1005
FOREIGN_KEY_IS_THERE = "errno: 121 "
# With these errors the thing does not exist, so it cannot be dropped: a table; a column, index or constraint; the last
# is MySQL's own code for a CHECK.
GONE_ALREADY = {1051, 1091, 3821}


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """MariaDB and MySQL commit every change of the schema at once, and Django notes a migration as done at its end.

    So a migration that was interrupted runs again from its first statement. A statement whose work is done already is
    passed over, with a warning in the log: what is there under this name may also be somebody else's, and differ. For
    a rename that cannot be told, so no migration may have one.
    """

    def execute(self, sql, params=()):
        try:
            super().execute(sql, params)
        except DatabaseError as error:
            if not is_done_already(error):
                raise
            warn_passed_over(sql, error)

    def create_model(self, model):
        self.refuse_other_table(model)
        super().create_model(model)

    def refuse_other_table(self, model):
        """A table of this name that lacks columns of the model was not made by an interrupted migration."""
        table = model._meta.db_table
        with self.connection.cursor() as cursor:
            introspection = self.connection.introspection
            if self.collect_sql or table not in introspection.table_names(cursor):
                return
            there = {column.name for column in introspection.get_table_description(cursor, table)}
        missing = sorted({field.column for field in model._meta.local_concrete_fields} - there)
        if missing:
            raise DatabaseError(f"There is a table {table} already, without {', '.join(missing)}: it is not Ticks'.")

    def add_constraint(self, model, constraint):
        # The names are looked up instead of tried, since after a failed change the table is no longer locked.
        there = None if self.collect_sql else self.columns_of(model, constraint)
        if there is None:
            super().add_constraint(model, constraint)
        else:
            warn_of_constraint(f"ADD CONSTRAINT {constraint.name} to {model._meta.db_table}", there)

    def remove_constraint(self, model, constraint):
        # The same migration may add another unique key under this name. If an earlier run has added it, it stays.
        if isinstance(constraint, UniqueConstraint) and not self.collect_sql:
            columns = [model._meta.get_field(name).column for name in constraint.fields]
            there = self.columns_of(model, constraint)
            if there not in (None, columns):
                warn_of_constraint(f"DROP CONSTRAINT {constraint.name} of {model._meta.db_table}", there)
                return
        super().remove_constraint(model, constraint)

    def columns_of(self, model, constraint):
        """The columns of the constraint with this name in the database; None where there is none."""
        with self.connection.cursor() as cursor:
            found = self.connection.introspection.get_constraints(cursor, model._meta.db_table)
        return found.get(constraint.name, {}).get("columns")


def is_done_already(error: DatabaseError) -> bool:
    code = error.args[0]
    return code in THERE_ALREADY | GONE_ALREADY or (code == CANNOT_CREATE and FOREIGN_KEY_IS_THERE in str(error))


def warn_passed_over(statement, reason) -> None:
    beginning = " ".join(str(statement).split())[:BEGINNING]
    log.warning("Passed over as done already, make sure that it is the same: %s (%s)", beginning, reason)


def warn_of_constraint(change, columns) -> None:
    warn_passed_over(change, f"a constraint of this name is there, on {', '.join(columns)}")
