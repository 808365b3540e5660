"""The lock of the Java parts, and fetching what it names from a Maven repository on this machine."""

import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from portalbus.infra.stack.errors import Cancelled, StackError
from portalbus.infra.stack.fetch import Downloads
from portalbus.infra.stack.jars import Lock, LockedFile, verify
from portalbus.infra.stack.progress import Quiet

MEMBERS = {"app/run.jar": b"run" * 100, "lib/part-one.jar": b"lib" * 50}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {**MEMBERS, "unlocked.txt": b"not in the lock"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FILES = {
    "org/demo/one/1.0/one-1.0.jar": b"one" * 1000,
    "org/demo/two/2.0/two-2.0.jar": b"two" * 2000,
    "org/demo/app/3.0/app-3.0-all.tar.gz": archive(),
}


def lock() -> Lock:
    one, two, app = FILES.values()
    members = [
        LockedFile("registry", "member", name, len(content), digest(content)) for name, content in MEMBERS.items()
    ]
    return Lock(
        (
            LockedFile("kafka", "jar", "org.demo:one:1.0", len(one), digest(one)),
            LockedFile("kafka", "jar", "org.demo:two:2.0", len(two), digest(two)),
            LockedFile("registry", "archive", "org.demo:app:3.0:all:tar.gz", len(app), digest(app)),
            *members,
        )
    )


class Repository(SimpleHTTPRequestHandler):
    """A Maven repository that counts what it is asked for, and breaks off in the middle of some files."""

    asked: list[str]
    broken: set[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        if any(name in self.path for name in type(self).broken):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"half a file")
            self.close_connection = True
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Repository]]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    root = tmp_path / "repository"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    handler = type("Handler", (Repository,), {"asked": [], "broken": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def closed_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_line_of_the_lock_reads_back_as_it_was_written() -> None:
    entry = LockedFile("registry", "archive", "g.h:a:1.0:all:tar.gz", 12, "ab" * 32)
    assert LockedFile.parse(str(entry)) == entry
    assert entry.relative_path == Path("registry/a-1.0-all.tar.gz")


def test_the_shipped_lock_names_no_host_and_each_file_once() -> None:
    shipped = Lock.shipped()
    assert not any("//" in str(entry) for entry in shipped.entries)
    paths = [entry.relative_path for entry in shipped.entries]
    assert len(paths) == len(set(paths))
    assert all(len(entry.sha256) == 64 for entry in shipped.entries)


def test_the_shipped_lock_holds_the_promised_versions() -> None:
    names = {entry.name for entry in Lock.shipped().entries}
    assert "org.apache.kafka:kafka_2.13:4.4.0" in names
    assert "org.apache.kafka:kafka-clients:4.4.0" in names
    assert "io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz" in names


def test_missing_files_are_fetched_and_checked(tmp_path: Path, repository: tuple[str, type[Repository]]) -> None:
    address, _ = repository
    downloads = Downloads(lock(), tmp_path / "cache", Quiet(), address)
    jars = downloads.ensure("kafka")
    assert [path.read_bytes()[:3] for path in jars] == [b"one", b"two"]
    assert list((tmp_path / "cache").glob("part-*")) == []


def test_an_archive_is_unpacked_to_its_locked_members_alone(
    tmp_path: Path, repository: tuple[str, type[Repository]]
) -> None:
    address, _ = repository
    downloads = Downloads(lock(), tmp_path / "cache", Quiet(), address)
    downloads.ensure("registry")
    found = {path.name for path in downloads.folder.rglob("*") if path.is_file()}
    assert found == {"run.jar", "part-one.jar"}


def test_a_second_time_nothing_is_asked_for(tmp_path: Path, repository: tuple[str, type[Repository]]) -> None:
    address, handler = repository
    Downloads(lock(), tmp_path / "cache", Quiet(), address).ensure("kafka")
    handler.asked.clear()
    Downloads(lock(), tmp_path / "cache", Quiet(), closed_address()).ensure("kafka")
    assert handler.asked == []


def test_a_broken_off_download_goes_on_with_what_is_missing(
    tmp_path: Path, repository: tuple[str, type[Repository]]
) -> None:
    address, handler = repository
    handler.broken.add("two-2.0.jar")
    downloads = Downloads(lock(), tmp_path / "cache", Quiet(), address)
    with pytest.raises(StackError, match=r"org\.demo:two:2\.0 could not be fetched"):
        downloads.ensure("kafka")
    handler.broken.clear()
    downloads.ensure("kafka")
    handler.asked.clear()
    (downloads.folder / "kafka/two-2.0.jar").write_bytes(b"cut short")
    downloads.ensure("kafka")
    assert [path for path in handler.asked if path.endswith(".jar")] == ["/org/demo/two/2.0/two-2.0.jar"]


def test_a_download_that_is_not_the_locked_file_is_refused(
    tmp_path: Path, repository: tuple[str, type[Repository]]
) -> None:
    address, _ = repository
    (tmp_path / "repository/org/demo/two/2.0/two-2.0.jar").write_bytes(b"eve" * 2000)
    downloads = Downloads(lock(), tmp_path / "cache", Quiet(), address)
    with pytest.raises(StackError, match=r"two-2\.0\.jar is not the file that was locked"):
        downloads.ensure("kafka")
    assert not (downloads.folder / "kafka/two-2.0.jar").exists()


def test_a_file_changed_after_it_was_fetched_is_refused_by_name(
    tmp_path: Path, repository: tuple[str, type[Repository]]
) -> None:
    address, _ = repository
    downloads = Downloads(lock(), tmp_path / "cache", Quiet(), address)
    downloads.ensure("kafka")
    (downloads.folder / "kafka/one-1.0.jar").write_bytes(b"eve" * 1000)
    with pytest.raises(StackError, match=r"one-1\.0\.jar is not the file that was locked"):
        downloads.ensure("kafka")


def test_without_network_the_first_time_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(StackError) as caught:
        Downloads(lock(), tmp_path / "cache", Quiet(), closed_address()).ensure("kafka")
    assert "could not be fetched (ConnectionError)" in caught.value.problem
    assert "only the first start needs it" in caught.value.remedy


def test_a_file_the_repository_does_not_have_is_named(tmp_path: Path, repository: tuple[str, type[Repository]]) -> None:
    address, _ = repository
    (tmp_path / "repository/org/demo/one/1.0/one-1.0.jar").unlink()
    with pytest.raises(StackError, match=r"org\.demo:one:1\.0 could not be fetched"):
        Downloads(lock(), tmp_path / "cache", Quiet(), address).ensure("kafka")


def test_a_download_that_is_called_off_stops(tmp_path: Path, repository: tuple[str, type[Repository]]) -> None:
    def check() -> None:
        raise Cancelled

    address, _ = repository
    with pytest.raises(Cancelled):
        Downloads(lock(), tmp_path / "cache", Quiet(), address).ensure("kafka", check)


def test_what_a_killed_start_left_half_fetched_is_swept_away(
    tmp_path: Path, repository: tuple[str, type[Repository]]
) -> None:
    address, _ = repository
    left = tmp_path / "cache/part-kafka-abc"
    left.mkdir(parents=True)
    (left / "one-1.0.jar").write_bytes(b"half")
    Downloads(lock(), tmp_path / "cache", Quiet(), address).ensure("kafka")
    assert not left.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"one-1\.0\.jar is missing"):
        verify(lock(), "kafka", tmp_path)
