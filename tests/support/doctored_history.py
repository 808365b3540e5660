"""Histories in which everything went well, and ways to break them."""

from __future__ import annotations

from collections.abc import Callable

from history_report import Line

EVENTS = 6


def sound(events: int = EVENTS) -> list[Line]:
    """Two sources on one lane; everything went well, and one event waited for its cause. In the order of causes."""
    lines: list[Line] = []
    position = 0
    for n in range(events):
        source, sequence = ("H26/www", "H26/edu")[n % 2], n // 2 + 1
        event = {"id": f"event-{n}", "source": source, "epoch": 1, "sequence": sequence}
        lines += [
            {"saw": "attempted", "id": event["id"], "source": source},
            {"saw": "acknowledged", **event, "at": 100.0 + n},
            {"saw": "laid", "lane": "lane.H26", "offset": n, **event, "hash": f"words-{n}"},
        ]
        position += 1
        lines.append(judged(event, n, position, waits=n == 0))
        lines += sent(event, n, position, accepted=n != 0)
        if n == 2:  # the cause has come
            first = {"id": "event-0", "source": "H26/www", "epoch": 1, "sequence": 1}
            position += 1
            lines.append(judged(first, 0, position))
            lines += sent(first, 0, position)
    return lines


def healed(times: int) -> list[Line]:
    """Again and again an event does not come, is missed by the ledger, and comes behind the next one, which waits."""
    lines: list[Line] = []
    position = 0

    def happens(sequence: int, offset: int, *also: Line) -> None:
        nonlocal position
        event = {"id": f"event-{sequence}", "source": "H26/www", "epoch": 1, "sequence": sequence}
        laid = {"saw": "laid", "lane": "lane.H26", "offset": offset, **event, "hash": f"words-{offset}"}
        position += 1
        lines.extend([{"saw": "attempted", "id": event["id"], "source": "H26/www"}, laid])
        held = {"status": "WAITING", "final": False, "rule": "source.gap-before"} if also else {}
        lines.extend([{"saw": "acknowledged", **event}, {**judged(event, offset, position), **held}, *also])
        lines.extend(sent(event, offset, position, accepted=not also))

    for number in range(times):
        first, missing, next_ = (3 * number + place for place in (1, 2, 3))
        happens(first, 3 * number)
        happens(
            next_, 3 * number + 1, {"saw": "gap", "source": "H26/www", "epoch": 1, "first": missing, "last": missing}
        )
        happens(missing, 3 * number + 2)
        position += 1
        event = {"id": f"event-{next_}", "source": "H26/www", "epoch": 1, "sequence": next_}
        lines.append(judged(event, 3 * number + 1, position))
        lines.extend(sent(event, 3 * number + 1, position))
    return lines


def judged(event: Line, offset: int, position: int, *, waits: bool = False) -> Line:
    """The ledger's judgement: accepted, or waiting."""
    decision = {"status": "ACCEPTED", "final": True, "rule": "event.accepted"}
    if waits:
        decision = {"status": "WAITING", "final": False, "rule": "directive.waits-for-version"}
    where = {"saw": "judged", "lane": "lane.H26", "offset": offset, "position": position, "at": 101.0 + offset}
    return {**where, **event, "type": "DirectivePublished", "key": f"H26/d-{offset}", **decision}


def sent(event: Line, offset: int, position: int, *, accepted: bool = True) -> list[Line]:
    """What follows from a judgement."""
    verdict = {"saw": "verdict", "topic": "verdict.H26", "partition": 0, "offset": position, "position": position}
    if not accepted:
        return [verdict]
    shown = {"id": event["id"], "type": "DirectivePublished", "key": f"H26/d-{offset}", "position": position}
    canonical = {"topic": "central.directive-published", "partition": offset % 3, "offset": position}
    return [
        verdict,
        {"saw": "effect", **shown},
        {"saw": "canonical", **canonical, "position": position, "id": event["id"], "hash": f"words-{offset}"},
    ]


def one(lines: list[Line], saw: str, number: int = 2) -> Line:
    """One of the lines of a kind."""
    return [line for line in lines if line["saw"] == saw][number]


def without(saw: str) -> Callable[[list[Line]], None]:
    """The third of a kind is missing."""
    return lambda lines: lines.remove(one(lines, saw))


def again(saw: str, **changed: object) -> Callable[[list[Line]], None]:
    """The third of a kind comes twice, the second time perhaps changed."""
    return lambda lines: lines.append({**one(lines, saw), **changed})


def changed(saw: str, number: int = 2, **values: object) -> Callable[[list[Line]], None]:
    """One of a kind is different."""
    return lambda lines: one(lines, saw, number).update(values)


def swapped(saw: str, name: str, first: int, second: int) -> Callable[[list[Line]], None]:
    """Two of a kind have exchanged something."""

    def swap(lines: list[Line]) -> None:
        one_of, other = one(lines, saw, first), one(lines, saw, second)
        one_of[name], other[name] = other[name], one_of[name]

    return swap


def refused(lines: list[Line]) -> None:
    """The third event, wrongly refused: nothing of it is shown or sent."""
    event = one(lines, "judged")
    event.update(status="REJECTED", rule="source.sequence-reused")
    for saw in ("effect", "canonical"):
        lines[:] = [line for line in lines if line["saw"] != saw or line["position"] != event["position"]]


def broken(fault: str, break_it: Callable[[list[Line]], None]) -> list[Line]:
    """A sound history that one of the `BREAKS` has broken."""
    history = sound()
    if fault == "invented":
        for line in [line for line in history if line["saw"] == "attempted"]:
            history.remove(line)  # what nobody has tried is invented
    break_it(history)
    return history


BREAKS: list[tuple[str, Callable[[list[Line]], None]]] = [
    ("lost", without("laid")),
    ("lost", without("judged")),
    ("lost", without("effect")),
    ("lost", without("canonical")),
    ("lost", without("verdict")),
    ("doubled", again("acknowledged", sequence=9)),
    ("doubled", changed("acknowledged", sequence=1, epoch=1)),
    ("doubled", again("judged", position=8)),
    ("doubled", again("judged")),
    ("doubled", again("effect")),
    ("doubled", again("canonical", offset=99)),
    ("doubled", again("verdict", offset=99)),
    ("reordered", swapped("laid", "sequence", 1, 3)),
    ("reordered", swapped("judged", "position", 1, 5)),
    ("reordered", swapped("verdict", "offset", 1, 2)),
    ("reordered", swapped("canonical", "position", 0, 4)),
    ("invented", without("acknowledged")),
    ("invented", changed("laid", id="event-of-nobody")),
    ("invented", again("laid", hash="other words", offset=6)),
    ("invented", changed("judged", offset=77)),
    ("invented", changed("effect", key="H26/another")),
    ("invented", again("canonical", position=8, offset=99)),
    ("invented", again("verdict", position=8, offset=99)),
    ("invented", changed("canonical", hash="other words")),
    ("late", changed("judged", at=200.0)),
    ("undecided", changed("judged", status="WAITING", final=False, rule="case.waits-for-receipt")),
    ("undecided", again("judged", status="REJECTED", rule="event.id-reused", position=8)),
    ("undecided", without("judged")),
]
