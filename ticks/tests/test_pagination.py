import pytest

pytestmark = pytest.mark.django_db

URL = "/api/v1/event"
HOST = "http://testserver"


@pytest.fixture
def make_events(staff):
    def make(count):
        for number in range(count):
            made = staff.post(URL, {"name": f"Concert {number:03}", "date": "2030-01-01", "totalTickets": 5})
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
    assert first.json()["pagination"] == {"count": 5, "next": f"{HOST}{URL}?page=2&pageSize=2", "previous": None}
    assert second.json()["pagination"] == {
        "count": 5,
        "next": f"{HOST}{URL}?page=3&pageSize=2",
        "previous": f"{HOST}{URL}?pageSize=2",
    }
    assert third.json()["pagination"] == {"count": 5, "next": None, "previous": f"{HOST}{URL}?page=2&pageSize=2"}
    assert owner.get(first.json()["pagination"]["next"]).json() == second.json()


def test_links_keep_search_and_order(owner, make_events):
    make_events(3)

    response = owner.get(f"{URL}?pageSize=1&search=concert&ordering=-name")

    assert names(response) == ["Concert 002"]
    assert response.json()["pagination"]["next"] == (f"{HOST}{URL}?ordering=-name&page=2&pageSize=1&search=concert")


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

    with django_assert_num_queries(3):
        response = owner.get(URL)

    assert len(names(response)) == rows
