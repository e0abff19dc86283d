"""DRF's renderers: JSON by an encoder that is built once, and pages whose forms keep what was typed."""

import json

from django.core.exceptions import SuspiciousOperation
from rest_framework import renderers
from rest_framework.exceptions import APIException
from rest_framework.request import override_method
from rest_framework.utils.serializer_helpers import ReturnDict

from ticks.api.errors import sendable

ENCODER = renderers.JSONRenderer.encoder_class(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_json(body) -> bytes:
    """Returns the same bytes as DRF's renderer, and raises the same errors, such as `ValueError` for NaN."""
    if body is None:
        return b""
    text = ENCODER.encode(body)
    if not text.isascii():
        # Older JavaScript treats these as ends of lines.
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.encode()


class JSONRenderer(renderers.JSONRenderer):
    def render(self, data, accepted_media_type=None, renderer_context=None):
        is_indented = accepted_media_type != self.media_type or "indent" in (renderer_context or {})
        if is_indented:
            return super().render(data, accepted_media_type, renderer_context)
        return to_json(data)


class BrowsableAPIRenderer(renderers.BrowsableAPIRenderer):
    """The forms keep what was typed, and the raw JSON starts from an example."""

    def get_context(self, *args, **kwargs):
        """Leaves out what DRF's template styles inside the page, which the Content-Security-Policy refuses."""
        context = super().get_context(*args, **kwargs)
        # These are colours for code that no page has, and a menu of other actions, which `api.html` shows as links.
        return context | {"code_style": None, "extra_actions": None, "other_actions": context["extra_actions"]}

    def render(self, *args, **kwargs):
        page = sendable(super().render(*args, **kwargs))
        # The page shows who is logged in, and its forms hold a token. So the cache headers of the data must not hold
        # for the page.
        self.renderer_context["response"]["Cache-Control"] = "no-store"
        return page

    def get_rendered_html_form(self, data, view, method, request):
        if method == "POST" and self.is_refused(method, request):
            data = with_input(data, view, request)
        return super().get_rendered_html_form(data, view, method, request)

    def get_raw_data_form(self, data, view, method, request):
        form = super().get_raw_data_form(data, view, method, request)
        if form is None or not hasattr(view, "get_serializer"):
            return form
        submitted = submitted_data(request) if self.is_refused(method, request) else None
        with override_method(view, request, method):
            serializer = view.get_serializer()
        if isinstance(submitted, dict) and not hasattr(submitted, "getlist"):
            shown = {name: value for name, value in submitted.items() if not is_secret(serializer.fields.get(name))}
            form.fields["_content"].initial = json.dumps(shown, indent=4, ensure_ascii=False)
            return form
        example = getattr(serializer, "example", None)
        if example:
            form.fields["_content"].initial = json.dumps(example, indent=4)
        return form

    def is_refused(self, method, request) -> bool:
        return method == request.method and self.renderer_context["response"].status_code >= 400


def is_secret(field) -> bool:
    """Whether the field's input is secret, such as a password. A page must not show it again."""
    return field is not None and field.style.get("input_type") == "password"


def with_input(data, view, request):
    """Adds a form to a rule's refusal, which has none. The form is bound to the input and has the errors."""
    submitted = submitted_data(request)
    if submitted is None or getattr(data, "serializer", None) or not hasattr(view, "get_serializer"):
        return data
    form = view.get_serializer(data=submitted)
    form.is_valid()
    # The input's shape was valid; only the rule found the error.
    form._errors = form.errors or data.get("errors", {})
    return ReturnDict(data, serializer=form)


def submitted_data(request):
    try:
        return request.data
    except (APIException, SuspiciousOperation):
        return None
