"""The connectors' log lines: dotted names in one list; no content, no secrets, no addresses with their query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.web.logs import log_as_json
from portalbus.schemas.models import Verdict, VerdictStatus

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from portalbus.connectors.pull.passing import PassReport

STARTED = "connect.started"  # the process reads its portals from now on
STOPPED = "connect.stopped"  # it does no longer
PUBLISHED = "connect.published"  # a pass published something
REFUSED = "connect.refused"  # a rule refuses an item; said once for each content
TAKEN_BACK = "connect.taken-back"  # a decided event was refused after all
REMARK = "connect.remark"  # something is odd about what was read
FAILED = "connect.failed"  # a source could not be read; tried again
RECOVERED = "connect.recovered"  # it can be read again
REJECTED = "connect.rejected"  # the centre did not accept what was published
ALERT = "connect.alert"  # too much is missing at once; nothing is withdrawn until people looked
ALERT_OVER = "connect.alert-over"  # it is no longer missing, or was let pass
MAX_REMARKS = 20

__all__ = ["log_as_json", "tell"]


def logger() -> FilteringBoundLogger:
    """Where the lines go."""
    found: FilteringBoundLogger = structlog.get_logger("portalbus.connectors.pull")
    return found


def tell(report: PassReport) -> None:
    """Says what a pass did, if it did something that anybody should know."""
    log = logger().bind(portal=report.entry)
    if report.published:
        log.info(PUBLISHED, events=report.published, seconds=round(report.seconds, 3))
    for item, reason in report.taken_back:
        log.warning(TAKEN_BACK, item=item, reason=reason)
    if report.failed and _is_worth_it(report.failures):
        log.warning(FAILED, why=report.failed, failures=report.failures, again_in=round(report.due_in))
    if report.crashed is not None and not isinstance(report.crashed, ReadFailed):
        log.error(FAILED, exc_info=report.crashed)
    outcome = report.outcome
    if outcome is None:
        return
    if report.recovered:
        log.info(RECOVERED)
    for refused in outcome.refused:
        if refused.new:
            rules = [finding.rule for finding in refused.findings]
            log.warning(REFUSED, item=refused.item_id[:200], rules=rules, why=refused.findings[0].explain())
    for remark in outcome.remarks[:MAX_REMARKS]:
        log.info(REMARK, place=remark.place[:200], text=remark.text)
    before, now = report.alert_before, outcome.memory.alert
    if now is not None and (before is None or before.rule != now.rule):
        log.warning(
            ALERT, rule=now.rule, text=now.text, mend="look at the portal; `portalbus connect accept` if it is right"
        )
    elif now is None and before is not None:
        log.info(ALERT_OVER, rule=before.rule)


def heard(source: str, verdict: Verdict) -> None:
    """Says that the centre did not accept an event; the SDK calls it for each verdict."""
    if verdict.final and verdict.status in (VerdictStatus.REJECTED, VerdictStatus.PARKED):
        logger().warning(
            REJECTED,
            portal=source,
            event_id=verdict.event_id,
            key=verdict.key,
            rule=verdict.rule,
            why=verdict.message.en,
            mend=verdict.mend.en if verdict.mend else None,
        )


def _is_worth_it(failures: int) -> bool:
    """The first failure, and ever rarer ones after it."""
    return failures & (failures - 1) == 0
