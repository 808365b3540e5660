"""Whatever a registry answers, or does not answer, is one of two errors in words."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from portalbus.schemas import avro_files
from portalbus.schemas.avro_files import AvroFile
from portalbus.schemas.errors import NotRegistered, RegistryRefused, RegistryUnavailable
from portalbus.schemas.registration import LaneSchemas, SchemaIds, register_all
from portalbus.schemas.registry import COMPATIBILITY, CONTENT_TYPE, SchemaRegistry


class Answers:
    """A small HTTP server that answers as told and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answer: Callable[[str, str, Any], tuple[int, bytes]] = lambda method, path, body: (200, b"{}")
        self.content_types: set[str | None] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                outer.asked.append((self.command, self.path, body))
                outer.content_types.add(self.headers.get("Content-Type"))
                status, answer = outer.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                self.handle_any()

            def do_POST(self) -> None:
                self.handle_any()

            def do_PUT(self) -> None:
                self.handle_any()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing: the test names what went wrong."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/apis/ccompat/v7"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.close()


def saying(status: int, document: Any) -> Callable[[str, str, Any], tuple[int, bytes]]:
    answer = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda method, path, body: (status, answer)


CALLS: dict[str, Callable[[SchemaRegistry], Any]] = {
    "subjects": lambda registry: registry.subjects(),
    "register": lambda registry: registry.register("s", "{}"),
    "lookup": lambda registry: registry.lookup("s", "{}"),
    "versions": lambda registry: registry.versions("s"),
    "schema": lambda registry: registry.schema(1),
    "set_compatibility": lambda registry: registry.set_compatibility("s"),
}


def test_the_calls_are_those_of_confluents_api(server: Answers) -> None:
    registry = SchemaRegistry(server.url + "/")
    answers: dict[str, Any] = {
        "/subjects": ["a", "b"],
        "/subjects/a%20b/versions": {"id": 7},
        "/subjects/a": {"id": 8, "version": 1},
        "/subjects/a/versions": [1, 2],
        "/schemas/ids/7": {"schema": '"string"'},
        "/config/a": {"compatibility": COMPATIBILITY},
    }
    prefix = "/apis/ccompat/v7"
    server.answer = lambda method, path, body: (200, json.dumps(answers[path.removeprefix(prefix)]).encode())
    assert registry.subjects() == ["a", "b"]
    assert registry.register("a b", '"string"') == 7
    assert registry.lookup("a", '"string"') == 8
    assert registry.versions("a") == [1, 2]
    assert registry.schema(7) == "string"
    registry.set_compatibility("a")
    assert server.asked[1] == ("POST", f"{prefix}/subjects/a%20b/versions", {"schema": '"string"'})
    assert server.asked[-1] == ("PUT", f"{prefix}/config/a", {"compatibility": "FULL_TRANSITIVE"})
    assert server.content_types == {CONTENT_TYPE}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
def test_a_no_is_repeated_in_the_registrys_own_words(
    server: Answers, call: Callable[[SchemaRegistry], Any], status: int
) -> None:
    server.answer = saying(status, {"error_code": 40403, "message": "Schema not found"})
    with pytest.raises(RegistryRefused, match=rf"{status}.*Schema not found"):
        call(SchemaRegistry(server.url))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_registry_in_trouble_is_tried_again_later(
    server: Answers, call: Callable[[SchemaRegistry], Any], status: int
) -> None:
    server.answer = saying(status, b"<html>bad gateway</html>")
    with pytest.raises(RegistryUnavailable, match=str(status)):
        call(SchemaRegistry(server.url))


@pytest.mark.parametrize("call", [CALLS[name] for name in CALLS if name != "set_compatibility"])
@pytest.mark.parametrize("answer", [b"<html>login</html>", b"", b"null", b"7", b'"x"', b'{"other": 1}', b"\xff\xfe"])
def test_an_answer_that_is_not_a_registrys_is_no_answer(
    server: Answers, call: Callable[[SchemaRegistry], Any], answer: bytes
) -> None:
    server.answer = saying(200, answer)
    with pytest.raises(RegistryUnavailable):
        call(SchemaRegistry(server.url))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nobody_listening_is_said_with_the_address(call: Callable[[SchemaRegistry], Any]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound but not listening: a connection is refused
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(RegistryUnavailable, match=url):
            call(SchemaRegistry(url, timeout=2))


def test_a_registry_that_takes_the_call_and_says_nothing_is_given_up_on() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with pytest.raises(RegistryUnavailable, match="timed out"):
            SchemaRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05).subjects()


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[1"])
def test_something_else_on_the_port_or_a_cut_connection_is_no_answer(words: bytes) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)

        def speak() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(words)

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            with pytest.raises(RegistryUnavailable):
                SchemaRegistry(f"http://127.0.0.1:{other.getsockname()[1]}", timeout=5).subjects()
        finally:
            speaker.join()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "127.0.0.1:8081", "", "mock://x"])
def test_only_a_web_address_is_a_registry(url: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        SchemaRegistry(url)


class NumberedRegistry(Answers):
    """Gives each schema of a subject the next id, and knows it again."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[tuple[str, str], int] = {}
        self.answer = self.number

    def without(self, name: str, version: int) -> NumberedRegistry:
        """With every committed version but this one."""
        register_all(SchemaRegistry(self.url))
        del self.ids[place_of(name, version)]
        return self

    def number(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        if "/config/" in path:
            return 200, b"{}"
        subject = path.split("/subjects/")[1].removesuffix("/versions")
        if method == "GET":
            held = [number for number, (name, _) in enumerate(self.ids, start=1) if name == subject]
            return 200, json.dumps(held).encode()
        place = (subject, body["schema"])
        if path.endswith("/versions"):
            self.ids.setdefault(place, 100 + len(self.ids))
        if place not in self.ids:
            return 404, b'{"error_code": 40403, "message": "Schema not found"}'
        return 200, json.dumps({"id": self.ids[place]}).encode()


def place_of(name: str, version: int) -> tuple[str, str]:
    """Where a registry keeps a committed version."""
    file = avro_files.history(name)[version - 1]
    return file.subject, json.dumps(file.raw)


@pytest.fixture
def numbered() -> Iterator[NumberedRegistry]:
    answers = NumberedRegistry()
    yield answers
    answers.close()


def test_registering_twice_changes_nothing(numbered: NumberedRegistry) -> None:
    registry = SchemaRegistry(numbered.url)
    first = register_all(registry)
    assert first == register_all(registry)
    assert set(first) == set(avro_files.ALL_TYPES)
    assert {subject for subject, _ in numbered.ids} == {f"portalbus.events.{name}" for name in avro_files.ALL_TYPES}
    assert sum("/config/" in path for _, path, _ in numbered.asked) == 2 * len(avro_files.ALL_TYPES)


def test_ids_are_learned_without_registering_anything(numbered: NumberedRegistry) -> None:
    registered = register_all(SchemaRegistry(numbered.url))
    numbered.asked.clear()
    ids = SchemaIds(SchemaRegistry(numbered.url))
    assert {name: ids.id_of(name) for name in avro_files.ALL_TYPES} == registered
    assert all(not path.endswith("/versions") and method == "POST" for method, path, _ in numbered.asked)


def test_an_unregistered_contract_is_refused_with_the_registrys_words(numbered: NumberedRegistry) -> None:
    with pytest.raises(RegistryRefused, match="Schema not found"):
        SchemaIds(SchemaRegistry(numbered.url)).id_of("Verdict")


def test_ids_are_remembered_over_a_restart_while_the_registry_is_away(
    numbered: NumberedRegistry, tmp_path: Any
) -> None:
    cache = tmp_path / "state" / "schema-ids.json"
    registered = register_all(SchemaRegistry(numbered.url))
    SchemaIds(SchemaRegistry(numbered.url), cache).lane_writers()
    numbered.answer = saying(503, {})
    writers = SchemaIds(SchemaRegistry(numbered.url), cache).lane_writers()
    assert all(registered[name] in writers for name in avro_files.LANE_TYPES)
    assert registered["Verdict"] not in writers
    with pytest.raises(RegistryUnavailable):
        SchemaIds(SchemaRegistry(numbered.url), cache).id_of("Verdict")
    assert [file.name for file in cache.parent.iterdir()] == [cache.name]


def test_an_id_of_one_registry_is_not_used_with_another(numbered: NumberedRegistry, tmp_path: Any) -> None:
    cache = tmp_path / "schema-ids.json"
    register_all(SchemaRegistry(numbered.url))
    SchemaIds(SchemaRegistry(numbered.url), cache).id_of("Verdict")
    other = NumberedRegistry()
    try:
        with pytest.raises(RegistryRefused):
            SchemaIds(SchemaRegistry(other.url), cache).id_of("Verdict")
    finally:
        other.close()


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b"[1]", b"null", b'{"a": null}', b'{"a": "x"}', b"\xff\xfe\x00"])
def test_a_torn_cache_costs_a_look_up_and_nothing_else(numbered: NumberedRegistry, tmp_path: Any, torn: bytes) -> None:
    cache = tmp_path / "schema-ids.json"
    cache.write_bytes(torn)
    registered = register_all(SchemaRegistry(numbered.url))
    assert SchemaIds(SchemaRegistry(numbered.url), cache).id_of("Verdict") == registered["Verdict"]
    assert registered["Verdict"] in json.loads(cache.read_bytes()).values()


def test_two_versions_that_differ_in_a_word_have_ids_of_their_own(
    numbered: NumberedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = avro_files.current("Verdict")
    second = avro_files.AvroFile("Verdict", 2, first.text.replace('"doc": "Agency of the lane."', '"doc": "Agency."'))
    assert second.text != first.text and second.fingerprint == first.fingerprint
    monkeypatch.setattr(avro_files, "history", lambda name: (first, second))
    registry = SchemaRegistry(numbered.url)
    one, two = (registry.register(file.subject, json.dumps(file.raw)) for file in (first, second))
    ids = SchemaIds(registry)
    assert (ids.id_of("Verdict", 1), ids.id_of("Verdict", 2), ids.id_of("Verdict")) == (one, two, two)
    assert one != two


def lane_schemas(registry: NumberedRegistry, cache: Any = None) -> LaneSchemas:
    """What a process that starts now knows of them."""
    return LaneSchemas(SchemaIds(SchemaRegistry(registry.url), cache))


def versions_of(files: Iterable[AvroFile]) -> list[str]:
    """Which they are."""
    return [f"{file.name} {file.version}" for file in files]


def test_a_version_that_is_not_registered_is_missing_until_it_is(numbered: NumberedRegistry) -> None:
    schemas = lane_schemas(numbered.without("FeedbackReceived", 2))
    assert versions_of(schemas.missing) == ["FeedbackReceived 2"]
    assert len(schemas.writers) == sum(len(avro_files.history(name)) for name in avro_files.LANE_TYPES) - 1
    assert list(schemas.look()) == []
    numbered.ids[place_of("FeedbackReceived", 2)] = 777
    assert 777 not in schemas.writers
    assert versions_of(schemas.look()) == ["FeedbackReceived 2"]
    assert schemas.writers.writer(777).name == "FeedbackReceived"
    assert schemas.known[777].version == 2
    numbered.asked.clear()
    assert list(schemas.look()) == []
    assert numbered.asked == [], "there is nothing to ask for any more"


def test_a_version_is_asked_for_in_vain_while_the_registry_is_away(numbered: NumberedRegistry) -> None:
    schemas = lane_schemas(numbered.without("FeedbackReceived", 2))
    numbered.answer = saying(503, {})
    with pytest.raises(RegistryUnavailable):
        list(schemas.look())
    assert versions_of(schemas.missing) == ["FeedbackReceived 2"]


def test_what_the_registry_did_not_hold_is_remembered_for_a_start_without_it(
    numbered: NumberedRegistry, tmp_path: Any
) -> None:
    cache = tmp_path / "schema-ids.json"
    lane_schemas(numbered.without("FeedbackReceived", 2), cache)
    numbered.answer = saying(503, {})
    schemas = lane_schemas(numbered, cache)
    assert versions_of(schemas.missing) == ["FeedbackReceived 2"]
    with pytest.raises(RegistryUnavailable):  # a process that knows nothing waits
        lane_schemas(numbered, tmp_path / "other.json")


def test_what_another_process_has_learned_needs_no_registry(numbered: NumberedRegistry, tmp_path: Any) -> None:
    cache = tmp_path / "schema-ids.json"
    one = lane_schemas(numbered.without("FeedbackReceived", 2), cache)
    other = lane_schemas(numbered, cache)
    numbered.ids[place_of("FeedbackReceived", 2)] = 777
    assert versions_of(one.look()) == ["FeedbackReceived 2"]
    numbered.answer = saying(503, {})
    assert versions_of(other.look()) == ["FeedbackReceived 2"]
    assert 777 in other.writers


def test_a_registry_with_another_history_is_refused(numbered: NumberedRegistry) -> None:
    numbered.without("FeedbackReceived", 2).ids["portalbus.events.FeedbackReceived", '"of somebody else"'] = 777
    with pytest.raises(
        RegistryRefused, match=r"FeedbackReceived.* 1 versions that are not shipped here, and not \[2\]"
    ):
        lane_schemas(numbered)


def test_a_registry_that_is_ahead_is_not_refused(numbered: NumberedRegistry) -> None:
    register_all(SchemaRegistry(numbered.url))
    numbered.ids["portalbus.events.FeedbackReceived", '"of tomorrow"'] = 777
    schemas = lane_schemas(numbered)
    assert schemas.missing == []
    assert 777 not in schemas.writers


def test_a_registry_without_any_contract_is_refused(numbered: NumberedRegistry) -> None:
    with pytest.raises(NotRegistered, match="portalbus schemas register"):
        lane_schemas(numbered)


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_refuses_to_answer_does_not_count_as_without_versions(
    numbered: NumberedRegistry, status: int
) -> None:
    numbered.answer = saying(status, {"message": "who are you?"})
    with pytest.raises(RegistryRefused, match="who are you") as refused:
        lane_schemas(numbered)
    assert not isinstance(refused.value, NotRegistered)
