from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.resources import shipped
from ctiserver.settings import load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "ctiserver.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_states_the_defaults(tmp_path: Path) -> None:
    shipped_settings = load_settings(shipped("config", "ctiserver.yaml"), {})
    defaults = load_settings(write(tmp_path, "pbxs: {main: {}}\n"), {})
    assert shipped_settings.model_dump(exclude={"data_dir", "config_dir"}) == defaults.model_dump(
        exclude={"data_dir", "config_dir"}
    )


def test_environment_wins_and_keeps_its_types(tmp_path: Path) -> None:
    path = write(tmp_path, "web: {port: 1}\npbxs: {main: {}}\n")
    settings = load_settings(path, {"CTISERVER_WEB__PORT": "2", "CTISERVER_PBXS__MAIN__SECRET": "0123", "HOME": "/"})
    assert settings.web.port == 2
    assert settings.pbxs["main"].secret.get_secret_value() == "0123"
    assert settings.data_dir == tmp_path / "data"


def test_secret_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("abc\n")
    path = write(tmp_path, f"pbxs: {{main: {{secret_file: {tmp_path / 's'}}}}}\n")
    settings = load_settings(path, {})
    assert settings.pbxs["main"].secret.get_secret_value() == "abc"
    assert "abc" not in repr(settings)


def test_the_phones_passwords_come_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "phones.json").write_text('{"web1": "abc"}')
    phones = "{url: 'ws://127.0.0.1:8088/ws', secrets_file: phones.json}"
    settings = load_settings(write(tmp_path, f"pbxs: {{main: {{browser_phones: {phones}}}}}\n"), {})
    assert settings.pbxs["main"].browser_phones.secrets["web1"].get_secret_value() == "abc"
    assert "abc" not in repr(settings)


@pytest.mark.parametrize("text", [None, "web1: abc", '["web1"]'])
def test_a_bad_file_of_phone_passwords_is_located(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "phones.json").write_text(text)
    path = write(tmp_path, "pbxs: {main: {browser_phones: {secrets_file: phones.json}}}\n")
    with pytest.raises(UserFault, match=r"the secrets file phones\.json can't be read") as caught:
        load_settings(path, {})
    assert "ctiserver.yaml:1:" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("web: {prot: 1}\n", {}, r"ctiserver.yaml:1:7: error CT-001: unknown key 'prot' \(did you mean 'port'\?\)"),
        ("web: {port: 70000}\n", {}, r"ctiserver.yaml:1:13: error CT-006: web.port"),
        ("web: {}\n", {"CTISERVER_WEB__PORT": "x"}, "CTISERVER_WEB__PORT: Input should be a valid integer"),
        ("web: {}\n", {"CTISERVER_WEBB__PORT": "1"}, "CTISERVER_WEBB__PORT"),
        ("pbxs: {main: {secret: x}}\n", {}, r"ctiserver.yaml:1:15: the secret of PBX 'main' does not belong"),
        ("pbxs: {main: {secret_file: /nowhere}}\n", {}, r"ctiserver.yaml:1:28: the secret file /nowhere can't be read"),
        ("pbxs: {Main: {}}\n", {}, "ctiserver.yaml:1:"),
    ],
)
def test_what_does_not_fit_is_located(tmp_path: Path, text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(UserFault, match=message):
        load_settings(write(tmp_path, text), environment)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserFault, match="can't be read: No such file"):
        load_settings(tmp_path / "ctiserver.yaml", {})
