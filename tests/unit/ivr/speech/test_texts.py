"""What the product can say is spoken in the package, and no sentence can be forgotten."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ctiserver
from ctiserver.errors import Place
from ctiserver.ivr.language import sentences
from ctiserver.ivr.speech import espeak, prompts
from ctiserver.ivr.speech.prompts import Shelf, Text
from ctiserver.ivr.speech.texts import in_one_sentence, said, texts_of_package, unspoken, unspoken_problems
from ctiserver.resources import shipped
from ctiserver.settings import PromptSettings
from ctiserver.site.load import load_site
from tests.support.flows import flow_of

PACKAGE = Path(ctiserver.__file__).parent
#: What is spoken to callers and agents is in these folders.
SPEAKING = ("ivr", "agi", "features", "app")


def test_all_that_the_package_can_say_is_spoken_in_it() -> None:
    shelf = Shelf(PromptSettings(), shipped("ivr_flows") / "prompts")
    assert shelf.missing(texts_of_package()) == [], "build it: pip install -e ."
    assert len(texts_of_package()) > 300


def test_it_is_every_sentence_in_both_languages() -> None:
    texts = set(texts_of_package())
    constants = {name: value for name, value in vars(sentences).items() if name.isupper() and isinstance(value, dict)}
    assert len(constants) > 10
    for name, sentence in constants.items():
        assert set(sentence) == {"zh-CN", "en"}, name
        assert {Text(language, text) for language, text in sentence.items()} <= texts, name


def test_no_sentence_is_written_elsewhere() -> None:
    """A text in two languages, in the code that speaks, is in sentences.py or it would not be built in."""
    elsewhere = []
    for folder in SPEAKING:
        for path in (PACKAGE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                keys = (
                    [key.value for key in node.keys if isinstance(key, ast.Constant)]
                    if isinstance(node, ast.Dict)
                    else []
                )
                if "zh-CN" in keys and path.name != "sentences.py":
                    elsewhere.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert elsewhere == []


def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts.shutil, "which", lambda _: None)
    monkeypatch.setattr(espeak, "available", lambda: False)


def test_what_can_t_be_heard_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, spoken = load_site(shipped("config")), Shelf(PromptSettings(), shipped("ivr_flows") / "prompts")
    flow = flow_of("  start:\n    kind: play\n    prompt: {en: Nobody has spoken this yet.}\n    next: good\n")
    missing = unspoken(spoken, said([flow], site))
    assert "Nobody has spoken this yet." in in_one_sentence(missing)
    assert flow.name in in_one_sentence(missing)
    assert unspoken_problems([spoken], [flow], site) == []  # there is an engine, and serve will speak it
    _no_engine(monkeypatch)
    told = [one for one in unspoken_problems([spoken], [flow], site) if "Nobody has spoken" in one.message]
    assert [(one.code, one.warning) for one in told] == [("CT-070", True)]
    assert told[0].place.line == flow.document.place(("nodes", "start", "prompt", "en")).line


def test_a_recording_s_text_need_not_be_spoken(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "hello.gsm").touch()
    flow = flow_of("  start: {kind: play, prompt: {en: Nobody has spoken this., file: hello}, next: good}\n")
    site, folder = load_site(shipped("config")), shipped("ivr_flows") / "prompts"
    texts = [one for one in said([flow], site) if one.text.text == "Nobody has spoken this."]
    assert [one.recording for one in texts] == ["hello"]
    assert unspoken(Shelf(PromptSettings(), folder), texts) == texts
    assert unspoken(Shelf(PromptSettings(), folder, recordings=tmp_path), texts) == []


def test_a_queue_s_announcement_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "queues.yaml").write_text(
        "queues:\n  sales:\n    title: {en: Sales}\n    strategy: longest_idle\n    members: {skills: [s]}\n"
        "    record:\n      calls: always\n      announce: {en: We record you.}\n",
        encoding="utf-8",
    )
    texts = said([], load_site(tmp_path))
    told = [one for one in texts if one.text == Text("en", "We record you.")]
    assert [one.source for one in told] == ["queue sales"]
    assert isinstance(told[0].place, Place)
    assert told[0].place.line == 8
