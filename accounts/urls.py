from django.urls import include, path
from rest_framework.routers import SimpleRouter

from accounts.views import AuthViewSet, PasswordViewSet, ProfileViewSet

router = SimpleRouter(trailing_slash=False)
router.register("", AuthViewSet, basename="auth")

urlpatterns = [
    path("", include(router.urls)),
    path("me", ProfileViewSet.as_view({"get": "retrieve", "patch": "partial_update"}), name="me"),
    path("password", PasswordViewSet.as_view({"post": "create"}), name="password"),
]
