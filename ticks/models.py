from django.db import models

from ticks.db.fields import ExactCharField


class RefusalMinute(models.Model):
    """How many requests the API refused with one code in one minute, all workers together (`ticks.refusal_counts`)."""

    minute = models.DateTimeField(help_text="Its beginning.")
    code = ExactCharField(max_length=64)
    count = models.PositiveBigIntegerField()

    class Meta:
        # Nobody edits them, and whoever sees the staff's site may read them.
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["minute", "code"], name="refusal_minute_unique")]

    def __str__(self):
        return f"{self.minute:%Y-%m-%d %H:%M} {self.code}: {self.count}"
