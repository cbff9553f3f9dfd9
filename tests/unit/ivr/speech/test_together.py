"""Texts are spoken in processes of their own; a process that crashes costs at most its own text."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.ivr.speech.prompts import Text
from ctiserver.ivr.speech.together import speak_together

_TEXTS = [Text("en", f"text {number}") for number in range(40)]


@dataclass(frozen=True)
class _Files:
    """Writes a file for each text. ``deadly`` kills its process each time, ``once`` only the first time."""

    folder: Path
    deadly: str = ""
    once: str = ""
    refused: str = ""

    def missing(self, texts: Sequence[Text]) -> list[Text]:
        return [text for text in texts if not (self.folder / text.text).exists()]

    def speak_bundled(self, text: Text) -> str:
        crashed = self.folder / "crashed"
        if text.text == self.deadly or (text.text == self.once and not crashed.exists()):
            crashed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if text.text == self.refused:
            return "no voice"
        (self.folder / text.text).touch()
        return ""


def test_a_process_that_crashes_once_loses_no_text(tmp_path: Path) -> None:
    files = _Files(tmp_path, once="text 7")
    assert list(speak_together(files, _TEXTS)) == []
    assert files.missing(_TEXTS) == []
    assert (tmp_path / "crashed").exists()


def test_a_text_that_always_crashes_its_process_is_named_and_the_others_are_spoken(tmp_path: Path) -> None:
    files = _Files(tmp_path, deadly="text 0")
    assert list(speak_together(files, _TEXTS)) == [(_TEXTS[0], "the speech engine crashes with this text")]
    assert files.missing(_TEXTS) == _TEXTS[:1]


def test_a_text_that_is_refused_is_named_with_the_reason(tmp_path: Path) -> None:
    files = _Files(tmp_path, refused="text 3")
    assert list(speak_together(files, _TEXTS)) == [(_TEXTS[3], "no voice")]


def test_what_is_spoken_already_is_not_spoken_again(tmp_path: Path) -> None:
    for text in _TEXTS:
        (tmp_path / text.text).touch()
    assert list(speak_together(_Files(tmp_path, deadly="text 1"), _TEXTS)) == []
