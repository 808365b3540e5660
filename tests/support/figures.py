"""At the end of a run: what tests that break things have measured, passed ones too, and why some ran again."""

from __future__ import annotations

from pytest import TerminalReporter, TestReport

MEASURING = (
    "chaos/",
    "integration/test_gaps",
    "integration/test_ledger",
    "integration/test_rebuild",
    "integration/test_relay",
    "integration/test_sdk",
    "integration/test_silence",
    "integration/test_worker",
    "unit/test_outbox_",
    "unit/test_silence_season",
)
"""Folders and beginnings of names of what measures a promise."""

LONGEST_FAILURE = 4_000
"""Of a failure so many characters are shown: its end, which says what was wrong."""


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Prints what passed tests of these have said, in the test or at its end, and how tests failed that ran again."""
    _tell_first_failures(terminalreporter)
    stats = terminalreporter.stats
    passed: list[TestReport] = stats.get("passed", [])
    ended = {report.nodeid: report for report in stats.get("", []) if report.when == "teardown"}
    told = []
    for report in passed:
        said = "".join(text for title, text in ended.get(report.nodeid, report).sections if _was_said(title))
        if said.strip() and any(name in report.nodeid for name in MEASURING):
            told.append((report.nodeid, said.strip()))
    if told:
        terminalreporter.section("figures")
    for name, said in told:
        terminalreporter.write_line(name, bold=True)
        terminalreporter.write_line(said)


def _tell_first_failures(terminalreporter: TerminalReporter) -> None:
    again: list[TestReport] = terminalreporter.stats.get("rerun", [])
    if again:
        terminalreporter.section("failed and run again")
    for report in again:
        terminalreporter.write_line(report.nodeid, bold=True)
        terminalreporter.write_line(report.longreprtext[-LONGEST_FAILURE:])


def _was_said(title: str) -> bool:
    return title.startswith("Captured stdout") and not title.endswith("setup")
