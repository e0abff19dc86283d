import pytest

pytestmark = pytest.mark.django_db

URL = "/api/v1/event"


@pytest.fixture
def events(staff):
    for name, venue, total in [("Jazz", "Hall", 5), ("Rock", "Arena", 9), ("Blues", "Hall", 5)]:
        sent = {"name": name, "venue": venue, "date": "2080-01-01", "totalTickets": total}
        assert staff.post(URL, sent).status_code == 201


def names(response):
    assert response.status_code == 200
    return [event["name"] for event in response.json()["data"]]


def test_unknown_filter_is_400_with_the_known_ones(owner, events):
    response = owner.get(f"{URL}?colour=red&pageSize=1")

    said = "There is no such filter; use available, dateFrom, dateTo, ordering, page, pageSize, search."
    assert response.status_code == 400
    assert response.json() == {
        "message": f"colour: {said}",
        "error": True,
        "code": "invalid",
        "errors": {"colour": [said]},
    }


@pytest.mark.parametrize("name", ["totalTickets", "id", "created_by__password", "pagesize", "Search"])
def test_column_that_is_no_filter_is_400(owner, events, name):
    response = owner.get(URL, {name: "1"})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [name]


@pytest.mark.parametrize(("name", "value"), [("dateFrom", "soon"), ("dateTo", "2080-02-30"), ("available", "maybe")])
def test_bad_filter_value_is_400(owner, events, name, value):
    response = owner.get(URL, {name: value})

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", [name])


def test_format_is_no_filter(owner, events):
    assert names(owner.get(f"{URL}?format=json")) == ["Jazz", "Rock", "Blues"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("hall", ["Jazz", "Blues"]),
        ("HALL jazz", ["Jazz"]),
        ("nothing", []),
        ("%", []),
        ("_", []),
        ("' OR 1=1 --", []),
        ("", ["Jazz", "Rock", "Blues"]),
    ],
)
def test_search_finds_rows_with_every_word(owner, events, search, found):
    assert names(owner.get(URL, {"search": search})) == found


@pytest.mark.parametrize("search", ["w " * 101, "\0"])
def test_search_for_what_no_row_has_is_400(owner, events, search):
    response = owner.get(URL, {"search": search})

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


def test_search_of_200_characters_is_answered(owner, events):
    assert names(owner.get(URL, {"search": "w " * 100})) == []


@pytest.mark.parametrize(
    ("ordering", "found"),
    [
        ("name", ["Blues", "Jazz", "Rock"]),
        ("-name", ["Rock", "Jazz", "Blues"]),
        ("totalTickets", ["Jazz", "Blues", "Rock"]),
        ("-totalTickets", ["Rock", "Blues", "Jazz"]),
        ("totalTickets,-id", ["Blues", "Jazz", "Rock"]),
        ("totalTickets, name", ["Blues", "Jazz", "Rock"]),
        ("", ["Jazz", "Rock", "Blues"]),
    ],
)
def test_ordering_by_the_names_of_the_api(owner, events, ordering, found):
    assert names(owner.get(URL, {"ordering": ordering})) == found


@pytest.mark.parametrize("ordering", ["total_tickets", "created_by__password", "pk", "?", "--name", "name,,", "\0"])
def test_ordering_by_anything_else_is_400(owner, events, ordering):
    response = owner.get(URL, {"ordering": ordering})

    said = "Order by id, name, date, availableTickets, totalTickets, createdAt, with a minus for descending."
    assert response.status_code == 400
    assert response.json()["errors"] == {"ordering": [said]}


def test_ordering_by_more_names_than_there_are_is_400(owner):
    response = owner.get("/api/v1/event", {"ordering": ",".join(["name"] * 3000)})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["ordering"]
