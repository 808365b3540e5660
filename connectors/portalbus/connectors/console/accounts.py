"""Who may use the console: a name and a password, bound to one agency or to the centre."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.connectors.console.passwords import hashed, matches
from portalbus.schemas.directory import first_level

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{1,63}")
COLUMNS = "name, agency, created_at, revoked_at"
ADD = f"""
insert into console.account (name, password, agency) values (%s, %s, %s)
on conflict (name) do update set password = excluded.password, agency = excluded.agency, created_at = now(),
    revoked_at = null
where account.revoked_at is not null returning {COLUMNS}"""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in; `agency` is None for the centre, which sees and does everything."""

    name: str
    agency: str | None
    created_at: datetime
    revoked_at: datetime | None = None

    def may_see(self, agency: str) -> bool:
        """True for what concerns this agency or one of its units."""
        return self.agency is None or first_level(agency) == self.agency


def add_account(connection: Connection[Any], name: str, password: str, agency: str | None) -> Account | None:
    """Makes an account, or a revoked one anew; None when the name is in use. Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: write 2 to 64 of a-z, 0-9, '.', '_', '@' and '-', such as lan@hanoi")
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(ADD, (name, hashed(password), agency)).fetchone()


def list_accounts(connection: Connection[Any]) -> list[Account]:
    """All accounts, also revoked ones, by name."""
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(f"select {COLUMNS} from console.account order by name").fetchall()


def revoke_account(connection: Connection[Any], name: str) -> bool:
    """Takes an account out of use; who is logged in with it is logged out. False when none of this name is in use."""
    with connection.transaction():
        connection.execute("delete from console.session where account = %s", (name,))
        done = connection.execute(
            "update console.account set revoked_at = now() where name = %s and revoked_at is null", (name,)
        )
        return done.rowcount > 0


def check_password(connection: Connection[Any], name: str, password: str) -> Account | None:
    """The account, when the password is its own. A name that nobody has takes as long as a wrong password."""
    row = connection.execute(
        f"select password, {COLUMNS} from console.account where name = %s and revoked_at is null", (name,)
    ).fetchone()
    right = matches(password, row[0] if row else _nobodys())
    return Account(*row[1:]) if row and right else None


@lru_cache(maxsize=1)
def _nobodys() -> str:
    return hashed("nobody has this password")
