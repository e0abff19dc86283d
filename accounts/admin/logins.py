"""Ending logins: of one account on a page of its own, of several by the list's action."""

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join

from accounts.logins import Logins, logins_of, may_end_logins
from accounts.models import User
from accounts.services import end_logins
from ticks.api.ids import find, parse_id
from ticks.exceptions import Refusal
from ticks.formatting import ago
from ticks.words import counted

MAX_ACCOUNTS_AT_ONCE = 100
TOO_MANY = f"Nothing was ended: select at most {MAX_ACCOUNTS_AT_ONCE} users at once."


class LoginsAdmin(admin.ModelAdmin):
    actions = ["end_logins"]

    def has_end_logins_permission(self, request, obj=None):
        return may_end_logins(request.user, obj) if obj else request.user.has_perm("accounts.end_logins")

    def get_urls(self):
        page = self.admin_site.admin_view(self.end_logins_view)
        return [path("<id>/end-logins/", page, name="accounts_user_end_logins"), *super().get_urls()]

    def change_view(self, request, object_id, form_url="", extra_context=None):
        account = find(User.objects, object_id)
        may_end = bool(account) and self.has_end_logins_permission(request, account)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "may_end_logins": may_end})

    @admin.display(description="signed in")
    def signed_in(self, account: User) -> str:
        logins = logins_of([account])[account.pk]
        lasts = [("browser", logins.last_browser), ("API login", logins.last_token)]
        said = format_html_join(", ", "last {} {}", [(thing, ago(moment)) for thing, moment in lasts if moment])
        return format_html("{}; {}", logins, said) if said else str(logins)

    def end_logins_view(self, request, id):
        account = find(User.objects, id)
        if not self.has_end_logins_permission(request, account):
            raise PermissionDenied
        if account is None:
            raise Http404
        if request.method != "POST":
            return self.ask(request, [account])
        self.end_each(request, [account])
        return HttpResponseRedirect(reverse("admin:accounts_user_change", args=[account.pk]))

    @admin.action(description="End all logins of selected users …", permissions=["end_logins"])
    def end_logins(self, request, queryset):
        ids = chosen_ids(request, queryset)
        if len(ids) > MAX_ACCOUNTS_AT_ONCE:
            self.message_user(request, TOO_MANY, level=messages.WARNING)
            return None
        accounts = list(User.objects.filter(pk__in=ids).order_by("username_key"))
        if "confirmed" not in request.POST:
            return self.ask(request, accounts, action="end_logins")
        self.end_each(request, accounts)
        return None

    def ask(self, request, accounts: list[User], *, action: str | None = None) -> TemplateResponse:
        """Shows what would end; `action` is the list's, where the answer goes back to it."""
        logins = logins_of(accounts)
        ending = [account for account in accounts if self.has_end_logins_permission(request, account)]
        context = {
            **self.admin_site.each_context(request),
            "title": "End all logins",
            "opts": self.opts,
            "account": None if action else accounts[0],
            "rows": [(account, logins[account.pk]) for account in ending],
            "kept": [account for account in accounts if account not in ending],
            "is_own": request.user in ending,
            "action": action,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "accounts/admin/end_logins.html", context)

    def end_each(self, request, accounts: list[User]) -> None:
        ended: dict[User, Logins] = {}
        for account in accounts:
            try:
                ended[account] = end_logins(account, actor=request.user)
            except Refusal as refusal:
                self.message_user(request, f"{account}: {refusal}", level=messages.ERROR)
            else:
                self.log_change(request, account, f"Ended all logins: {ended[account]}.")
        if ended:
            self.message_user(request, told(ended), level=messages.SUCCESS)


def chosen_ids(request, queryset) -> list[int]:
    """Once confirmed those of the page that was confirmed, whatever the list's filters leave out by now."""
    if "confirmed" in request.POST:
        ids = [parse_id(given) for given in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        return [pk for pk in dict.fromkeys(ids) if pk is not None]
    return list(queryset.order_by("pk").values_list("pk", flat=True)[: MAX_ACCOUNTS_AT_ONCE + 1])


def told(ended: dict[User, Logins]) -> str:
    total = Logins(
        browsers=sum(logins.browsers for logins in ended.values()),
        tokens=sum(logins.tokens for logins in ended.values()),
    )
    whose = str(*ended) if len(ended) == 1 else counted(len(ended), "user")
    return f"Ended all logins of {whose}: {total}."
