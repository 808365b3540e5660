"""What a reconciliation has found and done, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from portalbus.streams.reconciling.difference import Kind, Place
from portalbus.streams.reconciling.reconciler import Compared
from portalbus.streams.reconciling.repairs import Repair


@dataclass(frozen=True, slots=True)
class Report:
    """The differences of one reconciliation, healed or not; `seconds` until everything was compared."""

    compared: Compared
    seconds: float
    repairs: tuple[Repair, ...]

    @property
    def healed(self) -> int:
        """Differences that are no more."""
        return sum(repair.healed_at is not None for repair in self.repairs)

    @property
    def open(self) -> int:
        """Differences that remain."""
        return len(self.repairs) - self.healed

    @property
    def asked_again(self) -> int:
        """Events that their sources were asked to send again."""
        return len({(repair.agency, repair.event_id) for repair in self.repairs if repair.asked})

    @property
    def missed_withdrawals(self) -> list[str]:
        """Directives that people saw although they were withdrawn."""
        return sorted({repair.key for repair in self.repairs if repair.key and "withdrawn" in repair.columns})

    def named(self, kind: Kind) -> list[str]:
        """What differs in this way: keys of directives and cases, ids of events whose key is not known.

        A key that differs in several tables is named once, by what weighs most: unknown, missing, altered.
        """
        weights = {Kind.ALTERED: 1, Kind.MISSING: 2, Kind.UNKNOWN: 3}
        names: dict[str, Kind] = {}
        for repair in self.repairs:
            name = repair.key or repair.event_id or ""
            known = names.get(name)
            if known is None or weights[repair.kind] > weights[known]:
                names[name] = repair.kind
        return sorted(name for name, found in names.items() if found is kind)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        compared = self.compared
        return {
            "events": compared.events,
            "buckets": compared.buckets,
            "differing_buckets": compared.differing_buckets,
            "seconds": round(self.seconds, 3),
            "healed": self.healed,
            "open": self.open,
            "asked_again": self.asked_again,
            "missed_withdrawals": self.missed_withdrawals,
            **{kind.value: self.named(kind) for kind in Kind},
            "differences": [_plain(repair) for repair in self.repairs],
        }


def _plain(repair: Repair) -> dict[str, Any]:
    return {
        "kind": repair.kind.value,
        "place": repair.place.value,
        "agency": repair.agency,
        "portal": repair.portal,
        "epoch": repair.epoch,
        "sequence": repair.sequence,
        "event_id": repair.event_id,
        "key": repair.key,
        "version": repair.version,
        "columns": repair.columns,
        "found_at": repair.found_at.isoformat(),
        "asked": repair.asked,
        "healed_at": repair.healed_at.isoformat() if repair.healed_at else None,
        "healed_from": repair.healed_from,
    }


def by_place(repairs: Iterable[Repair]) -> dict[tuple[Kind, Place], list[Repair]]:
    """Differences by how and where."""
    found: dict[tuple[Kind, Place], list[Repair]] = {}
    for repair in repairs:
        found.setdefault((repair.kind, repair.place), []).append(repair)
    return dict(sorted(found.items()))
