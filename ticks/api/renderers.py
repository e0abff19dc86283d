"""DRF's renderers: JSON by an encoder that is built once, and pages that fit the Content-Security-Policy."""

import json

from rest_framework import renderers
from rest_framework.request import override_method

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
    """The raw JSON starts from an example."""

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

    def get_raw_data_form(self, data, view, method, request):
        form = super().get_raw_data_form(data, view, method, request)
        if form is not None and hasattr(view, "get_serializer"):
            with override_method(view, request, method):
                example = getattr(view.get_serializer(), "example", None)
            if example:
                form.fields["_content"].initial = json.dumps(example, indent=4)
        return form
