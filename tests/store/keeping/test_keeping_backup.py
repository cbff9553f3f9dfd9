"""A backup by the command, while the real server runs, put back by the command, and served again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.store.keeping.conftest import Place
from tests.support.every_row import every_row, every_workflow_row
from tests.support.served import Site


def backed_up(site: Site, into: Path, *options: str) -> Path:
    site.done("db", "backup", "--config", str(site.config), "--to", str(into), *options)
    (made,) = [path for path in into.iterdir() if path.name.startswith("ctiserver-")]
    assert [path.name for path in into.iterdir()] == [made.name]
    return made


def restored(place: Place, backup: Path, into: Path) -> tuple[Site, str, str]:
    """The restored site, and the URLs of its databases."""
    if place.files:
        place.site.done("db", "restore", str(backup), "--into", str(into))
        return Site(into), f"sqlite:///{into}/data/ctiserver.sqlite", f"sqlite:///{into}/data/workflow.sqlite"
    url = place.empty()
    place.site.done("db", "restore", str(backup), "--into", str(into), "--database", url)
    return Site(into), url, url


def sealed(backup: Path) -> None:
    """Make the sums right again after a change, as somebody would who can."""
    manifest = json.loads((backup / "manifest.json").read_text())
    for name in manifest["files"]:
        content = (backup / name).read_bytes()
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (backup / "manifest.json").write_text(json.dumps(manifest))
    lines = [f"{entry['sha256']}  {name}" for name, entry in manifest["files"].items()]
    lines.append(f"{hashlib.sha256((backup / 'manifest.json').read_bytes()).hexdigest()}  manifest.json")
    (backup / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def test_a_restored_server_shows_the_same(place: Place, tmp_path: Path) -> None:
    place.site.add_user("keeper", "admin")
    with place.site.served() as server:
        server.log_in("keeper")
        before = server.shown()
        assert len(before["records"]["records"]) == 3
        backup = backed_up(place.site, tmp_path / "backups")
        server.kill()
    rows, workflows = every_row(place.url), every_workflow_row(place.workflow_url)
    site, url, workflow_url = restored(place, backup, tmp_path / "new/site")
    again = every_row(url)
    again["executors"] = rows["executors"]  # the server went on saying that it lives
    assert again == rows
    assert every_workflow_row(workflow_url) == workflows
    with site.served() as server:
        server.log_in("keeper")
        assert server.shown() == before


def test_every_file_comes_back_where_it_lay(place: Place, tmp_path: Path) -> None:
    photo = place.site.folder / "data/photos/2026/photo.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"\xff\xd8 a photo")
    os.mkfifo(place.site.folder / "data/pipe")
    (place.site.folder / "data/server.json").write_text("{}")
    backup = backed_up(place.site, place.site.folder / "backups")  # inside what is backed up: it does not hold itself
    site, _, _ = restored(place, backup, tmp_path / "new")
    kept = {path.relative_to(site.folder): path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    assert kept[Path("data/photos/2026/photo.jpg")] == photo.read_bytes()
    assert not {Path("data/server.json"), Path("data/pipe")} & set(kept)
    for path in place.site.folder.rglob("*"):
        name = path.relative_to(place.site.folder)
        changes = name.suffix.startswith(".sqlite") or name.name == "server.json" or name.parts[0] == "backups"
        if path.is_file() and not changes and (place.files or name.name != "ctiserver.yaml"):
            assert kept[name] == path.read_bytes(), name
    assert all(path.stat().st_mode & 0o077 == 0 for path in (backup, *backup.rglob("*")))


def test_folders_from_elsewhere_are_found_in_the_restored_one(place: Place, tmp_path: Path) -> None:
    recordings = tmp_path / "spool/recordings"
    recordings.mkdir(parents=True)
    (recordings / "call.wav").write_bytes(b"RIFF")
    secret = tmp_path / "main.secret"
    secret.write_text("quiet\n")
    text = place.site.config.read_text()
    text = text.replace("data_dir: data ", f"data_dir: {tmp_path}/elsewhere ", 1)
    text = text.replace("    # secret_file: /etc/ctiserver/main.secret", f"    secret_file: {secret}", 1)
    text = text.replace(
        "    # recordings_dir: /var/spool/asterisk/ctiserver/recordings", f"    recordings_dir: {recordings}", 1
    )
    place.site.config.write_text(text)
    shutil.move(place.site.folder / "data", tmp_path / "elsewhere")
    backup = backed_up(place.site, tmp_path / "backups")
    into = tmp_path / "new"
    said = place.site.done(
        "db", "restore", str(backup), "--into", str(into), *([] if place.files else ["--database", place.empty()])
    )
    assert f"Not in the backup: {secret}. Put it back yourself." in said
    assert "Set as before: CTISERVER_AGI__PORT" in said
    assert (into / "recordings/main/call.wav").read_bytes() == b"RIFF"
    shutil.rmtree(tmp_path / "elsewhere")
    shutil.rmtree(recordings)
    assert "the configuration too" in place.site.done("check", "--config", str(into / "ctiserver.yaml"))
    site = Site(into)
    site.add_user("keeper", "admin")
    with site.served() as server:
        server.log_in("keeper")
        assert len(server.get("records")["records"]) == 3

    without = backed_up(place_at(place, text, recordings), tmp_path / "less", "--without-recordings")
    assert not (without / "recordings").exists()
    assert str(recordings) in json.loads((without / "manifest.json").read_text())["left_out"]


def place_at(place: Place, text: str, recordings: Path) -> Site:
    """The site as it was before its folders were removed."""
    recordings.mkdir()
    (recordings / "call.wav").write_bytes(b"RIFF")
    new = text.replace(str(recordings.parents[1] / "elsewhere"), str(recordings.parents[1] / "new/data"), 1)
    place.site.config.write_text(new)
    return place.site


def test_sha256sum_checks_a_backup_too(place: Place, tmp_path: Path) -> None:
    backup = backed_up(place.site, tmp_path / "backups")
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=backup, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert names == {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()} - {"SHA256SUMS"}


@pytest.mark.parametrize("change", ["byte", "missing", "extra", "manifest", "sums", "link"])
def test_a_backup_that_was_changed_is_refused(place: Place, tmp_path: Path, change: str) -> None:
    backup = backed_up(place.site, tmp_path / "backups")
    victim = backup / "config/queues.yaml"
    said = f"{backup}: config/queues.yaml was damaged or changed after the backup was made"
    match change:
        case "byte":
            content = victim.read_bytes()
            victim.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "missing":
            victim.unlink()
            said = f"{backup}: config/queues.yaml is missing from this backup"
        case "extra":
            (backup / "config/more.yaml").write_text("")
            said = f"{backup}: config/more.yaml does not belong to this backup"
        case "manifest":
            text = (backup / "manifest.json").read_text()
            (backup / "manifest.json").write_text(text.replace('"calls": 4', '"calls": 5', 1))
            said = f"{backup}: manifest.json was damaged or changed after the backup was made"
        case "sums":
            (backup / "SHA256SUMS").unlink()
            said = f"{backup}: is not a whole backup: manifest.json or SHA256SUMS can't be read"
        case _:
            elsewhere = tmp_path / "queues.yaml"
            victim.rename(elsewhere)
            victim.symlink_to(elsewhere)
    assert place.site.refused("db", "verify", str(backup)).startswith(said)
    assert place.site.refused("db", "restore", str(backup), "--into", str(tmp_path / "new")).startswith(said)
    assert not (tmp_path / "new").exists()


def test_a_backup_of_a_newer_ctiserver_is_refused(place: Place, tmp_path: Path) -> None:
    backup = backed_up(place.site, tmp_path / "backups")
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["databases"]["main"]["schema_version"] = "9000"
    (backup / "manifest.json").write_text(json.dumps(manifest))
    sealed(backup)
    assert "the schema of this backup is 9000" in place.site.refused(
        "db", "restore", str(backup), "--into", str(tmp_path / "new")
    )
    (backup / "manifest.json").write_text(json.dumps({**manifest, "format": 2, "made_by": "ctiserver 9.0"}))
    sealed(backup)
    assert "made by ctiserver 9.0, in a format" in place.site.refused("db", "verify", str(backup))


def test_a_backup_does_not_write_outside_the_folder(place: Place, tmp_path: Path) -> None:
    backup = backed_up(place.site, tmp_path / "backups")
    manifest = json.loads((backup / "manifest.json").read_text())
    manifest["folders"]["data"]["restore_as"] = "../outside"
    (backup / "manifest.json").write_text(json.dumps(manifest))
    sealed(backup)
    assert "manifest.json was damaged" in place.site.refused(
        "db", "restore", str(backup), "--into", str(tmp_path / "new")
    )
    assert not (tmp_path / "outside").exists()


def test_nothing_is_restored_over_something(place: Place, tmp_path: Path) -> None:
    backup = backed_up(place.site, tmp_path / "backups")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    said = place.site.refused("db", "restore", str(backup), "--into", str(tmp_path / "full"))
    assert said.startswith(f"{tmp_path}/full: is not an empty folder")
    if place.files:
        said = place.site.refused(
            "db", "restore", str(backup), "--into", str(tmp_path / "new"), "--database", "postgresql://nowhere/x"
        )
        assert said.startswith("--database: this backup is of SQLite files")
    else:
        assert place.site.refused("db", "restore", str(backup), "--into", str(tmp_path / "new")).startswith(
            "--database: this backup is of a PostgreSQL database"
        )
        said = place.site.refused(
            "db", "restore", str(backup), "--into", str(tmp_path / "new"), "--database", place.url
        )
        assert said.startswith(
            "--database: the database is not empty: it has tables (agents, alembic_version, audit …)"
        )
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "full/file").read_text() == "mine"


def test_what_can_not_be_backed_up_is_one_sentence_and_leaves_nothing(place: Place, tmp_path: Path) -> None:
    arguments = ("db", "backup", "--config", str(place.site.config), "--to")
    (tmp_path / "file").write_text("")
    assert "the backup can't be written" in place.site.refused(*arguments, str(tmp_path / "file/in"))
    into = tmp_path / "backups"
    if place.files:
        database = place.site.folder / "data/ctiserver.sqlite"
        content = database.read_bytes()
        for broken in (b"no database at all" * 300, content[: len(content) // 2], b""):
            database.write_bytes(broken)
            place.site.refused(*arguments, str(into))
            assert list(into.iterdir()) == []
        database.unlink()
        assert f"the database {database} can't be opened" in place.site.refused(*arguments, str(into))
    else:
        text = place.site.config.read_text()
        place.site.config.write_text(
            text.replace(place.url, place.url.replace("127.0.0.1", "127.0.0.1:1"), 1).replace(":1:", ":1", 1)
        )
        place.site.config.write_text(text.replace(place.url, "postgresql://nobody:quiet@127.0.0.1:1/x", 1))
        said = place.site.refused(*arguments, str(into))
        assert "the PostgreSQL database at postgresql://nobody:***@127.0.0.1:1/x can't be used" in said
    assert list(into.iterdir()) == []
