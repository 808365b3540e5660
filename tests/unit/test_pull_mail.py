"""Mails are read whatever they are made of: broken MIME, lies about charsets, parts without end."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest

from drop_files import in_tcvn3, in_windows_1258
from portalbus.connectors.pull.judging import Judge
from portalbus.connectors.pull.mailbox.cases import case_of
from portalbus.connectors.pull.mailbox.folder_names import quoted
from portalbus.connectors.pull.mailbox.mail import read_mail
from portalbus.connectors.pull.mailbox.session import RawMail
from portalbus.connectors.pull.mailbox.settings import MailboxConfig
from portalbus.schemas.findings import Finding

TEXT = "Kính gửi quý cơ quan. Đèn đường phố tôi hỏng đã ba tuần, đề nghị sửa chữa."
SETTINGS = {"agency": "H26", "kind": "imap", "address": "imaps://thu.hanoi.gov.vn", "user": "u", "regime": "R1"}
ARRIVED = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)


def letter(text: str = TEXT, **headers: str) -> EmailMessage:
    """A mail as a mail program writes it."""
    mail = EmailMessage()
    said = {
        "From": "Nguyễn Văn An <an@example.com>",
        "Subject": "Đèn đường hỏng",
        "Message-ID": "<1@example.com>",
        **headers,
    }
    for name, value in said.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def data_of(content: bytes, size: int | None = None, **settings: Any) -> dict[str, Any]:
    """The feedback's fields."""
    raw = RawMail(content, len(content) if size is None else size, ARRIVED)
    config = MailboxConfig.model_validate({**SETTINGS, **settings})
    return dict(case_of(raw, read_mail(content), {}, config).data)


def findings(data: dict[str, Any]) -> tuple[Finding, ...]:
    """What the rules of the bus have against the feedback."""
    whole = {**data, "case_id": "H26-www-1234", "public_code": "7GQ2M0Z4KX9A"}
    return Judge("H26", "www")("FeedbackReceived", whole, "0199b2c4-7a1e-7c44-9d3e-5f0e8a1b2c3d", ARRIVED).findings


def test_a_mail_is_a_feedback_that_the_rules_accept() -> None:
    data = data_of(letter().as_bytes())
    assert data == {
        "regime": "R1",
        "category": 6,
        "channel": "EMAIL",
        "addressed_to": "H26",
        "subject": "Đèn đường hỏng",
        "content": TEXT,
        "language": "vi",
        "received_at": "2026-11-20T01:00:00+00:00",
    }
    assert findings(data) == ()


def test_what_leads_to_the_person_is_left_out() -> None:
    text = (
        "Tôi tên là Nguyễn Văn An, đèn hỏng.\nĐịa chỉ: số 5\nGọi 0912.345.678 hoặc an@example.com.\n"
        "CCCD 001099012345.\nTrân trọng, NGUYỄN VĂN AN\n-- \nNguyễn Văn An\nCông ty X\n"
    )
    mail = letter(text, Subject="Đơn của Nguyễn Văn An")
    mail.add_attachment(b"x" * 2_000, maintype="application", subtype="pdf", filename="CCCD Nguyễn Văn An.pdf")
    data = data_of(mail.as_bytes())
    assert data["content"] == (
        "Tôi tên là [đã lược], đèn hỏng.\nĐịa chỉ: [đã lược]\nGọi [đã lược] hoặc [đã lược].\nCCCD [đã lược].\n"
        "Trân trọng, [đã lược]\n\n[Kèm theo 1 tệp (1 × application/pdf; 1 KiB), lưu tại cơ quan tiếp nhận.]"
    )
    assert data["subject"] == "Đơn của [đã lược]"
    assert "An" not in str(data)


def test_html_becomes_text_without_scripts_styles_and_pictures() -> None:
    mail = EmailMessage()
    mail["From"] = "a@b.vn"
    mail.set_content(
        "<html><head><style>p{color:red}</style><script>alert(1)</script></head><body><p>Đèn <b>hỏng</b></p>"
        "<img src='http://theo-doi/x.gif'><p>Đề nghị sửa &amp; thay</p><a href='javascript:x()'>xem</a></body></html>",
        subtype="html",
    )
    assert data_of(mail.as_bytes())["content"] == "Đèn hỏng\nĐề nghị sửa & thay\nxem"


def test_of_two_forms_the_plain_one_counts_and_the_mail_it_answers_is_left_out() -> None:
    mail = letter(TEXT + "\n> Anh viết:\n> dòng cũ\n")
    mail.add_alternative("<p>khác</p>", subtype="html")
    assert data_of(mail.as_bytes())["content"] == TEXT


@pytest.mark.parametrize(
    ("announced", "content"),
    [
        ("utf-8", TEXT.encode()),
        ("us-ascii", TEXT.encode()),
        ("iso-8859-1", TEXT.encode()),
        ("no-such-charset", TEXT.encode()),
        ("utf-8", in_windows_1258(TEXT)),
        ("windows-1258", in_windows_1258(TEXT)),
        ("utf-8", in_tcvn3(TEXT)),
        ("iso-8859-1", in_tcvn3(TEXT)),
        ("x-viet-tcvn", in_tcvn3(TEXT)),
        ("", TEXT.encode()),
        ("utf-7;rot13", TEXT.encode()),
    ],
)
def test_what_a_mail_says_of_its_charset_need_not_be_true(announced: str, content: bytes) -> None:
    kind = f"Content-Type: text/plain; charset={announced}\r\n" if announced else ""
    mail = f"Subject: x\r\n{kind}Content-Transfer-Encoding: 8bit\r\n\r\n".encode() + content
    assert data_of(mail)["content"] == TEXT


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (b"=?utf-8?B?xJDDqG4gaOG7j25n?=", "Đèn hỏng"),
        (b"=?utf-8?B?zzz?=", None),
        (b"=?no-such?Q?=C4?=", None),
        ("Đèn hỏng".encode(), "Đèn hỏng"),
        (b"=?utf-8?Q?" + b"=" * 5_000 + b"?=", None),
        (b"x\0y\x1b[31m", "x y [31m"),
        (b"", "(không có tiêu đề)"),
        ("Đèn ".encode() * 500, None),
    ],
)
def test_subjects_are_decoded_bounded_and_never_refused(subject: bytes, shown: str | None) -> None:
    data = data_of(b"Subject: " + subject + b"\r\nFrom: a@b.vn\r\n\r\n" + TEXT.encode())
    assert findings(data) == ()
    assert shown is None or data["subject"] == shown


def nested(depth: int) -> bytes:
    """Parts inside parts."""
    heads = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    return b"Subject: x\r\n" + heads.encode() + b"\r\n\r\n" + TEXT.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 10_000,
        bytes(range(256)) * 100,
        b"\r\n\r\n",
        nested(50),
        nested(2_000),
        b'Content-Type: multipart/mixed; boundary="\r\n\r\n--x\r\n',
        b"Content-Type: multipart/mixed\r\n\r\n" + TEXT.encode(),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!not base64!!!",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: uuencode\r\n\r\nbegin 644 x\r\n~~~\r\nend",
        b"Content-Type: text/plain; charset*=a'b'%zz; name*0*=x\r\n\r\nxin",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%fe\r\n\r\nxin",
        b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nmail trong mail",
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000 + b"sau",
        b"From: " + b"a@b.vn, " * 20_000 + b"\r\n\r\nxin",
        b"Subject: x\r\n" * 20_000 + b"\r\nxin",
        b"X: " + b"=?utf-8?Q?a?= " * 20_000 + b"\r\n\r\nxin",
    ],
    ids=lambda content: f"{len(content)}-{content[:24]!r}",
)
def test_no_mail_stops_the_others_and_each_is_a_feedback(content: bytes) -> None:
    data = data_of(content)
    assert findings(data) == ()


def test_mutated_mails_never_raise() -> None:
    seeded = random.Random(5)
    whole = letter()
    whole.add_alternative("<p>x</p>", subtype="html")
    whole.add_attachment(b"abc", maintype="image", subtype="png", filename="ảnh.png")
    original = whole.as_bytes()
    for _ in range(1_000):
        content = bytearray(original)
        for _ in range(seeded.randrange(1, 30)):
            place = seeded.randrange(len(content))
            content[place : place + seeded.randrange(3)] = seeded.randbytes(seeded.randrange(3))
        assert findings(data_of(bytes(content))) == ()


def test_a_long_mail_is_cut_and_says_so() -> None:
    data = data_of(letter("Đèn hỏng. " * 5_000).as_bytes())
    assert len(data["content"]) <= 20_000
    assert data["content"].endswith("[đã cắt: thư có 49999 ký tự]")
    part = letter("Đèn hỏng. " * 500).as_bytes()[:4_096]
    cut = data_of(part, 9 * 1024 * 1024, max_bytes=4_096)
    assert cut["content"].endswith("[Thư dài 9.0 MiB; chỉ phần đầu được đọc.]")


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto-Submitted": "auto-replied"},
        {"Precedence": "bulk"},
        {"Return-Path": "<>"},
        {"X-Spam-Flag": "YES"},
    ],
)
def test_mail_of_machines_is_noticed(headers: dict[str, str]) -> None:
    assert read_mail(letter(**headers).as_bytes()).automatic
    assert not read_mail(letter(**{"Auto-Submitted": "no"}).as_bytes()).automatic


def test_the_same_mail_has_the_same_id_wherever_it_was_delivered() -> None:
    config = MailboxConfig.model_validate(SETTINGS)

    def name(content: bytes) -> str:
        return case_of(RawMail(content, len(content), ARRIVED), read_mail(content), {}, config).id

    mail = letter().as_bytes()
    assert name(b"Received: by other\r\n" + mail) == name(mail)
    assert name(letter("Khác hẳn.").as_bytes()) != name(mail)  # the same Message-ID takes nobody's place


def test_names_of_folders_are_written_as_the_protocol_wants() -> None:
    assert quoted("INBOX") == '"INBOX"'
    assert quoted("Đã nhận") == '"&ARAA4w- nh&Hq0-n"'
    assert quoted('a"b\\c&d') == '"a\\"b\\\\c&-d"'


def test_settings_that_cannot_work_are_named() -> None:
    for wrong in (
        {"address": "https://x"},
        {"address": "imaps://u:p@x"},
        {"after": "move"},
        {"moved_to": "x"},
        {"regime": "R9"},
    ):
        with pytest.raises(ValueError, match=r"address|move|regime"):
            MailboxConfig.model_validate({**SETTINGS, **wrong})
    assert (
        MailboxConfig.model_validate({**SETTINGS, "address": "imaps://x/Ph%E1%BA%A3n%20%C3%A1nh"}).folder == "Phản ánh"
    )
