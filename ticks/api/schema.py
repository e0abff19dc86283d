"""Describes the envelope and the errors of each operation to drf-spectacular."""

from functools import cache

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
    inline_serializer,
)
from rest_framework import serializers

from ticks.api.envelope import failure

ALWAYS_TRUE = extend_schema_field({"type": "boolean", "const": True})(serializers.BooleanField())
ALWAYS_FALSE = extend_schema_field({"type": "boolean", "const": False})(serializers.BooleanField())


# Otherwise the errors of an action that is named `list` would be lists.
@extend_schema_serializer(many=False)
class ErrorSerializer(serializers.Serializer):
    message = serializers.CharField(help_text="A sentence for a person.")
    error = ALWAYS_TRUE
    code = serializers.CharField(help_text="Stable, for programs.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Where fields are at fault: their names and what is wrong.",
    )


# Each status has its meaning and its codes, and each code has its sentence.
ERRORS = {
    400: ("Malformed or invalid; `errors` names the fields.", {"invalid": "email: Enter a valid email address."}),
    401: ("Not logged in, or the token is no longer valid.", {"token_not_valid": "This token is no longer valid."}),
    403: ("Logged in, but not allowed.", {"permission_denied": "Only an admin may do this."}),
    404: ("There is no such thing, or it is not yours.", {"not_found": "There is nothing at this address."}),
    406: ("The Accept header asks for what is not served.", {"not_acceptable": "Ask for application/json."}),
    409: ("Valid, but the state says no.", {"sold_out": "The event is sold out and has no waitlist."}),
    412: ("`If-Match` names an older version.", {"stale_version": "Somebody changed this event; read it again."}),
    413: ("The body is larger than 1 MB.", {"too_large": "The request's body is larger than 1 MB; send less."}),
    415: ("The body's content type is not JSON.", {"unsupported_media_type": "Send application/json."}),
    422: ("The idempotency key was used with another request.", {"idempotency_key_reused": "Use a new key."}),
    429: (
        "Too many requests; `Retry-After` says when.",
        {"throttled": "Too many requests; try again in 5 seconds."},
    ),
    503: (
        "Busy or without its database; `Retry-After` says when. Nothing was changed, unless the code is "
        "`outcome_unknown`: then it may or may not be done. With an `Idempotency-Key` send the same again, "
        "else look first.",
        {
            "busy": "Too many people are at this at once; nothing was changed. Try again in a second.",
            "database_unavailable": "The database does not answer; nothing was changed. Try again shortly.",
            "outcome_unknown": "The connection to the database was lost; this may or may not have been done.",
        },
    ),
}
# Every request can have a bad `Idempotency-Key`, or one where none is taken.
ALWAYS = [400, 406, 429, 503]
WITH_BODY = [413, 415]
SECONDS = {"type": "string", "pattern": "^[0-9]+$"}


def sent_header(name: str, description: str, *, on, required=True, schema=str) -> OpenApiParameter:
    """A header of answers with these statuses. `on=True` means all statuses."""
    return OpenApiParameter(name, schema, location="header", response=on, required=required, description=description)


SENT_HEADERS = [
    sent_header("X-Request-ID", "What the logs know this request by.", on=True),
    sent_header("Retry-After", "Seconds.", on=[429, 503], schema=SECONDS),
    sent_header("WWW-Authenticate", "Always `Bearer`.", on=[401]),
]


class Operation(AutoSchema):
    """Tags an operation with what its view is about (`view.tag`)."""

    def get_tags(self):
        return [getattr(self.view, "tag", "Ticks")]

    def _get_request_body(self, direction="request"):
        if self.method != "DELETE":
            return super()._get_request_body(direction)
        # drf-spectacular knows only a DELETE without a body, but cancelling may have one.
        self.method = "POST"
        try:
            return super()._get_request_body(direction)
        finally:
            self.method = "DELETE"


def describes(
    summary: str,
    *,
    success: dict,
    errors: list[int] | None = None,
    request=None,
    error_body=ErrorSerializer,
    wrap=True,
    parameters=None,
    description="",
    codes: dict[int, dict[str, str]] | None = None,
    is_open_to_guests: bool | None = None,
):
    """Describes an operation: what it takes, its success (enveloped) and each error it can answer.

    A request serializer's `example` is the request's example. `codes` adds to those of `ERRORS`.
    """
    example = getattr(request, "example", None)
    statuses = sorted({*(errors or []), *ALWAYS, *(WITH_BODY if request else [])})
    responses = {
        **{status: enveloped(body) if wrap else body for status, body in success.items()},
        **{status: error_response(status, error_body, (codes or {}).get(status, {})) for status in statuses},
    }
    return extend_schema(
        summary=summary,
        auth=[{"bearer": []}, {"cookieAuth": []}] if is_open_to_guests is False else None,
        description=description or None,
        # Forms are only for the browsable API.
        request={"application/json": request} if request else None,
        responses=responses,
        parameters=[*SENT_HEADERS, *(parameters or [])],
        examples=[OpenApiExample("example", value=example, request_only=True)] if example else [],
    )


def error_response(status: int, body, codes: dict[str, str]) -> OpenApiResponse:
    description, usual = ERRORS[status]
    examples = [
        OpenApiExample(
            code,
            value=failure(message, code) if body is ErrorSerializer else {"error": message},
            response_only=True,
            status_codes=[str(status)],
        )
        for code, message in {**usual, **codes}.items()
    ]
    return OpenApiResponse(body, description=description, examples=examples)


@cache
def enveloped(body):
    """Wraps an answer in the envelope: one object, or none. The pages of a list are its envelope. A response stays as
    it is."""
    if isinstance(body, serializers.ListSerializer | OpenApiResponse):
        return body
    fields = {"message": serializers.CharField(), "error": ALWAYS_FALSE}
    if body is None:
        return inline_serializer("Acknowledgement", fields)
    return inline_serializer(body.__name__.replace("Serializer", "Envelope"), {**fields, "data": body()})
