"""A real IMAP server (pymap) with one mailbox in memory, and servers that misbehave on purpose."""

from __future__ import annotations

import imaplib
import importlib.util
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from central_process import free_port

USER, PASSWORD = "phan-anh", "mat-khau"
START_SECONDS = 20.0


class ImapServer:
    """One pymap process; it forgets its mails when it is started again, and numbers new ones anew."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "pymap.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: imaplib.IMAP4 | None = None

    def start(self) -> None:
        """Starts it. Raises AssertionError with its log."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-tls"]
        user = ["--demo-data", "--demo-user", USER, "--demo-password", PASSWORD]
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("pymap"), *options, "dict", *user], stdout=out, stderr=out
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    @property
    def client(self) -> imaplib.IMAP4:
        """A mail program that stays logged in: a login takes half a second."""
        if self._client is None:
            self._client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
            self._client.login(USER, PASSWORD)
        return self._client

    def folder(self, name: str) -> str:
        """Makes an empty folder; returns the address under which it is read."""
        self.client.create(name)
        return f"imap://127.0.0.1:{self.port}/{name}"

    def put(self, folder: str, *mails: bytes) -> None:
        """Delivers mails."""
        for mail in mails:
            status, said = self.client.append(folder, "", "", mail)
            assert status == "OK", said

    def flags(self, folder: str) -> list[str]:
        """The flags of each mail, in order."""
        _, opened = self.client.select(folder, readonly=True)
        _, found = self.client.fetch("1:*", "(FLAGS)") if opened != [b"0"] else ("", [])
        self.client.close()
        return [part.decode().partition("FLAGS (")[2].partition(")")[0] for part in found if isinstance(part, bytes)]

    def remove(self, folder: str, numbers: str) -> None:
        """Deletes mails by their place in the folder."""
        self.client.select(folder)
        self.client.store(numbers, "+FLAGS", r"(\Deleted)")
        self.client.close()


@pytest.fixture(scope="session")
def imap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapServer]:
    """A running IMAP server; skips where pymap is not installed."""
    if importlib.util.find_spec("pymap") is None:
        pytest.skip("pymap is not installed: it is an IMAP server for tests")
    server = ImapServer(tmp_path_factory.mktemp("imap"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def strange_server(answer: Callable[[bytes], bytes | None]) -> Iterator[str]:
    """A server that answers each line (empty for the greeting) with whatever `answer` gives; None keeps silent.

    Gives the address of its INBOX.
    """
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_talk, args=(connection, answer), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"imap://127.0.0.1:{listening.getsockname()[1]}/INBOX"
    finally:
        listening.close()


def _talk(connection: socket.socket, answer: Callable[[bytes], bytes | None]) -> None:
    with connection:
        lines = connection.makefile("rb")
        line = b""
        try:
            while True:
                said = answer(line)
                if said is not None:
                    connection.sendall(said)
                line = lines.readline()
                if not line:
                    return
        except OSError:
            return


def obedient(special: dict[bytes, Callable[[bytes], bytes | None]]) -> Callable[[bytes], bytes | None]:
    """Answers of a server with one mail (UID 1); commands in `special` are answered otherwise."""

    def answer(line: bytes) -> bytes | None:
        if not line:
            return b"* OK ready\r\n"
        tag, _, command = line.strip().partition(b" ")
        for name, other in special.items():
            if name in command:
                return other(tag)
        done = tag + b" OK done\r\n"
        if command.startswith(b"SELECT"):
            return b"* 1 EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n* OK [UIDNEXT 2] x\r\n" + done
        if b"SEARCH" in command:
            return b"* SEARCH 1\r\n" + done
        if b"INTERNALDATE" in command:
            return b'* 1 FETCH (UID 1 RFC822.SIZE 30 INTERNALDATE "20-Nov-2026 08:00:00 +0700")\r\n' + done
        if b"BODY.PEEK" in command:
            return b"* 1 FETCH (UID 1 BODY[]<0> {24}\r\nSubject: x\r\n\r\nXin chao\r\n)\r\n" + done
        if command.startswith(b"CAPABILITY"):
            return b"* CAPABILITY IMAP4rev1\r\n" + done
        return done

    return answer
