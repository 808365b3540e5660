"""Texts that say nearly the same, found among a million others in bounded memory (locality-sensitive hashing).

A sketch is cut into bands; two texts that share a whole band are compared, and are of one group when their sketches are
alike enough. Each band has a table of fixed size that holds the newest text for a slot, and the texts lie in a ring:
the oldest make room for the newest, and nothing grows.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from mmap import mmap
from struct import Struct

from portalbus.streams.warning.sketching import SLOTS

ROWS = 4
BANDS = SLOTS // ROWS
ALIKE = 0.5
"""Share of pairs of words that two texts of one group have in common, as estimated."""
CAPACITY = 1 << 20
"""Texts that are remembered: eight months at 1.5 million feedbacks a year, 217 MiB when all are there."""
MOST_GROUPS = 20_000
MEMBERS = 12
"""Members of a group that are remembered by name, the newest."""
CODE_BYTES, CASE_ID_BYTES = 12, 100
"""How long the names are under which texts are remembered: public codes of feedback, ids of refused cases."""
_NUMBER = 4
_MIX = 0x9E3779B97F4A7C15


@dataclass(slots=True)
class Group:
    """Texts that say nearly the same; `first` is the name of the first. `members` are the newest ones."""

    first: str
    begins: datetime
    last: datetime
    size: int = 1
    members: deque[tuple[datetime, str, str]] = field(default_factory=lambda: deque(maxlen=MEMBERS))
    recent: deque[datetime] = field(default_factory=lambda: deque(maxlen=1_000))


class Groups:
    """Groups texts one by one, by their sketches. Memory is taken as it fills and bounded by `capacity`.

    Names have `name_bytes` bytes at most.
    """

    def __init__(self, capacity: int = CAPACITY, alike: float = ALIKE, name_bytes: int = CODE_BYTES) -> None:
        if capacity & (capacity - 1):
            raise ValueError(f"capacity {capacity}: a power of two, such as {CAPACITY}")
        self._capacity = capacity
        self._least = round(alike * SLOTS)
        self._mask = 2 * capacity - 1
        # Anonymous memory: what was never touched takes none.
        self._bands = [memoryview(mmap(-1, 2 * capacity * _NUMBER)).cast("I") for _ in range(BANDS)]
        self._short = memoryview(mmap(-1, capacity * SLOTS))
        self._group_of = memoryview(mmap(-1, capacity * _NUMBER)).cast("I")
        self._next = 0
        self._name = Struct(f">B{name_bytes}sq")
        self._names = memoryview(mmap(-1, capacity * self._name.size))
        self._groups: OrderedDict[int, Group] = OrderedDict()

    def __len__(self) -> int:
        return min(self._next, self._capacity)

    def __iter__(self) -> Iterator[Group]:
        """The groups of two and more, the one with the oldest last member first."""
        return iter(self._groups.values())

    @property
    def most_bytes(self) -> int:
        """Bytes that the tables take when they are full, apart from the groups themselves."""
        return self._capacity * (2 * BANDS * _NUMBER + SLOTS + _NUMBER + self._name.size)

    def add(self, sketch: Sequence[int], name: str, where: str, at: datetime) -> Group | None:
        """Remembers a text by the name of its case; returns its group when another one says nearly the same."""
        keys = _keys(sketch, self._mask)
        short = bytes([number & 0xFF for number in sketch])
        like = self._most_alike(keys, short)
        place = self._next % self._capacity
        number = self._next + 1  # 0 is an empty slot
        if number >> 32:
            raise OverflowError("four thousand million texts: start the process anew")
        begin = place * SLOTS
        self._short[begin : begin + SLOTS] = short
        encoded = name.encode()
        self._name.pack_into(self._names, place * self._name.size, len(encoded), encoded, int(at.timestamp()))
        self._group_of[place] = number if like is None else self._group_of[(like - 1) % self._capacity]
        for band, key in zip(self._bands, keys, strict=True):
            band[key] = number
        self._next += 1
        return None if like is None else self._joined(self._group_of[place], like, name, where, at)

    def _most_alike(self, keys: Sequence[int], short: bytes) -> int | None:
        oldest = self._next - self._capacity
        best, found = self._least - 1, None
        for like in {band[key] for band, key in zip(self._bands, keys, strict=True)}:
            if like == 0 or like <= oldest:
                continue
            begin = ((like - 1) % self._capacity) * SLOTS
            other = self._short[begin : begin + SLOTS]
            equal = sum(map(int.__eq__, short, other))
            if equal > best:
                best, found = equal, like
        return found

    def _joined(self, number: int, like: int, name: str, where: str, at: datetime) -> Group:
        group = self._groups.get(number)
        if group is None:
            place = (like - 1) % self._capacity
            length, encoded, seconds = self._name.unpack_from(self._names, place * self._name.size)
            first, began = encoded[:length].decode(), datetime.fromtimestamp(seconds, UTC)
            group = self._groups[number] = Group(first, began, began)
            group.members.append((began, first, where))
            group.recent.append(began)
            if len(self._groups) > MOST_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(number)
        group.size += 1
        group.last = max(group.last, at)
        group.members.append((at, name, where))
        group.recent.append(at)
        return group


def _keys(sketch: Sequence[int], mask: int) -> array[int]:
    """Which slot of each band's table a sketch belongs to."""
    keys = array("Q", bytes(8 * BANDS))
    for band in range(BANDS):
        start = band * ROWS
        a, b, c, d = sketch[start : start + ROWS]
        mixed = ((a << 32 | b) * _MIX ^ (c << 32 | d)) * _MIX
        keys[band] = (mixed >> 40) & mask
    return keys
