"""An Asterisk that somebody else configured, the way FreePBX does: numbered queues, Local members, hints as their state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.tree import Programs

PHONES = ("101", "102")
TRUNK = "provider"
#: A number that the PBX's own dialplan answers, and one that its admin may send elsewhere.
OWN_NUMBER = "4008005678"

_QUEUES = """[general]
persistentmembers = yes
#include queues_additional.conf
"""
_QUEUES_ADDITIONAL = """;--
 queues_additional.conf: written by a generator
--;
[queue-defaults](!)
strategy = ringall
timeout = 15
joinempty = yes

[600](queue-defaults)
member => Local/101@from-queue/n,0,王芳,hint:101@ext-local
member => Local/102@from-queue/n,5,Bob Stone,hint:102@ext-local
[601](queue-defaults)
strategy = rrmemory
member => Local/102@from-queue/n,0,Bob Stone,hint:102@ext-local
"""
_EXTENSIONS = """[general]
static = yes
[globals]
RINGTIMER = 15
#tryinclude globals_custom.conf
#include extensions_additional.conf
#tryinclude extensions_custom.conf
"""
_EXTENSIONS_ADDITIONAL = """[from-pstn]
exten => 4008005678,1,Answer()
 same => n,Queue(600,t,,,30)
 same => n,Hangup()
[from-internal]
include => ext-local
include => outrt-1
exten => *12,1,Hangup() ; the PBX's own key
[ext-local]
exten => 101,1,Dial(PJSIP/101,${RINGTIMER})
exten => 101,hint,PJSIP/101&Custom:DND101,CustomPresence:101
exten => 102,1,Dial(PJSIP/102,${RINGTIMER})
exten => 102,hint,PJSIP/102&Custom:DND102,CustomPresence:102
[from-queue]
exten => _XXX,1,Goto(ext-local,${EXTEN},1)
[outrt-1]
exten => _0.,1,Dial(PJSIP/${EXTEN:1}@provider,60)
"""


@dataclass(frozen=True, slots=True)
class Foreign:
    """The PBX, and the folder of its .conf files."""

    pbx: PrivatePbx
    etc: Path

    def edit(self, name: str, old: str, new: str) -> None:
        """Change what stands in a file."""
        path = self.etc / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@asynccontextmanager
async def foreign(folder: Path, programs: Programs) -> AsyncIterator[Foreign]:
    """The foreign Asterisk, booted; of ours it has the manager account alone, with which it is looked at."""
    async with PrivatePbx.start(folder, programs=programs) as pbx:
        etc = folder / "etc"
        secrets = dict(zip(PHONES, pbx.phone_secrets.values(), strict=False))
        (etc / "queues.conf").write_text(_QUEUES, encoding="utf-8")
        (etc / "queues_additional.conf").write_text(_QUEUES_ADDITIONAL, encoding="utf-8")
        (etc / "extensions.conf").write_text(_EXTENSIONS, encoding="utf-8")
        (etc / "extensions_additional.conf").write_text(_EXTENSIONS_ADDITIONAL, encoding="utf-8")
        (etc / "pjsip.conf").write_text(_pjsip(pbx, secrets), encoding="utf-8")
        for name in ("cti.conf", "fallback.conf"):
            (etc / name).unlink()
        options = etc / "asterisk.conf"
        ours = f"systemname = {pbx.systemname}\n"
        options.write_text(options.read_text(encoding="utf-8").replace(ours, ""), encoding="utf-8")
        modules = etc / "modules.conf"
        text = modules.read_text(encoding="utf-8").replace("load = app_queue.so\n", "")
        modules.write_text(f"{text}load = func_module.so\nload = app_queue.so\n", encoding="utf-8")
        await pbx.restart()
        pbx.phone_secrets.update(secrets)
        yield Foreign(pbx, etc)


def _pjsip(pbx: PrivatePbx, secrets: dict[str, str]) -> str:
    listening = f"[udp]\ntype = transport\nprotocol = udp\nbind = 127.0.0.1:{pbx.sip_port}\n"
    phones = "".join(
        f"[{name}](phone)\nauth = {name}\naors = {name}\ncallerid = {name} <{name}>\n"
        f"[{name}]\ntype = auth\nauth_type = digest\nusername = {name}\npassword = {secret}\n"
        f"[{name}]\ntype = aor\nmax_contacts = 1\nremove_existing = yes\n"
        for name, secret in secrets.items()
    )
    return (
        "[global]\ntype = global\nendpoint_identifier_order = username,ip\n"
        f"{listening}"
        "[phone](!)\ntype = endpoint\ncontext = from-internal\ndisallow = all\nallow = ulaw,alaw\ndirect_media = no\n"
        f"{phones}"
        f"[{TRUNK}]\ntype = endpoint\ncontext = from-pstn\ndisallow = all\nallow = alaw,ulaw\naors = {TRUNK}\n"
        f"direct_media = no\n[{TRUNK}]\ntype = aor\ncontact = sip:127.0.0.1:5060\n"
        f"[{TRUNK}]\ntype = identify\nendpoint = {TRUNK}\nmatch = 127.0.0.1\n"
    )
