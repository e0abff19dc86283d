"""The character set of the database and of Ticks' tables. Only utf8mb4 has the letters of all names."""

from itertools import groupby

from django.core.management import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

CHARSET = "utf8mb4"
DEFAULT = (
    "SELECT default_character_set_name FROM information_schema.schemata"  # noqa: S608
    f" WHERE schema_name = DATABASE() AND default_character_set_name <> '{CHARSET}'"
)
# Each row is a column of text that has another character set. Its name is NULL where only the table's default differs,
# which columns of later migrations would get.
OTHER_CHARSET_COLUMNS = f"""
SELECT tables.table_name, columns.column_name, columns.column_type, columns.is_nullable, columns.column_default
FROM information_schema.tables AS tables LEFT JOIN information_schema.columns AS columns
    ON columns.table_schema = tables.table_schema AND columns.table_name = tables.table_name
    AND columns.character_set_name <> '{CHARSET}'
WHERE tables.table_schema = DATABASE()
    AND (tables.table_collation NOT LIKE '{CHARSET}%' OR columns.column_name IS NOT NULL)
ORDER BY tables.table_name, columns.ordinal_position
"""  # noqa: S608


def refuse_other_charset() -> None:
    """Raises `CommandError`, with the statements that mend it, if the database or a table is not in utf8mb4.

    Such a database takes all migrations, and fails at the first name with a letter that it does not have.
    """
    if connection.vendor != "mysql":
        return
    own = {*connection.introspection.django_table_names(), MigrationRecorder.Migration._meta.db_table}
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(DEFAULT)
        statements = [f"ALTER DATABASE {database} CHARACTER SET {CHARSET}" for _ in cursor.fetchall()]
        cursor.execute(OTHER_CHARSET_COLUMNS)
        for table, columns in groupby(cursor.fetchall(), key=lambda row: row[0]):
            if table in own:
                statements.append(conversion(table, [column[1:] for column in columns]))
    if statements:
        raise CommandError(
            f"The database is not in {CHARSET}, so it cannot store every name; stop every server, back the database "
            f"up, and run in it: {'; '.join(statements)};"
        )


def conversion(table: str, columns: list[tuple]) -> str:
    """The statement that converts these columns of a table. CONVERT TO would also change the collation of columns that
    are compared letter by letter, such as references."""
    quote = connection.ops.quote_name
    changes = [f"DEFAULT CHARACTER SET {CHARSET}"]
    for name, kind, is_nullable, default in columns:
        if name is None:
            continue
        change = f"MODIFY {quote(name)} {kind} CHARACTER SET {CHARSET} {'NULL' if is_nullable == 'YES' else 'NOT NULL'}"
        if default is not None:
            # MariaDB gives the default as SQL, and MySQL gives it as text.
            change += f" DEFAULT {default}" if connection.mysql_is_mariadb else f" DEFAULT '{default}'"
        changes.append(change)
    return f"ALTER TABLE {quote(table)} {', '.join(changes)}"
