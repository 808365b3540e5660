"""Who is logged in: a random token in a cookie, its hash in the database; what forms have to carry follows from it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import Connection

from portalbus.connectors.console.accounts import Account

COOKIE = "portalbus_office"
LONGEST = timedelta(hours=12)
IDLE = timedelta(hours=2)
TOKEN_BYTES = 32
VALID = """
s.token_hash = %(token)s and a.name = s.account and a.revoked_at is null
  and s.began_at > now() - %(longest)s and s.seen_at > now() - %(idle)s"""
LOOK = f"""
update console.session s set seen_at = now() from console.account a
where {VALID} returning a.name, a.agency, a.created_at"""
PEEK = f"select exists (select from console.session s, console.account a where {VALID})"
TIDY = "delete from console.session where began_at < now() - %(longest)s or seen_at < now() - %(idle)s"
BOUNDS = {"longest": LONGEST, "idle": IDLE}


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in."""

    account: Account
    csrf: str


def begin_session(connection: Connection[Any], account: Account) -> str:
    """Logs somebody in and returns the token for the cookie; forgets sessions that are over."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(TIDY, BOUNDS)
    connection.execute(
        "insert into console.session (token_hash, account) values (%s, %s)", (_kept(token), account.name)
    )
    return token


def find_session(connection: Connection[Any], token: str) -> Session | None:
    """Who came with this token; None when nobody is logged in with it (any more)."""
    row = connection.execute(LOOK, {"token": _kept(token), **BOUNDS}).fetchone()
    return Session(Account(*row), csrf_of(token)) if row else None


def is_session(connection: Connection[Any], token: str) -> bool:
    """True while somebody is logged in with this token. Asking does not keep the session alive."""
    row = connection.execute(PEEK, {"token": _kept(token), **BOUNDS}).fetchone()
    return bool(row and row[0])


def end_session(connection: Connection[Any], token: str) -> None:
    """Logs out."""
    connection.execute("delete from console.session where token_hash = %s", (_kept(token),))


def csrf_of(token: str) -> str:
    """What a form of this session carries. Another site can neither read it nor work it out."""
    return hmac.new(token.encode(), b"portalbus console form", hashlib.sha256).hexdigest()


def _kept(token: str) -> bytes:
    # A slow hash protects secrets that people choose; nobody can try out 256 random bits.
    return hashlib.sha256(token.encode()).digest()
