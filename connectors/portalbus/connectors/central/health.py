"""Is the process alive, and can it answer?"""

from __future__ import annotations

import asyncio

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from psycopg_pool import PoolTimeout

from portalbus.connectors.central.services import services

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> PlainTextResponse:
    """200 while the process runs; says nothing about the ledger."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
async def ready(request: Request) -> PlainTextResponse:
    """200 when the ledger answers and its tables are there, else 503."""
    try:
        async with asyncio.timeout(2), services(request).pool.connection() as connection:
            await connection.execute("select 1 from ledger.position")
    except (psycopg.Error, PoolTimeout, TimeoutError) as error:
        return PlainTextResponse(f"the ledger does not answer ({type(error).__name__})\n", 503)
    return PlainTextResponse("ok\n")
