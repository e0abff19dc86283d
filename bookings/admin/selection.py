"""What the actions of several lists share: which rows were chosen, and the page that asks once more."""

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse

from ticks.ids import parse_id

SHOWN = 50


class KnownRows:
    """A list whose actions take ids, not whatever a form may send: Django's own look-up fails on the rest."""

    def response_action(self, request, queryset):
        if any(parse_id(given) is None for given in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            self.message_user(request, "Nothing was changed: select rows of the list.", level=messages.WARNING)
            return None
        return super().response_action(request, queryset)


def selected_ids(request: HttpRequest, queryset, *, at_most: int) -> list[int]:
    """The chosen rows' ids, and one more than `at_most` at the end when there are more.

    Once confirmed they come from the page that was confirmed: the list's filters may leave out by
    now what changed in between, and "all" may have grown.
    """
    if "confirmed" in request.POST:
        ids = [parse_id(given) for given in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        return [pk for pk in dict.fromkeys(ids) if pk is not None][: at_most + 1]
    return list(queryset.order_by("pk").values_list("pk", flat=True)[: at_most + 1])


def too_many(model_admin: admin.ModelAdmin, request: HttpRequest, things: str, at_most: int) -> None:
    said = f"Nothing was changed: select at most {at_most} {things} at once."
    model_admin.message_user(request, said, level=messages.WARNING)


def confirm_cancellation(
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    *,
    title: str,
    action: str,
    question: str,
    rows: list[tuple[int, str]],
) -> TemplateResponse:
    """Asks before anything is cancelled; `rows` are the ids and what a person knows them by."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "question": question,
        "action": action,
        "rows": rows[:SHOWN],
        "more": max(0, len(rows) - SHOWN),
        "ids": [pk for pk, _ in rows],
        "checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "bookings/admin/cancel.html", context)
