"""Portals that have a database of their own: PostgreSQL, MariaDB or SQLite, by way of SQLAlchemy or Django."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg
import pymysql
import pytest
from django.conf import settings
from django.db import connections, transaction
from sqlalchemy import Engine, NullPool, create_engine, text

from mariadb_server import MariaDbServer
from portalbus.producers.django import publish
from portalbus.producers.django.django_transactions import DjangoTransactions
from portalbus.producers.intents.intent import Intent
from portalbus.producers.intents.intent_table import IntentTable
from portalbus.producers.sql_outbox import SqlOutbox
from portalbus.schemas.models import Payload
from scratch_databases import create_database, drop_database

CASES = "create table if not exists my_case (number integer primary key, state varchar(20) not null)"
ENGINES = ("sqlite", "postgresql", "mariadb")


class Spoiled(Exception):
    """Raised inside a portal's transaction, so that it is rolled back."""


class OpenTransaction(Protocol):
    """A portal's transaction while it is open."""

    def change(self, number: int) -> None:
        """The portal's own change: it has a case with this number now."""

    def publish(self, payload: Payload, event_id: str | None = None) -> Intent:
        """Publishes with this transaction."""


class IntentPortal(Protocol):
    """A portal with a database."""

    dialect: str

    @property
    def table(self) -> IntentTable:
        """Its committed intents."""

    def transaction(self) -> Any:
        """An OpenTransaction, as a context; committed at its end."""

    def run(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Runs a statement beside the portal."""

    def close(self) -> None:
        """Lets go of its connections; it opens others when it needs some."""


class SqlAlchemyPortal:
    """A portal that uses SQLAlchemy."""

    def __init__(self, url: str, portal: str = "www") -> None:
        self.engine: Engine = create_engine(url, poolclass=NullPool)
        self.dialect = self.engine.dialect.name
        self.outbox = SqlOutbox("H26", portal)
        self.outbox.create_tables(self.engine)
        with self.engine.begin() as connection:
            connection.execute(text(CASES))

    @property
    def table(self) -> IntentTable:
        return self.outbox.table(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[OpenTransaction]:
        with self.engine.begin() as connection:
            yield _OfConnection(self.outbox, connection)

    def run(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def close(self) -> None:
        self.engine.dispose()


class _OfConnection:
    def __init__(self, outbox: SqlOutbox, connection: Any) -> None:
        self._outbox, self._connection = outbox, connection

    def change(self, number: int) -> None:
        self._connection.execute(text("insert into my_case values (:number, 'new')"), {"number": number})

    def publish(self, payload: Payload, event_id: str | None = None) -> Intent:
        return self._outbox.publish(self._connection, payload, event_id=event_id)


class DjangoPortal:
    """A portal that uses Django; the database gets an alias of its own in this process."""

    def __init__(self, url: str, portal: str = "www") -> None:
        self._portal = portal
        self.alias = add_django_database(url)
        settings.PORTALBUS["PORTAL"] = portal
        self.dialect = connections[self.alias].vendor
        from django.core.management import call_command

        call_command("migrate", database=self.alias, verbosity=0)
        self.run(CASES)

    @property
    def table(self) -> IntentTable:
        return IntentTable(DjangoTransactions(self.alias), "H26", self._portal)

    @contextmanager
    def transaction(self) -> Iterator[OpenTransaction]:
        with transaction.atomic(self.alias):
            yield _OfAlias(self.alias)

    def run(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(re.sub(r":(\w+)", r"%(\1)s", statement), values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        connections.close_all()


class _OfAlias:
    def __init__(self, alias: str) -> None:
        self._alias = alias

    def change(self, number: int) -> None:
        with connections[self._alias].cursor() as cursor:
            cursor.execute("insert into my_case values (%s, 'new')", [number])

    def publish(self, payload: Payload, event_id: str | None = None) -> Intent:
        return publish(payload, event_id=event_id, using=self._alias)


def add_django_database(url: str) -> str:
    """Gives Django a database, in SQLAlchemy's words, and returns its alias; sets Django up before the first."""
    pymysql.version_info = (2, 2, 8, "final", 0)  # Django asks mysqlclient for its version
    pymysql.install_as_MySQLdb()
    if not settings.configured:
        settings.configure(
            INSTALLED_APPS=["portalbus.producers.django"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            PORTALBUS={"AGENCY": "H26"},
            USE_TZ=True,
        )
        django.setup()
    alias = f"d_{secrets.token_hex(4)}"
    connections.settings = connections.configure_settings({**connections.settings, alias: django_database(url)})
    return alias


def django_database(url: str) -> dict[str, Any]:
    """An entry of Django's DATABASES."""
    parts = urlsplit(url)
    kind = parts.scheme.split("+")[0]
    if kind == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path.removeprefix("/"),
            "OPTIONS": {"timeout": 20},
        }
    return {
        "ENGINE": f"django.db.backends.{kind}",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": parts.hostname,
        "PORT": parts.port,
    }


@contextmanager
def fresh_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The address of an empty database of this kind, in SQLAlchemy's words; dropped afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / f'portal_{secrets.token_hex(4)}.sqlite'}"
    elif kind == "mariadb":
        server: MariaDbServer = request.getfixturevalue("mariadb")
        with server.database() as account:
            yield account.url.replace("mysql:", "mysql+pymysql:", 1)
    else:
        with fresh_postgresql(request.getfixturevalue("postgres_url")) as url:
            yield url


@contextmanager
def fresh_postgresql(server: str) -> Iterator[str]:
    """An empty database on a PostgreSQL; dropped afterwards, with whoever is still connected."""
    name = f"intents_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        create_database(connection, name)
        try:
            yield urlunsplit(urlsplit(server)._replace(scheme="postgresql+psycopg", path=f"/{name}"))
        finally:
            drop_database(connection, name)


@contextmanager
def rolled_back(portal: IntentPortal) -> Iterator[OpenTransaction]:
    """A transaction that comes to nothing."""
    with suppress(Spoiled), portal.transaction() as doing:
        yield doing
        raise Spoiled


KINDS: dict[str, Callable[..., IntentPortal]] = {"sqlalchemy": SqlAlchemyPortal, "django": DjangoPortal}
