"""The files of translations: complete, and the same as those that `make translations` makes now."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
LANGUAGES = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
# None of these has a text that is translated.
LEFT_OUT = shutil.ignore_patterns("tests", "static", "fonts", "migrations", "__pycache__")


def program(name):
    if shutil.which(name) is None and os.environ.get("CI"):
        pytest.fail(f"{name} is missing; tools/setup.sh --test installs it")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is missing; tools/setup.sh --test installs it")
    return name


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def texts(language, suffix, *, root=ROOT):
    return root / "locale" / language / "LC_MESSAGES" / f"django.{suffix}"


@pytest.fixture(scope="module")
def made_anew(tmp_path_factory):
    """A copy of the code in which the files of translations were made anew."""
    program("xgettext")
    copy = tmp_path_factory.mktemp("translations") / "ticks"
    for folder in ("ticks", "accounts", "events", "bookings", "locale"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=LEFT_OUT)
    for file in ("Makefile", "manage.py"):
        shutil.copy(ROOT / file, copy)
    (copy / ".venv").symlink_to(sys.prefix)
    run("make", "translations", cwd=copy, env=os.environ | {"LOG_DIR": str(copy / "logs"), "LOCAL_DIR": str(copy)})
    return copy


def without_date(path):
    return re.sub(r'"POT-Creation-Date: .*\n', "", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_in_the_file_of_its_language(made_anew, language):
    assert without_date(texts(language, "po", root=made_anew)) == without_date(texts(language, "po"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language):
    checked = run(program("msgfmt"), "--check", "--statistics", "--output-file=/dev/null", texts(language, "po"))

    assert re.fullmatch(r"\d+ translated messages\.\n", checked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_file_says_what_its_source_says(made_anew, language):
    unpack = program("msgunfmt")

    assert run(unpack, texts(language, "mo")) == run(unpack, texts(language, "mo", root=made_anew))
