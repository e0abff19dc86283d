"""Nobody reads a hidden column by asking a list how many rows match a guess at it."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client

from accounts import tokens
from accounts.models import BrowserSession, LoginSession, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.personas import permissions, role
from bookings.models import Booking, LedgerEntry
from bookings.roles import ROLES
from bookings.services.booking import BookingRequest, book_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event
from ticks.staff_site import DeclaredFilters, StaffSite

pytestmark = pytest.mark.django_db
# These are fields that no page shows, and keys, since a key tells rows apart.
SECRET = {
    "password",
    "session_key",
    "session_data",
    "auth_hash",
    "refresh_hash",
    "token_hash",
    "digest",
    "token_nonce",
    "fingerprint",
    "key",
    "pk",
}
LISTS = {model: f"/admin/{model._meta.label_lower.replace('.', '/')}/" for model in admin.site._registry}

# A look-up is refused because the list does not have it or the caller may not see the list, or it leads back to the
# whole list.
REFUSALS = {model: [(400, None, None), (403, None, None), (302, f"{url}?e=1", None)] for model, url in LISTS.items()}


def test_every_list_takes_declared_filters_alone():
    assert len(admin.site._registry) == 7
    for model_admin in admin.site._registry.values():
        # The class stands in front of all its bases, so that no class of its own can allow more.
        assert type(model_admin).__mro__[1] is DeclaredFilters


def test_class_that_is_registered_later_takes_declared_filters_too():
    class Careless(admin.ModelAdmin):
        def lookup_allowed(self, lookup, value, request):
            return True

    site = StaffSite()
    site.register([LoginSession], Careless)
    site.register(BrowserSession, list_filter=["expire_date", "user"])

    assert not site.get_model_admin(LoginSession).lookup_allowed("refresh_hash__gte", "a", None)
    browsers = site.get_model_admin(BrowserSession)
    assert browsers.lookup_allowed("expire_date__gte", "2080-01-01", None)
    assert browsers.lookup_allowed("user__id__exact", "1", None)
    assert not browsers.lookup_allowed("user__gte", "1", None)
    assert not browsers.lookup_allowed("session_key__gte", "a", None)


@pytest.fixture
def hidden(db):
    """A superuser with one row in every table about accounts, so that a look-up has something to find."""
    chief = UserFactory(username="chief", is_superuser=True, is_staff=True, password=PASSWORD)
    chief.groups.add(Group.objects.get(name=next(iter(ROLES))))
    chief.user_permissions.set(permissions("view_user"))
    Client().force_login(chief)
    tokens.log_in(chief)
    event = EventFactory(created_by=chief)
    BookingFactory(event=event, user=chief)
    book_tickets(BookingRequest(event_id=event.pk, tickets=1, first_name="Ada"), key="k1")
    return chief


def staff(name):
    if name == "superuser":
        return UserFactory(username="asks", is_superuser=True, is_staff=True)
    account = UserFactory(username="asks", is_staff=name == "plain staff")
    if name == "viewer":
        # This account may see every list, and nothing that hangs on its rows.
        account.groups.add(role("Viewers", ["use_staff_site", "view_user", "view_event", "view_booking", "view_group"]))
    elif name != "plain staff":
        account.groups.add(Group.objects.get(name=name))
    return account


def paths(model, *, hops):
    """Every field that look-ups of a model reach over so many relations, forward and backward: path and field."""
    yield "pk", model._meta.pk
    for field in model._meta.get_fields():
        if not field.is_relation:
            yield field.name, field
        elif hops and field.related_model:
            # Backward, `name` is what look-ups call the relation.
            yield field.name, field.related_model._meta.pk
            for path, inner in paths(field.related_model, hops=hops - 1):
                yield f"{field.name}__{path}", inner


def secrets(model, *, hops):
    return {path: field for path, field in paths(model, hops=hops) if path.rpartition("__")[2] in SECRET}


def value_of(field):
    return field.model.objects.order_by("pk").values_list(field.attname, flat=True).first()


def guesses(path, field):
    """Two conditions for each look-up: the hidden value meets one of them, and not the other. Different answers would
    reveal it."""
    value = str(value_of(field) or "")
    beginning = value[:1] or "a"
    return {
        "gte": (f"{path}__gte=", f"{path}__gte=~"),
        "lte": (f"{path}__lte=~", f"{path}__lte="),
        "startswith": (f"{path}__startswith={beginning}", f"{path}__startswith=~"),
        "contains": (f"{path}__contains={beginning}", f"{path}__contains=~"),
        "regex": (f"{path}__regex=^.", f"{path}__regex=^~"),
        "isnull": (f"{path}__isnull=False", f"{path}__isnull=True"),
        "in": (f"{path}__in={value}", f"{path}__in=0"),
        "exact": (f"{path}__exact={value}", f"{path}__exact=0"),
        "": (f"{path}={value}", f"{path}=0"),
    }


def effect_of(client, url):
    response = client.get(url)
    listed = (getattr(response, "context_data", None) or {}).get("cl")
    return response.status_code, response.get("Location"), listed and listed.result_count


# Each account follows this many relations, by these look-ups. A list takes the same from every account, so not every
# combination is tried.
WALKS = {
    "superuser": (2, ["gte"]),
    "Managers": (2, ["gte", "startswith"]),
    "Box office": (1, ["gte", "exact"]),
    "viewer": (1, ["gte", "lte", "startswith", "contains", "regex", "isnull", "in", "exact", ""]),
    "plain staff": (1, ["gte", ""]),
}


def test_every_role_walks():
    assert set(ROLES) < set(WALKS)


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("model", LISTS, ids=lambda model: model.__name__)
def test_list_tells_nothing_of_hidden_columns(client, hidden, model, name):
    client.force_login(staff(name))
    hops, lookups = WALKS[name]

    for path, field in secrets(model, hops=hops).items():
        pairs = guesses(path, field)
        for lookup in lookups:
            true, false = (effect_of(client, f"{LISTS[model]}?{condition}") for condition in pairs[lookup])

            assert true == false, path
            assert true in REFUSALS[model], path


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("model", [Booking, Event, LedgerEntry], ids=lambda model: model.__name__)
def test_export_tells_nothing_of_hidden_columns(client, hidden, model, kind):
    client.force_login(staff("Managers"))

    for path, field in secrets(model, hops=1).items():
        true, false = guesses(path, field)["startswith"]
        answers = [effect_of(client, f"{LISTS[model]}export/{kind}/?{condition}") for condition in (true, false)]

        assert answers == [(302, f"{LISTS[model]}?e=1", None)] * 2, path


@pytest.mark.parametrize("model", [User, Group, Event, Booking], ids=lambda model: model.__name__)
def test_list_is_ordered_by_its_columns_alone(client, hidden, model):
    client.force_login(staff("superuser"))

    def order(given):
        return [row.pk for row in client.get(LISTS[model], {"o": given}).context_data["cl"].result_list]

    assert len({tuple(order(given)) for given in ("password", "-password", "user__password", "99", "-99", "")}) == 1


@pytest.mark.parametrize("field", ["password", "username_key", "groups", "browser_sessions", "session_key"])
def test_popup_refers_to_a_row_by_its_key_alone(client, hidden, field):
    client.force_login(staff("superuser"))

    assert client.get(LISTS[User], {"_to_field": field, "_popup": "1"}).status_code == 400


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("source", ["booking.user", "event.created_by", "loginsession.user", "browsersession.user"])
def test_suggestions_find_by_what_the_list_shows(client, hidden, source, name):
    client.force_login(staff(name))
    model, field = source.split(".")
    app = {"booking": "bookings", "event": "events"}.get(model, "accounts")

    def found(term):
        asked = {"app_label": app, "model_name": model, "field_name": field, "term": term}
        response = client.get("/admin/autocomplete/", asked)
        return response.status_code, response.content if response.status_code == 200 else None

    assert len({found(value[:9]) for value in (hidden.password, "argon2$nope", *keys_of(hidden))}) == 1


def keys_of(account):
    return [account.browser_sessions.get().pk, account.login_sessions.get().refresh_hash]


@pytest.mark.parametrize("url", ["/api/v1/booking", "/api/v1/event"])
@pytest.mark.parametrize("name", ["", "__startswith", "__gte", "__regex"])
@pytest.mark.parametrize("path", ["token_hash", "user__password", "user__browser_sessions__pk", "created_by__password"])
def test_api_lists_have_no_such_filter_and_no_such_order(client_of, hidden, url, path, name):
    admin = client_of(UserFactory(is_staff=True))

    statuses = [admin.get(url, query).status_code for query in ({path + name: "a"}, {"ordering": path + name})]

    assert statuses == [400, 400]


@pytest.mark.parametrize("url", ["/api/v1/booking", "/api/v1/event"])
def test_api_lists_search_in_what_they_show(client_of, hidden, url):
    admin = client_of(UserFactory(is_staff=True))
    token_hash = Booking.objects.exclude(token_hash=None).values_list("token_hash", flat=True)[0]

    for term in (hidden.password, token_hash, *keys_of(hidden)):
        assert admin.get(url, {"search": term}).json()["data"] == []
