"""Every rule of the catalogue is broken somewhere: by an example, by a test of the judge, or by one of the codec."""

from __future__ import annotations

from pathlib import Path

from portalbus.schemas import example_files
from portalbus.schemas.catalogue import catalogue

NOT_BROKEN_HERE = {
    "schema.event-too-large": "the outbox finds it on encoding",
}
TESTS = (
    "test_judge_sources.py",
    "test_judge_gaps.py",
    "test_judge_waiting.py",
    "test_judge_cases.py",
    "test_judge_canary.py",
    "test_judge_parked.py",
    "test_judge_restored.py",
    "test_codec.py",
    "../integration/test_reconciling.py",
    "../integration/test_worker.py",
)


def test_every_rule_has_an_example_or_a_case_of_its_own() -> None:
    folder = Path(__file__).parent
    tested = "".join((folder / name).read_text(encoding="utf-8") for name in TESTS)
    shown = {example.rule for example in example_files.invalid()}
    missing = {rule for rule in catalogue() if rule not in shown and f'{rule}"' not in tested}
    assert missing == set(NOT_BROKEN_HERE), "rules that nothing breaks, or that something does break after all"
