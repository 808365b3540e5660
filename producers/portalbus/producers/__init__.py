"""The SDK: `from portalbus.producers import Portal, FeedbackReceived`.

Names are imported when they are first used, so that importing the package costs a portal's start next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portalbus.producers.async_portal import AsyncPortal
    from portalbus.producers.cloudevents import from_cloudevent
    from portalbus.producers.portal import Portal
    from portalbus.producers.receipt import Receipt
    from portalbus.producers.repair import Repair, repair_outbox
    from portalbus.producers.settings import Bounds
    from portalbus.producers.status import PortalStatus
    from portalbus.producers.undeliverable import Undeliverable
    from portalbus.schemas.errors import (
        EventRefused,
        OutboxDamaged,
        OutboxFull,
        OutboxUnavailable,
        PortalbusError,
        PortalClosed,
    )
    from portalbus.schemas.identifiers import new_event_id, new_public_code
    from portalbus.schemas.models import (
        Attachment,
        BodyFormat,
        CaseStep,
        CaseUrgency,
        Channel,
        Classification,
        DirectiveAction,
        DirectivePublished,
        Diversion,
        DocumentUrgency,
        FeedbackProgressed,
        FeedbackReceived,
        FeedbackResolved,
        Outcome,
        RefusalReason,
        Relation,
        RelationKind,
        Verdict,
        VerdictStatus,
    )

_HOMES = {
    "portalbus.producers.async_portal": ("AsyncPortal",),
    "portalbus.producers.cloudevents": ("from_cloudevent",),
    "portalbus.producers.portal": ("Portal",),
    "portalbus.producers.receipt": ("Receipt",),
    "portalbus.producers.repair": ("Repair", "repair_outbox"),
    "portalbus.producers.settings": ("Bounds",),
    "portalbus.producers.status": ("PortalStatus",),
    "portalbus.producers.undeliverable": ("Undeliverable",),
    "portalbus.schemas.errors": (
        "EventRefused",
        "OutboxDamaged",
        "OutboxFull",
        "OutboxUnavailable",
        "PortalClosed",
        "PortalbusError",
    ),
    "portalbus.schemas.identifiers": ("new_event_id", "new_public_code"),
    "portalbus.schemas.models": (
        "Attachment",
        "BodyFormat",
        "CaseStep",
        "CaseUrgency",
        "Channel",
        "Classification",
        "DirectiveAction",
        "DirectivePublished",
        "Diversion",
        "DocumentUrgency",
        "FeedbackProgressed",
        "FeedbackReceived",
        "FeedbackResolved",
        "Outcome",
        "RefusalReason",
        "Relation",
        "RelationKind",
        "Verdict",
        "VerdictStatus",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncPortal",
    "Attachment",
    "BodyFormat",
    "Bounds",
    "CaseStep",
    "CaseUrgency",
    "Channel",
    "Classification",
    "DirectiveAction",
    "DirectivePublished",
    "Diversion",
    "DocumentUrgency",
    "EventRefused",
    "FeedbackProgressed",
    "FeedbackReceived",
    "FeedbackResolved",
    "OutboxDamaged",
    "OutboxFull",
    "OutboxUnavailable",
    "Outcome",
    "PortalClosed",
    "PortalStatus",
    "Portal",
    "PortalbusError",
    "Receipt",
    "RefusalReason",
    "Relation",
    "RelationKind",
    "Repair",
    "Undeliverable",
    "Verdict",
    "VerdictStatus",
    "from_cloudevent",
    "new_event_id",
    "new_public_code",
    "repair_outbox",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
