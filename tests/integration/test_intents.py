"""The outbox in a portal's own database: the same promises on each database, under SQLAlchemy and under Django."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from intent_portals import ENGINES, KINDS, IntentPortal, SqlAlchemyPortal, fresh_database, rolled_back
from portal_events import directive, feedback
from portalbus.producers import Bounds, EventRefused, OutboxDamaged, OutboxFull, OutboxUnavailable, new_event_id
from portalbus.producers.intents.binding import take_over
from portalbus.producers.intents.intent import Intent, IntentWriter
from portalbus.producers.intents.mover import ROWS, Mover
from portalbus.producers.intents.relay import IntentRelay
from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import id_text


@pytest.fixture(scope="module", params=[f"{engine}-{kind}" for engine in ENGINES for kind in KINDS])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IntentPortal]:
    engine, kind = request.param.split("-")
    with fresh_database(engine, request, tmp_path_factory.mktemp("portal")) as url:
        yield KINDS[kind](url)


@pytest.fixture
def portal(database: IntentPortal) -> IntentPortal:
    for table in ("my_case", "portalbus_outbox", "portalbus_relay"):
        database.run(f"delete from {table}")
    return database


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox", "H26", "www", Bounds())
    yield made
    made.close()


def keys_of(outbox: Outbox) -> list[str]:
    return [event.key for event in outbox.events(1, outbox.source_row().last_sequence)]


def ids_of(outbox: Outbox) -> list[str]:
    return [id_text(event.event_id) for event in outbox.events(1, outbox.source_row().last_sequence)]


def commit(portal: IntentPortal, number: int) -> str:
    with portal.transaction() as doing:
        doing.change(number)
        intent: Intent = doing.publish(feedback(number))
    return intent.event_id


def one_at_a_time(portal: IntentPortal) -> None:
    if portal.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")


def spoil(portal: IntentPortal, event_id: str, body: bytes) -> None:
    portal.run("update portalbus_outbox set body = :body where event_id = :event_id", body=body, event_id=event_id)


def test_what_commits_is_moved_once_in_order_and_what_is_rolled_back_never(
    portal: IntentPortal, outbox: Outbox
) -> None:
    wanted = [commit(portal, 1)]
    with rolled_back(portal) as doing:
        doing.change(2)
        doing.publish(feedback(2))
    wanted.append(commit(portal, 3))
    mover = Mover(portal.table, outbox)
    assert mover.move() == 2
    assert mover.move() == 0
    assert ids_of(outbox) == wanted
    assert [event.key for event in outbox.events(1, 2)] == ["H26-2026-000001", "H26-2026-000003"]
    assert portal.run("select number from my_case order by number") == [(1,), (3,)]
    assert portal.table.counts().stored == 2


def test_a_refusal_names_the_rules_of_the_sdk_and_the_transaction_goes_on(portal: IntentPortal, outbox: Outbox) -> None:
    with portal.transaction() as doing:
        doing.change(1)
        with pytest.raises(EventRefused) as refusal:
            doing.publish(feedback(1).model_copy(update={"case_id": "H29-2026-000001"}))
    assert refusal.value.rule == "case.id-names-receiver"
    assert portal.run("select number from my_case") == [(1,)]
    assert not portal.table.anything_waiting()


def test_the_same_id_again_is_the_same_event_and_other_words_under_it_are_refused(
    portal: IntentPortal, outbox: Outbox
) -> None:
    event_id, payload = new_event_id(), feedback(1)
    with portal.transaction() as doing:
        first = doing.publish(payload, event_id)
    with portal.transaction() as doing:
        doing.change(1)
        assert doing.publish(payload, event_id) == first
    with portal.transaction() as doing:
        doing.change(2)
        with pytest.raises(EventRefused) as refusal:
            doing.publish(feedback(2), event_id)
    assert refusal.value.rule == "event.id-reused"
    assert portal.run("select count(*) from my_case") == [(2,)]
    Mover(portal.table, outbox).move()
    assert ids_of(outbox) == [event_id]


def test_a_retry_with_the_same_id_at_the_same_time_waits_and_is_the_same_event(portal: IntentPortal) -> None:
    one_at_a_time(portal)
    event_id, payload = new_event_id(), feedback(1)
    found: list[Any] = []

    def retry() -> None:
        with portal.transaction() as doing:
            found.append(doing.publish(payload, event_id))

    with portal.transaction() as doing:
        first = doing.publish(payload, event_id)
        thread = threading.Thread(target=retry)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it did not wait for the transaction that has the id"
    thread.join(10)
    assert found == [first]


def test_one_that_commits_later_with_a_lower_number_is_not_lost(portal: IntentPortal, outbox: Outbox) -> None:
    one_at_a_time(portal)
    mover = Mover(portal.table, outbox)
    later: list[str] = []
    with portal.transaction() as doing:
        early = doing.publish(feedback(1)).event_id
        thread = threading.Thread(target=lambda: later.append(commit(portal, 2)))
        thread.start()
        thread.join(10)
        # Another connection moves while the first transaction is open.
        mover_thread = threading.Thread(target=mover.move)
        mover_thread.start()
        mover_thread.join(10)
        assert ids_of(outbox) == later
    assert mover.move() == 1
    assert ids_of(outbox) == [*later, early]


def test_unreadable_rows_park_their_keys_and_all_others_flow(portal: IntentPortal, outbox: Outbox) -> None:
    bodies = [b"", b"\xff\xfe", b"[1]", b'{"specversion": "1.0"}', b"[" * 100_000]
    with portal.transaction() as doing:
        bad = [doing.publish(directive(number)).event_id for number in range(len(bodies))]
        behind = doing.publish(directive(0, 2)).event_id
        other = doing.publish(directive(8))
    good = dict(portal.run("select event_id, body from portalbus_outbox"))
    for event_id, body in zip(bad, bodies, strict=True):
        spoil(portal, event_id, body)
    mover = Mover(portal.table, outbox)
    assert mover.move() == 7
    with portal.transaction() as doing:
        last = doing.publish(directive(0, 3)).event_id
    assert mover.move() == 1
    assert keys_of(outbox) == [other.key]
    parked = portal.table.parked()
    assert [(one.event_id, one.key, one.held) for one in parked] == [
        (event_id, f"H26/ct-{number}", 2 if number == 0 else 0) for number, event_id in enumerate(bad)
    ]
    assert all(one.reason.startswith("[schema.") for one in parked)
    spoil(portal, bad[0], bytes(good[bad[0]]))
    assert portal.table.redrive("H26/ct-0") == 3
    assert mover.move() == 3
    assert ids_of(outbox)[1:] == [bad[0], behind, last]


def test_a_parked_event_can_be_given_up_and_those_behind_it_go_on(portal: IntentPortal, outbox: Outbox) -> None:
    with portal.transaction() as doing:
        bad = doing.publish(directive(7, 1)).event_id
        second = doing.publish(directive(7, 2)).event_id
    spoil(portal, bad, b"{}")
    mover = Mover(portal.table, outbox)
    mover.move()
    assert not portal.table.discard(second), "only a parked one is decided about"
    assert portal.table.discard(bad)
    mover.move()
    assert ids_of(outbox) == [second]
    assert portal.run("select state, verdict from portalbus_outbox where event_id = :id", id=bad) == [
        ("done", "DISCARDED")
    ]


def test_thousands_of_held_events_keep_nobody_waiting(portal: IntentPortal, outbox: Outbox) -> None:
    with portal.transaction() as doing:
        bad = doing.publish(directive(7, 1)).event_id
        for version in range(2, 2 + ROWS):
            doing.publish(directive(7, version))
        other = doing.publish(directive(8, 1)).event_id
    spoil(portal, bad, b"{}")
    mover = Mover(portal.table, outbox)
    assert mover.move() == ROWS
    assert mover.move() == 2
    assert ids_of(outbox) == [other]


def test_an_outbox_that_is_full_takes_what_fits_and_the_rest_waits(portal: IntentPortal, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "small", "H26", "www", Bounds(rows=3))
    for number in range(5):
        commit(portal, number)
    mover = Mover(portal.table, outbox)
    with pytest.raises(OutboxFull):
        mover.move()
    assert (portal.table.counts().stored, portal.table.counts().waiting) == (3, 2)
    outbox.bounds = Bounds()
    assert mover.move() == 2
    assert len(set(ids_of(outbox))) == 5
    outbox.close()


def test_an_event_moved_by_an_older_release_and_encoded_otherwise_is_recognised(
    portal: IntentPortal, outbox: Outbox
) -> None:
    event_id = commit(portal, 1)
    ((key, body),) = portal.run("select event_key, body from portalbus_outbox")
    draft = IntentWriter("H26", "www").draft(event_id, key, bytes(body))
    outbox.append([draft._replace(content_hash=b"\0" * 32)])
    Mover(portal.table, outbox).move()
    assert ids_of(outbox) == [event_id]
    assert portal.table.counts().stored == 1


def test_an_id_that_the_outbox_knows_from_something_else_parks_its_key(portal: IntentPortal, outbox: Outbox) -> None:
    event_id = new_event_id()
    row = IntentWriter("H26", "www").row(feedback(1), event_id=event_id)
    outbox.append([IntentWriter("H26", "www").draft(event_id, row.event_key, row.body)])
    with portal.transaction() as doing:
        doing.publish(feedback(2), event_id)
        doing.publish(feedback(3))
    Mover(portal.table, outbox).move()
    assert [parked.reason[:17] for parked in portal.table.parked()] == ["[event.id-reused]"]
    assert keys_of(outbox) == ["H26-2026-000001", "H26-2026-000003"]


def test_relays_that_run_at_once_move_each_event_once_and_keep_the_order_of_a_key(
    portal: IntentPortal, outbox: Outbox
) -> None:
    relays = [IntentRelay(portal.table, outbox=outbox.folder, deliver=False, poll=0.02).start() for _ in range(3)]

    def write(writer: int) -> None:
        for version in range(1, 21):
            with portal.transaction() as doing:
                doing.change(writer * 1_000 + version)
                doing.publish(directive(writer, version))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(60)
    deadline = time.monotonic() + 60
    while portal.table.counts().stored < 60 and time.monotonic() < deadline:
        time.sleep(0.02)
    for relay in relays:
        relay.close()
    assert len(ids_of(outbox)) == len(set(ids_of(outbox))) == 60
    stored = portal.run("select event_key, sequence from portalbus_outbox order by id")
    for key in {key for key, _ in stored}:
        sequences = [sequence for found, sequence in stored if found == key]
        assert sequences == sorted(sequences)


def test_a_decision_made_while_a_batch_is_moved_leaves_nobody_held_for_ever(
    portal: IntentPortal, outbox: Outbox
) -> None:
    with portal.transaction() as doing:
        bad = doing.publish(directive(7, 1)).event_id
    spoil(portal, bad, b"{}")
    mover = Mover(portal.table, outbox)
    mover.move()
    with portal.transaction() as doing:
        behind = doing.publish(directive(7, 2)).event_id
    store = mover._store

    def decide_meanwhile(batch: Any) -> None:
        assert portal.table.discard(bad)
        store(batch)

    mover._store = decide_meanwhile  # type: ignore[method-assign]
    mover.move()
    mover._store = store  # type: ignore[method-assign]
    assert portal.table.counts().held == 0
    mover.move()
    assert ids_of(outbox) == [behind]


def test_intents_go_to_one_outbox_until_a_person_says_otherwise(
    portal: IntentPortal, outbox: Outbox, tmp_path: Path
) -> None:
    lost = [commit(portal, number) for number in range(3)]
    Mover(portal.table, outbox).move()
    elsewhere = Outbox(tmp_path / "elsewhere", "H26", "www", Bounds())
    mover = Mover(portal.table, elsewhere)
    with pytest.raises(OutboxUnavailable, match=r"go to the outbox H26/www at .*take-over"):
        mover.check()
    with portal.table.turn() as rows:
        epoch = take_over(rows, elsewhere)
    late = commit(portal, 9)
    assert mover.move() == 4
    assert ids_of(elsewhere) == [*lost, late]
    assert elsewhere.source_row().epoch == epoch > 1
    with pytest.raises(OutboxUnavailable):
        Mover(portal.table, outbox).check()
    elsewhere.close()


def test_an_old_copy_of_the_outbox_is_refused_before_anything_leaves_it(
    portal: IntentPortal, outbox: Outbox, tmp_path: Path
) -> None:
    commit(portal, 1)
    Mover(portal.table, outbox).move()
    outbox.close()
    backup = {path.name: path.read_bytes() for path in outbox.folder.iterdir()}
    commit(portal, 2)
    Mover(portal.table, outbox).move()
    outbox.close()
    old = tmp_path / "old"
    old.mkdir()
    for name, content in backup.items():
        (old / name).write_bytes(content)
    copy = Outbox(old, "H26", "www", Bounds())
    with pytest.raises(OutboxDamaged, match="it is an old copy"):
        Mover(portal.table, copy).check()
    copy.close()


def test_done_rows_are_deleted_after_a_while_and_others_never(portal: IntentPortal, outbox: Outbox) -> None:
    for number in range(4):
        commit(portal, number)
    mover = Mover(portal.table, outbox)
    mover.move()
    portal.run("update portalbus_outbox set state = 'done' where sequence <= 2")
    assert mover.prune(0) == 0
    assert mover.prune(2**62) == 2
    assert portal.table.counts().stored == 2


def test_the_tables_of_django_and_of_sqlalchemy_are_the_same(tmp_path: Path) -> None:
    for name, made in KINDS.items():
        made(f"sqlite:///{tmp_path / name}")
    columns = {
        name: {
            table: SqlAlchemyPortal(f"sqlite:///{tmp_path / name}").run(
                f"select name, \"notnull\", pk from pragma_table_info('{table}')"
            )
            for table in ("portalbus_outbox", "portalbus_relay")
        }
        for name in KINDS
    }
    assert columns["django"] == columns["sqlalchemy"]


def test_a_connection_that_commits_by_itself_is_refused(tmp_path: Path) -> None:
    portal = SqlAlchemyPortal(f"sqlite:///{tmp_path / 'portal.sqlite'}")
    for engine in (
        portal.engine.execution_options(isolation_level="AUTOCOMMIT"),
        create_engine(portal.engine.url, isolation_level="AUTOCOMMIT"),
    ):
        with engine.connect() as connection, pytest.raises(ValueError, match="AUTOCOMMIT"):
            portal.outbox.publish(connection, feedback(1))
    assert not portal.table.anything_waiting()
