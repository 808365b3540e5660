"""Listeners are told everything in order, or are cut off; none holds up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest

from portalbus.connectors.web.listeners import Listeners, TooManyListeners


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 10))


def test_a_listener_hears_everything_in_order() -> None:
    async def hears() -> None:
        listeners = Listeners[int](most=2, queue_length=3)
        with listeners.listening(anyio.Event()) as one:
            for number in (1, 2, 3):
                listeners.tell(number)
            assert [await one.next() for _ in range(3)] == [1, 2, 3]
            assert one.has_heard_all
            with pytest.raises(TimeoutError):
                await one.next(0.01)

    run(hears())


def test_one_that_does_not_keep_up_is_cut_off_and_the_others_hear_on() -> None:
    async def cut_off() -> None:
        listeners = Listeners[int](most=2, queue_length=1)
        with listeners.listening(anyio.Event()) as slow, listeners.listening(anyio.Event()) as quick:
            listeners.tell(1)
            assert await quick.next() == 1
            listeners.tell(2)
            assert await quick.next() == 2
            assert await slow.next() is None

    run(cut_off())


def test_it_ends_with_what_it_belongs_to() -> None:
    async def ends() -> None:
        ending = anyio.Event()
        with Listeners[int](most=1, queue_length=1).listening(ending) as one:
            ending.set()
            assert await one.next() is None

    run(ends())


def test_there_is_room_again_when_one_has_gone() -> None:
    async def comes_and_goes() -> None:
        listeners = Listeners[int](most=1, queue_length=1)
        with listeners.listening(anyio.Event()):
            assert not listeners.has_room
            with pytest.raises(TooManyListeners), listeners.listening(anyio.Event()):
                pass
        assert listeners.has_room
        assert not listeners

    run(comes_and_goes())


def test_all_are_cut_off_together() -> None:
    async def anew() -> None:
        listeners = Listeners[int](most=2, queue_length=2)
        with listeners.listening(anyio.Event()) as one, listeners.listening(anyio.Event()) as other:
            listeners.tell(1)
            listeners.cut_all_off()
            assert [await one.next(), await other.next()] == [None, None]

    run(anew())
