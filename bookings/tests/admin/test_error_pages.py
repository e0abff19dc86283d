"""The pages that a browser shows if an address does not exist, or a request was refused."""

import pytest

from ticks.api.headers import PAGE_POLICY

pytestmark = pytest.mark.django_db

WAYS_ON = '<a href="/admin/">Box office</a> <a href="/">Start page</a>'


def said(response) -> tuple[int, str]:
    """The status and the heading of a page, which must be one of ours."""
    content = response.content.decode()
    assert WAYS_ON in content
    assert "/static/ticks/tokens.css" in content
    assert response["Content-Security-Policy"] == PAGE_POLICY
    return response.status_code, content.partition("<h1>")[2].partition("</h1>")[0]


def test_page_that_is_not_there(client):
    assert said(client.get("/nothing")) == (404, "Not found")


def test_page_of_the_staff_that_is_not_there(superuser_client):
    assert said(superuser_client.get("/admin/nothing/")) == (404, "Not found")


def test_page_that_an_account_may_not_see(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("door", password="nine lovely engines", is_staff=True))

    assert said(client.get("/admin/events/event/")) == (403, "Not allowed")


def test_page_with_a_query_that_is_none(superuser_client):
    assert said(superuser_client.get("/admin/accounts/user/?name__regex=(")) == (400, "Not understood")


@pytest.mark.urls("ticks.tests.api.broken_urls")
def test_page_after_a_fault_of_ours(client):
    client.raise_request_exception = False

    assert said(client.get("/broken")) == (500, "Something went wrong")


def test_page_that_is_not_there_asks_the_database_nothing(superuser_client, django_assert_num_queries):
    with django_assert_num_queries(0):
        superuser_client.get("/nothing")
