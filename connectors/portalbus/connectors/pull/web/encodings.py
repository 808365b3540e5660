"""The text of an answer, whatever its server says of its encoding; what was found out is said, never guessed away."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

from portalbus.connectors.pull import vietnamese_encodings as vietnamese
from portalbus.connectors.pull.kind import ReadFailed

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = (
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
"""How a document of wide characters begins that has no mark (XML 1.0, appendix F)."""
IN_XML = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})")
IN_HTML = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
TCVN3_NAMES = re.compile(r"(x-viet-)?tcvn.*|.*abc$")
LATIN = frozenset({"iso8859-1", "cp1252", "ascii"})
HEAD = 2_048
AROUND = 32_768
LETTER = r"[^\W\d_]"
MASKING = re.compile(rf"(?<={LETTER})[\u00a1-\u00bf\u00d7](?={LETTER})|(?<!\w)[\u00a2-\u00aa\u00ac-\u00ba](?={LETTER})")
"""A sign such as ® or ¸ within a word: no language writes so, but TCVN3 read as Latin-1 looks like it."""
SURE = 3
FEW = 20
"""So many bytes that are none of UTF-8's are taken for damage in a text that else is UTF-8."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was in, and a remark when that was not what had been announced."""

    text: str
    encoding: str
    remark: str = ""


def decode(content: bytes, announced: str = "", place: str = "", given: str = "") -> Decoded:
    """The text of an answer; `announced` is the charset of its header, `given` the one of the configuration.

    Raises ReadFailed when no encoding fits: it is better to say so than to publish what nobody can read.
    """
    if given:
        return Decoded(_normal(_with(given, content, place)), given)
    for mark, name in BOMS:
        if content.startswith(mark):
            return Decoded(_normal(content[len(mark) :].decode(name, errors="replace")), name)
    for start, name in WIDE:
        if content.startswith(start):
            return Decoded(_normal(content.decode(name, errors="replace")), name)
    said = _announced(content, announced)
    name = _codec(said)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf_8(content, said, name, error, place)
    if name not in ("", "utf-8", *LATIN) and not _is_ascii(content):
        return _believed(content, said, name, text)
    return _unmasked(Decoded(_normal(text), "utf-8", _wrong(said, name, "UTF-8") if not _is_ascii(content) else ""))


def surely_masked(text: str) -> bool:
    """Whether a text is TCVN3 that was read as Latin-1, beyond doubt: German or French never looks like it."""
    return len(MASKING.findall(text)) >= SURE and vietnamese.is_masked(text)


def _not_utf_8(content: bytes, said: str, name: str, error: UnicodeDecodeError, place: str) -> Decoded:
    sample = content[max(error.start - AROUND, 0) : error.start + AROUND]
    guess = vietnamese.guessed(sample)
    if guess == vietnamese.TCVN3 and not MASKING.search(sample.decode("latin-1")):
        guess = None  # every byte is some letter of TCVN3, so German would pass for it too
    if guess == vietnamese.WINDOWS_1258 and len(_foreign(vietnamese.decoded(sample, guess))) < SURE:
        guess = None
    if name == vietnamese.TCVN3 or (guess == vietnamese.TCVN3 and (name in ("", "utf-8", "cp1258") or name in LATIN)):
        text = vietnamese.decoded(content, vietnamese.TCVN3)
        return Decoded(text, vietnamese.TCVN3, "" if name == vietnamese.TCVN3 else _wrong(said, name, "TCVN3 (ABC)"))
    if guess == vietnamese.WINDOWS_1258 and name in ("", "utf-8"):
        text = vietnamese.decoded(content, vietnamese.WINDOWS_1258)
        return Decoded(text, vietnamese.WINDOWS_1258, _wrong(said, name, "windows-1258"))
    if name not in ("", "utf-8"):
        try:
            return Decoded(_normal(content.decode(name)), name)
        except (UnicodeDecodeError, LookupError):
            pass
    text = content.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    if bad <= FEW and len(text) > bad * 100:
        remark = f"{bad} places are not UTF-8 and show as \ufffd; the first is byte {error.start}"
        return Decoded(_normal(text), "utf-8", remark)
    raise ReadFailed(
        place,
        f"announces {said or 'no encoding'}, but byte {error.start} does not fit it, nor do windows-1258 and TCVN3",
        "Announce the right charset at the server, or set encoding: in the configuration",
    )


def _believed(content: bytes, said: str, name: str, as_utf_8: str) -> Decoded:
    """Valid UTF-8 that announces something else: it is what it announces unless that reads worse."""
    if name == vietnamese.TCVN3:
        text = vietnamese.decoded(content, vietnamese.TCVN3)
    else:
        try:
            text = _normal(content.decode(name))
        except (UnicodeDecodeError, LookupError):
            return Decoded(_normal(as_utf_8), "utf-8", _wrong(said, name, "UTF-8"))
    if name in (vietnamese.TCVN3, "cp1258") and vietnamese.vietnamese_part(as_utf_8) > vietnamese.vietnamese_part(text):
        return Decoded(_normal(as_utf_8), "utf-8", _wrong(said, name, "UTF-8"))
    return Decoded(text, name)


def _unmasked(found: Decoded) -> Decoded:
    if not surely_masked(found.text):
        return found
    remark = "its letters are TCVN3 (ABC) that a program took for Latin-1; they were converted"
    return Decoded(vietnamese.unmasked(found.text), vietnamese.TCVN3, remark)


def _wrong(said: str, name: str, real: str) -> str:
    if name == real.lower():
        return ""
    return f"announces {said or 'no encoding'}, but is {real}; it was read as that"


def _announced(content: bytes, header: str) -> str:
    if header:
        return header
    found = IN_XML.search(content[:HEAD]) or IN_HTML.search(content[:HEAD])
    return found.group(1).decode("ascii").lower() if found else ""


def _codec(name: str) -> str:
    """Python's name of a charset; empty for none and for one nobody knows."""
    if not name:
        return ""
    if TCVN3_NAMES.fullmatch(name):
        return vietnamese.TCVN3
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return ""
    return found.name if found._is_text_encoding else ""


def _with(name: str, content: bytes, place: str) -> str:
    codec = _codec(name.lower())
    if codec == vietnamese.TCVN3:
        return vietnamese.decoded(content, codec)
    try:
        return content.decode(codec or "utf-8")
    except UnicodeDecodeError as error:
        raise ReadFailed(place, f"byte {error.start} is not {name}, which the configuration says it is") from None


def _foreign(text: str) -> list[str]:
    return [word for word in vietnamese.FOREIGN_WORD.findall(text) if not word.isascii()]


def _is_ascii(content: bytes) -> bool:
    return content.isascii()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)
