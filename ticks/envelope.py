"""The one place that knows the envelope of `/api/v1`."""

from rest_framework.response import Response


def answer(message: str, data=None, *, status: int = 200, headers: dict | None = None, **beside) -> Response:
    """A success: `message`, `data` (left out when None), `error: false` and what stands beside them."""
    body = {"message": message}
    if data is not None:
        body["data"] = data
    return Response({**body, **beside, "error": False}, status=status, headers=headers)


def failure(message: str, code: str, errors: dict | None = None) -> dict:
    body = {"message": message, "error": True, "code": code}
    if errors:
        body["errors"] = errors
    return body
