"""What others wrote is printed as they wrote it: nothing in it is markup, a picture, or a command to the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from bus_events import NOON
from portalbus.infra.cli import main
from portalbus.infra.cli.marks import line, mark, styled
from portalbus.infra.cli.options import console
from portalbus.infra.cli.parked_text import print_groups, print_lines
from portalbus.infra.cli.publish_command import Answers, Line
from portalbus.infra.stack.progress import RichBars
from portalbus.schemas.findings import Finding
from portalbus.streams.parking.asking import ParkedGroup, ParkedLine

HOSTILE = ["[/x]", "[red]not red[/red]", "[link=https://evil.example]here[/link]", ":x: :100:", "\\[a]"]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


@pytest.mark.parametrize("text", HOSTILE)
def test_lines_tables_trees_and_marked_words_keep_every_character(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table, tree = Table("a column", box=None), Tree(text)
    table.add_row(text)
    table.add_row(line(mark(False), text, styled(text, "red")))
    tree.add(text)
    for shown in (text, table, tree, styled(text, "bold")):
        console().print(shown)
    console().print(mark(True), text)
    assert printed(capsys).count(text) == 8


def test_no_character_steers_the_terminal_or_turns_text_round(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "a\rb", "\u202eabc"):
        console().print(text, line(text), styled(text, "red"))
    said = printed(capsys)
    assert not set(said) & set("\x1b\x07\x9b\r\u202e")
    assert "owned" in said


@pytest.mark.parametrize("text", HOSTILE)
def test_parked_records_are_listed_whatever_key_reason_or_decision_says(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_lines(
        [ParkedLine("H26", 1, "record.empty", "", "discarded", text, text, None, NOON, 3, None, "an", text, NOON)]
    )
    print_groups([ParkedGroup(text, "parked", 1, NOON, NOON, ["H26"], 0)])
    assert printed(capsys).count(text) == 4


@pytest.mark.parametrize("text", HOSTILE)
def test_a_refusal_names_file_field_and_bound_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding("schema.value", f"/{text}", {"field": text, "bound": text})
    Answers(as_json=False, language="en").refuse(Line(text, 1, ""), (finding,))
    said = printed(capsys)
    assert said.startswith(f"{text}:1 ✗ [schema.value] /{text}: ")
    assert said.count(text) >= 3


@pytest.mark.parametrize("text", HOSTILE)
def test_the_note_of_a_gateway_key_is_shown_as_it_was_given(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    assert main(["gateway", "keys", "add", "--agency", "H26", "--note", text, *state]) == 0
    assert main(["gateway", "keys", "list", *state]) == 0
    assert text in printed(capsys)


def test_a_note_beside_the_bars_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    bars = RichBars(Console(file=sys.stdout, width=200))
    bars.note("kept in [/srv/bus]")
    assert "· kept in [/srv/bus]" in printed(capsys)
