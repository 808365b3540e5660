"""Signatures of Standard Webhooks, by the standard's own example and by verifiers of three languages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portalbus.connectors.push.signing import key_of, new_secret, signature, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "receiving.md"
PROGRAMS = {"python": ([sys.executable], "py"), "php": (["php"], "php"), "js": (["node"], "mjs")}


def test_the_example_of_the_standard() -> None:
    body = b'{"test": 2432232314}'
    signed = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_give_two_signatures() -> None:
    other = new_secret()
    headers = signed_headers([SECRET, other], "a", 1, b"x")
    assert headers["webhook-signature"] == f"{signature(SECRET, 'a', 1, b'x')} {signature(other, 'a', 1, b'x')}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("a", "1")


def test_a_new_secret_has_256_bits_and_is_new() -> None:
    assert len(key_of(new_secret())) == 32
    assert new_secret() != new_secret()


@pytest.mark.parametrize("wrong", ["", "whsec_", "whsec_!!!", "whsec_YWJj", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_what_is_no_secret_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes"):
        key_of(wrong)


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_verification_on_the_page_takes_what_is_signed_and_nothing_else(language: str, tmp_path: Path) -> None:
    argv, ending = PROGRAMS[language]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"there is no {argv[0]}")
    block = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    program = tmp_path / f"verify.{ending}"
    program.write_text(block[1], encoding="utf-8")
    body = '{"title":"Chỉ thị “mới”"}'.encode()

    def accepts(webhook_id: str, timestamp: int, signatures: str, content: bytes) -> bool:
        done = subprocess.run(
            [*argv, str(program), SECRET, webhook_id, str(timestamp), signatures],
            input=content,
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr.decode()
        return done.returncode == 0

    now = int(time.time())
    right = signature(SECRET, "id-1", now, body)
    assert accepts("id-1", now, right, body)
    assert accepts("id-1", now, f"{signature(new_secret(), 'id-1', now, body)} {right}", body)
    assert not accepts("id-2", now, right, body)
    assert not accepts("id-1", now, right, body + b" ")
    assert not accepts("id-1", now + 1, right, body)
    assert not accepts("id-1", now - 3_600, signature(SECRET, "id-1", now - 3_600, body), body)
    assert not accepts("id-1", now, "v1,", body)
