"""Whatever goes wrong, with whichever verb, is one sentence a cause and an exit status, never a traceback."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn
from zoneinfo import ZoneInfoNotFoundError

import click
import playwright.async_api
import pytest
import sqlalchemy.exc

from ctiserver.cli import _faults, main
from ctiserver.errors import PeerLost, UserFault
from ctiserver.ivr.speech import espeak
from ctiserver.lab.demo.browser import BrowserFailed, chromium, driver_starts
from ctiserver.lab.privatepbx.baresip import CallFailed
from ctiserver.lab.privatepbx.headless import Headless
from ctiserver.resources import shipped
from tests.support.verbs import Verb, verbs

VERBS = verbs()
#: No verb may take longer; a server that starts in spite of the fault would serve for ever.
_PATIENCE_S = 30

each_verb = pytest.mark.parametrize("verb", VERBS, ids=[verb.name.replace(" ", "-") for verb in VERBS])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, no PBX and no network: what would fetch or start one ends where its cache should be."""
    (tmp_path / "file").write_bytes(b"\xff\xfe\x00 no text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(espeak, "available", lambda: False)
    monkeypatch.delenv("CTISERVER_CONFIG", raising=False)

    def too_long(_number: int, _frame: FrameType | None) -> NoReturn:
        raise AssertionError("it went on as if nothing were wrong")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(_PATIENCE_S)
    yield tmp_path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _ended(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stdin: str = ""
) -> tuple[int, str]:
    """Exit status and stderr."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    capsys.readouterr()
    try:
        main(arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    said = capsys.readouterr().err
    assert "Traceback" not in said, said
    assert "a fault of ctiserver itself" not in said, said + "".join(
        path.read_text() for path in Path.cwd().glob("ctiserver-fault-*")
    )
    return status, said


def _group(*errors: Exception) -> ExceptionGroup:
    return ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("another", list(errors))])


#: What can go wrong in any verb, and what is told of it.
CAUSES: dict[str, tuple[Callable[[], BaseException], str]] = {
    "a fault of the user's": (lambda: UserFault("it does not fit", where="x.yaml:1:1", fix="Mend it"), "Mend it"),
    "a phone": (lambda: _group(CallFailed("the call was not answered: 486 Busy Here")), "486 Busy Here"),
    "two causes": (lambda: _group(CallFailed("no answer"), PeerLost("the phone ended")), "the phone ended"),
    "a browser": (
        lambda: _group(playwright.async_api.Error("Target closed\nlogs")),
        "the browser failed: Target closed",
    ),
    "a port": (lambda: OSError(errno.EADDRINUSE, "address already in use: 8080"), "8080. Stop the other program"),
    "a program": (lambda: FileNotFoundError(errno.ENOENT, "No such file", "asterisk"), "asterisk: No such file"),
    "a library": (lambda: ImportError("libx.so.0: cannot open shared object file", name="lxml"), "libx.so.0"),
    "a library by ctypes": (lambda: OSError("libx.so.0: cannot open shared object file"), "libx.so.0"),
    "no module": (lambda: ModuleNotFoundError("No module named 'playwright'", name="playwright"), "'playwright'"),
    "no right": (lambda: PermissionError(errno.EACCES, "Permission denied", "/data"), "/data: Permission denied"),
    "a full disk": (lambda: _group(OSError(errno.ENOSPC, "No space left on device", "/data/x")), "/data/x: No space"),
    "no folder": (lambda: NotADirectoryError(errno.ENOTDIR, "Not a directory", "/file/x"), "/file/x: Not a directory"),
    "a full database": (lambda: sqlite3.OperationalError("database or disk is full"), "database or disk is full"),
    "a broken database": (
        lambda: sqlalchemy.exc.DatabaseError("SELECT 1", {}, sqlite3.DatabaseError("file is not a database")),
        "the database failed: file is not a database",
    ),
    "no answer": (lambda: _group(TimeoutError()), "did not answer in time"),
    "a connection": (lambda: ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused. See that"),
    "a program that failed": (lambda: subprocess.CalledProcessError(7, ["dpkg", "-x"]), "dpkg failed"),
    "a time zone": (lambda: ZoneInfoNotFoundError("No time zone found with key GMT+8"), "GMT+8. Write a time zone"),
    "a terminal": (lambda: UnicodeEncodeError("ascii", "好", 0, 1, "no"), "can't show '好'"),
}


@each_verb
def test_every_cause_in_every_verb_is_one_sentence(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = verb.arguments("file")
    for name, (cause, told) in CAUSES.items():
        error = cause()

        def fails(*_: object, error: BaseException = error, **__: object) -> NoReturn:
            raise error

        monkeypatch.setattr(verb.command, "callback", fails)
        status, said = _ended(arguments, monkeypatch, capsys)
        assert (status, told in said) == (_faults.EXIT_USER_FAULT, True), (name, said)
        assert len(said.splitlines()) == (2 if name == "two causes" else 1), (name, said)
        assert said.startswith("ctiserver: ")


@each_verb
def test_every_verb_ends_when_it_is_ended(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (KeyboardInterrupt(), click.Abort(), BaseExceptionGroup("", [KeyboardInterrupt(), ValueError()])):

        def ended(*_: object, error: BaseException = error, **__: object) -> NoReturn:
            raise error

        monkeypatch.setattr(verb.command, "callback", ended)
        status, said = _ended(verb.arguments("file"), monkeypatch, capsys)
        assert (status, said.strip()) == (130, "")


@each_verb
def test_a_fault_of_our_own_is_kept_for_a_report(
    verb: Verb, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(*_: object, **__: object) -> NoReturn:
        raise _group(KeyError("nothing"), UserFault("and a file is missing"))

    monkeypatch.setattr(verb.command, "callback", wrong)
    with pytest.raises(SystemExit) as end:
        main(verb.arguments("file"))
    assert end.value.code == _faults.EXIT_OWN_FAULT
    cause, report = capsys.readouterr().err.splitlines()
    assert cause == "ctiserver: and a file is missing"
    assert "this is a fault of ctiserver itself (KeyError: 'nothing'). Please report it" in report
    [kept] = place.glob("ctiserver-fault-*.txt")
    assert str(kept) in report
    text = kept.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "Python 3." in text


def test_where_no_report_can_be_kept_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert _faults.end_with(ValueError("odd")) == _faults.EXIT_OWN_FAULT
    said = capsys.readouterr().err
    assert said.startswith(
        "ctiserver: this is a fault of ctiserver itself (ValueError: odd). Please report what follows"
    )
    assert "ValueError: odd" in said.splitlines()[-1]


#: Faults of the machine and of what a person wrote: a file ``site.yaml`` to begin with, or what is done to its place.
SETTINGS = {
    "not there": None,
    "no text": b"\xff\xfe\x00",
    "empty": b"",
    "another time zone": b"time_zone: GMT+8\n",
    "a data folder below a file": b"data_dir: file/data\n",
    "no flows": b"flows_dir: file\ndata_dir: /proc/nowhere/data\n",
    "no configuration": b"config_dir: nowhere\n",
    "a database that is none": b"database: {url: 'sqlite:///file'}\nworkflow: {url: 'sqlite:///file'}\n",
    "a database that is a folder": b"database: {url: 'sqlite:////proc'}\n",
    "no database server": b"database: {url: 'postgresql://nobody@127.0.0.1:1/none'}\n",
    "no address": b"database: {url: 'no address at all'}\n",
}


_CONFIGURED = [verb for verb in VERBS if verb.takes_config]


@pytest.mark.parametrize("wrong", SETTINGS)
@pytest.mark.parametrize("verb", _CONFIGURED, ids=[verb.name.replace(" ", "-") for verb in _CONFIGURED])
def test_what_is_wrong_with_a_site_is_told(
    verb: Verb, wrong: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SETTINGS[wrong]
    if settings is not None:
        (place / "site.yaml").write_bytes(settings)
    status, said = _ended(
        verb.arguments("file", config="site.yaml"), monkeypatch, capsys, stdin="a long enough password\n"
    )
    assert status in (0, 1, 2), said
    if status == 2:
        assert said or verb.name in ("check", "doctor", "flow check", "process check", "flow test", "process test")
    if verb.name in ("serve", "reload", "reconcile", "user add", "user list"):
        assert status == 2, (wrong, said)


#: What a path can be instead of what is wanted.
PATHS = {
    "nothing": "nowhere/x",
    "a folder": ".",
    "no text": "file",
    "below a file": "file/x",
    "of the system": "/proc/x",
}


@pytest.mark.parametrize("kind", PATHS)
@each_verb
def test_a_path_that_does_not_fit_is_told(
    verb: Verb, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each parameter that is a path: that one alone, then all of them."""
    paths = [one.name for one in verb.command.params if isinstance(one.type, click.Path) and one.name != "config"]
    for chosen in (*([name] for name in paths), paths):
        options = {str(name): PATHS[kind] for name in chosen}
        if verb.takes_config:  # or a server would start
            options["config"] = "nowhere.yaml" if verb.name == "serve" else _shipped_settings()
        status, said = _ended(verb.arguments(PATHS[kind], **options), monkeypatch, capsys, stdin="a long password\n")
        assert status in (0, 1, 2), said
        if status == 2 and not verb.takes_config:
            assert said


def _shipped_settings() -> str:
    """The shipped configuration with a data folder here."""
    Path("settings.yaml").write_text(f"config_dir: {shipped('config')}\ndata_dir: data\n", encoding="utf-8")
    return "settings.yaml"


@each_verb
def test_a_disk_without_room_is_told(
    verb: Verb, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file that Python opens to write, once the verb runs, is on a full disk."""
    really = io.open

    def on_a_full_disk(file: object, mode: str = "r", *arguments: object, **options: object) -> object:
        if any(letter in mode for letter in "wax+") and not isinstance(file, int):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return really(file, mode, *arguments, **options)  # type: ignore[call-overload]

    options = {"config": _shipped_settings() if verb.name != "serve" else "nowhere.yaml"} if verb.takes_config else {}
    with monkeypatch.context() as full:
        full.setattr("builtins.open", on_a_full_disk)
        full.setattr("io.open", on_a_full_disk)
        status, said = _ended(verb.arguments("new", **options), monkeypatch, capsys, stdin="a long password\n")
    assert status in (0, 1, 2), said


@pytest.mark.parametrize(
    "arguments",
    [["flow", "schema"], ["check"], ["process", "schema"], ["hours", "explain", "service_desk", "2027-02-06T09:00"]],
)
def test_a_reader_that_went_away_is_no_fault(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "ctiserver", *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (1, 141)  # click's own, or ours


def test_a_full_standard_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ctiserver", "flow", "schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr


async def test_tasks_that_were_ended_by_another_s_fault_are_no_cause() -> None:
    async def fails() -> None:
        raise UserFault("one")

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(asyncio.sleep(60))

    with pytest.raises(BaseExceptionGroup) as caught:
        await together()
    assert _faults.end_with(caught.value) == _faults.EXIT_USER_FAULT


HERE = Headless(Path("/nowhere/chrome"))


async def test_a_driver_that_lacks_a_library_is_told_before_anything_else(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = place / "node"
    node.write_text("#!/bin/sh\necho 'node: error while loading shared libraries: libatomic.so.1' >&2\nexit 127\n")
    node.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", str(node))
    with pytest.raises(
        UserFault, match=r"driver does not start: node: error .* libatomic.so.1\. Install what it lacks"
    ):
        await driver_starts(HERE)
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", "/nowhere/node")
    with pytest.raises(UserFault, match="/nowhere/node: the browser's driver does not start: No such file"):
        await driver_starts(HERE)


@pytest.mark.browser  # its driver lacks a library on a minimal system, which the demo fetches
async def test_a_browser_that_lacks_a_library_is_told_in_one_line(place: Path) -> None:
    chrome = place / "chrome"
    chrome.write_text("#!/bin/sh\necho 'chrome: error while loading shared libraries: libnss3.so' >&2\nexit 127\n")
    chrome.chmod(0o755)
    with pytest.raises(BrowserFailed) as caught:
        async with chromium(Headless(chrome)):
            pass
    said = str(caught.value)
    assert "chrome: error while loading shared libraries: libnss3.so" in said
    assert "\n" not in said
    assert "--disable" not in said


def test_a_python_without_sqlite_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['_sqlite3'] = None\n")
    done = subprocess.run(
        [sys.executable, "-m", "ctiserver", "db", "current"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("ctiserver: this Python has no SQLite (")
    assert line.endswith("Use one built with it, such as Debian's package python3")
