"""The written pages of the project: their fenced blocks, the commands in them, and the links between them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|…")
SEPARATORS = frozenset({"|", "||", "&&", ";", "&"})


@dataclass(frozen=True)
class Block:
    """One fenced block: the page it stands on, what its fence says, and its text."""

    page: str
    kind: str
    text: str

    @property
    def where(self) -> str:
        """For the name of a test."""
        return f"{self.page}: {self.text.strip().splitlines()[0][:50] if self.text.strip() else ''}"


def pages() -> list[Path]:
    """The README, what contributors read, and everything in `docs/`, decisions included."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks of all pages."""
    return tuple(
        Block(str(page.relative_to(ROOT)), fence["kind"], fence["text"])
        for page in pages()
        for fence in FENCE.finditer(page.read_text(encoding="utf-8"))
    )


def spans() -> Iterator[tuple[str, str]]:
    """Page and text of what stands between backticks in running text."""
    for page in pages():
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        yield from ((str(page.relative_to(ROOT)), found) for found in SPAN.findall(text))


def links() -> Iterator[tuple[Path, str]]:
    """Page and target of every link to a file."""
    for page in pages():
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if not target.startswith(("http:", "https:", "#")):
                yield page, target.partition("#")[0]


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell block, each as its words; here-documents and variables set before one are left out."""
    joined = re.sub(r"<<'?(\w+)'?(.*?)\n.*?^\1$", r"\2", text, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
    words: list[str] = []
    for line in statements(joined):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split, lexer.commenters = True, "#"
        for word in [*lexer, ";"]:
            if word in SEPARATORS:
                while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
                    words.pop(0)
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def statements(text: str) -> Iterator[str]:
    """Lines, those of one quoted text together."""
    open_line = ""
    for line in text.splitlines():
        open_line += line if not open_line else "\n" + line
        try:
            shlex.split(open_line, comments=True)
        except ValueError:
            continue
        yield open_line
        open_line = ""
    assert not open_line, f"a quote is not closed: {open_line}"


def json_in(words: list[str]) -> Iterator[str]:
    """What a command sends as JSON."""
    for before, word in pairwise(words):
        if before in ("--data", "-d") and word.startswith("{"):
            yield word


def parsed(command: Any, words: list[str]) -> str:
    """What the command line says against these words behind `portalbus`; empty when it would run them."""
    try:
        context = command.make_context(command.name, list(words))
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not hasattr(command, "commands") or (command.invoke_without_command and not rest):
            return ""
        _, child, behind = command.resolve_command(context, rest)
    except Exception as error:  # whatever the parser has to say is what the test tells
        if getattr(error, "exit_code", 1) == 0:  # --help and --version end by themselves
            return ""
        return str(getattr(error, "message", error)) or type(error).__name__
    return parsed(child, behind)
