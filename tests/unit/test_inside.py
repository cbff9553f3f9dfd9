"""No name leads out of its folder: whatever it is made of, and whatever links lie there."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.features.recordings.files import look, place_of, remove
from ctiserver.inside import OutsideFolder, inside
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.model.calls.recording import is_recording_file
from ctiserver.settings import PromptSettings

PIECES = ("..", ".", "/", "//", "a", "20261201", "-1.wav", "\0", "~", "out", "in", "%2e%2e", "\\", "\r\n", "x" * 300)
names = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=40)


@given(names)
def test_what_is_given_lies_inside(name: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "folder"
        folder.mkdir()
        victim = folder.parent / "victim.wav"
        victim.write_bytes(b"keep me")
        (folder / "out").symlink_to(folder.parent)
        (folder / "in").symlink_to(folder / "a")
        for way in (inside, place_of):
            try:
                path = way(folder, name)
            except OutsideFolder:
                continue
            assert path.is_relative_to(folder)
            assert path != folder
        try:
            remove(folder, name)
        except (OutsideFolder, OSError):
            pass
        assert look(folder, name) is None
        assert victim.read_bytes() == b"keep me"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("20261201/1796093912.2-1.wav", True),
        ("20261201/pbx-sh-1796093912.2-1.wav", True),
        ("20261201/01JD-1796093912.0;2-12.wav", True),
        ("../../victim.txt", False),
        ("20261201/../../victim-1.wav", False),
        ("20261201/a/b-1.wav", False),
        ("20261201/1796093912.2-1.wav\n", False),
        ("20261201/1796093912.2.wav", False),
        ("2026/1796093912.2-1.wav", False),
    ],
)
def test_names_of_recordings(name: str, is_one: bool) -> None:
    assert is_recording_file(name) is is_one


def test_a_prompt_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "outside.wav").write_bytes(b"")
    (tmp_path / "prompts/en").mkdir(parents=True)
    shelf = Shelf(PromptSettings(), tmp_path / "cache", recordings=tmp_path / "prompts")
    assert shelf.recording("en", "../../outside") is None


def test_a_days_folder_that_is_a_link_elsewhere_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / f"{datetime.now(UTC):%Y%m%d}").symlink_to(tmp_path)
    (tmp_path / "1796093912.2-1.wav").write_bytes(b"RIFF")
    with pytest.raises(OutsideFolder):
        place_of(folder, f"{datetime.now(UTC):%Y%m%d}/1796093912.2-1.wav")
