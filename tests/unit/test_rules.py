"""Each stateless rule at its edges; the examples in schemas/ show each of them broken once."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from portalbus.schemas import example_files, rules
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.findings import Finding
from portalbus.schemas.models import PAYLOADS, DirectivePublished, Event, FeedbackReceived, Outcome, Payload
from portalbus.schemas.rules import Facts, findings, is_web_address, shape_findings

DIRECTORY = AgencyDirectory.read()
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
FACTS = Facts(DIRECTORY, NOW)


def event(record: str, /, *, envelope: dict[str, Any] | None = None, **payload: Any) -> Event:
    """The first valid example of a record, with some fields changed."""
    example = next(item for item in example_files.valid() if item.record == record).event()
    changed = PAYLOADS[record].model_validate({**example.payload.model_dump(), **payload})
    return Event(envelope=example.envelope.model_copy(update=envelope or {}), payload=changed)


def broken(found: Event, facts: Facts = FACTS) -> list[tuple[str, str]]:
    return [(finding.rule, finding.path) for finding in findings(found, facts)]


def test_the_most_important_finding_comes_first() -> None:
    found = event(
        "DirectivePublished",
        envelope={"agency": "H99"},
        classification="SECRET",
        body="",
        canonical_url="ftp://x",
        title="a\x00",
    )
    assert broken(found) == [
        ("agency.unknown", "/envelope/agency"),
        ("directive.classified", "/classification"),
        ("directive.body-empty", "/body"),
        ("text.address-not-web", "/canonical_url"),
        ("text.control-character", "/title"),
    ]


@pytest.mark.parametrize("record", PAYLOADS)
def test_every_payload_has_its_rules_and_every_rule_a_sentence(record: str) -> None:
    applied = rules.RULES[PAYLOADS[record]]
    assert applied[0] is rules.agency_known
    assert rules.times_plausible in applied and rules.text_is_clean in applied
    assert all((rule.__doc__ or "").strip().endswith(".") for rule in applied)


@pytest.mark.parametrize(
    ("moment", "agency", "expected"),
    [
        # Midnight of 1 July 2025 in Viet Nam is 17:00 UTC of the day before.
        (datetime(2025, 6, 30, 16, 59, 59, tzinfo=UTC), "H02", []),
        (datetime(2025, 6, 30, 17, 0, tzinfo=UTC), "H02", ["agency.abolished"]),
        (datetime(2025, 7, 1, 0, 0, tzinfo=timezone(timedelta(hours=7))), "H02", ["agency.abolished"]),
        (datetime(2025, 6, 30, 17, 0, tzinfo=UTC), "H05", []),
    ],
)
def test_an_agency_ends_at_midnight_in_viet_nam(moment: datetime, agency: str, expected: list[str]) -> None:
    found = event("FeedbackReceived", envelope={"agency": agency, "occurred_at": moment}, received_at=moment)
    assert isinstance(found.payload, FeedbackReceived)
    own = found.payload.model_copy(update={"case_id": f"{agency}-2025-0001", "addressed_to": "H26"})
    facts = Facts(DIRECTORY, moment)
    assert [rule for rule, _ in broken(Event(envelope=found.envelope, payload=own), facts)] == expected


def test_an_abolished_agency_is_told_its_successors() -> None:
    found = next(iter(findings(event("FeedbackReceived", addressed_to="G07"), FACTS)))
    assert found.params == {"code": "G07", "successors": "G09, G03, G18, G01"}
    assert "G09, G03, G18, G01" in found.message.vi


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_a_time_may_be_a_day_ahead_and_no_second_more(seconds: int) -> None:
    moment = NOW + timedelta(days=1, seconds=seconds)
    found = event("FeedbackReceived", received_at=moment)
    assert broken(found) == ([("time.implausible", "/received_at")] if seconds > 0 else [])


@pytest.mark.parametrize(("moment", "fine"), [("1944-12-31T23:59:59Z", False), ("1945-01-01T00:00:00Z", True)])
def test_a_time_before_the_state_was_founded_is_implausible(moment: str, fine: bool) -> None:
    assert (broken(event("FeedbackReceived", received_at=moment)) == []) is fine


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
def test_times_at_the_ends_of_the_calendar_are_judged_and_not_crashed_on(zone: timezone) -> None:
    for moment in (datetime(1, 1, 1, tzinfo=zone), datetime(9999, 12, 31, 23, 59, tzinfo=zone)):
        assert ("time.implausible", "/received_at") in broken(event("FeedbackReceived", received_at=moment))


@pytest.mark.parametrize("classification", ["RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP_SECRET"])
def test_nothing_but_public_may_enter(classification: str) -> None:
    found = event("DirectivePublished", classification=classification)
    assert broken(found) == [("directive.classified", "/classification")]


@pytest.mark.parametrize(
    ("action", "version", "expected"),
    [
        ("PUBLISH", 1, []),
        ("PUBLISH", 2, ["directive.version-action"]),
        ("REVISE", 1, ["directive.version-action"]),
        ("REVISE", 2, []),
        ("WITHDRAW", 1, ["directive.version-action"]),
        ("WITHDRAW", 9, []),
    ],
)
def test_version_one_is_published_and_later_ones_change_it(action: str, version: int, expected: list[str]) -> None:
    found = event("DirectivePublished", action=action, version=version, withdrawal_reason="Ban hành nhầm.")
    assert [rule for rule, _ in broken(found)] == expected


def test_a_withdrawal_needs_a_reason_but_no_body_and_a_publication_the_reverse() -> None:
    withdrawn: dict[str, Any] = {"action": "WITHDRAW", "version": 2, "body": ""}
    assert broken(event("DirectivePublished", **withdrawn, withdrawal_reason="Nhầm.")) == []
    for reason in (None, "", " \t\n"):
        found = event("DirectivePublished", **withdrawn, withdrawal_reason=reason)
        assert broken(found) == [("directive.withdrawal-needs-reason", "/withdrawal_reason")]
    assert broken(event("DirectivePublished", body="  ")) == [("directive.body-empty", "/body")]


@pytest.mark.parametrize(
    ("effective", "expires", "fine"),
    [("2026-12-01", "2026-12-01", True), ("2026-12-01", "2026-11-30", False), (None, "2020-01-01", True)],
)
def test_a_directive_does_not_expire_before_it_takes_effect(effective: str, expires: str, fine: bool) -> None:
    found = event("DirectivePublished", effective_on=effective, expires_on=expires)
    assert (broken(found) == []) is fine


def test_a_document_type_is_one_of_the_list_and_only_a_code_is_repeated() -> None:
    assert {"CT", "QD", "ND", "TIN"} <= rules.document_types()
    assert len(rules.document_types()) >= 37
    for given_type, shown in (("CHITHI", "CHITHI"), ("Nguyễn Văn A 091234", "…")):
        finding = next(iter(findings(event("DirectivePublished", document_type=given_type), FACTS)))
        assert finding.rule == "directive.type-unknown"
        assert finding.params == {"code": shown}


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("https://hanoi.gov.vn/a?b=c#d", True),
        ("http://127.0.0.1:8080/x", True),
        ("https://xn--h-0ja.gov.vn", True),
        ("HTTPS://HANOI.GOV.VN", True),
        ("//hanoi.gov.vn/x", False),
        ("/van-ban/1", False),
        ("https:///x", False),
        ("https://", False),
        ("ftp://hanoi.gov.vn", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("file:///etc/passwd", False),
        ("https://user:pass@hanoi.gov.vn/", False),
        ("https://user@hanoi.gov.vn/", False),
        ("https://[::1", False),
        ("https://hanoi.gov.vn:99999/", False),
        ("https://hanoi.gov.vn:x/", False),
        ("https://ha noi.gov.vn/", False),
        ("https://hanoi.gov.vn/a b", False),
        ("https://hanoi.gov.vn/\njavascript:alert(1)", False),
        (" https://hanoi.gov.vn/", False),
        ("https://hanoi.gov.vn\\@evil.example/", False),
        ("https://cổng.gov.vn/văn-bản?số=15", True),
        ("", False),
    ],
)
def test_an_address_is_a_whole_web_address(address: str, fine: bool) -> None:
    assert is_web_address(address) is fine


@given(st.text(max_size=200))
def test_any_text_is_judged_as_an_address_without_a_crash(text: str) -> None:
    assert is_web_address("https://" + text) in (True, False)


def test_a_case_id_begins_with_the_whole_code_of_its_receiver() -> None:
    for agency, case_id, fine in (
        ("H26", "H26-2026-0001", True),
        ("H26", "H27-2026-0001", False),
        ("H26", "H26.01-2026-0001", False),
        ("H26.01", "H26.01-2026-0001", True),
    ):
        found = event("FeedbackReceived", envelope={"agency": agency}, case_id=case_id)
        assert (broken(found) == []) is fine, (agency, case_id)


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_needs_its_own_things(outcome: Outcome) -> None:
    bare = event("FeedbackResolved", outcome=outcome, answer=" ", reason_code=None, reason_text="x" * 19)
    needed = {rule for rule, _ in broken(bare)}
    assert (
        needed
        == {
            Outcome.ANSWERED: {"answer.needs-text"},
            Outcome.ACCEPTED_AMEND: {"answer.needs-text"},
            Outcome.RECOMMENDED_TO_COMPETENT: {"answer.needs-text", "answer.needs-competent-agency"},
            Outcome.INSUFFICIENT_BASIS: {"refusal.needs-reason-code", "refusal.needs-reason-text"},
            Outcome.REJECTED: {"refusal.needs-reason-code", "refusal.needs-reason-text"},
            Outcome.TRANSFERRED_OUT: {
                "refusal.needs-reason-code",
                "refusal.needs-reason-text",
                "answer.needs-competent-agency",
            },
            Outcome.DIVERTED: {"refusal.needs-reason-code", "case.diverted-takes-no-text"},
            Outcome.WITHDRAWN: set(),
        }[outcome]
    )


@pytest.mark.parametrize(("length", "fine"), [(19, False), (20, True)])
def test_a_reason_has_at_least_twenty_characters_without_the_spaces_around(length: int, fine: bool) -> None:
    reason = f"  {'Nội dung này chưa nêu rõ.'[:length]}  "
    found = event("FeedbackResolved", outcome="REJECTED", reason_code="UNCLEAR_CONTENT", reason_text=reason)
    assert (broken(found) == []) is fine


@pytest.mark.parametrize("character", [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))])
def test_control_characters_but_newline_and_tab_are_refused(character: str) -> None:
    found = broken(event("FeedbackReceived", content=f"Đèn hỏng{character}."))
    assert found == ([] if character in "\n\t" else [("text.control-character", "/content")])


@pytest.mark.parametrize("text", ["Kết nối", "a\u00a0b", "电子 ポータル", "👩\u200d🌾", "\u3000", "\ufeffa", "①½"])
def test_every_other_character_is_welcome(text: str) -> None:
    assert broken(event("FeedbackReceived", content=text)) == []


def test_text_at_fault_is_found_wherever_it_is() -> None:
    found = event(
        "DirectivePublished",
        signer="a\u0300",
        attachments=[
            {"name": "ok", "url": "https://x.vn/a", "media_type": "a/b", "size": 1, "sha256": "0" * 64},
            {"name": "b\x1b", "url": "https://x.vn/b", "media_type": "a/b", "size": 1, "sha256": "0" * 64},
        ],
        relations=[{"kind": "AMENDS", "target": "e\u0301\x07"}],
    )
    assert sorted(broken(found)) == [
        ("text.control-character", "/attachments/1/name"),
        ("text.control-character", "/relations/0/target"),
        ("text.not-nfc", "/relations/0/target"),
        ("text.not-nfc", "/signer"),
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=2, max_size=2))
def test_looking_at_all_texts_as_one_finds_what_looking_at_each_finds(two: list[str]) -> None:
    subject, content = two
    found = set(broken(event("FeedbackReceived", subject=subject, content=content)))
    wrong = {
        ("text.not-nfc", f"/{name}")
        for name, text in (("subject", subject), ("content", content))
        if unicodedata.normalize("NFC", text) != text
    } | {
        ("text.control-character", f"/{name}")
        for name, text in (("subject", subject), ("content", content))
        if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text)
    }
    assert found == wrong


def shape(record: str, **payload: Any) -> list[Finding]:
    document = next(item for item in example_files.valid() if item.record == record).document["payload"]
    with pytest.raises(ValidationError) as error:
        PAYLOADS[record].model_validate({**document, **payload})
    return list(shape_findings(error.value))


def test_each_field_at_fault_is_one_finding_with_its_place() -> None:
    found = shape("FeedbackReceived", category=0, channel="FAX", subject="x" * 501, public_code="x")
    assert [(item.rule, item.path) for item in found] == [
        ("schema.format", "/public_code"),
        ("schema.value", "/category"),
        ("schema.value-not-allowed", "/channel"),
        ("schema.too-long", "/subject"),
    ]


def test_the_name_of_an_unknown_field_is_the_senders_text_and_is_bounded() -> None:
    (long,) = shape("FeedbackReceived", **{"x" * 10_000: 1})
    assert len(long.path) <= 65
    (odd,) = shape("FeedbackReceived", **{"a\n[forged log line]": 1})
    assert "\n" not in odd.path and "forged" not in odd.explain()
    (pointer,) = shape("FeedbackReceived", **{"a/b~c": 1})
    assert pointer.path == "/a~1b~0c"


def test_the_value_at_fault_is_never_repeated() -> None:
    secret = "Nguyen Van A 0912 345 678"
    for field in ("public_code", "channel", "category", "received_at", "language", "case_id", "area"):
        for finding in shape("FeedbackReceived", **{field: secret}):
            assert secret not in finding.explain()
            assert secret not in finding.message.vi + finding.message.zh


def test_a_half_of_a_surrogate_pair_is_refused_as_a_value() -> None:
    assert [item.rule for item in shape("FeedbackReceived", content="\ud800")] == ["schema.value"]


def test_a_finding_explains_itself_in_one_line() -> None:
    line = Finding("directive.body-empty", "/body").explain()
    assert line == (
        "[directive.body-empty] at /body: The directive has no text. "
        "Fill in body; if there is only a file, put the abstract there and attach the file."
    )


def test_the_legal_day_is_the_day_in_viet_nam() -> None:
    assert Facts(DIRECTORY, datetime(2026, 12, 31, 16, 59, tzinfo=UTC)).today == date(2026, 12, 31)
    assert Facts(DIRECTORY, datetime(2026, 12, 31, 17, 0, tzinfo=UTC)).today == date(2027, 1, 1)


def test_texts_are_found_with_their_places() -> None:
    payload: Payload = next(item for item in example_files.valid() if item.name == "publish-text").event().payload
    places = dict(rules.texts_of(payload))
    assert isinstance(payload, DirectivePublished)
    assert places["/title"] == payload.title
    assert places["/recipients/0"] == payload.recipients[0]
    assert places["/attachments/0/url"] == payload.attachments[0].url
    assert "/action" not in places and "/withdrawal_reason" not in places


def refused_without_law() -> Event:
    found = event("FeedbackResolved", outcome=Outcome.REJECTED, answer=None, reason_code="UNCLEAR_CONTENT")
    words = {"reason_text": "Nội dung chưa nêu rõ địa điểm và thời gian.", "legal_basis": None}
    return Event(envelope=found.envelope, payload=found.payload.model_copy(update=words))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # Decree 137/2024 is in force from 23 October 2024, which begins at 17:00 UTC of the day before.
        (datetime(2024, 10, 22, 16, 59, tzinfo=UTC), []),
        (datetime(2024, 10, 22, 17, 0, tzinfo=UTC), ["refusal.needs-legal-basis"]),
    ],
)
def test_a_rule_holds_from_its_day_on_by_the_time_at_which_the_event_came(
    moment: datetime, expected: list[str]
) -> None:
    found = [rule for rule, _ in broken(refused_without_law(), Facts(DIRECTORY, moment))]
    assert [rule for rule in found if rule != "time.implausible"] == expected


def test_an_installation_says_from_when_on_a_rule_holds_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "rules.toml"
    monkeypatch.setenv("PORTALBUS_RULES", str(own))
    try:
        for days, expected in (("valid_from = 2026-11-23", []), ("valid_from = 2026-11-22", [True])):
            own.write_text(f'["refusal.needs-legal-basis"]\n{days}\n', encoding="utf-8")
            catalogue.cache_clear()
            assert [rule == "refusal.needs-legal-basis" for rule, _ in broken(refused_without_law())] == expected
        for wrong in ('["no.such-rule"]\nvalid_from = 2026-01-01', '["event.duplicate"]\nwhat = "x"', "x = 1"):
            own.write_text(wrong, encoding="utf-8")
            catalogue.cache_clear()
            with pytest.raises(ValueError, match="name a rule of the catalogue"):
                catalogue()
    finally:
        monkeypatch.undo()
        catalogue.cache_clear()
