"""The two tables; the same as those of `sql_outbox`, so either kind of relay can serve them."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from typing import ClassVar

from django.db import models


class OutboxIntent(models.Model):
    """An event that is meant: waiting, held, parked, stored or done; times in milliseconds since 1970 UTC."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=128)
    event_id = models.CharField(max_length=36, unique=True)
    event_type = models.CharField(max_length=64)
    event_key = models.CharField(max_length=255)
    body = models.BinaryField()
    state = models.CharField(max_length=8, default="waiting")
    created_at = models.BigIntegerField()
    changed_at = models.BigIntegerField()
    epoch = models.BigIntegerField(null=True)
    sequence = models.BigIntegerField(null=True)
    reason = models.TextField(null=True)
    verdict = models.CharField(max_length=16, null=True)
    verdict_rule = models.CharField(max_length=64, null=True)

    class Meta:
        db_table = "portalbus_outbox"
        indexes: ClassVar = [models.Index(fields=["source", "state", "id"], name="portalbus_outbox_state")]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id} {self.state}"


class RelayPlace(models.Model):
    """Whose turn it is, and which outbox the intents of a source go to."""

    source = models.CharField(max_length=128, primary_key=True)
    outbox = models.CharField(max_length=64)
    place = models.CharField(max_length=1024)
    epoch = models.BigIntegerField()
    sequence = models.BigIntegerField()
    turns = models.BigIntegerField()

    class Meta:
        db_table = "portalbus_relay"

    def __str__(self) -> str:
        return f"{self.source} at {self.place}"
