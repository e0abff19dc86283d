"""Goes through an action of staff as a browser does: opens a form, sends it back, and confirms the preview."""

from html.parser import HTMLParser

from django.contrib.auth.models import Group

from accounts.tests.factories import UserFactory
from bookings.models import LedgerEntry
from bookings.roles import BOX_OFFICE, MANAGERS
from bookings.services.verification import verify_event

CALLER = {"tickets": "2", "first_name": "Emmy", "last_name": "Noether", "email": "Emmy@Example.org"}


class SentFields(HTMLParser):
    """The values of a form, as they are sent."""

    def __init__(self, content: str):
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self.text_of = self.choice_of = ""
        # Browsers read every line break as LF, and send it as CRLF.
        content = content.replace("\r\n", "\n")
        self.feed(content.partition('class="action-form"')[2].partition("</form>")[0])

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        is_box = given.get("type") in ("checkbox", "radio")
        if tag == "textarea":
            self.text_of = given["name"]
            self.fields[self.text_of] = [""]
        elif tag == "select":
            self.choice_of = given["name"]
        elif tag == "option" and ("selected" in given or self.choice_of not in self.fields):
            self.fields[self.choice_of] = [given["value"]]
        elif tag == "input" and "name" in given and ("checked" in given or not is_box):
            self.fields.setdefault(given["name"], []).append(given.get("value") or ("on" if is_box else ""))

    def handle_endtag(self, tag):
        if tag == "textarea":
            [text] = self.fields[self.text_of]
            self.fields[self.text_of] = [text.removeprefix("\n")]
            self.text_of = ""

    def handle_data(self, data):
        if self.text_of:
            self.fields[self.text_of][0] += data


def fields_of(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    fields = SentFields(response.content.decode()).fields
    return {name: [value.replace("\n", "\r\n") for value in values] for name, values in fields.items()}


def url_of(subject, action: str = "") -> str:
    """The address of an event's or a booking's page, or of an action on it."""
    options = subject._meta
    return f"/admin/{options.app_label}/{options.model_name}/{subject.pk}/{f'{action}/' if action else ''}"


def look(client, subject, action: str, **typed):
    """Opens the form, types, and asks for the preview."""
    url = url_of(subject, action)
    return client.post(url, fields_of(client.get(url)) | typed)


def confirm(client, subject, action: str, shown, **typed):
    """Confirms what a page showed, and follows the redirect."""
    return client.post(url_of(subject, action), fields_of(shown) | typed | {"confirm": "yes"}, follow=True)


def lines(response) -> list[str]:
    """The lines of the preview; empty if nothing can be confirmed."""
    content = response.content.decode()
    assert ('name="confirm"' in content) == ("What will happen" in content)
    return response.context["lines"]


def errors(response) -> dict[str, list[str]]:
    """The reasons why a form was refused, by field."""
    assert response.status_code == 200
    assert not lines(response)
    return dict(response.context["form"].errors)


def said(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def counts(event) -> tuple[int, int, int, int]:
    """The total and available tickets, the waiting bookings and the tickets that they want. The event must verify."""
    event.refresh_from_db()
    assert verify_event(event).findings == []
    return event.total_tickets, event.available_tickets, event.waitlisted_count, event.waitlisted_tickets


def entries(event, *, after: int) -> list[tuple]:
    """The ledger entries after a sequence number: kind, tickets, holder, actor and note."""
    found = LedgerEntry.objects.filter(event=event, sequence__gt=after).order_by("sequence")
    return list(found.values_list("kind", "tickets", "booking__first_name", "actor__username", "note"))


PERSONAS = {
    "superuser": lambda: UserFactory(username="superuser", is_superuser=True),
    "manager": lambda: member(MANAGERS),
    "box office": lambda: member(BOX_OFFICE),
    "plain staff": lambda: UserFactory(username="plain", is_staff=True),
    "user": lambda: UserFactory(username="user"),
    "anonymous": lambda: None,
}


def member(role: str):
    account = UserFactory(username=role.lower().replace(" ", "_"))
    account.groups.add(Group.objects.get(name=role))
    return account


def as_persona(client, name: str):
    account = PERSONAS[name]()
    if account:
        client.force_login(account)
    return client
