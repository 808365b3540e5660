"""What the tests that break things have measured, at the end of the run: also of those that passed."""

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


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Prints what passed tests of these have said, in the test or at its end."""
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


def _was_said(title: str) -> bool:
    return title.startswith("Captured stdout") and not title.endswith("setup")
