"""What commands print for people: whole where it is needed, honest sums, times of the right place."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from rich.console import Console

from portalbus.infra.cli import alerts_command, main, synthesis_command, undecided_commands
from portalbus.infra.cli.exits import USAGE
from portalbus.infra.cli.options import decider
from portalbus.streams.ledger.alert_list import ListedAlert
from portalbus.streams.ledger.case_desk import CaseDecision
from portalbus.streams.reading.synthesis import Level, LevelDay, Synthesis, Warned

AT = datetime(2026, 3, 20, 23, 0, tzinfo=UTC)
ID = "0191d2c4-7a51-7000-8000-0123456789ab"


def narrow() -> Console:
    return Console(width=80, highlight=False)


def test_the_id_that_closes_an_alert_is_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts_command, "console", narrow)
    texts = {"vi": "Nguồn im lặng", "en": "The source has been silent for an hour", "zh": "来源沉默"}
    alert = ListedAlert(ID, "source.silent", "H26", "www", "", AT, AT, AT, None, texts, None, None)
    alerts_command._show([alert], "en")
    assert ID in capsys.readouterr().out


def test_a_synthesis_counts_every_refusal_and_tells_the_time_of_viet_nam(capsys: pytest.CaptureFixture[str]) -> None:
    found = Synthesis(
        day=date(2026, 3, 21),
        agency=None,
        level=None,
        received=30,
        by_field={},
        by_area={},
        by_agency={},
        by_level={Level.PROVINCE: LevelDay(30, 0, 14, 2)},
        answered=0,
        median_hours=None,
        ninth_hours=None,
        refused=14,
        refusals={f"REASON_{number}": 1 for number in range(10)},
        overdue=(),
        incidents=(Warned("surge", "H26", "roads", AT, None),),
    )
    synthesis_command._show(found)
    said = capsys.readouterr().out
    assert "refused 14: " in said
    assert "province: received 30, answered 0, refused 14, overdue 2" in said
    assert "since 2026-03-21 06:00, still open" in said


def test_a_reason_may_hold_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    undecided_commands._show_decisions([CaseDecision("H26-1", "", "H26", "G09", "lan", "xem [/a]", AT, None)])
    assert "[/a]" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["alerts", "--agency", "H26", "list"], ["cases", "--overdue", "undecided"]])
def test_options_before_a_subcommand_are_refused_rather_than_dropped(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == USAGE
    assert f"write the options after `{command[0]} {command[-1]}`" in capsys.readouterr().err


def test_who_decides_is_the_operator_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTALBUS_OPERATOR", "lan")
    assert decider(None, " seen ") == ("lan", "seen")
    assert decider("minh", "seen") == ("minh", "seen")
