"""Publishing inside `atomic()`."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from django.db import transaction

from portalbus.producers.django.app_settings import app_settings

if TYPE_CHECKING:
    from portalbus.producers.intents.intent import Intent, IntentRow, IntentWriter
    from portalbus.schemas.models import Payload


def publish(
    payload: Payload,
    *,
    event_id: str | None = None,
    occurred_at: datetime | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    traceparent: str | None = None,
    using: str | None = None,
) -> Intent:
    """Publishes one event with the transaction that is open: it leaves when that commits, and never otherwise.

    Arguments and refusals are those of `Portal.publish`; `using` is the database's alias, that of the settings unless
    given. Raises EventRefused (nothing was written, the transaction can go on), and TransactionManagementError
    outside of `transaction.atomic()`.
    """
    settings = app_settings()
    alias = using or settings.database
    if not transaction.get_connection(alias).in_atomic_block:
        raise transaction.TransactionManagementError(
            "publish() belongs inside transaction.atomic(), together with the change that it tells of"
        )
    row = _writer(settings.agency, settings.portal).row(
        payload,
        event_id=event_id,
        occurred_at=occurred_at,
        correlation_id=correlation_id,
        causation_id=causation_id,
        traceparent=traceparent,
    )
    _insert(row, alias, repeatable=event_id is not None)
    from portalbus.producers.django.relaying import wake_relay

    transaction.on_commit(wake_relay, using=alias)
    return row.intent


def _insert(row: IntentRow, alias: str, *, repeatable: bool) -> None:
    from portalbus.producers.django.models import OutboxIntent
    from portalbus.producers.intents.intent import id_reused

    intent = OutboxIntent(**row._asdict(), changed_at=row.created_at)
    if not repeatable:
        intent.save(using=alias, force_insert=True)
        return
    # Without an error that would end the caller's transaction (PostgreSQL).
    intents = OutboxIntent.objects.using(alias)
    intents.bulk_create([intent], ignore_conflicts=True)
    stored = intents.select_for_update().filter(event_id=row.event_id, source=row.source).first()
    if stored is None or not row.means_the_same(stored.event_type, bytes(stored.body)):
        raise id_reused()


@cache
def _writer(agency: str, portal: str) -> IntentWriter:
    from portalbus.producers.intents.intent import IntentWriter

    return IntentWriter(agency, portal)
