"""What the actions of several lists share: which rows were chosen, and the page that asks once more."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse

from ticks.parsing import parse_id

SHOWN = 50
CHANGED = "Some of these have changed since you looked. Below is what would be cancelled now; confirm again if it fits."


class KnownRows:
    """A list whose actions take ids, not whatever a form may send: Django's own look-up fails on the rest."""

    def response_action(self, request, queryset):
        if any(parse_id(given) is None for given in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return self.refuse(request)
        # Only a form that the list did not make asks for all rows where nobody knows how many those are: the
        # database would look for them one by one.
        if request.POST.get("select_across") == "1" and not self.get_changelist_instance(request).has_known_count:
            return self.refuse(request)
        return super().response_action(request, queryset)

    def refuse(self, request) -> None:
        self.message_user(request, "Nothing was changed: select rows of the list.", level=messages.WARNING)


def led_to(url: Callable[[int], str], object_id: str) -> HttpResponseRedirect:
    """To a thing's own page, from where Django's admin has its form."""
    identity = parse_id(object_id)
    if identity is None:
        raise Http404
    return HttpResponseRedirect(url(identity))


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


def stamp_of(rows: Sequence[tuple[int, str]]) -> str:
    """What the page of these rows said of them."""
    return sha256(repr(rows).encode()).hexdigest()[:32]


def is_confirmed(request: HttpRequest, rows: Sequence[tuple[int, str]]) -> bool:
    """Whether the page was confirmed, and these rows are what it said."""
    return "confirmed" in request.POST and request.POST.get("stamp") == stamp_of(rows)


def confirm_cancellation(
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    *,
    title: str,
    action: str,
    question: str,
    rows: list[tuple[int, str]],
    effects: Sequence[str] = (),
) -> TemplateResponse:
    """Asks before anything is cancelled; `rows` are the ids and what a person knows them by, `effects` what follows."""
    if "confirmed" in request.POST:
        model_admin.message_user(request, CHANGED, level=messages.WARNING)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "stamp": stamp_of(rows),
        "question": question,
        "effects": effects,
        "action": action,
        "rows": rows[:SHOWN],
        "more": max(0, len(rows) - SHOWN),
        "ids": [pk for pk, _ in rows],
        "checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "bookings/admin/cancel.html", context)
