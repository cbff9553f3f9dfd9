"""Changing single values of a ctiserver.yaml that a person wrote; every other character stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml


def changed(text: str, values: Mapping[tuple[str, ...], str]) -> str:
    """The text with these values, by their paths; a key that is not there yet is added."""
    for path, value in values.items():
        text = _with(text, path, value)
    return text


def _with(text: str, path: tuple[str, ...], value: str) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    node, left = root, list(path)
    while left and isinstance(node, yaml.MappingNode):
        inner = next((child for key, child in node.value if key.value == left[0]), None)
        if inner is None:
            break
        node, left = inner, left[1:]
    written = json.dumps(value, ensure_ascii=False)
    if not left and node is not None:
        return text[: node.start_mark.index] + written + text[node.end_mark.index :]
    if node is None or node is root:
        wanted: Any = value
        for step in reversed(left[1:]):
            wanted = {step: wanted}
        return f"{text.rstrip()}\n{left[0]}: {json.dumps(wanted, ensure_ascii=False)}\n"
    # Below a key that is there. A flow mapping takes one more key in front; a block of keys, one more line like its
    # first; a key without a value gets one.
    wanted = value
    for step in reversed(left[1:]):
        wanted = {step: wanted}
    pair = f"{left[0]}: {json.dumps(wanted, ensure_ascii=False)}"
    start = node.start_mark.index
    if not isinstance(node, yaml.MappingNode):
        return f"{text[:start]} {{{pair}}}{text[node.end_mark.index :]}"
    if node.flow_style:
        return f"{text[: start + 1]}{pair}{', ' if node.value else ''}{text[start + 1 :]}"
    return f"{text[:start]}{pair}\n{' ' * node.start_mark.column}{text[start:]}"
