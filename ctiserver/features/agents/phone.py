"""What an agent's own phone can say by dialling: log in, log out, pause, be ready. AGI scripts of ``[cti-keys]``."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from ctiserver.agi.server import Handler
from ctiserver.agi.session import Session
from ctiserver.errors import CtiError
from ctiserver.features.agents.service import Agents
from ctiserver.ivr.prompts import Shelf, Text
from ctiserver.model.ids import AgentId, Interface, PbxName
from ctiserver.site import Site

log = structlog.get_logger(__name__)

SPOKEN: Mapping[str, Mapping[str, str]] = {
    "logged_in": {"zh-CN": "您已登录，可以接听来电", "en": "You are logged in and will be offered calls."},
    "logged_out": {"zh-CN": "您已退出", "en": "You are logged out."},
    "paused": {"zh-CN": "您已暂停接听", "en": "You are paused."},
    "ready": {"zh-CN": "您可以接听来电", "en": "You will be offered calls again."},
    "unknown": {"zh-CN": "这部话机没有分配坐席", "en": "This phone belongs to no agent."},
    "refused": {"zh-CN": "操作没有成功，请联系班长", "en": "That did not work. Please ask your supervisor."},
}


def texts(language: str) -> list[Text]:
    """What must be spoken ahead, in one language."""
    return [Text(language, by_language[language]) for by_language in SPOKEN.values() if language in by_language]


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
        text = SPOKEN[what].get(self._language) or SPOKEN[what]["en"]
        file = self._shelf.file(Text(self._language, text))
        if file is None:
            log.warning("prompt_not_spoken", text=text)
            return
        await session.stream_file(file.path, "", longest_s=file.seconds + 2.0)
