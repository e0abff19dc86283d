import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    # Servers of the version before can go on.
    runs_beside_server = True

    dependencies = [
        ('events', '0007_event_search_text'),
    ]

    operations = [
        migrations.AddField(
            model_name='event',
            name='max_tickets_per_person',
            field=models.PositiveIntegerField(blank=True, help_text="Held and waiting, of an account or of a guest's mail address. Empty: no limit.", null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000)]),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(('max_tickets_per_person', None), ('max_tickets_per_person__gte', 1), _connector='OR'), name='event_person_limit_from_one'),
        ),
    ]
