"""What a portal is told, what it shows of it, and what importing it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import portalbus.producers as sdk
from portalbus.producers import AsyncPortal, Portal
from portalbus.producers.lane_writer import producer_config
from portalbus.producers.settings import Bounds, Settings, settings_from_env

ENVIRONMENT = {
    "PORTALBUS_AGENCY": "H26",
    "PORTALBUS_PORTAL": "mot-cua",
    "PORTALBUS_BOOTSTRAP": "kafka:9093",
    "PORTALBUS_REGISTRY": "https://registry/apis/ccompat/v7",
    "PORTALBUS_OUTBOX": "/var/lib/portalbus",
    "PORTALBUS_HEARTBEAT": "30",
    "PORTALBUS_VERDICTS": "yes",
    "PORTALBUS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "PORTALBUS_KAFKA_SASL_PASSWORD": "very-secret",
}


def test_a_portal_is_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    settings = Portal.from_env(heartbeat=5.0).settings
    assert settings.source == "H26/mot-cua"
    assert (settings.bootstrap, settings.heartbeat, settings.verdicts) == ("kafka:9093", 5.0, True)
    assert settings.kafka == {"security.protocol": "SASL_SSL", "sasl.password": "very-secret"}


def test_how_long_and_how_much_an_outbox_keeps_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert Portal.from_env().settings.bounds == Bounds()
    monkeypatch.setenv("PORTALBUS_KEEP_DAYS", "90")
    assert Portal.from_env().settings.bounds == Bounds(keep_days=90)
    monkeypatch.setenv("PORTALBUS_KEEP_BYTES", "0")
    assert Portal.from_env().settings.bounds == Bounds(keep_days=90, keep_bytes=0)
    assert Portal.from_env(bounds=Bounds(rows=5)).settings.bounds == Bounds(rows=5)


@pytest.mark.parametrize(
    ("name", "said"), [("KEEP_DAYS", "-1"), ("KEEP_DAYS", "thirty"), ("KEEP_BYTES", "1 GiB"), ("KEEP_BYTES", "1.5")]
)
def test_what_is_no_number_of_days_or_bytes_is_named(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"PORTALBUS_{name}"):
        settings_from_env({**ENVIRONMENT, f"PORTALBUS_{name}": said})


def test_what_the_environment_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="PORTALBUS_REGISTRY, PORTALBUS_OUTBOX"):
        settings_from_env({"PORTALBUS_AGENCY": "H26", "PORTALBUS_BOOTSTRAP": "kafka:9093"})


def test_a_portal_shows_no_secret(tmp_path: Path) -> None:
    portal = Portal(
        "H26", bootstrap="kafka:9093", registry_url="http://r", outbox=tmp_path, kafka={"sasl.password": "s3"}
    )
    assert "s3" not in repr(portal) + repr(portal.settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"agency": "Hanoi", "deliver": False}, "agency code"),
        ({"agency": "H26", "portal": "Cổng", "deliver": False}, "1 to 64"),
        ({"agency": "H26"}, "bootstrap and registry_url"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        Portal(outbox=tmp_path, **settings)  # type: ignore[arg-type]


def test_what_the_promises_rest_on_cannot_be_set(tmp_path: Path) -> None:
    settings = Settings(
        "H26", "www", "kafka:9093", "http://r", tmp_path, kafka={"acks": "1", "message.timeout.ms": "5"}
    )
    with pytest.raises(ValueError, match=r"acks, message\.timeout\.ms may not be set"):
        producer_config(settings)


def test_the_sdk_exports_these_names() -> None:
    for name in sdk.__all__:
        assert getattr(sdk, name) is not None
    assert {"Portal", "AsyncPortal", "EventRefused", "DirectivePublished", "Receipt"} <= set(dir(sdk))
    with pytest.raises(AttributeError, match="Porta"):
        sdk.Porta  # noqa: B018


def test_the_awaited_portal_has_the_same_methods() -> None:
    def public(portal: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(portal, inspect.isfunction) if not name.startswith("_")}

    assert public(Portal) - {"before_fork", "after_fork"} == public(AsyncPortal)


def test_importing_the_sdk_loads_neither_clients_nor_codecs() -> None:
    heavy = "{'confluent_kafka', 'fastavro', 'structlog', 'pydantic'}"
    program = (
        f"import sys, portalbus.producers; from portalbus.producers import Portal; print({heavy} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_what_is_given_need_not_be_in_the_environment(tmp_path: Path) -> None:
    found = settings_from_env(
        {"PORTALBUS_BOOTSTRAP": "kafka:9093"}, {"agency": "H26", "registry_url": "", "outbox": tmp_path}
    )
    assert found == {"bootstrap": "kafka:9093", "kafka": {}}
