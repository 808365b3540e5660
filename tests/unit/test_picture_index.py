"""The pictures of the pages stand on one page, and a page without one is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from picture_index import put_together
from shown_pages import pictures


def test_all_pictures_stand_on_one_page_and_a_missing_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in pictures():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert put_together(tmp_path) == 0
    count = len(list(pictures()))
    assert f"{count} pictures of pages: {tmp_path / 'index.html'}" in capsys.readouterr().out
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("<img ") == count
    (tmp_path / "console" / "board-dark.png").unlink()
    assert put_together(tmp_path) == 1
    assert "console/board-dark.png" in capsys.readouterr().err
