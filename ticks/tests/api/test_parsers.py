import time
from io import BytesIO

import pytest
from django.conf import settings
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/login"
PLAIN_URL = "/api/users/login"
FORM = "application/x-www-form-urlencoded"
LIMIT = 1024 * 1024
TOO_LARGE = "The request's body is larger than 1 MB; send less."


def padded(size):
    return b"{" + b" " * (size - 2) + b"}"


def test_limit_is_one_mebibyte():
    assert settings.BODY_LIMIT == LIMIT


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (padded(LIMIT + 1), "application/json"),
        (b"a=" + b"x" * LIMIT, FORM),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * LIMIT + b"\r\n--b--\r\n",
         "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n' + b"x" * LIMIT + b"\r\n--b--\r\n",
         "multipart/form-data; boundary=b"),
    ],
    ids=["json", "form", "multipart", "file"],
)  # fmt: skip
def test_body_over_the_limit_is_413(anonymous, body, content_type):
    enveloped = anonymous.post(URL, body, content_type=content_type)
    plain = anonymous.post(PLAIN_URL, body, content_type=content_type)

    assert (enveloped.status_code, plain.status_code) == (413, 413)
    assert enveloped.json() == {"message": TOO_LARGE, "error": True, "code": "too_large"}
    assert plain.json() == {"error": TOO_LARGE}


def test_form_over_the_limit_of_a_browser_is_413(user):
    # The check of the CSRF token reads the form before any parser does.
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)
    browser.cookies["csrftoken"] = "a" * 32

    response = browser.post("/api/v1/booking", b"a=" + b"x" * LIMIT, content_type=FORM)

    assert response.status_code == 413
    assert response.json()["code"] == "too_large"


def test_body_at_the_limit_is_read(anonymous):
    response = anonymous.post(URL, padded(LIMIT), content_type="application/json")

    assert response.status_code == 400
    assert response.json()["errors"] == {"password": ["This field is required."]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"{'a': 1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"{} {}", "Extra data: line 1 column 4 (char 3)"),
        (b"[" * 100_000, "it is nested too deeply."),
        (b'{"a":' * 100_000, "it is nested too deeply."),
        (b'{"a": NaN}', "NaN is not a JSON number."),
        (b'{"a": Infinity}', "Infinity is not a JSON number."),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number."),
        (b'{"password": "a", "password": "b"}', "an object has the same name twice."),
        (b'{"a": {"b": 1, "b": 1}}', "an object has the same name twice."),
        (b'{"password": "\xff"}', "it is not UTF-8."),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8."),
    ],
)
def test_malformed_json_is_400(anonymous, body, said):
    enveloped = anonymous.post(URL, body, content_type="application/json")
    plain = anonymous.post(PLAIN_URL, body, content_type="application/json")

    assert (enveloped.status_code, plain.status_code) == (400, 400)
    message = f"JSON parse error: {said}"
    assert enveloped.json() == {"message": message, "error": True, "code": "parse_error"}
    assert plain.json() == {"error": message}


def test_number_of_too_many_digits_is_400(anonymous):
    response = anonymous.post(URL, b'{"a": ' + b"9" * 5000 + b"}", content_type="application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "parse_error"


def test_multipart_without_its_boundary_is_400(anonymous):
    response = anonymous.post(URL, b"x", content_type="multipart/form-data")

    assert response.status_code == 400
    assert response.json()["code"] == "parse_error"


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_json_is_utf8(anonymous, content_type):
    body = '{"username": "josé", "email": "j@example.com", "password": "correct horse 9 bättery"}'

    response = anonymous.post("/api/v1/auth/register", body.encode(), content_type=content_type)

    assert response.status_code == 201
    assert response.json()["data"]["username"] == "josé"


def test_comma_before_a_closing_bracket_is_read_past(anonymous):
    body = b'{"username": "ada,}", "email": "ada@example.org",\n "password": "nine lovely ],engines\\"",\n }'

    response = anonymous.post("/api/v1/auth/register", body, content_type="application/json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["username"]


@pytest.mark.parametrize("body", [b"{,}", b"{ ,}", b'{"a": 1,,}', b'{"a": ,}', b"[,]"])
def test_comma_without_a_value_is_400(anonymous, body):
    response = anonymous.post(URL, body, content_type="application/json")

    assert response.status_code == 400


def test_broken_strings_are_refused_in_linear_time(anonymous):
    body = b'{"a": "' + b'\\"' * 250_000 + b"x" * 500_000

    began = time.process_time()
    response = anonymous.post(URL, body, content_type="application/json")

    assert response.status_code == 400
    assert time.process_time() - began < 2


@pytest.mark.parametrize("body", ['{"eventId": 1}', ' [1, "a=b&c"]'])
def test_json_that_is_sent_as_a_form_is_415(anonymous, body):
    response = anonymous.post(URL, body, content_type=FORM)

    assert response.status_code == 415
    assert response.json()["message"] == (
        "The body looks like JSON; send it with the header Content-Type: application/json."
    )


def test_body_shorter_than_its_length_is_400():
    request = {"CONTENT_LENGTH": 5000, "wsgi.input": BytesIO(b'{"username": "a", "password": "b"}')}

    response = APIClient().generic("POST", URL, content_type="application/json", **request)

    assert response.status_code == 400
    assert response.json()["message"] == "The body is shorter than its Content-Length."


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" + b"0" * 90 + b"e300"])
def test_number_that_overflows_is_400(anonymous, number):
    response = anonymous.post(URL, b'{"a": ' + number + b"}", content_type="application/json")

    assert response.status_code == 400
    assert response.json()["message"] == "JSON parse error: a number is too large."


@pytest.mark.django_db
def test_byte_order_mark_is_said_to_be_one(anonymous):
    response = anonymous.post("/api/v1/booking", b"\xef\xbb\xbf{}", content_type="application/json")

    assert response.status_code == 400
    assert response.json()["message"].startswith("JSON parse error: Unexpected UTF-8 BOM")


@pytest.mark.parametrize(("spaces", "status"), [(60_000, 201), (70_000, 400)])
def test_comma_too_many_is_mended_in_short_bodies_alone(anonymous, spaces, status):
    """The search in 1 MB of quotes would take half a second, in which no other request is served."""
    body = '{"username": "ada", "password": "nine lovely engines",' + " " * spaces + "}"

    response = anonymous.post("/api/users/register", body, content_type="application/json")

    assert response.status_code == status
