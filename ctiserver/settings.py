"""Settings: ``ctiserver.yaml``, overridden by the environment, with secrets from files or the environment.

Precedence, highest first: environment (``CTISERVER_WEB__PORT=8080``), ``ctiserver.yaml``, defaults. An account's secret
is given by ``secret_file`` (one line, read at start) or by environment (``CTISERVER_PBXS__MAIN__SECRET``), never in the
YAML file itself. Numbers end in their unit; everything is loopback unless said otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError

from ctiserver.errors import UserFault
from ctiserver.strict_yaml import Document, TimeZone, Written, load, parse
from ctiserver.system_name import is_secret

ENVIRONMENT_PREFIX = "CTISERVER_"
#: The name that files spoken by the default engine carry, whichever espeak-ng it is.
DEFAULT_ENGINE = "espeak-ng"
#: What a PBX may be called; it stands in the dialplan too.
PBX_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class DatabaseSettings(Written):
    """Where records, calls and people are kept."""

    url: str = ""  #: empty: SQLite file ``ctiserver.sqlite`` in data_dir; else ``postgresql://user@host/name``
    pool_size: Annotated[int, Field(ge=1, le=200)] = 4  #: that read at once; on PostgreSQL as many write


class WorkflowSettings(Written):
    """The durable workflow engine."""

    url: str = ""  #: empty: SQLite file ``workflow.sqlite`` in data_dir, or the same PostgreSQL server as the database
    threads: Annotated[int, Field(ge=1, le=64)] = 4
    polling_s: Seconds = 0.1
    executor: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "local"
    """This server's name among several on one PostgreSQL: each has its own, and keeps it over restarts."""


class BrowserPhoneSettings(Written):
    """Phones in agents' browsers: SIP that ctiserver passes on between the console and the PBX's own WebSocket."""

    url: str = ""  #: the PBX's WebSocket, such as ws://127.0.0.1:8088/ws; empty: no phones in browsers
    secrets_file: Path | None = None  #: JSON: the SIP password of each such phone, by its name
    secrets: dict[str, SecretStr] = {}  # noqa: RUF012 - pydantic copies defaults
    ice_servers: tuple[str, ...] = ()  #: stun: or turn: addresses; empty: browsers reach the PBX's RTP ports directly
    connect_timeout_s: Seconds = 5.0


class PbxSettings(Written):
    """One Asterisk and its AMI account."""

    host: str = "127.0.0.1"
    port: Port = 5038
    username: str = "ctiserver"
    secret: SecretStr = SecretStr("")
    secret_file: Path | None = None
    systemname: SecretStr = SecretStr("")
    systemname_file: Path | None = None
    """Its secret systemname (asterisk.conf), by which lines of queue_log are known to be true; further lines: those it
    had before, for older parts of queue_log. The link learns the present one by itself."""
    connect_timeout_s: Seconds = 5.0
    action_timeout_s: Seconds = 5.0
    ping_every_s: Seconds = 2.0
    ping_timeout_s: Seconds = 2.0
    reconnect_first_s: Seconds = 0.2
    reconnect_longest_s: Seconds = 5.0
    trunks: tuple[str, ...] = ("trunk",)  #: PJSIP endpoints (or SIP peers) that bring calls in from outside
    outbound_context: str = "cti-outbound"
    recordings_dir: Path | None = None
    """Its folder of recordings (CTI_REC_DIR) as this server sees it; None: they can't be found or played here."""
    browser_phones: BrowserPhoneSettings = BrowserPhoneSettings()
    queue_log: Path | None = None  #: the PBX's queue_log, where it can be read here: what we missed is told by it
    cdr: Path | None = None  #: its CDRs, a file of cdr_csv or cdr_custom: for ``ctiserver reconcile``
    time_zone: str = ""  #: of the times in ``cdr``, where those name none; empty: the site's

    @property
    def systemnames(self) -> tuple[str, ...]:
        """The secret systemname and those before it; empty where none is known."""
        return tuple(self.systemname.get_secret_value().split())


class AgiSettings(Written):
    """The FastAGI server that Asterisk calls for every menu. It has no authentication: loopback or an allow-list."""

    host: str = "127.0.0.1"
    port: Port = 4573
    allow: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    header_timeout_s: Seconds = 2.0
    header_max_bytes: Annotated[int, Field(ge=512, le=65_536)] = 8192
    command_margin_s: Seconds = 1.0  #: how long past a command's longest time the dead-man waits
    max_sessions: Annotated[int, Field(ge=1, le=10_000)] = 500
    drain_s: Seconds = 10.0  #: at the end: how long callers in a menu may go on before the dialplan takes them over


class WebSettings(Written):
    """The console, the API and the WebSocket."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str = ""  #: as browsers see it; empty: http://host:port
    session_hours: Annotated[float, Field(gt=0, le=720)] = 12.0
    websocket_queue: Annotated[int, Field(ge=8, le=10_000)] = 256
    metrics_allow: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """Who may read /metrics, and why /readyz says no; never through a reverse proxy."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Reverse proxies before this server: the client's address is then the one that they say in X-Forwarded-For."""


class PromptSettings(Written):
    """Who speaks texts, and where the spoken files lie."""

    command: tuple[str, ...] = ()
    """Any text-to-speech command: ``{text}``, ``{language}``, ``{out}`` are filled in. Empty: espeak-ng."""
    voices: dict[str, str] = {"zh-CN": "cmn-latn-pinyin", "en": "en-us"}  # noqa: RUF012 - pydantic copies defaults
    words_per_minute: Annotated[int, Field(ge=80, le=400)] = 150
    cache_dir: Path | None = None  #: default: data_dir/prompts
    asterisk_dir: str = ""  #: the same folder as Asterisk sees it; empty: the same path
    timeout_s: Seconds = 30.0

    def voice(self, language: str) -> str:
        """The engine's voice for a language."""
        return self.voices.get(language, language)

    def file_name(self, language: str, text: str, engine: str = DEFAULT_ENGINE) -> str:
        """How the file that speaks a text is called, without its extension: a hash of all that it depends on."""
        parts = (engine, self.voice(language), str(self.words_per_minute), text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


class HttpSettings(Written):
    """Web services that flows may ask."""

    allow_hosts: tuple[str, ...] = ()  #: ``name`` or ``name:port``; every other host is refused
    timeout_s: Seconds = 10.0


class RecordingSettings(Written):
    """Recordings of calls; which calls are recorded is said by queues.yaml and by flows."""

    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 180  #: then the file is deleted; that there was one stays


class FieldSettings(Written):
    """The dispatcher's day: which hours it has, and how it is cut into windows for appointments."""

    calendar: str = "service_desk"  #: whose hours; where there is no such calendar, 08:00 to 20:00
    window_minutes: Annotated[int, Field(ge=15, le=720)] = 120


class LogSettings(Written):
    """Logs are events with ids, one a line."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TracingSettings(Written):
    """Traces for OpenTelemetry: from the ring to the closed record."""

    endpoint: str = ""
    """A collector's address for traces (OTLP over HTTP), such as http://127.0.0.1:4318/v1/traces; empty: no traces."""
    timeout_s: Seconds = 10.0  #: how long the collector may take


class Settings(Written):
    """Everything in ``ctiserver.yaml``."""

    data_dir: Path = Path("data")  #: databases, prompts, voicemail; relative to the settings file
    config_dir: Path = Path()  #: queues.yaml, numbers.yaml …; empty: beside the settings file
    flows_dir: Path | None = None  #: *.flow.yaml; None: the shipped flows
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"  #: ISO 3166; how national numbers are read
    time_zone: TimeZone = "Asia/Shanghai"
    languages: tuple[str, ...] = ("zh-CN", "en")
    pbxs: dict[Annotated[str, Field(pattern=f"^{PBX_NAME.pattern}$")], PbxSettings] = {}  # noqa: RUF012
    database: DatabaseSettings = DatabaseSettings()
    workflow: WorkflowSettings = WorkflowSettings()
    agi: AgiSettings = AgiSettings()
    web: WebSettings = WebSettings()
    prompts: PromptSettings = PromptSettings()
    http: HttpSettings = HttpSettings()
    recordings: RecordingSettings = RecordingSettings()
    field: FieldSettings = FieldSettings()
    logs: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def database_url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database.url or f"sqlite:///{self.data_dir / 'ctiserver.sqlite'}"

    @property
    def workflow_url(self) -> str:
        """The workflow engine's database URL, with the default filled in."""
        if self.workflow.url:
            return self.workflow.url
        if self.database.url.startswith("postgresql"):
            return self.database.url
        return f"sqlite:///{self.data_dir / 'workflow.sqlite'}"

    @property
    def prompts_dir(self) -> Path:
        """Where spoken prompts lie."""
        return self.prompts.cache_dir or self.data_dir / "prompts"


def load_settings(path: Path, environment: dict[str, str] | None = None) -> Settings:
    """Read ``ctiserver.yaml`` and the environment; relative paths are beside the file.

    Raises UserFault with file and line, or with the environment variable's name, for anything that does not fit.
    """
    document = load(path)
    settings = parse(document, Settings)
    _refuse_secret_in_file(document)
    overrides = _overrides(os.environ if environment is None else environment)
    if overrides:
        settings = _overridden(document, overrides)
    base = path.resolve().parent

    def whole(name: str, pbx: PbxSettings) -> PbxSettings:
        with_secret = _with_systemname(document, name, _with_secret(document, name, _resolved(pbx, base), base), base)
        return _with_phone_secrets(document, name, with_secret, base)

    return settings.model_copy(
        update={
            "data_dir": base / settings.data_dir,
            "config_dir": base / settings.config_dir,
            "flows_dir": None if settings.flows_dir is None else base / settings.flows_dir,
            "pbxs": {name: whole(name, pbx) for name, pbx in settings.pbxs.items()},
        }
    )


def _refuse_secret_in_file(document: Document) -> None:
    pbxs = document.data.get("pbxs") if isinstance(document.data, dict) else None
    for name, pbx in pbxs.items() if isinstance(pbxs, dict) else ():
        phones = pbx.get("browser_phones") if isinstance(pbx, dict) else None
        if isinstance(phones, dict) and "secrets" in phones:
            raise UserFault(
                f"the phones' passwords of PBX {name!r} do not belong in this file",
                where=str(document.key_place(("pbxs", name, "browser_phones", "secrets"))),
                fix="Put them into a file named by browser_phones.secrets_file",
            )
        for key in ("secret", "systemname"):
            if isinstance(pbx, dict) and key in pbx:
                variable = f"{ENVIRONMENT_PREFIX}PBXS__{name.upper()}__{key.upper()}"
                raise UserFault(
                    f"the {key} of PBX {name!r} does not belong in this file",
                    where=str(document.key_place(("pbxs", name, key))),
                    fix=f"Put it into a file named by {key}_file, or {variable}",
                )


def _resolved(pbx: PbxSettings, base: Path) -> PbxSettings:
    files = {"queue_log": pbx.queue_log, "cdr": pbx.cdr, "recordings_dir": pbx.recordings_dir}
    return pbx.model_copy(update={name: base / path for name, path in files.items() if path is not None})


def _with_secret(document: Document, name: str, pbx: PbxSettings, base: Path) -> PbxSettings:
    if pbx.secret_file is None or pbx.secret.get_secret_value():
        return pbx
    try:
        secret = (base / pbx.secret_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UserFault(
            f"the secret file {pbx.secret_file} can't be read: {error.strerror}",
            where=str(document.place(("pbxs", name, "secret_file"))),
            fix="Write the AMI account's secret into it, one line",
        ) from None
    return pbx.model_copy(update={"secret": SecretStr(secret)})


def _with_systemname(document: Document, name: str, pbx: PbxSettings, base: Path) -> PbxSettings:
    text = pbx.systemname.get_secret_value()
    where = f"{ENVIRONMENT_PREFIX}PBXS__{name.upper()}__SYSTEMNAME"
    if pbx.systemname_file is not None and not text:
        where = str(document.place(("pbxs", name, "systemname_file")))
        try:
            text = (base / pbx.systemname_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserFault(
                f"the file {pbx.systemname_file} can't be read: {getattr(error, 'strerror', None) or error}",
                where=where,
                fix="Write the systemname of the PBX's asterisk.conf into it",
            ) from None
    if not all(map(is_secret, text.split())):
        raise UserFault(
            "a systemname there is not a secret one: cti and 11 small letters or digits",
            where=where,
            fix="`ctiserver pbx adopt HOST` makes one; write it there and into asterisk.conf",
        )
    return pbx.model_copy(update={"systemname": SecretStr(text)})


def _with_phone_secrets(document: Document, name: str, pbx: PbxSettings, base: Path) -> PbxSettings:
    phones = pbx.browser_phones
    if phones.secrets_file is None or phones.secrets:
        return pbx
    try:
        found = json.loads((base / phones.secrets_file).read_text(encoding="utf-8"))
        secrets = {str(phone): SecretStr(str(secret)) for phone, secret in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UserFault(
            f"the secrets file {phones.secrets_file} can't be read: {error}",
            where=str(document.place(("pbxs", name, "browser_phones", "secrets_file"))),
            fix='Write the SIP password of each phone into it: {"agent1": "…"}',
        ) from None
    return pbx.model_copy(update={"browser_phones": phones.model_copy(update={"secrets": secrets})})


def _overrides(environment: Any) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key.startswith(ENVIRONMENT_PREFIX) and "__" in key}


def _overridden(document: Document, overrides: dict[str, str]) -> Settings:
    data: dict[str, Any] = json.loads(json.dumps(document.data))
    for key, text in sorted(overrides.items()):
        steps = key.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        here = data
        for step in steps[:-1]:
            here = here.setdefault(step, {})
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        here[steps[-1]] = value
        try:
            # one at a time, so that a message names the one variable that does not fit
            settings = Settings.model_validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            if isinstance(value, int | float):
                here[steps[-1]] = text  # a password of digits is text all the same
                try:
                    settings = Settings.model_validate_json(json.dumps(data), strict=True)
                    continue
                except ValidationError:
                    pass
            raise UserFault(
                error.errors()[0]["msg"], where=key, fix="Change or unset that environment variable"
            ) from None
    return settings
