"""Accounts of the console for tests, with passwords that everybody may know."""

from __future__ import annotations

import psycopg

from portalbus.connectors.console.accounts import add_account

PASSWORD = "đúng mật khẩu này"


def make_account(database_url: str, name: str, agency: str | None = None) -> str:
    """Makes an account unless there is one, and returns its name; without an agency it is the centre's."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        add_account(connection, name, PASSWORD, agency)
    return name
