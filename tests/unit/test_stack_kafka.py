"""The id of a new Kafka cluster."""

from __future__ import annotations

import uuid

import pytest

from portalbus.infra.stack.kafka import cluster_id


def test_no_id_of_a_cluster_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=b"\x08" + bytes(15))])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(drawn))
    assert cluster_id() == "CAAAAAAAAAAAAAAAAAAAAA"
