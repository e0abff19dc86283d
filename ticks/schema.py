"""How the API is described: envelopes and errors of each operation for drf-spectacular."""

from functools import cache

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from ticks.envelope import failure


class ErrorSerializer(serializers.Serializer):
    message = serializers.CharField(help_text="A sentence for a person.")
    error = serializers.BooleanField(help_text="Always true.")
    code = serializers.CharField(help_text="Stable, for programs.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Where fields are at fault: their names and what is wrong.",
    )


ERRORS = {
    400: ("Malformed or invalid; `errors` names the fields.", "invalid", "email: Enter a valid email address."),
    401: ("Not logged in, or the token is no longer valid.", "token_not_valid", "This token is no longer valid."),
    403: ("Logged in, but not allowed.", "permission_denied", "Only an admin may do this."),
    404: ("There is no such thing, or it is not yours.", "not_found", "There is nothing at this address."),
    406: ("The Accept header asks for what is not served.", "not_acceptable", "Ask for application/json."),
    409: ("Valid, but the state says no.", "sold_out", "The event is sold out and has no waitlist."),
    412: ("`If-Match` names an older version.", "stale", "Somebody changed this event; read it again."),
    413: ("The body is larger than 1 MB.", "too_large", "The request's body is larger than 1 MB; send less."),
    415: ("The body's content type is not JSON.", "unsupported_media_type", "Send application/json."),
    422: ("The idempotency key was used with another body.", "idempotency_key_reused", "Use a new key."),
    429: ("Too many requests; `Retry-After` says when.", "throttled", "Too many requests; try again in 5 seconds."),
    503: ("Busy or without its database; `Retry-After` says when.", "busy", "Nothing was changed; try again."),
}
ALWAYS = [406, 429, 503]
WITH_BODY = [400, 413, 415]


class Operation(AutoSchema):
    """Tags an operation with what its view is about (`view.tag`)."""

    def get_tags(self):
        return [getattr(self.view, "tag", "Ticks")]

    def _is_list_view(self, serializer=None):
        # The answer decides, not the action's name: `describes` wraps single objects itself.
        serializer = serializer or self.get_response_serializers()
        if isinstance(serializer, dict):
            serializer = serializer.get(200)
        return isinstance(serializer, serializers.ListSerializer)


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
):
    """Describes an operation: what it takes, its success (enveloped) and each error it can answer.

    A request serializer's `example` is the request's example.
    """
    example = getattr(request, "example", None)
    statuses = sorted({*(errors or []), *ALWAYS, *(WITH_BODY if request else [])})
    responses = {
        **{status: enveloped(body) if wrap else body for status, body in success.items()},
        **{status: error_response(status, error_body) for status in statuses},
    }
    return extend_schema(
        summary=summary,
        description=description or None,
        request=request,
        responses=responses,
        parameters=parameters or [],
        examples=[OpenApiExample("example", value=example, request_only=True)] if example else [],
    )


def error_response(status: int, body) -> OpenApiResponse:
    description, code, message = ERRORS[status]
    said = failure(message, code) if body is ErrorSerializer else {"error": message}
    example = OpenApiExample(code, value=said, response_only=True, status_codes=[str(status)])
    return OpenApiResponse(body, description=description, examples=[example])


def enveloped(body):
    """A list keeps its pages, which are the envelope; one object, or none, is wrapped."""
    if isinstance(body, serializers.ListSerializer):
        return body
    return envelope_of(body)


@cache
def envelope_of(body: type[serializers.Serializer] | None) -> type[serializers.Serializer]:
    fields = {"message": serializers.CharField(), "error": serializers.BooleanField(help_text="Always false.")}
    if body is None:
        return inline_serializer("Acknowledgement", fields)
    return inline_serializer(body.__name__.replace("Serializer", "Envelope"), {**fields, "data": body()})
