"""A portal's own database in the stack's PostgreSQL: a table, a view on it, and a user who may read the view alone."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from portalbus.infra.stack.postgres import SUPERUSER, uri
from portalbus.schemas.models import DirectivePublished

DATABASE = "demo_portal"
READER = "demo_portal_reader"
VIEW = "v_van_ban"
TABLE = """
    create table if not exists van_ban (
        ma text primary key, so_ky_hieu text, loai_van_ban text, tieu_de text, noi_dung text, ngay_ban_hanh date,
        duong_dan text, nguoi_soan text
    )"""
PUT = """
    insert into van_ban values (%s, %s, %s, %s, %s, %s, %s, 'Nguyễn Văn Soạn')
    on conflict (ma) do update set tieu_de = excluded.tieu_de, noi_dung = excluded.noi_dung"""


class PortalView:
    """The database, empty at first. Raises psycopg.Error when it cannot be made."""

    def __init__(self, database_url: str, secrets_file: Path) -> None:
        self._url = urlunsplit(urlsplit(database_url)._replace(path=f"/{DATABASE}"))
        self.password = secrets.token_hex(12)
        password = json.loads(secrets_file.read_text())[SUPERUSER]
        port = urlsplit(database_url).port or 5432
        with psycopg.connect(uri(SUPERUSER, password, port, SUPERUSER), autocommit=True) as connection:
            _make(connection, owner=str(urlsplit(database_url).username), password=self.password)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute("truncate van_ban")
            view = "create or replace view v_van_ban as select ma, so_ky_hieu, loai_van_ban, tieu_de, noi_dung,"
            connection.execute(f"{view} ngay_ban_hanh, duong_dan from van_ban")
            connection.execute(sql.SQL("grant select on v_van_ban to {}").format(sql.Identifier(READER)))

    @property
    def address(self) -> str:
        """The database as a connector is told of it, without a login."""
        parts = urlsplit(self._url)
        return f"postgresql://{parts.hostname}:{parts.port}/{DATABASE}"

    def publish(self, document: DirectivePublished) -> None:
        """Puts a document into the table, or a new version in its place."""
        values = (
            document.directive_id,
            document.number,
            document.document_type,
            document.title,
            document.body,
            document.issued_on,
            document.canonical_url,
        )
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(PUT, values)


def _make(connection: psycopg.Connection[tuple[object, ...]], owner: str, password: str) -> None:
    if connection.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
        statement = sql.SQL("create database {} owner {}")
        connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(owner)))
    known = connection.execute("select from pg_roles where rolname = %s", (READER,)).fetchone() is not None
    verb = sql.SQL("alter" if known else "create")
    connection.execute(sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(READER), password))
