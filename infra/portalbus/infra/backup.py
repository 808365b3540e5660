"""Backups of the ledger with PostgreSQL's own programs, and what is needed after one was put back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from psycopg import Connection, sql

from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.postgres import installation
from portalbus.producers.centre_schemas import CentreSchemas
from portalbus.schemas.headers import POSITION_HEADER
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.models import Verdict
from portalbus.schemas.topics import CANONICAL, VERDICT_PREFIX
from portalbus.streams.ledger.database import connect, migrate
from portalbus.streams.ledger.order import free_position
from portalbus.streams.ledger.stepping_back import connected_processes
from portalbus.streams.relaying.position import read_position
from portalbus.streams.relaying.sent_before import Named, event_name, settle, verdict_name

TIMEOUT_SECONDS = 20.0
SCHEMAS = """
select nspname from pg_namespace
where nspname not in ('public', 'information_schema') and nspname not like 'pg\\_%'"""
RELAYED = 'select topic, partition, max("offset") + 1 from ledger.relayed group by topic, partition'


class BackupError(StackError):
    """A backup could not be made or put back."""


def back_up(database_url: str, file: Path) -> None:
    """Writes everything in the ledger's database as of one moment, while all goes on. Raises BackupError.

    The file is complete or not there; it holds what the ledger holds, so it is readable by its owner alone.
    """
    fresh = file.with_name(file.name + ".part")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT, 0o600))
    try:
        _run("pg_dump", database_url, ["--format=custom", "--no-owner", "--no-privileges", f"--file={fresh}"])
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.rename(file)
    finally:
        fresh.unlink(missing_ok=True)


def put_back(database_url: str, file: Path) -> None:
    """Puts a backup in the place of what the database holds, and brings its tables up to this version.

    Raises BackupError when the file is no backup, or while processes of the bus are connected.
    """
    _run("pg_restore", None, ["--list", str(file)])
    with connect(database_url, application="restore") as connection:
        refuse_while_running(connection)
        for (name,) in connection.execute(SCHEMAS).fetchall():
            connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))
        connection.execute("drop table if exists public.portalbus_migration")
    options = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", database_url, [*options, "--dbname", _without_password(database_url), str(file)])
    migrate(database_url)


def refuse_while_running(connection: Connection[Any]) -> None:
    """Raises BackupError when a process of the bus is connected."""
    running = connected_processes(connection)
    if running:
        raise BackupError(f"{', '.join(running)} is connected to the database", "stop the processes of the bus first")


def settle_restored(database_url: str, bootstrap: str, registry_url: str) -> tuple[int, int]:
    """Tells a ledger that was put back what the relay has sent behind it, before a worker or the relay runs.

    Returns the first free position of the backup and the one from now on. Raises BackupError and KafkaException.
    """
    last_sent = read_position(bootstrap)
    with connect(database_url, application="restore") as connection:
        refuse_while_running(connection)
        first = free_position(connection)
        starts = {(topic, number): offset for topic, number, offset in connection.execute(RELAYED)}
        sent = list(_sent_from(bootstrap, CentreSchemas(registry_url), starts, first)) if last_sent >= first else []
        return settle(connection, sent, last_sent)


def _sent_from(
    bootstrap: str, schemas: CentreSchemas, starts: dict[tuple[str, int], int], first: int
) -> Iterator[Named]:
    """What was sent for this position and later ones; `starts` says up to where the ledger knows of everything."""
    for message in _read(bootstrap, starts):
        pairs: Any = message.headers() or []
        headers = {name: value.decode() for name, value in pairs if value is not None}
        if int(headers.get(POSITION_HEADER, 0)) < first:
            continue
        topic = message.topic() or ""
        if topic.startswith(VERDICT_PREFIX):
            said = schemas.decode(message.value()) if headers["ce_type"].endswith(".Verdict") else None
            if isinstance(said, Verdict):
                yield topic, verdict_name(said.offset, said.status.value, said.rule)
        else:
            yield topic, event_name(headers["ce_source"].split("/")[1], headers["ce_id"])


def _read(bootstrap: str, starts: dict[tuple[str, int], int]) -> Iterator[Message]:
    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap),
            "group.id": "portalbus-restore",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        known = consumer.list_topics(timeout=TIMEOUT_SECONDS).topics
        topics = [name for name in known if name.startswith(VERDICT_PREFIX) or name in CANONICAL.values()]
        places = [(topic, number) for topic in topics for number in known[topic].partitions]
        consumer.assign([TopicPartition(*place, starts.get(place, 0)) for place in places])
        unread = set(places)
        while unread:
            message = consumer.poll(TIMEOUT_SECONDS)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{len(unread)} partitions not read to the end"))
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard((message.topic() or "", message.partition() or 0))
            else:
                raise KafkaException(error)
    finally:
        consumer.close()


def _run(program: str, database_url: str | None, options: Sequence[str]) -> None:
    """Runs one of PostgreSQL's programs; the password goes into its environment, where nobody else reads it."""
    path = _program(program)
    environment = dict(os.environ)
    argv = [path, *options]
    if database_url is not None:
        environment["PGPASSWORD"] = unquote(urlsplit(database_url).password or environment.get("PGPASSWORD", ""))
        if program == "pg_dump":
            argv += ["--dbname", _without_password(database_url)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
        raise BackupError(
            f"{program} failed: {said}", "mend that and do it again; until then a restored database is empty"
        )


def _program(name: str) -> str:
    """The wheel's own where it is installed: the system's may be older than the server, and refuses then."""
    try:
        return str(installation() / name)
    except StackError:
        found = shutil.which(name)
        if found is None:
            raise BackupError(f"{name} is not installed", "install the client programs of PostgreSQL 18") from None
        return found


def _without_password(database_url: str) -> str:
    parts = urlsplit(database_url)
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=f"{user}{parts.netloc.rpartition('@')[2]}"))


__all__ = ["BackupError", "back_up", "put_back", "refuse_while_running", "settle_restored"]
