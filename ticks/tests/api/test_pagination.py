from datetime import timedelta
from urllib.parse import parse_qsl, quote_plus

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext

pytestmark = pytest.mark.django_db

# The shared modules know no app, so the app is not imported.
Event = apps.get_model("events", "Event")
URL = "/api/v1/event"
HOST = "http://testserver"


@pytest.fixture
def make_events(staff):
    def make(count):
        for number in range(count):
            made = staff.post(URL, {"name": f"Concert {number:03}", "date": "2080-01-01", "totalTickets": 5})
            assert made.status_code == 201

    return make


def names(response):
    return [event["name"] for event in response.json()["data"]]


def test_list_answers_one_page_and_its_place(owner, make_events):
    make_events(3)

    response = owner.get(URL)

    assert response.status_code == 200
    answered = response.json()
    assert list(answered) == ["message", "data", "pagination", "error"]
    assert (answered["message"], answered["error"]) == ("Events retrieved successfully.", False)
    assert answered["pagination"] == {"count": 3, "next": None, "previous": None}
    assert names(response) == ["Concert 000", "Concert 001", "Concert 002"]


def test_empty_list_is_an_empty_first_page(owner):
    response = owner.get(URL)

    assert response.status_code == 200
    assert response.json()["data"] == []
    assert response.json()["pagination"] == {"count": 0, "next": None, "previous": None}
    assert owner.get(f"{URL}?page=2").status_code == 404


def test_pages_link_to_each_other(owner, make_events):
    make_events(5)

    first, second, third = (owner.get(f"{URL}?pageSize=2&page={page}") for page in (1, 2, 3))

    assert (names(first), names(second), names(third)) == (
        ["Concert 000", "Concert 001"],
        ["Concert 002", "Concert 003"],
        ["Concert 004"],
    )
    ids = [event["id"] for event in owner.get(URL).json()["data"]]
    assert first.json()["pagination"] == {
        "count": 5,
        "next": f"{HOST}{URL}?after={ids[1]}&page=2&pageSize=2",
        "previous": None,
    }
    assert second.json()["pagination"] == {
        "count": 5,
        "next": f"{HOST}{URL}?after={ids[3]}&page=3&pageSize=2",
        "previous": f"{HOST}{URL}?before={ids[2]}&pageSize=2",
    }
    assert third.json()["pagination"] == {
        "count": 5,
        "next": None,
        "previous": f"{HOST}{URL}?before={ids[4]}&page=2&pageSize=2",
    }
    assert owner.get(first.json()["pagination"]["next"]).json() == second.json()
    assert owner.get(second.json()["pagination"]["previous"]).json() == first.json()


def test_links_keep_search_and_order(owner, make_events):
    make_events(3)

    response = owner.get(f"{URL}?pageSize=1&search=concert&ordering=-name")

    assert names(response) == ["Concert 002"]
    position = quote_plus(f'"Concert 002",{response.json()["data"][0]["id"]}')
    assert response.json()["pagination"]["next"] == (
        f"{HOST}{URL}?after={position}&ordering=-name&page=2&pageSize=1&search=concert"
    )


def test_page_has_50_rows_unless_told_and_100_at_most(owner, make_events):
    make_events(102)

    assert len(names(owner.get(URL))) == 50
    assert len(names(owner.get(f"{URL}?pageSize=100"))) == 100


@pytest.mark.parametrize("size", ["0", "101", "-1", "1.5", "ten", "", "٣", "1" * 10, "9" * 5000])
def test_bad_page_size_is_400(owner, size):
    response = owner.get(URL, {"pageSize": size})

    said = "Send a whole number from 1 to 100."
    assert response.status_code == 400
    assert response.json() == {
        "message": f"pageSize: {said}",
        "error": True,
        "code": "invalid",
        "errors": {"pageSize": [said]},
    }


@pytest.mark.parametrize("page", ["0", "-1", "1000001", "last", "", "1.5", "1e3", "\0", "9" * 5000])
def test_bad_page_is_400(owner, page):
    response = owner.get(URL, {"page": page})

    assert response.status_code == 400
    assert response.json()["errors"] == {"page": ["Send a whole number from 1 to 1000000."]}


@pytest.mark.parametrize("page", [2, 1_000_000])
def test_page_beyond_the_last_is_404(owner, make_events, page):
    make_events(1)

    response = owner.get(URL, {"page": page})

    assert response.status_code == 404
    assert response.json() == {"message": "Invalid page.", "error": True, "code": "not_found"}


@pytest.mark.parametrize("rows", [1, 3])
def test_list_costs_the_same_queries_for_one_row_and_three(owner, make_events, django_assert_num_queries, rows):
    make_events(rows)

    with django_assert_num_queries(2):
        response = owner.get(URL)

    assert len(names(response)) == rows


ORDERINGS = ["id", "-id", "id,-name", "name", "-name", "date", "-date", "date,-name", "-totalTickets,date", "createdAt"]


@pytest.fixture
def varied(make_events):
    """Seven events. Some have the same number of tickets, some the same date, and some no date."""
    make_events(7)
    for event in Event.objects.order_by("pk"):
        event.total_tickets += event.pk % 2
        event.date = None if event.pk % 3 == 0 else event.date + timedelta(microseconds=event.pk % 3)
        event.save()


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_links_lead_through_all_pages_and_back(owner, varied, ordering):
    everything = names(owner.get(f"{URL}?ordering={ordering}"))
    url, pages = f"{URL}?pageSize=2&ordering={ordering}", []

    while url:
        response = owner.get(url)
        pages.append(names(response))
        last, url = response, response.json()["pagination"]["next"]

    assert pages == [everything[0:2], everything[2:4], everything[4:6], everything[6:]]
    back = []
    while url := last.json()["pagination"]["previous"]:
        last = owner.get(url)
        back.append(names(last))
    assert back == pages[2::-1]
    assert last.json()["pagination"]["count"] == 7


def walk(client, url, link, meanwhile):
    """The ids on all pages that the links lead to. `meanwhile` is called after each page."""
    seen = []
    while url:
        page = client.get(url).json()
        ids = [event["id"] for event in page["data"]]
        seen = seen + ids if link == "next" else ids + seen
        meanwhile(page["data"])
        url = page["pagination"][link]
    return seen


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_rows_made_and_deleted_meanwhile_neither_repeat_nor_skip_one(owner, staff, varied, ordering):
    everything = [event["id"] for event in owner.get(f"{URL}?ordering={ordering}").json()["data"]]

    def change(rows):
        # A row that was shown goes, and rows come before and after all others in most orders.
        assert staff.delete(f"{URL}/{rows[0]['id']}").status_code == 200
        for name, date, total in (("AAA", "1999-01-01", 1), ("ZZZ", "2099-01-01", 9)):
            sent = {"name": name, "date": date, "totalTickets": total}
            # Walks towards the newcomers come to an end.
            if Event.objects.count() < 20:
                assert staff.post(URL, sent).status_code == 201

    seen = walk(owner, f"{URL}?pageSize=2&ordering={ordering}", "next", change)

    assert len(seen) == len(set(seen))
    assert [pk for pk in seen if pk in everything] == everything


def test_way_back_leads_past_the_first_page_to_newcomers(owner, make_events):
    make_events(3)
    second = owner.get(f"{URL}?pageSize=2&ordering=-id").json()["pagination"]["next"]
    make_events(3)

    seen = walk(owner, second, "previous", lambda rows: None)

    assert seen == list(Event.objects.order_by("-pk").values_list("pk", flat=True))


def test_way_back_to_deleted_rows_leads_to_the_first_page(owner, staff, make_events):
    make_events(3)
    second = owner.get(f"{URL}?pageSize=1&page=2").json()["pagination"]
    first = owner.get(URL).json()["data"][0]["id"]
    staff.delete(f"{URL}/{first}")

    page = owner.get(second["previous"]).json()

    assert [event["name"] for event in page["data"]] == ["Concert 001"]
    assert page["pagination"]["previous"] is None


def test_links_say_page_and_position(owner, make_events):
    make_events(7)
    ids = [event["id"] for event in owner.get(URL).json()["data"]]

    third = owner.get(f"{URL}?pageSize=2&page=3").json()["pagination"]

    assert third == {
        "count": 7,
        "next": f"{HOST}{URL}?after={ids[5]}&page=4&pageSize=2",
        "previous": f"{HOST}{URL}?before={ids[4]}&page=2&pageSize=2",
    }
    assert owner.get(third["next"]).json()["pagination"] == {
        "count": 7,
        "next": None,
        "previous": f"{HOST}{URL}?before={ids[6]}&page=3&pageSize=2",
    }
    previous = owner.get(third["previous"]).json()["pagination"]["previous"]
    assert previous == f"{HOST}{URL}?before={ids[2]}&pageSize=2"


@pytest.mark.parametrize("near", [0, 4, 1000])
@pytest.mark.parametrize("query", ["ordering=id", "ordering=-id", "ordering=-name", "search=concert", "available=true"])
def test_page_number_jumps_anywhere(owner, make_events, monkeypatch, near, query):
    monkeypatch.setattr("ticks.api.pagination.NEAR", near)
    make_events(9)
    everything = names(owner.get(f"{URL}?{query}"))

    for page in range(1, 6):
        response = owner.get(f"{URL}?{query}&pageSize=2&page={page}")

        assert names(response) == everything[2 * page - 2 : 2 * page]
        assert response.json()["pagination"]["count"] == 9
        assert (response.json()["pagination"]["next"] is None) == (page == 5)
    assert owner.get(f"{URL}?{query}&pageSize=2&page=6").status_code == 404


def test_links_of_another_order_carry_the_values_of_its_columns(owner, make_events):
    make_events(3)

    page = owner.get(f"{URL}?pageSize=1&page=2&ordering=name").json()

    position = quote_plus(f'"Concert 001",{page["data"][0]["id"]}')
    assert page["pagination"] == {
        "count": 3,
        "next": f"{HOST}{URL}?after={position}&ordering=name&page=3&pageSize=1",
        "previous": f"{HOST}{URL}?before={position}&ordering=name&pageSize=1",
    }


NO_POSITION = "This is no position in this order: follow the links."


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize("value", ["", "-1", "one", "1.5", "1,2", "[1]", "1],[2", "\0", "٣", str(2**63), "9" * 5000])
def test_bad_position_is_400(owner, make_events, name, value):
    make_events(1)

    response = owner.get(URL, {name: value})

    assert response.status_code == 400
    assert response.json() == {
        "message": f"{name}: {NO_POSITION}",
        "error": True,
        "code": "invalid",
        "errors": {name: [NO_POSITION]},
    }


def test_page_cannot_be_after_and_before_a_position(owner):
    response = owner.get(f"{URL}?after=1&before=9")

    assert response.status_code == 400
    assert response.json()["errors"] == {"after": ["Send either `after` or `before`: follow the links."]}


BAD = ["1", "", "[", "[" * 100_000, "null", "{}", "5,1", "NaN,1", 'true,"1"', '"soon",1', '["2080-01-01",1]']
BAD += ['"2080-01-01","one"', '"2080-01-01",-1', '"2080-01-01",null', '"2080-01-01",true', '"0001-01-01",1']
BAD += ['"2080-01-01",1,1', f'"2080-01-01",{"9" * 5000}', f'"2080-01-01",{2**63}']


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize("value", BAD)
def test_bad_position_in_another_order_is_400(owner, make_events, name, value):
    make_events(1)

    response = owner.get(URL, {name: value, "ordering": "date"})

    assert response.status_code == 400
    assert response.json()["errors"] == {name: [NO_POSITION]}


@pytest.mark.parametrize("value", ['"\\ud800",1', '"\\u0000",1', "null,1", "7,1"])
def test_text_of_a_position_that_no_name_can_be_is_400(owner, value):
    response = owner.get(URL, {"after": value, "ordering": "name"})

    assert response.status_code == 400


def test_nothing_after_the_last_is_an_empty_page(owner, make_events):
    make_events(2)

    response = owner.get(f"{URL}?page=3&after={2**63 - 1}&pageSize=1")

    assert (response.status_code, names(response)) == (200, [])
    assert response.json()["pagination"] == {"count": 2, "next": None, "previous": f"{HOST}{URL}?page=2&pageSize=1"}


def test_page_at_a_position_without_a_number_leads_on_without_one(owner, make_events):
    make_events(4)
    ids = [event["id"] for event in owner.get(URL).json()["data"]]

    response = owner.get(f"{URL}?after={ids[1]}&pageSize=1")

    assert [event["id"] for event in response.json()["data"]] == [ids[2]]
    assert response.json()["pagination"] == {
        "count": 4,
        "next": f"{HOST}{URL}?after={ids[2]}&pageSize=1",
        "previous": f"{HOST}{URL}?before={ids[2]}&pageSize=1",
    }


def test_links_have_the_number_of_the_page_that_they_lead_to(owner, make_events):
    make_events(5)
    ids = [event["id"] for event in owner.get(URL).json()["data"]]
    url, numbers = f"{URL}?pageSize=1", []

    while url:
        page = owner.get(url).json()
        url = page["pagination"]["next"]
        numbers.append(url and dict(parse_qsl(url.partition("?")[2])).get("page"))

    assert numbers == ["2", "3", "4", "5", None]
    # The number is known again at the beginning of the list.
    first = owner.get(f"{URL}?before={ids[1]}&pageSize=1").json()["pagination"]
    assert first == {"count": 5, "next": f"{HOST}{URL}?after={ids[0]}&page=2&pageSize=1", "previous": None}


def test_position_beyond_the_last_page_number_leads_on_without_one(owner, make_events):
    make_events(3)
    first = owner.get(URL).json()["data"][0]["id"]

    response = owner.get(f"{URL}?page=1000000&after={first}&pageSize=1")

    assert response.json()["pagination"]["next"] == f"{HOST}{URL}?after={first + 1}&pageSize=1"


def test_search_of_nothing_reads_no_rows_twice(owner, make_events):
    make_events(3)

    with CaptureQueriesContext(connection) as queries:
        response = owner.get(f"{URL}?search=opera")

    assert len([query for query in queries if "events_event" in query["sql"]]) == 1
    assert response.json()["pagination"] == {"count": 0, "next": None, "previous": None}


def test_browsable_page_links_to_the_pages_around_it(owner, make_events):
    make_events(6)

    page = owner.get(f"{URL}?pageSize=2&page=2", headers={"Accept": "text/html"}).content.decode()

    ids = [event["id"] for event in owner.get(URL).json()["data"]]
    assert f'<a href="{HOST}{URL}?before={ids[2]}&amp;pageSize=2" rel="prev"' in page
    assert f'<a href="{HOST}{URL}?after={ids[3]}&amp;page=3&amp;pageSize=2" rel="next"' in page


@pytest.mark.mariadb
def test_search_that_takes_too_long_is_400(owner, make_events, monkeypatch):
    make_events(3)
    monkeypatch.setattr("ticks.api.pagination.SEARCH_SECONDS", 0.05)
    # This takes as long as a count of very many events would.
    slow = RawSQL("SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b", [])
    monkeypatch.setattr(
        "events.views.EventReadViewSet.count_rows", lambda _, events: events.annotate(n=slow).first().n, raising=False
    )

    response = owner.get(f"{URL}?search=concert")

    said = "This takes too long to look for; narrow the list by a filter."
    assert response.status_code == 400
    assert response.json() == {
        "message": f"search: {said}",
        "error": True,
        "code": "invalid",
        "errors": {"search": [said]},
    }
    assert owner.get(URL).status_code == 200
