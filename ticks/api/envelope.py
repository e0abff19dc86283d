"""The envelope of `/api/v1`. Only this module knows it."""

from rest_framework.response import Response


def enveloped_success(message: str, data=None, **beside) -> dict:
    """The body of a success: `message`, `data` (left out when None), the fields beside them, `error: false`."""
    body = {"message": message}
    if data is not None:
        body["data"] = data
    return {**body, **beside, "error": False}


def answer(message: str, data=None, *, status: int = 200, headers: dict | None = None, **beside) -> Response:
    return Response(enveloped_success(message, data, **beside), status=status, headers=headers)


def failure(message: str, code: str, errors: dict | None = None) -> dict:
    body = {"message": message, "error": True, "code": code}
    if errors:
        body["errors"] = errors
    return body
