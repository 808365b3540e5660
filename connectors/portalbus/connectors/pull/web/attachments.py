"""The files of a directive: each is read through once for its size and digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from portalbus.connectors.pull.found import Remark
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.web.client import WebClient, shown

COMPLETE = frozenset({"name", "url", "media_type", "size", "sha256"})
MAX_NAME = 255


def completed(
    given: Sequence[Any], base: str, before: Mapping[str, Any], client: WebClient
) -> tuple[list[dict[str, Any]], list[Remark]]:
    """Attachments with size and digest; what was known `before` (data of the item) is not read again.

    `given` are addresses, or mappings with `url` and perhaps `name`. A file that cannot be read is left out, with a
    remark. Raises nothing.
    """
    known = {str(one.get("url")): one for one in before.get("attachments", ()) if isinstance(one, Mapping)}
    found: list[dict[str, Any]] = []
    remarks: list[Remark] = []
    for one in given:
        about = dict(one) if isinstance(one, Mapping) else {"url": one}
        url = urljoin(base, str(about.get("url") or "").strip())
        if set(about) >= COMPLETE:
            found.append({**about, "url": url})
        elif url in known:
            found.append(dict(known[url]))
        else:
            try:
                digest = client.digest(url)
            except ReadFailed as failed:
                remarks.append(Remark(shown(url), f"attachment left out: {failed.what}"))
                continue
            name = str(about.get("name") or "").strip() or _name(url)
            found.append(
                {
                    "name": name[:MAX_NAME],
                    "url": url,
                    "media_type": digest.media_type,
                    "size": digest.size,
                    "sha256": digest.sha256,
                }
            )
    return found, remarks


def _name(url: str) -> str:
    path = urlsplit(url).path
    return unquote(PurePosixPath(path).name) or "file"
