import pytest

from ticks.languages import language_name, language_of_header


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-GB", "en"),
        ("fr, en;q=0.5, de;q=0.7", "de"),
        ("en;q=0.4,de;q=0.5", "de"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=0", ""),
        ("fr-FR, fr", ""),
        ("*", ""),
        ("", ""),
        ("de;q=x", ""),
        ("d\xe9", ""),
        ("de\x00", ""),
        ("../../de", ""),
        ("de-" + "x" * 10_000, ""),
        ("de," * 10_000, "de"),
    ],
)
def test_header_names_the_language_that_it_likes_best(header, language):
    assert language_of_header(header) == language


def test_language_that_nobody_chose_is_the_default(settings):
    settings.DEFAULT_LANGUAGE = "de"

    assert [language_name(code) for code in ("en", "", "tlh")] == ["English", "German", "German"]
