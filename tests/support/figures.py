"""What the tests that break things have measured, at the end of the run: also of those that passed."""

from __future__ import annotations

from pytest import TerminalReporter, TestReport


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Prints what passed tests of `tests/chaos` have said."""
    passed: list[TestReport] = terminalreporter.stats.get("passed", [])
    told = [report for report in passed if "chaos/" in report.nodeid and report.capstdout.strip()]
    if told:
        terminalreporter.section("figures")
    for report in told:
        terminalreporter.write_line(report.nodeid, bold=True)
        terminalreporter.write_line(report.capstdout.strip())
