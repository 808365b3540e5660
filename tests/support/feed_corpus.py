"""feedparser's own test files, a public corpus of feeds well-formed and broken, from its source distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

ENDINGS = (".xml",)


def corpus() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file; fetched once into the cache, with the package installer's ordinary client."""
    release = version("feedparser")
    folder = Path(os.environ.get("PORTALBUS_CACHE") or "~/.cache/portalbus").expanduser() / "feed-corpus"
    archive = folder / f"feedparser-{release}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        uvx = Path(sys.executable).parent / "uvx"
        fetch = [str(uvx), "pip", "download", "--no-binary", "feedparser", "--no-deps", f"feedparser=={release}"]
        subprocess.run([*fetch, "-d", str(folder)], check=True, capture_output=True, timeout=200)
    with tarfile.open(archive) as opened:
        for member in opened:
            name = member.name.partition("/tests/")[2]
            if name.endswith(ENDINGS) and (file := opened.extractfile(member)) is not None:
                yield name, file.read()
