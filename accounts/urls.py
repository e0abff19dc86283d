from django.urls import include, path
from rest_framework.routers import SimpleRouter

from accounts import pages
from accounts.views import AuthViewSet, EmailViewSet, LinkViewSet, PasswordViewSet, ProfileViewSet

router = SimpleRouter(trailing_slash=False)
router.register("", AuthViewSet, basename="auth")
router.register("", LinkViewSet, basename="link")

urlpatterns = [
    path("", include(router.urls)),
    path("me", ProfileViewSet.as_view({"get": "retrieve", "patch": "partial_update"}), name="me"),
    path("email/change", EmailViewSet.as_view({"post": "create"}), name="email-change"),
    path("password", PasswordViewSet.as_view({"post": "create"}), name="password"),
]

SENT = pages.Page.as_view(template_name="accounts/sent.html")
# The addresses of the pages for people; their forms lead to the address that is below them.
page_patterns = [
    path("password/reset/", pages.PasswordResetPage.as_view(), name="password_reset"),
    path("password/reset/sent/", SENT),
    path("password/new/", pages.NewPasswordPage.as_view(), name="new_password"),
    path("password/new/done/", pages.Page.as_view(template_name="accounts/new_password_done.html")),
    path("email/verification/", pages.VerificationPage.as_view(), name="verification"),
    path("email/verification/sent/", SENT),
    path("email/verify/", pages.VerifyPage.as_view(), name="verify"),
    path("email/verify/done/", pages.Page.as_view(template_name="accounts/verify_done.html")),
    path("email/change/", pages.EmailChangePage.as_view(), name="email_change"),
    path("email/change/sent/", pages.Page.as_view(template_name="accounts/change_sent.html")),
    path("email/confirm/", pages.ConfirmChangePage.as_view(), name="confirm_change"),
    path("email/confirm/done/", pages.Page.as_view(template_name="accounts/confirm_change_done.html")),
]
