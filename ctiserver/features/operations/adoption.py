"""What the admin of a PBX that is there adds, so that ctiserver can work beside it. Only said: nothing is written."""

from __future__ import annotations

import re
import secrets
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from ctiserver.errors import UserFault
from ctiserver.model.ids import Interface
from ctiserver.pbx.survey import NEEDED_MODULES, FoundMember, FoundQueue, PbxSurvey
from ctiserver.resources import shipped
from ctiserver.site.fallback_texts import announced
from ctiserver.site.files import STRATEGIES, Strategy
from ctiserver.system_name import is_secret, new_system_name

#: What our dialplan adds to a PBX's, and where calls and phones are sent.
DIALPLAN = ("cti.conf", "fallback.conf")
#: Our word for app_queue's; some of its strategies have no word of ours, and the nearest is taken.
_STRATEGY_OF: Mapping[str, Strategy] = {
    **{theirs: ours for ours, theirs in STRATEGIES.items()},
    "rrordered": "round_robin",
    "wrandom": "random",
}
DEFAULT_AGI_PORT = 4573
#: Asterisk's own music, where it is installed.
_MUSIC_DIR = "/var/lib/asterisk/moh"
_MUSIC = ("macroform-cold_day", "macroform-robot_dity", "macroform-the_simplicity", "manolo_camp-morning_coffee")
_LOGIN = re.compile(r"[a-z][a-z0-9._-]{0,39}")
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_EXTENSION = re.compile(r"[0-9]{2,6}")
_KEYS = ("*11", "*12", "*13", "*14")


@dataclass(frozen=True, slots=True, kw_only=True)
class AmiAccount:
    """The AMI account to be, and where its PBX is."""

    host: str
    port: int
    username: str
    from_address: str  #: of this machine, as the PBX sees it
    agi_port: int = DEFAULT_AGI_PORT
    name: str = "main"  #: what the PBX will be called in ctiserver.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something to be put into a file."""

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do; without pieces and words it is done already."""

    title: str
    done: bool
    words: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """All that is to be said about one PBX."""

    found: PbxSurvey | None  #: None: there was no account to look with, nor files
    steps: tuple[Step, ...]


def own_address(host: str) -> str:
    """This machine's address as ``host`` sees it. Raises UserFault if there is no way to ``host``."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # a datagram socket: nothing is sent
            return str(probe.getsockname()[0])
    except OSError as error:
        raise UserFault(f"can't be found: {error.strerror or error}", where=host, fix="Check the name") from None


def contexts_needed() -> tuple[str, ...]:
    """The contexts of the shipped dialplan that a PBX must have."""
    text = "".join(shipped("dialplan", name).read_text(encoding="utf-8") for name in DIALPLAN)
    return tuple(re.findall(r"(?m)^\[([\w-]+)\]$", text))


def adopt(account: AmiAccount, found: PbxSurvey | None, *, logged_in: bool) -> Adoption:
    """What to do, in order; ``logged_in`` says that the account works."""
    steps = [_account_step(account, found, logged_in=logged_in)]
    if found is None:
        words = (
            f"Write the secret into a file, and run: ctiserver pbx adopt {account.host} --port {account.port} "
            f"--username {account.username} --secret-file FILE",
            "It says then what is there: queues, members, trunks, contexts; and what to write for them.",
            "Where Asterisk's files can be read here, --conf /etc/asterisk tells the same without an account.",
        )
        return Adoption(found=None, steps=(*steps, Step(title="Look again", done=False, words=words)))
    steps += [_systemname_step(found), _module_step(found), _dialplan_step(account, found), _calls_step(found)]
    steps += [_settings_step(account, found), _queues_step(found), _agents_step(found), _last_step()]
    return Adoption(found=found, steps=tuple(steps))


def _is_freepbx(found: PbxSurvey | None) -> bool:
    return found is not None and {"from-internal", "from-pstn"} <= found.contexts.keys() | set(
        found.comes_in_by.values()
    )


def _account_step(account: AmiAccount, found: PbxSurvey | None, *, logged_in: bool) -> Step:
    weak = found.weak if found is not None else ()
    title = "The manager account"
    if logged_in and not weak:
        return Step(title=title, done=True)
    words = [f"then, in Asterisk's console: manager reload; and let {account.host}:{account.port} be reached from here"]
    if weak:
        words.insert(0, f"The account {account.username} is not given: {', '.join(weak)}. Give it these classes:")
    file = "manager_custom.conf" if _is_freepbx(found) else "manager.conf"
    return Step(
        title=title,
        done=False,
        words=tuple(words),
        pieces=(Piece(file=file, text=account_text(account)),),
    )


def account_text(account: AmiAccount) -> str:
    """The account for manager.conf: what ctiserver ships, with this name and this address."""
    text = shipped("config", "manager.conf").read_text(encoding="utf-8")
    section = text[text.index("[ctiserver]") :].replace("[ctiserver]", f"[{account.username}]")
    mask = "255.255.255.255" if "." in account.from_address else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    section = re.sub(r"(?m)^permit = .*$", f"permit = {account.from_address}/{mask}", section)
    general = (
        "; in [general], if it is not there yet; what else stands there may stay:\n"
        ";   enabled = yes\n"
        ";   timestampevents = yes\n"
    )
    return f"{general}{section}"


def _systemname_step(found: PbxSurvey) -> Step:
    title = "A secret by which the PBX's own events are known"
    if is_secret(found.systemname):
        return Step(title=title, done=True)
    words = [
        "A caller can write lines of AMI and queue_log by SIP: docs/security.md says what this secret is for, what "
        "holds without it, and what your PJSIP or session border should refuse",
        "then restart Asterisk: it reads its name only when it starts. Ids in CDRs and queue_log begin with it from "
        "then on; ctiserver takes it off",
    ]
    if found.systemname:
        words.insert(
            0, f"Instead of {found.systemname}, which is not a secret; tell programs that read it of the change"
        )
    text = f"[options]\nsystemname = {new_system_name(secrets.choice)}\n"
    return Step(title=title, done=False, words=tuple(words), pieces=(Piece(file="asterisk.conf", text=text),))


def _module_step(found: PbxSurvey) -> Step:
    missing = found.missing_modules
    if missing:
        loads = "".join(f"load = {name}.so\n" for name in missing)
        words = (f"then, in Asterisk's console: {'; '.join(f'module load {name}' for name in missing)}",)
        return Step(
            title="Modules that are missing",
            done=False,
            words=words,
            pieces=(Piece(file="modules.conf: [modules]", text=loads),),
        )
    if "modules" in found.unseen:
        words = ("Not seen. In Asterisk's console, `module show like res_agi` and the like must show each of these:",)
        return Step(title="Modules", done=False, words=(*words, " ".join(NEEDED_MODULES)))
    return Step(title="Modules", done=True)


def _dialplan_step(account: AmiAccount, found: PbxSurvey) -> Step:
    title = "The dialplan"
    lacking = [context for context in contexts_needed() if context not in found.contexts]
    wanted = _globals(account, found)
    set_already = all(found.globals.get(name) for name in ("CTI_AGI", "CTI_DEADMAN_S", "CTI_SOUNDS"))
    if not lacking and set_already and found.globals.get("CTI_PBX") == account.name:
        return Step(title=title, done=True)
    freepbx = _is_freepbx(found)
    lines = "".join(f"{name} = {value}\n" for name, value in wanted.items())
    includes = "".join(f"#include {name}\n" for name in DIALPLAN)
    pieces: tuple[Piece, ...]
    if freepbx:
        pieces = (
            Piece(file="globals_custom.conf", text=lines),
            Piece(file="extensions_custom.conf", text=includes),
        )
    else:
        pieces = (Piece(file="extensions.conf", text=f"[globals]\n{lines}{includes}"),)
    pieces += (Piece(file=f"musiconhold{'_custom' * freepbx}.conf", text=_music(wanted["CTI_SOUNDS"])),)
    words = [
        "Copy these two beside extensions.conf: " + ", ".join(str(shipped("dialplan", name)) for name in DIALPLAN),
        f"Make {wanted['CTI_VM_DIR']} and {wanted['CTI_REC_DIR']} there, writable for Asterisk's user: "
        "messages and recordings go into them",
        "Fill CTI_SOUNDS with what callers hear while no server is there: "
        "`ctiserver prompts announcements --out sounds` here, "
        f"then copy what is in sounds/ to {wanted['CTI_SOUNDS']} there",
        "The classes cti-hold… say first that somebody will come; add your own music after it",
        "then, in Asterisk's console: moh reload; dialplan reload",
    ]
    if lacking and len(lacking) < len(contexts_needed()):
        words.insert(0, f"The copy there is not whole or not of this version; it lacks {', '.join(lacking)}.")
    return Step(title=title, done=False, words=tuple(words), pieces=pieces)


def _music(sounds: str) -> str:
    """The classes of music on hold in which the fallback tells callers that somebody will come."""
    languages = sorted({language for language, _, _ in announced()})
    text = ""
    for name, spoken in (*((f"cti-hold-{one}", [one]) for one in languages), ("cti-hold", languages)):
        entries = [f"{sounds}/{language}/hold" for language in spoken] + [f"{_MUSIC_DIR}/{piece}" for piece in _MUSIC]
        text += f"[{name}]\nmode = playlist\n" + "".join(f"entry = {entry}\n" for entry in entries)
    return text


def _globals(account: AmiAccount, found: PbxSurvey) -> dict[str, str]:
    address = account.from_address
    return {
        "CTI_AGI": f"agi://{f'[{address}]' if ':' in address else address}:{account.agi_port}",
        "CTI_PBX": account.name,
        "CTI_DEADMAN_S": "1",
        "CTI_QUEUE_FIRST": next((queue.name for queue in found.queues), ""),
        "CTI_VM_DIR": "/var/spool/asterisk/ctiserver",
        "CTI_REC_DIR": "/var/spool/asterisk/ctiserver/recordings",
        "CTI_TRUNK": next(iter(found.trunks), ""),
        "CTI_SOUNDS": "/var/lib/asterisk/sounds/ctiserver",
    }


def _calls_step(found: PbxSurvey) -> Step:
    """Where calls and phones come in: the admin's own choice, so this is said and never found to be done."""
    ours = {"cti-inbound", "cti-agents"}
    calls = [f"{name} (now {found.comes_in_by[name]})" for name in found.trunks if name in found.comes_in_by]
    words = []
    if _is_freepbx(found):
        words.append(
            "Make a Custom Destination cti-inbound,${EXTEN},1 and send it an Inbound Route; its calls are ctiserver's"
        )
    elif any(found.comes_in_by.get(name) in ours for name in found.trunks):
        words.append("Calls come in by cti-inbound already")
    else:
        words.append(
            f"Send your trunk's calls to ctiserver: context = cti-inbound at {', '.join(calls) or 'its endpoint'}, "
            "or Goto(cti-inbound,${EXTEN},1) for the numbers that shall be ctiserver's"
        )
    trunks = ", ".join(found.trunks) or "your trunk"
    words.append(
        f"At {trunks}: allow_transfer = no, so that no caller has your phones dialled by REFER; at your phones, "
        "and at nothing else: set_var = CTI_PHONE=1, which gives them the keys for transfer and hold"
    )
    taken = sorted(
        f"{key} in {context}"
        for context, extensions in found.contexts.items()
        if not context.startswith("cti-")
        for key in _KEYS
        if key in extensions
    )
    where = "from-internal-custom" if _is_freepbx(found) else "the context of your agents' phones"
    words.append(
        f"Their phones log in and out by *11 to *14 with `include => cti-keys` in {where}"
        + (f"; your dialplan has {', '.join(taken)}: those stay yours" if taken else "")
    )
    return Step(title="Where calls come in", done=False, words=tuple(words))


def _settings_step(account: AmiAccount, found: PbxSurvey) -> Step:
    trunks = ", ".join(found.trunks) or "NAME-OF-YOUR-TRUNK"
    text = (
        f"pbxs:\n  {account.name}:\n"
        f"    host: {account.host}\n    port: {account.port}\n    username: {account.username}\n"
        f"    secret_file: {account.name}.secret        # one line; readable by ctiserver alone\n"
        f"    trunks: [{trunks}]\n"
        "    # queue_log: /var/log/asterisk/queue_log   # where it can be read here: what we missed is told by it\n"
    )
    words = ["`ctiserver init` makes the folder that this file and queues.yaml are in"]
    far = not _is_loopback(account.host)
    if far or account.agi_port != DEFAULT_AGI_PORT:
        text += f"agi:\n  port: {account.agi_port}\n"
    if far:
        text += f"  host: {account.from_address}\n  allow: [NETWORK-OF-THE-PBX, such as 192.0.2.7/32]\n"
        words.append("FastAGI has no authentication: let only the PBX reach its port (firewall)")
    pieces = (Piece(file="ctiserver.yaml", text=text),)
    return Step(title="Settings", done=False, words=tuple(words), pieces=pieces)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _queues_step(found: PbxSurvey) -> Step:
    if not found.queues:
        words = ("The PBX has none, or none could be seen. Make them in queues.conf, name them in queues.yaml.",)
        return Step(title="Queues", done=False, words=words)
    agents = {seat.interface: login for login, seat, _ in people(found)}
    fitting = [queue for queue in found.queues if _QUEUE.fullmatch(queue.name)]
    text = "queues:\n" + "".join(_queue_text(queue, agents) for queue in fitting)
    left_out = [queue.name for queue in found.queues if queue not in fitting]
    return Step(
        title="Queues",
        done=False,
        words=(
            "They stay in your PBX; this file describes them to ctiserver. Adjust titles and policies.",
            "In flows/ send callers to these: the shipped flows name other queues, and `ctiserver check` says where",
            *(f"{name!r} can't be used by its name; give it one of letters and digits" for name in left_out),
        ),
        pieces=(Piece(file="queues.yaml", text=text),),
    )


def _queue_text(queue: FoundQueue, agents: Mapping[Interface, str]) -> str:
    named = [agents[member.interface] for member in queue.members if member.interface in agents]
    strategy = _STRATEGY_OF.get(queue.strategy)
    note = "" if strategy and STRATEGIES[strategy] == queue.strategy else f"  # on the PBX: {queue.strategy}"
    title = f'"{queue.name}"'
    penalties = {
        agents[member.interface]: member.penalty
        for member in queue.members
        if member.penalty and member.interface in agents
    }
    members = f"agents: [{', '.join(dict.fromkeys(named))}]" if named else ""
    if penalties:
        members += f", penalties: {{{', '.join(f'{who}: {value}' for who, value in penalties.items())}}}"
    return (
        f"  {title}:\n    title: {{zh-CN: {title}, en: {title}}}\n    strategy: {strategy or 'longest_idle'}{note}\n"
        f"    members: {{{members}}}\n"
    )


def people(found: PbxSurvey) -> list[tuple[str, FoundMember, str]]:
    """Log-in, seat and extension of each member whose phone is known; a phone in several queues is one person."""
    by_phone = {hint.phone: hint.extension for hint in found.hints if hint.phone is not None}
    known: dict[Interface, tuple[str, str]] = {}
    listed: list[tuple[str, FoundMember, str]] = []
    for member in found.members:
        if member.phone is None or not member.known:
            continue
        if member.phone not in known:
            extension = by_phone.get(member.phone) or _digits(member)
            if not _EXTENSION.fullmatch(extension):
                continue
            known[member.phone] = (_login(member, extension, {login for login, _ in known.values()}), extension)
        login, extension = known[member.phone]
        listed.append((login, member, extension))
    return listed


def _digits(member: FoundMember) -> str:
    found = re.search(r"/[A-Za-z_.-]*([0-9]{2,6})", member.interface)
    return found[1] if found else ""


def _login(member: FoundMember, extension: str, taken: set[str]) -> str:
    name = re.sub(r"[\s_]+", ".", member.name.strip().lower())
    fits = _LOGIN.fullmatch(name) and name not in taken
    return name if fits else f"agent{extension}"


def _agents_step(found: PbxSurvey) -> Step:
    lines, once = [], set()
    for login, member, extension in people(found):
        if login not in once:
            once.add(login)
            lines.append(
                f"ctiserver user add {login} --role agent --name {shlex.quote(member.name)} "
                f"--extension {extension} --interface {member.phone}"
            )
    listed = {member.interface for _, member, _ in people(found)}
    words = [
        f"{member.interface} ({member.name}): {_why_left_out(member)}"
        for member in found.members
        if member.interface not in listed
    ]
    if not lines:
        words.append("ctiserver user add NAME --role agent --extension 101 --interface PJSIP/101, for each agent")
    pieces = (Piece(file="a shell", text="\n".join(lines) + "\n"),) if lines else ()
    return Step(title="Agents", done=False, words=tuple(words), pieces=pieces)


def _why_left_out(member: FoundMember) -> str:
    if not member.known:
        return "Asterisk does not know this device; remove it from the queue, or correct its name"
    if member.phone is None:
        return "no hint tells which phone this is; give its extension a hint, or add the agent by the phone's own name"
    return f"no extension of two to six digits is known for {member.phone}; add the agent with one by hand"


def _last_step() -> Step:
    return Step(title="See whether all is well", done=False, words=("ctiserver doctor --config ctiserver.yaml",))
