"""Everything that a server can say, known before any call: what is spoken ahead, checked, and built in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import Place, Problem
from ctiserver.ivr.language import sentences
from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.language.node_base import written_in
from ctiserver.ivr.language.template import flow_text
from ctiserver.ivr.speech.prompts import GET_A_VOICE, Shelf, Text, command_problems, engines, tidy
from ctiserver.ivr.speech.values import vocabulary
from ctiserver.model.expression.expression import Template
from ctiserver.resources import shipped
from ctiserver.settings import PromptSettings
from ctiserver.site.fallback_texts import announced
from ctiserver.site.load import Site, load_site
from ctiserver.strict_yaml import load

#: A flow that can't be listed by name in a sentence is one of «and N more».
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text that can be said, and who says it."""

    text: Text
    source: str  #: a flow's name, ``queue <name>``, or ``ctiserver``
    recording: str = ""  #: the name of a recording that wins over the text
    place: Place | None = None  #: where a person wrote it


def said_by_flow(flow: Flow) -> Iterator[Spoken]:
    """What a flow can say: its texts, and the words of the values that it fills in."""
    values = False
    for name, node in flow.nodes.items():
        values = values or node.speaks_values
        templates = dict(written_in(node, Template))
        for path, template in templates.items():
            language = str(path[-1])
            if language == "file":
                continue
            recording = templates.get((*path[:-1], "file"))
            place = flow.document.place(("nodes", name, *path))
            for piece in template.pieces:
                if isinstance(piece, str) and tidy(piece):
                    name_of_file = recording.text if recording is not None else ""
                    yield Spoken(Text(language, tidy(piece)), flow.name, name_of_file, place)
            values = values or not template.fixed
    for language in flow.file.languages if values else ():
        for word in vocabulary(language):
            yield Spoken(Text(language, word), flow.name, place=flow.document.place(("languages",)))


def said_by_site(site: Site) -> Iterator[Spoken]:
    """What callers hear that is written outside flows: that a queue records them."""
    for name, queue in site.queues.items():
        for language, text in queue.record.announce.items():
            if tidy(text):
                place = _place_in_queues(site, ("queues", name, "record", "announce", language))
                yield Spoken(Text(language, tidy(text)), f"queue {name}", place=place)


def said_by_product() -> Iterator[Spoken]:
    """The sentences that are ctiserver's own, whatever the site."""
    for language, text in sentences.every():
        yield Spoken(Text(language, text), "ctiserver")


def said(flows: Iterable[Flow], site: Site) -> list[Spoken]:
    """Everything that a server with these flows and this site can say."""
    found = [*said_by_product(), *said_by_site(site)]
    for flow in flows:
        found += said_by_flow(flow)
    return list({one.text: one for one in reversed(found)}.values())[::-1]


def texts_of_package() -> list[Text]:
    """Everything that what is shipped can say: the package is built with all of it spoken, in both languages.

    The shipped flows and site, the flow that ``flow new`` writes, the product's own sentences, the words of every
    value, and what the dialplan plays while no server is there.
    """
    flows = [load_flow(path) for path in flow_files(shipped("ivr_flows"))]
    flows.append(load_flow(flow_text("hotline")))
    found = [one.text for one in said(flows, load_site(shipped("config")))]
    found += [Text(language, word) for language in ("zh-CN", "en") for word in vocabulary(language)]
    found += [Text(language, text) for language, _, text in announced()]
    return list(dict.fromkeys(found))


def unspoken(shelf: Shelf, texts: Iterable[Spoken]) -> list[Spoken]:
    """Those that no file speaks yet, neither a recording nor a spoken one."""
    return [
        one
        for one in texts
        if shelf.file(one.text) is None
        and not (one.recording and shelf.recording(one.text.language, one.recording) is not None)
    ]


def in_one_sentence(missing: list[Spoken]) -> str:
    """How many texts are not spoken, whose they are, and the first: for the log and for people."""
    sources = list(dict.fromkeys(one.source for one in missing))
    named = ", ".join(sources[:_NAMED]) + (f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else "")
    first = missing[0].text.text[:40]
    count = f"{len(missing)} text{'' if len(missing) == 1 else 's'}"
    return f"{count} of {named} can't be heard, such as {first!r}: callers hear a tone or a shipped sentence instead"


def unspoken_problems(shelves: Sequence[Shelf], flows: Iterable[Flow], site: Site) -> list[Problem]:
    """A warning for each written text that no shelf holds, and no engine here can speak."""
    if engines(shelves[0].settings):
        return []
    missing = said(flows, site)
    for shelf in shelves:
        missing = unspoken(shelf, missing)
    missing = [one for one in missing if one.place is not None]
    told = {one.place: one for one in reversed(missing)}  # of the words of values one is enough
    return [
        Problem(
            place,
            "CT-070",
            f"{one.text.text[:60]!r} is not spoken, and no speech engine is installed",
            f"callers hear a tone or a shipped sentence instead; run: {GET_A_VOICE}; or name a recording",
            warning=True,
        )
        for place, one in told.items()
        if place is not None
    ]


def command_warnings(settings_file: Path, settings: PromptSettings) -> list[Problem]:
    """What is wrong with ``prompts.command`` of a settings file."""
    problems = command_problems(settings)
    place = load(settings_file).place(("prompts", "command")) if problems else None
    return [Problem(place, "CT-071", what, fix, warning=True) for what, fix in problems if place is not None]


def _place_in_queues(site: Site, path: tuple[str, ...]) -> Place | None:
    file = site.directory / "queues.yaml"
    return load(file).place(path) if file.exists() else None
