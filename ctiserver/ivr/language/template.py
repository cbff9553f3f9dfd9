"""``flow new``: a flow to begin with, and its test."""

from __future__ import annotations

import re
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.ivr.language.loader import FLOW_SUFFIX

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

_FLOW = """\
# yaml-language-server: $schema=./callflow-1.schema.json
schema: callflow/1
flow: NAME
version: "1.0.0"
title: NAME
languages: [zh-CN, en]
start: welcome
on_error: operator
agent: operator
nodes:
  welcome:
    kind: menu
    prompt:
      zh-CN: 您好，人工服务请按一，留言请按二
      en: Hello. To speak to a person, press one. To leave a message, press two.
    speak: all_languages
    choices:
      "1": operator
      "2": message
    on: {exhausted: goodbye}

  operator:
    kind: queue
    queue: operators
    max_wait: 5m
    on: {timeout: message, empty: message, full: message, error: message}

  message:
    kind: voicemail
    prompt:
      zh-CN: 请在提示音后留言，按井号结束
      en: Please leave a message after the tone. Press hash to end.
    next: goodbye
    on: {error: goodbye}

  goodbye:
    kind: hangup
    prompt:
      zh-CN: 感谢您的来电，再见
      en: Thank you for calling. Goodbye.
"""

_TEST = """\
tests:
  - name: a person is wanted
    steps:
      - hear: welcome
      - press: "1"
    then: {ends: queue, queue: operators}

  - name: a message is left
    steps:
      - press: "2"
      - hear: message
      - voicemail: ok
      - hear: goodbye
    then: {ends: hangup}
"""


def flow_text(name: str) -> str:
    """The flow that ``flow new`` writes."""
    return _FLOW.replace("NAME", name)


def write_new(name: str, folder: Path) -> tuple[Path, Path]:
    """Write ``NAME.flow.yaml`` and ``NAME.test.yaml``. Raises UserFault rather than overwrite a file."""
    if not _NAME.fullmatch(name):
        raise UserFault(f"{name!r} can't name a flow", fix="Use small letters, digits and _, beginning with a letter")
    paths = (folder / f"{name}{FLOW_SUFFIX}", folder / f"{name}.test.yaml")
    for path, text in zip(paths, (flow_text(name), _TEST), strict=True):
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise UserFault("is there already", where=str(path), fix="Choose another name") from None
        except OSError as error:
            raise UserFault(
                f"can't be written: {error.strerror}", where=str(path), fix="Name a folder of yours"
            ) from None
    return paths
