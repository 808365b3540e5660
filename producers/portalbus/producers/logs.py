"""The SDK's log lines: dotted names in one list, never a payload, never a setting that may be secret."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from portalbus.producers.forks import undivided

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

DELIVERY_STARTED = "sdk.delivery.started"  # this process delivers the outbox now
DELIVERY_STOPPED = "sdk.delivery.stopped"  # it no longer does
DELIVERY_TROUBLE = "sdk.delivery.trouble"  # nothing can be delivered at the moment; tried again
DELIVERY_RECOVERED = "sdk.delivery.recovered"  # deliveries succeed again
EVENT_DEAD = "sdk.event.dead"  # the broker refused one event for good
OUTBOX_DAMAGED = "sdk.outbox.damaged"  # the outbox contradicts what was already published
MARK_BEHIND = "sdk.outbox.mark-behind"  # the mark of what was published cannot be written; events are stored
CLOCK_OFF = "sdk.clock.off"  # the clock of this machine differs from the broker's by minutes
OUTBOX_REPAIRED = "sdk.outbox.repaired"  # a new epoch was started
VERDICT_UNREADABLE = "sdk.verdict.unreadable"  # a record of the verdict topic could not be read; passed over
NOTICE_HEARD = "sdk.notice.heard"  # the centre asked this source for something
CALLBACK_FAILED = "sdk.verdict.callback-failed"  # on_verdict raised; the verdict is called again
INTENT_PARKED = "sdk.intent.parked"  # a committed intent cannot be moved; its key waits for a decision
RELAY_TROUBLE = "sdk.intents.trouble"  # no intent can be moved at the moment; tried again
RELAY_RECOVERED = "sdk.intents.recovered"  # intents are moved again


@cache
def _logger() -> FilteringBoundLogger:
    import structlog  # costs more than the rest of the SDK, and most processes never log

    logger: FilteringBoundLogger = structlog.get_logger("portalbus.producers")
    return logger


def info(event: str, **fields: Any) -> None:
    """Says that something changed."""
    with undivided:
        _logger().info(event, **fields)


def warning(event: str, **fields: Any) -> None:
    """Says that somebody should look."""
    with undivided:
        _logger().warning(event, **fields)
