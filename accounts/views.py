from django.contrib.auth import authenticate
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny, IsAuthenticated

from accounts import tokens
from accounts.exceptions import WrongCredentials
from accounts.models import User
from accounts.serializers import (
    AccountSerializer,
    LoginSerializer,
    PasswordChangeSerializer,
    ProfileChangeSerializer,
    ProfileSerializer,
    RefreshSerializer,
    RegistrationSerializer,
    TokenPairSerializer,
)
from accounts.services import change_password, change_profile, register_user
from accounts.throttles import PASSWORD, REFRESH, REGISTER, limited, limited_login
from ticks.api.envelope import answer
from ticks.api.schema import describes
from ticks.api.views import ViewSet


class LoginMixin:
    """Registration and login, which both contracts have."""

    # Only a holder of a token has one to check; a stale one must not keep anybody from logging in.
    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes: list = []

    def register_account(self, request) -> User:
        with limited(REGISTER, request):
            return register_user(**self.valid_fields())

    def log_in(self, request) -> dict[str, str]:
        """A new pair of tokens. Raises `WrongCredentials`."""
        with limited_login(request):
            user = authenticate(request, **self.valid_fields())
            if user is None:
                raise WrongCredentials
        return tokens.log_in(user)


class AuthViewSet(LoginMixin, ViewSet):
    """Accounts and their tokens."""

    tag = "Accounts"

    @describes(
        "Register an account", request=RegistrationSerializer, success={201: AccountSerializer}, errors=[400, 409]
    )
    @action(detail=False, methods=["post"], serializer_class=RegistrationSerializer)
    def register(self, request):
        user = self.register_account(request)
        return answer("User registered successfully.", AccountSerializer(user).data, status=201)

    @describes(
        "Log in by email or username", request=LoginSerializer, success={200: TokenPairSerializer}, errors=[400, 401]
    )
    @action(detail=False, methods=["post"], serializer_class=LoginSerializer)
    def login(self, request):
        return answer("Login successful.", self.log_in(request))

    @describes(
        "Exchange a refresh token for a new pair",
        request=RefreshSerializer,
        success={200: TokenPairSerializer},
        errors=[400, 401],
    )
    @action(detail=False, methods=["post"], serializer_class=RefreshSerializer)
    def refresh(self, request):
        with limited(REFRESH, request):
            return answer("Token refreshed successfully.", tokens.refresh(self.valid_fields()["refreshToken"]))

    @describes("End the login of a refresh token", request=RefreshSerializer, success={200: None}, errors=[400, 401])
    @action(detail=False, methods=["post"], serializer_class=RefreshSerializer)
    def logout(self, request):
        with limited(REFRESH, request):
            tokens.log_out(self.valid_fields()["refreshToken"])
        return answer("Logged out successfully.")


class ProfileViewSet(ViewSet):
    """The caller's own account."""

    permission_classes = [IsAuthenticated]
    serializer_class = ProfileChangeSerializer
    tag = "Accounts"

    @describes("Read the account", success={200: ProfileSerializer}, errors=[401])
    def retrieve(self, request):
        return answer("User retrieved successfully.", ProfileSerializer(request.user).data)

    @describes(
        "Change the account", request=ProfileChangeSerializer, success={200: ProfileSerializer}, errors=[400, 401, 409]
    )
    def partial_update(self, request):
        user = change_profile(request.user, changes=self.valid_fields())
        return answer("User updated successfully.", ProfileSerializer(user).data)


class PasswordViewSet(ViewSet):
    """The caller's own password."""

    permission_classes = [IsAuthenticated]
    serializer_class = PasswordChangeSerializer
    throttle_classes: list = []
    tag = "Accounts"

    @describes(
        "Change the password and end every login",
        request=PasswordChangeSerializer,
        success={200: None},
        errors=[400, 401],
    )
    def create(self, request):
        with limited(PASSWORD, request, is_guess=True):
            fields = self.valid_fields()
            change_password(request.user, current=fields["currentPassword"], new=fields["newPassword"])
        return answer("Password changed successfully; log in again.")
