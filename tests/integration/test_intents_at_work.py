"""A relay at work on a bus inside the process: verdicts, commands, asynchronous sessions, and the two examples."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import String, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from central_process import free_port
from intent_portals import SqlAlchemyPortal, fresh_postgresql
from portal_events import directive, feedback
from portalbus.producers import OutboxUnavailable, VerdictStatus
from portalbus.producers.intents.mover import Mover
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Bounds
from portalbus.producers.sql_outbox import SqlOutbox
from portalbus.producers.sql_outbox.__main__ import main
from portalbus.producers.testing import InProcessBus

EXAMPLES = Path(__file__).parents[2] / "producers" / "examples"
Eventually = Callable[[Callable[[], bool]], bool]


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[SqlAlchemyPortal]:
    made = SqlAlchemyPortal(f"sqlite:///{tmp_path / 'portal.sqlite'}")
    yield made
    made.close()


@pytest.fixture
def environment(portalbus_bus: InProcessBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    portalbus_bus.open_lane("H26")
    said = {
        "PORTALBUS_AGENCY": "H26",
        "PORTALBUS_BOOTSTRAP": portalbus_bus.bootstrap,
        "PORTALBUS_REGISTRY": portalbus_bus.registry_url,
        "PORTALBUS_OUTBOX": str(tmp_path / "outbox"),
        "PORTALBUS_CANARY": "0",
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    return said


def test_what_the_centre_decides_comes_back_to_the_row_and_to_the_portals_own_function(
    portal: SqlAlchemyPortal,
    portalbus_bus: InProcessBus,
    environment: dict[str, str],
    eventually: Eventually,
) -> None:
    heard: list[tuple[str, str]] = []
    with portal.transaction() as doing:
        good = doing.publish(feedback(1)).event_id
        bad = doing.publish(feedback(2)).event_id
    with portal.outbox.relay_from_env(
        portal.engine, on_verdict=lambda verdict: heard.append((str(verdict.event_id), verdict.rule))
    ):
        first, second = portalbus_bus.published(at_least=2)
        assert eventually(lambda: portal.table.counts().done == 2)
        portalbus_bus.decide(first)
        portalbus_bus.decide(second, VerdictStatus.REJECTED, "case.already-received", "/payload/case_id")
        portalbus_bus.decide(first, VerdictStatus.DUPLICATE, "event.duplicate")
        assert eventually(lambda: len(heard) == 3)
    found = portal.run("select event_id, state, verdict, verdict_rule from portalbus_outbox order by id")
    assert found == [
        (good, "done", "ACCEPTED", "event.accepted"),
        (bad, "done", "REJECTED", "case.already-received"),
    ]


def test_a_relay_that_may_not_speak_for_the_source_says_nothing_on_the_bus(
    portal: SqlAlchemyPortal, portalbus_bus: InProcessBus, environment: dict[str, str], tmp_path: Path
) -> None:
    with portal.transaction() as doing:
        doing.publish(feedback(1))
    first = Outbox(tmp_path / "elsewhere", "H26", "www", Bounds())
    Mover(portal.table, first).move()
    relay = portal.outbox.relay_from_env(portal.engine)
    with pytest.raises(OutboxUnavailable, match="take-over"):
        relay.step()
    assert relay.portal.status().deliverer_pid is None
    relay.close()
    first.close()


def test_the_command_shows_what_is_parked_and_does_what_it_is_told(
    portal: SqlAlchemyPortal,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PORTALBUS_PORTAL_DATABASE", str(portal.engine.url))
    with portal.transaction() as doing:
        bad = doing.publish(directive(7, 1)).event_id
        doing.publish(directive(7, 2))
    (body,) = portal.run("select body from portalbus_outbox where event_id = :id", id=bad)[0]
    portal.run("update portalbus_outbox set body = :body where event_id = :id", body=b"{}", id=bad)
    outbox = Outbox(tmp_path / "outbox", "H26", "www", Bounds())
    mover = Mover(portal.table, outbox)
    mover.move()

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(words), capsys.readouterr().out

    status, said = command("status")
    assert (status, said) == (
        1,
        "H26/www: 0 waiting, 1 parked, 1 held behind them, 0 on their way to the broker, 0 done\n",
    )
    status, said = command("list")
    assert said.startswith(f"{bad} DirectivePublished H26/ct-7, 1 held behind it")
    assert "[schema.field-missing] at /specversion" in said
    portal.run("update portalbus_outbox set body = :body where event_id = :id", body=body, id=bad)
    assert command("redrive", "H26/ct-7") == (0, "2 events of H26/ct-7 are moved again\n")
    assert command("redrive", "H26/ct-7") == (1, "no event of H26/ct-7 is parked\n")
    assert command("discard", bad) == (1, f"no parked event has the id {bad}\n")
    assert mover.move() == 2
    assert command("status")[0] == 0
    outbox.close()


def test_an_unreachable_database_is_said_without_its_password(environment: dict[str, str]) -> None:
    run = [sys.executable, "-m", "portalbus.producers.sql_outbox", "status"]
    url = f"postgresql+psycopg://portal:s3cret@127.0.0.1:{free_port()}/portal"
    known = {**os.environ, "PORTALBUS_PORTAL_DATABASE": url}
    done = subprocess.run(run, env=known, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "the portal's database said" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_an_asynchronous_session_publishes_with_its_transaction(postgres_url: str, tmp_path: Path) -> None:
    async def publish(url: str, outbox: SqlOutbox) -> None:
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session, session.begin():
            await session.run_sync(outbox.publish, feedback(1))
        async with AsyncSession(engine) as session:
            await session.run_sync(outbox.publish, feedback(2))
            await session.rollback()
        await engine.dispose()

    with fresh_postgresql(postgres_url) as url:
        portal = SqlAlchemyPortal(url)
        asyncio.run(publish(url, portal.outbox))
        assert portal.run("select event_key from portalbus_outbox") == [("H26-2026-000001",)]
        portal.close()


def test_a_sessions_own_changes_are_written_first_and_the_tables_join_the_portals_metadata(tmp_path: Path) -> None:
    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        text: Mapped[str] = mapped_column(String(100), primary_key=True)

    outbox = SqlOutbox("H26", metadata=Base.metadata)
    assert SqlOutbox("H26", "second", metadata=Base.metadata).intents is outbox.intents
    portal = SqlAlchemyPortal(f"sqlite:///{tmp_path / 'portal.sqlite'}")
    Base.metadata.create_all(portal.engine)
    with Session(portal.engine) as session, session.begin():
        session.add(Note(text="x"))
        outbox.publish(session, feedback(1))
        assert not session.new, "the change was not flushed before the intent"
    with Session(portal.engine) as session:
        assert session.scalars(select(Note.text)).all() == ["x"]
    assert portal.table.counts().waiting == 1


def test_importing_the_sdk_and_the_shared_parts_loads_neither_sqlalchemy_nor_django() -> None:
    program = (
        "import sys, portalbus.producers.portal, portalbus.producers.intents.commands;"
        "print({'sqlalchemy', 'django'} & set(sys.modules));"
        "import portalbus.producers.sql_outbox; print('django' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "False"]


# ---- the two examples ------------------------------------------------------------------------------------------------


def test_the_fastapi_example_publishes_what_it_commits(
    environment: dict[str, str], portalbus_bus: InProcessBus, tmp_path: Path, eventually: Eventually
) -> None:
    port = free_port()
    run = [sys.executable, "-m", "uvicorn", "portal:app", "--port", str(port), "--log-level", "warning"]
    extra = {"DATABASE_URL": f"sqlite:///{tmp_path / 'cases.sqlite'}"}
    with served(run, EXAMPLES / "fastapi_portal", extra, port, tmp_path):
        lives_through_a_case(port, portalbus_bus, eventually)


def test_the_django_example_publishes_what_it_commits_also_from_forked_workers(
    environment: dict[str, str], portalbus_bus: InProcessBus, tmp_path: Path, eventually: Eventually
) -> None:
    port, folder = free_port(), EXAMPLES / "django_portal"
    extra = {"PORTAL_FOLDER": str(tmp_path), "DJANGO_SETTINGS_MODULE": "portal_settings"}
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=folder, env={**os.environ, **extra}, check=True, timeout=60)
    drift = [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]
    subprocess.run(drift, cwd=folder, env={**os.environ, **extra}, check=True, timeout=60, capture_output=True)
    application = "django.core.wsgi:get_wsgi_application()"
    options = ["--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--chdir", str(folder), application]
    run = [sys.executable, "-m", "gunicorn", *options]
    with served(run, folder, extra, port, tmp_path):
        lives_through_a_case(port, portalbus_bus, eventually)


@contextmanager
def served(command: list[str], folder: Path, extra: dict[str, str], port: int, logs: Path) -> Iterator[None]:
    """A web application, until it answers and as long as it is needed."""
    log = logs / "served.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **extra}, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        while ask(port, "/cases/unknown")[0] != 404:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
        process.send_signal(signal.SIGINT)
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def lives_through_a_case(port: int, bus: InProcessBus, eventually: Eventually) -> None:
    """A case is refused, received, published, and its verdict is shown."""
    case = {"case_id": "H29-2026-000001", "subject": "Đèn đường hỏng", "content": "Đèn đường hỏng đã ba tuần."}
    status, answer = ask(port, "/cases", case)
    assert (status, answer["findings"][0]["rule"]) == (422, "case.id-names-receiver")
    assert ask(port, "/cases/H29-2026-000001")[0] == 404
    status, answer = ask(port, "/cases", {**case, "case_id": "H26-2026-000001"})
    assert status == 201
    (event,) = bus.published(at_least=1)
    assert (event.envelope.id, event.key) == (answer["event_id"], "H26-2026-000001")
    bus.decide(event)
    assert eventually(lambda: ask(port, "/cases/H26-2026-000001")[1].get("verdict") == "ACCEPTED")


def ask(port: int, path: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON of an answer; 0 while nobody listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else {}
    except urllib.error.URLError:
        return 0, {}


# ---- the page --------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "portal-with-a-database.md"
FENCE = re.compile(r"^```(python|sh|output)\n(?:# file: (\S+)\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_does_what_it_says(environment: dict[str, str], tmp_path: Path) -> None:
    blocks = FENCE.findall(PAGE.read_text("utf-8"))
    for kind, name, text in blocks:
        if kind == "python":
            (tmp_path / name).write_text(text, "utf-8")
    script = "".join(text for kind, _, text in blocks if kind == "sh")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-euc", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = iter(done.stdout.splitlines())
    for wanted in (line for kind, _, text in blocks if kind == "output" for line in text.splitlines()):
        assert any(fnmatchcase(line, wanted.replace("…", "*")) for line in said), f"{wanted}\n{done.stdout}"
