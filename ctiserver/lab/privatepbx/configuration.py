"""The configuration of a private Asterisk, written from ``dialplan/`` and a site's ``config/``.

Whatever ends up in a .conf file is checked first: a name, host or path that could end a line, start a comment or a
section is refused, never escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.modules import MODULES
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calendar.roster import RosterFile
from ctiserver.model.numbers import normal
from ctiserver.resources import shipped
from ctiserver.site.files import STRATEGIES, Phone, QueueConfig, Trunk
from ctiserver.site.load import Site
from ctiserver.strict_yaml import load, parse

AMI_USER = "ctiserver"
DIALPLAN = ("cti.conf", "fallback.conf")
#: app_queue's own wrap-up is only the floor while the server is down; the server's pauses are the real one, and an
#: agent who is done early must not wait for app_queue.
WRAP_UP_FLOOR_S = 5

_SAFE = re.compile(r"[A-Za-z0-9_.:/@+~-]+")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a private Asterisk listens, on 127.0.0.1."""

    sip: int  #: UDP and TCP
    ami: int
    http: int  #: WebSocket for phones in browsers
    rtp_first: int
    rtp_last: int


@dataclass(frozen=True, slots=True)
class PbxLayout:
    """Where a private Asterisk keeps what is its own."""

    state: Path
    run: Path  #: its control socket; a path of its own, since a socket's path has room for 107 bytes

    @property
    def etc(self) -> Path:
        return self.state / "etc"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def voicemail(self) -> Path:
        return self.state / "voicemail"

    @property
    def recordings(self) -> Path:
        return self.state / "recordings"

    def make(self) -> None:
        """Make the folders, for the owner alone."""
        for path in (self.state, self.run):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (self.etc, self.log, self.voicemail, self.recordings):
            path.mkdir(exist_ok=True, mode=0o700)
        for name in ("var", "spool", "agi-bin", "log/cdr-custom", "var/keys"):
            (self.state / name).mkdir(exist_ok=True, mode=0o700)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides what is written."""

    layout: PbxLayout
    programs: Programs
    ports: Ports
    agi: str  #: host:port where ctiserver answers FastAGI
    ami_secret: str
    systemname: str  #: secret: system_name.py says what for
    dialplan_key: str  #: secret: what our dialplan's events carry
    phone_secrets: Mapping[str, str]  #: by the phone's name
    sounds: Path  #: the announcements, <language>/<name>.wav
    site: Site


def write(plan: Plan) -> None:
    """Write every .conf file. Raises UserFault for a value that has no place in one."""
    plan.layout.make()
    for name, text in files(plan).items():
        path = plan.layout.etc / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")


def files(plan: Plan) -> dict[str, str]:
    """The text of every .conf file, by its name."""
    written = {
        "asterisk.conf": _asterisk(plan),
        "modules.conf": "[modules]\nautoload = no\n" + "".join(f"load = {name}.so\n" for name in MODULES),
        "logger.conf": _LOGGER,
        "manager.conf": _manager(plan),
        "http.conf": f"[general]\nenabled = yes\nbindaddr = 127.0.0.1\nbindport = {plan.ports.http}\n",
        "rtp.conf": f"[general]\nrtpstart = {plan.ports.rtp_first}\nrtpend = {plan.ports.rtp_last}\nstrictrtp = yes\n",
        "pjsip.conf": _pjsip(plan),
        "queues.conf": _queues(plan.site.queues),
        "extensions.conf": _extensions(plan),
        "musiconhold.conf": _music(plan),
        "indications.conf": _INDICATIONS,
        # An agent (option t of Queue and Dial) may hand a call on: *2, then the extension; AMI's Atxfer presses it too.
        # Without a word about it, # would be a blind transfer, and no key that the other side hears.
        "features.conf": (
            "[general]\natxferdropcall = no\natxferthreeway = *3\n[featuremap]\nblindxfer = *1\natxfer = *2\n"
            # Hold for phones without a console of their own: see [cti-hold] of cti.conf.
            "[applicationmap]\ncti-hold = *4,self/both,Gosub(cti-hold,s,1),default\n"
        ),
        "cdr.conf": "[general]\nenable = yes\nunanswered = yes\n",
        "cdr_custom.conf": _CDR,
        # Read by modules that are loaded; empty is their default.
        **dict.fromkeys(("ccss.conf", "confbridge.conf", "udptl.conf", "acl.conf", "cel.conf"), ""),
        **dict.fromkeys(("stasis.conf", "sorcery.conf", "codecs.conf", "res_parking.conf", "pjproject.conf"), ""),
        "pjsip_notify.conf": "",
    }
    for name in DIALPLAN:
        written[name] = shipped("dialplan", name).read_text(encoding="utf-8")
    return written


def _safe(value: str, what: str) -> str:
    if not _SAFE.fullmatch(value):
        raise UserFault(
            f"{what} {value!r} is not allowed in Asterisk's configuration",
            fix="Use letters, digits and . _ : / @ + ~ - only",
        )
    return value


def _asterisk(plan: Plan) -> str:
    layout, programs = plan.layout, plan.programs
    paths = {
        "astetcdir": layout.etc,
        "astmoddir": programs.asterisk_modules,
        "astvarlibdir": layout.state / "var",
        "astdbdir": layout.state / "var",
        "astkeydir": layout.state / "var",
        "astdatadir": programs.asterisk_data,
        "astagidir": layout.state / "agi-bin",
        "astspooldir": layout.state / "spool",
        "astrundir": layout.run,
        "astlogdir": layout.log,
    }
    lines = "".join(f"{name} => {_safe(str(path), 'the path')}\n" for name, path in paths.items())
    name = _safe(plan.systemname, "the systemname")
    return f"[directories]\n{lines}[options]\nnocolor = yes\nverbose = 3\nsystemname = {name}\n"


def _manager(plan: Plan) -> str:
    text = shipped("config", "manager.conf").read_text(encoding="utf-8")
    for key, value in (("port", str(plan.ports.ami)), ("secret", _safe(plan.ami_secret, "the AMI secret"))):
        text, replaced = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        if replaced != 1:
            raise UserFault(
                f"has no single line `{key} = …`", where="config/manager.conf", fix="Restore the shipped one"
            )
    return text


def _pjsip(plan: Plan) -> str:
    port = plan.ports.sip
    parts = [
        # Phones and trunk share 127.0.0.1 here: a phone is told by its user name, whatever is left by its address.
        "[global]\ntype = global\nuser_agent = ctiserver\nendpoint_identifier_order = username,ip\n",
        f"[udp]\ntype = transport\nprotocol = udp\nbind = 127.0.0.1:{port}\n",
        f"[tcp]\ntype = transport\nprotocol = tcp\nbind = 127.0.0.1:{port}\n",
        "[ws]\ntype = transport\nprotocol = ws\nbind = 127.0.0.1\n",
        *(_trunk(trunk) for trunk in plan.site.trunks),
        *(_phone(phone, plan.phone_secrets[phone.name]) for phone in plan.site.phones),
    ]
    return "\n".join(parts)


def _trunk(trunk: Trunk) -> str:
    name, host = _safe(trunk.name, "the trunk"), _safe(trunk.host, "the trunk's host")
    return (
        f"[{name}]\ntype = endpoint\ncontext = cti-inbound\ndisallow = all\nallow = {','.join(trunk.codecs)}\n"
        # A REFER from outside would have our phones, and what they may dial, dialled by a stranger.
        "dtmf_mode = rfc4733\ndirect_media = no\nlanguage = en\nallow_transfer = no\n"
        f"aors = {name}\n[{name}]\ntype = aor\ncontact = sip:{host}:{trunk.port}\n"
        f"[{name}]\ntype = identify\nendpoint = {name}\nmatch = {host}\n"
    )


def _rostered(site: Site) -> list[str]:
    """The numbers of those who may be on call: that a roster has them is leave enough to call them."""
    found: set[str] = set()
    for path in sorted((site.directory / "rosters").glob("*.yaml")):
        duties = parse(load(path), RosterFile).duties
        found |= {normal(duty.number, site.emergency.country) or "" for duty in duties}
    return sorted(number for number in found if number.startswith("+"))


def _phone(phone: Phone, secret: str) -> str:
    name, extension = _safe(phone.name, "the phone"), _safe(phone.extension, "the extension")
    media = "webrtc = yes\nallow = opus,ulaw\n" if phone.webrtc else "allow = ulaw,alaw\ndirect_media = no\n"
    return (
        f"[{name}]\ntype = endpoint\ncontext = cti-agents\ndisallow = all\n{media}dtmf_mode = rfc4733\n"
        "set_var = CTI_PHONE=1\n"
        f'aors = {name}\nauth = {name}\ncallerid = "{name}" <{extension}>\n'
        f"[{name}]\ntype = auth\nauth_type = digest\nusername = {name}\npassword = {_safe(secret, 'the password')}\n"
        f"[{name}]\ntype = aor\nmax_contacts = 1\nremove_existing = yes\n"
    )


def _queues(queues: Mapping[str, QueueConfig]) -> str:
    parts = [
        "[general]\npersistentmembers = yes\nautofill = yes\nshared_lastcall = yes\nlog_membername_as_agent = yes\n"
    ]
    for name, queue in queues.items():
        announce = queue.announce_position_every
        parts.append(
            f"[{_safe(name, 'the queue')}]\nstrategy = {STRATEGIES[queue.strategy]}\n"
            f"timeout = {_seconds(queue.ring)}\nretry = {_seconds(queue.retry)}\n"
            f"wrapuptime = {min(_seconds(queue.wrap_up.limit), WRAP_UP_FLOOR_S)}\n"
            f"maxlen = {queue.max_length}\nservicelevel = {_seconds(queue.service_level.answered_within)}\n"
            f"announce-frequency = {_seconds(announce) if announce else 0}\nannounce-holdtime = no\n"
            "musicclass = default\nringinuse = no\nautopause = no\ntimeoutpriority = conf\n"
            # Nobody reachable: do not let a caller wait. Paused and talking agents count as reachable.
            "joinempty = unavailable,invalid,unknown\nleavewhenempty = unavailable,invalid,unknown\n"
        )
    return "\n".join(parts)


def _music(plan: Plan) -> str:
    """The default class, and those of the fallback: first that somebody will come, then music."""
    folder = plan.programs.asterisk_data / "moh"
    pieces = sorted({path.stem for path in folder.glob("*.*")}) if folder.is_dir() else []
    text = f"[default]\nmode = files\ndirectory = {folder}\n"
    languages = sorted(path.parent.name for path in plan.sounds.glob("*/hold.wav"))
    for name, spoken in (*((f"cti-hold-{one}", [one]) for one in languages), ("cti-hold", languages)):
        entries = [plan.sounds / language / "hold" for language in spoken] + [folder / piece for piece in pieces]
        if entries:
            text += f"[{name}]\nmode = playlist\n" + "".join(f"entry = {entry}\n" for entry in entries)
    return text


def emergency(numbers: Sequence[str]) -> str:
    """The context of the numbers that call for help, in their country's place."""
    return "[cti-emergency]\n" + "".join(
        f"exten => {_safe(number, 'the number')},1,Goto(cti-emergency-call,${{EXTEN}},1)\n" for number in numbers
    )


def _seconds(duration: timedelta) -> int:
    return max(1, round(duration.total_seconds()))


def _extensions(plan: Plan) -> str:
    first = next(iter(plan.site.queues), "")
    trunk = plan.site.trunks[0].name if plan.site.trunks else ""
    phones = "".join(
        f"exten => {_safe(phone.extension, 'the extension')},hint,PJSIP/{_safe(phone.name, 'the phone')}\n"
        f"exten => {phone.extension},1,Gosub(cti-clean,s,1)\n"
        # Keys are for our own phones: a caller from outside, whom somebody sent here, can neither hold nor transfer.
        ' same => n,ExecIf($["${CTI_PHONE}" = "1"]?Set(DYNAMIC_FEATURES=cti-hold))\n'
        f' same => n,Dial(PJSIP/{phone.name},30,t${{IF($["${{CTI_PHONE}}" = "1"]?T)}}b(cti-pop^s^1))\n'
        # A caller from a queue whom a colleague passed on, and who is not answered, goes back to its head.
        ' same => n,GotoIf($["${CTI_QUEUE}" != "" & "${DIALSTATUS}" != "ANSWER"]?cti-lost,queue,1)\n'
        " same => n,Hangup()\n"
        for phone in plan.site.phones
    )
    return (
        "[general]\nstatic = yes\nwriteprotect = yes\nclearglobalvars = no\n"
        f"[globals]\nCTI_AGI = agi://{_safe(plan.agi, 'the AGI address')}\nCTI_DEADMAN_S = 1\n"
        f"CTI_KEY = {_safe(plan.dialplan_key, 'the key')}\n"
        f"CTI_QUEUE_FIRST = {first and _safe(first, 'the queue')}\n"
        f"CTI_VM_DIR = {_safe(str(plan.layout.voicemail), 'the path')}\n"
        f"CTI_REC_DIR = {_safe(str(plan.layout.recordings), 'the path')}\n"
        f"CTI_TRUNK = {trunk and _safe(trunk, 'the trunk')}\n"
        f"CTI_EMERGENCY = {plan.site.emergency.trunk or ''}\n"
        f"CTI_SOUNDS = {_safe(str(plan.sounds), 'the path')}\n"
        + "".join(f"#include {name}\n" for name in DIALPLAN)
        + emergency(plan.site.emergency.numbers)
        + "".join(
            f"[{context}]\n" + "".join(f"exten => _{_safe(prefix, 'the prefix')}!,1,NoOp()\n" for prefix in prefixes)
            for context, prefixes in (
                ("cti-allowed", (*plan.site.outbound.allow, *_rostered(plan.site))),
                ("cti-refused", plan.site.outbound.refuse),
            )
        )
        + f"[cti-phones]\n{phones}"
    )


_LOGGER = """[general]
dateformat = %F %T.%3q
queue_log = yes
[logfiles]
full => notice,warning,error,verbose(3)
"""

_INDICATIONS = """[general]
country = cn
[cn]
description = China
ringcadence = 1000,4000
dial = 450
busy = 450/350,0/350
ring = 450/1000,0/4000
congestion = 450/700,0/700
callwaiting = 450/400,0/4000
dialrecall = 450
record = 950/400,0/10000
info = 450/100,0/100,450/100,0/100,450/100,0/100,450/400,0/400
stutter = 450+425
"""

_CDR = """[mappings]
Master.csv => ${CSV_QUOTE(${CDR(uniqueid)})},${CSV_QUOTE(${CDR(linkedid)})},${CSV_QUOTE(${CDR(src)})},\
${CSV_QUOTE(${CDR(dst)})},${CSV_QUOTE(${CDR(channel)})},${CSV_QUOTE(${CDR(dstchannel)})},${CSV_QUOTE(${CDR(start)})},\
${CSV_QUOTE(${CDR(answer)})},${CSV_QUOTE(${CDR(end)})},${CDR(duration)},${CDR(billsec)},${CDR(disposition)}
; for `ctiserver reconcile`: the times in seconds since 1970, which no time zone changes
ctiserver.csv => ${CSV_QUOTE(${CDR(uniqueid)})},${CSV_QUOTE(${CDR(linkedid)})},${CSV_QUOTE(${CDR(src)})},\
${CSV_QUOTE(${CDR(channel)})},${CSV_QUOTE(${CDR(dstchannel)})},${CDR(start,u)},${CDR(answer,u)},${CDR(end,u)},\
${CDR(disposition)}
""".replace("\\\n", "")
