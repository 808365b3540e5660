"""The mailbox connector talks to a real IMAP server, keeps its place, and outlives servers that misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from imap_server import PASSWORD, USER, ImapServer, obedient, strange_server
from portalbus.connectors.pull.found import Listing
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.mailbox.kind import MAILBOX
from portalbus.connectors.pull.mailbox.settings import MailboxConfig
from pull_readings import Remembering, surroundings


def mail(number: int, text: str = "Đèn đường hỏng đã ba tuần.") -> bytes:
    """A citizen's mail."""
    head = f"From: An <an@example.com>\r\nSubject: So {number}\r\nMessage-ID: <{number}@x>\r\n"
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


def mailbox(address: str, **settings: Any) -> Remembering:
    """Passes over a folder."""
    said = {"agency": "H26", "kind": "imap", "address": address, "user": USER, "password": PASSWORD, "tls": "off"}
    config = MailboxConfig.model_validate({**said, "regime": "R1", **settings})
    return Remembering(lambda: MAILBOX.open(config, surroundings()))


def test_mails_are_feedback_once_and_are_marked(imap: ImapServer) -> None:
    address = imap.folder("Marked")
    imap.put("Marked", mail(1), mail(2))
    passes = mailbox(address)
    found = passes.read()
    assert [item.data["subject"] for item in found.items] == ["So 1", "So 2"]
    assert found.items[0].data["content"] == "Đèn đường hỏng đã ba tuần."
    assert imap.flags("Marked") == ["\\Seen", "\\Seen"]
    assert passes.read().listing is Listing.UNCHANGED
    imap.put("Marked", mail(3))
    assert [item.data["subject"] for item in passes.read().items] == ["So 3"]


def test_taken_mails_are_moved_to_a_folder_that_is_made(imap: ImapServer) -> None:
    address = imap.folder("Moving")
    imap.put("Moving", mail(1), mail(2))
    passes = mailbox(address, after="move", moved_to="Taken")
    assert len(passes.read().items) == 2
    assert imap.flags("Moving") == []
    assert len(imap.flags("Taken")) == 2
    assert passes.read().items == []


def test_reading_alone_changes_nothing_and_a_crash_before_marking_is_made_good(imap: ImapServer) -> None:
    address = imap.folder("Crash")
    imap.put("Crash", mail(1))
    passes = mailbox(address)
    assert len(passes.read(settle=False).items) == 1
    assert imap.flags("Crash") in ([""], ["\\Recent"])
    assert passes.read().items == []
    assert imap.flags("Crash") == ["\\Seen"]


def test_mails_come_in_batches(imap: ImapServer) -> None:
    address = imap.folder("Batches")
    imap.put("Batches", *map(mail, range(7)))
    found = mailbox(address, batch=3).read()
    assert [len(reading.items) for reading in found.readings] == [3, 3, 1]


def test_the_same_mail_delivered_twice_is_one_feedback(imap: ImapServer) -> None:
    address = imap.folder("Twice")
    imap.put("Twice", mail(1), b"Received: again\r\n" + mail(1))
    assert len(mailbox(address).read().items) == 1
    assert imap.flags("Twice") == ["\\Seen", "\\Seen"]


def test_new_numbers_for_all_mails_give_the_same_items(imap: ImapServer) -> None:
    address = imap.folder("Renumbered")
    imap.put("Renumbered", mail(1), mail(2))
    passes = mailbox(address)
    before = {item.id for item in passes.read().items}
    passes.cursor["validity"] = 1
    again = passes.read()
    assert {item.id for item in again.items} == before
    assert "UIDVALIDITY" in str(again.remarks[0])


def test_numbers_that_go_back_and_a_folder_that_is_emptied_are_alerts(imap: ImapServer) -> None:
    address = imap.folder("Back")
    imap.put("Back", *map(mail, range(20)))
    passes = mailbox(address)
    passes.read()
    imap.remove("Back", "1:15")
    emptied = passes.read()
    assert emptied.items == []
    assert emptied.readings[0].alert == "the folder held 20 mails and now holds 5; nothing was withdrawn"
    passes.cursor["uid"] = 100_000
    assert passes.read().readings[0].alert.startswith("UIDs went back from 100000")


def test_machines_mail_is_left_alone(imap: ImapServer) -> None:
    address = imap.folder("Machines")
    imap.put("Machines", b"Auto-Submitted: auto-replied\r\n" + mail(1), mail(2))
    found = mailbox(address).read()
    assert [item.data["subject"] for item in found.items] == ["So 2"]
    assert "1 mails were written by machines" in str(found.remarks[0])
    assert "Seen" not in imap.flags("Machines")[0]


def test_a_mail_of_many_megabytes_is_read_in_part(imap: ImapServer) -> None:
    address = imap.folder("Large")
    imap.put("Large", mail(1, "Đèn hỏng. " * 500_000))
    (item,) = mailbox(address, max_bytes=64 * 1024).read().items
    assert item.data["content"].endswith("chỉ phần đầu được đọc.]")


def test_a_missing_folder_and_a_wrong_password_are_named_without_it(imap: ImapServer) -> None:
    address = imap.folder("Named")
    with pytest.raises(ReadFailed, match="the folder Elsewhere is not there"):
        mailbox(address.replace("Named", "Elsewhere")).read()
    with pytest.raises(ReadFailed, match="the login was refused") as failure:
        mailbox(address, password="sai-hoan-toan").read()
    assert "sai-hoan-toan" not in str(failure.value)
    with pytest.raises(ReadFailed, match="no connection"):
        mailbox(address, tls="require").read()  # this server has no TLS, and nothing is said in the clear
    with pytest.raises(ReadFailed, match="no connection"):
        mailbox("imap://127.0.0.1:1/INBOX").read()


def silent(_: bytes) -> None:
    """Says nothing."""


def drip(tag: bytes) -> bytes:
    """Begins an answer and never ends it."""
    return b"* 1 FETCH (UID 1 BODY[]<0> {100000}\r\nSubject: x\r\n"


@pytest.mark.parametrize(
    ("special", "settings", "said"),
    [
        ({b"LOGIN": silent}, {}, "did not answer within 0.3 s"),
        ({b"SEARCH": silent}, {}, "did not answer within 0.3 s"),
        ({b"BODY.PEEK": drip}, {}, "did not answer within 0.3 s"),
        ({b"BODY.PEEK": silent}, {"timeout": 60, "longest": 1}, "the session took longer than 1 s"),
        (
            {b"BODY.PEEK": lambda tag: b"* 1 FETCH (UID 1 BODY[] {9999999999}\r\n"},
            {},
            "the mail with UID 1 cannot be read",
        ),
        ({b"SEARCH": lambda tag: b"* SEARCH " + b"1 " * 600_000 + b"\r\n"}, {}, "its list of mails cannot be read"),
        ({b"SELECT": lambda tag: tag + b" NO no such folder\r\n"}, {}, "the folder INBOX is not there"),
        ({b"SELECT": lambda tag: b"\x00\xff garbage\r\n"}, {}, "cannot be opened"),
        ({b"LOGIN": lambda tag: b"* BYE go away\r\n"}, {}, "the login was refused"),
    ],
)
def test_a_server_that_misbehaves_is_left_in_time_with_a_reason(
    special: dict[bytes, Callable[[bytes], bytes | None]], settings: dict[str, Any], said: str
) -> None:
    begun = time.monotonic()
    with strange_server(obedient(special)) as address, pytest.raises(ReadFailed, match=said):
        mailbox(address, **{"timeout": 0.3, **settings}).read()
    assert time.monotonic() - begun < 5


def test_odd_answers_are_understood_or_passed_over() -> None:
    with strange_server(obedient({})) as address:
        assert [item.data["content"] for item in mailbox(address).read().items] == ["Xin chao"]
    short: dict[bytes, Callable[[bytes], bytes | None]] = {
        b"BODY.PEEK": lambda tag: b'* 1 FETCH (UID 1 BODY[]<0> "Subject: \\"x\\"")\r\n' + tag + b" OK x\r\n"
    }
    with strange_server(obedient(short)) as address:
        assert [item.data["subject"] for item in mailbox(address).read().items] == ['"x"']
    gone: dict[bytes, Callable[[bytes], bytes | None]] = {b"BODY.PEEK": lambda tag: tag + b" OK nothing\r\n"}
    with strange_server(obedient(gone)) as address:
        assert mailbox(address).read().items == []
