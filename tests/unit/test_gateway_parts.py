"""The small parts of the gateway: keys, bodies, modes, limits, texts, examples, and how an event is judged."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import Request
from structlog.testing import capture_logs

from bad_payloads import bad_payloads
from portal_events import directive, feedback
from portalbus.connectors.gateway.bodies import parsed
from portalbus.connectors.gateway.database import KEYS, open_database
from portalbus.connectors.gateway.documentation import Documentation
from portalbus.connectors.gateway.gate import Gate
from portalbus.connectors.gateway.judging import Accepted, Refused, judged
from portalbus.connectors.gateway.keys import ApiKey, KeyRing, add_key, list_keys, revoke_key
from portalbus.connectors.gateway.messages import Mode, attributes, mode_of, read_message
from portalbus.connectors.gateway.problems import Refusal, own_problems, problem_of_event
from portalbus.connectors.gateway.serve import CannotServe, check_address
from portalbus.connectors.gateway.settings import Settings
from portalbus.connectors.web.proxies import proxies_from_environment, proxies_of
from portalbus.producers import EventRefused, Portal, new_event_id
from portalbus.schemas.filled_texts import LANGUAGES
from portalbus.schemas.models import Payload

AT = datetime(2026, 11, 22, tzinfo=UTC)
KEY = ApiKey("0123456789ab", "H26", "www", "", None, AT, None)
OF_ALL = ApiKey("0123456789ac", "H26", None, "", None, AT, None)


def event(payload: Payload | None = None, **attributes: object) -> dict[str, object]:
    said = payload or feedback(1)
    return {
        "specversion": "1.0",
        "id": new_event_id(),
        "source": "/H26/www",
        "type": f"portalbus.events.{said.event_type}",
        "data": said.model_dump(mode="json"),
        **attributes,
    }


def refused(said: object, key: ApiKey = KEY, size: int = 1_000) -> list[tuple[str, str]]:
    found = judged(said, key, size)
    assert isinstance(found, Refused), found
    return [(finding.rule, finding.path) for finding in found.findings]


def test_a_key_is_found_until_it_is_revoked_and_its_secret_lies_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    desk, gateway = open_database(path, KEYS), open_database(path, KEYS)
    now = [0.0]
    ring = KeyRing(gateway, clock=lambda: now[0])
    key = add_key(desk, "H26", "www", note="vnpt")
    found = ring.find(key)
    assert found is not None
    assert (found.agency, found.portal, found.note) == ("H26", "www", "vnpt")
    secret = key.split("_", 2)[2]
    assert not [file for file in tmp_path.iterdir() if secret.encode() in file.read_bytes()]
    for wrong in (key[:-1], key + "A", key.upper(), "", "pbk_", f"pbk_{'0' * 12}_{'A' * 43}", "x" * 10_000):
        assert ring.find(wrong) is None
    assert revoke_key(desk, found.id)
    assert not revoke_key(desk, found.id)
    now[0] += 1
    assert ring.find(key) is None
    assert [one.revoked_at is None for one in list_keys(desk)] == [False]


def test_a_key_that_is_refused_is_named_in_the_log_by_its_id_alone(tmp_path: Path) -> None:
    desk = open_database(tmp_path / "keys.sqlite", KEYS)
    key = add_key(desk, "H26", "www")
    key_id, secret = key.split("_", 2)[1:]
    assert revoke_key(desk, key_id)
    gate = Gate(Settings("", "", tmp_path), KeyRing(desk))
    with capture_logs() as logs:
        for presented in (key, "nonsense"):
            headers = [(b"authorization", f"Bearer {presented}".encode())]
            with pytest.raises(Refusal, match="key-unknown"):
                gate.admit(Request({"type": "http", "headers": headers, "client": ("192.0.2.1", 1)}))
    assert [(line["event"], line["key"]) for line in logs] == [
        ("gateway.key-refused", key_id),
        ("gateway.key-refused", None),
    ]
    assert secret not in str(logs)


@pytest.mark.parametrize(("agency", "portal"), [("h26", "www"), ("", None), ("H26", "Not A Portal"), ("H26", "")])
def test_a_key_is_for_an_agency_and_a_portal_that_can_be(tmp_path: Path, agency: str, portal: str | None) -> None:
    with pytest.raises(ValueError):
        add_key(open_database(tmp_path / "keys.sqlite", KEYS), agency, portal)


@pytest.mark.parametrize(
    ("content_type", "mode"),
    [
        ("application/cloudevents+json", Mode.STRUCTURED),
        ("Application/CloudEvents+JSON; charset=UTF-8", Mode.STRUCTURED),
        ('application/cloudevents-batch+json; charset="utf-8"', Mode.BATCH),
        ("application/json", None),
        ("application/cloudevents+json; charset=windows-1258", None),
        ("application/cloudevents+xml", None),
        ("text/plain", None),
        ("", None),
    ],
)
def test_the_content_type_says_how_events_lie_in_a_request(content_type: str, mode: Mode | None) -> None:
    headers = Headers({"content-type": content_type})
    if mode is None:
        with pytest.raises(Refusal) as caught:
            mode_of(headers)
        assert caught.value.rule == "gateway.content-type"
    else:
        assert mode_of(headers) is mode


def test_binary_mode_reads_attributes_from_headers_with_percent_encoded_text() -> None:
    headers = Headers(
        {"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "7", "ce-correlationid": "ph%E1%BA%A3n"}
    )
    assert mode_of(headers) is Mode.BINARY
    message = read_message(Mode.BINARY, headers, b'{"a":1}', 1)
    assert message.events == [{"specversion": "1.0", "id": "7", "correlationid": "phản", "data": {"a": 1}}]


@pytest.mark.parametrize(
    "raw",
    [[(b"ce-id", b"1"), (b"ce-id", b"2")], [(b"ce-id", b"%ff%fe")], [(b"ce-data", b"{}")], [(b"ce-id", b"x" * 2_000)]],
)
def test_headers_that_cannot_be_read_are_named(raw: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refusal) as caught:
        attributes(Headers(raw=raw))
    assert caught.value.rule == "gateway.header"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "gateway.not-json"),
        (b"{", "gateway.not-json"),
        (b'{"a": NaN}', "gateway.not-json"),
        (b'{"a": Infinity}', "gateway.not-json"),
        (b'{"a": "\xff"}', "gateway.not-json"),
        (b'{"a": "\\ud800"}', "gateway.not-json"),
        (b"[" * 100_000, "gateway.too-deep"),
        (b'{"a":' * 50_000, "gateway.too-deep"),
    ],
)
def test_a_body_that_is_no_json_is_refused(body: bytes, rule: str) -> None:
    with pytest.raises(Refusal) as caught:
        parsed(body)
    assert caught.value.rule == rule


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_read_or_refused(body: bytes) -> None:
    try:
        value = parsed(body)
    except Refusal:
        return
    assert isinstance(judged(value, KEY, len(body)), Refused)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(["data", "id", "time", "type", "source", "specversion", "correlationid", "traceparent", ""]),
)
def test_whatever_stands_in_a_part_of_an_event_it_is_judged(value: object, part: str) -> None:
    said = {**event(), part: value} if part else value
    found = judged(said, KEY, 100_000)
    if isinstance(found, Refused):
        for language in LANGUAGES:
            assert json.dumps(problem_of_event(found.findings, found.event_type, language))


def test_the_portal_comes_from_the_source_and_the_agency_from_the_key() -> None:
    def portal(source: str, key: ApiKey) -> str:
        found = judged(event(source=source), key, 1_000)
        assert isinstance(found, Accepted), found
        return found.portal

    assert [portal(source, KEY) for source in ("/H26/www", "H26/www", "/H26", "/h26/www/")] == ["www"] * 4
    assert portal("/H26/dichvucong", OF_ALL) == "dichvucong"
    assert refused(event(source="/H29/www")) == [("lane.agency-mismatch", "/source")]
    assert refused(event(source="/H26/other")) == [("gateway.portal-not-yours", "/source")]
    for source in ("/H26", "/H26/", "/H26/a/b", "/H26/Not A Portal", "/H26/" + "a" * 65):
        assert refused(event(source=source), OF_ALL) == [("schema.format", "/source")]


def test_pointers_lead_into_the_cloudevent() -> None:
    data = {**feedback(1).model_dump(mode="json"), "regime": "R9"}
    assert refused(event(data=data)) == [("schema.format", "/data/regime")]
    assert refused(event(id="7")) == [("schema.format", "/id")]
    assert refused(event(time="2026-11-22T08:00:00")) == [("schema.time-without-zone", "/time")]
    assert refused(event(type="portalbus.events.Nothing")) == [("schema.value-not-allowed", "/type")]
    assert refused(event(correlationid="x" * 200)) == [("schema.too-long", "/correlationid")]
    assert refused(event(traceparent="00-1")) == [("schema.format", "/traceparent")]
    assert refused(event(datacontenttype="text/xml")) == [("schema.value-not-allowed", "/datacontenttype")]
    assert refused({}) == [
        ("schema.field-missing", f"/{name}") for name in ("specversion", "id", "source", "type", "data")
    ]
    assert refused([1]) == [("schema.value", "")]


def test_what_lies_more_than_five_minutes_ahead_is_refused_at_once_and_told_how_to_mend_it() -> None:
    def ahead(minutes: float) -> str:
        return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()

    far = event(time=ahead(5.5))
    data = {**feedback(1).model_dump(mode="json"), "received_at": ahead(5.5)}
    assert refused(far) == [("time.implausible", "/time")]
    assert refused(event(data=data)) == [("time.implausible", "/data/received_at")]
    assert isinstance(judged(event(time=ahead(4.5)), KEY, 1_000), Accepted)
    found = judged(far, KEY, 1_000)
    assert isinstance(found, Refused)
    words = {"vi": "5 phút", "en": "more than 5 minutes", "zh": "5 分钟"}
    for language in LANGUAGES:
        problem = problem_of_event(found.findings, found.event_type, language)
        assert (problem["status"], problem["rule"]) == (422, "time.implausible")
        assert words[language] in problem["errors"][0]["mend"]


def test_an_object_with_a_hundred_thousand_members_is_refused_without_looking_at_each() -> None:
    data = {**feedback(1).model_dump(mode="json"), **{f"x{number}": 1 for number in range(100_000)}}
    found = refused(event(data=data), size=1_000_000)
    assert len(found) == 20
    assert {rule for rule, _ in found} == {"schema.field-unknown"}
    nested = {**directive(1).model_dump(mode="json"), "attachments": [dict.fromkeys(map(str, range(50_000)))]}
    assert refused(event(directive(1), data=nested), size=1_000_000)[0][0] == "schema.field-unknown"


def test_a_refusal_shows_a_right_value_for_the_place() -> None:
    data = {**feedback(1).model_dump(mode="json"), "regime": "R9", "channel": 5, "received_at": "gestern"}
    found = judged(event(data=data), KEY, 1_000)
    assert isinstance(found, Refused)
    problem = problem_of_event(found.findings, found.event_type, "en")
    examples = {error["pointer"]: error["example"] for error in problem["errors"]}
    assert examples["#/data/channel"] in ("WEB", "APP", "EMAIL", "PHONE", "POST", "IN_PERSON", "OTHER")
    assert examples["#/data/regime"].startswith("R")
    good = {**data, **{pointer.removeprefix("#/data/"): value for pointer, value in examples.items()}}
    assert isinstance(judged(event(data=good), KEY, 1_000), Accepted)


def test_two_hundred_bad_payloads_meet_the_same_rules_at_the_gateway_and_in_the_sdk(tmp_path: Path) -> None:
    portal = Portal("H26", "www", outbox=tmp_path, deliver=False)
    bad = bad_payloads()
    assert len(bad) >= 200
    assert len({one.name for one in bad}) == len(bad)
    for one in bad:
        said = event(one.base, data=one.data)
        with pytest.raises(EventRefused) as caught:
            portal.publish_cloudevent(said)
        found = judged(said, KEY, 1_000)
        assert isinstance(found, Refused), one.name
        assert [finding.rule for finding in found.findings] == [finding.rule for finding in caught.value.findings], (
            one.name
        )
    assert portal.status().last_sequence == 0


@pytest.mark.parametrize("name", sorted(own_problems()))
def test_a_problem_speaks_three_languages_with_the_same_places(name: str) -> None:
    status, rule = own_problems()[name]
    assert 400 <= status < 600
    for texts in (rule.what, rule.how):
        assert set(texts) == set(LANGUAGES)
        places = [{place for _, place, _, _ in Formatter().parse(texts[language]) if place} for language in LANGUAGES]
        assert places[0] == places[1] == places[2]


def test_every_problem_of_the_gateway_is_raised_somewhere() -> None:
    folder = files("portalbus.connectors.gateway")
    table = tomllib.loads(folder.joinpath("problems.toml").read_text(encoding="utf-8"))
    code = "".join(path.read_text() for path in Path(str(folder)).rglob("*.py"))
    assert [name for name in table if f'"{name}"' not in code] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_of_rules_has_every_anchor_a_problem_leads_to(language: str) -> None:
    page = Documentation().rules(language)
    for name in (*own_problems(), "schema.format", "lane.agency-mismatch", "event.id-reused"):
        assert f'id="{name}"' in page
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page), "nothing from elsewhere"


def test_keys_do_not_cross_a_network_in_the_clear_unless_somebody_says_so() -> None:
    def check(host: str, *, plain: bool = False, **changes: str) -> None:
        check_address(Settings("", "", Path(), host=host, **changes), plain_http=plain)  # type: ignore[arg-type]

    check("127.0.0.1")
    check("localhost")
    check("::1")
    check("0.0.0.0", plain=True)
    check("0.0.0.0", tls_certificate="a.pem", tls_key="b.pem")
    for host in ("0.0.0.0", "10.0.0.7", "gateway.example.gov.vn"):
        with pytest.raises(CannotServe):
            check(host)
    with pytest.raises(CannotServe):
        check("127.0.0.1", tls_certificate="a.pem")


def test_trusted_proxies_are_addresses_and_networks() -> None:
    assert proxies_of(" 127.0.0.1, 10.244.0.0/16,,2001:db8::/32 ") == "127.0.0.1,10.244.0.0/16,2001:db8::/32"
    assert proxies_from_environment({}) == proxies_from_environment({"PORTALBUS_TRUSTED_PROXIES": ""}) == "127.0.0.1"


@pytest.mark.parametrize("text", ["traefik", "10.0.0.0/33", "10.0.0.1/8", "*", "127.0.0.1;10.0.0.1"])
def test_a_proxy_that_would_never_be_recognised_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither an address nor a network"):
        proxies_of(text)
