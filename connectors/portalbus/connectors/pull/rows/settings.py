"""What the kinds that read tables need to be told."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field

from portalbus.connectors.pull.config import PortalConfig
from portalbus.schemas.models import DirectivePublished, FeedbackReceived, FeedbackResolved


def as_list(value: object) -> object:
    """A text alone stands for a list of one."""
    return [value] if isinstance(value, str) else value


class RowsConfig(PortalConfig):
    """Settings of a table.

    A row `brings` a directive, or a feedback together with its answer once it has one. `key` names the columns that
    tell rows apart for good (the database's own key, not a row number); unless given, it is `id`, `ma` or `ma_so`.
    `text` is `tcvn3` where letters of ABC fonts were stored as if they were Latin ones.
    """

    event_types: ClassVar[tuple[type[BaseModel], ...]] = (DirectivePublished, FeedbackReceived, FeedbackResolved)

    brings: Literal["directives", "feedback"] = "directives"
    key: Annotated[tuple[str, ...], BeforeValidator(as_list), Field(max_length=8)] = ()
    text: Literal["unicode", "tcvn3"] = "unicode"
