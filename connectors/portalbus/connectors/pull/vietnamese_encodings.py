"""Text as Vietnamese offices kept it before Unicode: windows-1258 and TCVN3 ("ABC" fonts), and how to tell them apart.

An encoding is guessed from the words that a text has in it: in Vietnamese no word has two tones, none changes from
small letters to capitals, and none has a section sign in its middle. Where no guess is good, there is none.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

UTF_8, UTF_8_BOM, UTF_16, WINDOWS_1258, TCVN3 = "utf-8", "utf-8-sig", "utf-16", "windows-1258", "tcvn3"
ENCODINGS = (UTF_8, UTF_8_BOM, UTF_16, WINDOWS_1258, TCVN3)

# TCVN 5712:1993, VN3, from 0xA0; tones that stand alone are combining marks. Below, where VN3 has nothing, the office
# programs that used it put the quotes and dashes of windows-1252.
_UPPER_HALF = "".join(
    (
        "\u00a0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323",
        "àảãáạẲằẳẵắẴẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíị",
        "òỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ",
    )
)
_LOWER_HALF = bytes(range(0x80, 0xA0)).decode("cp1252", errors="replace").replace("\ufffd", "\u0080")
TCVN3_LETTERS = dict(enumerate(_LOWER_HALF + _UPPER_HALF, start=0x80))
"""What each byte from 0x80 stands for, as `str.translate` wants it for text that was read as Latin-1."""

TONES = frozenset("\u0300\u0301\u0303\u0309\u0323")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzăâđêôơư")
FOREIGN_WORD = re.compile(r"[^\s\x00-\x40\x5b-\x60\x7b-\x7f]+")
AROUND_WORDS = "“”‘’–—…«»‹›•\u00a0€©®™°№′″\u00ad\u200b\ufeff"
GOOD = 0.9
"""So much of the words that are not plain ASCII must be Vietnamese for a guess to count."""
POOR = 0.7
"""Text is taken for masked only when no more than this part of its words is Vietnamese as it stands."""


def guessed(sample: bytes) -> str | None:
    """The encoding of a sample (it may end within a character), one of `ENCODINGS`; None when it is none of them."""
    if sample.startswith(codecs.BOM_UTF8):
        return UTF_8_BOM
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF_16
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(sample, final=False)
    except UnicodeDecodeError:
        rated = [(vietnamese_part(decoded(sample, encoding)), encoding) for encoding in (WINDOWS_1258, TCVN3)]
        part, encoding = max(rated, key=lambda pair: pair[0])
        return encoding if part >= GOOD else None
    return UTF_8


def decoded(data: bytes, encoding: str) -> str:
    """The text of bytes in one of `ENCODINGS`; what stands for nothing becomes U+FFFD."""
    if encoding == TCVN3:
        return unicodedata.normalize("NFC", data.decode("latin-1").translate(TCVN3_LETTERS))
    text = data.decode("cp1258" if encoding == WINDOWS_1258 else encoding, errors="replace")
    return unicodedata.normalize("NFC", text)


def is_masked(text: str) -> bool:
    """Whether a text is TCVN3 that was taken for Latin-1 and saved as Unicode: `Céng hßa x· héi chñ nghÜa`."""
    if vietnamese_part(text) > POOR:
        return False
    return vietnamese_part(unmasked(text)) >= GOOD


def unmasked(text: str) -> str:
    """The text that such a masked text shows in an ABC font; what is no Latin-1 stays as it is."""
    return unicodedata.normalize("NFC", _latin_1(text).translate(TCVN3_LETTERS))


def vietnamese_part(text: str) -> float:
    """Which part of the words that are not plain ASCII could be Vietnamese, 1 when there is no such word."""
    words = [word for word in (found.strip(AROUND_WORDS) for found in FOREIGN_WORD.findall(text)) if word]
    foreign = [word for word in words if not word.isascii()]
    if not foreign:
        return 1.0
    return sum(map(_could_be_vietnamese, foreign)) / len(foreign)


def _could_be_vietnamese(word: str) -> bool:
    plain = unicodedata.normalize("NFD", word)
    # The circumflex, breve and horn belong to the letter, the rest are tones.
    tones = sum(mark in TONES for mark in plain)
    letters = unicodedata.normalize("NFC", "".join(mark for mark in plain if mark not in TONES))
    if tones > 1 or not all(letter in LETTERS for letter in letters.lower()):
        return False
    return letters == letters.lower() or letters == letters.upper() or letters[1:] == letters[1:].lower()


def _latin_1(text: str) -> str:
    """Programs that read bytes as windows-1252 left other characters for 0x80 to 0x9F: these are put back."""
    return "".join(_BACK.get(letter, letter) for letter in text)


_BACK = {
    character: chr(number)
    for number in range(0x80, 0xA0)
    if (character := bytes([number]).decode("cp1252", errors="ignore"))
}
