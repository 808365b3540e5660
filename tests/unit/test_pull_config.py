"""The configuration file: every mistake is named with its line, its place, and how to mend it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portalbus.connectors.pull.config_file import ConfigWrong, read_config
from portalbus.connectors.pull.feed import FeedConfig

GOOD = """\
outbox: state/outbox
memory: state/memory
web:
  internal: [10.20.0.0/16]
portals:
  - agency: H26
    portal: www
    kind: feed
    address: https://hanoi.gov.vn/rss
    every: 15m
    mapping:
      title: title
      number: {from: title, pattern: '\\d+/[\\w-]+'}
      document_type: {from: category, values: {Chỉ thị: CT}, default: TIN}
      language: {always: vi}
  - agency: G22
    kind: sitemap
    address: https://moet.gov.vn/sitemap.xml
    only: /van-ban/
    withdrawing: {after: 6h, shrink: 0.2}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "pull.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigWrong) as caught:
        read_config(path)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_good_file_is_read_and_its_folders_are_relative_to_it(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, GOOD))
    assert config.outbox == tmp_path / "state/outbox"
    first, second = config.portals
    assert isinstance(first, FeedConfig)
    assert (first.every, first.entry, second.entry) == (900, "H26/www", "G22/www")
    assert (second.withdrawing.after, second.withdrawing.shrink) == (21_600, 0.2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind: feed", "kind: rss"), "8: portals[0].kind: no such kind: rss; there are feed, sitemap, json"),
        (("    kind: feed\n", ""), "6: portals[0].kind: kind is missing"),
        (("every: 15m", "every: 15 minutes"), "10: portals[0].every: a duration is a number with s, m, h or d"),
        (("      title: title", "      titel: title"), "11: portals[0].mapping: no such field: titel"),
        (("{always: vi}", "{allways: vi}"), "15: portals[0].mapping.language.allways: no such setting"),
        (("    portal: www", "    potral: www"), "7: portals[0].potral: no such setting; did you mean portal?"),
        (("agency: H26", "agency: hanoi"), "6: portals[0].agency: String should match pattern"),
        (("https://hanoi.gov.vn/rss", "hanoi.gov.vn/rss"), "9: portals[0].address: an address begins with http"),
        (("https://hanoi.gov.vn/rss", "https://u:p@hanoi.gov.vn/rss"), "9: portals[0].address: an address begins"),
        (("10.20.0.0/16", "10.20.0.0/99"), "4: web.internal: '10.20.0.0/99' does not appear to be"),
        (("'\\d+/[\\w-]+'", "'('"), "13: portals[0].mapping.number.pattern: "),
        (("  - agency: G22", "  - agency: H26"), "16: portals[1]: H26/www is there twice: give the second one a name"),
        (("outbox: state/outbox", "outbox: [1"), "2: "),
        (("memory: state/memory", "outbox: again"), "2: outbox is there twice: keep one"),
        (("portals:", "portal:"), "1: portals: portals is missing"),
    ],
)
def test_a_mistake_is_named_with_its_line(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    assert change[0] in GOOD
    found = mistakes(tmp_path, GOOD.replace(change[0], change[1], 1))
    assert any(problem.startswith(said) for problem in found), found


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("kind: feed", "kind: rss").replace("only: /van-ban/", "ony: /van-ban/").replace("web:", "wbe:")
    assert [problem.partition(":")[0] for problem in sorted(mistakes(tmp_path, text))] == ["19", "3", "8"]


def test_a_secret_is_never_shown_in_a_mistake(tmp_path: Path) -> None:
    text = GOOD.replace("    every: 15m", "    every: 15m\n    headers: [hunter2]")
    (problem,) = mistakes(tmp_path, text)
    assert "hunter2" not in problem


def test_a_file_that_is_no_utf_8_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pull.yaml"
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(ConfigWrong, match="UTF-8"):
        read_config(path)


BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
HOW_TO = Path(__file__).parents[2] / "docs/howto/pull-connectors.md"
FEED = "portals:\n  - agency: H26\n    kind: feed\n    address: https://hanoi.gov.vn/rss\n"


@pytest.mark.parametrize("block", BLOCK.findall(HOW_TO.read_text(encoding="utf-8")))
def test_every_piece_of_yaml_in_the_how_to_is_right(block: str, tmp_path: Path) -> None:
    if block.startswith("    "):
        block = FEED + block
    elif block.startswith("  - "):
        block = "portals:\n" + block
    assert read_config(written(tmp_path, block)).portals
