import pytest
from django.db import connection
from rest_framework.test import APIClient

from ticks.tests.faults import wait_for_return

pytestmark = pytest.mark.django_db

NOTHING = {"message": "There is nothing at this address.", "error": True, "code": "not_found"}


@pytest.fixture
def unflinching():
    """A client that is answered as over the network when a view fails."""
    return APIClient(raise_request_exception=False)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/v1/nothing", "/api/v1/event/1/nothing", "/api/v1/auth/", "/api/v2"]
)
def test_unknown_route_is_enveloped_404(anonymous, path, method):
    response = getattr(anonymous, method)(path)

    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"
    assert response.json() == NOTHING


@pytest.mark.parametrize("path", ["/api/events/1/nothing", "/api/users/nothing", "/api/users/1/2"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_unknown_route_of_the_one_ticket_contract_is_plain_404(anonymous, path, method):
    response = getattr(anonymous, method)(path)

    assert response.status_code == 404
    assert response.json() == {"error": "There is nothing at this address."}


def test_unknown_route_is_404_with_a_bad_token_too(anonymous):
    response = anonymous.get("/api/v1/nothing", headers={"Authorization": "Bearer x"})

    assert response.status_code == 404


def test_trailing_slash_is_unknown(owner):
    assert owner.get("/api/v1/event/").status_code == 404


@pytest.mark.parametrize(("method", "name"), [("put", "PUT"), ("delete", "DELETE")])
def test_method_not_allowed_is_405_with_allow(owner, method, name):
    response = getattr(owner, method)("/api/v1/auth/me")

    assert response.status_code == 405
    assert response["Allow"] == "GET, PATCH, HEAD, OPTIONS"
    assert response.json() == {
        "message": f'Method "{name}" not allowed.',
        "error": True,
        "code": "method_not_allowed",
    }


def test_method_not_allowed_of_the_one_ticket_contract_is_plain_405(owner):
    response = owner.put("/api/events/book", {})

    assert response.status_code == 405
    assert response["Allow"] == "POST, OPTIONS"
    assert response.json() == {"error": 'Method "PUT" not allowed.'}


def test_unacceptable_media_type_is_406(owner):
    response = owner.get("/api/v1/event", headers={"Accept": "image/png"})

    assert response.status_code == 406
    assert response["Content-Type"] == "application/json"
    assert response.json() == {
        "message": "Could not satisfy the request Accept header.",
        "error": True,
        "code": "not_acceptable",
    }


def test_unknown_format_is_404(owner):
    assert owner.get("/api/v1/event?format=xml").json() == NOTHING


def test_unsupported_media_type_is_415(anonymous):
    response = anonymous.post("/api/v1/auth/login", "username: divine", content_type="text/yaml")

    assert response.status_code == 415
    assert response.json() == {
        "message": 'Unsupported media type "text/yaml" in request.',
        "error": True,
        "code": "unsupported_media_type",
    }


def test_unsupported_media_type_of_the_one_ticket_contract_is_plain_415(anonymous):
    response = anonymous.post("/api/users/login", "username: divine", content_type="text/yaml")

    assert response.status_code == 415
    assert response.json() == {"error": 'Unsupported media type "text/yaml" in request.'}


def test_anonymous_where_an_account_is_needed_is_401(anonymous):
    enveloped = anonymous.get("/api/v1/event")
    plain = anonymous.get("/api/events/1")

    assert (enveloped.status_code, plain.status_code) == (401, 401)
    assert enveloped["WWW-Authenticate"] == plain["WWW-Authenticate"] == 'Bearer realm="ticks"'
    message = "Log in first, and send the header Authorization: Bearer <access token>."
    assert enveloped.json() == {"message": message, "error": True, "code": "not_authenticated"}
    assert plain.json() == {"error": message}


def test_not_admin_is_403(owner):
    enveloped = owner.post("/api/v1/event", {})
    plain = owner.post("/api/events/initialize", {})

    assert (enveloped.status_code, plain.status_code) == (403, 403)
    message = "Only an admin may do this."
    assert enveloped.json() == {"message": message, "error": True, "code": "permission_denied"}
    assert plain.json() == {"error": message}


def test_invalid_fields_are_400_with_their_names(staff):
    enveloped = staff.post("/api/v1/booking", {"eventId": "x", "ticketsReserved": 1.0, "email": "a@example.org"})
    plain = staff.post("/api/events/book", {"eventId": "x"})

    assert (enveloped.status_code, plain.status_code) == (400, 400)
    answered = enveloped.json()
    assert answered["message"].startswith("eventId: Send a whole number.; firstName: This field is required.; ")
    assert (answered["error"], answered["code"]) == (True, "invalid")
    assert answered["errors"] == {
        "eventId": ["Send a whole number."],
        "firstName": ["This field is required."],
        "lastName": ["This field is required."],
        "ticketsReserved": ["Send a whole number."],
    }
    assert plain.json() == {"error": "eventId: Send a whole number.; userId: This field is required."}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/auth/login", {"message": "The request is malformed.", "error": True, "code": "malformed"}),
        ("/api/users/login", {"error": "The request is malformed."}),
    ],
)
def test_form_with_too_many_fields_is_400(unflinching, path, said):
    form = "&".join(f"a{number}=1" for number in range(1001))

    response = unflinching.post(path, form, content_type="application/x-www-form-urlencoded")

    assert response.status_code == 400
    assert response.json() == said


def test_unknown_host_is_400(unflinching):
    enveloped = unflinching.get("/api/v1/event", headers={"Host": "evil.example"})
    page = unflinching.get("/admin/login/", headers={"Host": "evil.example"})

    assert (enveloped.status_code, page.status_code) == (400, 400)
    said = "The Host header names none of this site's hosts (setting ALLOWED_HOSTS)."
    assert enveloped.json() == {"message": said, "error": True, "code": "bad_host"}
    assert page["Content-Type"].startswith("text/html")


@pytest.mark.urls("ticks.tests.api.broken_urls")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/broken", {"error": True, "code": "server_error"}),
        ("/api/broken", {"error": True, "code": "server_error"}),
        ("/api/events/broken", {}),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_fault_of_ours_is_500_in_json_and_logged(unflinching, caplog, path, said, accept):
    response = unflinching.get(path, headers={"Accept": accept})

    assert response.status_code == 500
    assert response["Content-Type"] == "application/json"
    sentence = "Something went wrong on our side; it has been logged."
    assert response.json() == ({"message": sentence, **said} if said else {"error": sentence})
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


@pytest.mark.urls("ticks.tests.api.broken_urls")
def test_fault_of_ours_outside_the_api_is_a_page(unflinching):
    response = unflinching.get("/broken")

    assert response.status_code == 500
    assert response["Content-Type"].startswith("text/html")
    assert "secret" not in response.content.decode()


def test_unreachable_database_is_503(owner, unreachable_database):
    unreachable_database()

    enveloped = owner.get("/api/v1/event")
    plain = owner.get("/api/events/1")

    assert (enveloped.status_code, plain.status_code) == (503, 503)
    assert enveloped["Retry-After"] == plain["Retry-After"] == "2"
    message = "The database does not answer; try again shortly."
    assert enveloped.json() == {"message": message, "error": True, "code": "database_unavailable"}
    assert plain.json() == {"error": message}


def test_service_is_back_with_the_database(anonymous, unreachable_database, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "NAME", "/nonexistent/none")
        connection.close()
        gone = anonymous.get("/api/v1/booking/status/1")

    wait_for_return()
    back = anonymous.get("/api/v1/booking/status/1")

    assert (gone.status_code, back.status_code) == (503, 404)


@pytest.mark.parametrize("path", ["/api/docs", "/api/schema"])
@pytest.mark.parametrize("method", ["options", "put", "delete", "trace"])
def test_method_not_allowed_beside_the_contracts_is_enveloped_405(anonymous, path, method):
    response = getattr(anonymous, method)(path)

    assert response.status_code == 405
    assert response["Content-Type"] == "application/json"
    assert response.json()["code"] == "method_not_allowed"


def test_schema_in_a_form_that_it_has_not_is_enveloped_406(anonymous):
    response = anonymous.get("/api/schema", headers={"Accept": "text/html"})

    assert response.status_code == 406
    assert response["Content-Type"] == "application/json"
    assert response.json()["code"] == "not_acceptable"
