"""Describes the envelope and the errors of each operation to drf-spectacular."""

from datetime import UTC, datetime
from functools import cache

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
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

from ticks.api import idempotency
from ticks.api.envelope import enveloped_success, failure
from ticks.api.errors import (
    BAD_AUTHORIZATION,
    BEARER_CHALLENGE,
    LIMITED_KEY,
    NOT_LOGGED_IN,
    TAKES_NO_KEY,
    MissingScope,
)
from ticks.api.throttling import TooManyRequests
from ticks.db.transactions import Busy, OutcomeUnknown, Unavailable
from ticks.exceptions import Refusal


@extend_schema_field({"type": "boolean", "const": True})
class AlwaysTrue(serializers.BooleanField):
    """The `error` of a failure."""


@extend_schema_field({"type": "boolean", "const": False})
class AlwaysFalse(serializers.BooleanField):
    """The `error` of a success."""


# Otherwise the errors of an action that is named `list` would be lists.
@extend_schema_serializer(many=False)
class ErrorSerializer(serializers.Serializer):
    message = serializers.CharField(help_text="A sentence for a person.")
    error = AlwaysTrue()
    code = serializers.CharField(help_text="Stable, for programs.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Where fields are at fault: their names and what is wrong.",
    )


DESCRIPTIONS = {
    400: "Malformed or invalid.",
    401: "Not logged in, or the token or API key is not valid, or no longer.",
    403: "The account or the API key may not do this, or a browser's session came without its CSRF token.",
    404: "There is no such thing, or it is not yours.",
    406: "The `Accept` header asks for what is not served.",
    409: "Valid, but the state says no.",
    412: "`If-Match` names an older version.",
    413: "The body is larger than 1 MB.",
    415: "The body's content type is not JSON.",
    422: "The idempotency key was used with another request.",
    429: "Too many requests; `Retry-After` says when.",
    503: (
        "Busy or without its database; `Retry-After` says when. Nothing was changed, unless the code is "
        "`outcome_unknown`: then it may or may not be done. With an `Idempotency-Key` send the same again, else look "
        "first."
    ),
}
# The codes that no refusal of a service has, except `invalid`: each has its status and a sentence.
CODES = {
    "parse_error": (400, "JSON parse error: it is not UTF-8."),
    "not_authenticated": (401, NOT_LOGGED_IN),
    "token_not_valid": (401, "This token is not valid, or no longer; log in again."),
    "bad_authorization_header": (401, BAD_AUTHORIZATION),
    "api_key_not_valid": (401, "This API key was revoked or has expired."),
    "api_key_not_accepted": (403, TAKES_NO_KEY),
    "api_key_limited": (403, LIMITED_KEY),
    "permission_denied": (403, "Only an admin may do this."),
    "not_found": (404, "Invalid page."),
    "not_acceptable": (406, "Could not satisfy the request Accept header."),
    "too_large": (413, "The request's body is larger than 1 MB; send less."),
    "unsupported_media_type": (415, 'Unsupported media type "text/plain" in request.'),
}
# Groups of errors, for `errors` of `describes`: of every operation, of those with a body, of those that look at a
# token, of those that need one, of writes by anybody, and of writes that a browser's session may send.
ALWAYS = ["invalid", "not_acceptable", TooManyRequests(5), Busy, Unavailable]
WITH_BODY = ["parse_error", "too_large", "unsupported_media_type"]
WITH_TOKEN = ["token_not_valid", "bad_authorization_header", "api_key_not_valid"]
WITH_LOGIN = ["not_authenticated", *WITH_TOKEN]
PUBLIC_WRITE = [OutcomeUnknown]
WRITE = ["permission_denied", OutcomeUnknown]
A_LIST = ["not_found"]
JSON = "application/json"
SECONDS = {"type": "string", "pattern": "^[0-9]+$"}
ID = OpenApiParameter("id", OpenApiTypes.INT64, location="path", description="The id that its creation answered.")
# For the examples of refusals that name a time.
SOME_TIME = datetime(2026, 12, 1, 10, tzinfo=UTC)


def sent_header(name: str, description: str, *, on, required=True, schema=str) -> OpenApiParameter:
    """A header of answers with these statuses. `on=True` means all statuses."""
    return OpenApiParameter(name, schema, location="header", response=on, required=required, description=description)


SENT_HEADERS = [
    sent_header("X-Request-ID", "What the logs know this request by.", on=True),
    sent_header("Retry-After", "Seconds.", on=[429, 503], schema=SECONDS),
    sent_header("WWW-Authenticate", f"Always `{BEARER_CHALLENGE}`.", on=[401], schema={"const": BEARER_CHALLENGE}),
]
LOCATION = sent_header("Location", "The path of what was made.", on=[201])


def key_headers(*statuses: int) -> list[OpenApiParameter]:
    """The headers of a keyed action in the schema. `statuses` are those of its successes."""
    return [
        OpenApiParameter(
            idempotency.HEADER,
            {"type": "string", "pattern": r'^([\x21-\x7e]{1,255}|"[\x21-\x7e]{1,255}")$'},
            location="header",
            description=(
                "1 to 255 visible characters, drawn at random for each request, since whoever knows a guest's key "
                "gets the booking's token. The same key and request answer the same again, and are carried out once."
            ),
        ),
        sent_header(
            "Idempotent-Replayed",
            "This is the first answer to this key again.",
            on=list(statuses),
            required=False,
            schema={"const": "true"},
        ),
        sent_header(
            "Retry-After", "Seconds; with `idempotency_key_in_flight`.", on=[409], required=False, schema=SECONDS
        ),
    ]


class Operation(AutoSchema):
    """Tags an operation with what its view is about (`view.tag`)."""

    def get_tags(self):
        return [getattr(self.view, "tag", "Ticks")]

    def get_description(self):
        # Without this the docstring of the view would be published; it is for those who read the code.
        return ""

    def get_operation(self, path, path_regex, path_prefix, method, registry):
        # drf-spectacular knows only a DELETE without a body, but cancelling may have one. A POST may have one or not.
        method = "POST" if method == "DELETE" else method
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation and self.view.action == "list":
            # drf-spectacular writes the example of a page. It does not know the list's own message.
            for example in operation["responses"]["200"]["content"]["application/json"]["examples"].values():
                example["value"]["message"] = self.view.list_message
        return operation


def describes(
    operation: str,
    summary: str,
    *,
    success: dict,
    message: str = "",
    errors: list | None = None,
    request=None,
    error_body=ErrorSerializer,
    parameters=None,
    description="",
    scope: str | None = None,
    is_open_to_guests: bool | None = None,
):
    """Describes an operation: its id, what it takes, its success and each error that it can answer.

    `errors` has codes of `CODES` and refusals, as classes or with their arguments. The `example` of a serializer is the
    example of the request or of the success. `message` is that of the envelope; a list names its own (`list_message`).
    An API key needs the `scope`; without one the operation refuses API keys. That is not only described here: the
    authentication reads it from the view's method (`key_scope`).
    """
    example = getattr(request, "example", None)
    errors = [*ALWAYS, *(WITH_BODY if request else []), *(errors or [])]
    if "api_key_not_valid" in errors:
        errors.append(MissingScope(scope) if scope else "api_key_not_accepted")
    failures = failures_by_status(errors, invalid_part(example, parameters or []))
    auth = [{"bearer": []}, *([{"apiKey": []}] if scope else []), {"cookieAuth": []}]
    sentence = f"Scope of API keys: `{scope}`." if scope else ""
    described = extend_schema(
        operation_id=operation,
        summary=summary,
        auth=auth if is_open_to_guests is False else None,
        description=f"{description} {sentence}".strip() or None,
        # Forms are only for the browsable API.
        request={"application/json": request} if request else None,
        responses=responses_of(success, failures, message=message, error_body=error_body),
        parameters=[*SENT_HEADERS, *(parameters or [])],
        examples=[OpenApiExample("example", value=example, request_only=True)] if example else [],
    )

    def declare(view):
        view.key_scope = scope
        return described(view)

    return declare


def responses_of(success: dict, failures: dict[int, dict], *, message: str, error_body) -> dict:
    is_enveloped = error_body is ErrorSerializer
    return {
        **{status: success_response(body, message, is_enveloped) for status, body in success.items()},
        # A failure is JSON, also where a success is a file.
        **{(status, JSON): failure_response(status, failures[status], error_body) for status in sorted(failures)},
    }


def invalid_part(example: dict | None, parameters: list) -> tuple[str, str]:
    """A field or header that can be invalid in a request, and the sentence for it."""
    if example:
        return next(iter(example)), "This field may not be null."
    takes_key = any(getattr(parameter, "name", "") == idempotency.HEADER for parameter in parameters)
    return idempotency.HEADER, idempotency.BAD_KEY if takes_key else idempotency.NO_KEY


def failures_by_status(errors: list, invalid: tuple[str, str]) -> dict[int, dict[str, dict]]:
    """The body of each error by its code, by status. `invalid` is a field or header, and what is wrong with it."""
    failures: dict[int, dict[str, dict]] = {}
    for error in errors:
        if error == "invalid":
            status, body = 400, failure(": ".join(invalid), error, {invalid[0]: [invalid[1]]})
        elif isinstance(error, str):
            status, sentence = CODES[error]
            body = failure(sentence, error)
        else:
            refusal: Refusal = error() if isinstance(error, type) else error
            at_fault = {refusal.field: [refusal.message]} if refusal.field else None
            status, body = refusal.status, failure(refusal.message, refusal.code, at_fault)
        failures.setdefault(status, {})[body["code"]] = body
    return failures


def failure_response(status: int, failures: dict[str, dict], body) -> OpenApiResponse:
    description, is_enveloped = DESCRIPTIONS[status], body is ErrorSerializer
    if is_enveloped:
        description += " `errors` names the fields." if status == 400 else ""
        description += f" Codes: {', '.join(f'`{code}`' for code in failures)}."
    examples = [
        OpenApiExample(code, value=value) if is_enveloped else plain_example(value["message"])
        for code, value in failures.items()
    ]
    return OpenApiResponse(body, description=description, examples=examples)


def plain_example(sentence: str) -> OpenApiExample:
    return OpenApiExample(sentence, value={"error": sentence})


def success_response(body, message: str, is_enveloped: bool) -> OpenApiResponse:
    """A success with its example. It is wrapped in the envelope; the pages of a list are their own (`Pages`)."""
    if isinstance(body, OpenApiResponse):
        return body
    is_list = isinstance(body, serializers.ListSerializer)
    example = getattr(body.child if is_list else body, "example", None)
    if is_enveloped and not is_list:
        body, example = envelope_schema(body), enveloped_success(message, example)
    return OpenApiResponse(body, examples=[OpenApiExample("example", value=example)])


@cache
def envelope_schema(body):
    fields = {"message": serializers.CharField(), "error": AlwaysFalse()}
    if body is None:
        return inline_serializer("Acknowledgement", fields)
    return inline_serializer(body.__name__.replace("Serializer", "Envelope"), {**fields, "data": body()})


def merge_empty_texts(result, generator, request, public):
    """A hook of drf-spectacular. It lets a field have one pattern for texts that may be empty.

    drf-spectacular offers the empty text beside the pattern, which accepts it as well. So an empty text would fit two
    schemas where `oneOf` wants one.
    """
    for component in result["components"]["schemas"].values():
        for field in component.get("properties", {}).values():
            match field:
                case {"oneOf": [text, {"type": "string", "maxLength": 0}]}:
                    del field["oneOf"]
                    field.update(text)
    return result
