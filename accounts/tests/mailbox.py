"""The mails of accounts that wait, and what is in them."""

import re
from urllib.parse import parse_qs, urlsplit

from accounts.mails import compose_account_mail
from accounts.models import AccountMail

LINK = re.compile(r"https?://\S+")


def queued() -> list[tuple[str, str]]:
    """The kind and the address of each mail."""
    return list(AccountMail.objects.order_by("pk").values_list("kind", "email"))


def link_in(mail: AccountMail) -> str:
    """The link of a mail that is written out now."""
    [link] = [found for found in LINK.findall(compose_account_mail(mail).body) if "?" in found]
    return link


def token_in(mail: AccountMail) -> str:
    return parse_qs(urlsplit(link_in(mail)).query)["token"][0]


def latest_token() -> str:
    return token_in(AccountMail.objects.latest("pk"))
