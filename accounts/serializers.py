from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.models import HIDDEN_CHARACTER, MAX_USERNAME, User
from ticks.api.fields import IdField, LanguageField, LineField, RequestSerializer, StringField, TextField
from ticks.text import MAX_NAME, has_hidden_character, normalise_email, validate_email

# Letters, digits and @ . + - _ in words that every dialect of patterns knows: which letters there are
# beyond ASCII it leaves to Django's validator.
USERNAME = r"^\s*[^\s\x00-*,/:-?\[-^`{-\x9f]+\s*$"
# No token of a link is longer, whatever address is in it.
MAX_LINK = 1000
# This is longer than any passphrase, and limits what is hashed.
MAX_PASSWORD = 1000
LANGUAGE_HELP = "The language of mails to the account, and of those about its bookings; null: none was chosen."
STRENGTH = "8 to 1,000 characters; not a common password, not only digits, not like the username or the address."


class PasswordField(StringField):
    def __init__(self, **kwargs):
        kwargs.setdefault("style", {"input_type": "password"})
        super().__init__(max_length=MAX_PASSWORD, trim_whitespace=False, write_only=True, **kwargs)


@extend_schema_field({"type": "string", "maxLength": MAX_USERNAME, "pattern": USERNAME})
class UsernameField(LineField):
    def __init__(self, **kwargs):
        super().__init__(max_length=MAX_USERNAME, **kwargs)
        self.validators.append(User.username_validator)

    def to_internal_value(self, value):
        # This checks the form that is stored, since normalising can add characters that were not sent.
        username = User.normalize_username(super().to_internal_value(value))
        if has_hidden_character(username):
            raise ValidationError(HIDDEN_CHARACTER)
        return username


@extend_schema_field({"type": "string", "format": "email", "maxLength": MAX_NAME})
class EmailField(TextField):
    def __init__(self, **kwargs):
        super().__init__(max_length=MAX_NAME, **kwargs)
        self.validators.append(validate_email)

    def to_internal_value(self, value):
        # This checks the form that is stored, since lower case can be longer.
        return normalise_email(super().to_internal_value(value)) or ""


class RegistrationSerializer(RequestSerializer):
    example = {"username": "ada", "email": "ada@example.org", "password": "nine lovely engines"}

    username = UsernameField()
    email = EmailField()
    password = PasswordField(help_text=STRENGTH)


class LoginSerializer(RequestSerializer):
    example = {"email": "ada@example.org", "password": "nine lovely engines"}

    email = TextField(required=False, max_length=MAX_NAME, help_text="The account's address. Send it or the username.")
    username = TextField(required=False, max_length=MAX_NAME)
    password = PasswordField()

    def validate(self, attrs):
        if bool(attrs.get("email")) == bool(attrs.get("username")):
            raise ValidationError({"email": ["Send either an email or a username."]})
        return attrs


class RefreshSerializer(RequestSerializer):
    example = {"refreshToken": "eyJhbGciOi..."}

    # The field is shown as a password: as dots, and empty after a refusal.
    refreshToken = TextField(max_length=2000, style={"input_type": "password"})


class PasswordChangeSerializer(RequestSerializer):
    example = {"currentPassword": "nine lovely engines", "newPassword": "ten lovelier ones"}

    currentPassword = PasswordField()
    newPassword = PasswordField(help_text=STRENGTH)


class AddressSerializer(RequestSerializer):
    example = {"email": "ada@example.org"}

    email = EmailField()


class LinkField(StringField):
    """The token in the link of a mail."""

    def __init__(self, **kwargs):
        super().__init__(max_length=MAX_LINK, style={"input_type": "password"}, **kwargs)


class LinkSerializer(RequestSerializer):
    example = {"token": "WzEsMTc5..."}

    token = LinkField()


class ConfirmationSerializer(LinkSerializer):
    example = {**LinkSerializer.example, "currentPassword": "nine lovely engines"}

    currentPassword = PasswordField(help_text="The password of the account that the link is for.")


class NewPasswordSerializer(LinkSerializer):
    example = {**LinkSerializer.example, "newPassword": "ten lovelier ones"}

    newPassword = PasswordField(help_text=STRENGTH)


class EmailChangeSerializer(RequestSerializer):
    example = {"email": "countess@example.org", "currentPassword": "nine lovely engines"}

    email = EmailField()
    currentPassword = PasswordField()


class ProfileChangeSerializer(RequestSerializer):
    example = {"username": "countess"}

    username = UsernameField(required=False)
    email = EmailField(required=False)
    language = LanguageField(required=False, help_text=LANGUAGE_HELP)


class AccountSerializer(serializers.Serializer):
    example = {"id": 1, "username": "ada", "email": "ada@example.org"}

    id = IdField()
    username = serializers.CharField()
    email = serializers.EmailField(allow_null=True)


class ProfileSerializer(AccountSerializer):
    example = {**AccountSerializer.example, "emailVerified": True, "isAdmin": False, "language": "en"}

    emailVerified = serializers.BooleanField(source="has_verified_email")
    isAdmin = serializers.BooleanField(source="is_staff")
    language = LanguageField(help_text=LANGUAGE_HELP)


class TokenPairSerializer(serializers.Serializer):
    example = {"token": "eyJhbGciOi...", "refreshToken": "eyJhbGciOi..."}

    token = serializers.CharField(help_text="Access token: Authorization: Bearer <token>, for 30 minutes.")
    refreshToken = serializers.CharField(
        help_text="Valid for 14 days and one exchange, which can be repeated for 10 seconds."
    )
