"""The SQL connector reads views of real databases, as a user that can only read, and says what is wrong with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import yaml

from howto_page import blocks_of
from mariadb_server import connect
from portal_databases import (
    MariaDbPortal,
    PortalDatabase,
    PostgreSqlPortal,
    add_documents,
    mariadb_portal,
    postgresql_portal,
)
from portalbus.connectors.pull.found import Before, Listing
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.sql_view.kind import SQL_VIEW
from portalbus.connectors.pull.sql_view.settings import SqlViewConfig
from pull_readings import Remembering, surroundings


@pytest.fixture(params=["postgresql", "mariadb"])
def portal(request: pytest.FixtureRequest) -> Iterator[PortalDatabase]:
    """A portal's database of each product in turn."""
    opened: Any = (
        postgresql_portal(request.getfixturevalue("postgres_url"))
        if request.param == "postgresql"
        else mariadb_portal(request.getfixturevalue("mariadb"))
    )
    with opened as database:
        yield database


def view(portal: PortalDatabase, **settings: Any) -> Remembering:
    """Passes over the portal's view."""
    config = SqlViewConfig.model_validate({"agency": "H26", "kind": "sql", **portal.settings, **settings})
    return Remembering(lambda: SQL_VIEW.open(config, surroundings()))


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """A reading that fails with these words, and without the reader's password."""
    with pytest.raises(ReadFailed) as failure:
        yield
    for word in words:
        assert word in str(failure.value)


def test_rows_are_directives_and_a_second_pass_reads_nothing_new(portal: PortalDatabase) -> None:
    add_documents(portal, range(1, 4))
    passes = view(portal)
    first = passes.read()
    assert [item.id for item in first.items] == ["1", "2", "3"]
    assert first.items[0].data == {
        "number": "1/CT-UBND",
        "document_type": "CT",
        "title": "Về việc chiếu sáng công cộng, tuyến phố 1",
        "body": "Các sở, ban, ngành kiểm tra hệ thống chiếu sáng.",
        "body_format": "TEXT",
        "language": "vi",
        "issued_on": "2026-11-20",
        "classification": "PUBLIC",
        "canonical_url": "https://hanoi.gov.vn/van-ban/1",
    }
    second = passes.read()
    assert second.items == []
    assert second.listing is Listing.COMPLETE
    assert second.ids == {"1", "2", "3"}


@pytest.mark.parametrize("changed", ["", "sua_luc"])
def test_only_changed_and_new_rows_are_read_and_deleted_ones_are_not_listed(
    portal: PortalDatabase, changed: str
) -> None:
    add_documents(portal, range(1, 5))
    passes = view(portal, changed=changed)
    assert len(passes.read().items) == 4
    portal.run("update van_ban set tieu_de = 'Tiêu đề mới', sua_luc = '2026-11-21 08:00:00' where id = 2")
    portal.run("delete from van_ban where id = 3")
    add_documents(portal, range(5, 6))
    found = passes.read()
    assert {item.id: item.data["title"][:11] for item in found.items} == {"2": "Tiêu đề mới", "5": "Về việc chi"}
    assert found.ids == {"1", "2", "4", "5"}


def test_columns_that_nothing_comes_from_are_not_read(portal: PortalDatabase) -> None:
    add_documents(portal, range(1, 2))
    passes = view(portal)
    passes.read()
    portal.run("update van_ban set nguoi_soan = 'Trần Thị Khác'")
    assert passes.read().items == []


def test_a_missing_column_is_named_with_those_that_are_there(portal: PortalDatabase) -> None:
    with refused("there is no column tieude", "did you mean tieu_de?", "mapping.title of H26/www"):
        view(portal, mapping={"title": "tieude"}).read()
    with refused("there is no column ma_van_ban", "so_ky_hieu"):
        view(portal, key="ma_van_ban").read()


def test_a_missing_view_a_wrong_password_and_a_wrong_port_are_named(portal: PortalDatabase) -> None:
    with refused("v_khac", "change `view`" if isinstance(portal, PostgreSqlPortal) else "v_khac"):
        view(portal, view="v_khac").read()
    with refused("user, password") as failure:
        view(portal, password="sai-mat-khau").read()
    assert "sai-mat-khau" not in str(failure)
    address = portal.settings["address"].rpartition(":")[0] + ":1/x"
    with refused("address, user"):
        view(portal, address=address).read()


def test_a_user_who_can_write_is_refused_or_at_least_named(portal: PortalDatabase) -> None:
    add_documents(portal, range(1, 2))
    portal.let_reader_write()
    with refused("may write to", "granted select"):
        view(portal).read()
    found = view(portal, writable="warn").read()
    assert len(found.items) == 1
    assert "may write to" in str(found.remarks[0])


def test_the_session_itself_cannot_write(portal: PortalDatabase) -> None:
    portal.let_reader_write()
    config = SqlViewConfig.model_validate({"agency": "H26", "kind": "sql", **portal.settings, "view": "van_ban"})
    from portalbus.connectors.pull.sql_view.database import open_database

    database: Any = open_database(config, config.password)
    try:
        with pytest.raises(Exception, match=r"(?i)read.?only"):
            connection = database._connection
            with connection.cursor() as cursor:
                cursor.execute("insert into van_ban (id) values (1)")
    finally:
        database.close()


PAGE_TABLE = """
    create table van_ban (
        ma_van_ban varchar(50) primary key, so_hieu varchar(100), linh_vuc varchar(100), loai_van_ban varchar(50),
        tieu_de varchar(1000), noi_dung text, ngay_ban_hanh date, duong_dan varchar(500), sua_luc timestamp null,
        cong_khai boolean
    )
"""


@contextmanager
def as_the_page_says(portal: PortalDatabase, statements: str) -> Iterator[None]:
    """The page's view and reader; the reader is gone afterwards."""
    of_postgresql, of_mariadb = statements.split("-- MySQL, MariaDB: the same view, then\n")
    making, *rights = filter(None, map(str.strip, of_postgresql.removeprefix("-- PostgreSQL\n").split(";")))
    for statement in ("drop view v_van_ban", "drop table van_ban", PAGE_TABLE, making):
        portal.run(statement)
    run: Callable[[str], None] = portal.run
    if isinstance(portal, MariaDbPortal):
        run = portal.server.run
        rights = [one.replace("cms.", f"{portal.owner.database}.") for one in of_mariadb.split(";") if one.strip()]
    for statement in rights:
        run(statement)
    try:
        yield
    finally:
        if isinstance(portal, PostgreSqlPortal):
            portal.run("grant portalbus_reader to current_user")
            portal.run("drop owned by portalbus_reader")
        run("drop role portalbus_reader" if isinstance(portal, PostgreSqlPortal) else "drop user portalbus_reader")


def test_the_settings_on_the_page_read_the_view_that_it_says_how_to_make(portal: PortalDatabase) -> None:
    blocks = blocks_of("pull-connectors.md")
    (statements,) = (text for kind, text in blocks if kind == "sql")
    (settings,) = next(yaml.safe_load(text) for kind, text in blocks if kind == "yaml" and "kind: sql" in text)
    with as_the_page_says(portal, statements):
        columns = "ma_van_ban, so_hieu, linh_vuc, loai_van_ban, tieu_de, noi_dung, ngay_ban_hanh, duong_dan, cong_khai"
        said = ("15/CT-UBND", "Giao thông", "Chỉ thị", "Về việc chiếu sáng", "Các sở kiểm tra.", "2026-11-20")
        for key, public in (("vb-1", True), ("vb-2", False)):
            row = (key, *said, f"https://hanoi.gov.vn/van-ban/{key}", public)
            portal.run(f"insert into van_ban ({columns}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)", row)
        config = SqlViewConfig.model_validate({**settings, "address": portal.settings["address"], "password": "…"})
        (item,) = Remembering(lambda: SQL_VIEW.open(config, surroundings())).read().items
        assert (item.id, item.data["number"], item.data["field"]) == ("vb-1", "15/CT-UBND", "Giao thông")


def test_a_view_that_hangs_is_left_in_time_and_ended_on_the_server(portal: PortalDatabase) -> None:
    add_documents(portal, range(1, 2))
    sleep = "(pg_sleep(60) is null)" if isinstance(portal, PostgreSqlPortal) else "sleep(60)"
    portal.run("drop view v_van_ban")
    portal.run(f"create view v_van_ban as select van_ban.*, {sleep} as mat_thoi_gian from van_ban")
    if isinstance(portal, PostgreSqlPortal):
        portal.run(f"grant select on v_van_ban to {portal.reader}")
    begun = time.monotonic()
    with refused("did not answer within 0.5 s", "raise timeout"):
        view(portal, timeout="0.5s", mapping={"signer": "mat_thoi_gian"}).read()
    assert time.monotonic() - begun < 5
    deadline = time.monotonic() + 5
    while statements_of_reader(portal):
        assert time.monotonic() < deadline, "the statement still runs on the server"
        time.sleep(0.05)


def statements_of_reader(portal: PortalDatabase) -> int:
    """How many sessions of the reader are at work."""
    if isinstance(portal, PostgreSqlPortal):
        with psycopg.connect(portal.url) as connection:
            row = connection.execute(
                "select count(*) from pg_stat_activity where usename = %s and state = 'active'", (portal.reader,)
            ).fetchone()
    else:
        assert isinstance(portal, MariaDbPortal)
        with connect(portal.server.keeper) as keeper, keeper.cursor() as cursor:
            cursor.execute("select count(*) from information_schema.processlist where user = %s", (portal.reader.user,))
            row = cursor.fetchone()
    return int(row[0]) if row else 0


def test_rows_without_a_key_and_keys_that_are_there_twice_are_said(portal: PortalDatabase) -> None:
    add_documents(portal, range(1, 4))
    portal.run("update van_ban set so_ky_hieu = null where id = 1")
    portal.run("update van_ban set so_ky_hieu = 'x' where id > 1")
    found = view(portal, key="so_ky_hieu").read()
    assert [item.id for item in found.items] == ["x"]
    assert {remark.text.split(",")[0].split(";")[0] for remark in found.remarks} == {
        "its key is empty",
        "its key is there twice",
    }


def test_more_rows_than_agreed_are_not_read(portal: PortalDatabase) -> None:
    add_documents(portal, range(1, 4))
    with refused("more than 2 rows", "raise max_items"):
        view(portal, max_items=2).read()


def test_feedback_comes_with_its_answer_and_without_the_person(portal: PortalDatabase) -> None:
    portal.run("""
        create table phan_anh (ma integer, che_do varchar(2), ngay_nhan timestamp null, tieu_de varchar(200),
            noi_dung text, ket_qua varchar(30), tra_loi text, ngay_tra_loi timestamp null)
    """)
    portal.run(
        "insert into phan_anh values (7, 'R6', '2026-11-20 08:00:00', 'Đèn hỏng', %s, null, null, null)",
        ("Đèn hỏng ba tuần.\nHọ tên: Nguyễn Văn An\nGọi 0912 345 678.",),
    )
    if isinstance(portal, PostgreSqlPortal):
        portal.run(f"grant select on phan_anh to {portal.reader}")
    passes = view(portal, view="phan_anh", brings="feedback", mapping={"channel": {"always": "PHONE"}})
    (received,) = passes.read().items
    assert received.event_type == "FeedbackReceived"
    assert received.data["received_at"] == "2026-11-20T01:00:00+00:00"
    assert received.data["content"] == "Đèn hỏng ba tuần.\nHọ tên: [đã lược]\nGọi [đã lược]."
    portal.run("update phan_anh set ket_qua = 'ANSWERED', tra_loi = 'Đã sửa.', ngay_tra_loi = '2026-11-21 08:00:00'")
    again, answer = passes.read().items
    assert (again.id, again.data) == (received.id, received.data)
    assert (answer.id, answer.event_type) == ("7#resolved", "FeedbackResolved")
    assert answer.data["answer"] == "Đã sửa."
    assert answer.data["case_id"].startswith("H26-www-")
    assert passes.read().ids == {"7", "7#resolved"}


def test_many_rows_come_in_batches(portal: PortalDatabase) -> None:
    rows = (
        "select i, concat(i, '/CT-UBND'), 'Chỉ thị', 'Tiêu đề', 'Nội dung', '2026-11-20', 'https://x.gov.vn/', null, ''"
    )
    numbers = (
        "generate_series(1, 12001) as i"
        if isinstance(portal, PostgreSqlPortal)
        else "(select seq as i from seq_1_to_12001) as numbers"
    )
    rows = rows.replace("'2026-11-20'", "cast('2026-11-20' as date)").replace("null", "cast(null as datetime)")
    if isinstance(portal, PostgreSqlPortal):
        rows = rows.replace("datetime", "timestamp")
    portal.run(f"insert into van_ban {rows} from {numbers}")
    passes = view(portal)
    first = passes.read()
    assert [len(reading.items) for reading in first.readings] == [5_000, 5_000, 2_001]
    assert [reading.listing for reading in first.readings] == [Listing.WINDOW, Listing.WINDOW, Listing.COMPLETE]
    assert len(first.readings[-1].ids) == 12_001
    assert passes.read().items == []


def test_what_is_no_address_and_what_is_no_view_is_refused_by_the_settings() -> None:
    good = {"agency": "H26", "kind": "sql", "address": "mysql://db.hanoi.gov.vn/cms", "view": "v", "user": "reader"}
    assert SqlViewConfig.model_validate(good).port == 3306
    for name, wrong in [
        ("address", "mysql://u:p@db/cms"),
        ("address", "oracle://db/cms"),
        ("address", "mysql://db"),
        ("view", "v; drop table van_ban"),
        ("view", "(select 1) as x"),
        ("view", 'v"'),
    ]:
        with pytest.raises(ValueError, match=name):
            SqlViewConfig.model_validate({**good, name: wrong})
    assert "p4ss" not in repr(SqlViewConfig.model_validate({**good, "password": "p4ss"}))


def test_nothing_is_connected_to_before_it_is_read() -> None:
    config = SqlViewConfig(agency="H26", kind="sql", address="mysql://127.0.0.1:1/x", view="v", user="u")
    source = SQL_VIEW.open(config, surroundings())
    with refused("127.0.0.1", "address, user"):
        source.read(Before())
    source.close()
