"""What the centre says that is no judgement."""

from __future__ import annotations

from dataclasses import dataclass

from portalbus.schemas.models import Model
from portalbus.schemas.notices import source_key
from portalbus.schemas.topics import verdicts_of


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice: the record that says it (one of `schemas.notices.NOTICES`), its topic, and its key."""

    topic: str
    key: str
    record: Model


def to_source(agency: str, portal: str, record: Model) -> Notice:
    """A notice to one source: its SDK hears it on `verdict.<agency>`."""
    return Notice(verdicts_of(agency), source_key(agency, portal), record)
