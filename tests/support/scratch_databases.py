"""Databases that a test makes and drops again."""

import time
from typing import Any

import psycopg
from psycopg import sql

_PATIENCE_S = 60.0
_PAUSE_S = 0.2


def create_database(connection: psycopg.Connection[Any], name: str, template: str = "") -> None:
    """Creates an empty database, or a copy of another one to which nobody is connected."""
    copied = sql.SQL(" template {}").format(sql.Identifier(template)) if template else sql.SQL("")
    connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)) + copied)


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drops a database with whoever is still connected.

    Waits while the server's own vacuum is at work in it, which only a superuser may end.

    Raises:
        psycopg.errors.InsufficientPrivilege: if somebody whom the owner may not end stays connected for a minute.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
