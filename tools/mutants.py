"""Removes one guard of Ticks after the other, and shows that a test fails for each.

    .venv/bin/python tools/mutants.py [--only WORD] [--jobs 2]

Works in copies, each with a MariaDB of its own. `make test` must pass before, since a test that fails already proves
nothing. This fails if no test misses a guard, or if a guard is not where `guards.py` says."""

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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from guards import CONSTRAINTS, GUARDS, Constraint, Guard
from private_mariadb import private_mariadb

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".venv", ".git", ".local", "logs", "db.sqlite3*", ".hypothesis", "__pycache__", ".*_cache"
)
TIMEOUT_SECONDS = 300
FAILED = 1  # pytest's exit code: tests ran, and some failed


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
        path = self.tree / guard.path
        whole = path.read_text()
        began = time.monotonic()
        try:
            path.write_text(without(guard, whole))
            is_red, summary = self.run_tests(guard)
        except LookupError as error:
            is_red, summary = False, str(error)
        finally:
            path.write_text(whole)
        return Result(guard, is_red, summary, time.monotonic() - began)

    def run_tests(self, guard: Guard | Constraint) -> tuple[bool, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
        environment |= {
            "TICKS_ENV_FILE": "",
            "SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": secrets.token_hex(32),
        }
        if getattr(guard, "on_mariadb", True):
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
        failed = re.search(r"^(?:FAILED|ERROR) \S*::(\S+)", output, re.MULTILINE)
        if tests.returncode == FAILED and failed:
            return True, failed[1]
        return False, f"not missed (exit code {tests.returncode}): {' '.join(output.strip().splitlines()[-1:])}"


def without(guard: Guard | Constraint, source: str) -> str:
    if isinstance(guard, Constraint):
        return without_constraint(guard.name, source)
    if source.count(guard.old) != 1:
        raise LookupError(f"stands {source.count(guard.old)} times in {guard.path}; mend tools/guards.py")
    return source.replace(guard.old, guard.new)


def without_constraint(name: str, source: str) -> str:
    """The migration without the constraint of that name: in a list of options, or an operation of its own."""
    # An operation that removes the constraint before it is made again names it as well.
    named = [match.start() for match in re.finditer(rf"name='{name}'", source)]
    if not named:
        raise LookupError(f"{name} stands in no migration that tools/guards.py names")
    starts = [match.start() for match in re.finditer(r"migrations\.AddConstraint\(|models\.\w+Constraint\(", source)]
    for start in starts:
        end = closing(source, source.index("(", start)) + 1
        if any(start < at < end for at in named):
            return source[:start] + source[end:].lstrip(",").lstrip(" ")
    raise LookupError(f"{name} has no operation that makes it")


def closing(source: str, opening: int) -> int:
    depth = 0
    for position in range(opening, len(source)):
        depth += {"(": 1, ")": -1}.get(source[position], 0)
        if depth == 0:
            return position
    raise LookupError("a bracket is not closed")


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
    guards = [guard for guard in [*GUARDS, *CONSTRAINTS] if arguments.only in guard.name]
    results = try_all(guards, jobs=arguments.jobs)
    missed = sum(result.is_red for result in results)
    print(f"\n{missed} of {len(results)} guards are missed by a test when they are gone.")
    return 0 if results and missed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
