"""A how-to page as a test reads it: its fenced blocks, run in one shell, and what they say compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from textwrap import dedent

from doc_pages import FENCE

PAGES = Path(__file__).parents[2] / "docs" / "howto"
END_OF_BLOCK = "=== end of block"

Block = tuple[str, str]
"""Its kind, as it stands behind the fence, and its text."""


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page, in its order; one in a list is moved to the left."""
    found = FENCE.finditer((PAGES / page).read_text(encoding="utf-8"))
    return [(fence["kind"], dedent(fence["text"])) for fence in found if fence["kind"]]


def run_blocks(blocks: Sequence[Block], work: Path, environment: Mapping[str, str], seconds: float) -> None:
    """Runs every `sh` block in one shell; each must end well, and say what the `output` block behind it says."""
    script = "set -eu\n" + "".join(f"{text}echo '{END_OF_BLOCK}'\n" for kind, text in blocks if kind == "sh")
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=work,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = iter(done.stdout.split(END_OF_BLOCK + "\n"))
    said = ""
    for kind, text in blocks:
        if kind == "sh":
            said = next(outputs)
        elif kind == "output":
            assert_said(text.splitlines(), said)


def assert_said(wanted: Sequence[str], said: str) -> None:
    """Every line of the page stands in the output, in this order; … stands for anything."""
    lines = iter(said.splitlines())
    for line in wanted:
        pattern = re.sub(r"([*?\[])", r"[\1]", line.strip()).replace("…", "*")
        assert any(fnmatchcase(found.strip(), pattern) for found in lines), f"{line!r} is not in:\n{said}"
