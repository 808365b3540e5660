"""What a record says, and how that is handed from the decoder's process to the worker's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from portalbus.schemas.codec import Decoded, WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import PAYLOADS, Envelope, Event, Model
from portalbus.streams.judgement.docket import Content, Unreadable

DEADLY = "record.crashed-worker"
"""The rule for a record on which its decoder dies."""

UNKNOWN_SCHEMA = "record.schema-not-allowed"
"""The rule for a record under a schema id that is not known."""

TOGETHER = 250
"""Values that are answered at once: while the worker unpacks some, the decoder reads the next."""

_NEW = object.__new__
_SET = object.__setattr__
_MODELS: tuple[type[Model], ...] = (Envelope, *PAYLOADS.values())
_FIELDS = {model: frozenset(model.model_fields) for model in _MODELS}


class Reads(Protocol):
    """What reads values, whatever is in them."""

    def read(self, values: Sequence[bytes | None]) -> list[Content]:
        """What each value says."""


class Packed(NamedTuple):
    """An event as plain fields, all of them valid: unpickling these takes a third of what unpickling models does."""

    envelope: dict[str, Any]
    event_type: str
    payload: dict[str, Any]
    content_hash: bytes


def content_of(value: bytes | None, writers: WriterSchemas) -> Content:
    """What a value says; never raises."""
    try:
        return read(value, writers)
    except UndecodableRecord as error:
        return Unreadable(error.rule, error.detail)
    except Exception as error:  # whatever hostile bytes lead to is parked; the lane goes on
        return Unreadable("record.undecodable", f"{type(error).__name__} while reading")


def pack(content: Content) -> Content | Packed:
    """What goes through the pipe."""
    if isinstance(content, Decoded):
        event = content.event
        return Packed(event.envelope.__dict__, event.payload.event_type, event.payload.__dict__, content.content_hash)
    return content


def unpack(packed: Content | Packed) -> Content:
    """What came out of the pipe: validated where it was packed, and not a second time."""
    if isinstance(packed, Packed):
        payload = _model(PAYLOADS[packed.event_type], packed.payload)
        return Decoded(Event(_model(Envelope, packed.envelope), payload), packed.content_hash)
    return packed


def _model(model: type[Model], fields: dict[str, Any]) -> Any:
    made = _NEW(model)
    _SET(made, "__dict__", fields)
    _SET(made, "__pydantic_fields_set__", set(_FIELDS[model]))
    _SET(made, "__pydantic_extra__", None)
    _SET(made, "__pydantic_private__", None)
    return made
