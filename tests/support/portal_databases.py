"""A portal's own database, real PostgreSQL or real MariaDB, with one who owns it and one who may only read a view."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from mariadb_server import MariaDbAccount, MariaDbServer, connect
from scratch_databases import create_database, drop_database

DOCUMENTS = """
    create table van_ban (
        id integer primary key, so_ky_hieu varchar(100), loai_van_ban varchar(50), tieu_de varchar(1000),
        noi_dung text, ngay_ban_hanh date, duong_dan varchar(500), sua_luc timestamp null, nguoi_soan varchar(100)
    )
"""
VIEW = "create view v_van_ban as select * from van_ban"
ADDRESS = "https://hanoi.gov.vn/van-ban/"


class PortalDatabase(Protocol):
    """One database, with the table `van_ban` and the view `v_van_ban` on it."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the connector is told: address, user, password, and the view."""
        ...

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Runs a statement of the owner; parameters are written `%s`."""
        ...

    def let_reader_write(self) -> None:
        """Gives the reader a right that a reader should not have."""
        ...


def add_documents(database: PortalDatabase, numbers: range) -> None:
    """Puts documents with these numbers into the table."""
    columns = "id, so_ky_hieu, loai_van_ban, tieu_de, noi_dung, ngay_ban_hanh, duong_dan, nguoi_soan"
    for number in numbers:
        row = (
            number,
            f"{number}/CT-UBND",
            "Chỉ thị",
            f"Về việc chiếu sáng công cộng, tuyến phố {number}",
            "Các sở, ban, ngành kiểm tra hệ thống chiếu sáng.",
            "2026-11-20",
            f"{ADDRESS}{number}",
            "Nguyễn Văn Soạn",
        )
        database.run(f"insert into van_ban ({columns}) values (%s, %s, %s, %s, %s, %s, %s, %s)", row)


@dataclass
class PostgreSqlPortal:
    """The portal's database in PostgreSQL."""

    url: str
    reader: str
    password: str

    @property
    def settings(self) -> dict[str, Any]:
        """What the connector is told."""
        parts = urlsplit(self.url)
        address = f"postgresql://{parts.hostname}:{parts.port}{parts.path}"
        return {"address": address, "user": self.reader, "password": self.password, "view": "v_van_ban"}

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Runs a statement of the owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def let_reader_write(self) -> None:
        """Gives the reader the right to insert."""
        self.run(f"grant insert on van_ban to {self.reader}")


@dataclass
class MariaDbPortal:
    """The portal's database in MariaDB."""

    server: MariaDbServer
    owner: MariaDbAccount
    reader: MariaDbAccount

    @property
    def settings(self) -> dict[str, Any]:
        """What the connector is told."""
        address = f"mariadb://{self.owner.host}:{self.owner.port}/{self.owner.database}"
        return {
            "address": address,
            "user": self.reader.user,
            "password": self.reader.password,
            "view": "v_van_ban",
        }

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Runs a statement of the owner."""
        with connect(self.owner) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)

    def let_reader_write(self) -> None:
        """Gives the reader the right to insert."""
        self.server.add_user(self.reader, "select, insert")


@contextmanager
def postgresql_portal(url: str) -> Iterator[PostgreSqlPortal]:
    """A fresh database on the server at `url`; dropped afterwards."""
    name, password = f"portal_{secrets.token_hex(4)}", secrets.token_hex(8)
    reader = f"{name}_reader"
    with psycopg.connect(url, autocommit=True) as connection:
        create_database(connection, name)
        connection.execute(sql.SQL("create role {} login password {}").format(sql.Identifier(reader), password))
        # Its sessions may still be ending when the database is dropped; then the owner ends them.
        connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(reader)))
        try:
            portal = PostgreSqlPortal(urlunsplit(urlsplit(url)._replace(path=f"/{name}")), reader, password)
            portal.run(DOCUMENTS)
            portal.run(VIEW)
            portal.run(f"grant select on v_van_ban to {reader}")
            yield portal
        finally:
            drop_database(connection, name)
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(reader)))


@contextmanager
def mariadb_portal(server: MariaDbServer) -> Iterator[MariaDbPortal]:
    """A fresh database on the server; dropped afterwards."""
    with server.database() as owner:
        reader = replace(owner, user=f"{owner.user}_r", password=secrets.token_hex(8))
        server.add_user(reader, "select")
        portal = MariaDbPortal(server, owner, reader)
        portal.run(DOCUMENTS)
        portal.run(VIEW)
        yield portal
        server.drop_user(reader)
