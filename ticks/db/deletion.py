from django.db.models import QuerySet

ROWS = 1000


def delete_in_batches(queryset: QuerySet) -> int:
    """Deletes all rows, in short transactions: what was deleted stays deleted. Returns how many."""
    deleted = 0
    while True:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[:ROWS])
        if not ids:
            return deleted
        count, _ = queryset.model.objects.filter(pk__in=ids).delete()
        deleted += count
