"""The command line: `portalbus --help`."""

from __future__ import annotations

import sys

EXIT_MISSING = 4
NEEDED = ("typer", "rich")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; the exit status is in `portalbus --help`.

    Works with the light SDK alone only so far as to say which extra is missing.
    """
    try:
        from portalbus.infra.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in NEEDED:
            raise
        print(missing_sentence(error.name or ""), file=sys.stderr)
        return EXIT_MISSING
    return run(argv)


def missing_sentence(module: str) -> str:
    """What to do about a package that is not installed."""
    return f"portalbus: the package {module} is not installed; install the extra: pip install 'portalbus[local]'"
