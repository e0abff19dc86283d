import factory

from accounts.models import User

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
