"""Which tables of the ledger are a fold of the lanes, and which are not: every table is one or the other."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class FoldTable:
    """A table that a replay fills: its key, the columns that are no fold, and the SQL of whose row it is.

    `same` are columns of which several values mean the same, with SQL for it; {schema} is where the row lies.
    `exchanged` is False where rows that are no fold lie beside the others: the table stays, and is put right.
    """

    name: str
    key: tuple[str, ...]
    apart: frozenset[str] = frozenset()
    agency: str = "agency"
    exchanged: bool = True
    same: tuple[tuple[str, str], ...] = ()


HOLD_NOT_OVER = """
case when row.state <> 'closed' and row.hold_until >= greatest(
    (select max(last_heard_at) from {schema}.source where source.agency = row.agency),
    (select received_at from {schema}.event where event.agency = row.agency order by lane_offset desc limit 1))
then row.hold_until end"""
"""A hold that is over is ended in its row when somebody comes to look at it; until then it is over all the same."""

PARAMS = """
nullif(case when row.status = 'ACCEPTED' then row.params - '{{shown_from,outcome,answered_at}}'::text[]
    else row.params end, '{{}}'::jsonb)"""
"""What an answer was, and from when on it is shown, was not written down at first: a replay of what was judged then
says it."""

FOLD = (
    FoldTable("lane", ("agency",), frozenset({"topic_id", "updated_at"}), exchanged=False),
    FoldTable("source", ("agency", "portal")),
    FoldTable(
        "gap",
        ("agency", "portal", "epoch", "first"),
        frozenset({"asked", "ask_at"}),
        same=(("hold_until", HOLD_NOT_OVER),),
    ),
    FoldTable("event", ("agency", "lane_offset")),
    FoldTable("judgement", ("position",), same=(("params", PARAMS),)),
    FoldTable("notice", ("position",), agency="split_part(key, '/', 1)", exchanged=False),
    FoldTable("directive", ("key",)),
    FoldTable("directive_version", ("key", "version"), agency="split_part(key, '/', 1)"),
    FoldTable("case", ("case_id",), agency="receiver"),
    FoldTable("case_step", ("case_id", "position"), agency="split_part(case_id, '-', 1)"),
    FoldTable("waiting", ("agency", "lane_offset")),
    FoldTable("parked", ("agency", "lane_offset"), frozenset({"decided_by", "decided_why", "decided_at"})),
    FoldTable("canary", ("agency", "portal")),
)
"""In the order in which differences are worth reading: the cause before what follows from it."""

KEPT = MappingProxyType(
    {
        "position": "the end of the order; notices that are no fold take positions too",
        "step": "the inputs of the fold",
        "judging": "the inputs of the fold",
        "relayed": "where the relay put what",
        "restoration": "the story of backups that were put back",
        "sent_before": "what the relay had sent for positions behind a backup",
        "gap_closing": "what operators decided",
        "parking_decision": "what operators decided",
        "parking_stop": "the story of the workers",
        "parking_allowance": "what operators decided",
        "source_blocking": "what operators decided; what follows is a step",
        "case_decision": "what persons decided; the step itself is on the centre's lane",
        "review": "a setting of the workers",
        "manifest_bucket": "what sources state, for reconciliation",
        "reconciliation": "the story of reconciliation",
        "inquiry": "the state of reconciliation",
        "bucket_contents": "the state of reconciliation",
        "repair": "the story of reconciliation",
        "quarantine": "the story of reconciliation",
        "hearing": "learned from the clock",
        "cadence": "learned from the ledger and the clock",
        "alert": "learned from the ledger and the clock",
        "watch": "how far the cadences are learned",
    }
)
"""Tables that a rebuild leaves as they are, and why."""
