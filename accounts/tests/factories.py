import factory
from rest_framework.test import APIClient

from accounts.api_keys import make_api_key
from accounts.models import ApiKey, User

PASSWORD = "correct horse 9 battery"


class UserFactory(factory.django.DjangoModelFactory):
    """An account that cannot log in by password, for speed; `password=PASSWORD` makes one that can."""

    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")

    @classmethod
    def _create(cls, model_class, *args, password=None, **kwargs):
        user = model_class(*args, **kwargs)
        user.set_password(password)
        user.save()
        return user


def new_api_key(*scopes, actor=None, name="Till", **fields) -> tuple[ApiKey, str]:
    """A key and its text."""
    actor = actor or UserFactory(is_staff=True)
    return make_api_key(name=name, scopes=scopes, actor=actor, **fields)


def client_with_key(*scopes, **fields) -> APIClient:
    """An API client that sends a key. `client.key` is the key, and `client.text` its text."""
    client = APIClient()
    client.key, client.text = new_api_key(*scopes, **fields)
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {client.text}")
    return client
