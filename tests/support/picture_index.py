"""Puts the pictures that the browser tests took on one page; ends with 1 when one of the list is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from shown_pages import LOOKS, PAGES, PICTURES, picture, pictures

STYLE = "body{font:16px system-ui;margin:1rem}figure{display:inline-block;vertical-align:top}img{width:18rem}"


def put_together(folder: Path) -> int:
    """Writes the page into the folder of the pictures, prints how many it has and where it is."""
    missing = [str(path) for path in pictures() if not (folder / path).is_file()]
    if missing:
        print(f"portalbus: {len(missing)} pictures of pages are missing: {', '.join(missing)}", file=sys.stderr)
        return 1
    index = folder / "index.html"
    index.write_text(f"<!doctype html><title>Pages</title><style>{STYLE}</style>{''.join(_parts())}", encoding="utf-8")
    print(f"{sum(1 for _ in pictures())} pictures of pages: {index}")
    return 0


def _parts() -> Iterator[str]:
    for program, pages in PAGES.items():
        for page in pages:
            yield f"<h2>{escape(program)}: {escape(page)}</h2>"
            for look in LOOKS:
                address = escape(picture(program, page, look).as_posix())
                seen = f'<a href="{address}"><img src="{address}" alt="" loading="lazy"></a>'
                yield f"<figure>{seen}<figcaption>{look}</figcaption></figure>"


if __name__ == "__main__":
    sys.exit(put_together(PICTURES))
