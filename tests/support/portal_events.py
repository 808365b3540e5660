"""Valid payloads of the portal H26/www, for tests of the SDK."""

from __future__ import annotations

from datetime import UTC, date, datetime

from portalbus.schemas.identifiers import new_public_code
from portalbus.schemas.models import (
    BodyFormat,
    Channel,
    DirectiveAction,
    DirectivePublished,
    FeedbackReceived,
)


def feedback(number: int, text: str = "Đèn đường trên phố hỏng đã ba tuần.", agency: str = "H26") -> FeedbackReceived:
    """A feedback whose case id holds the number."""
    return FeedbackReceived(
        case_id=f"{agency}-2026-{number:06d}",
        public_code=new_public_code(),
        regime="R2",
        category=1,
        channel=Channel.WEB,
        received_at=datetime.now(UTC),
        addressed_to=agency,
        subject="Đèn đường hỏng",
        content=text,
        language="vi",
    )


def directive(number: int, version: int = 1) -> DirectivePublished:
    """A directive; version 1 publishes it, later ones revise it."""
    return DirectivePublished(
        action=DirectiveAction.PUBLISH if version == 1 else DirectiveAction.REVISE,
        directive_id=f"ct-{number}",
        version=version,
        number=f"{number}/CT-UBND",
        document_type="CT",
        title="Về việc chiếu sáng công cộng",
        body="Các sở, ban, ngành kiểm tra hệ thống chiếu sáng.",
        body_format=BodyFormat.TEXT,
        language="vi",
        issued_on=date(2026, 11, 20),
        canonical_url=f"https://hanoi.gov.vn/van-ban/{number}",
    )
