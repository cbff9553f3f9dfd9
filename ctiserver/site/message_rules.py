"""``messages.yaml``: what is told to the world outside, by SMS, e-mail and webhooks."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ctiserver.model import email_address
from ctiserver.site.price_list import Amount
from ctiserver.strict_yaml import Name, Written

#: What a customer's text may name.
PLACES = ("record", "order", "due", "planned", "resolution", "technician")


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
        raise ValueError(f"{text!r} is not a web service's address; write https://host/path")
    return text


def _text(text: str) -> str:
    unknown = [name for name in re.findall(r"{(.*?)}", text) if name not in PLACES]
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} can't be filled in; known: {', '.join(PLACES)}")
    return text


def _sender(text: str) -> str:
    if text:
        email_address.normal(text)
    return text


Url = Annotated[str, AfterValidator(_url)]


class SmsGateway(Written):
    """A web service that sends SMS."""

    url: Url = ""  #: empty: no SMS are sent
    token_file: str | None = None
    price: Amount = "0"
    stop_words: tuple[str, ...] = ("STOP",)
    start_words: tuple[str, ...] = ("START",)  #: take a stop word back


class MailServer(Written):
    """An SMTP server."""

    host: str = ""  #: empty: no e-mail is sent
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    tls: Literal["none", "starttls", "tls"] = "starttls"
    sender: Annotated[str, AfterValidator(_sender)] = ""
    username: str | None = None
    password_file: str | None = None


class Webhook(Written):
    """Another system that is told what happens to records."""

    url: Url
    secret_file: str
    on: tuple[Name, ...]  #: kinds of timeline line


class CustomerMessage(Written):
    """What customers are told, and when."""

    on: Name  #: kind of timeline line
    order: Name | None = None  #: only for orders of this kind
    what: Name | None = None  #: only for `notified` lines about this
    via: Literal["sms", "email"] = "sms"
    subject: dict[str, Annotated[str, AfterValidator(_text)]] = {}  # noqa: RUF012
    text: dict[str, Annotated[str, AfterValidator(_text)]]


class MessageRules(Written):
    """messages.yaml"""

    sms: SmsGateway = SmsGateway()
    email: MailServer = MailServer()
    webhooks: dict[Name, Webhook] = {}  # noqa: RUF012
    customers: tuple[CustomerMessage, ...] = ()
