"""Counts the parts of the code, so that a change can be judged by what it adds.

    .venv/bin/python tools/shape.py

Tests and migrations are left out. A function is a `def`, methods included. A chain is a way from import to import at
the top of modules; imports inside functions and for type checkers are left out."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ("ticks", "accounts", "events", "bookings")


def python_files(*places: str) -> list[Path]:
    listed = subprocess.run(  # noqa: S603
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [Path(line) for line in listed.stdout.splitlines() if line.endswith(".py") and (ROOT / line).exists()]
    return [path for path in paths if not {"tests", "migrations"} & set(path.parts)]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text()


def functions_of(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def statements_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for name in ("body", "orelse", "finalbody"):
                yield from statements_at_import(getattr(node, name, []))


def imports_of(tree: ast.Module, names: set[str]) -> set[str]:
    found = set()
    for node in statements_at_import(tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & names
            # A package counts if something of its own is imported, and not only a module in it.
            found |= modules if len(modules) == len(node.names) else modules | {node.module}
    return found & names


def circles_and_longest_chain(graph: dict[str, set[str]]) -> tuple[list[list[str]], list[str]]:
    circles = []

    @cache
    def chain(module: str) -> tuple[str, ...]:
        longest: tuple[str, ...] = ()
        for imported in sorted(graph[module]):
            if imported in on_the_way:
                circles.append([*on_the_way[on_the_way.index(imported) :], imported])
                continue
            on_the_way.append(imported)
            longest = max(longest, chain(imported), key=len)
            on_the_way.pop()
        return (module, *longest)

    on_the_way: list[str] = []
    longest: tuple[str, ...] = ()
    for module in graph:
        on_the_way.append(module)
        longest = max(longest, chain(module), key=len)
        on_the_way.pop()
    return circles, list(longest)


def main() -> None:
    paths = python_files(*APPS)
    trees = {path: ast.parse(text_of(path)) for path in paths}
    lines = {path: text_of(path).count("\n") for path in paths}
    functions = [
        (function.end_lineno - function.lineno + 1, f"{path}:{function.lineno} {function.name}")
        for path, tree in trees.items()
        for function in functions_of(tree)
    ]
    names = {module_name(path) for path in paths}
    graph = {module_name(path): imports_of(tree, names) for path, tree in trees.items()}
    circles, chain = circles_and_longest_chain(graph)

    total = sum(lines.values())
    for app in APPS:
        own = [path for path in paths if path.parts[0] == app]
        print(f"{app:9} {sum(lines[path] for path in own):6} lines in {len(own):3} files")
    print(f"{'apps':9} {total:6} lines in {len(paths):3} files ({sum(map(bool, lines.values()))} of them not empty)")
    print(f"{'tools':9} {sum(text_of(path).count(chr(10)) for path in python_files('tools')):6} lines of Python")
    print(f"functions in 100 lines: {100 * len(functions) / total:.1f}")
    print("longest functions:", *(f"  {length:4} {place}" for length, place in sorted(functions)[:-6:-1]), sep="\n")
    longest_files = sorted(lines, key=lines.__getitem__)[:-6:-1]
    print("longest files:", *(f"  {lines[path]:4} {path}" for path in longest_files), sep="\n")
    print(f"longest chain of imports: {len(chain) - 1}", *(f"  {module}" for module in chain), sep="\n")
    print(f"circles of imports: {len(circles)}", *(f"  {' > '.join(circle)}" for circle in circles), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
