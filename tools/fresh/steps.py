"""What is tried in a clean system: the README's own commands, and what must come of them.

A test holds the commands against the README's text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tools.fresh.sandbox import NEWCOMER, ROOT, Account, Line, Ran, Sandbox

#: Where the working commit lies in a system, to be cloned.
ORIGIN = "/srv/ctiserver.git"
#: Where the image's steps and the wheel lie in a system.
IMAGE = "/srv/image"
_CLONE = "ctiserver"

#: Lines of README.md, as they stand there.
ONE_CHAIN = 'make demo DEMO="--once --headless"'
UNIT_TESTS = "make unit"
INSTALL = (
    "make wheel",
    "python3 -m venv ~/ctiserver-venv && . ~/ctiserver-venv/bin/activate",
    "pip install dist/ctiserver-*.whl",
)
INIT = "ctiserver init my-site"
CHECK = "ctiserver check --config my-site/ctiserver.yaml"
SERVE = "ctiserver serve --config my-site/ctiserver.yaml"
README_COMMANDS = (ONE_CHAIN, UNIT_TESTS, *INSTALL, INIT, CHECK, SERVE)

#: Whom install.sh makes.
_IN_IMAGE = Account("ctiserver", 10001, "/srv/site")
_LAST_STAGE = "follow-up due"
_HEALTH = "http://127.0.0.1:8080/healthz"
_SERVE_ANSWERS_S = 120
_SERVE_ENDS_S = 45

# The server is asked as soon as it may answer, then ended as systemd ends it.
_SERVED = f"""
{SERVE} & server=$!
python3 - <<'END'
import time, urllib.request
deadline = time.monotonic() + {_SERVE_ANSWERS_S}
while True:
    try:
        print("healthz:", urllib.request.urlopen("{_HEALTH}", timeout=5).read().decode())
        break
    except OSError:
        if time.monotonic() > deadline:
            raise SystemExit("healthz: no answer")
        time.sleep(0.1)
END
answered=$?
kill -TERM $server
wait $server && [ $answered = 0 ]
"""


@dataclass(slots=True)
class Outcome:
    """One row of the table."""

    step: str
    seconds: float
    ok: bool
    megabytes: int | None = None  #: MB of 10^6 bytes on the disk after it, of what it brought
    why: str = ""  #: what is wrong, one sentence
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """A script of the newcomer's, and what must come of it."""

    name: str
    script: str
    timeout_s: float
    wrong: Callable[[Ran], str] = lambda ran: ""  #: what is wrong with the output of a command that succeeded
    network: bool = True
    brings: tuple[str, ...] = ()  #: folders that it fills
    account: Account = NEWCOMER


def short_form() -> tuple[Step, ...]:
    """What CI tries in one system: all of it but the second demo and the unit tests, which CI runs by itself."""
    return (_CLONED, _INSTALLED, _CONFIGURED, _SERVING, _demo("demo"))


def full_form() -> tuple[Step, ...]:
    """What `make fresh` tries in each system."""
    return (*short_form(), _demo("demo again"), _UNIT)


def image_form() -> tuple[Step, ...]:
    """What a wheel is tried by before a release: the image's steps, then the server as the image runs it."""
    built = Step(
        "the image's steps",
        _all(f"sh {IMAGE}/install.sh {IMAGE}", f"install -d -o {_IN_IMAGE.uid} -g {_IN_IMAGE.uid} {_IN_IMAGE.home}"),
        1200,
        brings=("/opt/ctiserver",),
        account=ROOT,
    )
    configured = Step("init, check", _all(INIT, CHECK), 60, account=_IN_IMAGE)
    return built, configured, _serving(_SERVED, _IN_IMAGE)


def carried_out(steps: tuple[Step, ...], sandbox: Sandbox) -> Iterator[Outcome]:
    """Try the steps one after the other; ends after the first that fails, since the others build on it."""
    for step in steps:
        ran = sandbox.run(step.script, timeout_s=step.timeout_s, account=step.account, network=step.network)
        outcome = Outcome(step.name, ran.seconds, ok=True, lines=ran.lines)
        if ran.status:
            outcome.why = f"exit status {ran.status}: {_last(ran)}"
        elif ran.left:
            outcome.why = f"it left running: {ran.left}"
        else:
            outcome.why = step.wrong(ran)
        outcome.ok = not outcome.why
        if step.brings:
            outcome.megabytes = sandbox.megabytes(*step.brings)
        yield outcome
        if not outcome.ok:
            return


def python_by_what_make_says(sandbox: Sandbox) -> Outcome:
    """`make` without a Python names one line that installs it; that line is run, word by word."""
    clone = f"git clone -q {ORIGIN} {_CLONE}-early && cd {_CLONE}-early && make demo"
    said = sandbox.run(clone, timeout_s=120)
    lines = re.findall(r"sudo (apt-get install [a-z0-9.+ -]+)", said.output)
    if said.status != 2 or len(lines) != 1:
        why = f"`make demo` without Python must name one line that installs it, exit status 2; it said: {_last(said)}"
        return Outcome("make names what is missing", said.seconds, ok=False, why=why, lines=said.lines)
    installed = _installed(sandbox, lines[0])
    seconds = round(said.seconds + installed.seconds, 1)
    lines_of_both = said.lines + installed.lines
    return Outcome("make names what is missing", seconds, not installed.why, why=installed.why, lines=lines_of_both)


def _installed(sandbox: Sandbox, line: str) -> Outcome:
    sandbox.write({"/etc/apt/apt.conf.d/91answers": 'APT::Get::Assume-Yes "true"; APT::Install-Recommends "false";\n'})
    ran = sandbox.run(f"apt-get -q update && {line}", timeout_s=300, account=ROOT)
    why = f"`{line}` failed: {_last(ran)}" if ran.status else ""
    return Outcome("python3-venv", ran.seconds, ok=not why, why=why, lines=ran.lines)


def _last(ran: Ran) -> str:
    return next((line.text for line in reversed(ran.lines) if line.text.strip()), "it said nothing")


def _all(*commands: str) -> str:
    return "\n".join(("set -e", *commands))


def _in_clone(*commands: str) -> str:
    return _all(f"cd {_CLONE}", *commands)


def _chain_whole(ran: Ran) -> str:
    stages = []
    for line in ran.lines:
        if line.text.startswith("{"):
            try:
                stages.append(json.loads(line.text).get("stage"))
            except ValueError:
                return f"a line is not JSON: {line.text[:100]}"
    return "" if stages and stages[-1] == _LAST_STAGE else f"the chain did not end with '{_LAST_STAGE}': {stages}"


def _healthy(ran: Ran) -> str:
    return "" if 'healthz: {"status":"alive"}' in ran.output else f"/healthz did not answer: {_last(ran)}"


def _some_passed(ran: Ran) -> str:
    return "" if re.search(r"\b\d{3,} passed\b", ran.output) else f"no tests ran: {_last(ran)}"


def _demo(name: str) -> Step:
    brings = (f"{NEWCOMER.home}/.cache/ctiserver", f"{NEWCOMER.home}/{_CLONE}/.venv")
    return Step(name, _in_clone(ONE_CHAIN), 1200, _chain_whole, brings=brings)


def _serving(script: str, account: Account = NEWCOMER) -> Step:
    seconds = _SERVE_ANSWERS_S + _SERVE_ENDS_S
    return Step("serve, stop", script, seconds, _healthy, network=False, account=account)


_ACTIVATE = INSTALL[1].split("&& ")[1]
_CLONED = Step("git clone", f"git clone -q {shlex.quote(ORIGIN)} {_CLONE}", 60)
_INSTALLED = Step("install the wheel", _in_clone(*INSTALL), 1200, brings=(f"{NEWCOMER.home}/ctiserver-venv",))
_CONFIGURED = Step("init, check", _in_clone(_ACTIVATE, INIT, CHECK), 60)
_SERVING = _serving(_in_clone(_ACTIVATE, "set +e", _SERVED))
_UNIT = Step("unit tests", _in_clone(UNIT_TESTS), 900, _some_passed)
