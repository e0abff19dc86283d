from django.contrib.auth import authenticate
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny, IsAuthenticated

from accounts import links, tokens
from accounts.exceptions import (
    EmailNotVerified,
    EmailTaken,
    EmailVerified,
    LinkNotValid,
    MailsOff,
    SessionEnded,
    UsernameTaken,
    WrongCredentials,
    WrongPassword,
)
from accounts.link_tokens import Purpose, read_token
from accounts.models import User
from accounts.serializers import (
    AccountSerializer,
    AddressSerializer,
    ConfirmationSerializer,
    EmailChangeSerializer,
    LoginSerializer,
    NewPasswordSerializer,
    PasswordChangeSerializer,
    ProfileChangeSerializer,
    ProfileSerializer,
    RefreshSerializer,
    RegistrationSerializer,
    TokenPairSerializer,
)
from accounts.services import change_password, change_profile, refuse_unverified, register_user
from accounts.throttles import CHANGE_EMAIL, LINK, MAIL, PASSWORD, REFRESH, REGISTER, limited, limited_login
from ticks.api.envelope import answer
from ticks.api.schema import PUBLIC_WRITE, WITH_LOGIN, WRITE, describes
from ticks.api.views import ViewSet
from ticks.languages import language_of_header

IS_ON_ITS_WAY = "If this address is known here and needs it, a mail is on its way."
LOOK_THERE = "A mail is on its way to the new address; open its link to make the change."


class LoginMixin:
    """Registration and login, which both contracts have."""

    # Only a holder of a token has one to check; a stale one must not keep anybody from logging in.
    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes: list = []

    def register_account(self, request) -> User:
        with limited(REGISTER, request):
            language = language_of_header(request.headers.get("Accept-Language", ""))
            return register_user(**self.valid_fields(), language=language)

    def log_in(self, request) -> dict[str, str]:
        """A new pair of tokens. Raises `WrongCredentials`, `EmailNotVerified`."""
        with limited_login(request):
            user = authenticate(request, **self.valid_fields())
            if user is None:
                raise WrongCredentials
        # Only whoever knows the password is told this.
        refuse_unverified(user)
        return tokens.log_in(user)


class AuthViewSet(LoginMixin, ViewSet):
    """Accounts and their tokens."""

    tag = "Accounts"

    @describes(
        "register",
        "Register an account",
        request=RegistrationSerializer,
        success={201: AccountSerializer},
        message="User registered successfully.",
        errors=[*PUBLIC_WRITE, UsernameTaken, EmailTaken],
    )
    @action(detail=False, methods=["post"], serializer_class=RegistrationSerializer)
    def register(self, request):
        user = self.register_account(request)
        return answer("User registered successfully.", AccountSerializer(user).data, status=201)

    @describes(
        "log_in",
        "Log in by email or username",
        request=LoginSerializer,
        success={200: TokenPairSerializer},
        message="Login successful.",
        errors=[*PUBLIC_WRITE, WrongCredentials, EmailNotVerified],
    )
    @action(detail=False, methods=["post"], serializer_class=LoginSerializer)
    def login(self, request):
        return answer("Login successful.", self.log_in(request))

    @describes(
        "refresh_tokens",
        "Exchange a refresh token for a new pair",
        request=RefreshSerializer,
        success={200: TokenPairSerializer},
        message="Token refreshed successfully.",
        errors=[*PUBLIC_WRITE, SessionEnded],
    )
    @action(detail=False, methods=["post"], serializer_class=RefreshSerializer)
    def refresh(self, request):
        with limited(REFRESH, request):
            return answer("Token refreshed successfully.", tokens.refresh(self.valid_fields()["refreshToken"]))

    @describes(
        "log_out",
        "End the login of a refresh token",
        request=RefreshSerializer,
        success={200: None},
        message="Logged out successfully.",
        errors=[*PUBLIC_WRITE, SessionEnded],
    )
    @action(detail=False, methods=["post"], serializer_class=RefreshSerializer)
    def logout(self, request):
        with limited(REFRESH, request):
            tokens.log_out(self.valid_fields()["refreshToken"])
        return answer("Logged out successfully.")


class LinkViewSet(ViewSet):
    """What is done by a link in a mail. No answer tells which addresses are known."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes: list = []
    tag = "Accounts"

    @describes(
        "send_verification",
        "Ask for the mail that verifies an address",
        request=AddressSerializer,
        success={200: None},
        message=IS_ON_ITS_WAY,
        errors=[*PUBLIC_WRITE, MailsOff],
    )
    @action(detail=False, methods=["post"], url_path="email/verification", serializer_class=AddressSerializer)
    def verification(self, request):
        with limited(MAIL, request):
            links.ask_for_verification(self.valid_fields()["email"])
        return answer(IS_ON_ITS_WAY)

    @describes(
        "verify_email",
        "Verify an address by the token of a link and the account's password",
        request=ConfirmationSerializer,
        success={200: None},
        message="Address verified successfully.",
        errors=[*PUBLIC_WRITE, LinkNotValid, WrongPassword],
    )
    @action(detail=False, methods=["post"], url_path="email/verify", serializer_class=ConfirmationSerializer)
    def verify(self, request):
        with limited(LINK, request):
            fields = self.valid_fields()
            with limited(PASSWORD, read_token(Purpose.VERIFY, fields["token"]), is_guess=True):
                links.verify_email(fields["token"], current=fields["currentPassword"])
        return answer("Address verified successfully.")

    @describes(
        "confirm_email_change",
        "Make a new address the account's by the token of a link and the account's password",
        request=ConfirmationSerializer,
        success={200: None},
        message="Address changed successfully.",
        errors=[*PUBLIC_WRITE, LinkNotValid, WrongPassword, EmailTaken],
    )
    @action(detail=False, methods=["post"], url_path="email/change/confirm", serializer_class=ConfirmationSerializer)
    def confirm_change(self, request):
        with limited(LINK, request):
            fields = self.valid_fields()
            with limited(PASSWORD, read_token(Purpose.CHANGE, fields["token"]), is_guess=True):
                links.confirm_change(fields["token"], current=fields["currentPassword"])
        return answer("Address changed successfully.")

    @describes(
        "send_password_reset",
        "Ask for the mail with which a new password is set",
        request=AddressSerializer,
        success={200: None},
        message=IS_ON_ITS_WAY,
        errors=[*PUBLIC_WRITE, MailsOff],
    )
    @action(detail=False, methods=["post"], url_path="password/reset", serializer_class=AddressSerializer)
    def reset(self, request):
        with limited(MAIL, request):
            links.ask_for_new_password(self.valid_fields()["email"])
        return answer(IS_ON_ITS_WAY)

    @describes(
        "reset_password",
        "Set a new password by the token of a link, and end every login",
        request=NewPasswordSerializer,
        success={200: None},
        message="Password changed successfully; log in again.",
        errors=[*PUBLIC_WRITE, LinkNotValid],
    )
    @action(detail=False, methods=["post"], url_path="password/reset/confirm", serializer_class=NewPasswordSerializer)
    def confirm_reset(self, request):
        with limited(LINK, request):
            fields = self.valid_fields()
            links.set_password_by_link(fields["token"], new=fields["newPassword"])
        return answer("Password changed successfully; log in again.")


class EmailViewSet(ViewSet):
    """The caller's own mail address."""

    permission_classes = [IsAuthenticated]
    serializer_class = EmailChangeSerializer
    throttle_classes: list = []
    tag = "Accounts"

    @describes(
        "change_email",
        "Ask for the mail that changes the account's address",
        request=EmailChangeSerializer,
        success={200: None},
        message=LOOK_THERE,
        errors=[*WITH_LOGIN, *WRITE, WrongPassword, MailsOff],
    )
    def create(self, request):
        with limited(CHANGE_EMAIL, request), limited(PASSWORD, request, is_guess=True):
            fields = self.valid_fields()
            links.ask_for_change(request.user, email=fields["email"], current=fields["currentPassword"])
        return answer(LOOK_THERE)


class ProfileViewSet(ViewSet):
    """The caller's own account."""

    permission_classes = [IsAuthenticated]
    serializer_class = ProfileChangeSerializer
    tag = "Accounts"

    @describes(
        "get_account",
        "Read the account",
        success={200: ProfileSerializer},
        message="User retrieved successfully.",
        errors=WITH_LOGIN,
    )
    def retrieve(self, request):
        return answer("User retrieved successfully.", ProfileSerializer(request.user).data)

    @describes(
        "update_account",
        "Change the account",
        request=ProfileChangeSerializer,
        success={200: ProfileSerializer},
        message="User updated successfully.",
        errors=[*WITH_LOGIN, *WRITE, UsernameTaken, EmailTaken, EmailVerified],
    )
    def partial_update(self, request):
        changes = self.valid_fields()
        has_new_email = changes.get("email", request.user.email) != request.user.email
        with limited(CHANGE_EMAIL if has_new_email else [], request):
            user = change_profile(request.user, changes=changes)
        return answer("User updated successfully.", ProfileSerializer(user).data)


class PasswordViewSet(ViewSet):
    """The caller's own password."""

    permission_classes = [IsAuthenticated]
    serializer_class = PasswordChangeSerializer
    throttle_classes: list = []
    tag = "Accounts"

    @describes(
        "change_password",
        "Change the password and end every login",
        request=PasswordChangeSerializer,
        success={200: None},
        message="Password changed successfully; log in again.",
        errors=[*WITH_LOGIN, *WRITE, WrongPassword],
    )
    def create(self, request):
        with limited(PASSWORD, request, is_guess=True):
            fields = self.valid_fields()
            change_password(request.user, current=fields["currentPassword"], new=fields["newPassword"])
        return answer("Password changed successfully; log in again.")
