"""What a GeoReport v2 server needs to be told."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator

from portalbus.connectors.pull import dates
from portalbus.connectors.pull.config import FeedbackPortalConfig, Seconds, Strict
from portalbus.schemas.models import RefusalReason
from portalbus.schemas.rules import is_web_address

DAY = 86_400.0


class Refusal(Strict):
    """Words in a closing note that say the request was refused, and for what reason. `says` is a regular expression."""

    says: re.Pattern[str]
    reason: RefusalReason

    @field_validator("says", mode="before")
    @classmethod
    def _ignores_case(cls, says: Any) -> Any:
        return re.compile(says, re.IGNORECASE) if isinstance(says, str) else says


USUAL_REFUSALS = tuple(
    Refusal(says=says, reason=reason)
    for says, reason in (
        (r"không thuộc thẩm quyền|outside (of )?our jurisdiction|not (in )?our jurisdiction", "OTHER_GROUND"),
        (r"trùng (lặp|với)|duplicate", "DUPLICATE"),
        (r"không rõ (nội dung|địa điểm)|thiếu thông tin|unclear|not enough information", "UNCLEAR_CONTENT"),
        (r"^\W*(từ chối|không tiếp nhận|rejected|refused|declined|invalid|spam)", "OTHER_GROUND"),
    )
)


def _moment(value: Any) -> Any:
    return dates.moment(value) if isinstance(value, str) else value


class Open311Config(FeedbackPortalConfig):
    """Settings of a GeoReport v2 server.

    `address` is its base, to which `/requests.json` is added; `format` is `xml` where there is no JSON. `regime` and
    `category` are those of the cases. The first pass begins at `begin`, or `look_back` ago. Requests are asked for by
    time, at most `window` at once; a server answers at most `page_limit` of them. `recheck` open cases are asked for
    in each pass. The first of `refusals` that a closing note says makes the case refused; otherwise it was answered.
    `legal_basis` is what the city's refusals rest on: without one, the bus takes none of them.
    """

    regime: Annotated[str, Field(pattern=r"^R[1-7]$")]
    category: Annotated[int, Field(ge=1, le=8)] = 6
    jurisdiction: str = ""
    api_key: str = Field(default="", repr=False)
    format: Literal["json", "xml"] = "json"
    begin: Annotated[AwareDatetime, BeforeValidator(_moment)] | None = None
    look_back: Annotated[Seconds, Field(ge=60, le=3_650 * DAY)] = 30 * DAY
    overlap: Annotated[Seconds, Field(ge=0, le=30 * DAY)] = 3_600.0
    window: Annotated[Seconds, Field(ge=60, le=90 * DAY)] = 7 * DAY
    page_limit: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    recheck: Annotated[int, Field(ge=0, le=10_000)] = 500
    refusals: tuple[Refusal, ...] = USUAL_REFUSALS
    legal_basis: str | None = None
    robots: bool = True

    @field_validator("address")
    @classmethod
    def _is_web(cls, address: str) -> str:
        if not is_web_address(address) or "?" in address:
            raise ValueError("an address begins with https:// and is the base of the API, such as https://…/open311/v2")
        return address.rstrip("/")

    def beginning(self, now: datetime) -> float:
        """Where the first pass begins, in seconds since 1970."""
        return self.begin.timestamp() if self.begin else now.timestamp() - self.look_back
