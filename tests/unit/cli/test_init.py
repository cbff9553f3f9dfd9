"""`ctiserver init`: the folder, the systemd unit and the compose file that it writes."""

from __future__ import annotations

import configparser
import getpass
import json
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from ctiserver.app import composition
from ctiserver.cli import cli
from ctiserver.cli._deployment import MUSIC
from ctiserver.errors import UserFault
from ctiserver.settings import AgiSettings, load_settings

_ROOT = Path(__file__).parents[3]
#: Of the Compose Specification, Apache-2.0: https://github.com/compose-spec/compose-spec
_SCHEMA = Path(__file__).with_name("compose-spec.json")
#: Somebody who is not root, wherever the tests run.
_USER = next(account.pw_name for account in pwd.getpwall() if account.pw_uid)


def _init(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["init", str(folder), *options])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployed") / "site"
    done = _init(folder, "--systemd", "--user", _USER, "--compose")
    assert done.exit_code == 0, done.output
    return folder


class _Unit(configparser.RawConfigParser):
    """A unit file; of a key that stands there twice the last one counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(path, encoding="utf-8")


def test_without_options_it_writes_no_unit_and_no_containers(tmp_path: Path) -> None:
    assert _init(tmp_path / "site").exit_code == 0
    assert not {"systemd", "container", "compose.yaml", "asterisk", ".env"} & set(os.listdir(tmp_path / "site"))


def test_what_a_server_kept_beside_the_shipped_configuration_is_no_part_of_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "checkout"
    shutil.copytree(_ROOT / "config", ours / "config")
    (ours / "config/data").mkdir(exist_ok=True)
    (ours / "config/data/ctiserver.sqlite").touch()
    monkeypatch.setattr(
        "ctiserver.cli.init.shipped", lambda *parts: (ours if "config" in parts else _ROOT).joinpath(*parts)
    )
    assert _init(tmp_path / "site").exit_code == 0
    assert (tmp_path / "site/ctiserver.yaml").exists()
    assert not (tmp_path / "site/data").exists()


def test_the_unit_names_this_program_this_folder_and_the_user(site: Path) -> None:
    service = _Unit(site / "systemd" / "ctiserver.service")["Service"]
    program = service["ExecStart"].split()[0]
    assert subprocess.run([program, "--version"], capture_output=True, text=True).stdout.startswith("ctiserver")
    assert service["ExecStart"] == f"{program} serve --config {site}/ctiserver.yaml"
    assert service["ExecReload"] == f"{program} reload --config {site}/ctiserver.yaml"
    assert service["User"] == _USER
    # systemd does not start a unit whose ReadWritePaths are not there, and the server writes nowhere else
    assert Path(service["ReadWritePaths"]).is_dir()
    assert service["ReadWritePaths"] == str(load_settings(site / "ctiserver.yaml").data_dir)


def test_systemd_waits_longer_than_callers_in_a_menu_may_take(site: Path) -> None:
    stop_s = float(_Unit(site / "systemd" / "ctiserver.service")["Service"]["TimeoutStopSec"])
    drain_s = AgiSettings().drain_s + composition._BUS_DRAIN_S
    assert stop_s >= 2 * drain_s
    composed = yaml.safe_load((site / "compose.yaml").read_text(encoding="utf-8"))
    assert composed["services"]["server"]["stop_grace_period"] == f"{stop_s:.0f}s"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"), reason="systemd is not installed"
)
def test_systemd_accepts_the_unit_and_finds_little_exposed(site: Path) -> None:
    unit = site / "systemd" / "ctiserver.service"
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    about_us = [line for line in verified.stderr.splitlines() if str(unit) in line and "Special user" not in line]
    assert (verified.returncode, about_us) == (0, [])
    looked = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", unit],
        capture_output=True,
        text=True,
    )
    assert looked.returncode == 0, looked.stdout  # 2.0 of 10 or less


def test_the_compose_file_keeps_to_the_specification(site: Path) -> None:
    composed = yaml.safe_load((site / "compose.yaml").read_text(encoding="utf-8"))
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(composed)] == []
    composed["services"]["server"]["restrat"] = "no"
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(composed)] != []


def test_everything_that_the_compose_file_names_is_there(site: Path) -> None:
    services = yaml.safe_load((site / "compose.yaml").read_text(encoding="utf-8"))["services"]
    folders = [volume.split(":")[0] for name in ("asterisk", "server") for volume in services[name]["volumes"]]
    assert len(folders) == 4
    assert [folder for folder in folders if not Path(folder).is_dir()] == []
    assert (site / "container" / services["asterisk"]["build"]["dockerfile"]).is_file()
    assert Path(services["asterisk"]["command"][-1]).is_file()
    assert {services[name]["user"] for name in ("asterisk", "server")} == {f"{os.getuid()}:{os.getgid()}"}
    wanted = set(re.findall(r"\$\{(\w+):\?", (site / "compose.yaml").read_text(encoding="utf-8")))
    assert wanted == {line.split("=")[0] for line in (site / ".env").read_text(encoding="utf-8").splitlines()}


def test_secrets_are_readable_by_their_owner_alone(site: Path) -> None:
    private = [site / ".env", *(site / "asterisk").glob("*.json"), site / "asterisk" / "ami.secret"]
    private += [site / "asterisk" / "etc" / name for name in ("manager.conf", "pjsip.conf")]
    assert len(private) >= 6
    assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}
    assert site.joinpath("asterisk").stat().st_mode & 0o077 == 0


def test_server_and_asterisk_of_the_compose_file_know_each_other(site: Path) -> None:
    settings = load_settings(site / "ctiserver.yaml")
    main = settings.pbxs["main"]
    etc = site / "asterisk" / "etc"
    manager = (etc / "manager.conf").read_text(encoding="utf-8")
    assert f"secret = {main.secret.get_secret_value()}\n" in manager
    assert f"port = {main.port}\n" in manager
    assert f"CTI_AGI = agi://127.0.0.1:{settings.agi.port}\n" in (etc / "extensions.conf").read_text(encoding="utf-8")
    assert main.recordings_dir == site / "asterisk" / "recordings"
    assert main.recordings_dir.is_dir()
    assert f"CTI_REC_DIR = {main.recordings_dir}\n" in (etc / "extensions.conf").read_text(encoding="utf-8")
    assert main.browser_phones.url == "ws://127.0.0.1:8088/ws"
    assert CliRunner().invoke(cli, ["check", "--config", str(site / "ctiserver.yaml")]).exit_code == 0


def test_callers_of_the_composed_fallback_hear_the_announcement_and_then_music(site: Path) -> None:
    music = (site / "asterisk" / "etc" / "musiconhold.conf").read_text(encoding="utf-8")
    for language in ("zh-CN", "en"):
        entries = re.findall(r"(?m)^entry = (.+)$", music.partition(f"[cti-hold-{language}]")[2].split("[")[0])
        assert entries[0] == str(site / "asterisk" / "sounds" / language / "hold")
        assert Path(f"{entries[0]}.wav").is_file()
        assert [Path(entry).name for entry in entries[1:]] == list(MUSIC)


def test_the_image_runs_the_script_that_the_clean_system_runs() -> None:
    dockerfile = (_ROOT / "config" / "container" / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^RUN (.+)$", dockerfile) == ["sh /build/install.sh /build && rm -r /build"]
    assert "FROM debian:trixie-slim\n" in dockerfile


def test_the_images_script_says_what_it_lacks(tmp_path: Path) -> None:
    script = _ROOT / "config" / "container" / "install.sh"
    said = subprocess.run(["sh", script, tmp_path], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(f"install.sh: no ctiserver-*.whl in {tmp_path}: ")
    for name in ("ctiserver-1-py3-none-any.whl", "ctiserver-2-py3-none-any.whl"):
        (tmp_path / name).touch()
    said = subprocess.run(["sh", script, tmp_path], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (2, "")
    assert "more than one" in said.stderr


@pytest.mark.parametrize(
    ("options", "name", "what"),
    [
        (("--systemd", "--user", "root"), "site", "would run as root"),
        (("--systemd", "--user", "no-such-user"), "site", "there is no user 'no-such-user'"),
        (("--user", getpass.getuser()), "site", "goes with --systemd"),
        (("--systemd", "--user", _USER), "a site", "has characters that a unit or a compose file can't hold"),
        (("--compose",), "50%", "has characters that a unit or a compose file can't hold"),
        (("--compose",), "x" * 100, "is too long for Asterisk's control socket"),
    ],
)
def test_what_can_not_be_written_is_refused_in_one_sentence(
    tmp_path: Path, options: tuple[str, ...], name: str, what: str
) -> None:
    done = _init(tmp_path / name, *options)
    assert isinstance(done.exception, UserFault)
    assert what in str(done.exception)
    assert not (tmp_path / name).exists()
