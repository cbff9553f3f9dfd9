"""E-mail addresses: thousands of odd texts give one address or a refusal, and what is given is one recipient."""

from __future__ import annotations

import contextlib
import itertools
import random
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ctiserver.model.email_address import LONGEST, NoEmailAddress, normal

GOOD = ["li.min@example.com", "a@b.cn", "o'neil+x@sub.example.co.uk", "user@mail.local", "x@xn--fiq228c.cn"]
PIECES = [".", "..", "@", ",", ";", " ", "\t", "\n", "\r\n", "\x00", "<", ">", "(", ")", "[", "]", '"', "\\", ":", "%", "!", "=?utf-8?q?", "\ud800", "\u202e", "张", "é", "xn--", "\x7f", "a" * 70, "1.2.3.4", "[::1]"]  # fmt: skip


def _letter_takes(address: str) -> None:
    letter = EmailMessage()
    letter["To"] = Address(addr_spec=address)
    assert [one.addr_spec for one in letter["To"].addresses] == [address]
    assert bytes(letter)


def _checked(text: str) -> bool:
    try:
        found = normal(text)
    except NoEmailAddress:
        return False
    assert len(found) <= LONGEST
    assert found.count("@") == 1
    assert found.isascii()
    assert found.isprintable()
    assert not set(found) & set(' ,;<>()[]":\\')
    assert normal(found) == found
    _letter_takes(found)
    return True


@pytest.mark.parametrize("address", GOOD)
def test_good_addresses_are_taken(address: str) -> None:
    assert normal(f" {address} ") == address


def test_one_in_chinese_is_written_as_mail_servers_take_it() -> None:
    assert normal("a@例子.中国") == "a@xn--fsqu00a.xn--fiqs8s"


@pytest.mark.parametrize("text", ["li.min@example.com.", "(none)@example.com", "x@[y", "li,min@example.com", "a@b, c@d.cn", "A <a@b.cn>", "@", "", "a@b@c.cn", ".a@b.cn", "a@-b.cn", "张@b.cn"])  # fmt: skip
def test_the_odd_ones_that_ended_servers_are_refused(text: str) -> None:
    with pytest.raises(NoEmailAddress):
        normal(text)


def test_four_thousand_mutations_give_an_address_or_a_refusal() -> None:
    chance = random.Random(20261201)
    taken = refused = 0
    for good, piece in itertools.product(GOOD, PIECES):
        for at in range(len(good) + 1):
            for text in (good[:at] + piece + good[at:], good[:at] + piece + good[at + 1 :]):
                if chance.random() < 0.8:
                    fits = _checked(text)
                    taken, refused = taken + fits, refused + (not fits)
    assert taken + refused > 4000
    assert taken > 100
    assert refused > 2000


@settings(max_examples=1000, deadline=None)
@given(st.text(max_size=400))
@example("\ud800@b.cn")
@example("a@" + "b." * 200)
def test_any_text_gives_an_address_or_a_refusal(text: str) -> None:
    with contextlib.suppress(NoEmailAddress):
        normal(text)
    _checked(text)
