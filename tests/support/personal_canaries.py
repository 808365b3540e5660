"""A made-up person: name, phone, e-mail and address that stand nowhere else, and a search for any trace of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase


@dataclass(frozen=True)
class Person:
    """Each text holds a word of its own in plain ASCII, which no escaping changes."""

    name: str
    phone: str
    email: str
    address: str
    words: tuple[str, ...]

    @classmethod
    def made_up(cls, seed: int) -> Person:
        """The person of this seed."""
        dice = Random(seed)
        name, email, address = ("zq" + "".join(dice.choices(ascii_lowercase, k=10)) for _ in range(3))
        phone = f"09{dice.randrange(10**8):08}"
        return cls(
            name=f"Nguyễn Thị {name.title()}",
            phone=phone,
            email=f"{email}@thu.example",
            address=f"số 7 ngõ {address.title()}, phường Hàng Bạc",
            words=(name, phone, email, address),
        )

    @property
    def text(self) -> str:
        """What they write of themselves."""
        return f"Tôi là {self.name}, ở {self.address}, điện thoại {self.phone}, thư {self.email}."

    def found_in(self, data: bytes) -> list[str]:
        """The words that stand in it: as they are, in any case, in hexadecimal digits or in base64."""
        lower = data.lower()
        return [
            word
            for word in self.words
            if word.encode() in lower or any(shape in data for shape in (*_hex(word), *_base64(word)))
        ]


def _hex(word: str) -> list[bytes]:
    return [form.encode().hex().encode() for form in (word, word.title())]


def _base64(word: str) -> list[bytes]:
    """What is sure to be in the base64 of a text with this word, or with it capitalised, wherever it begins."""
    found = []
    for form in (word, word.title()):
        for before in range(3):
            coded = base64.b64encode(b"\0" * before + form.encode())
            last = (before + len(form)) // 3 * 4
            found.append(coded[(0, 2, 3)[before] if before else 0 : last])
    return found
