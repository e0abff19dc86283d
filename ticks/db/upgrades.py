"""Whether the database has the schema that this version of Ticks was written for."""

from collections.abc import Sequence

from django.core.management import CommandError
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from ticks.words import plural

# Applications that earlier versions had: their tables are gone, but django_migrations still names their migrations.
FORMER_APPS = {"sessions"}


def missing_migrations(loader: MigrationLoader) -> list[Migration]:
    """What the database lacks, in the order of `migrate`: before an upgrade, and after an interrupted one."""
    graph = loader.graph
    nodes = dict.fromkeys(node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf))
    return [graph.nodes[node] for node in nodes if node not in loader.applied_migrations]


def unknown_migrations(loader: MigrationLoader) -> list[str]:
    """What the database has and this version does not know: it was migrated by a newer one."""
    unknown = set(loader.applied_migrations) - set(loader.disk_migrations)
    return sorted(f"{app}.{name}" for app, name in unknown if app not in FORMER_APPS)


def refuse_newer_schema() -> None:
    """Raises `CommandError`: this version would not keep up to date what a newer one has added."""
    unknown = unknown_migrations(MigrationLoader(connection))
    if unknown:
        raise CommandError(
            f"The database is newer than this version of Ticks, which does not know {shortened(unknown)}; "
            "use the version that migrated it, or restore the backup from before."
        )


def refuse_other_schema() -> None:
    """Raises `CommandError`: on half an upgrade, bookings would be missing from the counts."""
    refuse_newer_schema()
    missing = missing_migrations(MigrationLoader(connection))
    if missing:
        raise CommandError(
            f"The database is older than this version of Ticks, it lacks {shortened(missing)}; "
            "stop every server, back the database up, and run `manage.py migrate`."
        )


def shortened(migrations: Sequence[Migration | str]) -> str:
    first, *others = map(str, migrations)
    return f"{first} and {len(others)} more {plural(len(others), 'migration')}" if others else first
