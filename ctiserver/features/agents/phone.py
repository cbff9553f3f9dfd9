"""What an agent's own phone can say by dialling: log in, log out, pause, be ready. AGI scripts of ``[cti-keys]``."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from ctiserver.agi.server import Handler
from ctiserver.agi.session import PromptMissing, Session
from ctiserver.errors import CtiError
from ctiserver.features.agents.service import Agents
from ctiserver.ivr.language import sentences
from ctiserver.ivr.language.requests import Phrase
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.model.ids import AgentId, Interface, PbxName
from ctiserver.site.load import Site

log = structlog.get_logger(__name__)

_SPOKEN: Mapping[str, sentences.Sentence] = {
    "logged_in": sentences.LOGGED_IN,
    "logged_out": sentences.LOGGED_OUT,
    "paused": sentences.PAUSED,
    "ready": sentences.READY,
    "unknown": sentences.NO_AGENT,
    "refused": sentences.REFUSED,
}


class AgentPhones:
    """AGI handlers; a phone is known by its interface, which it proved to the PBX by its password."""

    def __init__(self, agents: Agents, shelf: Shelf, site: Site, *, language: str) -> None:
        self._agents = agents
        self._shelf = shelf
        self._site = site
        self._language = language

    def handlers(self) -> dict[str, Handler]:
        """By script name, as dialplan/cti.conf calls them."""
        return {
            "agent-login": self._log_in,
            "agent-logout": self._log_out,
            "agent-pause": self._pause,
            "agent-unpause": self._ready,
        }

    async def _log_in(self, session: Session) -> None:
        await self._do(session, "logged_in")

    async def _log_out(self, session: Session) -> None:
        await self._do(session, "logged_out")

    async def _pause(self, session: Session) -> None:
        await self._do(session, "paused")

    async def _ready(self, session: Session) -> None:
        await self._do(session, "ready")

    async def _do(self, session: Session, wish: str) -> None:
        await session.answer()
        query = session.request.query
        interface, pbx = Interface(query.get("interface", "")), query.get("pbx")
        agent_id = self._agents.agent_at(PbxName(pbx), interface) if pbx else self._agents.owner(interface)
        said = "unknown"
        if agent_id is not None:
            try:
                await session.hold(10.0)
                await self._wish(agent_id, wish)
                said = wish
            except CtiError as error:
                log.warning("agent_phone_refused", agent=agent_id, wish=wish, reason=str(error))
                said = "refused"
        await self._say(session, said)
        await session.hand_back({})

    async def _wish(self, agent_id: AgentId, wish: str) -> None:
        match wish:
            case "logged_in":
                await self._agents.log_in(agent_id)
            case "logged_out":
                await self._agents.log_out(agent_id)
            case "paused":
                await self._agents.pause(agent_id, next(iter(self._site.pause_reasons)))
            case _:
                await self._agents.ready(agent_id)

    async def _say(self, session: Session, what: str) -> None:
        language, text = sentences.in_language(_SPOKEN[what], self._language)
        phrase = Phrase(language, (text,))
        if self._shelf.unspoken(phrase):
            log.warning("prompt_not_spoken", text=text)
        for file in self._shelf.heard(phrase, sentences.NOT_PLAYED):
            try:
                await session.stream_file(file.path, "", longest_s=file.seconds + 2.0)
            except PromptMissing as missing:
                log.error("prompt_missing", file=file.path, reason=str(missing))
                await session.beep()
