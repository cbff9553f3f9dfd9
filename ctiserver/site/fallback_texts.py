"""What callers hear when the server is not there to speak: announcements.yaml, file by file."""

from __future__ import annotations

from collections.abc import Iterator

from ctiserver.resources import shipped
from ctiserver.strict_yaml import Written, load, parse

_Texts = dict[str, str]  #: language → text


class Announcements(Written):
    """announcements.yaml"""

    hold: _Texts
    message: _Texts
    accept: _Texts  #: ``{key}`` stands for a digit
    goodbye: _Texts


def announced() -> list[tuple[str, str, str]]:
    """(language, name, text) of every file that the fallback plays."""
    return list(_texts(parse(load(shipped("dialplan", "announcements.yaml")), Announcements)))


def _texts(written: Announcements) -> Iterator[tuple[str, str, str]]:
    for name, by_language in written.model_dump().items():
        for language, text in by_language.items():
            if "{key}" in text:
                yield from ((language, f"{name}-{key}", text.replace("{key}", str(key))) for key in range(10))
            else:
                yield language, name, text
