"""The kind `imap`: each new mail of a folder is a feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portalbus.connectors.pull.found import Before, FoundItem, Listing, Reading, Remark
from portalbus.connectors.pull.kind import Kind, ReadOnlySource, Surroundings
from portalbus.connectors.pull.mailbox.cases import case_of
from portalbus.connectors.pull.mailbox.mail import read_mail
from portalbus.connectors.pull.mailbox.session import FolderState, Session
from portalbus.connectors.pull.mailbox.settings import MailboxConfig
from portalbus.connectors.pull.mapping import rules

if TYPE_CHECKING:
    from portalbus.connectors.pull.comparing import Outcome

MANY = 20
"""From so many mails on, losing more than half of them at once is no tidying up."""


class Mailbox(ReadOnlySource):
    """One folder; the place in it is UIDVALIDITY and the last UID that was read.

    A mail is marked or moved after it is remembered. What a crash left unmarked is marked in the next pass.
    """

    def __init__(self, config: MailboxConfig, password: str) -> None:
        self._config = config
        self._password = password
        self._rules = rules({}, config.mapping)
        self._session: Session | None = None
        self._state = FolderState(0, 0, 0)
        self._unmarked: list[int] = []
        self._item_of: dict[int, str] = {}

    def read(self, before: Before) -> Reading:
        """The next mails; see `Source`."""
        first = self._session is None
        if self._session is None:
            self._session = Session(self._config, self._password)
            self._state = self._session.open()
        start, remarks, alert = self._start(before, first=first)
        waiting = self._session.uids_after(start, self._config.since)
        batch, more = waiting[: self._config.batch], len(waiting) > self._config.batch
        items, automatic = self._cases(self._session, batch)
        if automatic:
            text = f"{automatic} mails were written by machines (answers, lists, undeliverable mail); left alone"
            remarks.append(Remark(self._config.place, text))
        cursor = {
            "validity": self._state.validity,
            "uid": batch[-1] if batch else start,
            "count": self._state.count,
            "taken": sorted(self._item_of),
        }
        listing = Listing.WINDOW if items else Listing.UNCHANGED
        return Reading(tuple(items), listing, cursor=cursor, remarks=tuple(remarks), more=more, alert=alert)

    def settled(self, reading: Reading, outcome: Outcome) -> None:
        """Marks or moves the mails that were taken; a refused one stays as it is, so that somebody sees it."""
        if self._session is None:
            return
        refused = {item.item_id for item in outcome.refused}
        taken = [uid for uid, item_id in self._item_of.items() if item_id not in refused]
        self._session.take(sorted({*taken, *self._unmarked}))
        self._unmarked = []

    def close(self) -> None:
        """Ends the session."""
        if self._session is not None:
            self._session.close()

    def _start(self, before: Before, *, first: bool) -> tuple[int, list[Remark], str]:
        """The UID after which to read, what is to be said, and whether it is alarming."""
        cursor, state, place = before.cursor, self._state, self._config.place
        if not cursor:
            return 0, [], ""
        uid = int(cursor.get("uid", 0))
        if cursor.get("validity") != state.validity:
            text = "the server numbered its mails anew (UIDVALIDITY); all are read again, and known ones change nothing"
            return 0, [Remark(place, text)], ""
        if 0 < state.next_uid <= uid:
            return 0, [], f"UIDs went back from {uid} to {state.next_uid - 1}: was the mailbox restored from a backup?"
        if not first:
            return uid, [], ""
        # Marking twice changes nothing; not marking would leave a mail waiting for somebody forever.
        self._unmarked = [int(one) for one in cursor.get("taken", ())]
        count = int(cursor.get("count", 0))
        if self._config.after != "move" and count >= MANY and state.count < count / 2:
            return uid, [], f"the folder held {count} mails and now holds {state.count}; nothing was withdrawn"
        return uid, [], ""

    def _cases(self, session: Session, uids: list[int]) -> tuple[list[FoundItem], int]:
        self._item_of = {}
        cases: dict[str, FoundItem] = {}
        automatic = 0
        for uid in uids:
            raw = session.mail(uid)
            if raw is None:
                continue
            mail = read_mail(raw.content)
            if mail.automatic:
                automatic += 1
                continue
            found = case_of(raw, mail, self._rules, self._config)
            cases.setdefault(found.id, found)
            self._item_of[uid] = found.id
        return list(cases.values()), automatic


def open_mailbox(config: MailboxConfig, surroundings: Surroundings) -> Mailbox:
    """A mailbox that is not connected to yet."""
    return Mailbox(config, surroundings.secret(config.password))


MAILBOX = Kind("imap", MailboxConfig, open_mailbox, {})
