from collections.abc import Sequence

from django.contrib.auth import authenticate
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.throttling import BaseThrottle
from rest_framework.viewsets import GenericViewSet

from accounts import throttles, tokens
from accounts.authentication import BearerAuthentication
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
from ticks.api.envelope import answer
from ticks.api.schema import describes
from ticks.db.transactions import Busy


class AttemptsMixin:
    """Mixin for views that count attempts. Attempts that turn out to be right are uncounted."""

    attempts: Sequence[BaseThrottle] = ()

    def check_throttles(self, request):
        # The throttles are asked one after the other: an address that is refused must not go on to fill the table of
        # accounts.
        self.attempts = []
        for throttle in self.get_throttles():
            self.attempts.append(throttle)
            if not throttle.allow_request(request, self):
                self.throttled(request, throttle.wait())

    def handle_exception(self, exc):
        if isinstance(exc, Busy):
            # No password was checked, and the answer asks the caller to try again in a second.
            self.forgive()
        return super().handle_exception(exc)

    def forgive(self):
        for attempt in self.attempts:
            attempt.forgive()


class PasswordLoginMixin(AttemptsMixin):
    def check_login(self, **credentials):
        """The account of these credentials. Otherwise raises a 401 that does not tell which of them was wrong."""
        user = authenticate(self.request, **credentials)
        if user is None:
            raise AuthenticationFailed("The name or the password is wrong.", code="wrong_credentials")
        self.forgive()
        return user


class AuthViewSet(PasswordLoginMixin, GenericViewSet):
    """Accounts and their tokens."""

    # Only a holder of a token has one to check; a stale one must not keep anybody from logging in.
    authentication_classes: list = []
    permission_classes = [AllowAny]
    pagination_class = None
    tag = "Accounts"

    def get_authenticate_header(self, request):
        return BearerAuthentication().authenticate_header(request)

    @describes(
        "Register an account", request=RegistrationSerializer, success={201: AccountSerializer}, errors=[400, 409]
    )
    @action(
        detail=False, methods=["post"], throttle_classes=throttles.REGISTER, serializer_class=RegistrationSerializer
    )
    def register(self, request):
        fields = self.valid_fields()
        user = register_user(**fields)
        return answer("User registered successfully.", AccountSerializer(user).data, status=201)

    @describes(
        "Log in by email or username", request=LoginSerializer, success={200: TokenPairSerializer}, errors=[400, 401]
    )
    @action(detail=False, methods=["post"], throttle_classes=throttles.LOGIN, serializer_class=LoginSerializer)
    def login(self, request):
        user = self.check_login(**self.valid_fields())
        return answer("Login successful.", tokens.log_in(user))

    @describes(
        "Exchange a refresh token for a new pair",
        request=RefreshSerializer,
        success={200: TokenPairSerializer},
        errors=[400, 401],
    )
    @action(detail=False, methods=["post"], throttle_classes=throttles.REFRESH, serializer_class=RefreshSerializer)
    def refresh(self, request):
        return answer("Token refreshed successfully.", tokens.refresh(self.valid_fields()["refreshToken"]))

    @describes("End the login of a refresh token", request=RefreshSerializer, success={200: None}, errors=[400, 401])
    @action(detail=False, methods=["post"], throttle_classes=throttles.REFRESH, serializer_class=RefreshSerializer)
    def logout(self, request):
        tokens.log_out(self.valid_fields()["refreshToken"])
        return answer("Logged out successfully.")

    def valid_fields(self) -> dict:
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


class ProfileViewSet(GenericViewSet):
    """The caller's own account."""

    permission_classes = [IsAuthenticated]
    serializer_class = ProfileChangeSerializer
    pagination_class = None
    tag = "Accounts"

    @describes("Read the account", success={200: ProfileSerializer}, errors=[401])
    def retrieve(self, request):
        return answer("User retrieved successfully.", ProfileSerializer(request.user).data)

    @describes(
        "Change the account", request=ProfileChangeSerializer, success={200: ProfileSerializer}, errors=[400, 401, 409]
    )
    def partial_update(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = change_profile(request.user, changes=serializer.validated_data)
        return answer("User updated successfully.", ProfileSerializer(user).data)


class PasswordViewSet(AttemptsMixin, GenericViewSet):
    """The caller's own password."""

    permission_classes = [IsAuthenticated]
    serializer_class = PasswordChangeSerializer
    throttle_classes = throttles.PASSWORD
    pagination_class = None
    tag = "Accounts"

    @describes(
        "Change the password and end every login",
        request=PasswordChangeSerializer,
        success={200: None},
        errors=[400, 401],
    )
    def create(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = serializer.validated_data
        change_password(request.user, current=fields["currentPassword"], new=fields["newPassword"])
        self.forgive()
        return answer("Password changed successfully; log in again.")
