"""A decoder that asks for a schema before it gives up on a record: versions are registered before they are used."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from portalbus.schemas.registration import LaneSchemas
from portalbus.streams.decoding.contents import UNKNOWN_SCHEMA
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.judgement.docket import Content, Unreadable

LEAST_PAUSE_SECONDS = 1.0
PAUSE_TIMES = 20.0
"""A look that took so long is followed by a pause of so many times that: a registry that is away costs a twentieth."""


class LearningDecoder:
    """Reads like its decoder, but looks for missing schemas where a record names one that is not known.

    Without it, the first records under a new version would be parked until the worker has learned it by itself, and
    the limit on parked records would take them for a bad deployment. What anybody writes there costs one look a second.
    """

    def __init__(self, decoder: Decoder, schemas: LaneSchemas, look: Callable[[LaneSchemas], None]) -> None:
        self._decoder = decoder
        self._schemas = schemas
        self._look = look
        self._look_at = 0.0

    def read(self, values: Sequence[bytes | None]) -> list[Content]:
        """What each value says; never raises because of what is in it."""
        if not self._schemas.missing:  # nothing that it could learn
            return self._decoder.read(values)
        known = len(self._schemas.known)
        contents = self._decoder.read(values)
        unknown = [place for place, content in enumerate(contents) if _names_unknown_schema(content)]
        if unknown and self._has_learned(known):
            again = self._decoder.read([values[place] for place in unknown])
            for place, content in zip(unknown, again, strict=True):
                contents[place] = content
        return contents

    def close(self) -> None:
        """Ends the decoder."""
        self._decoder.close()

    def _has_learned(self, known: int) -> bool:
        """True when more is known than was, by this look or by another thread's meanwhile."""
        if self._schemas.missing and (began := time.monotonic()) >= self._look_at:
            self._look(self._schemas)
            ended = time.monotonic()
            self._look_at = ended + max(LEAST_PAUSE_SECONDS, PAUSE_TIMES * (ended - began))
        return len(self._schemas.known) > known


def _names_unknown_schema(content: Content) -> bool:
    return isinstance(content, Unreadable) and content.rule == UNKNOWN_SCHEMA
