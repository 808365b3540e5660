"""A small portal on FastAPI and SQLAlchemy: a case and the event that tells the centre of it commit together.

Run it with the bus in the environment (`eval "$(portalbus status --env)"`, PORTALBUS_AGENCY) and its database in
DATABASE_URL: `uvicorn portal:app`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from portalbus.producers import Channel, EventRefused, FeedbackReceived, new_public_code
from portalbus.producers.sql_outbox import SqlOutbox


class Base(DeclarativeBase):
    """The portal's tables; the two of the outbox join them below."""


class Case(Base):
    """What a citizen asked."""

    __tablename__ = "cases"
    case_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    subject: Mapped[str] = mapped_column(String(300))
    event_id: Mapped[str] = mapped_column(String(36))


class NewCase(BaseModel):
    """What the form sends."""

    case_id: str
    subject: str
    content: str


engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///portal.sqlite"))
outbox = SqlOutbox.from_env(metadata=Base.metadata)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The relay runs in a thread of each worker: one of them delivers, the others stand by."""
    Base.metadata.create_all(engine)  # a portal with migrations leaves this to them
    with outbox.relay_from_env(engine):
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/cases", status_code=201)
def receive(new: NewCase) -> dict[str, str]:
    """Stores the case and publishes its receipt, or does neither."""
    received = FeedbackReceived(
        case_id=new.case_id,
        public_code=new_public_code(),
        regime="R6",
        category=1,
        channel=Channel.WEB,
        received_at=datetime.now(UTC),
        addressed_to="H26",
        subject=new.subject,
        content=new.content,
        language="vi",
    )
    with Session(engine) as db, db.begin():
        intent = outbox.publish(db, received)
        db.add(Case(case_id=new.case_id, subject=new.subject, event_id=intent.event_id))
    return {"case_id": new.case_id, "event_id": intent.event_id}


@app.get("/cases/{case_id}")
def show(case_id: str) -> dict[str, Any]:
    """The case, and what the centre said of it: null until its verdict has come back."""
    events = outbox.intents.c
    case = (
        select(Case.subject, events.verdict)
        .outerjoin(outbox.intents, events.event_id == Case.event_id)
        .where(Case.case_id == case_id)
    )
    with Session(engine) as db:
        found = db.execute(case).first()
    if found is None:
        raise HTTPException(404)
    return {"case_id": case_id, "subject": found.subject, "verdict": found.verdict}


@app.exception_handler(EventRefused)
def refused(_: Request, error: EventRefused) -> JSONResponse:
    """The rule, the field, and how to mend it, in the citizen's language."""
    findings = [{"rule": one.rule, "path": one.path, "message": one.message.vi} for one in error.findings]
    return JSONResponse({"findings": findings}, status_code=422)
