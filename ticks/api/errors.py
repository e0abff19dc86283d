"""Every failure under `/api/`: its message, its status and its shape."""

import logging
import sys
from dataclasses import dataclass, field

from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict

from ticks.api.envelope import failure
from ticks.api.throttling import TooManyRequests
from ticks.db.outage import drop_if_lost
from ticks.db.transactions import Busy, ValueRefused, refusal_of_database
from ticks.exceptions import Refusal

log = logging.getLogger("ticks.errors")
NOT_LOGGED_IN = "Log in first, and send the header Authorization: Bearer <access token>."
BEARER_CHALLENGE = 'Bearer realm="ticks"'
BAD_AUTHORIZATION = "The Authorization header must read: Bearer <access token>, or: Api-Key <key>."
TAKES_NO_KEY = "This request takes no API key: log in, and send the header Authorization: Bearer <access token>."
LIMITED_KEY = "This API key is limited to some events, so it may not do this."


class MissingScope(Refusal):
    status = 403

    def __init__(self, scope: str):
        self.code = f"missing_scope_{scope.replace(':', '_')}"
        super().__init__(f"This API key lacks the scope {scope}.")


class TooLarge(exceptions.APIException):
    status_code = 413
    default_code = "too_large"
    default_detail = "The request's body is larger than 1 MB; send less."


@dataclass
class Failure:
    status: int
    message: str
    code: str
    errors: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)

    def __post_init__(self):
        # An error may quote what was sent, and half a character cannot be sent back.
        self.message = sendable(self.message)
        self.errors = {sendable(name): [sendable(text) for text in texts] for name, texts in self.errors.items()}


def sendable(text: str) -> str:
    return text.encode(errors="replace").decode()


def answer_exception(error, context) -> Response | None:
    """DRF's exception handler; the view's `failure_body` shapes the body (default: the envelope)."""
    drop_if_lost(error)
    problem = describe(error)
    if problem is None:
        return None
    body = getattr(context["view"], "failure_body", enveloped)(problem)
    form = getattr(getattr(error, "detail", None), "serializer", None)
    if form is not None:
        # The browsable API shows the form again with its input and errors.
        body = ReturnDict(body, serializer=form)
    return Response(body, status=problem.status, headers=problem.headers)


class RefusesInJson:
    """Mixin for views whose renderers cannot show a failure: those of a page or a schema."""

    def handle_exception(self, exc):
        refused = super().handle_exception(exc)
        headers = {name: value for name, value in refused.headers.items() if name != "Content-Type"}
        return JsonResponse(refused.data, status=refused.status_code, headers=headers)


def enveloped(problem: Failure) -> dict:
    return failure(problem.message, problem.code, problem.errors)


def describe(error) -> Failure | None:
    """The failure to answer for an exception; None if it is a fault of ours (500)."""
    match error:
        case Refusal():
            return describe_refusal(error)
        case Http404():
            return Failure(404, "There is nothing at this address.", "not_found")
        case PermissionDenied():
            return Failure(403, "You may not do this.", "permission_denied")
        case RequestDataTooBig():
            return describe(TooLarge())
        case exceptions.ValidationError():
            errors = flatten(error.detail)
            message = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in errors.items())
            return Failure(400, message, "invalid", errors)
        case exceptions.Throttled():
            return describe_refusal(TooManyRequests(error.wait or 1))
        case exceptions.APIException():
            return describe_api_exception(error)
        case DatabaseError() | InterfaceError():
            refusal = refusal_of_database(error)
            return refusal and describe_refusal(refusal)
    return None


def describe_refusal(error: Refusal) -> Failure:
    # A queue with too many waiting requests is not a failure; its 503 has its own line in the log.
    if error.status >= 500 and (error.__cause__ or not isinstance(error, Busy)):
        log.error("The database failed: %s", error.__cause__ or error)
    if isinstance(error, ValueRefused):
        # A check of ours is missing. The driver's sentence is not logged, since it may quote what a person has typed.
        code = next(iter(getattr(error.__cause__, "args", ())), "unknown")
        log.error("The database refused a value (error %s).", code)
    errors = {error.field: [error.message]} if error.field else {}
    headers = {"WWW-Authenticate": BEARER_CHALLENGE} if error.status == 401 else {}
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    return Failure(error.status, error.message, error.code, errors, headers)


def describe_api_exception(error: exceptions.APIException) -> Failure:
    code = getattr(error.detail, "code", error.default_code)
    message = NOT_LOGGED_IN if isinstance(error, exceptions.NotAuthenticated) else str(error.detail)
    headers = {"WWW-Authenticate": error.auth_header} if getattr(error, "auth_header", None) else {}
    return Failure(error.status_code, message, str(code), headers=headers)


def flatten(detail, at: str = "body") -> dict[str, list[str]]:
    """DRF's nested details as one flat `{field: [sentences]}`."""
    if isinstance(detail, dict):
        flat: dict[str, list[str]] = {}
        for key, inner in detail.items():
            path = str(key) if at == "body" else f"{at}.{key}"
            for name, sentences in flatten(inner, path).items():
                flat.setdefault(name, []).extend(sentences)
        return flat
    if isinstance(detail, list):
        return {at: [str(item) for item in detail]}
    return {at: [str(detail)]}


# These replace Django's own handlers, for errors that never reach a DRF view.


def shape(request):
    match_ = getattr(request, "resolver_match", None)
    view = getattr(match_ and match_.func, "cls", None)
    return getattr(view, "failure_body", enveloped)


def is_api(request) -> bool:
    return request.path == "/api" or request.path.startswith("/api/")


def bad_request(request, exception) -> HttpResponse:
    if is_api(request):
        problem = Failure(400, "The request is malformed.", "malformed")
        if isinstance(exception, DisallowedHost):
            problem = Failure(
                400, "The Host header names none of this site's hosts (setting ALLOWED_HOSTS).", "bad_host"
            )
        return JsonResponse(shape(request)(problem), status=400)
    return defaults.bad_request(request, exception)


def server_error(request) -> HttpResponse:
    """The answer to an unhandled error: 503 if the database failed, in a page or before a view; otherwise 500."""
    error = sys.exc_info()[1]
    drop_if_lost(error)
    problem = describe(error)
    if problem is None or problem.status < 500:
        problem = Failure(500, "Something went wrong on our side; it has been logged.", "server_error")
    if is_api(request):
        return JsonResponse(shape(request)(problem), status=problem.status, headers=problem.headers)
    if problem.status == 500:
        return defaults.server_error(request)
    # The page is rendered without the request, whose context would ask the database who is logged in.
    page = render_to_string("ticks/unavailable.html", {"message": problem.message})
    return HttpResponse(page, status=problem.status, headers=problem.headers)
