"""What README.md says to somebody who has nothing yet: a clone, no caches, no settings, and the bus runs a day."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from doc_pages import ROOT, blocks, commands

KEPT = ("PATH", "LANG", "http", "https", "no", "all", "SSL", "CURL", "REQUESTS", "PIP", "UV", "GIT", "PORTALBUS_MAVEN")
"""How the begun variable names of a machine's way to the package registries; whoever has none needs none."""
CACHES = ("UV_CACHE_DIR", "PIP_CACHE_DIR", "UV_PROJECT_ENVIRONMENT")
SHORTLY = {
    "demo": "--exit --any-ports --events 300 --portals 12",
    "test": '-k "test_topics or test_headers"',
}
"""What is added to each target, so that it ends, and soon."""


@pytest.mark.chaos
@pytest.mark.timeout(1_800)
def test_a_fresh_clone_does_what_the_readme_says(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git checkout, or there is no git: nothing can be cloned")
    clone, home = tmp_path / "portalbus", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, timeout=120)
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith(KEPT) and name not in CACHES},
        "HOME": str(home),
        "PATH": os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part),
    }
    (block,) = [block.text for block in blocks() if (block.page, block.kind) == ("README.md", "sh")]
    ran = []
    for make, target, *_ in commands(block):
        done = subprocess.run(
            [make, target, f"ARGS={SHORTLY[target]}"],
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1_500,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5_000:]
        ran.append((target, done.stdout))
    (demo, said), (test, tested) = ran
    assert (demo, test) == ("demo", "test")
    assert "every record has exactly one verdict" in said
    assert " passed" in tested
    assert any((home / ".cache" / "portalbus").iterdir()), "what was fetched is kept in a cache"
