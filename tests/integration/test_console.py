"""The console: who may see and do what, what each button does in the ledger, and what it says in three languages."""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bus_events import Lane, directive, value_of
from central_process import CentralProcess
from event_stream_reader import events
from ledger_facts import one, rows
from ledger_rows import LedgerRows
from memory_ledger import directory
from office_accounts import PASSWORD, make_account
from office_ledger import GAP, fill_office, owe_answers, raise_alert
from office_visitor import CSRF, Visitor
from portalbus.connectors.central.feeds.feed import directive_entry_id
from portalbus.connectors.central.wording import all_words
from portalbus.connectors.console.accounts import list_accounts, revoke_account
from portalbus.connectors.console.office import PACKAGE
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.models import Event
from portalbus.schemas.registration import SchemaIds, register_all
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.judgement.docket import Unreadable
from portalbus.streams.ledger.alerts import Raise, tell_alerts
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.silence.clock_alerts import judge_clocks

PATHS = ("", "agencies/H26", "agencies/H29", "agencies/H01", "journal", "trace", "coverage", "coverage?key=G22/cd-118")
BROKEN = Unreadable("record.undecodable", "EOFError while decoding")
VIETNAMESE = re.compile(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)


@pytest.fixture(scope="module")
def console(
    ledger_url: str, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CentralProcess]:
    """A console that knows the registry, with an account of each kind."""
    register_all(SchemaRegistry(endpoints.registry_url))
    process = CentralProcess(
        ledger_url,
        tmp_path_factory.mktemp("console") / "central.log",
        *("--registry-url", endpoints.registry_url, "--bootstrap", endpoints.bootstrap, "--logins-per-minute", "1000"),
    )
    process.wait_until()
    make_account(ledger_url, "centre")
    make_account(ledger_url, "hanoi", "H26")
    yield process
    assert process.stop() == 0, process.log.read_text()


@pytest.fixture(scope="module")
def centre(console: CentralProcess) -> Visitor:
    """Somebody of the centre, logged in."""
    return Visitor(console.address, "centre")


@pytest.fixture(scope="module")
def hanoi(console: CentralProcess) -> Visitor:
    """Somebody of H26, logged in."""
    return Visitor(console.address, "hanoi")


@pytest.fixture
def filled(ledger: LedgerRows, ledger_url: str, look: psycopg.Connection[Any]) -> int:
    """A ledger out of step in every way; the lane offset of H26's parked record."""
    return fill_office(ledger, ledger_url)


@pytest.fixture
def look(ledger_url: str, ledger: LedgerRows) -> Iterator[psycopg.Connection[Any]]:
    """A connection to look at what is in the ledger; what the ledger of rows does not empty is emptied here."""
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute(
            "truncate ledger.gap, ledger.gap_closing, ledger.repair, ledger.cadence, ledger.reconciliation,"
            " ledger.lane, ledger.notice, ledger.alert, ledger.parking_decision, ledger.step, ledger.relayed,"
            " console.action"
        )
        yield connection


# ---- who may ------------------------------------------------------------------------------------------------------


def test_nobody_sees_anything_without_a_login(console: CentralProcess, filled: int) -> None:
    visitor = Visitor(console.address)
    for path in (*PATHS, "live"):
        answer = visitor.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/office/en/login")
    assert visitor.post("steps", what="ask", agency="H26").status_code == 303
    assert visitor.http.get("/office/").headers["location"] == "/office/vi/"


def test_a_login_leads_back_to_what_was_asked_for_and_nowhere_else(console: CentralProcess) -> None:
    visitor = Visitor(console.address)
    assert visitor.get("trace?id=H26@3").headers["location"] == "/office/en/login?next=/office/en/trace%3Fid%3DH26%403"
    for wanted, after in (
        ("/office/en/trace?id=H26@3", "/office/en/trace?id=H26@3"),
        ("https://example.org/", "/office/en/"),
        ("//example.org/office/en/", "/office/en/"),
        ("/office/en//example.org", "/office/en/"),
    ):
        answer = visitor.post("login", name="centre", password=PASSWORD, next=wanted)
        assert (answer.status_code, answer.headers["location"]) == (303, after)
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/office", "max-age=43200"))
    assert answer.headers["cache-control"] == "no-store"


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(console: CentralProcess) -> None:
    answers = [
        Visitor(console.address).post("login", name=name, password=password)
        for name, password in (("centre", "not the password"), ("nobody", PASSWORD), ("centre", ""))
    ]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert all("The name or the password is wrong." in answer.text for answer in answers)
    assert "set-cookie" not in answers[0].headers


def test_guessing_is_slowed_down(ledger_url: str, console: CentralProcess, tmp_path: Path) -> None:
    process = CentralProcess(ledger_url, tmp_path / "central.log", "--logins-per-minute", "3")
    process.wait_until()
    visitor = Visitor(process.address)
    statuses = [visitor.post("login", name="centre", password="guess").status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    answer = visitor.post("login", name="centre", password=PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert process.stop() == 0


def test_nobody_is_locked_out_by_the_guesses_of_others(
    ledger_url: str, console: CentralProcess, tmp_path: Path
) -> None:
    process = CentralProcess(
        ledger_url, tmp_path / "central.log", "--logins-per-minute", "3", "--trusted-proxies", "127.0.0.1"
    )
    process.wait_until()
    visitor = Visitor(process.address)

    def log_in(password: str, address: int) -> int:
        headers = {"x-forwarded-for": f"198.51.100.{address}"}
        return visitor.post("login", headers=headers, name="centre", password=password).status_code

    assert [log_in("guess", address) for address in range(5)] == [401, 401, 401, 429, 429]
    assert log_in(PASSWORD, 9) == 303
    assert process.stop() == 0


def test_an_agency_sees_and_does_nothing_for_another_one(hanoi: Visitor, filled: int, look: Any) -> None:
    assert hanoi.get("").headers["location"] == "/office/en/agencies/H26"
    assert hanoi.get("agencies/H26").status_code == 200
    assert hanoi.get("agencies/H29").status_code == 403
    assert hanoi.get("agencies/Z99").status_code == 404
    csrf = CSRF.findall(hanoi.get("agencies/H26").text)[0]
    refused = hanoi.post("steps", csrf=csrf, what="ask", agency="H29", portal="www", why="x")
    assert refused.status_code == 403
    assert hanoi.get("trace?id=G22/cd-118").status_code == 404
    assert hanoi.get("trace?id=H26-0001").status_code == 200
    assert one(look, "select count(*) from console.action") == 0


@pytest.mark.parametrize("missing", ["csrf", "another-session", "another-site", "why", "what", "portal"])
def test_a_step_is_refused_without_everything_that_belongs_to_it(
    console: CentralProcess, hanoi: Visitor, filled: int, look: Any, missing: str
) -> None:
    fields = {"csrf": CSRF.findall(hanoi.get("agencies/H26").text)[0]}
    fields |= {"what": "ask", "agency": "H26", "portal": "www", "why": "x"}
    headers = None
    if missing == "another-session":
        fields["csrf"] = CSRF.findall(Visitor(console.address, "hanoi").get("agencies/H26").text)[0]
    elif missing == "another-site":
        headers = {"origin": "https://example.org"}
    else:
        fields[missing] = ""
    answer = hanoi.post("steps", headers, **fields)
    assert answer.status_code == (422 if missing in ("why", "what", "portal") else 403)
    assert rows(look, "select * from console.action") == []


def test_a_revoked_account_is_logged_out_at_once(console: CentralProcess, ledger_url: str, look: Any) -> None:
    make_account(ledger_url, "gone", "H26")
    visitor = Visitor(console.address, "gone")
    assert visitor.get("agencies/H26").status_code == 200
    assert revoke_account(look, "gone")
    assert visitor.get("agencies/H26").status_code == 303
    assert visitor.post("login", name="gone", password=PASSWORD).status_code == 401
    assert not revoke_account(look, "gone")
    assert [account.name for account in list_accounts(look) if account.revoked_at] == ["gone"]
    kept = rows(look, "select password from console.account")
    assert all(password.startswith("scrypt$15$8$3$") and PASSWORD not in password for (password,) in kept)


def test_logging_out_ends_the_session_on_the_server(console: CentralProcess) -> None:
    visitor = Visitor(console.address, "hanoi")
    token = visitor.http.cookies["portalbus_office"]
    csrf = CSRF.findall(visitor.get("agencies/H26").text)[0]
    assert visitor.post("logout", csrf=csrf).status_code == 303
    again = httpx2.get(f"{console.address}/office/en/agencies/H26", cookies={"portalbus_office": token})
    assert again.status_code == 303


def test_who_is_logged_in_no_more_hears_nothing_more(
    console: CentralProcess, filled: int, ledger: LedgerRows, ledger_url: str, look: Any
) -> None:
    make_account(ledger_url, "leaving")
    visitor = Visitor(console.address, "leaving")
    with visitor.http.stream("GET", "/office/en/live") as answer:
        stream = events(answer)
        assert next(stream).event == "hello"
        seen = one(look, "select seen_at from console.session where account = 'leaving'")
        ledger.park("H29")
        assert next(stream).event == "tile"
        assert one(look, "select seen_at from console.session where account = 'leaving'") == seen
        revoke_account(look, "leaving")
        ledger.park("H57")
        told = list(stream)
    assert told[-1].event == "over"
    assert not [event for event in told if "tile-H57" in event.text and "unreadable" in event.text]


# ---- what the buttons do ------------------------------------------------------------------------------------------


def test_a_gap_is_closed_with_a_reason(hanoi: Visitor, filled: int, look: Any) -> None:
    first, last = GAP
    page = hanoi.step("close-gap", "H26", "gone with the old server", portal="www", epoch=1, first=first, last=last)
    assert "A gap of 3 was closed." in page.text
    assert one(look, "select state from ledger.gap") == "closed"
    (closing,) = rows(look, "select closed_by, why, missing from ledger.gap_closing")
    assert closing == ("hanoi", "gone with the old server", 3)
    (deed,) = rows(look, "select account, agency, what, why, outcome, figures->>'n' from console.action")
    assert deed == ("hanoi", "H26", "close-gap", "gone with the old server", "done", "3")
    assert "There was nothing left to do" in hanoi.step("close-gap", "H26", portal="www", epoch=1, first=4, last=6).text


def test_a_source_is_asked_to_send_again(hanoi: Visitor, filled: int, look: Any) -> None:
    assert "1 gaps were asked for." in hanoi.step("ask", "H26", portal="www").text
    (notice,) = rows(look, "select topic, key, record, value->>'first', value->>'last' from ledger.notice")
    assert notice == ("verdict.H26", "H26/www", "ResendRequested", "4", "6")
    assert one(look, "select asked from ledger.gap") == 3


def test_a_parked_record_is_judged_again_and_one_is_set_aside(
    hanoi: Visitor, endpoints: Endpoints, ledger: LedgerRows, ledger_url: str, look: Any
) -> None:
    ids = SchemaIds(SchemaRegistry(endpoints.registry_url))
    lane = Lane("H26")
    event = Event(lane.next_envelope(), directive())
    value = value_of(event)
    value = value[:1] + ids.id_of("DirectivePublished").to_bytes(4, "big") + value[5:]
    headers = cloudevents_headers(event.envelope, "DirectivePublished")
    worker = Ledger(ledger_url, ids.lane_writers(), directory())
    worker.open_lanes(["H26"])
    worker.take_in(
        [
            lane.put(BROKEN, lane_key=event.key.encode(), value=value, headers=headers),
            lane.put(BROKEN, lane_key=b"x", value=b"no avro"),
        ]
    )
    worker.close()
    assert "A message could not be read" in hanoi.get("agencies/H26").text
    judged = hanoi.step("redrive", "H26", "schema registered", lane_offset=0)
    assert "Judged: Accepted" in judged.text
    assert one(look, "select rule from ledger.event where lane_offset = 0") == "event.accepted"
    assert one(look, "select count(*) from ledger.directive") == 1
    assert "It still cannot be read" in hanoi.step("redrive", "H26", lane_offset=1).text
    assert "Set aside: Refused" in hanoi.step("discard", "H26", "test data", lane_offset=1).text
    decided = rows(look, "select state, decided_by, decided_why from ledger.parked order by lane_offset")
    assert decided == [("redriven", "hanoi", "schema registered"), ("discarded", "hanoi", "test data")]
    outcomes = rows(look, "select what, outcome from console.action order by id")
    assert outcomes == [("redrive", "done"), ("redrive", "still"), ("discard", "done")]


def test_a_reconciliation_heals_what_was_altered(
    centre: Visitor,
    endpoints: Endpoints,
    ledger: LedgerRows,
    ledger_url: str,
    look: Any,
    eventually: Callable[[Callable[[], bool]], bool],
) -> None:
    ids = SchemaIds(SchemaRegistry(endpoints.registry_url))
    lane = Lane("H26")
    worker = Ledger(ledger_url, ids.lane_writers(), directory())
    worker.open_lanes(["H26"])
    worker.take_in([lane.say(directive())])
    worker.close()
    look.execute("update ledger.directive set title = 'Forged' where key = 'H26/d-1'")
    page = centre.step("reconcile", "H26", "a citizen called")
    assert "Reconciled" in page.text
    assert eventually(lambda: one(look, "select outcome from console.action") is not None)
    (deed,) = rows(look, "select account, outcome, (figures->>'n')::int, (figures->>'healed')::int from console.action")
    assert deed == ("centre", "done", 1, 1)
    assert one(look, "select title from ledger.directive") == directive().title
    assert "1 differences were found, 1 were healed." in centre.get("agencies/H26").text


def test_without_a_registry_the_console_says_so_and_offers_what_it_can(
    ledger_url: str, console: CentralProcess, filled: int, tmp_path: Path
) -> None:
    process = CentralProcess(ledger_url, tmp_path / "central.log")
    process.wait_until()
    visitor = Visitor(process.address, "hanoi")
    page = visitor.get("agencies/H26").text
    assert "it cannot be judged again here" in page
    assert 'value="ask"' in page
    assert 'value="redrive"' not in page
    csrf = CSRF.findall(page)[0]
    assert visitor.post("steps", csrf=csrf, what="redrive", agency="H26", lane_offset=1, why="x").status_code == 422
    assert process.stop() == 0


def shown(page: str) -> str:
    """What a page shows, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


# ---- what it says -------------------------------------------------------------------------------------------------


def test_the_page_of_an_agency_says_what_is_the_matter_in_plain_words(hanoi: Visitor, filled: int) -> None:
    text = hanoi.get("agencies/H26").text
    for said in (
        "Not in step",
        "3 messages of portal www have not come",
        "A message could not be read",
        "Check the sender&#39;s encoder, then send the event again.",
        "2 things at the centre differ from what the agency published",
        "Portal www is later than it said",
        "1 thing not as it was published",
        "written anew from the centre&#39;s own copy",
    ):
        assert said in text, said
    for word in ("offset", "partition", "Kafka", "consumer"):
        assert word not in re.sub(r"<[^>]*>", " ", text), word


def test_the_overview_counts_who_is_in_step(
    centre: Visitor, filled: int, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    def counts() -> dict[str, int]:
        return {state: int(n) for state, n in re.findall(r'data-count="(\w+)">([0-9]+)<', centre.get("").text)}

    assert eventually(lambda: counts() == {"in": 3, "out": 1, "never": 66}), counts()
    (tile,) = re.findall(r'<li class="tile tile-stop".*?</li>', centre.get("").text, re.DOTALL)
    for said in ("H26", "2 differ", "3 missing", "1 unreadable", "late", "1 waiting"):
        assert said in tile


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_page_holds_a_text_in_another_language(console: CentralProcess, filled: int, language: str) -> None:
    visitor = Visitor(console.address, "centre", language=language)
    for path in (*PATHS, "login"):
        page = visitor.get(path).text
        bare = re.sub(
            r'<(\w+)[^>]*lang="vi"[^>]*>.*?</\1>|<script.*?</script>|data-words="[^"]*"', " ", page, flags=re.S
        )
        bare = re.sub(r'<a [^>]*hreflang="vi".*?</a>', " ", bare)
        found = VIETNAMESE.search(re.sub(r"<(?!input|svg)[^>]*>", " ", bare))
        assert not found, (path, bare[max(0, found.start() - 80) : found.end() + 80])


def test_the_trace_page_shows_what_the_command_does(centre: Visitor, filled: int, look: Any) -> None:
    event_id = one(look, "select event_id::text from ledger.event where key = 'H26-0001' order by lane_offset limit 1")
    for asked in (event_id, "H26-0001", "7GQ2M0Z4KX9A", "http://x/en/feedback/7GQ2M0Z4KX9A", f"H26@{filled}"):
        page = centre.get(f"trace?id={asked}")
        assert page.status_code == 200, asked
        assert "lane.H26@" in page.text
    assert "record.undecodable" in page.text


def test_the_trace_page_tells_when_kafka_had_what_was_sent_on_whatever_else_is_gone(
    centre: Visitor, filled: int, look: Any, endpoints: Endpoints
) -> None:
    topic, at = f"central.test-{secrets.token_hex(4)}", datetime(2026, 11, 20, 2, 15, 0, 123_000, UTC)
    made = NewTopic(topic, 1, 1, config={"message.timestamp.type": "CreateTime"})
    admin = AdminClient(librdkafka_settings(endpoints.bootstrap))
    admin.create_topics([made])[topic].result(30)
    producer = Producer(librdkafka_settings(endpoints.bootstrap) | {"log_level": 2})
    producer.produce(topic, b"sent on", timestamp=int(at.timestamp() * 1_000))
    assert producer.flush(30) == 0
    position = one(look, "select position from ledger.event where key = 'H26-0001' order by lane_offset limit 1")
    for name, offset in (("central.nowhere", 0), (topic, 0)):
        look.execute("insert into ledger.relayed values (%s, %s, 0, %s)", (position, name, offset))
    look.execute("insert into ledger.relayed values (%s, %s, 0, 7)", (position + 1, topic))
    page = centre.get("trace?id=H26-0001").text
    assert f"{topic}[0]@0" in page and "central.nowhere[0]@0" in page
    assert page.count(" 09:15:00.123</time>") == 1


def test_the_trace_page_lists_the_entries_of_a_feed_and_helps_with_what_is_unknown(
    centre: Visitor, hanoi: Visitor, filled: int
) -> None:
    for visitor in (centre, hanoi):
        page = visitor.get("trace?id=/vi/feed.atom?agency=H26")
        assert page.status_code == 200
        assert "/office/en/trace?id=H26/kh-204" in page.text and directive_entry_id("H26/kh-204") in page.text
    assert 'href="/en/feed.atom?agency=H26&amp;lang=vi"' in centre.get("trace?id=H26/kh-204").text
    for language, said in (("en", "What can be asked for"), ("vi", "Có thể hỏi bằng"), ("zh", "可查询")):
        visitor = Visitor(str(centre.http.base_url), "centre", language=language)
        unknown = visitor.get("trace?id=nothing")
        assert unknown.status_code == 404
        assert said in unknown.text


def test_coverage_tells_who_carries_a_central_directive(centre: Visitor, filled: int) -> None:
    for asked in ("G22/cd-118", "118/CĐ-TTg", "118/cd-ttg"):
        text = centre.get(f"coverage?key={asked}").text
        states = dict(re.findall(r'id="carries-(\w+)" data-state="(\w+)"', text))
        assert states == {"H29": "carries", "H57": "unknown_yet", "H26": "carries"}
    assert "carried by 2 bodies" in centre.get("coverage").text
    assert centre.get("coverage?key=nothing").status_code == 404


def test_the_journal_of_an_agency_is_its_own(hanoi: Visitor, centre: Visitor, filled: int, look: Any) -> None:
    hanoi.step("ask", "H26", "by hanoi", portal="www")
    centre.step("ask", "H29", "by the centre", portal="www")
    assert "by hanoi" in hanoi.get("journal").text
    assert "by the centre" not in hanoi.get("journal").text
    assert "by hanoi" in centre.get("journal").text
    assert "by the centre" in centre.get("journal").text


def test_the_page_says_which_cases_are_late_by_law(hanoi: Visitor, filled: int, ledger_url: str) -> None:
    owe_answers(ledger_url, "H26", {-3: ["MISSED"], 4: ["OPEN"], 9: ["OPEN"]})
    assert "In hand 3 Past the legal term 1 Next answer due" in shown(hanoi.get("agencies/H26").text)


def test_the_answers_due_are_drawn_day_by_day_for_an_agency_and_for_all(
    hanoi: Visitor, centre: Visitor, filled: int, ledger_url: str
) -> None:
    owe_answers(ledger_url, "H26.12", {-7: ["LATE"], -2: ["MET", "MET", "LATE", "VOID"], 0: ["MISSED"], 7: ["OPEN"]})
    for page in (hanoi.get("agencies/H26").text, centre.get("").text):
        assert "2 in time, 2 late, 1 still to come" in page
        assert [page.count(f'class="{bar}"') for bar in ("bar-met", "bar-refused", "bar-owed")][0::2] == [1, 1]
    assert "No answer falls due in these two weeks." in centre.get("agencies/H29").text


def test_the_overview_draws_how_long_the_events_of_all_took(centre: Visitor, filled: int) -> None:
    page = centre.get("").text
    assert page.count('class="line-median"') >= 1
    (_, median) = re.findall(r"(\d+) ms</td>", page[page.index("pace-title") :])[:2]
    assert int(median) >= 0


@pytest.mark.parametrize("kind", ["case.overdue", "feedback.surge"])
def test_an_agency_in_step_is_told_what_else_is_the_matter(
    centre: Visitor, filled: int, ledger_url: str, look: Any, kind: str
) -> None:
    assert "Nothing to do." in centre.get("agencies/H29").text
    raise_alert(ledger_url, kind, "H29", count="2", case="H29-0007")
    page = centre.get("agencies/H29").text
    assert "Nothing to do." not in page
    assert "In step" in page
    todo = page[page.index('id="todo-title"') : page.index('id="sources-title"')]
    assert f'data-alert="{kind}"' in todo
    assert html.escape(all_words(PACKAGE)["en"](f"alert_text.{kind}"), quote=True) in todo
    assert "Check the portal" not in todo


def test_an_agency_that_was_never_heard_is_not_said_to_be_in_step(centre: Visitor, filled: int) -> None:
    page = centre.get("agencies/H01").text
    assert "No portal of this agency has been heard yet." in page
    assert "Nothing to do." not in page


def test_what_a_button_of_the_page_mends_is_not_said_again_as_an_alert(
    hanoi: Visitor, filled: int, ledger_url: str
) -> None:
    for kind in ("store.differs", "gap.open", "canary.late"):
        raise_alert(ledger_url, kind, "H26", differences="2")
    page = hanoi.get("agencies/H26").text
    assert re.findall(r'data-alert="([^"]*)"', page) == ["canary.late"]
    assert "Portal www is later than it said" in page


def test_a_clock_that_is_off_is_said_by_its_alert_once_there_is_one(
    hanoi: Visitor, filled: int, ledger_url: str, look: psycopg.Connection[Any]
) -> None:
    banner = "The clock of portal www is ahead"
    look.execute("update ledger.source set clock_leads = '{259200000}' where agency = 'H26' and portal = 'www'")
    assert banner in hanoi.get("agencies/H26").text
    with psycopg.connect(ledger_url) as connection:
        raised = [one for one in judge_clocks(connection, datetime.now(UTC)) if isinstance(one, Raise)]
        tell_alerts(connection, raised, [])
    page = hanoi.get("agencies/H26").text
    assert re.findall(r'data-alert="([^"]*)"', page) == ["source.clock-off"]
    assert banner not in page


def test_the_overview_shows_which_agencies_have_warnings(
    centre: Visitor, filled: int, ledger_url: str, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    for kind, agency in (("case.overdue", "H29"), ("feedback.surge", "H29"), ("source.silent", "H29")):
        raise_alert(ledger_url, kind, agency)

    def tile() -> str:
        return str(re.findall(r'<li class="tile tile-in" id="tile-H29".*?</li>', centre.get("").text, re.DOTALL))

    assert eventually(lambda: "warning" in tile())
    assert "2 warnings" in tile()


def test_what_concerns_no_agency_is_shown_to_the_centre(centre: Visitor, filled: int, ledger_url: str) -> None:
    assert 'id="centre-alerts"' not in centre.get("").text
    raise_alert(ledger_url, "lane.unheard", "", lanes="H26")
    assert 'data-alert="lane.unheard"' in centre.get("").text


def test_what_is_not_listed_is_counted(hanoi: Visitor, filled: int, ledger: LedgerRows, look: Any) -> None:
    for _ in range(21):
        ledger.park("H26")
    for number in range(22):
        look.execute(
            "insert into ledger.gap (agency, portal, epoch, first, last, missing, opened_at, asked)"
            " values ('H26', 'www', 1, %(n)s, %(n)s, 1, now(), 0)",
            {"n": 100 + 2 * number},
        )
    page = hanoi.get("agencies/H26").text
    assert "3 more gaps are not shown here" in page
    assert "2 more unreadable messages are not shown here" in page


def test_accounts_are_made_listed_and_revoked_by_command(
    ledger_url: str, console: CentralProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    def portalbus(*arguments: str) -> tuple[int, str]:
        status = run(["accounts", *arguments, "--database-url", ledger_url])
        return status, capsys.readouterr().out

    status, out = portalbus("add", "lan@hanoi", "--agency", "H26", "--json")
    assert status == 0
    made = json.loads(out)
    assert made["agency"] == "H26"
    visitor = Visitor(console.address, "lan@hanoi", made["password"])
    assert visitor.get("agencies/H26").status_code == 200
    assert portalbus("add", "lan@hanoi", "--centre")[0] == 1
    for wrong in (("x", "--centre"), ("xx",), ("xx", "--agency", "H26", "--centre"), ("xx", "--agency", "X99")):
        assert portalbus("add", *wrong)[0] == 2, wrong
    listed = json.loads(portalbus("list", "--json")[1])
    assert ("lan@hanoi", "H26") in {(account["name"], account["agency"]) for account in listed}
    assert made["password"] not in portalbus("list")[1]
    assert portalbus("revoke", "lan@hanoi")[0] == 0
    assert portalbus("revoke", "lan@hanoi")[0] == 1
    assert visitor.get("agencies/H26").status_code == 303
