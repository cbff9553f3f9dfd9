"""How a message leaves: an HTTP gateway for SMS, an SMTP server, another system's webhook. Each is asked once a try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

import aiosmtplib

from ctiserver.clock import Clock
from ctiserver.errors import CtiError, UserFault
from ctiserver.model import email_address
from ctiserver.model.message import Message, Via, signature
from ctiserver.net import RequestFailed, deliver
from ctiserver.site.message_rules import MailServer, MessageRules, SmsGateway, Webhook

_DEADLINE_S = 15.0
#: What a web service answers for a request that it will never take; anything else may be different next time.
_FOR_GOOD = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})


class NotSent(CtiError):
    """The far side did not take the message."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


class Carrier(Protocol):
    """One way out."""

    async def carry(self, message: Message) -> None:
        """Hand the message over. Raises NotSent."""
        ...


class SmsCarrier:
    """POSTs ``{"id", "to", "text"}`` to the gateway; 2xx says that it has the message."""

    def __init__(self, gateway: SmsGateway, directory: Path) -> None:
        """Raises UserFault if the token can't be read."""
        self._gateway = gateway
        self._token = None if gateway.token_file is None else _secret(directory, gateway.token_file, "sms.token_file")

    async def carry(self, message: Message) -> None:
        headers = {"Idempotency-Key": message.id}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        body = json.dumps({"id": message.id, "to": message.to, "text": message.text}, ensure_ascii=False).encode()
        await _post(self._gateway.url, body, headers)


class MailCarrier:
    """Hands e-mail to an SMTP server; the Message-ID is the message's own, so that a second copy is known as one."""

    def __init__(self, server: MailServer, directory: Path) -> None:
        """Raises UserFault if the password can't be read."""
        self._server = server
        self._password = (
            None if server.password_file is None else _secret(directory, server.password_file, "email.password_file")
        )

    async def carry(self, message: Message) -> None:
        try:
            to = email_address.normal(message.to)  # what was kept before addresses were checked may be anything
        except email_address.NoEmailAddress as error:
            raise NotSent(f"{message.to!r} is not an e-mail address: {error}", for_good=True) from None
        letter = EmailMessage()
        letter["From"] = self._server.sender
        letter["To"] = Address(addr_spec=to)
        letter["Subject"] = " ".join(message.subject.split())
        domain = self._server.sender.rpartition("@")[2] or "localhost"
        letter["Message-ID"] = f"<{message.id}@{domain}>"
        letter.set_content(message.text)
        try:
            await aiosmtplib.send(
                letter,
                recipients=[to],  # and nobody else whom a header may name
                hostname=self._server.host,
                port=self._server.port,
                use_tls=self._server.tls == "tls",
                start_tls=self._server.tls == "starttls",
                username=self._server.username,
                password=self._password,
                timeout=_DEADLINE_S,
            )
        except aiosmtplib.SMTPResponseException as error:
            raise NotSent(f"{error.code} {error.message}", for_good=500 <= error.code < 600) from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            raise NotSent(str(error), for_good=all(500 <= code < 600 for code in codes)) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise NotSent(f"{self._server.host}: {error or type(error).__name__}") from None


class WebhookCarrier:
    """POSTs JSON, signed: see docs/how-to/webhooks.md."""

    def __init__(self, hooks: Mapping[str, Webhook], directory: Path, clock: Clock) -> None:
        """Raises UserFault if a secret can't be read."""
        self._hooks = hooks
        self._clock = clock
        self._secrets = {
            name: _secret(directory, hook.secret_file, f"webhooks.{name}.secret_file") for name, hook in hooks.items()
        }

    async def carry(self, message: Message) -> None:
        hook = self._hooks.get(message.to)
        if hook is None:
            raise NotSent(f"messages.yaml names no webhook {message.to} any more", for_good=True)
        body = message.text.encode()
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Idempotency-Key": message.id,
            "X-Ctiserver-Timestamp": str(timestamp),
            "X-Ctiserver-Signature": f"sha256={signature(self._secrets[message.to], timestamp, body)}",
        }
        await _post(hook.url, body, headers)


def carriers(rules: MessageRules, directory: Path, clock: Clock) -> dict[Via, Carrier]:
    """Those that the site has set up. Raises UserFault for a secret file that can't be read."""
    made: dict[Via, Carrier] = {}
    if rules.sms.url:
        made["sms"] = SmsCarrier(rules.sms, directory)
    if rules.email.host:
        made["email"] = MailCarrier(rules.email, directory)
    if rules.webhooks:
        made["webhook"] = WebhookCarrier(rules.webhooks, directory, clock)
    return made


async def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    try:
        status, said = await deliver(url, body, {"Content-Type": "application/json", **headers}, timeout_s=_DEADLINE_S)
    except RequestFailed as error:
        raise NotSent(str(error)) from None
    if not 200 <= status < 300:
        raise NotSent(f"{status} {said}".strip(), for_good=status in _FOR_GOOD)


def _secret(directory: Path, name: str, setting: str) -> str:
    try:
        text = (directory / name).read_text().strip()
    except OSError as error:
        raise UserFault(
            f"can't read {name}: {error.strerror}",
            where=f"messages.yaml: {setting}",
            fix="Put the secret there, one line",
        ) from None
    if not text:
        raise UserFault(f"{name} is empty", where=f"messages.yaml: {setting}", fix="Put the secret there, one line")
    return text
