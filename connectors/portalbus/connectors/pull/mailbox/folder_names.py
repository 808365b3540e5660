"""Names of folders as IMAP4rev1 writes them: modified UTF-7 in quotation marks (RFC 3501, 5.1.3)."""

from __future__ import annotations

import binascii
import re

PLAIN = re.compile(r"([^\x20-\x7e]+)")


def quoted(name: str) -> str:
    """A folder's name as it goes over the wire: `Đã nhận` is `"&ARA- nh&HqU-n"` and the like."""
    parts = PLAIN.split(name.replace("&", "&-"))
    wire = "".join(_shifted(part) if index % 2 else part for index, part in enumerate(parts))
    escaped = wire.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _shifted(text: str) -> str:
    encoded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False).rstrip(b"=").replace(b"/", b",")
    return f"&{encoded.decode('ascii')}-"
