"""Removes one guard of Ticks after the other, and shows that a test fails for each. The guards are those of `guards.py`
and the constraints of the models.

    .venv/bin/python tools/mutants.py [--only WORD] [--jobs 2]

Works in copies, each with a MariaDB of its own. `make test` must pass before, since a test that fails already proves
nothing. This fails if a guard can be removed without a failing test, if no test names a constraint, or if a guard is
not where `guards.py` says."""

import argparse
import os
import queue
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.apps import apps
from guards import GUARDS, Guard
from private_mariadb import private_mariadb

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".venv", ".git", ".local", "logs", "db.sqlite3*", ".hypothesis", "__pycache__", ".*_cache"
)
TIMEOUT_SECONDS = 300
FAILED = 1  # pytest's exit code: tests ran, and some failed
WITHOUT_CONSTRAINT = """\
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("{app}", "{newest}")]
    operations = [migrations.RemoveConstraint("{model}", "{name}")]
"""


@dataclass(frozen=True)
class Constraint:
    """A constraint of the database. `migration` is the text of a migration that removes it, and is written to `path`
    for the trial. `tests` are pytest's arguments: the files that name the constraint."""

    name: str
    path: str
    migration: str
    tests: str
    on_mariadb = True

    def taken_out_of(self, source: str) -> str:
        if not self.tests:
            raise LookupError("no test names it")
        return self.migration


@dataclass(frozen=True)
class Result:
    guard: Guard | Constraint
    is_red: bool
    summary: str
    seconds: float


class Workshop:
    """A copy of the tree to break, and a MariaDB for it."""

    def __init__(self, stack: ExitStack):
        self.tree = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticks-mutant-"))) / "ticks"
        shutil.copytree(ROOT, self.tree, ignore=LEFT_OUT)
        (self.tree / ".venv").symlink_to(ROOT / ".venv")
        self.database = stack.enter_context(private_mariadb())

    def try_without(self, guard: Guard | Constraint) -> Result:
        began = time.monotonic()
        try:
            with self.removed(guard):
                is_red, summary = self.run_tests(guard)
        except LookupError as error:
            is_red, summary = False, str(error)
        return Result(guard, is_red, summary, time.monotonic() - began)

    @contextmanager
    def removed(self, guard: Guard | Constraint) -> Iterator[None]:
        path = self.tree / guard.path
        source = path.read_text() if path.exists() else ""
        path.write_text(guard.taken_out_of(source))
        try:
            yield
        finally:
            path.write_text(source) if source else path.unlink()

    def run_tests(self, guard: Guard | Constraint) -> tuple[bool, str]:
        environment = os.environ | {"SECRET_KEY": secrets.token_hex(32), "JWT_SECRET": secrets.token_hex(32)}
        if guard.on_mariadb:
            environment["DATABASE_URL"] = self.database.url
        tests = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *shlex.split(guard.tests)],
            cwd=self.tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # This also kills the servers that the tests start.
            start_new_session=True,
        )
        try:
            output, _ = tests.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            tests.communicate()
            return False, f"no result after {TIMEOUT_SECONDS} s"
        # An error at a constraint comes from the migration that removes it, and proves nothing.
        kinds = "FAILED" if isinstance(guard, Constraint) else "FAILED|ERROR"
        failed = re.search(rf"^(?:{kinds}) \S*::(\S+)", output, re.MULTILINE)
        if tests.returncode == FAILED and failed:
            return True, failed[1]
        return False, f"not missed (exit code {tests.returncode}): {' '.join(output.strip().splitlines()[-1:])}"


def find_constraints() -> list[Constraint]:
    """Every constraint of the models."""
    sys.path.insert(0, str(ROOT))
    django.setup()
    tests = {path.relative_to(ROOT): path.read_text() for path in sorted(ROOT.glob("*/tests/**/test_*.py"))}
    found = []
    for model in apps.get_models():
        app = model._meta.app_label
        for constraint in model._meta.constraints:
            newest = max(path.stem for path in ROOT.glob(f"{app}/migrations/0*.py"))
            migration = WITHOUT_CONSTRAINT.format(
                app=app, newest=newest, model=model._meta.model_name, name=constraint.name
            )
            files = " ".join(str(path) for path, text in tests.items() if re.search(rf"\b{constraint.name}\b", text))
            # The test that is left out misses every constraint, whether or not another test does.
            selected = f"{files} -k 'not is_in_the_database'" if files else ""
            path = f"{app}/migrations/9999_without_constraint.py"
            found.append(Constraint(constraint.name, path, migration, selected))
    return found


def try_all(guards: Sequence[Guard | Constraint], *, jobs: int) -> list[Result]:
    results = []
    with ExitStack() as stack:
        workshops: queue.Queue[Workshop] = queue.Queue()
        for _ in range(jobs):
            workshops.put(Workshop(stack))

        def attempt(guard):
            workshop = workshops.get()
            try:
                return workshop.try_without(guard)
            finally:
                workshops.put(workshop)

        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        for number, result in enumerate(pool.map(attempt, guards), 1):
            results.append(result)
            mark = "red" if result.is_red else "GREEN"
            print(
                f"{number:3}/{len(guards)} {mark:5} {result.seconds:4.0f} s  {result.guard.name}: {result.summary}",
                flush=True,
            )
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", default="", help="only guards whose name contains it")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    # Neither the shell nor .env may decide which database is used.
    for name in [name for name in os.environ if name.startswith(("DB_", "DATABASE_"))]:
        del os.environ[name]
    os.environ |= {"DJANGO_SETTINGS_MODULE": "ticks.settings", "TICKS_ENV_FILE": ""}
    guards = [guard for guard in [*GUARDS, *find_constraints()] if arguments.only in guard.name]
    results = try_all(guards, jobs=arguments.jobs)
    missed = sum(result.is_red for result in results)
    print(f"\n{missed} of {len(results)} guards are missed by a test when they are gone.")
    return 0 if results and missed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
