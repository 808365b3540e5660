"""Encodings: what is announced wrongly is found out and said; what is not certain is never converted."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata

import pytest

from portalbus.connectors.pull import vietnamese_encodings as vietnamese
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.web.encodings import decode, surely_masked

TEXT = (
    "Cộng hòa xã hội chủ nghĩa Việt Nam. độc lập - tự do - hạnh phúc. ủy ban nhân dân thành phố yêu cầu các sở, ban,"
    " ngành rà soát biển báo, đèn tín hiệu trên địa bàn, hoàn thành trước ngày mười lăm tháng mười hai."
)
GERMAN = "Über die Müllabfuhr in Köln, größer, schöner: Straße, Fußgänger, Äpfel, Öl, für, müssen. " * 5
FRENCH = "L'été à Hanoï: élève, forêt, naïf, où, français, « déjà », cœur. Numéro n°5. " * 5
BACK = {letter: number for number, letter in vietnamese.TCVN3_LETTERS.items()}


def in_tcvn3(text: str) -> bytes:
    return bytes(ord(letter) if ord(letter) < 128 else BACK[letter] for letter in text)


def in_windows_1258(text: str) -> bytes:
    """Tones as combining marks, letters whole: the way windows-1258 has them."""
    out = bytearray()
    for letter in text:
        try:
            out += letter.encode("cp1258")
        except UnicodeEncodeError:
            plain = unicodedata.normalize("NFD", letter)
            tone = next(mark for mark in plain if mark in vietnamese.TONES)
            out += unicodedata.normalize("NFC", plain.replace(tone, "")).encode("cp1258") + tone.encode("cp1258")
    return bytes(out)


@pytest.mark.skipif(shutil.which("iconv") is None, reason="needs the C library's own table to compare with")
def test_the_tcvn3_table_equals_the_c_librarys() -> None:
    upper = b"|".join(bytes([number]) for number in range(0xA1, 0x100))
    done = subprocess.run(["iconv", "-f", "TCVN5712-1", "-t", "UTF-8"], input=upper, capture_output=True, check=True)
    ours = vietnamese.decoded(upper, vietnamese.TCVN3)
    assert ours == unicodedata.normalize("NFC", done.stdout.decode())


@pytest.mark.parametrize("announced", ["", "utf-8", "UTF-8", "iso-8859-1", "windows-1258"])
def test_tcvn3_is_found_out_whatever_is_announced(announced: str) -> None:
    found = decode(in_tcvn3(TEXT), announced.lower(), "https://hanoi.gov.vn/rss")
    assert (found.text, found.encoding) == (TEXT, "tcvn3")
    assert "is TCVN3 (ABC)" in found.remark


def test_tcvn3_that_became_unicode_is_put_right_and_said() -> None:
    masked = in_tcvn3(TEXT).decode("latin-1").encode()
    found = decode(masked, "utf-8")
    assert found.text == TEXT
    assert "took for Latin-1" in found.remark


@pytest.mark.parametrize("announced", ["", "utf-8"])
def test_windows_1258_that_announces_utf_8_is_found_out(announced: str) -> None:
    found = decode(in_windows_1258(TEXT), announced)
    assert (found.text, found.encoding) == (TEXT, "windows-1258")
    assert "is windows-1258" in found.remark


@pytest.mark.parametrize("name", ["windows-1258", "tcvn", "x-viet-tcvn5712"])
def test_what_is_announced_rightly_needs_no_remark(name: str) -> None:
    content = in_windows_1258(TEXT) if name == "windows-1258" else in_tcvn3(TEXT)
    assert decode(content, name).text == TEXT
    assert decode(content, name).remark == ""


def test_utf_8_that_announces_something_else_is_utf_8() -> None:
    for announced in ("iso-8859-1", "windows-1258", "us-ascii", "no-such-charset"):
        found = decode(TEXT.encode(), announced)
        assert found.text == TEXT, announced
        assert "is UTF-8" in found.remark, announced


@pytest.mark.parametrize("text", [GERMAN, FRENCH])
def test_other_languages_are_never_taken_for_tcvn3(text: str) -> None:
    assert decode(text.encode(), "utf-8").text == unicodedata.normalize("NFC", text)
    assert decode(text.encode("cp1252"), "windows-1252").text == unicodedata.normalize("NFC", text)
    assert not surely_masked(text)


def test_a_cut_off_letter_is_shown_as_such_and_said() -> None:
    broken = (TEXT * 3).encode() + "Việ".encode()[:-1] + b" " + TEXT.encode()
    found = decode(broken, "utf-8")
    assert found.text.count("\ufffd") == 1
    assert "1 places are not UTF-8" in found.remark


def test_what_fits_nothing_is_refused_with_what_to_do() -> None:
    with pytest.raises(ReadFailed, match="set encoding: in the configuration"):
        decode("日本語のお知らせです。避難してください。".encode("shift_jis") * 5, "", "https://hanoi.gov.vn/rss")


def test_the_encoding_of_the_configuration_counts() -> None:
    text = "日本語のお知らせです。"
    assert decode(text.encode("shift_jis"), "utf-8", "", "shift_jis").text == text


@pytest.mark.parametrize("name", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_counts(name: str) -> None:
    assert decode(TEXT.encode(name), "iso-8859-1").text == TEXT


def test_the_declaration_inside_counts_where_the_header_is_silent() -> None:
    feed = f'<?xml version="1.0" encoding="windows-1258"?><rss>{TEXT}</rss>'
    assert TEXT in decode(in_windows_1258(feed)).text
    page = f'<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1258"></head>{TEXT}</html>'
    assert TEXT in decode(in_windows_1258(page)).text
