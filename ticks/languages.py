"""The languages of what people get by mail or as a file. The API and the staff's site speak English."""

from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header

# A language is stored as its code. It is empty if nobody has chosen one.
MAX_LANGUAGE = 16


# Browsers send few different headers, and each booking has one.
@lru_cache(maxsize=512)
def language_of_header(header: str) -> str:
    """The language of `settings.LANGUAGES` that an `Accept-Language` header likes best; empty if it names none."""
    for code, quality in parse_accept_lang_header(header):
        try:
            if quality > 0:
                return get_supported_language_variant(code)
        except LookupError:
            continue
    return ""


def language_of_browser(request: HttpRequest) -> str:
    """The language of a page that is about nobody whose language is known; the default one if the browser likes none of
    ours."""
    return language_of_header(request.headers.get("Accept-Language", "")) or settings.DEFAULT_LANGUAGE


def language_name(code: str) -> str:
    """The name of a language, such as "German"; that of the default language if nobody has chosen one."""
    names = dict(settings.LANGUAGES)
    return names.get(code) or names[settings.DEFAULT_LANGUAGE]
