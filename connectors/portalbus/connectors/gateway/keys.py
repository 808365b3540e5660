"""API keys: 256 random bits each, bound to one agency and perhaps to one of its portals; only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from portalbus.schemas.spelling import AGENCY_CODE, PORTAL_ID

PREFIX = "pbk"
SECRET_BYTES = 32
SHAPE = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
LOOK_S = 0.25
"""How soon a running gateway hears of a key that was revoked."""
COLUMNS = "id, secret_hash, agency, portal, note, events_per_second, created_at, revoked_at"
NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed; the key itself is shown once, when it is made."""

    id: str
    agency: str
    portal: str | None
    note: str
    events_per_second: float | None
    created_at: datetime
    revoked_at: datetime | None


def add_key(
    connection: sqlite3.Connection,
    agency: str,
    portal: str | None = None,
    *,
    note: str = "",
    events_per_second: float | None = None,
) -> str:
    """Makes a key and returns it: `pbk_<id>_<secret>`. It cannot be shown again. Raises ValueError."""
    if not AGENCY_CODE.fullmatch(agency):
        raise ValueError(f"{agency} is no agency code; an example is H26")
    if portal is not None and not PORTAL_ID.fullmatch(portal):
        raise ValueError(f"portal {portal!r} must be 1 to 64 of a-z, 0-9, '.', '_' and '-'; an example is www")
    if events_per_second is not None and not 0.01 <= events_per_second <= 100_000:
        raise ValueError("a rate is between 0.01 and 100,000 events a second")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES)
    connection.execute(
        f"insert into api_key ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, null)",
        (key_id, _hash(secret), agency, portal, note, events_per_second, int(time.time())),
    )
    return f"{PREFIX}_{key_id}_{secret}"


def list_keys(connection: sqlite3.Connection) -> list[ApiKey]:
    """All keys, also revoked ones, oldest first."""
    rows = connection.execute(f"select {COLUMNS} from api_key order by created_at, id")
    return [_key(row) for row in rows]


def id_of(presented: str) -> str | None:
    """The id in what was presented as a key, which is no secret; None when it does not have the form of one."""
    shape = SHAPE.fullmatch(presented)
    return shape[1] if shape else None


def revoke_key(connection: sqlite3.Connection, key_id: str) -> bool:
    """Takes a key out of use for good; False when there is none with this id that is in use."""
    done = connection.execute(
        "update api_key set revoked_at = ? where id = ? and revoked_at is null", (int(time.time()), key_id)
    )
    return done.rowcount > 0


class KeyRing:
    """The keys in use, in memory; looks again when another process changed them."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._look_at = 0.0
        self._seen: int | None = None
        self._keys: dict[str, tuple[bytes, ApiKey]] = {}

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented, None when it is none, unknown, or revoked."""
        if self._clock() >= self._look_at:
            self._look()
        shape = SHAPE.fullmatch(presented)
        key_id, secret = shape.groups() if shape else ("", presented)
        if shape and key_id not in self._keys:
            self._look()  # it may have been made a moment ago
        known, key = self._keys.get(key_id, (NOBODY, None))
        return key if hmac.compare_digest(known, _hash(secret)) else None

    def _look(self) -> None:
        self._look_at = self._clock() + LOOK_S
        (version,) = self._connection.execute("pragma data_version").fetchone()
        if version != self._seen:
            rows = self._connection.execute(f"select {COLUMNS} from api_key where revoked_at is null").fetchall()
            self._keys = {row[0]: (row[1], _key(row)) for row in rows}
            self._seen = version


def _hash(secret: str) -> bytes:
    # A slow hash protects secrets that people choose; nobody can try out 256 random bits.
    return hashlib.sha256(secret.encode()).digest()


def _key(row: tuple[str, bytes, str, str | None, str, float | None, int, int | None]) -> ApiKey:
    key_id, _, agency, portal, note, rate, created_at, revoked_at = row
    return ApiKey(
        key_id,
        agency,
        portal,
        note,
        rate,
        datetime.fromtimestamp(created_at, UTC),
        None if revoked_at is None else datetime.fromtimestamp(revoked_at, UTC),
    )
